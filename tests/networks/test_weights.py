import json

import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.networks import weights
from fml_jax.networks.weights import load_weights, read_metadata, save_weights

PARAMS = {
    "stem": {"kernel": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)},
    "head": {"bias": np.zeros(4, np.float32)},
}
NOTE = {"encoder": "light", "model": "m", "steps": 3}
GOOD_NOTE = {"format_version": 1, **NOTE}


def test_round_trip(tmp_path):
    save_weights(tmp_path / "w.npz", PARAMS, NOTE)
    params, metadata = load_weights(tmp_path / "w.npz")
    np.testing.assert_allclose(params["stem"]["kernel"], PARAMS["stem"]["kernel"], atol=1e-3)
    assert params["head"]["bias"].dtype == np.float32 and metadata["steps"] == 3


def test_stored_in_half_precision(tmp_path):
    save_weights(tmp_path / "w.npz", {"big": np.zeros(100_000, np.float32)}, NOTE)
    assert 200_000 < (tmp_path / "w.npz").stat().st_size < 210_000


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda path: path.unlink(), "no such weights file"),
        (lambda path: path.write_bytes(b"nonsense"), "not a weights file"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "not a weights file"),
        (lambda path: save_weights(path, PARAMS, {"encoder": "light"}), "lacks model"),
        (lambda path: np.savez(path, a=np.array([np.nan]), metadata=json.dumps(GOOD_NOTE)), "not finite"),
        (lambda path: np.savez(path, a=np.zeros(2)), "not a weights file"),
        (lambda path: np.savez(path, a=np.array([{}], dtype=object)), "not a weights file"),
        (lambda path: noted(path, [1, 2]), "no JSON object"),
        (lambda path: noted(path, "light"), "no JSON object"),
        (lambda path: noted(path, None), "no JSON object"),
        (lambda path: noted(path, {**GOOD_NOTE, "format_version": [1]}), r"weights format \[1\]"),
        (lambda path: noted(path, {**GOOD_NOTE, "encoder": ["light"]}), "encoder in the weights' note.*no name"),
        (lambda path: noted(path, {**GOOD_NOTE, "model": {"a": 1}}), "model in the weights' note.*no name"),
        (lambda path: noted(path, GOOD_NOTE, a=np.ones(2, complex)), "complex128"),
        (lambda path: noted(path, GOOD_NOTE, a=np.arange(2)), "'a' are int64"),
        (lambda path: noted(path, GOOD_NOTE, **{"a": np.ones(2), "a/b": np.ones(2)}), "both an array and a group"),
        (lambda path: noted(path, GOOD_NOTE, a=np.full(2, 1e300)), "'a' are not finite"),
        (lambda path: np.savez(path, metadata="[" * 100_000), "no JSON"),
        (lambda path: np.savez(path, metadata="not JSON"), "no JSON"),
        (lambda path: np.savez(path, metadata=np.array(["{}"])), "not a weights file"),
        (lambda path: np.savez(path, metadata=np.array(7)), "not a weights file"),
    ],
)
def test_what_is_no_weights_file_is_named(tmp_path, spoil, message):
    path = tmp_path / "w.npz"
    save_weights(path, PARAMS, NOTE)
    spoil(path)
    with pytest.raises(InputError, match=f"w.npz.*{message}") as caught:
        load_weights(path)
    assert "\n" not in str(caught.value)


def noted(path, note, **arrays):
    np.savez(path, **arrays, metadata=json.dumps(note))


def test_shapes_that_are_expected_are_checked_before_anything_is_read(tmp_path, monkeypatch):
    path = tmp_path / "w.npz"
    save_weights(path, PARAMS, NOTE)
    assert load_weights(path, {"head/bias": (4,)})[0].keys() == {"head"}
    read, own = [], weights.read_npz
    monkeypatch.setattr(weights, "read_npz", lambda path, kind, names: read.extend(names) or own(path, kind, names))
    for expected in ({"head/bias": (5,)}, {"head/kernel": (4,)}):
        with pytest.raises(InputError, match="w.npz: made for another light encoder.*head"):
            load_weights(path, expected)
    assert set(read) == {"metadata"}


def test_metadata_is_read_by_itself(tmp_path):
    save_weights(tmp_path / "w.npz", PARAMS, NOTE)
    assert read_metadata(tmp_path / "w.npz") == GOOD_NOTE


@pytest.mark.parametrize("value", [np.nan, 1e6])
def test_what_float16_cannot_hold_leaves_the_old_file(tmp_path, value):
    path = tmp_path / "w.npz"
    save_weights(path, PARAMS, NOTE)
    with pytest.raises(ValueError, match="'head/bias'"):
        save_weights(path, {"head": {"bias": np.array([value])}}, NOTE)
    assert load_weights(path)[1]["steps"] == 3 and [file.name for file in tmp_path.iterdir()] == ["w.npz"]
