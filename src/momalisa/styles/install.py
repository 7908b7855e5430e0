"""Put a finished classifier, with its card, where the package ships it from."""

from collections.abc import Mapping
from pathlib import Path

from momalisa.artworks.procedural import COLORS, MANNERS
from momalisa.errors import ModelError
from momalisa.styles.classifier import CERTAIN, WEIGHTS, save_classifier
from momalisa.styles.network import NUM_FEATURES, StyleNet

MAX_BYTES = 2_000_000
CARD = "CARD.md"


def install(net: StyleNet, figures: Mapping[str, float], *, num_steps: int, folder: Path | None = None) -> Path:
    """Writes weights and card, by default into the package; gives the weights' path.

    Raises ModelError where they would be too large to ship.
    """
    folder = folder or Path(__file__).parent
    partial = folder / f"{WEIGHTS}.partial"
    save_classifier(net, partial)
    num_bytes = partial.stat().st_size
    if num_bytes > MAX_BYTES:
        partial.unlink()
        raise ModelError(f"the classifier has {num_bytes} bytes, more than {MAX_BYTES}: make a smaller one")
    (folder / CARD).write_text(_card(figures, num_steps, num_bytes), encoding="utf-8")
    return partial.replace(folder / WEIGHTS)


def _card(figures: Mapping[str, float], num_steps: int, num_bytes: int) -> str:
    measured = "\n".join(f"| {name.replace('_', ' ')} | {value:g} |" for name, value in figures.items())
    return f"""# The style classifier

A residual CNN of {num_bytes / 1e6:.1f} MB that says which manner, which foreground and which ground a picture of
128 × 128 pixels shows, each with "none of these" as one more class.

- Manners: {", ".join(MANNERS)}
- Colours: {", ".join(COLORS)}
- Trained for {num_steps} steps of 44 drawings (`momalisa.artworks.procedural`, all manners and combinations,
  softened, cropped and shifted in colour) and 24 pictures of nothing: noise, blank canvases, clouds, spots, leaves,
  drawings cut up, blended or blurred away. No photograph and no painting.
- A class counts as seen from a probability of {CERTAIN} on.
- {NUM_FEATURES} pooled features serve the Fréchet distance, the maps of four scales the perceptual distance.
- Again from nothing: `python jobs/make_styles.py --work DIR --install`

## Measured

On drawings that training cannot have seen, a tenth of them of combinations that `tiny` never saw. `all accuracy`:
manner and both colours right. The highest probability of any class is given for pictures of nothing and for
photographs; `frechet floor` is the distance of two sets of drawings, each of half the number.

| | |
|---|---|
{measured}

Weights: Apache-2.0.
"""
