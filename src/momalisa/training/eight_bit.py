"""Moments of bitsandbytes' 8-bit AdamW as fp32 tensors, and back: it keeps codes, and a scale for each block."""

from typing import Any

from torch import Tensor

_NAMES = {"exp_avg": "1", "exp_avg_sq": "2"}


def read_moment(state: dict[str, Any], kind: str) -> Tensor:
    """A parameter's `exp_avg` or `exp_avg_sq`, fp32. Small parameters' moments are kept in fp32 anyway."""
    number = _NAMES[kind]
    codes: Tensor = state[f"state{number}"]
    if f"absmax{number}" not in state:
        return codes
    from bitsandbytes.functional import dequantize_blockwise

    absmax = state[f"absmax{number}"]
    values: Tensor = dequantize_blockwise(
        codes, absmax=absmax, code=state[f"qmap{number}"], blocksize=_block_size(codes, absmax)
    )
    return values.float()


def write_moment(state: dict[str, Any], kind: str, value: Tensor) -> None:
    """Sets what `read_moment` gave: values on the code's own grid come back as the same codes."""
    number = _NAMES[kind]
    codes: Tensor = state[f"state{number}"]
    if f"absmax{number}" not in state:
        codes.copy_(value)
        return
    from bitsandbytes.functional import quantize_blockwise

    absmax = state[f"absmax{number}"]
    quantized, scales = quantize_blockwise(
        value.contiguous(), code=state[f"qmap{number}"], blocksize=_block_size(codes, absmax)
    )
    codes.copy_(quantized.view_as(codes))
    absmax.copy_(scales.absmax)


def _block_size(codes: Tensor, absmax: Tensor) -> int:
    """Of a power of two: what so many scales cover."""
    size = 64
    while -(-codes.numel() // size) > absmax.numel():
        size *= 2
    return size
