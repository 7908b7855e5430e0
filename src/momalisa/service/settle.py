"""From what is asked over REST to what the walk service takes: the limits of this service, and what it chooses."""

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from momalisa.errors import ConfigError, FieldsError
from momalisa.service.config import Limits
from momalisa.service.port import ImageRequest, ModelInfo
from momalisa.service.schemas import ImageCreate, Instance, WalkCreate, WaypointCreate
from momalisa.walk.request import WalkRequest, Waypoint

_SEEDS = 1 << 32
_Asked = TypeVar("_Asked", WalkCreate, ImageCreate)


def settle_walk(asked: WalkCreate, *, model: str, seed: int, limits: Limits) -> WalkRequest:
    """The walk to be made. Raises FieldsError with all that is wrong."""
    asked = _by_default(asked, limits)
    _check(_problems_of_walk(asked, limits))
    try:
        return WalkRequest(
            waypoints=tuple(_waypoint(each) for each in asked.waypoints),
            num_frames=asked.num_frames,
            shape=asked.shape,
            easing=asked.easing,
            mode=asked.mode,
            model=model,
            height=asked.height,
            width=asked.width,
            num_inference_steps=asked.num_inference_steps,
            guidance_scale=asked.guidance_scale,
            negative_prompt=asked.negative_prompt,
            seed=seed,
            strength=asked.strength,
            frames_per_second=asked.frames_per_second,
        )
    except ConfigError as e:
        # Every field by itself is in order; what is left is too few frames for so many waypoints.
        raise FieldsError({"num_frames": str(e)}) from e


def settle_image(asked: ImageCreate, *, model: str, seed: int, limits: Limits) -> ImageRequest:
    """The picture to be drawn. Raises FieldsError with all that is wrong."""
    asked = _by_default(asked, limits)
    _check(_problems_in_common(asked, limits))
    _check(_too_long({"prompt": asked.prompt}, limits))
    return ImageRequest(
        prompt=asked.prompt,
        model=model,
        negative_prompt=asked.negative_prompt,
        guidance_scale=asked.guidance_scale,
        num_inference_steps=asked.num_inference_steps,
        seed=seed,
        height=asked.height,
        width=asked.width,
    )


def settle_quick(prompts: Mapping[str, str], *, model: str, num_frames: int, limits: Limits) -> WalkRequest:
    """A walk that is waited for, between prompts that came in these fields.

    Its seed is always the same, so that who asks again finds what is drawn already.
    """
    _check(_too_long(prompts, limits))
    waypoints = [WaypointCreate(prompt=prompt) for prompt in prompts.values()]
    return settle_walk(WalkCreate(waypoints=waypoints, num_frames=num_frames), model=model, seed=0, limits=limits)


def prompts_of(instances: Sequence[Instance], limits: Limits) -> list[dict[str, str]]:
    """Of a Vertex AI request: for each walk its prompts, by field. Raises FieldsError for too many walks."""
    if len(instances) > limits.max_instances:
        raise FieldsError({"instances": f"there are {len(instances)}: send at most {limits.max_instances} at once"})
    return [
        {f"instances.{i}.sample_key.{j}": prompt for j, prompt in enumerate(instance.sample_key)}
        for i, instance in enumerate(instances)
    ]


def choose_model(given: str | None, served: Sequence[ModelInfo]) -> str:
    """The model's id. Only what is served: to the library a model may be any folder or URI."""
    if given is None:
        return next((model.id for model in served if model.is_default), served[0].id)
    if all(given != model.id for model in served):
        raise FieldsError({"model": f"no model {given!r}: take one of {', '.join(model.id for model in served)}"})
    return given


def choose_seed(given: int | None, owner: str, idempotency_key: str | None) -> int:
    """The seed. With an idempotency key always the same, or a second try would be another request than the first."""
    if given is not None:
        return given
    if idempotency_key is None:
        return secrets.randbelow(_SEEDS)
    return int.from_bytes(hashlib.sha256(f"{owner} {idempotency_key}".encode()).digest()[:4])


def _by_default(asked: _Asked, limits: Limits) -> _Asked:
    """With as much as this service takes where the usual would be more and nobody asked for it."""
    most = {"num_frames": limits.max_frames, "num_inference_steps": limits.max_num_inference_steps}
    unsaid = type(asked).model_fields.keys() & most.keys() - asked.model_fields_set
    return asked.model_copy(update={name: min(getattr(asked, name), most[name]) for name in unsaid})


_Problems = Iterator[tuple[str, str]]


def _check(problems: _Problems) -> None:
    if found := dict(problems):
        raise FieldsError(found)


def _problems_of_walk(asked: WalkCreate, limits: Limits) -> _Problems:
    if len(asked.waypoints) > limits.max_waypoints:
        yield "waypoints", f"there are {len(asked.waypoints)}: take at most {limits.max_waypoints}"
    if asked.num_frames > limits.max_frames:
        yield "num_frames", f"{asked.num_frames} are too many: take at most {limits.max_frames}"
    yield from _problems_in_common(asked, limits)
    for number, waypoint in enumerate(asked.waypoints):
        yield from _problems_of_waypoint(waypoint, f"waypoints.{number}", limits)


def _problems_of_waypoint(asked: WaypointCreate, field: str, limits: Limits) -> _Problems:
    if not asked.prompt.strip() and asked.picture is None:
        yield f"{field}.prompt", "there is neither a prompt nor a picture: say what it shows"
    texts = {f"{field}.prompt": asked.prompt, f"{field}.negative_prompt": asked.negative_prompt or ""}
    yield from _too_long(texts, limits)


def _problems_in_common(asked: WalkCreate | ImageCreate, limits: Limits) -> _Problems:
    if asked.num_inference_steps > limits.max_num_inference_steps:
        most = limits.max_num_inference_steps
        yield "num_inference_steps", f"{asked.num_inference_steps} are too many: take at most {most}"
    for field, pixels in (("height", asked.height), ("width", asked.width)):
        if pixels is not None and pixels > limits.max_side:
            yield field, f"{pixels} pixels are too many: take at most {limits.max_side}"
    yield from _too_long({"negative_prompt": asked.negative_prompt}, limits)


def _too_long(texts: Mapping[str, str], limits: Limits) -> _Problems:
    for field, text in texts.items():
        if len(text) > limits.max_prompt_length:
            yield field, f"it has {len(text)} characters: take at most {limits.max_prompt_length}"


def _waypoint(asked: WaypointCreate) -> Waypoint:
    return Waypoint(
        prompt=asked.prompt,
        picture_sha256=asked.picture,
        negative_prompt=asked.negative_prompt,
        guidance_scale=asked.guidance_scale,
        seed=asked.seed,
        hold_s=asked.hold_s,
    )
