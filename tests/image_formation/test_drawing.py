"""Pictures of meshes: what is covered, what shows through, and that all of one mesh lie alike."""

import numpy as np
import pytest

from fml_jax.image_formation.drawing import PLAIN_GROUND, Paint, clay, draw, shown_on_photos
from fml_jax.image_formation.raster import interpolate, rasterize

SIZE = 60
# A square over the crop's middle half, in two triangles.
CORNERS = np.array([[60.0, 60.0], [60.0, 180.0], [180.0, 180.0], [180.0, 60.0]]) - 0.5
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]])
GREEN = np.tile([0.2, 0.6, 0.4], (4, 1))


def picture(paint):
    return draw(CORNERS, np.full(4, 900.0), TRIANGLES, paints={"one": paint}, size=SIZE)["one"]


def test_the_mesh_covers_its_place_and_the_ground_shows_beside_it():
    ground = np.random.default_rng(0).random((SIZE, SIZE, 3), np.float32)
    drawn = picture(Paint(GREEN, ground))
    inside = np.zeros((SIZE, SIZE), bool)
    inside[15:45, 15:45] = True
    assert (drawn[inside] == [51, 153, 102]).all()
    np.testing.assert_array_equal(drawn[~inside], (ground[~inside] * 255 + 0.5).astype(np.uint8))


def test_opacity_lets_the_ground_through_and_colours_are_clipped():
    ground = np.zeros((1, 1, 3), np.float32)
    np.testing.assert_allclose(picture(Paint(GREEN, ground, 0.5))[30, 30], [25.5, 76.5, 51], atol=1)
    assert (picture(Paint(GREEN, opacity=np.zeros((4, 1)))) == round(255 * PLAIN_GROUND.item(0))).all()
    assert (picture(Paint(GREEN * 10, ground))[30, 30] == 255).all()


def test_edges_are_smooth():
    shifted = draw(
        CORNERS + 2.0, np.full(4, 900.0), TRIANGLES, paints={"one": Paint(0 * GREEN, np.ones((1, 1, 3)))}, size=SIZE
    )["one"]
    assert 100 < shifted[30, 15, 0] < 155  # half covered


def test_a_pixel_is_the_mean_of_its_four_samples():
    """Small triangles, of which up to four meet in a pixel, that hide each other."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 240, (150, 1, 2)) + rng.normal(0, 20, (150, 3, 2))
    (ax, ay), (bx, by), (cx, cy) = corners.transpose(1, 2, 0)
    turned = (bx - ax) * (cy - ay) > (cx - ax) * (by - ay)
    corners[turned] = corners[turned][:, ::-1]  # so that all show their front
    pixels, triangles = corners.reshape(-1, 2), np.arange(450).reshape(-1, 3)
    depth, colours = rng.uniform(800, 1000, 450), rng.random((450, 3))
    black = Paint(colours, np.zeros((1, 1, 3)))
    drawn = draw(pixels, depth, triangles, paints={"one": black}, size=SIZE)["one"]
    fine = rasterize((pixels + 0.5) * 2 * SIZE / 240 - 0.5, depth, triangles, height=2 * SIZE, width=2 * SIZE)
    samples = interpolate(colours, triangles, fine)
    mean = samples.reshape(SIZE, 2, SIZE, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(drawn, 255 * mean, atol=0.51)
    assert 0.3 < (fine[0] >= 0).mean() < 1


def test_clay_is_brightest_towards_the_lamp():
    towards, away = clay(np.array([[-0.35, -0.45, -0.82]])), clay(np.array([[0.35, 0.45, 0.82]]))
    assert (towards > away).all() and (away > 0).all()


@pytest.mark.parametrize("names", [("face",), ("face", "eyes")])
def test_eyes_are_shown_where_a_model_has_them(tiny_model, names):
    count = tiny_model.vertex_count
    regions = {name: np.arange(count) % 3 == k for k, name in enumerate(names)}
    shown = shown_on_photos(tiny_model.replace(regions=regions))
    assert shown.shape == (count, 1)
    np.testing.assert_array_equal(shown[:, 0] > 0, np.arange(count) % 3 < len(names))
