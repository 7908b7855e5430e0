"""The loader alone, from a store with latency, against a torch DataLoader on local files.

    python tests/bench/loader.py [--json FILE] [--pictures FOLDER] [--num-images N] [--threads N]

`loader_decoded_512`: pictures decoded, cropped and resized to 512 × 512, normalised, batched.
`loader_cached`: VAE moments and text embeddings of Stable Diffusion 1.x at 512 px, batched.
Both sides give the same tensors, noise and timesteps among them, with as many threads (ours) or worker
processes (torch's) as each other.
"""

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))  # the folder of `tests`, when this file is run by itself

from momalisa.artworks.cache import DatasetCache
from momalisa.artworks.dataset import StoredDataset
from momalisa.artworks.manifest import MANIFEST_NAME, CacheManifest, ShardInfo
from momalisa.storage import Store, sha256_bytes
from momalisa.training.config import DataConfig
from momalisa.training.loader import TrainLoader
from tests.support.counting import CountingStore
from tests.support.shards import make_picture, write_rows

RESOLUTION = 512
LATENTS = (4, 64, 64)
TEXT = (77, 768)
NUM_TIMESTEPS = 1000
ROWS_PER_GROUP = 64
ROWS_PER_SHARD = 512


def draw_pictures(count: int) -> list[bytes]:
    """JPEGs of a museum website's size, with grain, so that they weigh what paintings do."""
    pictures = []
    for number in range(count):
        random = np.random.default_rng(number)
        width, height = 843, int(random.integers(560, 1130))
        smooth = np.asarray(make_picture(number, width, height), dtype=np.float32)
        grain = smooth + random.normal(0, 12, smooth.shape)
        buffer = io.BytesIO()
        Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
        pictures.append(buffer.getvalue())
    return pictures


def read_pictures(folder: Path) -> list[bytes]:
    """JPEGs of a folder."""
    return [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))]


def make_data(folder: Path, pictures: Sequence[bytes], num_images: int) -> str:
    """A dataset of `num_images` rows, `pictures` over and over, and the same as loose files in `files/`; its URI."""
    files = folder / "files"
    files.mkdir(parents=True)
    rows = []
    for number in range(num_images):
        data = pictures[number % len(pictures)]
        width, height = Image.open(io.BytesIO(data)).size
        name = f"{number:05d}.jpg"
        (files / name).write_bytes(data)
        rows.append(
            {
                "image": {"bytes": data, "path": name},
                "text": f"picture {number}",
                "file_name": name,
                "width": width,
                "height": height,
                "hash": sha256_bytes(data + name.encode()),
                "split": "train",
            }
        )
    write_rows(str(folder / "dataset"), rows, [], rows_per_group=ROWS_PER_GROUP, rows_per_shard=ROWS_PER_SHARD)
    return str(folder / "dataset")


def make_cache(folder: Path, dataset: StoredDataset) -> DatasetCache:
    """A cache of random moments in Stable Diffusion's shapes, and the same as loose files in `latents/`."""
    random = np.random.default_rng(0)
    store = dataset.store.child("caches/random")
    loose = folder / "latents"
    loose.mkdir()
    shards = []
    position = 0
    for shard in dataset.manifest.shards:
        rows = []
        for _ in range(shard.num_rows):
            moments = random.standard_normal((2, *LATENTS)).astype(np.float16)
            text = random.standard_normal(TEXT).astype(np.float16)
            np.savez(loose / f"{position:05d}.npz", mean=moments[0], std=moments[1], text=text)
            rows.append(
                {
                    "hash": f"{position:064d}",
                    "file_name": f"{position:05d}.jpg",
                    "text": f"picture {position}",
                    "latent_mean": moments[0].tobytes(),
                    "latent_std": moments[1].tobytes(),
                    "latent_height": LATENTS[1],
                    "latent_width": LATENTS[2],
                    "text_embedding": text.tobytes(),
                }
            )
            position += 1
        shards.append(_write_cache_shard(store, shard, rows))
    empty = np.zeros(TEXT, dtype=np.float16).tobytes()
    store.write_bytes("empty_text.bin", empty)
    manifest = CacheManifest(
        dataset_fingerprint=dataset.manifest.fingerprint,
        model="random",
        vae_sha256="0" * 64,
        text_encoder_sha256="0" * 64,
        resolution=RESOLUTION,
        crop="center",
        aspect_buckets=False,
        latent_channels=LATENTS[0],
        scaling_factor=0.18215,
        text_shape=TEXT,
        empty_text_sha256=sha256_bytes(empty),
        dtype="float16",
        shards=tuple(shards),
        momalisa_version="bench",
    )
    store.write_bytes(MANIFEST_NAME, manifest.model_dump_json().encode())
    return DatasetCache("random", store, manifest, with_text=True)


def ours(
    dataset: StoredDataset, cache: DatasetCache | None, *, batch_size: int, num_threads: int, num_steps: int, warm: int
) -> float:
    """Images/s of our loader; no local cache: every row group comes from the store."""
    config = DataConfig(resolution=RESOLUTION, num_decode_threads=num_threads, num_streams=16)
    loader = TrainLoader(
        dataset,
        config,
        seed=0,
        rank=0,
        world_size=1,
        global_batch_size=batch_size,
        micro_batch_size=batch_size,
        latent_channels=LATENTS[0],
        vae_scale_factor=8,
        num_train_timesteps=NUM_TIMESTEPS,
        with_perturbation=False,
        cache=cache,
        stop_step=num_steps,
    )
    with loader:
        return _images_per_second(loader, lambda step: sum(len(batch.timesteps) for batch in step), warm)


def torch_loader(
    files: Sequence[Path],
    load: Callable[[Path], dict[str, torch.Tensor]],
    *,
    batch_size: int,
    num_workers: int,
    num_steps: int,
    warm: int,
) -> float:
    """Images/s of a shuffling torch DataLoader with worker processes, as users of it write it."""
    data = torch.utils.data.DataLoader(
        _Files(files, load),
        batch_size=batch_size,
        sampler=torch.utils.data.RandomSampler(files, replacement=True, num_samples=num_steps * batch_size),  # type: ignore[arg-type]
        num_workers=num_workers,
        prefetch_factor=4,
        drop_last=True,
    )

    def complete() -> Iterable[dict[str, torch.Tensor]]:
        for batch in data:
            # What the training loop of such a recipe draws itself.
            batch["noise"] = torch.randn(batch_size, *LATENTS)
            batch["latent_noise"] = torch.randn(batch_size, *LATENTS)
            batch["timesteps"] = torch.randint(0, NUM_TIMESTEPS, (batch_size,))
            yield batch

    return _images_per_second(complete(), lambda batch: len(batch["timesteps"]), warm)


def load_picture(path: Path) -> dict[str, torch.Tensor]:
    """Decode, resize the shorter side (Lanczos), centre crop, normalise."""
    with Image.open(path) as file:
        picture = file.convert("RGB")
    scale = RESOLUTION / min(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    left, top = (size[0] - RESOLUTION) // 2, (size[1] - RESOLUTION) // 2
    picture = picture.crop((left, top, left + RESOLUTION, top + RESOLUTION))
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float().div(127.5).sub(1)
    return {"pixel_values": pixels}


def load_latents(path: Path) -> dict[str, torch.Tensor]:
    """The moments and embedding of one sample, float32."""
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]).float() for name in ("mean", "std", "text")}


def measure(
    folder: Path,
    pictures: Sequence[bytes],
    *,
    num_images: int,
    num_threads: int,
    batch_size: int = 8,
    open_slow: Callable[[Store], Any] = lambda store: CountingStore(store, latency_s=0.05),
    rounds: int = 3,
) -> dict[str, float]:
    """Both ratios and the images/s behind them; the sides take turns, the best round of each counts.

    `open_slow` gives the store with latency that stands for the one given.
    """
    uri = make_data(folder, pictures, num_images)
    dataset = StoredDataset.open(uri)
    cache = make_cache(folder, dataset)
    slow = StoredDataset(open_slow(dataset.store), dataset.manifest)
    slow_cache = DatasetCache(cache.name, slow.store.child(f"caches/{cache.name}"), cache.manifest, with_text=True)
    warm = max(2, 64 // batch_size)
    results: dict[str, float] = {}
    sides: dict[str, Callable[[int], float]] = {
        "decoded_torch": lambda n: torch_loader(
            sorted((folder / "files").iterdir()),
            load_picture,
            batch_size=batch_size,
            num_workers=num_threads,
            num_steps=n,
            warm=warm,
        ),
        "decoded_ours": lambda n: ours(
            slow, None, batch_size=batch_size, num_threads=num_threads, num_steps=n, warm=warm
        ),
        "cached_torch": lambda n: torch_loader(
            sorted((folder / "latents").iterdir()),
            load_latents,
            batch_size=batch_size,
            num_workers=num_threads,
            num_steps=n,
            warm=warm,
        ),
        "cached_ours": lambda n: ours(
            slow, slow_cache, batch_size=batch_size, num_threads=num_threads, num_steps=n, warm=warm
        ),
    }
    for _ in range(rounds):
        for name, run in sides.items():
            num_steps = warm + num_images // batch_size * (4 if name.startswith("cached") else 1)
            results[name] = max(results.get(name, 0.0), run(num_steps))
    return {
        "loader_decoded_512": results["decoded_ours"] / results["decoded_torch"],
        "loader_cached": results["cached_ours"] / results["cached_torch"],
        **{f"{name}_images_per_s": value for name, value in results.items()},
    }


class _Files(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    def __init__(self, files: Sequence[Path], load: Callable[[Path], dict[str, torch.Tensor]]) -> None:
        self._files = files
        self._load = load

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self._load(self._files[index])


def _images_per_second(batches: Iterable[Any], count: Callable[[Any], int], warm: int) -> float:
    num_images, began = 0, 0.0
    for number, batch in enumerate(batches):
        if number == warm:
            began = time.perf_counter()
        elif number > warm:
            num_images += count(batch)
    return num_images / (time.perf_counter() - began)


def _write_cache_shard(store: Store, shard: ShardInfo, rows: list[dict[str, Any]]) -> ShardInfo:
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(rows)
    with pq.ParquetWriter(
        buffer, table.schema, compression="none", use_dictionary=False, write_page_checksum=True, write_statistics=False
    ) as writer:
        start = 0
        for num_rows in shard.row_groups:
            writer.write_table(table.slice(start, num_rows), row_group_size=num_rows)
            start += num_rows
    data = buffer.getvalue()
    store.write_bytes(shard.path, data)
    return shard.model_copy(update={"num_bytes": len(data), "sha256": sha256_bytes(data)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pictures", type=Path, help="a folder of JPEGs, by default drawn ones")
    parser.add_argument("--num-images", type=int, default=768)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pictures = read_pictures(args.pictures) if args.pictures else draw_pictures(64)
        results = measure(Path(folder), pictures, num_images=args.num_images, num_threads=args.threads)
    for name, value in results.items():
        print(f"{name:<32} {value:10.2f}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
