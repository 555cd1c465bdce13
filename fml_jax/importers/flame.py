"""FLAME (2020, 2023 and 2023 Open) as a pickle or npz file.

`v_template` [N, 3] m, `f` [T, 3], `shapedirs` [N, 3, 400] (identity up to 299, expression from 300, times their
standard deviations), and for the joints `J_regressor` [5, N], `kintree_table` [2, 5], `weights` [N, 5] and `posedirs`
[N, 3, 9·4]. Turning the jaw is not linear; here it is three expression modes, which are first-order around the neutral
pose but exact at one standard deviation. Neck and eyes stay neutral.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from fml_jax import safe_npz
from fml_jax.errors import InputError
from fml_jax.importers.pickles import numbers, read_pickle
from fml_jax.importers.raw_model import RawModel, checked, outward, single, whole_numbers

IDENTITIES = 300
_ARRAYS = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights")
_MM = 1000.0
_MOST = 1e12  # of numbers that are multiplied with each other before the result is checked
_JAW = 2  # of the joints: root, neck, jaw, left eye, right eye
# Axis-angles of one standard deviation, radians: opening, turning to a side, tilting.
_JAW_TURNS = np.array([[0.12, 0, 0], [0, 0.04, 0], [0, 0, 0.02]])


def read_flame(path: Path) -> RawModel:
    """Reads a file of this layout, or the only one in a folder.

    Raises:
      InputError: it is missing or damaged, or has another layout.
    """
    if path.is_dir():
        found = sorted(each for each in path.iterdir() if each.suffix in (".pkl", ".npz"))
        if len(found) != 1:
            raise InputError(f"{path}: {len(found)} files of .pkl or .npz; name one of them with --path")
        path = found[0]
    arrays = _arrays(path)
    mean = np.asarray(arrays["v_template"], np.float64) * _MM
    directions = np.asarray(arrays["shapedirs"], np.float64) * _MM
    if mean.ndim != 2 or mean.shape[1] != 3 or directions.ndim != 3 or directions.shape[:2] != mean.shape:
        raise InputError(
            f"{path}: 'v_template' {mean.shape} and 'shapedirs' {directions.shape} do not fit; check the file"
        )
    identity, expression = np.split(np.moveaxis(directions, 2, 0), [min(IDENTITIES, directions.shape[2])])
    faces = np.asarray(arrays["f"])
    if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces):
        raise InputError(f"{path}: 'f' has shape {faces.shape}, not (T, 3); check the file")
    faces = whole_numbers(path, "f", faces)
    if not 0 <= faces.min() <= faces.max() < len(mean):
        raise InputError(f"{path}: 'f' names vertices {faces.min()} to {faces.max()}, but there are {len(mean)}")
    triangles, turned = outward(mean, faces)
    jaw = _jaw_modes(path, arrays, mean)
    notes = ["triangles turned to be counter-clockwise from outside"] * turned
    notes += [
        "the jaw's pose is the first three expression modes (opening, turning, tilting), which are linear: large "
        "openings shear the jaw a little",
        "neck and eyes stay in the neutral pose",
    ]
    model = RawModel(
        path.stem,
        single(mean),
        triangles,
        np.ascontiguousarray(single(identity)),
        expression=single(np.concatenate([jaw, expression])),
        notes=tuple(notes),
    )
    return checked(path, model)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        arrays = safe_npz.read_npz(path, "FLAME file", _ARRAYS)
    else:
        content = read_pickle(path)
        arrays = {name: numbers(path, content, name) for name in _ARRAYS}
    for name in _ARRAYS:
        if name not in arrays:
            raise InputError(f"{path}: lacks {name!r}; this is no FLAME model")
        if arrays[name].dtype.kind not in "fiu" or not np.isfinite(arrays[name]).all():
            raise InputError(f"{path}: {name!r} holds values that are not finite numbers; check the file")
    return arrays


def _jaw_modes(path: Path, arrays: dict[str, np.ndarray], mean: np.ndarray) -> np.ndarray:
    """Displacements [3, N, 3] mm by the jaw's turns, with the corrections that depend on its pose."""
    names = ("J_regressor", "weights", "posedirs")
    regressor, weights, corrections = (np.clip(np.asarray(arrays[name], np.float64), -_MOST, _MOST) for name in names)
    count = len(mean)
    joints = regressor.shape[0] if regressor.ndim == 2 else 0
    if regressor.shape != (joints, count) or joints <= _JAW or weights.shape != (count, joints):
        raise InputError(
            f"{path}: 'J_regressor' {regressor.shape} and 'weights' {weights.shape} do not fit {count} vertices"
        )
    if corrections.shape != (count, 3, 9 * (joints - 1)):
        raise InputError(f"{path}: 'posedirs' has shape {corrections.shape}, not {(count, 3, 9 * (joints - 1))}")
    joint = regressor[_JAW] @ mean
    of_jaw = corrections[:, :, 9 * (_JAW - 1) : 9 * _JAW] * _MM
    moved = []
    for turn in _JAW_TURNS:
        rotation = Rotation.from_rotvec(turn).as_matrix()
        corrected = mean + of_jaw @ (rotation - np.eye(3)).ravel()
        turned = (corrected - joint) @ rotation.T + joint
        moved.append(corrected + weights[:, _JAW, None] * (turned - corrected) - mean)
    return np.stack(moved)
