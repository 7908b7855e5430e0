"""Caches of VAE moments and text embeddings: finding the one that fits a training run.

A cache spares every step the VAE's encoder and, where it stays frozen, the text encoder. It stands below
its dataset, and several can stand side by side. `cache_writer` makes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from momalisa.artworks.dataset import RowGroup, StoredDataset, list_row_groups
from momalisa.artworks.manifest import MANIFEST_NAME, CacheManifest, Split
from momalisa.errors import DatasetError, IntegrityError, ObjectNotFoundError
from momalisa.storage import Store, sha256_bytes
from momalisa.training.config import DataConfig

CACHES_FOLDER = "caches"
EMPTY_TEXT_NAME = "empty_text.bin"
_DEFAULT_MAX_ASPECT_RATIO = 2.0

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class DatasetCache:
    """A cache that fits the dataset and the model."""

    name: str
    store: Store
    manifest: CacheManifest
    with_text: bool
    """Whether its text embeddings are to be used."""

    def row_groups(self, split: Split, max_rows: int | None = None) -> tuple[RowGroup, ...]:
        """As the dataset's, in the cache's own shards."""
        return list_row_groups(tuple(s for s in self.manifest.shards if s.split == split), max_rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """What training reads of it."""
        text = ("text_embedding",) if self.with_text else ()
        return ("hash", "file_name", "text", "latent_mean", "latent_std", "latent_height", "latent_width", *text)

    def empty_text(self) -> Array:
        """The empty caption's embedding, (tokens, width). Raises IntegrityError where it is damaged."""
        assert self.manifest.text_shape is not None
        data = self.store.read_bytes(EMPTY_TEXT_NAME)
        if sha256_bytes(data) != self.manifest.empty_text_sha256:
            raise IntegrityError(f"{self.store.uri_of(EMPTY_TEXT_NAME)} is damaged: write the cache again")
        return np.frombuffer(data, dtype=self.manifest.dtype).reshape(self.manifest.text_shape)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a cache must be."""

    name: str
    dataset: StoredDataset
    fingerprints: Mapping[str, str]
    data_config: DataConfig
    with_text: bool


def find_cache(
    dataset: StoredDataset, *, fingerprints: Mapping[str, str], data_config: DataConfig, with_text: bool
) -> DatasetCache | None:
    """The dataset's cache for a model (by its parts' fingerprints) and config, or None.

    None as well where the config wants none, or crops or flips at random.
    """
    if data_config.cache == "off" or data_config.crop == "random" or data_config.random_flip:
        return None
    wanted = _wanted(dataset, fingerprints, data_config, with_text)
    manifest = read_cache_manifest(_store_of(dataset, wanted.name))
    if manifest is None or _differences(manifest, wanted):
        return None
    return DatasetCache(wanted.name, _store_of(dataset, wanted.name), manifest, with_text)


def require_cache(
    dataset: StoredDataset,
    *,
    fingerprints: Mapping[str, str],
    data_config: DataConfig,
    with_text: bool,
    model_uri: str,
) -> DatasetCache:
    """As `find_cache`, but raises DatasetError, saying what is wrong with the caches there are and how to make one."""
    cache = find_cache(dataset, fingerprints=fingerprints, data_config=data_config, with_text=with_text)
    if cache is None:
        why = explain_no_cache(
            dataset, fingerprints=fingerprints, data_config=data_config, with_text=with_text, model_uri=model_uri
        )
        raise DatasetError(f"{why}, or set data.cache=off")
    return cache


def explain_no_cache(
    dataset: StoredDataset,
    *,
    fingerprints: Mapping[str, str],
    data_config: DataConfig,
    with_text: bool,
    model_uri: str,
) -> str:
    """What is wrong with the caches there are, and the command that makes the one that is missing."""
    wanted = _wanted(dataset, fingerprints, data_config, with_text)
    reasons = []
    for name in _names(dataset):
        manifest = read_cache_manifest(_store_of(dataset, name))
        differences = ["it is not complete"] if manifest is None else _differences(manifest, wanted)
        reasons.append(f"{CACHES_FOLDER}/{name}: {'; '.join(differences)}")
    found = f"those there are do not fit ({' | '.join(reasons)})" if reasons else "there is none"
    command = (
        f"python jobs/prepare.py --output {dataset.uri} --cache {model_uri} --resolution {data_config.resolution}"
        f"{' --aspect-buckets' if data_config.aspect_buckets else ''}"
    )
    return f"no cache of {dataset.uri} for {model_uri}: {found}; make it with {command}"


def read_cache_manifest(store: Store) -> CacheManifest | None:
    """None where the cache is missing, was not finished, or is of another schema version."""
    try:
        return CacheManifest.model_validate_json(store.read_bytes(MANIFEST_NAME))
    except (ObjectNotFoundError, ValidationError):
        return None


def cache_name(vae_sha256: str, resolution: int, *, aspect_buckets: bool, max_aspect_ratio: float) -> str:
    """The folder's name below `caches/`."""
    crop = "center"
    if aspect_buckets:
        crop = "center-buckets"
        if max_aspect_ratio != _DEFAULT_MAX_ASPECT_RATIO:
            crop += f"-{max_aspect_ratio:g}"
    return f"vae-{vae_sha256[:8]}-{resolution}-{crop}"


def _wanted(
    dataset: StoredDataset, fingerprints: Mapping[str, str], data_config: DataConfig, with_text: bool
) -> _Wanted:
    name = cache_name(
        fingerprints["vae"],
        data_config.resolution,
        aspect_buckets=data_config.aspect_buckets,
        max_aspect_ratio=data_config.max_aspect_ratio,
    )
    return _Wanted(name, dataset, fingerprints, data_config, with_text)


def _differences(manifest: CacheManifest, wanted: _Wanted) -> list[str]:
    """In which ways a cache does not fit, in words."""
    config = wanted.data_config
    found: list[str] = []
    if manifest.dataset_fingerprint != wanted.dataset.manifest.fingerprint:
        found.append("it was made of other pictures than the dataset now has")
    if manifest.vae_sha256 != wanted.fingerprints["vae"]:
        found.append(f"it was made by another VAE ({manifest.model}, {manifest.vae_sha256[:8]})")
    if manifest.resolution != config.resolution:
        found.append(f"its resolution is {manifest.resolution}, not {config.resolution}")
    if manifest.aspect_buckets != config.aspect_buckets:
        found.append("it has aspect buckets" if manifest.aspect_buckets else "it has no aspect buckets")
    elif manifest.aspect_buckets and manifest.max_aspect_ratio != config.max_aspect_ratio:
        found.append(f"its largest aspect ratio is {manifest.max_aspect_ratio}, not {config.max_aspect_ratio}")
    if wanted.with_text and manifest.text_encoder_sha256 is None:
        found.append("it has no text embeddings")
    elif wanted.with_text and manifest.text_encoder_sha256 != wanted.fingerprints["text_encoder"]:
        found.append(f"its text embeddings are of another text encoder ({manifest.model})")
    if not found and not _mirrors(manifest, wanted.dataset):
        found.append("its shards are not the dataset's")
    return found


def _mirrors(manifest: CacheManifest, dataset: StoredDataset) -> bool:
    ours = [(s.path, s.split, s.row_groups) for s in manifest.shards]
    return ours == [(s.path, s.split, s.row_groups) for s in dataset.manifest.shards]


def _names(dataset: StoredDataset) -> list[str]:
    return sorted({entry.key.split("/")[1] for entry in dataset.store.list(CACHES_FOLDER)})


def _store_of(dataset: StoredDataset, name: str) -> Store:
    return dataset.store.child(f"{CACHES_FOLDER}/{name}")
