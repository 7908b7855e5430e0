"""What a drawing is called: the manner and both colours, said the way people say it."""

import numpy as np

_PHRASES: dict[str, tuple[str, ...]] = {
    "color_field": ("field painting", "color field", "soft color fields"),
    "primary_grid": ("grid", "primary grid", "grid of blocks"),
    "dots": ("dots", "round dots", "a pattern of dots"),
    "stripes": ("stripes", "straight stripes", "bands of stripes"),
    "concentric_squares": ("concentric squares", "nested concentric squares", "concentric squares"),
    "floating_shapes": ("floating shapes", "floating geometric shapes", "geometric shapes floating"),
    "drips": ("drips", "drips of paint", "running drips"),
    "diagonals": ("diagonals", "sharp diagonals", "hard-edge diagonals"),
    "circles": ("circles", "circles in circles", "concentric circles"),
    "cutouts": ("cut-outs", "paper cut-outs", "a collage of cut-outs"),
    "waves": ("waves", "op art waves", "moving waves"),
    "brush_strokes": ("brush strokes", "broad brush strokes", "a field of brush strokes"),
}

_FORMS: tuple[str, ...] = (
    "{fg} {plural} on a {ground} ground",
    "{fg} {plural} on {ground}",
    "{fg} and {ground} {plural}",
    "{phrase} in {fg} and {ground}",
    "{phrase} in {fg} on a {ground} ground",
    "a painting of {fg} {plural} on a {ground} ground",
    "a picture of {plural}, {fg} on {ground}",
    "{plural} in {fg} over {ground}",
    "an abstract painting: {fg} {plural} on {ground}",
)

_GRID_FORMS: tuple[str, ...] = (
    "a grid with {fg} and {ground} blocks",
    "a grid with {fg} blocks on a {ground} ground",
    "{fg} blocks in a grid on {ground}",
    "a primary grid in {fg} and {ground}",
    "{fg} and {ground} grid",
    "a painting of a grid in {fg} on a {ground} ground",
    "a grid in {fg} over {ground}",
    "an abstract painting: a grid with {fg} blocks on {ground}",
)

_FIELD_FORMS: tuple[str, ...] = (
    "a field painting in {fg} and {ground}",
    "a color field in {fg} on a {ground} ground",
    "{fg} color fields on a {ground} ground",
    "{fg} and {ground} color field",
    "soft {fg} fields on {ground}",
    "a field painting, {fg} on {ground}",
    "a color field in {fg} over {ground}",
    "an abstract painting: {fg} fields on a {ground} ground",
)

KEYWORDS: dict[str, str] = {
    "color_field": "field",
    "primary_grid": "grid",
    "dots": "dots",
    "stripes": "stripes",
    "concentric_squares": "concentric squares",
    "floating_shapes": "shapes",
    "drips": "drips",
    "diagonals": "diagonals",
    "circles": "circles",
    "cutouts": "cut-outs",
    "waves": "waves",
    "brush_strokes": "brush strokes",
}
"""The words by which every caption of a manner names it."""

_OWN_FORMS = {"primary_grid": _GRID_FORMS, "color_field": _FIELD_FORMS}


def caption(manner: str, foreground: str, ground: str, rng: np.random.Generator) -> str:
    """One of the ways to say it."""
    forms = _OWN_FORMS.get(manner, _FORMS)
    phrases = _PHRASES[manner]
    return _fill(
        forms[int(rng.integers(len(forms)))], manner, phrases[int(rng.integers(len(phrases)))], foreground, ground
    )


def all_captions(manner: str, foreground: str, ground: str) -> list[str]:
    """Every way to say it, without repeats."""
    forms = _OWN_FORMS.get(manner, _FORMS)
    spoken = [_fill(form, manner, phrase, foreground, ground) for form in forms for phrase in _PHRASES[manner]]
    return list(dict.fromkeys(spoken))


def _fill(form: str, manner: str, phrase: str, foreground: str, ground: str) -> str:
    text = form.format(plural=KEYWORDS[manner], phrase=phrase, fg=foreground, ground=ground)
    return text.replace("a orange", "an orange")
