import os
import platform
import threading
import time
from concurrent.futures import Future

import pytest

from momalisa.errors import ConfigError, TrainingError, UnavailableError
from momalisa.storage import open_store
from momalisa.training import lease
from momalisa.training.lease import OWNER_KEY, Owner, owning


def leave_owner(output, **changes):
    owner = {"token": "other", "node": "elsewhere", "pid": 1, "renewed": time.time(), **changes}
    output.write_bytes(OWNER_KEY, Owner(**owner).model_dump_json().encode())


def test_a_second_driver_is_refused_until_the_first_ends(tmp_path):
    output = open_store(str(tmp_path))
    with owning(output):
        with (
            pytest.raises(ConfigError, match=f"another run writes to .*process {os.getpid()} on {platform.node()}"),
            owning(output),
        ):
            pass
        assert output.exists(OWNER_KEY)
    with owning(output):
        pass
    assert Owner.model_validate_json(output.read_bytes(OWNER_KEY)).is_gone


def test_one_at_work_on_another_machine_is_respected(tmp_path):
    output = open_store(str(tmp_path))
    leave_owner(output)
    with pytest.raises(ConfigError, match="on elsewhere"), owning(output):
        pass


@pytest.mark.parametrize("changes", [{"renewed": 0}, {"node": platform.node(), "pid": 2**22 - 1}])
def test_one_that_was_killed_is_replaced(tmp_path, changes):
    output = open_store(str(tmp_path))
    leave_owner(output, **changes)
    with owning(output):
        assert b'"other"' not in output.read_bytes(OWNER_KEY)


def test_nonsense_is_replaced(tmp_path):
    output = open_store(str(tmp_path))
    output.write_bytes(OWNER_KEY, b"{")
    with owning(output):
        pass


class FakeTime:
    """What the lease knows of time: sleeping lets it pass, and may let something happen."""

    def __init__(self, happens=lambda now: None):
        self.now = 1000.0
        self._happens = happens

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self._happens(self.now)


def test_patience_outlasts_a_driver_that_was_lost(tmp_path, monkeypatch):
    output = open_store(str(tmp_path))
    fake = FakeTime()
    monkeypatch.setattr(lease, "time", fake)
    leave_owner(output, renewed=fake.now)
    said = []
    with owning(output, patience_s=lease.PATIENCE_S, say=said.append):
        assert b'"other"' not in output.read_bytes(OWNER_KEY)
    assert len(said) == 1
    assert "on elsewhere" in said[0]
    assert 1120 < fake.now < 1130


def test_patience_ends_where_the_other_is_at_work(tmp_path, monkeypatch):
    output = open_store(str(tmp_path))
    fake = FakeTime(lambda now: leave_owner(output, renewed=now))
    monkeypatch.setattr(lease, "time", fake)
    leave_owner(output, renewed=fake.now)
    with pytest.raises(ConfigError, match="on elsewhere"), owning(output, patience_s=lease.PATIENCE_S):
        pass
    assert fake.now == 1000 + lease.PATIENCE_S


def test_one_that_comes_back_after_another_took_over_ends_and_leaves_the_others_mark(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "_RENEW_EVERY_S", 0.01)
    output = open_store(str(tmp_path))
    with owning(output) as lost:
        leave_owner(output)
        with pytest.raises(TrainingError, match="another took over"):
            lost.result(timeout=30)
    assert b'"other"' in output.read_bytes(OWNER_KEY)


def test_one_that_ends_before_it_notices_leaves_the_others_mark(tmp_path):
    output = open_store(str(tmp_path))
    with owning(output) as lost:
        leave_owner(output)
    assert not lost.done()
    assert b'"other"' in output.read_bytes(OWNER_KEY)


def test_a_bucket_that_is_away_costs_no_lease(monkeypatch):
    class Away:
        num_renewals = 0

        def renew(self):
            self.num_renewals += 1
            if self.num_renewals == 3:
                ended.set()
            raise UnavailableError("it is away")

    monkeypatch.setattr(lease, "_RENEW_EVERY_S", 0.0)
    ended, lost, away = threading.Event(), Future(), Away()
    lease._renew(away, ended, lost)
    assert away.num_renewals == 3
    assert not lost.done()


def test_a_renewal_that_arrived_though_no_answer_did_costs_no_lease(tmp_path, monkeypatch):
    output = open_store(str(tmp_path))
    held = lease._Lease(output)
    held.take()
    with monkeypatch.context() as patch:

        def lose_the_answer(key, data, expected, swap=output.compare_and_swap):
            swap(key, data, expected)
            raise UnavailableError("no answer came")

        patch.setattr(held.output, "compare_and_swap", lose_the_answer)
        with pytest.raises(UnavailableError):
            held.renew()
    held.renew()
    held.give_back()
    assert Owner.model_validate_json(output.read_bytes(OWNER_KEY)).renewed == 0
