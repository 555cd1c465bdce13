"""Measures a face model: how well its span holds faces that it was not made from, and whether renders of it look like faces.

    python -m third_party.open_face_model.measure --shared=../shared [--model=FILE]

Prints a table: distances in mm after the similarity alignment, a row for the mean face alone and
for 20, 40 and 80 identity modes; then how many of 200 random renders MediaPipe recognises.
Takes about two minutes on two CPU cores.
"""

from pathlib import Path

import numpy as np
from absl import app, flags
from scipy.spatial import cKDTree

from fml_jax.data.landmarks import detect_landmarks
from fml_jax.face_model.files import OPEN_MODEL, read_arrays
from fml_jax.face_model.subdivision import catmull_clark, triangulate
from third_party.open_face_model.identity import procrustes
from third_party.open_face_model.pictures import View, render, vertex_normals

MODE_COUNTS = (0, 20, 40, 80)
ROUNDS = 25
KEPT = 0.95  # share of the closest points that a fit looks at
NOISE = 1.0  # mm: a mode of one standard deviation weighs as much as this error at one of 1000 points
MM_PER_ICT_UNIT = 10.0
ICT_FACE_VERTICES = 9409

_SHARED = flags.DEFINE_string("shared", "../shared", "The folder with scans/ and face_models/.")
_MODEL = flags.DEFINE_string("model", str(OPEN_MODEL), "The model file.")
_RENDERS = flags.DEFINE_integer("renders", 200, "Random renders shown to MediaPipe.")


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] and triangles [T, 3] of a Wavefront file; polygons become fans."""
    vertices, triangles = [], []
    for line in path.read_text().splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "v":
            vertices.append(values[:3])
        elif keyword == "f":
            corners = [int(value.split("/")[0]) - 1 for value in values]
            triangles += [(corners[0], corners[k], corners[k + 1]) for k in range(1, len(corners) - 1)]
    return np.array(vertices, float), np.array(triangles)


def face_scans(shared: Path) -> dict[str, list[np.ndarray]]:
    """Points on faces, mm: the simulated scans, and ICT-FaceKit's identities (displacements from a neutral face or whole)."""
    simulated = [read_obj(path)[0] for path in sorted((shared / "scans/simulated_faces").glob("*.obj"))]
    folder = shared / "face_models/ict_facekit_subset/FaceXModel"
    identities = [read_obj(path)[0][:ICT_FACE_VERTICES] * MM_PER_ICT_UNIT for path in sorted(folder.glob("identity*.obj"))]
    return {"simulated faces": simulated, "ICT identities": identities}


def fit_identity(points: np.ndarray, mean: np.ndarray, modes: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Fits a similarity and mode weights to points, by closest points in turn; distances [P] mm from points to the surface.

    Distances are along the surface's normal near the closest vertex, in the scan's own millimetres.
    """
    weights = np.zeros(len(modes))
    transform = _first_alignment(points, mean)
    for _ in range(ROUNDS):
        shape = mean + np.tensordot(weights, modes, 1)
        local = _apply(transform, points)
        nearest, normals, offset = _closest(local, shape, triangles)
        kept = np.abs(offset) <= np.quantile(np.abs(offset), KEPT)
        foot = local - offset[:, None] * normals
        transform = _compose(procrustes(local[kept], foot[kept]), foot[kept].mean(0), transform)
        if len(modes):
            local = _apply(transform, points)
            weights = _solve_modes(local[kept], mean, modes, nearest[kept], normals[kept])
    shape = mean + np.tensordot(weights, modes, 1)
    offset = _closest(_apply(transform, points), shape, triangles)[2]
    return np.abs(offset) / transform[0]


def _first_alignment(points, mean):
    """Scale from the width, position from the nose tip (the foremost point) and the middle."""
    scale = 1.0
    tip, model_tip = points[points[:, 2].argmax()], mean[mean[:, 2].argmax()]
    return scale, np.eye(3), model_tip - tip


def _apply(transform, points):
    scale, rotation, shift = transform
    return scale * points @ rotation.T + shift


def _compose(step, target_centre, transform):
    """Procrustes' step after a transform."""
    scale, rotation, centre = step
    before_scale, before_rotation, before_shift = transform
    return scale * before_scale, rotation @ before_rotation, scale * rotation @ (before_shift - centre) + target_centre


def _closest(points, shape, triangles):
    nearest = cKDTree(shape).query(points)[1]
    normals = vertex_normals(shape, triangles)[nearest]
    return nearest, normals, ((points - shape[nearest]) * normals).sum(1)


def _solve_modes(points, mean, modes, nearest, normals):
    """Ridge: the modes' displacement along the normals against the points' distance, α of unit variance."""
    design = np.einsum("kpc,pc->pk", modes[:, nearest], normals)
    target = ((points - mean[nearest]) * normals).sum(1)
    ridge = NOISE**2 * len(points) / 1000 * np.eye(len(modes))
    return np.linalg.solve(design.T @ design + ridge, design.T @ target)


def detection_rate(arrays: dict[str, np.ndarray], renders: int) -> float:
    """The share of random faces, yaw ±35°, in which MediaPipe sees a face."""
    operator, quads = catmull_clark(arrays["quads"], len(arrays["mean"]))
    triangles, rng, seen = triangulate(quads), np.random.default_rng(200), 0
    for _ in range(renders):
        shape = arrays["mean"] + sum(np.tensordot(s * rng.standard_normal(len(arrays[k])), arrays[k].astype(float), 1) for k, s in (("identity", 1.0), ("expression", 0.7)))
        colours = arrays["reflectance_mean"] + np.tensordot(rng.standard_normal(len(arrays["reflectance"])), arrays["reflectance"].astype(float), 1)
        view = View(rng.uniform(-35, 35), rng.uniform(-15, 15), 320)
        light = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.1, 0.7), 1.0])
        seen += detect_landmarks(render(operator @ shape, triangles, np.clip(colours, 0.01, 1), view, light).image) is not None
    return seen / renders


def main(_) -> None:
    """Prints the table."""
    arrays = read_arrays(Path(_MODEL.value))
    operator, quads = catmull_clark(arrays["quads"], len(arrays["mean"]))
    mean = operator @ arrays["mean"]
    modes = np.stack([operator @ mode for mode in arrays["identity"].astype(float)])
    triangles = triangulate(quads)
    for kind, scans in face_scans(Path(_SHARED.value)).items():
        for count in MODE_COUNTS:
            distances = [fit_identity(points, mean, modes[:count], triangles) for points in scans]
            rms = np.mean([np.sqrt((distance**2).mean()) for distance in distances])
            print(f"{kind:16} {len(scans)} faces  {count:2} modes  RMS {rms:.3f} mm  mean {np.mean([d.mean() for d in distances]):.3f} mm")
    if _RENDERS.value:
        print(f"MediaPipe sees {100 * detection_rate(arrays, _RENDERS.value):.1f}% of {_RENDERS.value} random renders")


if __name__ == "__main__":
    app.run(main)
