"""The demo: drawings, shards, a fine-tune with its verdict, and a walk through what was learnt."""

import time
from dataclasses import dataclass
from pathlib import Path

from momalisa.config import override
from momalisa.recipes import recipe
from momalisa.recipes.tiny import RECOGNISE_DRAWINGS
from momalisa.storage import open_store
from momalisa.training.config import TrainConfig

NUM_DRAWINGS = 320
NUM_WALK_FRAMES = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoConfig:
    """Where the demo's run goes, and with what it is made."""

    output: Path
    artworks: Path | None = None
    """Pictures with metadata.jsonl; None: drawings of a manner that the shipped model does not know."""
    caption_template: str = "{text}"
    assignments: tuple[str, ...] = ()
    """`a.b=c`, on top of the recipe `demo`."""


def run_demo(config: DemoConfig) -> int:
    """Runs what is missing; gives the training's exit code. A finished run is set aside, an interrupted one goes on."""
    from momalisa.artworks.cache_writer import print_progress, write_cache
    from momalisa.artworks.prepare import PrepareConfig, prepare
    from momalisa.training.submit import run_training

    # The style classifier knows the manner of our drawings, not that of other people's artworks.
    recognition = [] if config.artworks else [RECOGNISE_DRAWINGS]
    training, output = override(recipe("demo"), [*recognition, *config.assignments]), config.output
    _set_aside_if_finished(output)
    artworks = config.artworks or _draw(output.parent / f"{output.name}-artworks")
    dataset = str(output.parent / f"{output.name}-dataset")
    print(f"1/4  artworks in {artworks}")
    print("2/4  Parquet shards")
    captioned = PrepareConfig(caption_template=config.caption_template, validation_share=0.1)
    prepare(captioned, str(artworks), dataset, overwrite=True)
    if training.data.cache != "off":
        text = not training.model.train_text_encoder
        write_cache(
            dataset, training.model.uri, resolution=training.data.resolution, text=text, progress=print_progress
        )
    print("3/4  fine-tuning")
    resume = open_store(str(output)).exists("run.json")
    code = run_training(training, data_uri=dataset, output_uri=str(output), resume=resume)
    if code == 0 and training.model.lora is None:
        print("4/4  a walk through what was learnt, to what was known before, and back")
        print(f"  a walk                 {_walk(training, output).absolute().as_uri()}")
    return code


def _walk(training: TrainConfig, output: Path) -> Path:
    from momalisa.walk.request import WalkRequest, Waypoint
    from momalisa.walk.studio import make_gif

    request = WalkRequest(
        waypoints=tuple(Waypoint(prompt=prompt) for prompt in training.validation.prompts[:3]),
        num_frames=NUM_WALK_FRAMES,
        shape="boomerang",
        guidance_scale=training.validation.guidance_scale,
        model=str(output / "export"),
    )
    make_gif(request, output / "walk.gif", enlarge=2)
    return output / "walk.gif"


def _draw(folder: Path) -> Path:
    from momalisa.artworks.procedural import HELD_OUT_MANNERS, write_folder

    if not (folder / "metadata.jsonl").is_file():
        write_folder(folder, count=NUM_DRAWINGS, seed=7, manners=HELD_OUT_MANNERS[:1])
    return folder


def _set_aside_if_finished(output: Path) -> None:
    if (output / "summary.json").is_file():
        aside = output.with_name(f"{output.name}-{time.strftime('%Y%m%d-%H%M%S')}")
        output.rename(aside)
        print(f"the earlier run is now {aside}")
