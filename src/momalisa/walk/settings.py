"""How a model runs; no torch in it, so that it can be said where none is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Dtype = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a model runs. None: what suits the machine."""

    device: str | None = None
    dtype: Dtype | None = None
    """float16 on a GPU, else float32."""
    compile: bool = False
    """torch.compile of the UNet: a minute at the start, faster afterwards on a GPU."""
    vae_slicing: bool | None = None
    """Pictures are decoded one by one; None: on a processor, and on a GPU short of memory."""
    lpips: Path | None = None
    """Weights of LPIPS, to measure distances by it. None: the style classifier's, or the decoder's features."""
