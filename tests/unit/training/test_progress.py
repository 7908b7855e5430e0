import io

from rich.console import Console

from momalisa.training.progress import ProgressBar, ProgressUpdate, format_duration


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=140, highlight=False), text


def test_without_a_terminal_lines_come_now_and_then_and_at_each_stage() -> None:
    console, text = _console(terminal=False)
    clock = _Clock()
    bar = ProgressBar(console, line_every_s=10, clock=clock)
    bar.update(ProgressUpdate(stage="starting"))
    for step in range(1, 26):
        clock.now += 1
        bar.update(
            ProgressUpdate(
                stage="training", step=step, max_steps=100, loss=0.25, images_per_s=32.0, eta_s=75, num_workers=2
            )
        )
    bar.close()
    assert text.getvalue().splitlines() == [
        "starting",
        "training 1/100  loss 0.2500  32.0 images/s  2 workers  ETA 1m15s",
        "training 11/100  loss 0.2500  32.0 images/s  2 workers  ETA 1m15s",
        "training 21/100  loss 0.2500  32.0 images/s  2 workers  ETA 1m15s",
        "training 25/100  loss 0.2500  32.0 images/s  2 workers  ETA 1m15s",
    ]


def test_closing_says_nothing_twice() -> None:
    console, text = _console(terminal=False)
    bar = ProgressBar(console, clock=_Clock())
    bar.update(ProgressUpdate(stage="starting"))
    bar.close()
    assert text.getvalue() == "starting\n"


def test_messages_are_said_once_and_markup_in_them_is_plain() -> None:
    console, text = _console(terminal=False)
    bar = ProgressBar(console, clock=_Clock())
    bar.update(ProgressUpdate(stage="training", step=1, max_steps=9, message="warning: [red]nothing moves"))
    bar.update(ProgressUpdate(stage="training", step=2, max_steps=9))
    bar.close()
    assert text.getvalue().count("warning: [red]nothing moves") == 1


def test_a_terminal_gets_a_bar_that_keeps_what_is_known() -> None:
    console, text = _console(terminal=True)
    bar = ProgressBar(console)
    bar.update(ProgressUpdate(stage="training", step=10, max_steps=20, loss=0.125, eta_s=3661, num_workers=1))
    bar.update(ProgressUpdate(stage="validating", step=10, max_steps=20, message="hello"))
    bar.close()
    shown = text.getvalue()
    assert "hello" in shown
    last = shown[shown.rindex("validating") :]
    for part in ("10/20", "loss 0.1250", "1 worker ", "ETA 1h01m"):
        assert part in last


def test_durations() -> None:
    assert [format_duration(s) for s in (-1, 45.4, 60, 185, 7265)] == ["0s", "45s", "1m00s", "3m05s", "2h01m"]
