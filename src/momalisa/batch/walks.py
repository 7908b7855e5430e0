"""A file of walk requests to animations and reports, spread over a Ray cluster; every request is accounted for.

For each request there is a folder `{id}/` with the animation, `report.json` and `report.png`; `done.json` comes last,
so a request that has one is not made again. Frames are shared by all requests, in `frames/`; `results.jsonl` lists
what became of each.
"""

import io
import json
import logging
import re
import tempfile
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import ray

from momalisa.config import from_dict
from momalisa.errors import ConfigError, InputError, MomalisaError, ObjectNotFoundError, WalkError
from momalisa.ray_session import ray_session
from momalisa.storage import Store, open_store
from momalisa.storage.backend import run_parallel
from momalisa.terminal import counted
from momalisa.walk.animation import Format, write_animation
from momalisa.walk.provenance import read_provenance
from momalisa.walk.request import WalkRequest

DONE_NAME = "done.json"
RESULTS_NAME = "results.jsonl"

_LOGGER = logging.getLogger(__name__)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED = ("frames", RESULTS_NAME)
_MAX_NAMED = 5
_MAX_ATTEMPTS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A request of a batch; its model is the batch's."""

    id: str
    request: WalkRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchConfig:
    """How a batch is made."""

    model: str
    output_uri: str
    format: Format = "gif"
    enlarge: int = 1
    num_workers: int | None = None
    """None: as many as the cluster has room for, and no more than requests."""
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0

    def __post_init__(self) -> None:
        if self.enlarge < 1 or (self.num_workers is not None and self.num_workers < 1):
            raise ConfigError(f"enlarge {self.enlarge} and num_workers {self.num_workers} must be 1 or more")
        if self.cpus_per_worker <= 0 or self.gpus_per_worker < 0:
            raise ConfigError(f"{self.cpus_per_worker:g} CPUs and {self.gpus_per_worker:g} GPUs a worker cannot be")


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What became of a request: `ended` is done, there or failed."""

    id: str
    ended: str
    error: str | None = None


def read_jobs(uri: str, model: str) -> list[Job]:
    """The requests of a JSONL or Parquet file: one row each, with `prompts` or `waypoints` and any setting of a walk.

    Raises InputError that names the rows that cannot be, all of them, before anything is made.
    """
    folder, _, name = uri.rpartition("/")
    try:
        data = open_store(folder or ".").read_bytes(name)
    except ObjectNotFoundError as e:
        raise InputError(f"there are no requests at {uri}") from e
    jobs, problems = [], []
    for number, row in enumerate(_rows(data, name), start=1):
        try:
            jobs.append(job_of(row, number, model))
        except ConfigError as e:
            problems.append(f"row {number}: {e}")
    doubled = [name for name, count in Counter(job.id for job in jobs).items() if count > 1]
    problems += [f"the id {name!r} is there twice" for name in doubled]
    if problems:
        more = f" (and {len(problems) - _MAX_NAMED} more)" if len(problems) > _MAX_NAMED else ""
        raise InputError(f"{uri}: {'; '.join(problems[:_MAX_NAMED])}{more}")
    if not jobs:
        raise InputError(f"{uri} holds no request")
    return jobs


def job_of(row: Mapping[str, Any], number: int, model: str) -> Job:
    """A row as a job; its id is the row's number where it has none. Raises ConfigError for one that cannot be."""
    settings: dict[str, Any] = _without_nulls(row)
    job_id = str(settings.pop("id", f"walk-{number:05d}"))
    if not _ID.fullmatch(job_id) or job_id in _RESERVED:
        raise ConfigError(f"the id {job_id!r} cannot be: take letters, digits, dots, dashes, 100 at most")
    if own := {"model", "revision"} & settings.keys():
        raise ConfigError(f"{' and '.join(sorted(own))}: the model is the batch's, by --model")
    if ("prompts" in settings) == ("waypoints" in settings):
        raise ConfigError('a row has either "prompts" or "waypoints"')
    if "prompts" in settings:
        prompts = settings.pop("prompts")
        if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
            raise ConfigError(f'"prompts" must be a list of texts, not {prompts!r}')
        settings["waypoints"] = [{"prompt": prompt} for prompt in prompts]
    request = replace(from_dict(WalkRequest, settings), model=model)
    if request.pictures:
        raise ConfigError("a picture cannot be a waypoint of a batch: use `momalisa walk`")
    return Job(id=job_id, request=request)


def make_walks(jobs: Sequence[Job], config: BatchConfig) -> list[Result]:
    """Makes the walks that are not there yet, and writes the list of all; a failure does not stop the others.

    Raises WalkError where no worker can be started.
    """
    output = open_store(config.output_uri)
    # A worker has another current folder.
    config = replace(config, output_uri=output.uri, model=_absolute(config.model))
    there = _finished(jobs, output)
    results = {job_id: Result(id=job_id, ended="there") for job_id in there}
    with counted("walks", len(jobs)) as advance, ray_session():
        advance(len(there))
        for result in _spread([job for job in jobs if job.id not in there], config):
            results[result.id] = result
            advance(1)
    ordered = [results[job.id] for job in jobs]
    lines = "".join(json.dumps(asdict(result)) + "\n" for result in ordered)
    output.write_bytes(RESULTS_NAME, lines.encode())
    return ordered


def _finished(jobs: Sequence[Job], output: Store) -> set[str]:
    """Jobs that are done as they are asked for now: a request that was changed since is made again."""
    there: set[str] = set()

    def look(job: Job) -> None:
        with suppress(ObjectNotFoundError, InputError):
            done = read_provenance(output.read_bytes(f"{job.id}/{DONE_NAME}").decode())
            if replace(done.request, model=job.request.model) == job.request:
                there.add(job.id)

    run_parallel([partial(look, job) for job in jobs])
    return there


@dataclass(frozen=True, slots=True)
class _Task:
    job: Job
    attempt: int = 1


def _spread(jobs: Sequence[Job], config: BatchConfig) -> Iterator[Result]:
    """Results as they come; a job whose worker died is tried once more."""
    if not jobs:
        return
    crew, waiting = _Crew(config, _num_workers(len(jobs), config)), deque(_Task(job) for job in jobs)
    while waiting or crew.is_working:
        maker, task, outcome = crew.wait()
        if isinstance(outcome, Result):
            yield outcome
        elif task is not None and task.attempt < _MAX_ATTEMPTS:
            waiting.append(replace(task, attempt=task.attempt + 1))
        elif task is not None:
            yield Result(id=task.job.id, ended="failed", error=outcome)
        if maker is not None and waiting:
            crew.give(maker, waiting.popleft())


class _Crew:
    """Workers. Each is given its first task once it has its model, so that no task waits for a worker that the cluster
    has no room for."""

    def __init__(self, config: BatchConfig, count: int) -> None:
        options = {"num_cpus": config.cpus_per_worker, "num_gpus": config.gpus_per_worker, "max_restarts": 1}
        makers = [_Maker.options(**options).remote(config) for _ in range(count)]  # type: ignore[attr-defined]
        self._starting: dict[Any, Any] = {maker.ready.remote(): maker for maker in makers}
        self._working: dict[Any, tuple[Any, _Task]] = {}
        self._last_death = "nothing"

    @property
    def is_working(self) -> bool:
        return bool(self._working)

    def give(self, maker: Any, task: _Task) -> None:
        self._working[maker.make.remote(task.job)] = (maker, task)

    def wait(self) -> tuple[Any | None, _Task | None, Result | str | None]:
        """The next worker that is free, the task that it had, and its result or why it died."""
        while self._starting or self._working:
            (ready,), _ = ray.wait([*self._starting, *self._working], num_returns=1)
            starts = ready in self._starting
            maker, task = (self._starting.pop(ready), None) if starts else self._working.pop(ready)
            try:
                return maker, task, ray.get(ready)
            except ray.exceptions.RayError as e:
                died = str(e).strip().splitlines()[-1]
            if starts:
                _LOGGER.warning("a worker could not be started: %s", died)
                self._last_death = died
                continue
            self._starting[maker.ready.remote()] = maker
            return None, task, died
        raise WalkError(f"no worker could be started; the last one said: {self._last_death}")


def _absolute(model: str) -> str:
    return str(Path(model).absolute()) if model != "tiny" and Path(model).is_dir() else model


def _num_workers(num_jobs: int, config: BatchConfig) -> int:
    room = ray.cluster_resources()
    most = int(room.get("CPU", 1) // config.cpus_per_worker)
    if config.gpus_per_worker > 0:
        most = min(most, int(room.get("GPU", 0) // config.gpus_per_worker))
    if most < 1:
        raise ConfigError(
            f"the cluster has no room for a worker of {config.cpus_per_worker:g} CPUs and "
            f"{config.gpus_per_worker:g} GPUs: ask for less"
        )
    return min(num_jobs, config.num_workers or most)


@ray.remote
class _Maker:
    """A process with the model in it."""

    def __init__(self, config: BatchConfig) -> None:
        import torch

        from momalisa.walk.settings import Settings
        from momalisa.walk.studio import Studio

        torch.set_num_threads(max(1, int(config.cpus_per_worker)))
        device = "cuda" if config.gpus_per_worker > 0 else "cpu"
        self._config = config
        self._output = open_store(config.output_uri)
        self._studio = Studio(config.model, settings=Settings(device=device))

    def ready(self) -> None:
        """Answers once the model is loaded."""

    def make(self, job: Job) -> Result:
        """Makes one walk; what fails for a reason of its own is a result."""
        from momalisa.walk.frames import StoredFrames

        try:
            made = self._studio.make(
                job.request,
                StoredFrames(self._output.child("frames")),
                placements=self._output.child(f"{job.id}/placements"),
            )
            self._write(job, made)
        except MomalisaError as e:
            return Result(id=job.id, ended="failed", error=str(e))
        return Result(id=job.id, ended="done")

    def _write(self, job: Job, made: Any) -> None:
        from momalisa.walk.report import write_report

        animation = f"animation.{self._config.format}"
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_animation(made.animation(enlarge=self._config.enlarge), folder / animation)
            for report in ("report.json", "report.png"):
                write_report(made.report, made.walk, made.frames, folder / report, rendition=made.rendition)
            files: dict[str, str | Path | bytes] = {
                f"{job.id}/{file}": folder / file for file in (animation, "report.json", "report.png")
            }
            self._output.commit(files, f"{job.id}/{DONE_NAME}", made.provenance.to_text().encode())


def _rows(data: bytes, name: str) -> list[dict[str, Any]]:
    try:
        if name.endswith(".parquet"):
            rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist()
            return rows
        return [_object(line) for line in data.decode().splitlines() if line.strip()]
    except (ValueError, OSError) as e:
        raise InputError(f"{name} is neither JSONL nor Parquet: {e}") from e


def _object(line: str) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError(f"a line holds {row!r}, not an object")
    return row


def _without_nulls(value: Any) -> Any:
    """Parquet has a null wherever another row has a value."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
