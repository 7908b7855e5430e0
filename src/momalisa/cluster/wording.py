"""A verdict in words, for a terminal."""

import sys
from collections.abc import Iterator

from momalisa.cluster.judgement import Judgement
from momalisa.cluster.states import State

_FOLLOWED_BY_ITS_LOG = {State.RUNNING, State.STOPPING}


def to_stdout(line: str) -> None:
    """The job's own log."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def to_stderr(line: str) -> None:
    """All that is said about the job, so that stdout holds its log alone."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def in_words(name: str, given: Judgement) -> str:
    """A paragraph."""
    return "\n".join(_lines(name, given))


def one_line(given: Judgement) -> str:
    """`running: step 1,200 of 5,000, loss 0.1234`."""
    return f"{given.state}: {given.headline}"


def change_of(before: Judgement | None, given: Judgement) -> str | None:
    """What to say when a verdict follows another; None where nothing changed that the log does not tell itself."""
    if before is not None and _mark(before) == _mark(given):
        return None
    lines = [one_line(given), *(f"  {detail}" for detail in given.details)]
    if given.fix and not given.is_over:
        lines.append(f"  what to do: {given.fix}")
    return "\n".join(lines)


def _mark(given: Judgement) -> tuple[str, str]:
    return (given.state, "" if given.state in _FOLLOWED_BY_ITS_LOG else given.headline)


def _lines(name: str, given: Judgement) -> Iterator[str]:
    yield f"{name} {one_line(given)}"
    yield from (f"  {detail}" for detail in given.details)
    if given.fix:
        yield f"  what to do: {given.fix}"
    for each in given.evidence:
        yield f"  seen: {each}"
    for each in given.unknown:
        yield f"  not known: {each}"
