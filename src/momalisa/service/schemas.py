"""What REST takes. The OpenAPI document comes from here and from `answers.py`."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from momalisa.walk.path import Easing
from momalisa.walk.plan import Mode
from momalisa.walk.request import (
    MAX_FRAMES,
    MAX_FRAMES_PER_SECOND,
    MAX_GUIDANCE_SCALE,
    MAX_HOLD_S,
    MAX_SIDE,
    MAX_STEPS,
    Shape,
)

MAX_SEED = 2**53 - 1
"""What every JSON reader keeps exactly (RFC 8259, 6)."""
PICTURE_PATTERN = r"^[0-9a-f]{64}$"
MODEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_SIDE_STEP = 8
"""Of pictures: the decoder draws squares of 8 pixels."""


def _plain(text: str) -> str:
    """JSON can name what no file and no other program takes."""
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("it has a NUL character or half a surrogate pair: leave it out")
    return text


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty: say what to draw")
    return _plain(text)


Text = Annotated[str, AfterValidator(_plain), Field(json_schema_extra={"pattern": r"^[^\x00]*$"})]
Prompt = Annotated[
    str, AfterValidator(_said), Field(json_schema_extra={"minLength": 1, "pattern": r"^[^\x00]*[^\s\x00][^\x00]*$"})
]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, description="of the noise")]
GuidanceScale = Annotated[
    float, Field(ge=1, le=MAX_GUIDANCE_SCALE, description="how closely the prompts are followed; 1: no guidance")
]
Side = Annotated[int, Field(ge=64, le=MAX_SIDE, multiple_of=_SIDE_STEP, description="pixels")]
ModelId = Annotated[str, Field(pattern=MODEL_PATTERN, description="as `GET /v1/models` names it")]
Steps = Annotated[int, Field(ge=1, le=MAX_STEPS, description="more draw finer, and take longer")]


class _Asked(BaseModel):
    """What clients send: a typo is an error, and "60" no number."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _whole(cls, given: Any) -> Any:
        """To JSON 7.0 and 7 are one number, and some clients write the one for the other."""
        return int(given) if isinstance(given, float) and given.is_integer() else given


class WaypointCreate(_Asked):
    """A prompt, or a picture with a prompt. What is null is as for the whole walk."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"prompt": "blue dots on white", "hold_s": 0.5}],
            "anyOf": [
                {"required": ["prompt"], "properties": {"prompt": {"pattern": r"\S"}}},
                {"required": ["picture"], "properties": {"picture": {"type": "string"}}},
            ],
        }
    )

    prompt: Text = Field(default="", description="what it shows; may be empty where there is a picture")
    picture: str | None = Field(
        default=None, pattern=PICTURE_PATTERN, description="the id that `POST /v1/pictures` answered"
    )
    negative_prompt: Text | None = Field(default=None, description="what it does not show")
    guidance_scale: GuidanceScale | None = None
    seed: Seed | None = None
    hold_s: float = Field(default=0.0, ge=0, le=MAX_HOLD_S, description="how much longer it stands than other frames")


class WalkCreate(_Asked):
    """A walk to be made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "waypoints": [{"prompt": "blue dots on white"}, {"prompt": "red stripes on black"}],
                    "num_frames": 60,
                    "shape": "loop",
                }
            ]
        }
    )

    waypoints: list[WaypointCreate] = Field(min_length=2, max_length=100, description="from where to where it goes")
    model: ModelId | None = Field(default=None, description="as `GET /v1/models` names it; null: the default one")
    num_frames: int = Field(default=60, ge=2, le=MAX_FRAMES)
    shape: Shape = Field(default="open", description="a loop ends where it began, a boomerang goes back the same way")
    easing: Easing = Field(default="linear", description="where between two waypoints it slows down")
    mode: Mode = Field(
        default="hybrid", description="what changes along the way: the text, the image, or first one, then the other"
    )
    num_inference_steps: Steps = 25
    guidance_scale: GuidanceScale = 5.0
    negative_prompt: Text = ""
    seed: Seed | None = Field(default=None, description="of the noise; null: the service picks one")
    strength: float = Field(
        default=0.6, ge=0, le=1, description="of walks with pictures: at 0 as they are, at 1 by the prompts alone"
    )
    frames_per_second: float = Field(default=20.0, ge=1, le=min(60, MAX_FRAMES_PER_SECOND))
    height: Side | None = Field(default=None, description="pixels; null: the model's own")
    width: Side | None = Field(default=None, description="pixels; null: the model's own")


class ImageCreate(_Asked):
    """A picture to be drawn."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "blue dots on white", "seed": 7}]})

    prompt: Prompt
    model: ModelId | None = Field(default=None, description="as `GET /v1/models` names it; null: the default one")
    negative_prompt: Text = ""
    guidance_scale: GuidanceScale = 5.0
    num_inference_steps: Steps = 25
    seed: Seed | None = Field(default=None, description="of the noise; null: the service picks one")
    height: Side | None = Field(default=None, description="pixels; null: the model's own")
    width: Side | None = Field(default=None, description="pixels; null: the model's own")


class Instance(_Asked):
    """One walk of a Vertex AI request."""

    sample_key: list[Prompt] = Field(min_length=2, max_length=2, description="the prompts to walk between")


class VertexRequest(_Asked):
    """What Vertex AI sends."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"instances": [{"sample_key": ["blue", "red"]}]}]})

    instances: list[Instance] = Field(min_length=1, max_length=1000)
