"""A file of walk requests to animations and reports, spread over a Ray cluster; every request is accounted for.

For each request there is a folder `{id}/` with the animation, `report.json` and `report.png`; `done.json` comes last,
so a request that has one is not made again. Frames are shared by all requests, in `frames/`; `results.jsonl` lists
what became of each.
"""

import io
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import ray

from momalisa.config import from_dict
from momalisa.errors import ConfigError, InputError, MomalisaError, ObjectNotFoundError
from momalisa.ray_session import ray_session
from momalisa.storage import open_store
from momalisa.terminal import counted
from momalisa.walk.animation import Format, write_animation
from momalisa.walk.placement import StoredJournal
from momalisa.walk.request import WalkRequest

DONE_NAME = "done.json"
RESULTS_NAME = "results.jsonl"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MAX_NAMED = 5


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
    problems += [f"the id {name!r} is there twice" for name in sorted(_doubled([job.id for job in jobs]))]
    if problems:
        more = f" (and {len(problems) - _MAX_NAMED} more)" if len(problems) > _MAX_NAMED else ""
        raise InputError(f"{uri}: {'; '.join(problems[:_MAX_NAMED])}{more}")
    if not jobs:
        raise InputError(f"{uri} holds no request")
    return jobs


def job_of(row: Mapping[str, Any], number: int, model: str) -> Job:
    """A row as a job; its id is the row's number where it has none. Raises ConfigError for one that cannot be."""
    settings = {key: value for key, value in row.items() if value is not None}
    job_id = str(settings.pop("id", f"walk-{number:05d}"))
    if not _ID.fullmatch(job_id):
        raise ConfigError(f"the id {job_id!r} is no plain name: take letters, digits, dots, dashes, 100 at most")
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
    """Makes the walks that are not there yet, and writes the list of all; a failure does not stop the others."""
    output = open_store(config.output_uri)
    # A worker has another current folder.
    config = replace(config, output_uri=output.uri, model=_absolute(config.model))
    there = [job for job in jobs if output.exists(f"{job.id}/{DONE_NAME}")]
    results = [Result(id=job.id, ended="there") for job in there]
    done = {job.id for job in there}
    with counted("walks", len(jobs)) as advance, ray_session():
        advance(len(there))
        for result in _spread([job for job in jobs if job.id not in done], config):
            results.append(result)
            advance(1)
    by_id = {result.id: result for result in results}
    ordered = [by_id[job.id] for job in jobs]
    lines = "".join(json.dumps(asdict(result)) + "\n" for result in ordered)
    output.write_bytes(RESULTS_NAME, lines.encode())
    return ordered


def _spread(jobs: Sequence[Job], config: BatchConfig) -> Iterator[Result]:
    if not jobs:
        return
    makers = [
        _Maker.options(  # type: ignore[attr-defined]
            num_cpus=config.cpus_per_worker, num_gpus=config.gpus_per_worker, max_restarts=-1, max_task_retries=3
        ).remote(config)
        for _ in range(_num_workers(len(jobs), config))
    ]
    waiting = list(reversed(jobs))
    running: dict[Any, tuple[Any, Job]] = {}
    for maker in makers:
        job = waiting.pop()
        running[maker.make.remote(job)] = (maker, job)
    while running:
        (ready,), _ = ray.wait(list(running), num_returns=1)
        maker, job = running.pop(ready)
        yield _outcome(ready, job)
        if waiting:
            following = waiting.pop()
            running[maker.make.remote(following)] = (maker, following)


def _outcome(ready: Any, job: Job) -> Result:
    try:
        result: Result = ray.get(ready)
    except ray.exceptions.RayError as e:
        return Result(id=job.id, ended="failed", error=str(e).splitlines()[-1])
    return result


def _absolute(model: str) -> str:
    return str(Path(model).absolute()) if Path(model).is_dir() else model


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

        from momalisa.walk.studio import Settings, Studio

        torch.set_num_threads(max(1, int(config.cpus_per_worker)))
        device = "cuda" if config.gpus_per_worker > 0 else "cpu"
        self._config = config
        self._output = open_store(config.output_uri)
        self._studio = Studio(config.model, settings=Settings(device=device))

    def make(self, job: Job) -> Result:
        """Makes one walk; what fails for a reason of its own is a result."""
        from momalisa.walk.frames import StoredFrames

        try:
            made = self._studio.make(
                job.request,
                StoredFrames(self._output.child("frames")),
                journal=StoredJournal(self._output.child(f"{job.id}/placement")),
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
                write_report(made.report, made.walk, made.frames, folder / report)
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


def _doubled(ids: Sequence[str]) -> set[str]:
    return {each for each in ids if ids.count(each) > 1}
