"""Occluders: label maps agree with geometry, the hidden share is as asked, kinds can be left out."""

import cv2
import numpy as np
import pytest

from fml_jax.codes import unflatten_code
from fml_jax.corpus.face_labels import BACKGROUND, FACE, OCCLUDER, occluded_share
from fml_jax.errors import InputError
from fml_jax.image_formation.points import form_points
from fml_jax.synthetic.occluders.blobs import make_blob
from fml_jax.synthetic.occluders.kinds import SURFACES, checked_kinds, sample_kinds
from fml_jax.synthetic.occluders.layers import Layer, SeenSurface, draw_layer, laid_over
from fml_jax.synthetic.occluders.names import KINDS
from fml_jax.synthetic.occluders.surfaces import ellipsoid, tube
from fml_jax.synthetic.rendering import PLAIN, Style, render_synthetic


def rendered(model, units, seed, *kinds, **style):
    return render_synthetic(
        model, units, np.random.default_rng([8, seed]), style=Style(kinds=kinds, unoccluded=0.0, **style)
    )


def labels_at(labels, pixels):
    column, row = np.clip(np.rint((np.asarray(pixels) - 0.5) / 2).astype(int), 0, 119).T
    return labels[row, column]


def test_what_is_labelled_face_is_where_the_codes_vertices_are(model, units):
    for seed in range(4):
        face = render_synthetic(model, units, np.random.default_rng(seed), style=PLAIN)
        points = form_points(model, unflatten_code(face.code, model.code_sizes))
        # Vertices whose normals point to the camera; at grazing ones, nose or cheek may be in front.
        clear = np.asarray(points.visible) & (np.asarray(points.normals)[:, 2] < -0.6)
        skin, elsewhere = np.asarray(model.regions["face"]), np.asarray(model.regions["neck"])
        assert (labels_at(face.labels, points.pixels[clear & skin]) == FACE).mean() > 0.97
        assert (labels_at(face.labels, points.pixels[clear & elsewhere]) == BACKGROUND).mean() > 0.8
        assert not (face.labels == OCCLUDER).any() and face.kinds == ()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_hides_a_part_of_the_face(model, units, kind):
    shares = []
    for seed in range(3):
        face = rendered(model, units, seed, kind)
        share = occluded_share(face.labels)
        assert share < 0.6 and set(np.unique(face.labels)) <= {BACKGROUND, FACE, OCCLUDER}
        shares.append(share)
    assert max(shares) > 0.02


@pytest.mark.parametrize("share", [0.05, 0.2, 0.45])
def test_a_blob_hides_the_share_that_is_asked_for(share):
    face = np.zeros((240, 240), bool)
    face[40:200, 60:180] = True
    for seed in range(5):
        layer = make_blob(np.random.default_rng(seed), face, share)
        assert abs((layer.opacity[face] > 0.5).mean() - share) < 0.01


def test_an_occluder_is_labelled_where_it_is_and_nowhere_else(model, units, monkeypatch):
    """A ball of 20 mm before the nose's tip, 60 pixels from the eyes' outer corners."""
    monkeypatch.setitem(
        SURFACES,
        "masks",
        lambda rng, wearer: ellipsoid(wearer.landmarks[30] + [0, 0, 20], 20 * np.eye(3), np.full(3, 0.5)),
    )
    face = rendered(model, units, 5, "masks")
    bare = rendered(model, units, 5, "masks", photographic=False)
    tip = face.landmarks[30]
    y, x = np.mgrid[:120, :120]
    distance = np.hypot(2 * x + 0.5 - tip[0], 2 * y + 0.5 - tip[1])
    hidden = face.labels == OCCLUDER
    assert hidden[(distance < 8)].all() and not hidden[distance > 45].any()
    assert (labels_at(face.labels, face.landmarks[[36, 45]]) == FACE).all()
    np.testing.assert_array_equal(face.labels, bare.labels)


def test_what_is_behind_the_head_is_not_drawn():
    """One tube before a wall of depth 900 mm, one behind it."""
    wall = np.full((240, 240), 900.0, np.float32)
    layers = [draw_layer(_flat_tube(depth), wall) for depth in (880.0, 920.0)]
    assert layers[0].opacity.max() > 0.99 and layers[1].opacity.max() == 0


def _flat_tube(depth):
    surface = tube(np.array([[50.0, 120, 0], [190.0, 120, 0]]), 8.0, np.ones(3))
    positions = surface.vertices * [1, 1, 0] + [0, 0, depth]
    return SeenSurface(surface, positions, surface.vertices[:, :2], surface.reflectance)


def test_a_layer_hides_what_is_behind_it_and_shades_what_is_beside_it():
    opacity = np.zeros((240, 240), np.float32)
    opacity[:, :100] = 1
    picture = laid_over(np.full((240, 240, 3), 0.5, np.float32), Layer(np.zeros((240, 240, 3), np.float32), opacity))
    assert picture[:, :100].max() == 0 and picture[:, 102].max() < 0.47 and np.allclose(picture[:, 200:], 0.5)


def test_a_layer_is_laid_over_its_box_as_over_the_whole_picture():
    rng = np.random.default_rng(0)
    picture, opacity = rng.random((240, 240, 3), np.float32), np.zeros((240, 240), np.float32)
    opacity[3:60, 100:230] = rng.random((57, 130), np.float32)
    layer = Layer(rng.random((240, 240, 3), np.float32), opacity)
    shaded = picture * (1 - 0.3 * cv2.GaussianBlur(opacity, (0, 0), 5.0))[:, :, None]
    expected = shaded + opacity[:, :, None] * (layer.colours - shaded)
    np.testing.assert_allclose(laid_over(picture, layer), expected, atol=1e-6)
    np.testing.assert_array_equal(laid_over(picture, layer._replace(opacity=0 * opacity)), picture)


def test_a_beard_is_part_of_the_face_and_changes_nothing_else(model, units):
    changes = []
    for seed in range(3):
        bearded, shaved = (rendered(model, units, seed, bearded=share) for share in (1.0, 0.0))
        np.testing.assert_array_equal(bearded.labels, shaved.labels)
        np.testing.assert_array_equal(bearded.code, shaved.code)
        change = np.abs(bearded.crop.astype(int) - shaved.crop).max(axis=2)
        eyes = int(bearded.landmarks[36:48, 1].max())
        assert change[: eyes - 10].max() < 10 < change[eyes:].max()
        changes.append(change[eyes:].max())
    assert max(changes) > 50


def test_the_same_seed_gives_the_same_render(model, units):
    first, second = (rendered(model, units, 3, *KINDS) for _ in range(2))
    np.testing.assert_array_equal(first.crop, second.crop)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.kinds == second.kinds != ()
    assert (rendered(model, units, 4, *KINDS).crop != first.crop).any()


def test_kinds_left_out_do_not_occur_and_the_others_all_do():
    rng = np.random.default_rng(0)
    drawn = [sample_kinds(rng, ("glasses", "hair", "blobs")) for _ in range(500)]
    assert {kind for kinds in drawn for kind in kinds} == {"glasses", "hair", "blobs"}
    assert abs(np.mean([kinds == () for kinds in drawn]) - 0.45) < 0.07
    assert all(sample_kinds(rng, KINDS, unoccluded=0.0) for _ in range(50))
    assert not any(sample_kinds(rng, ()) for _ in range(50))


def test_an_unknown_kind_is_told():
    with pytest.raises(InputError, match="'scarves' is unknown; choose among masks, glasses"):
        checked_kinds(["glasses", "scarves"])
    assert checked_kinds(["hats", "glasses", "hats"]) == ("glasses", "hats")
