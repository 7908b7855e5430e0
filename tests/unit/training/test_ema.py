import torch

from momalisa.training.ema import PartitionedEma


def test_the_average_follows_by_its_ramp() -> None:
    weights = [torch.tensor([0.0, 0.0])]
    ema = PartitionedEma(weights, decay=0.999)
    expected = torch.zeros(2)
    for step in range(1, 6):
        weights[0].add_(1.0)
        ema.update(step)
        decay = min(0.999, (1 + step) / (10 + step))
        expected = expected * decay + weights[0] * (1 - decay)
    with ema.in_place_of_masters():
        torch.testing.assert_close(weights[0], expected)
    torch.testing.assert_close(weights[0], torch.tensor([5.0, 5.0]))


def test_what_is_set_in_place_of_the_masters_is_the_average() -> None:
    weights = [torch.zeros(3)]
    ema = PartitionedEma(weights, decay=0.9)
    with ema.in_place_of_masters():
        weights[0].fill_(7.0)
    assert weights[0].tolist() == [0.0] * 3
    with ema.in_place_of_masters():
        assert weights[0].tolist() == [7.0] * 3
