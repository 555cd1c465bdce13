"""Coarse eyeballs: what is kept is the same, the shape is the same, and turned eyes show no edge."""

import numpy as np
import pytest

from fml_jax.face_model.subdivision import triangulate
from fml_jax.face_model.surfaces import closest_on_surface
from third_party.open_face_model.coarse_eyes import (
    BACK_STEPS,
    KEPT_MERIDIANS,
    KEPT_RINGS,
    coarse_mesh,
    with_coarse_eyes,
)
from third_party.open_face_model.head_mesh import EYE
from third_party.open_face_model.ict_facekit import read_face_kit
from third_party.open_face_model.ict_head import MERIDIANS, cut_head
from third_party.open_face_model.repairs import eyeball_centre

FIRST = 11_248  # vertex of the eyeballs
FRONT = len(KEPT_RINGS) * KEPT_MERIDIANS
BALL = FRONT + len(BACK_STEPS) * KEPT_MERIDIANS
PUPIL = FIRST + 3 * MERIDIANS + 1  # a vertex that is left out


@pytest.fixture(scope="module")
def full(shared):
    """A small model's arrays on the full mesh, with that mesh; its identity modes turn, grow and move the head."""
    kit = read_face_kit(shared / "face_models/ict_facekit.npz")
    head = cut_head(kit)
    mean = head.operator @ kit.neutral
    rng, count = np.random.default_rng(0), head.vertex_count
    modes = np.stack([np.cross([0, 0, 1], mean), mean, np.ones_like(mean)]) * 100
    eyes = head.vertices_of(EYE)
    return {
        "mean": mean.astype(np.float32),
        "identity": np.rint(modes).astype(np.int16),
        "expression": np.rint(modes[:1]).astype(np.int16),
        "reflectance_mean": rng.random((count, 3)).astype(np.float16),
        "reflectance": rng.integers(-99, 99, (2, count, 3)).astype(np.int16),
        "region_names": np.array(["eyes", "face"]),
        "regions": np.stack([eyes, np.ones(count, bool)]),
        "quads": head.quads.astype(np.uint16),
        "fine_quads": np.arange(len(head.quads)) % 2 == 0,
        "uv": head.uv.astype(np.float32),
        "uv_quads": head.uv_quads.astype(np.uint16),
        "landmarks478_vertices": np.array([[0, 1, 2], [PUPIL, PUPIL + 1, PUPIL + MERIDIANS]], np.uint16),
        "landmarks478_weights": np.array([[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]], np.float32),
    }, head


@pytest.fixture(scope="module")
def coarse(full):
    arrays, head = full
    return with_coarse_eyes(arrays, head)


def test_values_of_vertices_that_stay_are_the_same(full, coarse):
    arrays, head = full
    balls = coarse_mesh(head).balls
    for name in ("mean", "identity", "expression", "reflectance_mean", "reflectance"):
        assert np.array_equal(coarse[name][..., :FIRST, :], arrays[name][..., :FIRST, :]), name
        for side, ball in enumerate(balls):
            start = FIRST + side * BALL
            kept = coarse[name][..., start : start + FRONT, :]
            assert np.array_equal(kept, arrays[name][..., ball, :]) and kept.dtype == arrays[name].dtype, name


def test_the_surface_of_the_front_stays_within_a_third_of_a_millimetre(full, coarse):
    arrays, head = full
    triangles = triangulate(coarse["quads"].astype(int))
    mean = coarse["mean"].astype(float)
    points = arrays["mean"][np.concatenate(head.eyeballs)].astype(float)
    corners, weights = closest_on_surface(points, mean, triangles[triangles.min(1) >= FIRST])
    assert np.linalg.norm((mean[corners] * weights[..., None]).sum(1) - points, axis=1).max() < 0.33


def test_the_back_goes_on_as_a_sphere_and_follows_every_mode(full, coarse):
    mean = coarse["mean"].astype(float)
    for side in range(2):
        ball = slice(FIRST + side * BALL, FIRST + (side + 1) * BALL)
        rings = mean[ball].reshape(-1, KEPT_MERIDIANS, 3)
        back = rings[-len(BACK_STEPS) :]
        radii = np.linalg.norm(back - eyeball_centre(full[0]["mean"][full[1].eyeballs[side]].astype(float)), axis=-1)
        np.testing.assert_allclose(radii, 12.2, atol=1.0)
        assert (back[-1, :, 2] < rings[len(KEPT_RINGS) - 1, :, 2] - 5).all()
        turned = np.cross([0, 0, 1], mean[ball])
        np.testing.assert_allclose(coarse["identity"][:2, ball] / 100, [turned, mean[ball]], atol=0.1)
        np.testing.assert_allclose(coarse["identity"][2, ball], 100)


def test_the_back_is_no_photometric_vertex_and_all_of_it_is_eye(coarse):
    eyes, face = coarse["regions"]
    assert eyes.sum() == 2 * BALL and (face & eyes).sum() == 2 * FRONT


def test_faces_of_the_eyeballs_look_outwards(coarse):
    mean, triangles = coarse["mean"].astype(float), triangulate(coarse["quads"].astype(int))
    for side in range(2):
        ball = np.arange(FIRST + side * BALL, FIRST + (side + 1) * BALL)
        a, b, c = mean[triangles[np.isin(triangles, ball).all(1)]].transpose(1, 0, 2)
        centre = mean[ball].mean(0)
        assert (np.einsum("tc,tc->t", np.cross(b - a, c - a), (a + b + c) / 3 - centre) > 0).all()


def test_landmarks_on_the_skin_stay_and_those_on_eyes_move_by_a_tenth_of_a_millimetre(full, coarse):
    arrays, _ = full
    vertices, weights = coarse["landmarks478_vertices"].astype(int), coarse["landmarks478_weights"]
    assert np.array_equal(vertices[0], [0, 1, 2]) and np.array_equal(weights[0], arrays["landmarks478_weights"][0])
    before = (arrays["mean"][arrays["landmarks478_vertices"][1]] * arrays["landmarks478_weights"][1][:, None]).sum(0)
    after = (coarse["mean"][vertices[1]] * weights[1][:, None]).sum(0)
    assert np.linalg.norm(before - after) < 0.1 and (vertices[1] >= FIRST).all()


def test_quads_of_the_skin_and_their_detail_stay(full, coarse):
    arrays, head = full
    skin = head.parts != EYE
    for name in ("quads", "uv_quads", "fine_quads"):
        assert np.array_equal(coarse[name][: skin.sum()], arrays[name][skin]), name
    assert coarse["fine_quads"][skin.sum() :].all()
    assert coarse["uv_quads"].max() == len(coarse["uv"]) - 1 and coarse["quads"].max() == len(coarse["mean"]) - 1
