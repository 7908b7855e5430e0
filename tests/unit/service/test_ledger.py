"""The account in the bucket."""

from pathlib import Path

from momalisa.service.ledger import Ledger
from momalisa.storage import open_store

_HOUR_S = 3600


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


def test_totals_are_those_of_all_processes_before_and_after_a_restart(tmp_path: Path) -> None:
    clock, store = Clock(), open_store(tmp_path)
    renderers = [Ledger(store, clock), Ledger(store, clock)]
    reader = Ledger(store, clock)
    for hour in range(4):
        for renderer in renderers:
            renderer.enter_chunk(f"work-{hour}", num_rendered=16, num_drawn_twice=1, unet_evaluations=100, seconds=1.25)
        totals = reader.totals()
        assert totals == reader.totals() == Ledger(store, clock).totals()
        assert totals.num_rendered == 32 * (hour + 1)
        assert totals.num_drawn_twice == 2 * (hour + 1)
        assert totals.unet_evaluations == 200 * (hour + 1)
        assert totals.renderer_seconds == 2.5 * (hour + 1)
        clock.now += _HOUR_S


def test_what_a_late_clock_enters_is_counted(tmp_path: Path) -> None:
    clock, late, store = Clock(), Clock(), open_store(tmp_path)
    reader = Ledger(store, clock)
    reader.totals()
    clock.now += _HOUR_S
    reader.totals()
    Ledger(store, late).enter_chunk("work", num_rendered=3, num_drawn_twice=0, unet_evaluations=9, seconds=0.5)
    assert reader.totals().num_rendered == 3


def test_an_end_is_counted_once(tmp_path: Path) -> None:
    ledger = Ledger(open_store(tmp_path))
    for _ in range(2):
        ledger.enter_end("work", "done")
    ledger.enter_end("other", "cancelled")
    assert ledger.totals().ends == {"done": 1, "cancelled": 1}


def test_an_empty_bucket_has_no_totals(tmp_path: Path) -> None:
    assert Ledger(open_store(tmp_path)).totals().num_rendered == 0
