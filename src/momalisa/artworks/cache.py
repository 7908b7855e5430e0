"""Caches of what frozen parts of a model make of a dataset: VAE moments, text embeddings.

A cache is a sidecar: it stands below the dataset, several can stand side by side, and the dataset does
not know of them. Each is of one VAE, one resolution and one crop.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pydantic

from momalisa.artworks.dataset import StoredDataset
from momalisa.artworks.manifest import MANIFEST_NAME, CacheManifest
from momalisa.errors import DatasetError, ObjectNotFoundError
from momalisa.storage import Store
from momalisa.training.config import DataConfig

CACHES = "caches"
EMPTY_TEXT = "empty_text.bin"


class DatasetCache:
    """One cache, complete."""

    def __init__(self, store: Store, name: str, manifest: CacheManifest, *, use_text: bool) -> None:
        self.store = store
        self.name = name
        self.manifest = manifest
        self.paths = {shard.path: shard.path for shard in manifest.shards}
        self._dtype = np.dtype(manifest.dtype).newbyteorder("<")
        self._empty = store.read_bytes(EMPTY_TEXT) if use_text and manifest.text_shape else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to read."""
        base = ("file_name", "text", "latent_mean", "latent_std", "latent_height", "latent_width")
        return (*base, "text_embedding") if self._empty is not None else base

    def moments(self, table: Any, row: int) -> tuple[Any, Any]:
        """Mean and standard deviation of a row's latents, each (C, h, w) float32, unscaled."""
        height, width = table["latent_height"][row].as_py(), table["latent_width"][row].as_py()
        shape = (self.manifest.latent_channels, height, width)
        return self._array(table["latent_mean"][row], shape), self._array(table["latent_std"][row], shape)

    def text_embedding(self, table: Any, row: int, dropped: bool) -> Any:
        """A row's embedding (tokens, width) float32, the empty caption's if dropped; None where there are none."""
        if self._empty is None:
            return None
        assert self.manifest.text_shape is not None
        if dropped:
            return np.frombuffer(self._empty, dtype=self._dtype).reshape(self.manifest.text_shape).astype(np.float32)
        return self._array(table["text_embedding"][row], self.manifest.text_shape)

    def _array(self, scalar: Any, shape: tuple[int, ...]) -> Any:
        return np.frombuffer(scalar.as_buffer(), dtype=self._dtype).reshape(shape).astype(np.float32)


def cache_name(manifest: CacheManifest) -> str:
    """`{vae}-{resolution}-{crop}`, and the text encoder where its embeddings are in it."""
    crop = f"{manifest.crop}-buckets" if manifest.aspect_buckets else manifest.crop
    text = f"-text-{manifest.text_encoder_sha256[:8]}" if manifest.text_encoder_sha256 else ""
    return f"vae-{manifest.vae_sha256[:8]}-{manifest.resolution}-{crop}{text}"


def find_cache(
    dataset: StoredDataset, *, fingerprints: dict[str, str], data_config: DataConfig, with_text: bool
) -> DatasetCache | None:
    """The cache that fits the model and the data, with text embeddings if there are and they are wanted."""
    if data_config.cache == "off" or data_config.crop == "random" or data_config.random_flip:
        return None
    fitting = [
        (name, manifest)
        for name, manifest in _caches(dataset)
        if not _differences(dataset, manifest, fingerprints, data_config, with_text)
    ]
    if not fitting:
        return None
    name, manifest = max(fitting, key=lambda found: (found[1].text_shape is not None) == with_text)
    return DatasetCache(dataset.store.child(f"{CACHES}/{name}"), name, manifest, use_text=with_text)


def require_cache(
    dataset: StoredDataset, *, fingerprints: dict[str, str], data_config: DataConfig, with_text: bool, model_uri: str
) -> DatasetCache:
    """As `find_cache`; raises DatasetError saying how those there differ, and how to make the right one."""
    cache = find_cache(dataset, fingerprints=fingerprints, data_config=data_config, with_text=with_text)
    if cache is not None:
        return cache
    reasons = [
        f"{name} is of {' and '.join(_differences(dataset, manifest, fingerprints, data_config, with_text))}"
        for name, manifest in _caches(dataset)
    ]
    buckets = " --aspect-buckets" if data_config.aspect_buckets else ""
    text = "" if with_text else " --no-text"
    raise DatasetError(
        f"no cache of {dataset.store.uri} fits this model and data ({'; '.join(reasons) or 'there is none'}): make it "
        f"with python jobs/prepare.py --output {dataset.store.uri} --cache {model_uri} "
        f"--resolution {data_config.resolution}{buckets}{text}, or --set data.cache=off"
    )


def _caches(dataset: StoredDataset) -> Iterator[tuple[str, CacheManifest]]:
    for entry in dataset.store.list(CACHES):
        parts = entry.key.split("/")
        if len(parts) != 3 or parts[2] != MANIFEST_NAME:
            continue
        try:
            yield parts[1], CacheManifest.model_validate_json(dataset.store.read_bytes(entry.key))
        except (pydantic.ValidationError, ObjectNotFoundError):
            continue  # of another version of momalisa, or just deleted: none of ours


def _differences(
    dataset: StoredDataset,
    manifest: CacheManifest,
    fingerprints: dict[str, str],
    data_config: DataConfig,
    with_text: bool,
) -> list[str]:
    differences = []
    if manifest.dataset_fingerprint != dataset.manifest.fingerprint:
        differences.append("another state of the dataset")
    if manifest.vae_sha256 != fingerprints["vae"]:
        differences.append("another VAE")
    if with_text and manifest.text_encoder_sha256 not in (None, fingerprints["text_encoder"]):
        differences.append("another text encoder")
    if manifest.resolution != data_config.resolution:
        differences.append(f"resolution {manifest.resolution}")
    if manifest.aspect_buckets != data_config.aspect_buckets:
        differences.append("aspect buckets" if manifest.aspect_buckets else "square crops")
    elif manifest.aspect_buckets and manifest.max_aspect_ratio != data_config.max_aspect_ratio:
        differences.append(f"max_aspect_ratio {manifest.max_aspect_ratio}")
    return differences
