import numpy as np
import pytest

from fml_jax.ops.images import bounding_box, eight_bits, halve, halve_plain, unit_range


@pytest.mark.parametrize("shape", [(6, 4, 3), (2, 8, 6, 1)])
def test_halves_are_averages_of_two_by_two_pixels(shape):
    images = np.random.default_rng(0).random(shape, np.float32)
    np.testing.assert_allclose(halve(images), halve_plain(images), rtol=1e-5)


def test_pixels_become_floats_from_zero_to_one():
    values = unit_range(np.arange(256, dtype=np.uint8))
    assert values.dtype == np.float32 and values[0] == 0 and values[-1] == 1
    np.testing.assert_array_equal(np.rint(values * 255), np.arange(256))


def test_floats_become_the_pixels_that_they_came_from():
    pixels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(eight_bits(unit_range(pixels)), pixels)
    np.testing.assert_array_equal(eight_bits(np.array([-0.5, 1.5])), [0, 255])


def test_a_bounding_box_holds_all_pixels_and_no_more():
    cover = np.zeros((9, 12))
    cover[2, 5] = cover[4, 3] = 0.1
    assert bounding_box(cover) == (slice(2, 5), slice(3, 6))
    assert cover[bounding_box(cover, beside=3)].shape == (8, 9)
    assert cover[bounding_box(0 * cover, beside=3)].size == 0
