"""What a job's own words tell: its progress, and why it failed. Pure functions on text.

The words are a driver's last lines, Ray's message about a job (which quotes them), or a rank's exception.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from momalisa.cluster.troubles import Cause, Trouble, shortened
from momalisa.training.progress import format_duration

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_FROM_AN_ACTOR = re.compile(r"^\([\w.:\[\] -]+?(pid=\d+)?(, ip=[\d.]+)?\)\s*")
_PROGRESS = re.compile(
    r"^(?P<stage>(?:loading|measuring|drawing|training|validating|judging|exporting|starting|replay)\b[a-z ]*?)"
    r" (?P<step>\d+)/(?P<max_steps>\d+)"
    r"(?:\s+loss (?P<loss>[\d.]+|nan|inf))?(?:\s+(?P<images_per_s>[\d.]+) images/s)?(?:\s+lr [\d.e+-]+)?"
    r"(?:\s+(?P<num_workers>\d+) workers?)?(?:\s+ETA (?P<eta>\w+))?\s*$"
)
_COUNTED = re.compile(r"^(?P<label>[\w ]+): (?P<done>\d+)/(?P<total>\d+), ETA (?P<eta>\d+) s$")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_EXIT_CODE = re.compile(r"failed with exit code (-?\d+)")
_EXCEPTION = re.compile(r"^(?:[\w.]+\.)?([A-Z]\w*(?:Error|Exception|Exit|Interrupt|Failure)\w*)(?:: (.*))?$")
_RAY_MEMORY = (
    "how to address the out of memory issue",
    "RAY_memory_usage_threshold",
    "killed due to memory pressure",
    "OutOfMemoryError: Task was killed",
    "node running low on memory",
)
_GPU_MEMORY = ("CUDA out of memory", "torch.OutOfMemoryError", "a GPU ran out of memory")
_MORE_MEMORY = "submit again with more memory for each worker, or a smaller micro_batch_size or fewer loader workers"
_KERNEL_MEMORY = ("killed by the OOM killer", "SIGKILL by OOM", "oom-kill")
_STORAGE = ("access denied", "AccessDeniedError", "and that a bucket named", "storage.objects.")
_CONSEQUENCE = re.compile(
    r"workers failed too often|actor.{0,12} died|ActorDied|RayActorError|WorkerCrashed|worker process has died|NodeDied"
    r"|NCCL|gloo|[Cc]onnection (?:reset|closed|refused)|ended without a summary|worker group|SYSTEM_ERROR"
)
_AWAY = ("UnavailableError", "still failing after")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is. What is not known is None."""

    stage: str = "training"
    step: int = 0
    max_steps: int = 0
    loss: float | None = None
    images_per_s: float | None = None
    eta_s: float | None = None
    num_workers: int | None = None
    is_counted: bool = False
    """Whether it counts things, such as walks, instead of a training's steps."""

    def in_words(self) -> str:
        """`step 1,200 of 5,000, loss 0.1234, 12.3 images/s, ETA 2h07m`."""
        counter = f"{self.stage} {self.step:,}" if self.is_counted else f"step {self.step:,}"
        parts = [f"{counter} of {self.max_steps:,}"] if self.max_steps else []
        if self.stage != "training" and not self.is_counted:
            parts.insert(0, self.stage)
        if self.loss is not None:
            parts.append(f"loss {self.loss:.4f}")
        if self.images_per_s is not None:
            parts.append(f"{self.images_per_s:.1f} images/s")
        if self.eta_s is not None:
            parts.append(f"ETA {format_duration(self.eta_s)}")
        return ", ".join(parts) or self.stage

    def as_json(self) -> dict[str, object]:
        """Plain JSON types."""
        return asdict(self)


def plain(line: str) -> str:
    """A line without colours."""
    return _ANSI.sub("", line)


def progress_in(lines: Iterable[str]) -> Progress | None:
    """The last that a driver's lines tell; each figure the last one told."""
    found: Progress | None = None
    for line in lines:
        if counted := _COUNTED.match(plain(line)):
            done, total, eta = (int(counted[key]) for key in ("done", "total", "eta"))
            found = Progress(stage=counted["label"], step=done, max_steps=total, eta_s=eta, is_counted=True)
        match = _PROGRESS.match(plain(line))
        if match is None:
            continue
        told, before = match.groupdict(), found or Progress()
        found = Progress(
            stage=told["stage"],
            step=int(told["step"]),
            max_steps=int(told["max_steps"]),
            loss=float(told["loss"]) if told["loss"] else before.loss,
            images_per_s=float(told["images_per_s"]) if told["images_per_s"] else before.images_per_s,
            eta_s=_seconds(told["eta"]) if told["eta"] else None,
            num_workers=int(told["num_workers"]) if told["num_workers"] else before.num_workers,
        )
    return found


def exit_code_in(message: str) -> int | None:
    """What Ray says that the entrypoint ended with."""
    match = _EXIT_CODE.search(message)
    return int(match.group(1)) if match else None


def trouble_in(text: str, source: str) -> Trouble | None:
    """Why a job failed, by its own words; None where they tell nothing.

    source: whose words they are, for the evidence.
    """
    lines = [_FROM_AN_ACTOR.sub("", plain(line)).rstrip() for line in text.splitlines()]
    own = [line for line in lines if line.startswith("error: ")][-1:]
    told = _known(own, source) or _own_error(own, source)
    if told is not None and not is_consequence(told):
        return told  # whatever else was said before it was got over
    if known := _known(lines, source):
        return known
    told = told or _exception(lines, source)
    if told is None or is_consequence(told):
        # Ray names the kernel among other possible causes whenever a worker process vanishes: the last guess.
        return _kernel_memory(lines, source) or told
    return told


def is_consequence(trouble: Trouble) -> bool:
    """Whether it only says that something else ended a process."""
    return trouble.cause is Cause.EXCEPTION and _CONSEQUENCE.search(trouble.headline) is not None


def _known(lines: Sequence[str], source: str) -> Trouble | None:
    return _ray_memory(lines, source) or _gpu_memory(lines, source) or _storage(lines, source)


def _ray_memory(lines: Sequence[str], source: str) -> Trouble | None:
    headline = "a worker ran out of memory: Ray's memory monitor ended it before the kernel would end the pod"
    return _short_of_memory(lines, source, _RAY_MEMORY, Cause.RAY_MEMORY, headline, _MORE_MEMORY)


def _gpu_memory(lines: Sequence[str], source: str) -> Trouble | None:
    fix = "lower micro_batch_size, or --set engine.gradient_checkpointing=true"
    return _short_of_memory(lines, source, _GPU_MEMORY, Cause.GPU_MEMORY, "a GPU ran out of memory", fix)


def _kernel_memory(lines: Sequence[str], source: str) -> Trouble | None:
    headline = "a worker process was killed from outside, most likely by the kernel for want of memory"
    return _short_of_memory(lines, source, _KERNEL_MEMORY, Cause.MEMORY, headline, _MORE_MEMORY)


def _short_of_memory(
    lines: Sequence[str], source: str, words: Sequence[str], cause: Cause, headline: str, fix: str
) -> Trouble | None:
    line = _last(lines, words)
    if line is None:
        return None
    return Trouble(cause=cause, headline=headline, fix=fix, evidence=(f"{source}: {shortened(line)}",))


def _storage(lines: Sequence[str], source: str) -> Trouble | None:
    line = _last(lines, _STORAGE)
    if line is not None:
        missing = "and that a bucket named" in line
        what = "is not there" if missing else "refuses the job"
        fix = (
            "correct --data or --output, or make the bucket"
            if missing
            else "give the job's service account (Workload Identity) the right that is named; k8s/README.md says how"
        )
        return Trouble(
            cause=Cause.STORAGE,
            headline=f"the bucket {what}: {shortened(_without_error(line), 220)}",
            fix=fix,
            evidence=(f"{source}: {shortened(line)}",),
        )
    line = _last(lines, _AWAY)
    if line is None:
        return None
    return Trouble(
        cause=Cause.STORAGE,
        headline=f"the bucket did not answer: {shortened(_without_error(line), 220)}",
        fix="is the bucket's service up, and may the pods reach it (NetworkPolicies)? Then `momalisa jobs retry`",
        evidence=(f"{source}: {shortened(line)}",),
    )


def _own_error(lines: Sequence[str], source: str) -> Trouble | None:
    """A line of our own jobs: `error: …`, whose message names the fix."""
    if not lines:
        return None
    line = lines[-1]
    return Trouble(
        cause=Cause.EXCEPTION,
        headline=shortened(line.removeprefix("error: "), 240),
        fix="mend that, and `momalisa jobs retry` goes on from the last checkpoint",
        evidence=(f"{source}: {shortened(line)}",),
    )


def _exception(lines: Sequence[str], source: str) -> Trouble | None:
    line = next((line.strip() for line in reversed(lines) if _EXCEPTION.match(line.strip())), None)
    if line is None:
        return None
    return Trouble(
        cause=Cause.EXCEPTION,
        headline=shortened(line, 240),
        fix="mend that, and `momalisa jobs retry` goes on from the last checkpoint",
        evidence=(f"{source}: {shortened(line)}",),
    )


def _last(lines: Sequence[str], marks: Sequence[str]) -> str | None:
    def is_marked(line: str) -> bool:
        # What was warned of was got over.
        return any(mark in line for mark in marks) and not line.startswith(("warning:", "momalisa:"))

    return _last_where(lines, is_marked)


def _last_where(lines: Sequence[str], is_meant: Callable[[str], bool]) -> str | None:
    return next((line.strip() for line in reversed(lines) if is_meant(line)), None)


def _without_error(line: str) -> str:
    return line.removeprefix("error: ")


def _seconds(text: str) -> float | None:
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)
