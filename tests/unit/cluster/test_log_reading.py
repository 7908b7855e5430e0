"""A log over connections that break: no line doubled, none lost."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from momalisa.cluster.log_reading import LineFilter, LogReader, OnceOnly, read_through
from momalisa.errors import ClusterForbiddenError, ClusterNotFoundError, ClusterUnreachableError

START = datetime(2026, 11, 22, 9, 0, 0, tzinfo=UTC)


def stamped(line: str, at_ms: int) -> str:
    at = START + timedelta(milliseconds=at_ms)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06d}000Z {line}"


class Breaking:
    """Serves a log as the API server does: from a whole second on, and each time only so many lines of it."""

    def __init__(self, log: list[str], cuts: list[int]) -> None:
        self._log = log
        self._cuts = list(cuts)
        self.num_readings = 0

    def logs(self, pod: str, *, since_time: str | None = None, follow: bool = False, **_: Any) -> Iterator[str]:
        self.num_readings += 1
        since = (since_time or "").removesuffix("Z")
        lines = [line for line in self._log if line[:19] >= since]
        if not self._cuts:
            yield from lines
            return
        yield from lines[: self._cuts.pop(0)]
        raise ClusterUnreachableError("it broke off")

    @property
    def has_more_cuts(self) -> bool:
        return bool(self._cuts)


def read(cluster: Breaking) -> list[str]:
    told: list[str] = []
    read_through(
        cluster,  # type: ignore[arg-type]
        "pod",
        put=told.append,
        is_over=lambda: not cluster.has_more_cuts,
        pause=lambda: False,
    )
    return told


@given(
    steps=st.lists(st.integers(0, 700), max_size=40),
    cuts=st.lists(st.integers(0, 20), max_size=6),
    texts=st.sampled_from(["same", "different"]),
)
def test_no_line_is_doubled_and_none_is_lost(steps: list[int], cuts: list[int], texts: str) -> None:
    lines = ["the same" if texts == "same" else f"line {number}" for number in range(len(steps))]
    times = [sum(steps[: number + 1]) for number in range(len(steps))]
    log = [stamped(line, at) for line, at in zip(lines, times, strict=True)]
    assert read(Breaking(log, cuts)) == lines


def test_what_is_no_line_of_the_container_is_left_out() -> None:
    told = LineFilter()
    assert told.accept("unable to retrieve container logs for containerd://5f") is None
    assert told.accept("2026-11-22T09:00:00.1Z ") == ""
    assert told.accept("2026-11-22T09:00:00.123456789+01:00 indented  ") == "indented  "


def test_a_pod_that_is_gone_ends_the_reading() -> None:
    class Gone:
        def logs(self, pod: str, **_: Any) -> Iterator[str]:
            raise ClusterNotFoundError("no pod")

    read_through(Gone(), "pod", put=lambda _: None, is_over=lambda: False, pause=lambda: False)  # type: ignore[arg-type]


def test_a_second_submitter_tells_nothing_twice() -> None:
    once = OnceOnly()
    first = ["09:00 address", "submitted", "", "step 1", "", "step 2"]
    assert [line for line in first if once.is_new(line)] == first
    once.again()
    second = ["09:05 address", "", "step 1", "", "step 2", "", "step 3", "step 1"]
    assert [line for line in second if once.is_new(line)] == ["09:05 address", "", "step 3", "step 1"]


def test_a_new_driver_of_the_same_id_is_told_from_where_it_differs() -> None:
    """As after a head was rebuilt: what it says first is often the same, what it says then is not."""
    once = OnceOnly()
    for line in ("entrypoint", *(f"step {number}" for number in range(100))):
        once.is_new(line)
    once.again()
    told = ["entrypoint", "resuming", *(f"other {number}" for number in range(30)), "step 7"]
    assert [line for line in told if once.is_new(line)] == told[1:]


def test_another_driver_is_told_from_its_beginning() -> None:
    once = OnceOnly()
    assert once.is_new("step 1")
    once.forget()
    once.again()
    assert once.is_new("step 1")


def test_the_reader_reads_to_the_end_and_warns_of_what_it_may_not() -> None:
    warned = threading.Event()

    class Served(Breaking):
        def logs(self, pod: str, **options: Any) -> Iterator[str]:
            if pod == "secret":
                raise ClusterForbiddenError("no")
            return super().logs(pod, **options)

    cluster = Served([stamped("one", 0), stamped("two", 5)], [])
    reader = LogReader(cluster, warn=lambda _: warned.set())  # type: ignore[arg-type]
    reader.turn_to("pod", "driver")
    reader.finish()
    assert reader.take() == ["one", "two"]
    reader.turn_to("secret", "driver")
    assert warned.wait(10)
    reader.close()
