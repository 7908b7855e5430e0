import math
from collections.abc import Iterator

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from momalisa.training.measures import lora_relative_change, relative_change


def test_change_is_relative_to_the_weights_before() -> None:
    before = {"unet.down.a": torch.full((4,), 3.0), "unet.mid.b": torch.full((4,), 4.0)}
    after = {"unet.down.a": torch.full((4,), 3.0), "unet.mid.b": torch.full((4,), 4.4)}
    change = relative_change(before, after)
    assert change.overall == pytest.approx(0.4 / 5)
    assert change.by_module == {"unet.down": 0.0, "unet.mid": pytest.approx(0.1)}


def test_parameters_may_come_one_at_a_time_and_in_another_dtype() -> None:
    before = {"unet.a": torch.ones(3, dtype=torch.bfloat16)}

    def pairs() -> Iterator[tuple[str, Tensor]]:
        yield "unet.a", torch.full((3,), 1.5)

    assert relative_change(before, pairs(), depth=1).by_module == {"unet": pytest.approx(0.5)}


def test_tiny_changes_are_not_lost_to_rounding() -> None:
    torch.manual_seed(0)
    before = {"unet.a": torch.randn(1000, 1000) * 0.03}
    after = {"unet.a": before["unet.a"] + 1e-7 * torch.randn(1000, 1000).sign()}
    assert relative_change(before, after).overall == pytest.approx(1e-7 / 0.03, rel=0.05)


def test_weights_that_are_not_numbers_any_more_show() -> None:
    change = relative_change({"a": torch.ones(2)}, {"a": torch.tensor([1.0, math.nan])})
    assert math.isnan(change.overall)


def test_weights_that_were_zero() -> None:
    assert relative_change({"a": torch.zeros(2)}, {"a": torch.zeros(2)}).overall == 0
    assert relative_change({"a": torch.zeros(2)}, {"a": torch.ones(2)}).overall == math.inf


def test_lora_change_is_that_of_the_merged_weights() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    base = {name: value.clone() for name, value in model.named_parameters()}
    inject_adapter_in_model(LoraConfig(r=2, lora_alpha=6, target_modules=["0"]), model)
    assert lora_relative_change(model).overall == 0
    layer = model[0]
    layer.lora_B["default"].weight.data.normal_()
    merged = base["0.weight"] + 3.0 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    expected = relative_change({"0.weight": base["0.weight"]}, {"0.weight": merged})
    change = lora_relative_change(model)
    assert change.is_lora
    assert change.overall == pytest.approx(expected.overall, rel=1e-5)
