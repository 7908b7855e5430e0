"""Writes a cache of VAE moments and text embeddings below a dataset, row group by row group."""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import momalisa
from momalisa.artworks.buckets import Size, assign_buckets, make_buckets
from momalisa.artworks.cache import CACHES_FOLDER, EMPTY_TEXT_NAME, DatasetCache, cache_name, read_cache_manifest
from momalisa.artworks.dataset import StoredDataset
from momalisa.artworks.decoding import decode_picture
from momalisa.artworks.manifest import MANIFEST_NAME, CacheManifest, ShardInfo
from momalisa.artworks.reading import ShardReader
from momalisa.diffusion.encode import encode_images, encode_prompts
from momalisa.diffusion.loading import Components, Part, load_components
from momalisa.errors import DatasetError, ObjectNotFoundError
from momalisa.storage import Store, sha256_bytes, sha256_file

_PROGRESS_FOLDER = "progress"
_COLUMNS = ("image.bytes", "text", "file_name", "width", "height", "hash")
_NUM_DECODE_THREADS = 8

Dtype = Literal["float16", "float32"]


@dataclass(frozen=True, slots=True)
class CacheProgress:
    """How far the writing of a cache is."""

    num_done: int
    num_rows: int
    seconds: float
    eta_s: float | None
    """None before anything was encoded."""


def print_progress(done: CacheProgress) -> None:
    """On a terminal a line that counts, elsewhere one line at the end."""
    eta = "" if done.eta_s is None else f", ETA {done.eta_s:.0f} s"
    last = done.num_done == done.num_rows
    if sys.stderr.isatty():
        end = "\n" if last else ""
        sys.stderr.write(f"\rcaching: {done.num_done}/{done.num_rows}{eta}   {end}")
    elif last:
        sys.stderr.write(f"cached {done.num_done} pictures in {done.seconds:.0f} s\n")


def write_cache(
    dataset_uri: str,
    model_uri: str,
    *,
    resolution: int,
    aspect_buckets: bool = False,
    max_aspect_ratio: float = 2.0,
    text: bool = True,
    batch_size: int = 8,
    revision: str | None = None,
    device: str | None = None,
    dtype: Dtype = "float16",
    progress: Callable[[CacheProgress], None] | None = None,
) -> DatasetCache:
    """Encodes both splits of a dataset with a model's VAE and, with `text`, its text encoder.

    Takes up an interrupted attempt at the shard where it ended; a cache that is complete and intact is
    left as it is. Raises DatasetError, ModelError, StorageError.
    """
    parts: tuple[Part, ...] = ("tokenizer", "text_encoder", "vae") if text else ("vae",)
    dataset = StoredDataset.open(dataset_uri)
    components = load_components(model_uri, revision=revision, parts=parts)
    components.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if resolution % components.vae_scale_factor:
        raise DatasetError(
            f"resolution {resolution} is no multiple of {components.vae_scale_factor}, the pixels of a latent's side"
        )
    manifest = CacheManifest(
        dataset_fingerprint=dataset.manifest.fingerprint,
        model=model_uri,
        vae_sha256=components.fingerprints["vae"],
        text_encoder_sha256=components.fingerprints["text_encoder"] if text else None,
        resolution=resolution,
        crop="center",
        aspect_buckets=aspect_buckets,
        max_aspect_ratio=max_aspect_ratio if aspect_buckets else None,
        latent_channels=components.vae.config.latent_channels,
        scaling_factor=components.vae.config.scaling_factor,
        text_shape=None,
        dtype=dtype,
        shards=(),
        momalisa_version=momalisa.__version__,
    )
    return _CacheWriter(dataset, components, manifest, batch_size, progress).write()


class _CacheWriter:
    def __init__(
        self,
        dataset: StoredDataset,
        components: Components,
        manifest: CacheManifest,
        batch_size: int,
        progress: Callable[[CacheProgress], None] | None,
    ) -> None:
        self._dataset = dataset
        self._components = components
        self._draft = manifest
        self._batch_size = batch_size
        self._progress = progress
        self._sizes = _sizes(manifest, components.vae_scale_factor)
        self._name = cache_name(
            manifest.vae_sha256,
            manifest.resolution,
            aspect_buckets=manifest.aspect_buckets,
            max_aspect_ratio=manifest.max_aspect_ratio or 0.0,
        )
        self._store = dataset.store.child(f"{CACHES_FOLDER}/{self._name}")
        self._began = time.monotonic()
        self._num_kept = self._num_encoded = 0

    def write(self) -> DatasetCache:
        shards = self._dataset.manifest.shards
        with_text = self._draft.text_encoder_sha256 is not None
        finished = read_cache_manifest(self._store)
        known = {} if finished is None else self._shards_of(finished)
        kept = {shard.path: self._kept(shard, known.get(shard.path)) for shard in shards}
        if finished is not None and known and all(kept.values()):
            return DatasetCache(self._name, self._store, finished, with_text)
        # Without its manifest the cache is none, as long as old and new shards stand side by side.
        self._store.delete(MANIFEST_NAME)
        written = tuple(kept[shard.path] or self._write_shard(shard) for shard in shards)
        changes: dict[str, Any] = {"shards": written}
        if with_text:
            empty = _to_array(encode_prompts(self._components, [""]), self._draft.dtype, "the empty caption")[0]
            self._store.write_bytes(EMPTY_TEXT_NAME, empty.tobytes())
            changes |= {"text_shape": empty.shape, "empty_text_sha256": sha256_bytes(empty.tobytes())}
        manifest = self._draft.model_copy(update=changes)
        self._store.write_bytes(MANIFEST_NAME, manifest.model_dump_json(indent=1).encode())
        self._store.delete_tree(_PROGRESS_FOLDER)
        return DatasetCache(self._name, self._store, manifest, with_text)

    def _shards_of(self, finished: CacheManifest) -> dict[str, ShardInfo]:
        """What a finished cache holds, where it is of the same kind as the one to be written."""
        changing = {"shards", "text_shape", "empty_text_sha256", "momalisa_version", "model"}
        same = finished.model_dump(exclude=changing) == self._draft.model_dump(exclude=changing)
        return {shard.path: shard for shard in finished.shards} if same else {}

    def _kept(self, shard: ShardInfo, known: ShardInfo | None) -> ShardInfo | None:
        """An earlier attempt's shard, if it is intact."""
        info = known or self._recorded(shard)
        if info is None or not _is_intact(self._store, info):
            return None
        self._num_kept += info.num_rows
        self._tell()
        return info

    def _recorded(self, shard: ShardInfo) -> ShardInfo | None:
        try:
            record = json.loads(self._store.read_bytes(_record_key(shard)))
        except ObjectNotFoundError:
            return None
        return ShardInfo.model_validate(record["shard"]) if record["identity"] == self._identity(shard) else None

    def _identity(self, shard: ShardInfo) -> str:
        """What a shard of the cache is a function of."""
        content = self._draft.model_dump_json(exclude={"momalisa_version", "model", "dataset_fingerprint"})
        return sha256_bytes(f"{content}\n{shard.sha256}".encode())

    def _write_shard(self, shard: ShardInfo) -> ShardInfo:
        with tempfile.TemporaryDirectory(prefix="momalisa-cache-") as folder:
            path = Path(folder) / "shard.parquet"
            self._encode_shard(shard, path)
            info = shard.model_copy(update={"num_bytes": path.stat().st_size, "sha256": sha256_file(path)})
            self._store.upload(path, shard.path)
        record = {"identity": self._identity(shard), "shard": info.model_dump(mode="json")}
        self._store.write_bytes(_record_key(shard), json.dumps(record).encode())
        return info

    def _encode_shard(self, shard: ShardInfo, path: Path) -> None:
        reader = ShardReader(self._dataset.store)
        schema = _schema(with_text=self._draft.text_encoder_sha256 is not None)
        with (
            pq.ParquetWriter(
                path, schema, compression="none", use_dictionary=False, write_page_checksum=True, write_statistics=False
            ) as writer,
            ThreadPoolExecutor(_NUM_DECODE_THREADS, thread_name_prefix="momalisa-decode") as decode_pool,
            ThreadPoolExecutor(1, thread_name_prefix="momalisa-fetch") as fetch_pool,
        ):
            upcoming = [fetch_pool.submit(reader.read, shard, 0, _COLUMNS)] if shard.row_groups else []
            for number in range(len(shard.row_groups)):
                table = upcoming.pop().result()
                if number + 1 < len(shard.row_groups):
                    upcoming.append(fetch_pool.submit(reader.read, shard, number + 1, _COLUMNS))
                columns = self._encode_row_group(table, decode_pool)
                writer.write_table(pa.table(columns, schema=schema), row_group_size=max(1, table.num_rows))
                self._num_encoded += table.num_rows
                self._tell()

    def _encode_row_group(self, table: pa.Table, pool: ThreadPoolExecutor) -> dict[str, Any]:
        columns: dict[str, Any] = {name: table.column(name) for name in ("hash", "file_name", "text")}
        columns |= self._encode_pictures(table, pool)
        if self._draft.text_encoder_sha256 is not None:
            captions = table.column("text").to_pylist()
            embeddings: list[bytes] = []
            for start in range(0, len(captions), self._batch_size):
                batch = captions[start : start + self._batch_size]
                encoded = _to_array(encode_prompts(self._components, batch), self._draft.dtype, f"caption {batch[0]!r}")
                embeddings += [one.tobytes() for one in encoded]
            columns["text_embedding"] = embeddings
        return columns

    def _encode_pictures(self, table: pa.Table, pool: ThreadPoolExecutor) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {
            name: [None] * table.num_rows for name in ("latent_mean", "latent_std", "latent_height", "latent_width")
        }
        chunks = self._chunks(table)

        def decode(size: Size, rows: Sequence[int]) -> Any:
            return pool.map(lambda row: _decode_row(table, row, size), rows)

        ahead = [decode(*chunk) for chunk in chunks[:1]]
        for number, (_, rows) in enumerate(chunks):
            pictures = np.stack(list(ahead.pop()))
            # The next pictures are decoded while these are encoded.
            ahead += [decode(*chunk) for chunk in chunks[number + 1 : number + 2]]
            pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
            mean, std = encode_images(self._components.vae, pixels)
            name = table.column("file_name")[rows[0]].as_py()
            moments = (_to_array(moment, self._draft.dtype, name) for moment in (mean, std))
            for row, own_mean, own_std in zip(rows, *moments, strict=True):
                columns["latent_mean"][row], columns["latent_std"][row] = own_mean.tobytes(), own_std.tobytes()
                columns["latent_height"][row], columns["latent_width"][row] = own_mean.shape[1:]
        return columns

    def _chunks(self, table: pa.Table) -> list[tuple[Size, list[int]]]:
        """Rows that are encoded together: of one size, at most `batch_size`."""
        widths, heights = (table.column(name).to_numpy().astype(np.int64) for name in ("width", "height"))
        buckets = assign_buckets(widths, heights, self._sizes)
        chunks: list[tuple[Size, list[int]]] = []
        for bucket, size in enumerate(self._sizes):
            rows = np.flatnonzero(buckets == bucket).tolist()
            chunks += [(size, rows[i : i + self._batch_size]) for i in range(0, len(rows), self._batch_size)]
        return chunks

    def _tell(self) -> None:
        if self._progress is None:
            return
        seconds = time.monotonic() - self._began
        num_done, num_rows = self._num_kept + self._num_encoded, self._dataset.manifest.num_rows
        eta_s = seconds / self._num_encoded * (num_rows - num_done) if self._num_encoded else None
        self._progress(CacheProgress(num_done, num_rows, seconds, eta_s))


def _sizes(manifest: CacheManifest, vae_scale_factor: int) -> tuple[Size, ...]:
    if manifest.max_aspect_ratio is None:
        return ((manifest.resolution, manifest.resolution),)
    return make_buckets(
        manifest.resolution, vae_scale_factor=vae_scale_factor, max_aspect_ratio=manifest.max_aspect_ratio
    )


def _decode_row(table: pa.Table, row: int, size: Size) -> Any:
    name = f"{table.column('file_name')[row].as_py()} ({table.column('hash')[row].as_py()[:12]})"
    return decode_picture(table.column("image")[row]["bytes"].as_py(), size, name=name)


def _to_array(tensor: torch.Tensor, dtype: Dtype, name: str) -> Any:
    with np.errstate(over="ignore"):
        array = tensor.float().cpu().numpy().astype(f"<f{np.dtype(dtype).itemsize}")
    if not np.isfinite(array).all():
        raise DatasetError(f"what the model makes of {name} and its neighbours does not fit {dtype}: use float32")
    return array


def _schema(*, with_text: bool) -> pa.Schema:
    fields = [
        ("hash", pa.string()),
        ("file_name", pa.string()),
        ("text", pa.string()),
        ("latent_mean", pa.binary()),
        ("latent_std", pa.binary()),
        ("latent_height", pa.int32()),
        ("latent_width", pa.int32()),
    ]
    return pa.schema(fields + ([("text_embedding", pa.binary())] if with_text else []))


def _is_intact(store: Store, info: ShardInfo) -> bool:
    try:
        if store.stat(info.path).num_bytes != info.num_bytes:
            return False
        with tempfile.TemporaryDirectory(prefix="momalisa-cache-") as folder:
            path = Path(folder) / "shard.parquet"
            store.download(info.path, path)
            return sha256_file(path) == info.sha256
    except ObjectNotFoundError:
        return False


def _record_key(shard: ShardInfo) -> str:
    return f"{_PROGRESS_FOLDER}/{shard.path}.json"
