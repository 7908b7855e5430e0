"""A run on Ray Train: the only module that imports it.

The driver starts a worker group, shows its progress and gives its end. What a run knows is in its
folder, not in Ray: a worker group that starts again, for whatever reason, goes on from the newest
intact checkpoint there.
"""

import os
import secrets
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import asdict
from types import FrameType
from typing import Any, NoReturn

import ray
import ray.train
from ray.train.torch import TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from momalisa.errors import InputError, IntegrityError, TrainingError
from momalisa.job_folder import JOB_FOLDER_VARIABLE
from momalisa.rank_log import shipped_rank
from momalisa.ray_session import ray_session
from momalisa.storage import Store
from momalisa.training.progress import ProgressBar, ProgressUpdate
from momalisa.training.run import RunSpec
from momalisa.training.stopping import ask_to_stop

_PREEMPTION_POLL_STEPS = 5
_BOARD_POLL_S = 0.5
_NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
_LOW_MEMORY = "running low on memory"
_START_TIMEOUT_S = 1800
"""GPU nodes take longer to come up than Ray Train's own 60 s."""
_ELASTIC_START_TIMEOUT_S = 30
"""An elastic run counts the nodes before it asks for them, and one of those may have died: count again soon."""


class _Board:
    """An actor between the workers and the driver: the last progress, and an error that no retry mends."""

    def __init__(self) -> None:
        self._updates: list[dict[str, Any]] = []
        self._failure: str | None = None

    def show(self, update: dict[str, Any]) -> None:
        self._updates.append(update)

    def take(self) -> list[dict[str, Any]]:
        updates, self._updates = self._updates, []
        return updates

    def fail(self, message: str) -> None:
        self._failure = self._failure or message

    def failure(self) -> str | None:
        return self._failure


class RayHost:
    """What a rank tells Ray Train and the board."""

    def __init__(self, board: Any) -> None:
        self._board = board
        self._calls = 0
        self._preempted = False

    def report(self, metrics: dict[str, Any]) -> None:
        """Metrics for Ray's registry. Checkpoints are not: it takes only such as lie in folders of its own."""
        ray.train.report(metrics)

    def preemption_imminent(self) -> bool:
        """Asks at every fifth call: the question is a barrier, and all ranks count alike."""
        self._calls += 1
        if self._calls % _PREEMPTION_POLL_STEPS == 0:
            self._preempted = ray.train.get_preemption_info() is not None
        return self._preempted

    def show(self, update: ProgressUpdate) -> None:
        """Sends progress to the driver, without waiting."""
        self._board.show.remote(asdict(update))


def train_on_ray(spec: RunSpec, *, lost: Future[NoReturn], show: bool = True) -> None:
    """Runs a spec to its end, with restarts after faults.

    lost: fails where the run's folder has become another driver's; then the workers are ended.
    Raises TrainingError with the workers' own message where no retry can help, for a run that
    failed more often than `resources.max_failures`, and for one that has lost its folder.
    """
    timeout = _ELASTIC_START_TIMEOUT_S if spec.config.resources.is_elastic else _START_TIMEOUT_S
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(timeout))
    with ray_session(num_cpus=_local_cpus(spec.config.resources)):
        # Beside the driver: with any other node the run would lose its voice.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        board = ray.remote(num_cpus=0, scheduling_strategy=here)(_Board).remote()
        trainer = _trainer(spec, board)
        with _showing(board, show), _stopping_on_signals(spec.output):
            failed = _fit(trainer, lost)
        failure = ray.get(board.failure.remote())
        if failure is not None:
            raise TrainingError(failure)
        if failed is not None:
            raise TrainingError(f"the workers failed too often: {_innermost(failed)}") from failed


def _fit(trainer: TorchTrainer, lost: Future[NoReturn]) -> ray.train.TrainingFailedError | None:
    """Runs it in a thread: in the main thread it takes Ctrl-C for itself, and aborts without a checkpoint."""
    outcome: Future[None] = Future()

    def fit() -> None:
        try:
            trainer.fit()
            outcome.set_result(None)
        except BaseException as e:  # noqa: BLE001 - it is raised in the main thread
            outcome.set_exception(e)

    threading.Thread(target=fit, name="fit", daemon=True).start()
    either: tuple[Future[Any], ...] = (outcome, lost)
    wait(either, return_when=FIRST_COMPLETED)
    if lost.done():
        lost.result()
    try:
        outcome.result()
    except ray.train.TrainingFailedError as e:
        return e
    return None


def _trainer(spec: RunSpec, board: Any) -> TorchTrainer:
    resources = spec.config.resources
    filesystem, path = spec.output.child("ray").arrow_filesystem()
    return TorchTrainer(
        _train_on_rank,
        train_loop_config={
            "spec": spec.to_json(),
            "board": board,
            # Of the driver alone: workers are other pods.
            "job_folder": os.environ.get(JOB_FOLDER_VARIABLE),
        },
        scaling_config=ray.train.ScalingConfig(
            num_workers=(resources.least_workers, resources.num_workers)
            if resources.is_elastic
            else resources.num_workers,
            use_gpu=resources.use_gpu,
            resources_per_worker={"CPU": resources.cpus_per_worker, **({"GPU": 1} if resources.use_gpu else {})},
        ),
        run_config=ray.train.RunConfig(
            # New for each start: what to resume from is the run's folder's to say, not Ray's.
            name=f"{spec.name}-{secrets.token_hex(4)}",
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=ray.train.FailureConfig(max_failures=resources.max_failures),
            # Ray no longer hides GPUs from workers that ask for none, and DeepSpeed takes any that it sees.
            worker_runtime_env={} if resources.use_gpu else {"env_vars": _NO_GPU},
        ),
    )


def _train_on_rank(arguments: dict[str, Any]) -> None:
    import torch

    from momalisa.training.train import train
    from momalisa.training.world import World

    if ray.get(arguments["board"].failure.remote()) is not None:
        return  # A restart of what would end the same.
    spec = RunSpec.from_json(arguments["spec"])
    world = World.current()
    if world.device.type == "cpu":
        torch.set_num_threads(spec.config.resources.cpus_per_worker)
    host = RayHost(arguments["board"])
    try:
        with shipped_rank(arguments["job_folder"], world.rank, world.size):
            train(spec, host, world)
    except (InputError, IntegrityError, TrainingError) as e:
        # The same again would end the same. Raised, so that Ray ends the other ranks, which wait for this one.
        ray.get(arguments["board"].fail.remote(str(e)))
        raise
    except torch.OutOfMemoryError as e:
        advice = "lower micro_batch_size, or --set engine.gradient_checkpointing=true"
        ray.get(arguments["board"].fail.remote(f"a GPU ran out of memory: {advice} ({e})"))
        raise


def _local_cpus(resources: Any) -> int:
    """On a machine of our own the workers share whatever cores there are."""
    return max(os.cpu_count() or 1, int(resources.num_workers) * int(resources.cpus_per_worker))


@contextmanager
def _showing(board: Any, show: bool) -> Iterator[None]:
    ended = threading.Event()
    bar = ProgressBar() if show else None

    def poll() -> None:
        while not ended.wait(_BOARD_POLL_S):
            _draw_updates(board, bar)

    thread = threading.Thread(target=poll, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5)
        _draw_updates(board, bar)
        if bar is not None:
            bar.close()


def _draw_updates(board: Any, bar: ProgressBar | None) -> None:
    try:
        updates = ray.get(board.take.remote(), timeout=5)
    except ray.exceptions.RayError:
        return  # progress may be lost; the run's end is told by others
    for update in updates:
        if bar is not None:
            bar.update(ProgressUpdate(**update))


@contextmanager
def _stopping_on_signals(output: Store) -> Iterator[None]:
    """SIGTERM and the first Ctrl-C ask the run to save a checkpoint and end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, previous[signal.SIGINT])
        # In a thread: a handler may not wait for a bucket.
        threading.Thread(target=ask_to_stop, args=(output,), daemon=True).start()

    previous: dict[int, Any] = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _innermost(error: BaseException) -> str:
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    first = next(iter(failures.values()), None)
    lines = [line for line in str(first or error).splitlines() if line.strip()]
    # An exception stands below its traceback; Ray's memory monitor ends with advice on Ray's settings.
    cause = next((line for line in lines if _LOW_MEMORY in line), None) or (lines[-1] if lines else None)
    return cause or type(error).__name__
