"""What a text encoder's replica does: prompts become embeddings, once for all renderers of a work."""

import logging
import time
from collections.abc import Sequence

from momalisa.diffusion.loading import Components, load_components
from momalisa.service.crew import ModelChangedError
from momalisa.service.models import ServedModel
from momalisa.service.recent import Recent
from momalisa.service.torch_thread import TorchThread
from momalisa.walk.conditions import encode_texts
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.settings import Settings
from momalisa.walk.studio import placed
from momalisa.walk.texts import Texts

_LOGGER = logging.getLogger(__name__)


class TextEncoder:
    """Encodes one request at a time, whatever thread asks. Models that were not used for longest go first."""

    def __init__(self, *, settings: Settings | None = None, max_models: int = 4) -> None:
        self._settings = settings or Settings()
        self._encoders: Recent[tuple[str, str | None], Components] = Recent(max_models)
        self._torch = TorchThread()

    def encode(self, prompts: Sequence[tuple[str, str]], model: ServedModel, facts: ModelFacts) -> Texts:
        """Prompts, each with what it is guided away from.

        Raises ModelError for a model that cannot be loaded, ModelChangedError for one that is not that of the facts.
        """
        return self._torch.run(self._encode, prompts, model, facts)

    def _encode(self, prompts: Sequence[tuple[str, str]], model: ServedModel, facts: ModelFacts) -> Texts:
        components = self._components(model, facts)
        began = time.monotonic()
        texts = encode_texts(components, prompts)
        _LOGGER.info("%d prompts encoded", len(prompts), extra={"seconds": round(time.monotonic() - began, 3)})
        return texts

    def _components(self, model: ServedModel, facts: ModelFacts) -> Components:
        """Those of the facts: a model that was exchanged in its place is loaded once more."""
        key = model.uri, model.revision
        for _ in range(2):
            components = self._encoders.get(key, lambda: self._load(model))
            if components.fingerprints["text_encoder"] == facts.fingerprints["text_encoder"]:
                return components
            self._encoders.drop(key)
        raise ModelChangedError(f"the model {model.id} has changed since this was planned")

    def _load(self, model: ServedModel) -> Components:
        device, dtype = placed(self._settings)
        loaded = load_components(model.uri, revision=model.revision, parts=("tokenizer", "text_encoder"), dtype=dtype)
        return loaded.to(device)
