import pickle
from dataclasses import dataclass, field

import pytest

from momalisa.errors import AccessDeniedError, UnavailableError
from momalisa.storage.retry import RetryPolicy, TransientError


@dataclass
class FakeTime:
    """A clock that only sleeping moves."""

    now_s: float = 0.0
    slept_s: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds

    def clock(self) -> float:
        return self.now_s


@dataclass
class Failing:
    """Fails a number of times, then answers."""

    num_failures: int
    after_s: float = 0.0
    num_calls: int = 0

    def __call__(self) -> str:
        self.num_calls += 1
        if self.num_calls <= self.num_failures:
            raise TransientError("status 503", after_s=self.after_s)
        return "answer"


def policy(time: FakeTime, **changes: float) -> RetryPolicy:
    return RetryPolicy(sleep=time.sleep, clock=time.clock, **changes)  # type: ignore[arg-type]


def test_returns_the_first_answer() -> None:
    time = FakeTime()
    failing = Failing(3)
    assert policy(time).call(failing, "reading x") == "answer"
    assert failing.num_calls == 4
    assert len(time.slept_s) == 3


def test_waits_are_jittered_below_a_ceiling_that_doubles() -> None:
    waits = []
    for _ in range(300):
        time = FakeTime()
        policy(time, base_delay_s=1.0, max_delay_s=5.0).call(Failing(5), "reading x")
        waits.append(time.slept_s)
    for retry, ceiling_s in enumerate([1.0, 2.0, 4.0, 5.0, 5.0]):
        seen = [slept_s[retry] for slept_s in waits]
        assert 0 <= min(seen) < 0.2 * ceiling_s  # full jitter: from nothing …
        assert 0.8 * ceiling_s < max(seen) <= ceiling_s  # … to the ceiling


def test_gives_up_after_the_last_attempt_and_says_why() -> None:
    time = FakeTime()
    failing = Failing(100)
    with pytest.raises(UnavailableError, match=r"reading gs://b/x.*after 4 attempts.*status 503") as raised:
        policy(time, max_attempts=4).call(failing, "reading gs://b/x")
    assert failing.num_calls == 4
    assert len(time.slept_s) == 3
    assert isinstance(raised.value.__cause__, TransientError)


def test_gives_up_before_a_wait_that_would_pass_the_deadline() -> None:
    time = FakeTime()
    failing = Failing(100, after_s=4.0)
    with pytest.raises(UnavailableError, match="3 attempts in 8 s"):
        policy(time, deadline_s=10.0, base_delay_s=0.0).call(failing, "reading x")
    assert time.now_s == 8.0


def test_waits_as_long_as_the_server_asks_but_not_for_ever() -> None:
    time = FakeTime()
    policy(time, base_delay_s=0.0, max_delay_s=7.0).call(Failing(1, after_s=3.0), "reading x")
    policy(time, base_delay_s=0.0, max_delay_s=7.0).call(Failing(1, after_s=3600.0), "reading x")
    assert time.slept_s == [3.0, 7.0]


def test_other_errors_leave_at_once() -> None:
    time = FakeTime()

    def denied() -> None:
        raise AccessDeniedError("no")

    with pytest.raises(AccessDeniedError):
        policy(time).call(denied, "reading x")
    assert time.slept_s == []


@pytest.mark.parametrize(
    "wrong", [{"max_attempts": 0}, {"base_delay_s": -1.0}, {"deadline_s": 0.0}, {"stall_timeout_s": 0.0}]
)
def test_refuses_impossible_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)  # type: ignore[arg-type]


def test_travels_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(RetryPolicy(max_attempts=3))) == RetryPolicy(max_attempts=3)
