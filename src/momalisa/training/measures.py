"""How far weights moved, relative to what they were."""

import math
from collections.abc import Iterable, Mapping

from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from momalisa.training.estimates import WeightChange


def relative_change(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]], *, depth: int = 2
) -> WeightChange:
    """How far parameters moved, overall and by the first `depth` parts of their names.

    `after` may be pairs that are made one at a time, so that a second copy of the weights need not fit.
    Raises KeyError for a name that `before` lacks.
    """
    pairs = after.items() if isinstance(after, Mapping) else after
    squares: dict[str, list[float]] = {}
    for name, now in pairs:
        was = before[name].detach().to(device=now.device).float()
        moved = _square(now.detach().float() - was)
        _add(squares, ".".join(name.split(".")[:depth]), moved, _square(was))
    return _ratios(squares, is_lora=False)


def lora_relative_change(module: nn.Module, *, depth: int = 2) -> WeightChange:
    """How far active LoRA adapters move the weights that they are put on: ‖s · B A‖ / ‖W‖, s = alpha / rank.

    Of the adapted weights alone. The change of A and B themselves says little: B begins at 0.
    """
    squares: dict[str, list[float]] = {}
    for name, layer in module.named_modules():
        if isinstance(layer, LoraLayer):
            moved = sum(_square(layer.get_delta_weight(adapter).detach().float()) for adapter in layer.active_adapters)
            base = _square(layer.get_base_layer().weight.detach().float())
            _add(squares, ".".join(name.split(".")[:depth]), moved, base)
    return _ratios(squares, is_lora=True)


def _add(squares: dict[str, list[float]], group: str, moved: float, base: float) -> None:
    sums = squares.setdefault(group, [0.0, 0.0])
    sums[0] += moved
    sums[1] += base


def _square(tensor: Tensor) -> float:
    # In fp64 across tensors; within one, torch's own pairwise fp32 sum is exact enough.
    return float(tensor.pow(2).sum().double())


def _ratios(squares: Mapping[str, list[float]], *, is_lora: bool) -> WeightChange:
    total = [sum(sums[i] for sums in squares.values()) for i in (0, 1)]
    return WeightChange(
        overall=_ratio(total),
        by_module={group: _ratio(sums) for group, sums in sorted(squares.items())},
        is_lora=is_lora,
    )


def _ratio(sums: list[float]) -> float:
    moved, base = (math.sqrt(value) if value >= 0 else math.nan for value in sums)
    if base == 0:
        return 0.0 if moved == 0 else math.inf
    return moved / base
