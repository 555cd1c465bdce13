"""The model file: its details fit together, and what is no model is named."""

import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.face_model import landmarks478, load_arkit_shapes, load_face_model
from fml_jax.face_model.files import OPEN_MODEL


def test_details_show_the_same_face():
    standard, face, fine = (load_face_model(detail=detail) for detail in ("standard", "face", "fine"))
    assert face.vertex_count < standard.vertex_count < fine.vertex_count < 40_000
    for model in (face, fine):
        assert model.code_sizes == (80, 64, 80)
        distance = np.linalg.norm(
            np.asarray(landmarks478(model.landmarks, model.mean) - landmarks478(standard.landmarks, standard.mean)),
            axis=1,
        )
        # The finer mesh is a little smoother; the restricted one is the same.
        assert distance.max() < (1e-4 if model is face else 2.0)
        assert int(np.asarray(model.topology.triangles).max()) < model.vertex_count


def test_arkit_shapes_are_named_and_move_the_mesh():
    shapes = load_arkit_shapes()
    assert len(shapes) == 51 and {"jawOpen", "eyeBlinkLeft", "mouthSmileRight"} <= shapes.keys()
    assert shapes["jawOpen"].shape == (load_face_model().vertex_count, 3)
    # The chin goes down and the subject's left eye blinks on their left.
    assert shapes["jawOpen"][:, 1].min() < -5
    distance = np.linalg.norm(shapes["eyeBlinkLeft"], axis=1)
    assert np.average(load_face_model().mean[:, 0], weights=distance) > 20


def test_an_unknown_detail_is_refused():
    with pytest.raises(InputError, match="ultra.*standard"):
        load_face_model(detail="ultra")


def _changed(tmp_path, **changes):
    with np.load(OPEN_MODEL, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    arrays |= changes
    np.savez(tmp_path / "m.npz", **{name: array for name, array in arrays.items() if array is not None})
    return tmp_path / "m.npz"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format_version": np.array(99)}, "format 99"),
        ({"quads": None}, "lacks 'quads'"),
        ({"identity": np.zeros((80, 7, 3))}, "'identity' has shape"),
        ({"mean": np.full((4065, 3), np.nan)}, "not finite"),
    ],
)
def test_a_model_that_does_not_fit_is_named(tmp_path, changes, message):
    with pytest.raises(InputError, match=f"m.npz.*{message}"):
        load_face_model(_changed(tmp_path, **changes))


@pytest.mark.parametrize("content", [None, b"", b"not an archive"])
def test_what_is_no_model_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(InputError, match="x.npz"):
        load_face_model(tmp_path / "x.npz")
