import pytest

from momalisa.training.config import OptimizerConfig
from momalisa.training.schedule import learning_rate_at


def test_warm_up_rises_linearly_to_the_peak() -> None:
    config = OptimizerConfig(learning_rate=1.0, num_warmup_steps=4)
    assert [learning_rate_at(config, step, 10) for step in (1, 2, 4, 5, 10)] == [0.25, 0.5, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_falling_schedules_end_at_their_floor(schedule: str) -> None:
    config = OptimizerConfig(learning_rate=1.0, schedule=schedule, num_warmup_steps=2, min_lr_ratio=0.1)  # type: ignore[arg-type]
    rates = [learning_rate_at(config, step, 100) for step in range(2, 101)]
    assert rates[0] == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert rates == sorted(rates, reverse=True)
    assert learning_rate_at(config, 51, 100) == pytest.approx(0.55, abs=0.01)
