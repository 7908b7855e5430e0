"""Writing a checkpoint while training goes on, and reading one back into an engine."""

import math
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from momalisa.errors import IntegrityError, TrainingError
from momalisa.storage import Store, sha256_file
from momalisa.training.checkpoint import (
    MANIFEST_NAME,
    CheckpointManifest,
    RankFile,
    folder_name,
    prune,
)
from momalisa.training.config import CheckpointConfig
from momalisa.training.engine import TrainingEngine
from momalisa.training.world import World

_RECORD_TIMEOUT_S = 1800.0
_RECORD_GRACE_S = 20.0
_RECORD_POLL_S = 0.2


class CheckpointWriter:
    """Saves this rank's share of checkpoints, uploading in the background, one at a time."""

    def __init__(self, store: Store, config: CheckpointConfig, world: World, *, attempt: str) -> None:
        self._store = store
        self._config = config
        self._world = world
        self._attempt = attempt
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._in_flight: Future[None] | None = None
        self._stopped = threading.Event()

    def save(self, engine: TrainingEngine, state: dict[str, Any]) -> str:
        """Copies this rank's share to host memory and starts its upload; gives the folder's name.

        Collective. Waits for the checkpoint before it, whose failure it raises. `state` is the manifest
        but for what the writer knows itself.
        """
        self.wait()
        share = _share_of_state(engine, self._world)
        folder = folder_name(state["step"], self._attempt)
        self._in_flight = self._executor.submit(self._upload, folder, share, {**state, "kinds": engine.state_kinds})
        return folder

    def wait(self) -> None:
        """Until no upload is in flight here. Raises what the upload raised."""
        if self._in_flight is not None:
            in_flight, self._in_flight = self._in_flight, None
            in_flight.result()

    def close(self) -> None:
        """Waits for other ranks only a little longer; an unfinished checkpoint stays without its manifest."""
        self._stopped.set()
        self._executor.shutdown(wait=True)

    def _upload(self, folder: str, share: dict[str, Tensor], state: dict[str, Any]) -> None:
        name = f"rank-{self._world.rank:05d}"
        with tempfile.TemporaryDirectory(prefix="momalisa-checkpoint-") as scratch:
            path = Path(scratch) / f"{name}.safetensors"
            save_file(share, path)
            self._store.upload(path, f"{folder}/{path.name}")
            entry = self._store.stat(f"{folder}/{path.name}")
            record = RankFile(
                name=path.name, num_bytes=path.stat().st_size, sha256=sha256_file(path), checksum=entry.checksum
            )
        if entry.num_bytes != record.num_bytes:
            raise IntegrityError(f"{folder}/{record.name}: {entry.num_bytes} of {record.num_bytes} bytes arrived")
        self._store.write_bytes(f"{folder}/{name}.json", record.model_dump_json().encode())
        if self._world.is_main:
            self._commit(folder, state)

    def _commit(self, folder: str, state: dict[str, Any]) -> None:
        manifest = CheckpointManifest(
            folder=folder, world_size=self._world.size, files=tuple(self._records(folder)), **state
        )
        self._store.write_bytes(f"{folder}/{MANIFEST_NAME}", manifest.model_dump_json(indent=1).encode())
        prune(
            self._store,
            keep_last=self._config.keep_last,
            keep_best=self._config.keep_best,
            attempt=self._attempt,
        )

    def _records(self, folder: str) -> list[RankFile]:
        """Every rank's record, as they come in: a collective would have to stop the training."""
        deadline = time.monotonic() + _RECORD_TIMEOUT_S
        stop_deadline = math.inf
        missing = [f"{folder}/rank-{rank:05d}.json" for rank in range(self._world.size)]
        records: dict[str, RankFile] = {}
        while missing and time.monotonic() < stop_deadline:
            if self._stopped.is_set():
                # The others' shares may be seconds away: an orderly failure need not cost an interval.
                stop_deadline = min(stop_deadline, time.monotonic() + _RECORD_GRACE_S)
            present = {entry.key for entry in self._store.list(folder)}
            for key in [key for key in missing if key in present]:
                records[key] = RankFile.model_validate_json(self._store.read_bytes(key))
            missing = [key for key in missing if key not in records]
            if missing and time.monotonic() > deadline:
                raise TrainingError(f"checkpoint {folder}: no record of {', '.join(missing)}; did a worker die?")
            if missing:
                time.sleep(_RECORD_POLL_S)
        if missing:
            raise TrainingError(f"checkpoint {folder} was abandoned: the run stopped before all ranks had written")
        return [records[key] for key in sorted(records)]


def fetch_checkpoint(store: Store, manifest: CheckpointManifest, folder: Path) -> None:
    """Downloads a checkpoint's files into a folder and verifies their hashes.

    Raises IntegrityError naming the file whose bytes are not those that were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in manifest.files:
        target = folder / file.name
        store.download(f"{manifest.folder}/{file.name}", target)
        if sha256_file(target) != file.sha256:
            raise IntegrityError(f"checkpoint {manifest.folder} is damaged: {file.name} has another hash")


def load_into(engine: TrainingEngine, manifest: CheckpointManifest, folder: Path) -> None:
    """Sets an engine's weights, moments and average from fetched files. Collective.

    The engine's optimizer state must exist. A checkpoint without a moving average starts one from its
    weights.
    """
    files = sorted(folder.glob("*.safetensors"))
    for kind in engine.state_kinds:
        source = kind if kind in manifest.kinds else "master"
        engine.set_state(kind, _ordered(files, source, list(engine.parameters)))
    engine.sync_parameters()
    if manifest.loss_scale is not None:
        engine.set_loss_scale(manifest.loss_scale)


def _ordered(files: list[Path], kind: str, names: list[str]) -> Iterator[tuple[str, Tensor]]:
    """Tensors in the parameters' own order, on every rank the same, read one at a time."""
    opened: list[Any] = [safe_open(path, framework="pt") for path in files]
    where = {key: file for file in opened for key in file.keys()}  # noqa: SIM118
    for name in names:
        key = f"{kind}/{name}"
        if key not in where:
            raise IntegrityError(f"the checkpoint has no {key}: it is of another model, or LoRA against full")
        yield name, where[key].get_tensor(key)


def _share_of_state(engine: TrainingEngine, world: World) -> dict[str, Tensor]:
    """This rank's share of the whole state, in host memory; parameters go to ranks evenly by size."""
    owner = _owners({name: _numel(p) for name, p in engine.parameters.items()}, world.size)
    share: dict[str, Tensor] = {}
    for kind in engine.state_kinds:
        for name, tensor in engine.state_of(kind):
            if owner[name] == world.rank:
                share[f"{kind}/{name}"] = tensor.to("cpu", copy=True).contiguous()
    return share


def _numel(parameter: Any) -> int:
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def _owners(sizes: dict[str, int], num_ranks: int) -> dict[str, int]:
    """Largest first, each to the rank that has least so far."""
    loads = [0] * num_ranks
    owner = {}
    for name, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        rank = loads.index(min(loads))
        owner[name] = rank
        loads[rank] += size
    return owner
