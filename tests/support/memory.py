"""Memory of a process and all that it starts."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_SAMPLE_EVERY_S = 0.25


class PeakMemory:
    """The largest sum of PSS that was seen, in KiB by process name. PSS: shared pages divided among their sharers."""

    def __init__(self) -> None:
        self.by_process: Counter[str] = Counter()

    @property
    def mib(self) -> float:
        """The sum."""
        return self.by_process.total() / 1024

    @property
    def mib_by_process(self) -> dict[str, int]:
        """What it was made of, the largest first."""
        return {name: round(kib / 1024) for name, kib in self.by_process.most_common()}


@contextmanager
def watching_memory(pid: int) -> Iterator[PeakMemory]:
    """Samples a process and its descendants in a thread, until the block ends. It slows what is sampled."""
    peak, ended = PeakMemory(), threading.Event()

    def watch() -> None:
        while not ended.wait(_SAMPLE_EVERY_S):
            peak.by_process = max(peak.by_process, _memory_by_process(pid), key=Counter.total)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _memory_by_process(pid: int) -> Counter[str]:
    usage: Counter[str] = Counter()
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return usage
    for process in processes:
        try:
            name = "job" if process.pid == pid else _name(process.cmdline())
            usage[name] += _pss_kib(process.pid)
        except (psutil.NoSuchProcess, psutil.ZombieProcess, FileNotFoundError, ProcessLookupError):
            continue  # it ended while it was looked at
    return usage


def _pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def _name(command: list[str]) -> str:
    if not command:
        return "ended"
    if command[0].startswith("ray::"):
        return "worker"
    script = next((part for part in command if part.endswith(".py")), command[0])
    return Path(script).stem
