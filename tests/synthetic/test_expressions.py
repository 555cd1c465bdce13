"""Expressions of synthetic faces: named units in the model's modes."""

import numpy as np

from fml_jax.face_model.files import load_arkit_shapes


def test_codes_move_the_face_as_the_named_shapes_do(model, units):
    shapes = load_arkit_shapes()
    for name, code in zip(units.names, units.codes, strict=True):
        moved = np.tensordot(code, np.asarray(model.expression), axes=1)
        share = np.sum((moved - shapes[name]) ** 2) / np.sum(shapes[name] ** 2)
        assert share < 0.1, name


def test_a_face_mostly_moves_on_both_sides(units):
    rng = np.random.default_rng(0)
    strengths = np.stack([units.sample_strengths(rng) for _ in range(400)])
    left, right = (strengths[:, units.names.index(f"mouthSmile{side}")] for side in ("Left", "Right"))
    assert 0.3 < np.mean(left > 0.1) < 0.6
    assert np.corrcoef(left, right)[0, 1] > 0.8
    assert strengths.min() == 0 and strengths.max() < 1.5


def test_lips_close_an_open_jaw_only(units):
    rng = np.random.default_rng(1)
    for _ in range(200):
        strengths = dict(zip(units.names, units.sample_strengths(rng), strict=True))
        assert strengths["mouthClose"] <= strengths["jawOpen"] + 1e-9


def test_some_faces_are_at_rest_and_codes_repeat(units):
    codes = np.stack([units.sample(np.random.default_rng(k)) for k in range(300)])
    assert 0.05 < np.mean((codes == 0).all(1)) < 0.17
    np.testing.assert_array_equal(codes[7], units.sample(np.random.default_rng(7)))


def test_both_eyes_look_one_way(model, units):
    """Seen on the vertices: the fronts of both eyeballs move to one side, and up or down together."""
    rng = np.random.default_rng(2)
    left, right = np.split(np.flatnonzero(np.asarray(model.regions["eyes"])), 2)
    looking = 0
    for _ in range(60):
        strengths = units.sample_strengths(rng)
        by_name = dict(zip(units.names, strengths, strict=True))
        sideways = max(by_name[f"eyeLook{way}{side}"] for way in ("In", "Out") for side in ("Left", "Right"))
        if sideways < 0.2:
            continue
        looking += 1
        moved = np.tensordot(strengths @ units.codes, np.asarray(model.expression), axes=1)
        of_left, of_right = moved[left[:32]].mean(0), moved[right[:32]].mean(0)
        assert of_left[0] * of_right[0] > 0 and abs(of_left[0]) > 1
        assert abs(of_left[1] - of_right[1]) < 0.5
    assert looking > 5
