"""A pod's log, each line once, over connections that break and pods that are replaced."""

import queue
import re
import threading
from collections import Counter
from collections.abc import Callable

from momalisa.cluster.facts import ClusterReader
from momalisa.errors import (
    ClusterError,
    ClusterForbiddenError,
    ClusterNotFoundError,
    ClusterRejectedError,
    ClusterUnreachableError,
)

_STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|[+-]\d\d:\d\d) ?(.*)", re.DOTALL)
_AGAIN_AFTER_S = 2.0
_REMEMBERED = 50_000
_MOST_STRANGE = 20


class LineFilter:
    """Passes each line of one pod once.

    The API server resumes by whole seconds: the lines of the last second come again, and are known by their stamps,
    which have nanoseconds.
    """

    def __init__(self) -> None:
        self.since_time: str | None = None
        """From when to ask on; None from the beginning."""
        self._seen: Counter[str] = Counter()
        self._again: Counter[str] = Counter()

    def begin(self) -> None:
        """The log is read again, from `since_time` on."""
        self._again = self._seen.copy()

    def accept(self, line: str) -> str | None:
        """The line without its stamp; None where it was seen, or is none of the container's."""
        match = _STAMPED.match(line)
        if match is None:
            return None
        if self._again[line] > 0:
            self._again[line] -= 1
            return None
        second = f"{match.group(1)}Z"
        if second != self.since_time:
            self.since_time = second
            self._seen.clear()
        self._seen[line] += 1
        return match.group(2)


class OnceOnly:
    """Drops what a new submitter tells again of the same driver: its log from the first line on.

    Between its lines a submitter has a few of its own. After many that are new the log is taken for another driver's,
    since a job that is submitted again to a new head keeps its id.
    """

    def __init__(self) -> None:
        self._told: list[int] = []
        self._at = 0
        self._num_strange = _MOST_STRANGE

    def forget(self) -> None:
        """Another driver: nothing of it was told."""
        self._told.clear()

    def again(self) -> None:
        """The same log may begin anew."""
        self._at = 0
        self._num_strange = 0

    def is_new(self, line: str) -> bool:
        """Whether this line was not told yet."""
        key = hash(line)
        if self._num_strange < _MOST_STRANGE and self._at < len(self._told):
            try:
                self._at = self._told.index(key, self._at) + 1
            except ValueError:
                self._num_strange += 1
                return True  # and not remembered: it is no part of the log that is told again
            self._num_strange = 0
            return False
        self._num_strange = _MOST_STRANGE
        if len(self._told) < _REMEMBERED:
            self._told.append(key)
        return True


class LogReader:
    """Reads, in a thread, the log of the pod that it was told last."""

    def __init__(self, cluster: ClusterReader, *, warn: Callable[[str], None] = lambda _: None) -> None:
        self._cluster = cluster
        self._warn = warn
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._once = OnceOnly()
        self._pod: str | None = None
        self._driver: str | None = None
        self._thread: threading.Thread | None = None
        self._leave = threading.Event()
        self._is_over = threading.Event()

    def turn_to(self, pod: str, driver: str) -> None:
        """The pod whose log is wanted now, and the id of the driver whose log it echoes."""
        if pod == self._pod:
            return
        self.finish(timeout_s=1.0)
        if driver == self._driver:
            self._once.again()
        else:
            self._once.forget()
        self._pod, self._driver = pod, driver
        self._leave, self._is_over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(pod, self._leave, self._is_over), daemon=True)
        self._thread.start()

    def take(self) -> list[str]:
        """What came since the last time."""
        lines = []
        while not self._lines.empty():
            lines.append(self._lines.get())
        return [line for line in lines if self._once.is_new(line)]

    def finish(self, timeout_s: float = 15.0) -> None:
        """The pod has ended: reads what is left of its log, for at most so long."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join(timeout=timeout_s)
        self._leave.set()

    def close(self) -> None:
        """Reads no more."""
        self._is_over.set()
        self._leave.set()

    def _run(self, pod: str, leave: threading.Event, is_over: threading.Event) -> None:
        def pause() -> bool:
            (leave if is_over.is_set() else is_over).wait(_AGAIN_AFTER_S)
            return leave.is_set()

        try:
            read_through(self._cluster, pod, put=self._lines.put, is_over=is_over.is_set, pause=pause)
        except ClusterError as e:
            self._warn(f"the log of pod {pod} cannot be read: {e}")


def read_through(
    cluster: ClusterReader,
    pod: str,
    *,
    put: Callable[[str], None],
    is_over: Callable[[], bool],
    pause: Callable[[], bool],
) -> None:
    """Reads a pod's log to its end, again and again until one reading began after the pod was over.

    pause: waits before the next reading; gives whether to leave. Raises ClusterForbiddenError.
    """
    lines = LineFilter()
    while True:
        is_last = is_over()
        lines.begin()
        try:
            for line in cluster.logs(pod, since_time=lines.since_time, follow=not is_last, timestamps=True):
                text = lines.accept(line)
                if text is not None:
                    put(text)
            if is_last:
                return
        except ClusterNotFoundError:
            return
        except ClusterForbiddenError:
            raise
        except (ClusterUnreachableError, ClusterRejectedError):
            pass  # the server is away, or the container is not yet there: a later reading will do
        if pause():
            return
