"""The head at its pixels against a raster of all triangles of all points."""

import jax
import numpy as np
import pytest

from fml_jax.face_model.topology import vertex_normals
from fml_jax.image_formation.illumination import shading
from fml_jax.image_formation.parts import form_parts, joined_rows, joined_triangles, parts_of
from fml_jax.image_formation.points import form_points_of
from fml_jax.image_formation.raster import interpolate, rasterize
from fml_jax.synthetic.hair import sample_hair
from fml_jax.synthetic.head_raster import head_raster
from fml_jax.synthetic.lit_head import plainly_lit_head
from fml_jax.synthetic.random_codes import sample_face


@jax.jit
def slow_points(model, face, hair):
    """Head and mouth with hair, every point of both."""
    lift = (hair["thickness"] * hair["cover"])[:, None]
    vertices = face.vertices + lift * vertex_normals(model.topology, face.vertices)
    skin = face.reflectance + hair["cover"][:, None] * (hair["colour"] - face.reflectance)
    return form_points_of(model.topology, vertices, skin, code=face.code), form_parts(parts_of(model), face.code)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_shows_what_a_raster_of_everything_shows(model, units, seed):
    rng = np.random.default_rng([30, seed])
    face = sample_face(model, units, rng)
    hair = sample_hair(model, rng)
    head = head_raster(model, face, hair)

    of_hair = {"thickness": hair.thickness, "cover": hair.cover, "colour": hair.colour}
    points, inner = jax.device_get(slow_points(model, face._replace(light=None), of_hair))
    joined = {name: joined_rows(getattr(points, name), getattr(inner, name)) for name in ("positions", "pixels")}
    triangles = joined_triangles(model.vertex_count, np.asarray(model.topology.triangles), parts_of(model))
    nearest = rasterize(joined["pixels"], joined["positions"][:, 2], triangles, height=240, width=240)
    colours = np.clip(joined_rows(points.colours, inner.colours), 0, 1)
    expected = interpolate(np.column_stack([colours, joined["positions"][:, 2]]), triangles, nearest)

    shown = nearest[0] >= 0
    assert (shown != head.shown).sum() < 10  # where the neck's cut shows the inside of the back
    picture = np.zeros((240, 240, 3), np.float32)
    picture[head.shown] = plainly_lit_head(head, face.code).T
    both = shown & head.shown
    # Where the mouth's parts reach through the skin, only the raster of everything shows them.
    assert (np.abs(picture - expected[:, :, :3]).max(axis=2) > 1e-3)[both].mean() < 0.01
    assert (np.abs(head.depth - expected[:, :, 3]) > 0.05)[both].mean() < 0.01


def test_attributes_of_the_head_are_zero_within_the_mouth(model, units):
    rng = np.random.default_rng([30, 0])
    face = sample_face(model, units, rng)
    head = head_raster(model, face, sample_hair(model, rng))
    of_seen = head.of_seen(np.arange(1.0, model.vertex_count + 1)[:, None])[:, 0]
    on_head = head.seen < model.vertex_count
    assert 0 < (~on_head).sum() < on_head.sum()
    np.testing.assert_array_equal(of_seen[on_head], head.seen[on_head] + 1)
    assert (of_seen[~on_head] == 0).all()
    assert np.allclose(head.at_pixels(np.ones((len(head.seen), 2))), 1, atol=1e-5)
    normals = head.normals[head.seen]
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)
    assert shading(normals, np.asarray(face.code.illumination)).shape == (len(normals), 3)
