"""Who is let in."""

import pytest

from momalisa.errors import BusyError
from momalisa.service.admission import Admission, AdmissionConfig


class Clock:
    def __init__(self, now: float = 86_400 * 100 + 3600) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def refused(admission: Admission, num_works: int) -> float:
    with pytest.raises(BusyError) as found:
        admission.check_capacity(num_works)
    return found.value.retry_after_s


def test_as_many_as_may_be_are_let_in() -> None:
    admission = Admission(AdmissionConfig(max_works=3), Clock())
    admission.check_capacity(2)
    assert refused(admission, 3) == pytest.approx(10)


def test_who_is_refused_later_is_told_to_come_back_later() -> None:
    clock = Clock()
    admission = Admission(AdmissionConfig(max_works=1, seconds_per_work=4), clock)
    assert [refused(admission, 1) for _ in range(3)] == pytest.approx([4, 8, 12])
    clock.now += 10
    assert refused(admission, 1) == pytest.approx(6)
    clock.now += 100
    assert refused(admission, 1) == pytest.approx(4)


def test_what_a_place_costs_is_measured_while_others_wait() -> None:
    clock = Clock()
    admission = Admission(AdmissionConfig(max_works=1, seconds_per_work=10), clock)
    for _ in range(40):
        admission.ended(was_busy=True)
        clock.now += 2
    assert refused(admission, 1) == pytest.approx(2, abs=0.1)
    clock.now += 5000
    admission.ended(was_busy=False)
    assert refused(admission, 1) == pytest.approx(2, abs=0.1)


def test_an_owner_has_a_share_at_a_time_and_a_day() -> None:
    admission = Admission(AdmissionConfig(max_running_per_owner=2, max_a_day_per_owner=5), Clock())
    admission.check_owner(1, 4)
    with pytest.raises(BusyError, match="wait for one"):
        admission.check_owner(2, 2)
    with pytest.raises(BusyError, match="tomorrow") as found:
        admission.check_owner(0, 5)
    assert found.value.retry_after_s == pytest.approx(86_400 - 3600)
    assert admission.midnight() == 86_400 * 100


def test_a_config_that_lets_nobody_in_is_refused() -> None:
    with pytest.raises(ValueError, match="max_works"):
        AdmissionConfig(max_works=0)
