"""A job from now to its end: its log as it comes, and what becomes of it. The exit code is the job's.

0 succeeded, 1 failed, 2 wrong input, 3 stopped or cancelled, 4 a deadline passed (the job's, or that of the wait),
5 nobody knows, 130 detached: the job goes on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from momalisa.cluster.facts import ClusterReader, JobFacts, RunFacts, gather, has_started, submitter_pods, utc_now
from momalisa.cluster.gauges import attempt_began, status_of
from momalisa.cluster.log_reading import LogReader
from momalisa.cluster.patience import Patience
from momalisa.cluster.pods import name_of
from momalisa.cluster.verdict import ExitCode, State, Verdict, verdict
from momalisa.cluster.wording import change_of, in_words, to_stderr, to_stdout
from momalisa.errors import ClusterUnreachableError
from momalisa.training.progress import format_duration

Say = Callable[[str], None]

_LOOK_EVERY_S = 2.0
_LOOK_AT_RUN_EVERY_S = 20.0
_PATIENCE_S = 15 * 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When to look, by which clock; replaced by tests, so that they need not wait."""

    every_s: float = _LOOK_EVERY_S
    run_every_s: float = _LOOK_AT_RUN_EVERY_S
    patience_s: float = _PATIENCE_S
    """For how long the API server may be away."""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = utc_now


def follow(
    cluster: ClusterReader,
    name: str,
    *,
    echo: Say = to_stdout,
    say: Say = to_stderr,
    output_uri: str | None = None,
    reader: LogReader | None = None,
    pace: Pace | None = None,
) -> int:
    """Echoes the log and says what changes, until the job is over; gives its exit code.

    Ctrl-C detaches and leaves the job alone. Raises ClusterForbiddenError for a job that may not be looked at, and
    ClusterUnreachableError where the API server stays away for too long.
    """
    log = reader or LogReader(cluster, warn=say)
    watcher = _Watcher(cluster, name, output_uri, say, pace or Pace())
    try:
        while True:
            facts, given = watcher.look()
            if facts is not None:
                _turn_to_newest(log, facts)
            if given is not None and given.is_over:
                log.finish()
            for line in log.take():
                echo(line)
            if given is not None and given.is_over:
                say(in_words(name, given))
                return given.exit_code or 0
            watcher.pause()
    except KeyboardInterrupt:
        say(f"\ndetached; the job goes on. Come back: momalisa jobs follow {name}")
        say(f"to end it with a checkpoint: momalisa jobs cancel {name}")
        return ExitCode.DETACHED
    finally:
        log.close()


def wait(
    cluster: ClusterReader,
    name: str,
    *,
    say: Say = to_stderr,
    timeout_s: float | None = None,
    output_uri: str | None = None,
    pace: Pace | None = None,
) -> int:
    """Says what changes until the job is over, or the time is; gives its exit code, 4 where the time was."""
    pace = pace or Pace()
    watcher = _Watcher(cluster, name, output_uri, say, pace)
    began = pace.clock()
    try:
        while True:
            _, given = watcher.look()
            if given is not None and given.is_over:
                say(in_words(name, given))
                return given.exit_code or 0
            if timeout_s is not None and pace.clock() - began >= timeout_s:
                say(f"{name} is not over after {format_duration(timeout_s)}; it goes on")
                return ExitCode.DEADLINE
            watcher.pause()
    except KeyboardInterrupt:
        return ExitCode.DETACHED


class _Watcher:
    """Looks at a job now and then; says what changed, and that the API server is away."""

    def __init__(self, cluster: ClusterReader, name: str, output_uri: str | None, say: Say, pace: Pace) -> None:
        self._cluster = cluster
        self._name = name
        self._output_uri = output_uri
        self._say = say
        self._pace = pace
        self._last: Verdict | None = None
        self._run: RunFacts | None = None
        self._run_at = -float("inf")
        self._patience = Patience(pace.patience_s, clock=pace.clock, say=say)
        self._began: datetime | None = None
        self._was_seen = False

    def pause(self) -> None:
        """Until the next look."""
        self._pace.sleep(self._pace.every_s)

    def look(self) -> tuple[JobFacts | None, Verdict | None]:
        """What is now; nothing where the API server does not answer."""
        try:
            facts, given = self._judge()
        except ClusterUnreachableError as e:
            self._patience.away(e)
            return None, None
        self._patience.back()
        change = change_of(self._last, given)
        if change is not None and not given.is_over:
            self._say(change)
        self._last = given
        return facts, given

    def _judge(self) -> tuple[JobFacts, Verdict]:
        now = self._pace.clock()
        is_due = now - self._run_at >= self._pace.run_every_s
        facts = self._gather(with_run=is_due)
        given = verdict(facts)
        if given.is_over and not is_due:
            # The folder's word of a moment ago may be that of a run in full swing.
            facts = self._gather(with_run=True)
            given = verdict(facts)
        if facts.job is None and self._was_seen and given.state is State.UNKNOWN:
            again = f"`momalisa jobs retry {self._name}` goes on from its last checkpoint"
            given = replace(
                given, state=State.CANCELLED, headline="it was deleted", fix=again, exit_code=ExitCode.STOPPED
            )
        self._was_seen = self._was_seen or facts.job is not None
        return facts, given

    def _gather(self, *, with_run: bool) -> JobFacts:
        facts = gather(self._cluster, self._name, output_uri=self._output_uri, with_run=with_run, clock=self._pace.now)
        if with_run:
            self._run, self._run_at = facts.run, self._pace.clock()
            self._output_uri = facts.run.uri if facts.run else self._output_uri
        # In the folder may be the end of an earlier job of this name.
        self._began = attempt_began(facts) or self._began
        return replace(facts, run=self._run, last_began=self._began)


def _turn_to_newest(log: LogReader, facts: JobFacts) -> None:
    started = [pod for pod in submitter_pods(facts.pods) if has_started(pod)]
    if started:
        log.turn_to(name_of(started[-1]), status_of(facts, "jobId"))
