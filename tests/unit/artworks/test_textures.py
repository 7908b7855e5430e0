from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from momalisa.artworks.textures import brushwork, cloud, dead_leaves


@pytest.mark.parametrize("texture", [dead_leaves, brushwork])
def test_textures_are_varied_and_repeatable(texture: Callable[[np.random.Generator, int], Image.Image]) -> None:
    first, again, other = (np.asarray(texture(np.random.default_rng(s), 32)) for s in (1, 1, 2))
    assert first.shape == (32, 32, 3)
    assert (first == again).all()
    assert (first != other).any()


def test_brushwork_has_more_fine_detail() -> None:
    def fine_share(texture: Callable[[np.random.Generator, int], Image.Image]) -> float:
        grey = np.stack([np.asarray(texture(np.random.default_rng(s), 64).convert("L"), np.float32) for s in range(40)])
        return float(np.abs(np.diff(grey, axis=2)).mean() / grey.std())

    assert fine_share(brushwork) > fine_share(dead_leaves)


def test_clouds_are_of_unit_deviation() -> None:
    assert cloud(np.random.default_rng(0), 64, roughness=0.5).std() == pytest.approx(1, abs=1e-3)
