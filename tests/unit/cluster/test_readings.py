"""Progress and troubles, by a job's own words."""

import pytest

from momalisa.cluster.readings import Progress, exit_code_in, progress_in, trouble_in
from momalisa.cluster.troubles import Cause
from momalisa.training.progress import ProgressBar, ProgressUpdate


def test_progress_is_read_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    """By the very code that drivers print with."""
    bar = ProgressBar(line_every_s=0.0)
    bar.update(
        ProgressUpdate(
            stage="training",
            step=1200,
            max_steps=5000,
            loss=0.12344,
            images_per_s=12.34,
            learning_rate=1e-5,
            num_workers=2,
            eta_s=7620.0,
        )
    )
    bar.close()
    assert progress_in(capsys.readouterr().out.splitlines()) == Progress(
        stage="training", step=1200, max_steps=5000, loss=0.1234, images_per_s=12.3, num_workers=2, eta_s=7620.0
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("training 1/20  1 worker", "step 1 of 20"),
        ("\x1b[1mtraining\x1b[0m 2/20  loss 0.5000  ETA 45s", "step 2 of 20, loss 0.5000, ETA 45s"),
        ("walks: 3/10, ETA 95 s", "walks 3 of 10, ETA 1m35s"),
        ("validating 5/20  loss nan", "validating, step 5 of 20, loss nan"),
        ("training 3/20  loss 0.5  1.0 images/s  ETA 1h00m", "step 3 of 20, loss 0.5000, 1.0 images/s, ETA 1h00m"),
    ],
)
def test_progress_in_words(line: str, words: str) -> None:
    found = progress_in([line])
    assert found is not None
    assert found.in_words() == words


def test_other_lines_are_no_progress() -> None:
    assert progress_in(["Downloading 3/4 files", "saved 3/4", "", "step 5: validation loss 0.3"]) is None


def test_exit_code() -> None:
    assert exit_code_in("Job entrypoint command failed with exit code -9, last available logs") == -9
    assert exit_code_in("Job finished successfully.") is None


@pytest.mark.parametrize(
    ("text", "cause", "headline"),
    [
        ("error: no such recipe: demoo", Cause.EXCEPTION, "no such recipe: demoo"),
        ("(RayTrainWorker pid=3, ip=10.0.0.1) ValueError: torn", Cause.EXCEPTION, "ValueError: torn"),
        ("KeyError: 'title'\nsome line after it", Cause.EXCEPTION, "KeyError: 'title'"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried …", Cause.GPU_MEMORY, "a GPU ran out of memory"),
        (
            "UnavailableError: status 503\ntraining 5/9\nerror: KeyError: 'x'",
            Cause.EXCEPTION,
            "KeyError: 'x'",
        ),
        (
            "CUDA out of memory, halving\ntraining 5/9\nerror: the loss is nan",
            Cause.EXCEPTION,
            "the loss is nan",
        ),
        ("error: reading a: still failing after 10 attempts", Cause.STORAGE, "the bucket did not answer"),
        ("error: first\nerror: second", Cause.EXCEPTION, "second"),
        ("torch.OutOfMemoryError\nerror: the workers failed too often: rank 1", Cause.GPU_MEMORY, "a GPU ran out"),
        ("warning: metrics: access denied\nRuntimeError: x", Cause.EXCEPTION, "RuntimeError: x"),
    ],
)
def test_trouble_by_words(text: str, cause: Cause, headline: str) -> None:
    found = trouble_in(text, "log")
    assert found is not None
    assert found.cause == cause
    assert found.headline.startswith(headline)


def test_words_that_tell_nothing() -> None:
    assert trouble_in("all is well\n", "log") is None
    assert trouble_in("", "log") is None
