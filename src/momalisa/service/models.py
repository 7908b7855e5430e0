"""The models that are served: each is tried before it is taken, and the old ones stay where a new one cannot be."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from momalisa.bounds import Pattern, check_bounds
from momalisa.errors import ConfigError
from momalisa.service.port import ModelInfo
from momalisa.walk.model_facts import ModelFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedModel:
    """A model by the id that requests name it by. Set by whoever runs the service, never by a request."""

    id: Annotated[str, Pattern(pattern=r".*\S.*", fix="give it a name")]
    uri: Annotated[str, Pattern(pattern=r".*\S.*", fix="name a hub id, a folder, a URI or `tiny`")]
    """A hub id, folder, URI, or `tiny`."""
    revision: str | None = None
    title: str = ""
    """Empty: its id."""
    description: str = ""
    suggestions: tuple[str, ...] = ()
    """Prompts that it knows how to draw."""

    def __post_init__(self) -> None:
        check_bounds(self)


TINY = ServedModel(
    id="tiny",
    uri="tiny",
    title="Miniature",
    description="Small, and quick on any computer. It knows ten manners of drawing, in colours that you name.",
    suggestions=(
        "blue dots on a yellow ground",
        "drips of paint in red on white",
        "orange circles in circles on a blue ground",
        "a color field in red on an orange ground",
        "paper cut-outs in green and pink",
        "sharp diagonals in black on a yellow ground",
        "white stripes on a red ground",
        "broad brush strokes in blue on a white ground",
        "a grid with red blocks on a white ground",
        "floating geometric shapes in violet on a white ground",
    ),
)
"""The model that comes along."""


class Describer(Protocol):
    """Who can load a model."""

    async def describe(self, model: ServedModel) -> ModelFacts:
        """Raises MomalisaError for one that cannot be loaded."""


Proof = Callable[[ServedModel, ModelFacts], Awaitable[object]]
"""Raises MomalisaError for a model that fails it."""


class Shelf:
    """What is served now."""

    def __init__(self, describer: Describer) -> None:
        self._describer = describer
        self._served: dict[str, tuple[ServedModel, ModelFacts]] = {}

    async def put(self, models: Sequence[ServedModel], *, prove: Proof | None = None) -> None:
        """Serves these from now on, the first one by default. Raises what is wrong with one; the old ones stay then.

        prove: what each one that was not served yet has to pass.
        """
        if not models:
            raise ConfigError("no model to serve: name one")
        if len({model.id for model in models}) < len(models):
            raise ConfigError("two models have one id: give each its own")
        served = {model.id: (model, await self._describer.describe(model)) for model in models}
        if prove is not None:
            known = [(model.uri, model.revision, facts) for model, facts in self._served.values()]
            for model, facts in served.values():
                if (model.uri, model.revision, facts) not in known:
                    await prove(model, facts)
        self._served = served

    def find(self, model_id: str) -> tuple[ServedModel, ModelFacts]:
        """Raises ConfigError for one that is not served."""
        if model_id not in self._served:
            raise ConfigError(f"no model {model_id!r} is served: take one of {', '.join(self._served)}")
        return self._served[model_id]

    def infos(self) -> tuple[ModelInfo, ...]:
        """What visitors are told of them."""
        default = next(iter(self._served), None)
        return tuple(
            ModelInfo(
                id=model.id,
                title=model.title or model.id,
                description=model.description,
                size=facts.default_size,
                is_default=model.id == default,
                suggestions=model.suggestions,
            )
            for model, facts in self._served.values()
        )
