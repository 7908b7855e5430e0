import pytest

from momalisa.models.training_state import TrainingState, hours_of, learning_rate_at, run_steps


def test_the_learning_rate_warms_up_and_ends_near_zero() -> None:
    def rate(step: int) -> float:
        return learning_rate_at(step, 1.0, num_steps=100, num_warmup_steps=10)

    assert rate(0) == pytest.approx(0.1)
    assert rate(10) > 0.95
    assert rate(99) < 0.001


def test_a_training_is_told_of_and_its_time_is_kept(tmp_path) -> None:
    import torch

    net = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(net.parameters())
    state = TrainingState(tmp_path / "state.safetensors", {"model": net}, net, optimizer, _seconds_before=7200.0)
    told = []

    def take_step(step: int) -> dict[str, float]:
        net(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        return {"loss": float(step)}

    def report(step: int, figures) -> None:
        told.append((step, figures["loss"]))
        assert figures["eta_s"] >= 0

    settings = {"num_steps": 100, "num_warmup_steps": 1, "learning_rate": 0.1, "save_every": 100}
    run_steps(state, take_step, report=report, **settings)
    assert told == [(50, 49.0), (100, 99.0)]
    assert hours_of(tmp_path / "state.safetensors") == pytest.approx(2, abs=0.1)
    run_steps(state, take_step, report=report, **settings)
    assert len(told) == 2
