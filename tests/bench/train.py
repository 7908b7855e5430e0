"""The whole training job against the plain recipe, and the loader alone against torch's.

    python tests/bench/train.py [--json FILE] [--plot FILE] [--steps N] [--rounds N] [--threads N] [--gpu …]

README.md beside this file says what each side does, line by line. The sides take turns on the same cores; of each
the best round counts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from diffusers import UNet2DConditionModel
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))  # the folder of `tests`, when this file is run by itself

from momalisa.artworks.decoding import decode_picture
from momalisa.artworks.procedural import HELD_OUT_MANNERS, sample
from momalisa.diffusion.encode import encode_images, encode_prompts
from momalisa.diffusion.loading import load_components
from momalisa.diffusion.objective import Diffusion
from momalisa.storage import Store, open_store
from momalisa.training.estimates import paired_difference
from momalisa.training.tracking import METRICS_FILE, read_metrics
from tests.bench import loader
from tests.support.gcs_emulator import running_emulator
from tests.support.memory import PeakMemory, watching_memory

ROOT = Path(__file__).parents[2]
LATENCY_S = 0.05
LOG_EVERY_STEPS = 5
NUM_HELD_OUT = 32


@dataclass(frozen=True)
class Settings:
    """What all sides share."""

    model: str
    resolution: int
    batch_size: int
    num_steps: int
    num_warmup: int
    precision: str
    num_threads: int
    learning_rate: float
    gpu: bool
    own: tuple[str, ...]
    """Options of ours that the plain recipe has not: `engine.compile=true`, say."""
    watch_memory: bool = False
    """In a round of its own, for it slows what is watched."""


@dataclass(frozen=True)
class Side:
    """One training of one side."""

    images_per_s: float
    losses: list[tuple[int, float]]
    """Step and training loss."""
    unet: Path
    peak_mib: float
    mib_by_process: dict[str, int]


def draw_museum(folder: Path, count: int) -> None:
    """JPEGs of a museum website's size, of drawings with grain, so that they weigh and decode as paintings do."""
    (folder / "images").mkdir(parents=True)
    with (folder / "metadata.jsonl").open("w") as metadata:
        for number in range(count):
            drawing = sample(9_000_000 + number, size=843, manners=HELD_OUT_MANNERS)
            random = np.random.default_rng(number)
            height = int(random.integers(560, 844))
            grain = np.asarray(drawing.image, dtype=np.float32)[:height]
            grain = grain + random.normal(0, 12, grain.shape)
            pixels = Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8))
            pixels.save(folder / f"images/{number:05d}.jpg", "JPEG", quality=85)
            metadata.write(json.dumps({"file_name": f"images/{number:05d}.jpg", "text": drawing.caption}) + "\n")


def make_dataset(folder: Path, artworks: Path, template: str, settings: Settings) -> Path:
    """Shards by the project's own job, with a cache beside them."""
    dataset = folder / "dataset"
    command = [sys.executable, "jobs/prepare.py", "--input", str(artworks), "--output", str(dataset)]
    command += ["--caption-template", template, "--validation-share", "0.1"]
    command += ["--cache", settings.model, "--resolution", str(settings.resolution)]
    _run(command, settings)
    return dataset


def train_plainly(dataset: Path, output: Path, settings: Settings, num_workers: int) -> Side:
    """The plain recipe, in a process of its own."""
    output.mkdir(parents=True)
    command = [sys.executable, "tests/bench/plain_recipe.py", "--model", str(load_components(settings.model).path)]
    command += ["--data", f"{dataset}/data/train-*.parquet", "--output", str(output)]
    command += ["--resolution", str(settings.resolution), "--train-batch-size", str(settings.batch_size)]
    command += ["--max-train-steps", str(settings.num_steps), "--learning-rate", str(settings.learning_rate)]
    command += ["--mixed-precision", {"fp32": "no"}.get(settings.precision, settings.precision)]
    command += ["--dataloader-num-workers", str(num_workers), *(["--gpu"] if settings.gpu else [])]
    peak = _run(command, settings)
    metrics = json.loads((output / "metrics.json").read_text())
    points = [(number, time_s) for number, (time_s, _) in enumerate(metrics["steps"], start=1)]
    losses = [(number, loss) for number, (_, loss) in enumerate(metrics["steps"], start=1)]
    return Side(_images_per_s(points, settings), losses, output / "unet", *peak)


def train_with_momalisa(dataset: Path, output: Path, settings: Settings, cache: str) -> Side:
    """`jobs/train.py` as a user starts it: Ray Train, DeepSpeed, validation before and after."""
    command = [sys.executable, "jobs/train.py", "--recipe", "demo", "--data", str(dataset), "--output", str(output)]
    options = {
        "model.uri": settings.model,
        "model.train_text_encoder": "false",
        "max_steps": settings.num_steps,
        "global_batch_size": settings.batch_size,
        "micro_batch_size": settings.batch_size,
        "data.resolution": settings.resolution,
        "data.cache": cache,
        "data.caption_dropout": 0,
        "data.num_decode_threads": 1,
        "objective.min_snr_gamma": "null",
        "optimizer.learning_rate": settings.learning_rate,
        "optimizer.schedule": "constant",
        "optimizer.num_warmup_steps": 0,
        "engine.zero_stage": 0,
        "engine.precision": settings.precision,
        "replay": "null",
        "validation.every_steps": settings.num_steps,
        "validation.num_inference_steps": 2,
        "checkpoint.every_steps": settings.num_steps,
        "tracking.log_every_steps": LOG_EVERY_STEPS,
        "resources.num_workers": 1,
        "resources.use_gpu": str(settings.gpu).lower(),
        "resources.cpus_per_worker": settings.num_threads,
    }
    for option in (*(f"{name}={value}" for name, value in options.items()), *settings.own):
        command += ["--set", option]
    peak = _run(command, settings)
    rows = [row for row in read_metrics(output / METRICS_FILE) if "train/loss" in row["metrics"]]
    points = [(row["step"], row["time"]) for row in rows]
    losses = [(row["step"], row["metrics"]["train/loss"]) for row in rows]
    return Side(_images_per_s(points, settings), losses, output / "export" / "unet", *peak)


def _images_per_s(points: list[tuple[int, float]], settings: Settings) -> float:
    """From (step, Unix time), after warm-up; all that happens between two steps counts."""
    measured = [point for point in points if point[0] >= settings.num_warmup]
    (first, began), (last, ended) = measured[0], measured[-1]
    return (last - first) * settings.batch_size / (ended - began)


def _run(command: list[str], settings: Settings) -> tuple[float, dict[str, int]]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(settings.num_threads), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log) as process,
    ):
        with watching_memory(process.pid) if settings.watch_memory else nullcontext(PeakMemory()) as peak:
            process.wait()
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"{' '.join(command)}\nended with {process.returncode}:\n{log.read()[-4000:]}")
    return peak.mib, peak.mib_by_process


@torch.no_grad()
def held_out_losses(unet_folder: Path | None, dataset: Path, settings: Settings) -> list[float]:
    """Mean squared error of each held-out picture, the same noise and timesteps whoever asks; None: the base model."""
    components = load_components(settings.model)
    unet: Any = components.unet if unet_folder is None else UNet2DConditionModel.from_pretrained(unet_folder)
    diffusion = Diffusion(components.scheduler_config)
    timesteps = torch.arange(50, diffusion.num_train_timesteps, 100)
    size = (settings.resolution, settings.resolution)
    rows = pq.read_table(sorted((dataset / "data").glob("validation-*")), columns=["image", "text"]).to_pylist()
    losses = []
    for number, row in enumerate(rows[:NUM_HELD_OUT]):
        pixels = torch.from_numpy(decode_picture(row["image"]["bytes"], size, name=row["image"]["path"]).copy())
        mean, _ = encode_images(components.vae, pixels.permute(2, 0, 1)[None].float() / 127.5 - 1)
        latents = (mean * components.vae.config.scaling_factor).expand(len(timesteps), -1, -1, -1)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(number))
        text = encode_prompts(components, [row["text"]]).expand(len(timesteps), -1, -1)
        prediction = unet(diffusion.add_noise(latents, noise, timesteps), timesteps, text)[0]
        target = diffusion.target(components.prediction_type, latents, noise, timesteps)
        losses.append(float((prediction - target).square().mean()))
    return losses


def compare(scratch: Path, dataset: Path, settings: Settings, rounds: int) -> dict[str, Any]:
    """Trains with all sides in turn; gives the ratios, what they are made of, and how the losses compare."""
    sides: dict[str, Callable[[Path, Settings], Side]] = {
        "plain, decoding in the loop": lambda out, settings: train_plainly(dataset, out, settings, 0),
        "plain, 1 decoding process": lambda out, settings: train_plainly(dataset, out, settings, 1),
        "momalisa, uncached": lambda out, settings: train_with_momalisa(dataset, out, settings, "off"),
        "momalisa, cached": lambda out, settings: train_with_momalisa(dataset, out, settings, "require"),
    }
    best: dict[str, Side] = {}
    for number in range(rounds):
        for name, run in sides.items():
            side = run(scratch / f"{name}-{number}".replace(", ", "-").replace(" ", "-"), settings)
            print(f"  round {number + 1}, {name}: {side.images_per_s:.2f} images/s", flush=True)
            if name not in best or side.images_per_s > best[name].images_per_s:
                best[name] = side
    short = replace(settings, num_steps=settings.num_warmup + 10, watch_memory=True)
    memory = {name: run(scratch / f"memory-{number}", short) for number, (name, run) in enumerate(sides.items())}
    plain = max((best[name] for name in list(best)[:2]), key=lambda side: side.images_per_s)
    ours = {"uncached": best["momalisa, uncached"], "cached": best["momalisa, cached"]}
    base_losses = held_out_losses(None, dataset, settings)
    plain_losses = held_out_losses(plain.unet, dataset, settings)
    results: dict[str, Any] = {
        "ratio_cached": ours["cached"].images_per_s / plain.images_per_s,
        "ratio_uncached": ours["uncached"].images_per_s / plain.images_per_s,
        "held_out_loss_base": fmean(base_losses),
        "held_out_loss_plain": fmean(plain_losses),
    }
    for name, side in ours.items():
        losses = held_out_losses(side.unet, dataset, settings)
        results[f"held_out_loss_{name}"] = fmean(losses)
        difference = paired_difference(plain_losses, losses)
        results[f"held_out_difference_{name}"] = [difference.low, difference.mean, difference.high]
    for name, side in best.items():
        results[name] = {
            "images_per_s": side.images_per_s,
            "peak_mib": memory[name].peak_mib,
            "mib_by_process": memory[name].mib_by_process,
            "losses": side.losses,
        }
    return results


def measure_loader(scratch: Path, num_images: int, num_threads: int) -> dict[str, float]:
    """`loader.measure`, from a bucket of the emulator each of whose answers takes 50 ms longer."""
    with running_emulator(latency_s=LATENCY_S) as emulator:
        os.environ.update(emulator.environment)
        bucket = emulator.create_bucket("loader")

        def copy(store: Store) -> Store:
            slow = open_store(f"{bucket}/{scratch.name}")
            emulator.set_faults()
            for entry in store.list(""):
                slow.write_bytes(entry.key, store.read_bytes(entry.key))
            emulator.set_faults(latency_s=LATENCY_S)
            return slow

        return loader.measure(
            scratch, loader.draw_pictures(64), num_images=num_images, num_threads=num_threads, open_slow=copy
        )


def plot(results: dict[str, Any], path: Path, num_warmup: int) -> None:
    """Loss curves of all sides, each about a running mean of 20 steps."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name, side in results.items():
        if isinstance(side, dict) and "losses" in side:
            steps, losses = np.array(side["losses"]).T
            window = max(1, 20 // int(steps[1] - steps[0]))
            smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
            axes.plot(steps[window - 1 :], smooth, label=f"{name}: {side['images_per_s']:.1f} images/s")
    axes.axvline(num_warmup, color="0.8", linewidth=1)
    axes.set(xlabel="step", ylabel="training loss, smoothed", title="The same training by all sides")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)


def print_table(results: dict[str, Any]) -> None:
    """For the terminal, and for README.md."""
    print("\n| | images/s | peak memory, MiB |\n|---|---|---|")
    for name, side in results.items():
        if isinstance(side, dict):
            print(f"| {name} | {side['images_per_s']:.2f} | {side['peak_mib']:.0f} |")
    print("\n| | |\n|---|---|")
    for name, value in results.items():
        if isinstance(value, list):
            value = "{1:+.4f} ({0:+.4f} … {2:+.4f})".format(*value)
        if not isinstance(value, dict):
            print(f"| {name} | {value if isinstance(value, str) else round(value, 4)} |")


def main() -> None:
    args = _parse()
    os.sched_setaffinity(
        0, sorted(os.sched_getaffinity(0))[: args.threads] if not args.gpu else os.sched_getaffinity(0)
    )
    torch.set_num_threads(args.threads)
    settings = Settings(
        model=args.model,
        resolution=args.resolution,
        batch_size=args.batch_size,
        num_steps=args.steps,
        num_warmup=args.warmup,
        precision=args.precision,
        num_threads=args.threads,
        learning_rate=args.learning_rate,
        gpu=args.gpu,
        own=tuple(args.set),
    )
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        artworks = Path(args.artworks) if args.artworks else scratch / "artworks"
        if args.artworks is None:
            draw_museum(artworks, args.num_images)
        dataset = make_dataset(scratch, artworks, args.caption_template, settings)
        results |= compare(scratch, dataset, settings, args.rounds)
    if not args.no_loader:
        torch.set_num_threads(1)
        with tempfile.TemporaryDirectory() as folder:
            results |= measure_loader(Path(folder), 768, args.threads)
    print_table(results)
    if args.plot:
        plot(results, args.plot, settings.num_warmup)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="the loss curves, as a PNG")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=24)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--warmup", type=int, default=20, help="steps")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=2, help="that compute, of each side; as many cores are used")
    parser.add_argument("--num-images", type=int, default=320)
    parser.add_argument("--artworks", metavar="FOLDER", help="pictures with metadata.jsonl, instead of drawn ones")
    parser.add_argument("--caption-template", default="{text}", metavar="T")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--no-loader", action="store_true", help="the trainings only")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="of ours alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
