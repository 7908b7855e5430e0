"""What a walk's report sees in its frames."""

import numpy as np
import pytest

from momalisa.artworks.procedural import choose, draw
from momalisa.walk.report import evenness, ghost_share, sharpness, small


def picture(seed: int) -> "np.ndarray":
    subject = choose(seed)
    return np.asarray(draw(seed, 64, subject.manner, subject.foreground, subject.ground))


def blends(count: int) -> list["np.ndarray"]:
    a, b = picture(1).astype(float), picture(2).astype(float)
    return [((1 - w) * a + w * b).round().astype(np.uint8) for w in np.linspace(0, 1, count)]


def test_evenness_is_one_for_equal_steps_and_low_for_one_jump() -> None:
    assert evenness([0.3] * 20) == pytest.approx(1)
    assert evenness([0.0] * 5) == 1
    assert evenness([1e-6] * 19 + [1.0]) < 0.1
    assert evenness([1.0, 3.0]) == pytest.approx(0.75)


def test_a_cross_fade_is_made_of_ghosts_and_a_moving_picture_is_not() -> None:
    assert ghost_share(blends(33)) > 0.5
    wide = np.tile(picture(3), (1, 3, 1))
    moving = [wide[:, 3 * i : 3 * i + 64] for i in range(33)]
    assert ghost_share(moving) == 0
    assert ghost_share([picture(1)] * 33) == 0


def test_blurred_pictures_are_less_sharp() -> None:
    crisp = picture(4)
    blurred = np.asarray(small(np.kron(crisp, np.ones((4, 4, 1), dtype=np.uint8))))
    assert blurred.shape == (128, 128, 3)
    assert sharpness(blurred) < 0.8 * sharpness(crisp)
