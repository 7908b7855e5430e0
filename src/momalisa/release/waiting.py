"""Until a release is as it is wanted: RayService's Ready does not say that, so helm's own `--wait` ends too early."""

from collections.abc import Callable
from dataclasses import dataclass

from momalisa.cluster.follow import Pace, Say
from momalisa.cluster.judgement import ExitCode
from momalisa.cluster.patience import Patience
from momalisa.cluster.wording import change_of, in_words
from momalisa.errors import ClusterUnreachableError
from momalisa.release.facts import ReleaseFacts, ReleaseReader, gather
from momalisa.release.states import Verdict
from momalisa.release.verdict import verdict
from momalisa.training.progress import format_duration

SETTLED_S = 10.0
"""For so long an end must be seen: KubeRay hands a new configuration to Serve after it has asked how the old one does,
and is back with the answer in some 4 s."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a wait ended."""

    exit_code: int
    verdict: Verdict | None
    """The last one; None where the API server never answered."""

    @property
    def is_well(self) -> bool:
        """Whether the release is as it is wanted."""
        return self.exit_code == ExitCode.SUCCEEDED


def wait(
    cluster: ReleaseReader,
    name: str,
    *,
    say: Say,
    timeout_s: float,
    settled_s: float = SETTLED_S,
    pace: Pace | None = None,
    judge: Callable[[ReleaseFacts], Verdict] = verdict,
) -> Outcome:
    """Says what changes until the release is as it is wanted, can never be, or the time is over.

    What is stuck may come loose, so that ends nothing: the time does, but for an end that is seen already, and has only
    to be seen for long enough. Raises ClusterUnreachableError where the API
    server stays away for too long.
    """
    pace = pace or Pace()
    patience = Patience(pace.patience_s, clock=pace.clock, say=say, what="release")
    began, over_since, last = pace.clock(), None, None
    while True:
        try:
            given = judge(gather(cluster, name, clock=pace.now))
        except ClusterUnreachableError as e:
            patience.away(e)
        else:
            patience.back()
            if last is None or last.exit_code != given.exit_code or over_since is None:
                over_since = pace.clock() if given.is_over else None
            if (change := change_of(last, given)) is not None:
                say(change)
            last = given
        now = pace.clock()
        if last is not None and over_since is not None and now - over_since >= settled_s:
            say(in_words(name, last))
            return Outcome(last.exit_code or 0, last)
        if now - began >= timeout_s and over_since is None:
            say(f"{name} is not as it is wanted after {format_duration(timeout_s)}")
            return Outcome(ExitCode.DEADLINE, last)
        pace.sleep(pace.every_s)
