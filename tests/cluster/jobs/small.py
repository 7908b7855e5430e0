"""Jobs small enough for tests: what they read, and the flags that make them fit a machine of two cores."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.cluster.gcs import ClusterGcs
from tests.support.runs import SMALL
from tests.support.shards import write_dataset
from tests.support.small_model import write_small_model

SHORT = ("max_steps=6", "validation.every_steps=6", "checkpoint.every_steps=2", "checkpoint.keep_last=2")
LONG = ("max_steps=4000", "validation.every_steps=4000", "checkpoint.every_steps=10", "checkpoint.keep_last=2")
"""Goes on for as long as a drill wants."""


def put_things_to_read(gcs: ClusterGcs, bucket: str, folder: Path) -> None:
    """A dataset and a model, in `bucket`/data and `bucket`/model."""
    write_dataset(str(folder / "data"), num_train=24, num_validation=6)
    write_small_model(folder / "model")
    for name in ("data", "model"):
        gcs.write_folder(f"{bucket}/{name}", folder / name)


def put_artworks(gcs: ClusterGcs, uri: str, count: int) -> None:
    """Pictures of noise with titles, as somebody who has a collection would upload it."""
    rows = []
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (80, 96, 3), dtype=np.uint8)
        picture = io.BytesIO()
        Image.fromarray(pixels).save(picture, "PNG")
        name = f"images/{number:02d}.png"
        gcs.write(f"{uri}/{name}", picture.getvalue())
        rows.append({"file_name": name, "title": f"Untitled {number}", "artist": "Anon"})
    gcs.write(f"{uri}/metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())


def place_flags(gcs: ClusterGcs) -> list[str]:
    """For whatever kind of job: little of everything, and the bucket of the tests."""
    return [
        *("--head-cpus", "1", "--head-memory-gib", "3", "--memory-gib", "3", "--gpus-per-worker", "1"),
        *("--cpu-overcommit", "10", "--keep-cluster", "5s", "--keep-job", "1h", "--retries", "0"),
        *(part for name, value in gcs.pod_environment.items() for part in ("--env", f"{name}={value}")),
        *("--env", "OMP_NUM_THREADS=1", "--yes"),
    ]


def train_flags(gcs: ClusterGcs, museum: str, name: str, settings: Sequence[str] = SHORT, *, bucket: str) -> list[str]:
    """A training on what `put_things_to_read` put into `museum`, to `bucket`/NAME."""
    settings = [*SMALL, f"model.uri={museum}/model", *settings]
    return [
        *("train", "--recipe", "demo", "--data", f"{museum}/data", "--output", f"{bucket}/{name}"),
        *(part for setting in settings for part in ("--set", setting)),
        *place_flags(gcs),
    ]
