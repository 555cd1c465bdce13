"""Made-up face models in the originals' exact layouts: their names, units, axes, windings and kinds of numbers."""

import collections
import pickle
import struct
import sys
import types
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import scipy.io
import scipy.sparse

from fml_jax.face_model import load_face_model

FACEWAREHOUSE_VERTICES, FULL_VERTICES = 53215, 53490


class Population(NamedTuple):
    """A face model in mm and sRGB: the open model, as far as a test needs it."""

    mean: np.ndarray  # [N, 3]
    triangles: np.ndarray  # [T, 3] counter-clockwise
    identity: np.ndarray  # [K, N, 3] times σ
    expression: np.ndarray
    colour: np.ndarray
    colours: np.ndarray


def open_population(identities: int = 80, expressions: int = 64, reflectances: int = 80) -> Population:
    """The open model's first modes."""
    model = load_face_model()
    return Population(
        np.asarray(model.mean),
        np.asarray(model.topology.triangles),
        np.asarray(model.identity)[:identities],
        np.asarray(model.expression)[:expressions],
        np.asarray(model.reflectance_mean),
        np.asarray(model.reflectance)[:reflectances],
    )


def enlarged(population: Population, count: int) -> Population:
    """The population on a mesh of so many vertices: triangles are split at their middle, from the largest on."""
    corners = population.mean[population.triangles]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    extra = count - len(population.mean)
    split = population.triangles
    parts = [population.triangles]
    chosen, made, start = [], 0, len(population.mean)
    order = np.argsort(-areas)
    while made < extra:  # several rounds, since a round splits each triangle once
        part = split[order[: extra - made]] if made == 0 else split[: extra - made]
        middles = start + made + np.arange(len(part))
        rest = split[order[extra - made :]] if made == 0 else split[extra - made :]
        a, b, c = part.T
        split = np.concatenate(
            [np.stack(each, 1) for each in ((a, b, middles), (b, c, middles), (c, a, middles))] + [rest]
        )
        chosen.append(part)
        made += len(part)
        order = np.arange(len(split))
    parts = np.concatenate(chosen)

    def grown(values):
        for_all = values
        position = len(population.mean)
        for rows in chosen:
            for_all = np.concatenate([for_all, for_all[..., rows, :].mean(-2)], axis=-2)
            position += len(rows)
        return np.ascontiguousarray(for_all, np.float32)

    assert len(parts) == extra
    return Population(
        grown(population.mean),
        split,
        grown(population.identity),
        grown(population.expression),
        grown(population.colour),
        grown(population.colours),
    )


def _unit(modes):
    """Basis [3 N, K] with columns of unit norm, and their standard deviations [K]."""
    flat = modes.reshape(len(modes), -1).astype(np.float64)
    norms = np.linalg.norm(flat, axis=1)
    return (flat / norms[:, None]).T, norms


def write_bfm2017(path: Path, people: Population) -> Path:
    """BFM 2017 and 2019: mm, colours in [0, 1], variances."""
    with h5py.File(path, "w") as file:
        file["version/majorVersion"], file["version/minorVersion"] = 0, 9
        for kind, mean, modes in (
            ("shape", people.mean, people.identity),
            ("expression", np.zeros_like(people.mean), people.expression),
            ("color", people.colour, people.colours),
        ):
            basis, deviations = _unit(modes)
            file[f"{kind}/model/mean"] = mean.ravel().astype(np.float32)
            file[f"{kind}/model/pcaBasis"] = basis.astype(np.float32)
            file[f"{kind}/model/pcaVariance"] = (deviations**2).astype(np.float32)
            file[f"{kind}/model/noiseVariance"] = np.float32(0)
            file[f"{kind}/representer/points"] = people.mean.T.astype(np.float32)
            file[f"{kind}/representer/cells"] = people.triangles.T.astype(np.int32)
    return path


def write_bfm2009(folder: Path, people: Population, trimmed: int | None = None) -> Path:
    """`01_MorphableModel.mat`, `Exp_Pca.bin`, `std_exp.txt`, and `BFM_exp_idx.mat` for so many trimmed vertices."""
    folder.mkdir(exist_ok=True)
    basis, deviations = _unit(people.identity * 1000)
    colour_basis, colour_deviations = _unit(people.colours * 255)
    scipy.io.savemat(
        folder / "01_MorphableModel.mat",
        {
            "shapeMU": (people.mean * 1000).reshape(-1, 1).astype(np.float32),
            "shapePC": basis.astype(np.float32),
            "shapeEV": deviations.reshape(-1, 1).astype(np.float32),
            "texMU": (people.colour * 255).reshape(-1, 1).astype(np.float32),
            "texPC": colour_basis.astype(np.float32),
            "texEV": colour_deviations.reshape(-1, 1).astype(np.float32),
            "tl": (people.triangles[:, ::-1] + 1).astype(np.float64),
            "segbin": np.zeros((len(people.mean), 4), np.uint8),
        },
        do_compression=True,
    )
    kept = np.arange(len(people.mean))[: trimmed or None]
    expression, sigmas = _unit(people.expression[:, kept] * 1000)
    with (folder / "Exp_Pca.bin").open("wb") as file:
        file.write(struct.pack("<i", len(sigmas)))
        file.write(np.zeros(3 * len(kept), "<f4").tobytes())
        file.write(expression.T.astype("<f4").tobytes())
    np.savetxt(folder / "std_exp.txt", sigmas[None])
    if trimmed:
        scipy.io.savemat(folder / "BFM_exp_idx.mat", {"trimIndex": kept[:, None] + 1})
    return folder


def write_bfm_front(path: Path, people: Population, keypoints: np.ndarray) -> Path:
    """`BFM_model_front.mat`: units of 10 cm, modes times σ, row vectors."""
    scipy.io.savemat(
        path,
        {
            "meanshape": (people.mean / 100).reshape(1, -1).astype(np.float32),
            "meantex": (people.colour * 255).reshape(1, -1).astype(np.float32),
            "idBase": (people.identity / 100).reshape(len(people.identity), -1).T.astype(np.float32),
            "exBase": (people.expression / 100).reshape(len(people.expression), -1).T.astype(np.float32),
            "texBase": (people.colours * 255).reshape(len(people.colours), -1).T.astype(np.float32),
            "tri": (people.triangles + 1).astype(np.float64),
            "keypoints": (keypoints + 1).reshape(1, -1).astype(np.float64),
            "skinmask": np.ones((1, len(people.mean))),
        },
        do_compression=True,
    )
    return path


def flame_arrays(people: Population) -> dict[str, np.ndarray]:
    """FLAME's arrays in metres; identity is padded to 300 directions. The jaw is what lies low and in front."""
    count = len(people.mean)
    directions = np.zeros((count, 3, 400))
    directions[:, :, : len(people.identity)] = np.moveaxis(people.identity, 0, 2) / 1000
    directions[:, :, 300 : 300 + len(people.expression)] = np.moveaxis(people.expression, 0, 2) / 1000
    weights = np.zeros((count, 5))
    jaw = np.clip((-25 - people.mean[:, 1]) / 20, 0, 1) * np.clip((people.mean[:, 2] - 10) / 20, 0, 1)
    weights[:, 2], weights[:, 0] = jaw, 1 - jaw
    regressor = np.zeros((5, count))
    for row, place in enumerate([(0, -80, -20), (0, -60, -10), (0, -10, -10), (30, 30, 60), (-30, 30, 60)]):
        nearest = np.argsort(np.linalg.norm(people.mean - place, axis=1))[:200]
        regressor[row, nearest] = 1 / len(nearest)
    return {
        "v_template": people.mean.astype(np.float64) / 1000,
        "f": people.triangles.astype(np.uint32),
        "shapedirs": directions,
        "posedirs": np.zeros((count, 3, 36)),
        "J_regressor": regressor,
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
        "weights": weights,
    }


def write_flame(path: Path, people: Population) -> Path:
    """A pickle of protocol 2 with Chumpy's arrays and a sparse regressor, or an npz file."""
    arrays = flame_arrays(people)
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return path
    content = dict(arrays) | {
        "J_regressor": scipy.sparse.csc_matrix(arrays["J_regressor"]),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }
    module, inner = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    kind = type("Ch", (), {"__module__": "chumpy.ch", "__qualname__": "Ch"})
    inner.Ch = kind
    sys.modules |= {"chumpy": module, "chumpy.ch": inner}
    try:
        for name in ("v_template", "shapedirs", "posedirs", "weights"):
            wrapped = kind()
            wrapped.__dict__.update(x=arrays[name], _dirty_vars=set() and None, _itr=None, _depends_on_deps={})
            content[name] = wrapped
        path.write_bytes(pickle.dumps(content, 2))
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]
    return path


def write_obj(path: Path, vertices: np.ndarray, triangles: np.ndarray) -> Path:
    """A Wavefront file."""
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices] + [f"f {a} {b} {c}" for a, b, c in triangles + 1]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_ply(path: Path, vertices: np.ndarray, triangles: np.ndarray, colours: np.ndarray) -> Path:
    """A binary PLY file with colours."""
    header = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\n"
        f"element face {len(triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = np.zeros(len(vertices), [("place", "<f4", 3), ("colour", "u1", 3)])
    rows["place"], rows["colour"] = vertices, np.clip(colours * 255, 0, 255)
    faces = np.zeros(len(triangles), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, triangles
    path.write_bytes(header.encode() + rows.tobytes() + faces.tobytes())
    return path


def ordered(value: dict) -> collections.OrderedDict:
    """The same as an OrderedDict, which pickles as a call."""
    return collections.OrderedDict(value)
