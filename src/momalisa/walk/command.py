"""`momalisa walk`: from prompts, or from an animation that tells how it was made, to an animation."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from momalisa.caches import cache_folder, prune
from momalisa.errors import ConfigError, InputError, ModelError
from momalisa.storage import open_store
from momalisa.terminal import counted
from momalisa.walk.animation import FORMATS, format_of, read_text, write_animation, write_pngs
from momalisa.walk.path import EASINGS
from momalisa.walk.plan import MODES
from momalisa.walk.provenance import Provenance, read_provenance
from momalisa.walk.request import SHAPES, WalkRequest, Waypoint

if TYPE_CHECKING:
    from momalisa.walk.frames import Frames, Pixels
    from momalisa.walk.settings import Dtype, Settings
    from momalisa.walk.studio import Made, Studio

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
_SEPARATOR = "::"
_CACHE_BYTES = 2 * 2**30
_ALSO_FROM = ("model", "revision")
"""What can be changed when a walk is made again."""
_MAX_SIDES = {"gif": 65_535, "webp": 16_383, "mp4": 16_384}


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureWaypoint:
    """A waypoint that is a picture: its file and the prompt beside it."""

    path: Path
    prompt: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `momalisa walk` understands."""
    usual = WalkRequest(waypoints=(Waypoint(prompt="a"), Waypoint(prompt="b")))
    parser.add_argument(
        "waypoints",
        nargs="*",
        metavar="WAYPOINT",
        help=f"two or more prompts, or pictures (photo.jpg, or photo.jpg{_SEPARATOR}PROMPT)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("walk.gif"), help=f"ends in .{', .'.join(FORMATS)}; %(default)s"
    )
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="make the walk in a file again")
    parser.add_argument("--picture", action="append", type=Path, default=[], help="with --from: a waypoint's picture")
    walk = parser.add_argument_group("the walk")
    walk.add_argument("--model", help="hub id, folder, URI, or tiny (the default, which ships with momalisa)")
    walk.add_argument("--revision", help="of a hub id")
    walk.add_argument("--frames", type=int, default=usual.num_frames, metavar="N", help="%(default)s")
    walk.add_argument("--fps", type=float, default=usual.frames_per_second, help="frames per second; %(default)s")
    walk.add_argument("--mode", choices=MODES, default=usual.mode, help="%(default)s")
    walk.add_argument("--easing", choices=EASINGS, default=usual.easing, help="%(default)s")
    walk.add_argument("--shape", choices=SHAPES, default=usual.shape, help="%(default)s")
    walk.add_argument("--loop", action="store_const", const="loop", dest="shape", help="as --shape loop")
    walk.add_argument("--boomerang", action="store_const", const="boomerang", dest="shape", help="as --shape boomerang")
    walk.add_argument("--hold", type=float, default=0.0, metavar="S", help="seconds that each waypoint stands longer")
    walk.add_argument("--seed", type=int, default=usual.seed, help="of the noise; %(default)s")
    walk.add_argument("--steps", type=int, default=usual.num_inference_steps, help="of denoising; %(default)s")
    walk.add_argument("--guidance", type=float, default=usual.guidance_scale, metavar="SCALE", help="%(default)s")
    walk.add_argument("--negative", default="", metavar="PROMPT", help="what not to show")
    walk.add_argument(
        "--strength", type=float, default=usual.strength, help="0 keeps pictures as they are; %(default)s"
    )
    walk.add_argument("--height", type=int, help="pixels; the model's own by default")
    walk.add_argument("--width", type=int, help="pixels; the model's own by default")
    walk.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="URI=W,W,…",
        help="a LoRA adapter and its weight at each waypoint, or one weight for all",
    )
    walk.add_argument("--budget", type=float, metavar="S", help="as good as can be within so many seconds")
    names = {action.dest for action in walk._group_actions} - set(_ALSO_FROM)
    parser.set_defaults(walk_defaults={name: parser.get_default(name) for name in names})
    output = parser.add_argument_group("output and machine")
    output.add_argument("--enlarge", type=int, default=1, metavar="N", help="each pixel a square of N; %(default)s")
    output.add_argument("--pngs", type=Path, metavar="DIR", help="the frames as PNGs too")
    output.add_argument("--report", type=Path, metavar="FILE", help="a report, .json or .png")
    output.add_argument("--device", help="cpu or cuda; what there is by default")
    output.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), help="float16 on a GPU, else float32")
    output.add_argument("--compile", action="store_true", help="torch.compile, for long walks on a GPU")
    output.add_argument("--lpips", type=Path, metavar="FILE", help="even steps by LPIPS: its weights as safetensors")
    output.add_argument("--no-cache", action="store_true", help="keep no frames for later walks")


def run(flags: argparse.Namespace) -> str:
    """Makes the walk; gives the line to print. Raises InputError before anything is loaded, where it can."""
    for path in (flags.out, flags.report, flags.pngs):
        _require_folder(path)
    format_of(flags.out)
    if flags.enlarge < 1:
        raise ConfigError(f"--enlarge {flags.enlarge}: take 1 or more")
    if flags.report is not None and flags.report.suffix not in (".json", ".png"):
        raise ConfigError(f"--report {flags.report}: it ends in .json or .png")
    if flags.source is not None:
        return _make_again(flags)
    request, picture_waypoints = _request(flags)
    return _make(flags, request, picture_waypoints)


def _request(flags: argparse.Namespace) -> tuple[WalkRequest, dict[int, PictureWaypoint]]:
    """The request, whose pictures are still without their hashes."""
    pictures, prompts = {}, []
    for index, text in enumerate(flags.waypoints):
        picture = _picture_waypoint(text)
        prompts.append(text if picture is None else picture.prompt)
        if picture is not None:
            pictures[index] = picture
    if len(prompts) < 2:
        raise ConfigError('give two prompts or more: momalisa walk "blue dots on yellow" "an orange field"')
    weights = _adapter_weights(flags.adapter, len(prompts))
    waypoints = tuple(
        Waypoint(
            prompt=prompt,
            picture_sha256="0" * 64 if index in pictures else None,
            hold_s=flags.hold,
            adapters=weights[index],
        )
        for index, prompt in enumerate(prompts)
    )
    request = WalkRequest(
        waypoints=waypoints,
        num_frames=flags.frames,
        shape=flags.shape,
        easing=flags.easing,
        mode=flags.mode,
        model=flags.model or "tiny",
        revision=flags.revision,
        height=flags.height,
        width=flags.width,
        num_inference_steps=flags.steps,
        guidance_scale=flags.guidance,
        negative_prompt=flags.negative,
        seed=flags.seed,
        strength=flags.strength,
        frames_per_second=flags.fps,
    )
    return request, pictures


def _make(flags: argparse.Namespace, request: WalkRequest, picture_waypoints: Mapping[int, PictureWaypoint]) -> str:
    from momalisa.walk.budget import fit, measure_speed
    from momalisa.walk.pictures import load_picture
    from momalisa.walk.studio import Studio

    studio = Studio(request.model, request.revision, _settings(flags))
    side = studio.components.default_size
    waypoints, pictures = list(request.waypoints), {}
    for index, waypoint in picture_waypoints.items():
        sha256, pixels = load_picture(waypoint.path, request.height or side, request.width or side)
        pictures[sha256] = pixels
        waypoints[index] = replace(waypoints[index], picture_sha256=sha256)
    request = replace(request, waypoints=tuple(waypoints))
    fitted = ""
    if flags.budget is not None:
        asked = request
        request = fit(request, flags.budget, measure_speed(studio.components, request.height, request.width))
        if request != asked:
            fitted = f"; for the budget {request.num_frames} frames of {request.num_inference_steps} steps"
    return _render(flags, studio, request, pictures, None) + fitted


def _make_again(flags: argparse.Namespace) -> str:
    """From an animation's own text; says whether the frames are the same."""
    from momalisa.walk.pictures import load_picture
    from momalisa.walk.studio import Studio

    if flags.waypoints:
        raise ConfigError("--from takes its waypoints from the file: leave the prompts out")
    if changed := [name for name, usual in flags.walk_defaults.items() if getattr(flags, name) != usual]:
        raise ConfigError(f"--from makes the walk as it was: leave out {', '.join(sorted(changed))}")
    source = read_provenance(read_text(flags.source))
    request = source.request
    if flags.model:
        request = replace(request, model=flags.model, revision=flags.revision)
    studio = Studio(
        request.model, request.revision, replace(_settings(flags), dtype=flags.dtype or _dtype(source.dtype))
    )
    if not flags.model:
        _require_same_weights(source, studio.components.fingerprints)
    side = studio.components.default_size
    pictures = dict(load_picture(path, request.height or side, request.width or side) for path in flags.picture)
    wanted = {w.picture_sha256 for w in request.waypoints if w.picture_sha256}
    if missing := wanted - pictures.keys():
        raise ConfigError(f"{len(missing)} of its waypoints are pictures: give the same ones with --picture FILE")
    return _render(flags, studio, request, pictures, source)


def _render(
    flags: argparse.Namespace,
    studio: "Studio",
    request: WalkRequest,
    pictures: "Mapping[str, Pixels]",
    source: Provenance | None,
) -> str:
    _require_side(flags, request, studio)
    with counted("frames", request.plan.num_frames) as advance:
        made = studio.make(
            request,
            _frames(flags),
            pictures=pictures,
            rounds=source.rounds if source else None,
            on_chunk=lambda chunk: advance(len(chunk)),
        )
    animation = made.animation(enlarge=flags.enlarge)
    write_animation(animation, flags.out)
    if flags.pngs is not None:
        write_pngs(animation, flags.pngs)
    if flags.report is not None:
        from momalisa.walk.report import write_report

        write_report(made.report, made.walk, made.frames, flags.report, rendition=made.rendition)
    return _summary(flags, made, source)


def _require_side(flags: argparse.Namespace, request: WalkRequest, studio: "Studio") -> None:
    side = flags.enlarge * max(request.height or 0, request.width or 0, studio.components.default_size)
    ending = format_of(flags.out)
    if side > _MAX_SIDES[ending]:
        raise ConfigError(f"--enlarge {flags.enlarge}: {side} pixels a side are more than a {ending} can have")


def _summary(flags: argparse.Namespace, made: "Made", source: Provenance | None) -> str:
    report, size = made.report, made.rendition
    parts = [
        f"{flags.out}: {report.num_frames} frames of {size.width * flags.enlarge} × {size.height * flags.enlarge}",
        f"{sum(made.walk.durations_s):.1f} s long, evenness {report.evenness:.2f}",
        f"made in {report.seconds:.0f} s",
    ]
    if report.num_repairs:
        parts.append(f"{report.num_repairs} frames added where a step stood out")
    if there := len(set(made.walk.addresses)) - report.num_rendered:
        parts.append(f"{there} frames were there from earlier walks")
    if source is not None:
        same = sum(a == b for a, b in zip(source.frames, made.provenance.frames, strict=False))
        parts.append(f"{same} of {len(source.frames)} frames are the same to the bit")
    return ", ".join(parts)


def _require_same_weights(source: Provenance, found: Mapping[str, str]) -> None:
    if other := sorted(part for part in found if source.fingerprints.get(part) != found[part]):
        raise ModelError(
            f"{source.request.model} is not the model that made it (other weights in {', '.join(other)}): "
            "give that one with --model, or any, to walk the same way with it"
        )


def _settings(flags: argparse.Namespace) -> "Settings":
    from momalisa.walk.settings import Settings

    return Settings(device=flags.device, dtype=flags.dtype, compile=flags.compile, lpips=flags.lpips)


def _dtype(name: str) -> "Dtype":
    from momalisa.walk.studio import DTYPES

    if name not in DTYPES:
        raise InputError(f"the walk was made in {name!r}, which is not known here: give --dtype")
    return name  # type: ignore[return-value]


def _frames(flags: argparse.Namespace) -> "Frames":
    from momalisa.walk.frames import MemoryFrames, StoredFrames

    if flags.no_cache:
        return MemoryFrames()
    folder = cache_folder("frames")
    prune(folder, _CACHE_BYTES)
    return StoredFrames(open_store(folder))


def _picture_waypoint(text: str) -> PictureWaypoint | None:
    """A picture, where what is before `::` ends like one. Raises InputError for a file that is missing."""
    name, _, prompt = text.partition(_SEPARATOR)
    if not name.lower().endswith(_PICTURES):
        return None
    if not Path(name).is_file():
        raise InputError(f"there is no picture {name}")
    return PictureWaypoint(path=Path(name), prompt=prompt)


def _adapter_weights(texts: Sequence[str], num_waypoints: int) -> list[dict[str, float]]:
    """For each waypoint the weights of the adapters."""
    weights: list[dict[str, float]] = [{} for _ in range(num_waypoints)]
    for text in texts:
        uri, _, given = text.rpartition("=")
        try:
            values = [float(value) for value in given.split(",")]
        except ValueError:
            values = []
        if not uri or len(values) not in (1, num_waypoints):
            each = ",".join(["W"] * num_waypoints)
            raise ConfigError(f"--adapter {text}: give URI=W, or URI={each} with a number for each waypoint")
        for index in range(num_waypoints):
            weights[index][uri] = values[index % len(values)]
    return weights


def _require_folder(path: Path | None) -> None:
    if path is not None and not path.absolute().parent.is_dir():
        raise InputError(f"there is no folder {path.parent}: make it, or write elsewhere")
