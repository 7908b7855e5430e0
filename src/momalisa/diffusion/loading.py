"""Load a Stable Diffusion by hub id, local folder, fsspec URI, or the name `tiny`.

Only safetensors are read, never pickles, and no remote code is run. The hash of each part's weights
goes with everything that is made from them.
"""

import hashlib
import importlib.resources
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from momalisa.caches import cache_folder
from momalisa.errors import ModelError, ObjectNotFoundError
from momalisa.storage import open_store, sha256_bytes, sha256_file

Part = Literal["tokenizer", "text_encoder", "vae", "unet", "scheduler"]

ALL_PARTS: tuple[Part, ...] = ("tokenizer", "text_encoder", "vae", "unet", "scheduler")
WEIGHT_PARTS: tuple[Part, ...] = ("text_encoder", "vae", "unet")
_WANTED_SUFFIXES = (".safetensors", ".json", ".txt", ".model")
_WANTED_PATTERNS = ("model_index.json", *(f"{part}/*{suffix}" for part in ALL_PARTS for suffix in _WANTED_SUFFIXES))
"""Whole-model checkpoints at the top of a repository, which repeat the parts, weigh twelve gigabytes in one case."""
_UNWANTED_PATTERNS = ("*.fp16.*", "*.non_ema.*")
_ONE_AT_A_TIME = Lock()
"""transformers first makes models without memory, by a switch for all threads: two at once come out without weights."""


@dataclass(slots=True)
class Components:
    """The parts of a Stable Diffusion, in eval mode and without gradients; None where not asked for."""

    uri: str
    path: Path
    tokenizer: Any = None
    text_encoder: Any = None
    vae: Any = None
    unet: Any = None
    scheduler_config: dict[str, Any] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each part's safetensors, of all parts with weights."""

    @property
    def prediction_type(self) -> Literal["epsilon", "v_prediction"]:
        """What the UNet predicts, by the model's own scheduler config.

        Raises ModelError for a type that cannot be trained here.
        """
        kind = self.scheduler_config.get("prediction_type", "epsilon")
        if kind not in ("epsilon", "v_prediction"):
            raise ModelError(f"{self.uri}: prediction_type {kind!r} is not supported; use epsilon or v_prediction")
        return kind  # type: ignore[no-any-return]

    @property
    def vae_scale_factor(self) -> int:
        """Pixels of a latent's side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def default_size(self) -> int:
        """Pixels of the side that the UNet was made for."""
        return int(self.unet.config.sample_size) * self.vae_scale_factor

    @property
    def configuration_fingerprint(self) -> str:
        """SHA-256 of what pictures depend on beside the weights: the loaded parts' configs and the vocabulary."""
        content = {
            "scheduler": _own(self.scheduler_config),
            **{name: _own(dict(part.config)) for name, part in (("unet", self.unet), ("vae", self.vae))},
            "vocabulary": self.tokenizer.get_vocab(),
            "tokens": self.tokenizer.model_max_length,
        }
        return sha256_bytes(json.dumps(content, sort_keys=True, default=str).encode())

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Components":
        """Moves the loaded parts, in place."""
        for part in (self.text_encoder, self.vae, self.unet):
            if part is not None:
                # torch's own: diffusers' warns that the list of modules to be kept in fp32 is empty.
                torch.nn.Module.to(part, device=device, dtype=dtype)
        return self


def _own(config: dict[str, Any]) -> dict[str, Any]:
    """Without what tells where a config was read, and by which version."""
    return {key: value for key, value in config.items() if not key.startswith("_")}


def load_components(
    uri: str,
    *,
    revision: str | None = None,
    parts: Iterable[Part] = ALL_PARTS,
    dtype: torch.dtype = torch.float32,
) -> Components:
    """Loads parts of a model, all of one dtype, on the CPU.

    Raises ModelError where there is no such model, or a part of it is missing or not in safetensors.
    """
    path = resolve_model(uri, revision=revision)
    wanted = set(parts)
    transformers_logging.disable_progress_bar()  # of a second, for the text encoder alone
    components = Components(uri=uri, path=path, fingerprints=fingerprint_model(path, uri))
    if "scheduler" in wanted:
        components.scheduler_config = _read_scheduler_config(path, uri)
    try:
        with _ONE_AT_A_TIME:
            _load_parts(components, path, wanted, dtype)
    except (OSError, ValueError, KeyError) as e:
        raise ModelError(f"{uri} cannot be loaded: {e}") from e
    for module in (components.text_encoder, components.vae, components.unet):
        if module is not None:
            module.eval().requires_grad_(False)
    return components


def _load_parts(components: Components, path: Path, wanted: set[Part], dtype: torch.dtype) -> None:
    if "tokenizer" in wanted:
        components.tokenizer = CLIPTokenizer.from_pretrained(path, subfolder="tokenizer")
    if "text_encoder" in wanted:
        components.text_encoder = CLIPTextModel.from_pretrained(
            path, subfolder="text_encoder", use_safetensors=True, dtype=dtype
        )
    if "vae" in wanted:
        components.vae = AutoencoderKL.from_pretrained(path, subfolder="vae", use_safetensors=True, torch_dtype=dtype)
    if "unet" in wanted:
        components.unet = UNet2DConditionModel.from_pretrained(
            path, subfolder="unet", use_safetensors=True, torch_dtype=dtype
        )


def resolve_model(uri: str, *, revision: str | None = None) -> Path:
    """The local folder of a model, downloaded first where it is elsewhere.

    Raises ModelError where there is none, naming what was looked for.
    """
    if uri == "tiny":
        return _shipped("tiny")
    if "://" in uri:
        return _download(uri)
    local = Path(uri).expanduser()
    if local.is_dir():
        return _require_pipeline(local, uri)
    if uri.count("/") == 1 and not uri.startswith((".", "/", "~")):
        return _from_hub(uri, revision)
    raise ModelError(
        f"no model at {uri!r}: give a folder, a URI, a hub id such as CompVis/stable-diffusion-v1-4, or tiny"
    )


def fingerprint_model(path: Path, uri: str) -> dict[str, str]:
    """SHA-256 of each part's safetensors; raises ModelError where a part has none."""
    return {part: _fingerprint_part(path / part, uri) for part in WEIGHT_PARTS}


def _fingerprint_part(folder: Path, uri: str) -> str:
    files = sorted(f for f in folder.glob("*.safetensors") if _is_wanted(f"{folder.name}/{f.name}"))
    if not files:
        raise ModelError(
            f"{uri} has no safetensors in {folder.name}/: only safetensors are read; "
            "convert it with diffusers' save_pretrained(safe_serialization=True)"
        )
    if len(files) == 1:
        return sha256_file(files[0])
    return hashlib.sha256("\n".join(sha256_file(f) for f in files).encode()).hexdigest()


def _read_scheduler_config(path: Path, uri: str) -> dict[str, Any]:
    try:
        return dict(DDPMScheduler.load_config(path, subfolder="scheduler"))
    except OSError as e:
        raise ModelError(f"{uri} has no scheduler/scheduler_config.json") from e


def _shipped(name: str) -> Path:
    path = Path(str(importlib.resources.files("momalisa.models"))) / name
    if not (path / "model_index.json").is_file():
        raise ModelError(f"the model {name!r} is missing from this installation of momalisa: install it again")
    return path


def _require_pipeline(path: Path, uri: str) -> Path:
    if not (path / "model_index.json").is_file():
        raise ModelError(f"{uri} is no diffusers folder: it has no model_index.json")
    return path


def _download(uri: str) -> Path:
    """Copies a model from a URI into the cache, under a name that its files' checksums decide."""
    store = open_store(uri)
    entries = [e for e in store.list() if _is_wanted(e.key)]
    if not any(e.key == "model_index.json" for e in entries):
        raise ModelError(f"no model at {uri}: there is no model_index.json below it")
    listing = "\n".join(f"{e.key} {e.num_bytes} {e.checksum}" for e in entries)
    folder = cache_folder("models") / sha256_bytes(f"{uri}\n{listing}".encode())[:24]
    for entry in entries:
        target = folder / entry.key
        if target.is_file() and target.stat().st_size == entry.num_bytes:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
        try:
            store.download(entry.key, partial)
        except ObjectNotFoundError as e:
            raise ModelError(f"{uri} changed while it was downloaded: try again") from e
        partial.replace(target)
    return folder


def _is_wanted(key: str) -> bool:
    def matches(patterns: Iterable[str]) -> bool:
        return any(fnmatchcase(key, pattern) for pattern in patterns)

    return matches(_WANTED_PATTERNS) and not matches(_UNWANTED_PATTERNS)


def _from_hub(hub_id: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            hub_id,
            revision=revision,
            allow_patterns=list(_WANTED_PATTERNS),
            ignore_patterns=list(_UNWANTED_PATTERNS),
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as e:
        reason = str(e).splitlines()[0]
        raise ModelError(
            f"{hub_id} cannot be had from the hub ({reason}): check the id, the network and, for a gated "
            "model, HF_TOKEN; or give a local folder or a gs:// URI of a copy"
        ) from e
    return _require_pipeline(Path(folder), hub_id)
