"""Train the style classifier on drawings and on pictures of nothing, on a CPU, resumably.

No picture is seen twice: each step's are painted from (seed, step).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps
from torch import Tensor
from torch.nn import functional

from momalisa.artworks.procedural import COLORS, MANNERS, sample
from momalisa.errors import ConfigError, TrainingError
from momalisa.models.training_state import Report, TrainingState, remember_settings, run_steps
from momalisa.styles.classifier import SIDE, to_pixels
from momalisa.styles.network import StyleNet
from momalisa.styles.outliers import Pixels, outlier, spoilt_drawing

STATE_FILE = "styles_state.safetensors"
CONFIG_FILE = "styles_training.json"
_SHARE_HELD_OUT = 0.1
"""Of the combinations of manner and colours a tenth is kept from `tiny`; the classifier must know them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StyleTrainConfig:
    """How the classifier is trained."""

    num_steps: int = 3000
    seed: int = 0
    num_drawings: int = 44
    """In a step."""
    num_outliers: int = 20
    num_spoilt: int = 4
    """Drawings without a manner, though with colours; what the colours' heads say of them does not matter."""
    learning_rate: float = 2e-3
    num_warmup_steps: int = 100
    weight_decay: float = 0.02
    label_smoothing: float = 0.02
    max_grad_norm: float = 5.0
    save_every: int = 250

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise ConfigError(f"num_steps is {self.num_steps}; give at least 1")


@dataclass(frozen=True, slots=True)
class Batch:
    """Pixels (B, 3, 128, 128) in [-1, 1]; class indices (B, 3) of manner, foreground, ground, −100 for any."""

    pixels: Tensor
    labels: Tensor


def train_classifier(work: Path, config: StyleTrainConfig, *, report: Report | None = None) -> StyleNet:
    """Trains, or goes on with what `work` holds; gives the net in eval mode.

    Raises ConfigError where `work` was begun with other settings, TrainingError for a loss that is not finite.
    """
    remember_settings(work / CONFIG_FILE, config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        net = StyleNet(len(MANNERS), len(COLORS)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    state = TrainingState(work / STATE_FILE, {"model": net}, net, optimizer)
    run_steps(
        state,
        lambda step: _step(net, optimizer, training_batch(step, config), config, step),
        num_steps=config.num_steps,
        num_warmup_steps=config.num_warmup_steps,
        learning_rate=config.learning_rate,
        save_every=config.save_every,
        report=report,
    )
    return net.eval()


def training_batch(step: int, config: StyleTrainConfig) -> Batch:
    """The pictures of one step: drawings as a camera or a decoder may show them, then pictures of nothing."""
    rng = np.random.default_rng([config.seed, step])
    pictures, labels = [], []
    for _ in range(config.num_drawings):
        held_out = bool(rng.random() < _SHARE_HELD_OUT)
        drawing = sample(int(rng.integers(2**40)), manners=MANNERS, held_out=held_out)
        pictures.append(_as_seen(drawing.image, rng))
        labels.append(label_indices(drawing.manner, drawing.foreground, drawing.ground))
    for _ in range(config.num_outliers):
        pictures.append(outlier(rng, SIDE))
        labels.append(_NOTHING)
    for _ in range(config.num_spoilt):
        pictures.append(spoilt_drawing(rng, SIDE))
        labels.append(_NO_MANNER)
    return Batch(to_pixels(pictures), torch.tensor(labels))


def label_indices(manner: str, foreground: str, ground: str) -> tuple[int, int, int]:
    """The classes of a drawing."""
    return MANNERS.index(manner), COLORS.index(foreground), COLORS.index(ground)


_NOTHING = (len(MANNERS), len(COLORS), len(COLORS))
_NO_MANNER = (len(MANNERS), -100, -100)


def _step(
    net: StyleNet, optimizer: torch.optim.Optimizer, batch: Batch, config: StyleTrainConfig, step: int
) -> dict[str, float]:
    logits = net.train()(batch.pixels.contiguous(memory_format=torch.channels_last))
    heads = (logits.manner, logits.foreground, logits.ground)
    losses = [
        functional.cross_entropy(head, batch.labels[:, i], label_smoothing=config.label_smoothing)
        for i, head in enumerate(heads)
    ]
    loss = torch.stack(losses).sum()
    if not torch.isfinite(loss):
        raise TrainingError(f"the classifier's loss is {loss.item()} at step {step}: lower the learning rate")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(net.parameters(), config.max_grad_norm)
    optimizer.step()
    drawings = slice(0, config.num_drawings)
    right = [
        (head[drawings].argmax(dim=1) == batch.labels[drawings, i]).float().mean().item()
        for i, head in enumerate(heads)
    ]
    return {"loss": loss.item(), "manner": right[0], "foreground": right[1], "ground": right[2]}


def _as_seen(image: Image.Image, rng: np.random.Generator) -> Pixels:
    """Mirrored, cropped a little, softened, coarser, a little off in colour, grainy: what must not matter."""
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    if rng.random() < 0.4:
        image = _cropped(image, rng)
    if rng.random() < 0.2:
        coarse = int(rng.integers(40, SIDE))
        image = image.resize((coarse, coarse), Image.Resampling.BILINEAR).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.6)))
    gain, grain = rng.uniform(0.96, 1.04, 3), rng.uniform(0, 8) * rng.random()
    pixels = np.asarray(image, dtype=np.float32) * gain + grain * rng.standard_normal((SIDE, SIDE, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    side = round(SIDE * rng.uniform(0.9, 1))
    left, top = (int(rng.integers(SIDE - side + 1)) for _ in range(2))
    return image.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
