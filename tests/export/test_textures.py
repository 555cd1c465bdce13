"""Textures: the colours of the mesh's vertices where its texture coordinates lead."""

import numpy as np
import pytest

from fml_jax.export.textures import SIZE, atlas_of


@pytest.fixture(scope="module")
def atlas(face):
    return atlas_of(face.model)


def looked_up(texture, uv):
    """Bilinear, as a renderer does it: texel centres at halves, row 0 at v = 1."""
    size = len(texture)
    x, y = uv[:, 0] * size - 0.5, (1 - uv[:, 1]) * size - 0.5
    column, row = np.clip(np.floor(x).astype(int), 0, size - 2), np.clip(np.floor(y).astype(int), 0, size - 2)
    right, down = (x - column)[:, None], (y - row)[:, None]
    upper = texture[row, column] * (1 - right) + texture[row, column + 1] * right
    lower = texture[row + 1, column] * (1 - right) + texture[row + 1, column + 1] * right
    return upper * (1 - down) + lower * down


def test_a_texture_shows_each_vertex_its_own_value(face, atlas):
    model = face.model
    smooth = np.asarray(model.mean) / 100  # some values that vary over the head
    corners, triangles = np.asarray(model.uv_triangles).ravel(), np.asarray(model.topology.triangles).ravel()
    found = looked_up(atlas.baked(smooth), np.asarray(model.uv)[corners])
    error = np.linalg.norm(found - smooth[triangles], axis=1)
    assert np.median(error) < 0.002 and np.quantile(error, 0.999) < 0.05  # of values from -1 to 1


def test_beyond_the_seams_a_texture_repeats_their_values(atlas, face):
    ones = np.ones((face.model.vertex_count, 1), np.float32)
    texture = atlas.baked(ones)[..., 0]
    np.testing.assert_allclose(texture, 1, atol=1e-5)  # no texel of the ground, even far from the islands
    assert 0.6 < atlas.covered.mean() < 0.8 and texture.shape == (SIZE, SIZE)


def test_an_atlas_is_made_once(face, atlas):
    assert atlas_of(face.model) is atlas


def test_where_texture_coordinates_overlap_the_front_is_seen(face):
    """A frontal projection has the face and the back of the head in the same place."""
    model = face.model
    mean, triangles = np.asarray(model.mean), np.asarray(model.topology.triangles)
    uv = (mean[:, :2] - mean[:, :2].min(0)) / np.ptp(mean[:, :2], axis=0)
    flat = model.replace(name="flat", uv=uv, uv_triangles=triangles)
    texture = atlas_of(flat, 256).baked(mean[:, 2:])
    skin = np.flatnonzero(np.asarray(model.regions["nose"]))
    found = looked_up(texture, uv[skin])[:, 0]
    assert np.median(np.abs(found - mean[skin, 2])) < 2  # mm; the back is 150 mm behind
