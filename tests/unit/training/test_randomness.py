import numpy as np
import pytest

from momalisa.training.randomness import SampleRandom, generator


@pytest.mark.parametrize(
    "other",
    [SampleRandom(2, 0, 0), SampleRandom(1, 1, 0), SampleRandom(1, 0, 1), SampleRandom(1, 0, 0, "replay")],
)
def test_depends_on_each_input(other):
    base = SampleRandom(1, 0, 0)
    assert base.uniform("crop") != other.uniform("crop")
    assert base.integer("timestep", 2**40) != other.integer("timestep", 2**40)
    assert not np.array_equal(base.normal("noise", (8,)), other.normal("noise", (8,)))


def test_purposes_are_independent():
    random = SampleRandom(1, 0, 0)
    a, b = random.normal("noise", (20_000,)), random.normal("latent", (20_000,))
    assert abs(float(np.corrcoef(a, b)[0, 1])) < 0.03


def test_the_same_again_whatever_was_drawn_before():
    first = SampleRandom(7, 3, 11).normal("noise", (4, 8, 8))
    random = SampleRandom(7, 3, 11)
    random.normal("latent", (3,))
    random.uniform("flip")
    np.testing.assert_array_equal(random.normal("noise", (4, 8, 8)), first)
    assert first.dtype == np.float32
    assert first.shape == (4, 8, 8)


def test_values_are_what_they_were():
    """A change of these would silently change every run that resumes."""
    random = SampleRandom(0, 0, 0)
    assert random.integer("timestep", 1000) == 639
    assert random.uniform("flip") == 0.9036601270191397
    np.testing.assert_array_equal(
        random.normal("noise", (3,)),
        np.array([-2.3822806, 0.55053383, -2.250075], dtype=np.float32),
    )


def test_distributions():
    samples = [SampleRandom(0, 0, i) for i in range(4000)]
    uniform = np.array([s.uniform("u") for s in samples])
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert np.mean(uniform) == pytest.approx(0.5, abs=0.02)
    integers = np.bincount([s.integer("t", 10) for s in samples], minlength=10)
    assert len(integers) == 10
    assert integers.min() > 300
    normal = SampleRandom(0, 0, 0).normal("n", (40_000,))
    assert normal.mean() == pytest.approx(0, abs=0.02)
    assert normal.std() == pytest.approx(1, abs=0.02)


def test_generators_are_functions_of_their_key():
    assert generator(1, "a").integers(2**60) == generator(1, "a").integers(2**60)
    assert generator(1, "a").integers(2**60) != generator(1, "b").integers(2**60)
