import numpy as np
import pytest
import torch

from momalisa.artworks.procedural import draw
from momalisa.styles.classifier import StyleClassifier
from momalisa.styles.distances import diversity, frechet_distance, mean_pairwise_distance, perceptual_distance
from momalisa.styles.network import StyleNet


@pytest.fixture(scope="module")
def classifier() -> StyleClassifier:
    torch.manual_seed(0)
    return StyleClassifier(StyleNet(12, 12))


def pictures(*seeds: int, manner: str = "dots") -> "np.ndarray":
    return np.stack([np.asarray(draw(seed, 64, manner, "red", "white")) for seed in seeds])


def test_the_frechet_distance_of_gaussians_is_their_formula() -> None:
    # For diagonal covariances it is |μa − μb|² + Σ (σa − σb)².
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(200_000, 2, generator=generator, dtype=torch.float64)
    a, b = noise[:100_000], noise[100_000:] * torch.tensor([3.0, 0.5]) + torch.tensor([1.0, -2.0])
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + (3 - 1) ** 2 + (0.5 - 1) ** 2, rel=0.02)


def test_the_frechet_distance_of_a_set_to_itself_is_zero_even_where_features_never_vary() -> None:
    features = torch.randn(64, 8, generator=torch.Generator().manual_seed(2))
    features[:, 3] = 1.0
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)


def test_the_frechet_distance_wants_equal_and_sufficient_sizes() -> None:
    with pytest.raises(ValueError, match="equal sizes"):
        frechet_distance(torch.zeros(20, 4), torch.zeros(21, 4))
    with pytest.raises(ValueError, match="too few"):
        frechet_distance(torch.zeros(7, 4), torch.zeros(7, 4))


def test_the_perceptual_distance_is_zero_for_the_same_and_grows_with_difference(classifier: StyleClassifier) -> None:
    one, grainy = pictures(1), pictures(1).astype(np.int16)
    grainy = np.clip(grainy + np.random.default_rng(0).integers(-6, 7, grainy.shape), 0, 255).astype(np.uint8)
    same, near = (float(perceptual_distance(classifier, one, other)[0]) for other in (one, grainy))
    far = float(perceptual_distance(classifier, one, pictures(5, manner="waves"))[0])
    assert same == 0
    assert 0 < near < far


def test_pictures_that_are_all_the_same_have_no_diversity(classifier: StyleClassifier) -> None:
    real = pictures(1, 2, 3)
    assert mean_pairwise_distance(classifier, pictures(1, 1, 1)) == 0
    assert diversity(classifier, [real], [real]) == pytest.approx(1)
    assert diversity(classifier, [pictures(1, 1, 1)], [real]) == 0
    with pytest.raises(ValueError, match="at least two"):
        mean_pairwise_distance(classifier, pictures(1))


def test_pictures_that_look_alike_are_near_though_the_main_axis_of_their_colours_turns_over(
    classifier: StyleClassifier,
) -> None:
    stripes = np.zeros((128, 128, 3), dtype=np.uint8)
    stripes[np.arange(128) % 16 < 8] = (200, 60, 90)
    rarer, commoner = stripes.copy(), stripes.copy()
    rarer[:8, :4], commoner[8:16, :4] = stripes[8, 0], stripes[0, 0]  # now the one colour is the rarer, now the other
    apart = perceptual_distance(classifier, rarer[None], commoner[None])
    assert apart < 0.05 * perceptual_distance(classifier, rarer[None], pictures(3))
