"""Write a cache: one row group at a time, shard by shard, the manifest last; a shard that is whole stays."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import momalisa
from momalisa.artworks.cache import CACHES, EMPTY_TEXT, cache_name
from momalisa.artworks.dataset import RowGroup, StoredDataset
from momalisa.artworks.manifest import MANIFEST_NAME, CacheManifest, ShardInfo
from momalisa.diffusion.encode import encode_images, encode_prompts
from momalisa.diffusion.loading import Components, load_components
from momalisa.storage import Store, sha256_file
from momalisa.terminal import counted
from momalisa.training.config import DataConfig
from momalisa.training.loader import resolve_buckets
from momalisa.training.stream import RowGroupReader
from momalisa.training.transforms import decode_to

_COLUMNS = ("image", "text", "file_name", "hash")


def write_cache(
    dataset_uri: str,
    model_uri: str,
    *,
    resolution: int,
    aspect_buckets: bool = False,
    with_text: bool = True,
    batch_size: int = 8,
    dtype: str = "float16",
    device: str | None = None,
) -> str:
    """Encodes a dataset with a model's VAE (and text encoder); gives the cache's name.

    Raises DatasetError or ModelError where either cannot be had.
    """
    dataset = StoredDataset.open(dataset_uri)
    components = load_components(model_uri, parts=("tokenizer", "text_encoder", "vae"))
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    components.to(target)
    manifest = _manifest(dataset, components, resolution, aspect_buckets, with_text, dtype)
    name = cache_name(manifest)
    store = dataset.store.child(f"{CACHES}/{name}")
    store.delete(MANIFEST_NAME)
    if with_text:
        store.write_bytes(EMPTY_TEXT, _raw(encode_prompts(components, [""])[0], dtype))
    encoder = _Encoder(dataset, components, manifest, batch_size)
    with counted(f"caching {name}", dataset.manifest.num_rows) as advance:
        shards = tuple(encoder.write_shard(store, shard, advance) for shard in dataset.manifest.shards)
    store.write_bytes(MANIFEST_NAME, manifest.model_copy(update={"shards": shards}).model_dump_json(indent=1).encode())
    return name


class _Encoder:
    def __init__(self, dataset: StoredDataset, components: Components, manifest: CacheManifest, batch: int) -> None:
        self._dataset = dataset
        self._components = components
        self._manifest = manifest
        self._batch = batch
        self._reader = RowGroupReader(dataset.store, _COLUMNS)
        self._config = DataConfig(
            resolution=manifest.resolution,
            aspect_buckets=manifest.aspect_buckets,
            max_aspect_ratio=manifest.max_aspect_ratio,
        )
        self._buckets = {
            split: resolve_buckets(dataset, self._config, components.vae_scale_factor, split)
            for split in ("train", "validation")
        }

    def write_shard(self, store: Store, shard: ShardInfo, advance: Any) -> ShardInfo:
        """The cache's file of one shard; kept where its record says that it is whole and of this content."""
        record = f"{shard.path}.json"
        identity = self._manifest.model_dump(exclude={"shards"}) | {"source": shard.sha256}
        if store.exists(record) and store.exists(shard.path):
            known = json.loads(store.read_bytes(record))
            if known["identity"] == json.loads(json.dumps(identity)):
                advance(shard.num_rows)
                return ShardInfo.model_validate(known["info"])
        groups = [g for g in self._dataset.row_groups(shard.split) if g.shard.path == shard.path]
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "cache.parquet"
            writer = None
            for group in groups:
                table = self._encode(group)
                writer = writer or pq.ParquetWriter(path, table.schema, compression="none")
                writer.write_table(table)
                advance(group.num_rows)
            if writer is not None:
                writer.close()
            store.upload(path, shard.path)
            info = shard.model_copy(update={"num_bytes": path.stat().st_size, "sha256": sha256_file(path)})
        store.write_bytes(record, json.dumps({"identity": identity, "info": info.model_dump()}).encode())
        return info

    def _encode(self, group: RowGroup) -> pa.Table:
        table = self._reader.read(group)
        rows: list[dict[str, Any]] = [{} for _ in range(group.num_rows)]
        for size, chosen in self._by_size(group):
            for start in range(0, len(chosen), self._batch):
                self._encode_pictures(table, chosen[start : start + self._batch], size, rows)
        if self._manifest.text_shape is not None:
            captions = table["text"].to_pylist()
            for start in range(0, len(captions), self._batch):
                for offset, embedding in enumerate(
                    encode_prompts(self._components, captions[start : start + self._batch])
                ):
                    rows[start + offset]["text_embedding"] = _raw(embedding, self._manifest.dtype)
        for name in ("file_name", "text", "hash"):
            for row, value in zip(rows, table[name].to_pylist(), strict=True):
                row[name] = value
        return pa.Table.from_pylist(rows)

    def _encode_pictures(self, table: pa.Table, chosen: Sequence[int], size: Any, rows: list[dict[str, Any]]) -> None:
        pictures = np.stack([decode_to(table["image"][r]["bytes"].as_py(), size) for r in chosen])
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
        mean, std = encode_images(self._components.vae, pixels)
        for place, row in enumerate(chosen):
            rows[row] |= {
                "latent_mean": _raw(mean[place], self._manifest.dtype),
                "latent_std": _raw(std[place], self._manifest.dtype),
                "latent_height": mean.shape[2],
                "latent_width": mean.shape[3],
            }

    def _by_size(self, group: RowGroup) -> Iterator[tuple[Any, list[int]]]:
        sizes, buckets = self._buckets[group.shard.split]
        if buckets is None:
            yield sizes[0], list(range(group.num_rows))
            return
        own = buckets[group.first : group.first + group.num_rows]
        for bucket in sorted(set(own.tolist())):
            yield sizes[bucket], np.flatnonzero(own == bucket).tolist()


def _manifest(
    dataset: StoredDataset, components: Components, resolution: int, aspect_buckets: bool, with_text: bool, dtype: str
) -> CacheManifest:
    config = DataConfig(resolution=resolution, aspect_buckets=aspect_buckets)
    text = components.text_encoder.config
    return CacheManifest(
        dataset_fingerprint=dataset.manifest.fingerprint,
        model=components.uri,
        vae_sha256=components.fingerprints["vae"],
        text_encoder_sha256=components.fingerprints["text_encoder"] if with_text else None,
        resolution=resolution,
        crop="center",
        aspect_buckets=aspect_buckets,
        max_aspect_ratio=config.max_aspect_ratio,
        latent_channels=components.vae.config.latent_channels,
        scaling_factor=components.vae.config.scaling_factor,
        text_shape=(components.tokenizer.model_max_length, text.hidden_size) if with_text else None,
        dtype="float16" if dtype == "float16" else "float32",
        shards=(),
        momalisa_version=momalisa.__version__,
    )


def _raw(tensor: torch.Tensor, dtype: str) -> bytes:
    return tensor.float().cpu().numpy().astype(np.dtype(dtype).newbyteorder("<")).tobytes()
