"""Measures a face model: how well it fits faces that it was not made from, and whether its renders look like faces.

    python -m third_party.open_face_model.measure --shared=FOLDER [--model=FILE]

Prints distances from scans to the fitted surface after the similarity alignment, in the scans'
millimetres, for the mean face alone and for 20, 40 and 80 identity modes; then how many of 200
random renders MediaPipe recognises. Takes about two minutes on two CPU cores.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from absl import flags
from scipy.spatial import cKDTree

from fml_jax.face_model import BaseModel, load_arkit_shapes, load_face_model
from fml_jax.face_model.files import OPEN_MODEL, read_arrays
from fml_jax.face_model.surfaces import closest_on_surface, procrustes, vertex_normals
from fml_jax.image_formation.plain_pictures import View, render
from fml_jax.launchers.command_line import run_launcher
from fml_jax.photos.landmarks import detect_landmarks
from third_party.open_face_model.contact import contact_pairs_of, deepest
from third_party.open_face_model.expressions import sample_weights

MODE_COUNTS = (0, 20, 40, 80)
ROUNDS = 25
KEPT = 0.95  # share of the closest points that a fit looks at; all of them are measured
NOISE = 0.5  # mm, of 1000 points: against modes of unit variance
CROP = 105.0  # mm around the nose's tip
MM_PER_ICT_UNIT = 10.0
ICT_FACE_VERTICES = 9409

_FLAGS = flags.FlagValues()
_SHARED = flags.DEFINE_string(
    "shared", None, "The folder with scans/ and face_models/.", required=True, flag_values=_FLAGS
)
_MODEL = flags.DEFINE_string("model", str(OPEN_MODEL), "The model file.", flag_values=_FLAGS)
_RENDERS = flags.DEFINE_integer("renders", 200, "Random renders shown to MediaPipe.", flag_values=_FLAGS)


@dataclass(frozen=True)
class Shapes:
    """The identity part of a model on its standard mesh."""

    mean: np.ndarray  # [N, 3] mm
    modes: np.ndarray  # [K, N, 3]
    triangles: np.ndarray  # [T, 3]
    face: np.ndarray  # [N] bool: where scans are compared: the face without the eyes

    def at(self, weights: np.ndarray) -> np.ndarray:
        """[N, 3]: the head with these weights of the first modes."""
        return self.mean + np.tensordot(weights, self.modes[: len(weights)], 1)


@dataclass(frozen=True)
class Fit:
    """A head laid into a scan: model point = scale · rotation · scan point + shift."""

    scale: float
    rotation: np.ndarray
    shift: np.ndarray
    weights: np.ndarray

    def to_model(self, points: np.ndarray) -> np.ndarray:
        """Scan points in the model's space, [P, 3] mm."""
        return self.scale * points @ self.rotation.T + self.shift


def read_shapes(model: BaseModel) -> Shapes:
    """A model's mean and identity modes, at standard detail."""
    regions = {name: np.asarray(mask) for name, mask in model.regions.items()}
    triangles = np.asarray(model.topology.triangles)
    mean, modes = np.asarray(model.mean, np.float64), np.asarray(model.identity, np.float64)
    return Shapes(mean, modes, triangles, regions["face"] & ~regions["eyes"])


def read_vertices(path: Path) -> np.ndarray:
    """Vertices [V, 3] of a Wavefront file."""
    return np.array([line.split()[1:4] for line in path.read_text().splitlines() if line.startswith("v ")], float)


def around_nose(points: np.ndarray) -> np.ndarray:
    """The points within CROP of the nose's tip, the foremost: without shoulders and hair."""
    return points[np.linalg.norm(points - points[points[:, 2].argmax()], axis=1) < CROP]


def face_scans(shared: Path) -> dict[str, list[np.ndarray]]:
    """Points on faces, mm: the simulated scans, and the face region of ICT-FaceKit's identities (absolute meshes)."""
    simulated = [around_nose(read_vertices(path)) for path in sorted((shared / "scans/simulated_faces").glob("*.obj"))]
    real = [around_nose(read_vertices(shared / "scans/DemoFace_10K.obj"))]
    folder = shared / "face_models/ict_facekit_subset/FaceXModel"
    identities = [
        read_vertices(path)[:ICT_FACE_VERTICES] * MM_PER_ICT_UNIT for path in sorted(folder.glob("identity*.obj"))
    ]
    scans = {"simulated faces": simulated, "real scan": real, "simulated and real": simulated + real}
    return scans | {"ICT identities": identities}


def measure_scan(points: np.ndarray, shapes: Shapes) -> np.ndarray:
    """[counts, P'] mm: distances of a scan's points to the surface fitted with each of MODE_COUNTS.

    The points are those that meet the model's face where the mean lies in the scan; they are the
    same for every count.
    """
    aligned = fit_identity(points, shapes, 0)
    nearest = cKDTree(shapes.mean).query(aligned.to_model(points))[1]
    points = points[shapes.face[nearest]]
    return np.stack([_distances(points, shapes, fit_identity(points, shapes, count, aligned)) for count in MODE_COUNTS])


def fit_identity(points: np.ndarray, shapes: Shapes, count: int, start: Fit | None = None) -> Fit:
    """Fits a similarity and mode weights to points by closest points in turn, trimmed and with a ridge."""
    tip, model_tip = points[points[:, 2].argmax()], shapes.mean[shapes.mean[:, 2].argmax()]
    start = start or Fit(1.0, np.eye(3), model_tip - tip, np.zeros(0))
    fit = Fit(start.scale, start.rotation, start.shift, np.zeros(count))
    for _ in range(ROUNDS):
        nearest, normals, offset = _closest(points, shapes, fit)
        kept = np.abs(offset) <= np.quantile(np.abs(offset), KEPT)
        scale, rotation, centre = procrustes(points[kept], (fit.to_model(points) - offset[:, None] * normals)[kept])
        shift = (fit.to_model(points) - offset[:, None] * normals)[kept].mean(0) - scale * rotation @ centre
        fit = Fit(scale, rotation, shift, fit.weights)
        if count:
            weights = _solve_modes(fit.to_model(points)[kept], shapes, nearest[kept], normals[kept], count)
            fit = Fit(scale, rotation, shift, weights)
    return fit


def _closest(points, shapes, fit):
    """The nearest vertices, their normals, and the points' height over them."""
    shape, local = shapes.at(fit.weights), fit.to_model(points)
    nearest = cKDTree(shape).query(local)[1]
    normals = vertex_normals(shape, shapes.triangles)[nearest]
    return nearest, normals, ((local - shape[nearest]) * normals).sum(1)


def _solve_modes(local, shapes, nearest, normals, count):
    design = np.einsum("kpc,pc->pk", shapes.modes[:count, nearest], normals)
    target = ((local - shapes.mean[nearest]) * normals).sum(1)
    ridge = NOISE**2 * len(local) / 1000 * np.eye(count)
    return np.linalg.solve(design.T @ design + ridge, design.T @ target)


def _distances(points, shapes, fit):
    """From points to the surface, in the scan's millimetres."""
    local, shape = fit.to_model(points), shapes.at(fit.weights)
    vertices, weights = closest_on_surface(local, shape, shapes.triangles)
    return np.linalg.norm((weights[..., None] * shape[vertices]).sum(1) - local, axis=1) / fit.scale


def detection_rate(model: BaseModel, renders: int) -> float:
    """The share of random faces, yaw ±35° and pitch ±15°, in which MediaPipe sees a face."""
    triangles, rng, seen = np.asarray(model.topology.triangles), np.random.default_rng(200), 0
    for _ in range(renders):
        shape = np.asarray(model.mean) + _random(model.identity, rng, 1.0) + _random(model.expression, rng, 0.5)
        colours = np.asarray(model.reflectance_mean) + _random(model.reflectance, rng, 1.0)
        view = View(rng.uniform(-35, 35), rng.uniform(-15, 15))
        light = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.1, 0.7), 1.0])
        picture = render(shape, triangles, np.clip(colours, 0.01, 1), view=view, light=light)
        seen += detect_landmarks(picture.image) is not None
    return seen / renders


def passing(path: Path, faces: int) -> dict[str, np.ndarray]:
    """[faces] mm: how deep lips, lids and eyeballs of random faces cross, for two kinds of expression.

    Args:
      path: a model of format 2.
    """
    arrays, model, rng = read_arrays(path), load_face_model(path), np.random.default_rng(201)
    pairs = contact_pairs_of(arrays)
    shapes = load_arkit_shapes(path)
    stacked = np.stack(list(shapes.values())).astype(float)
    weights = sample_weights(list(shapes))[:faces]
    found: dict[str, list[float]] = {"of named units": [], "of independent modes": []}
    for row in weights:
        person = np.asarray(model.mean) + _random(model.identity, rng, 1.0)
        for kind, shift in zip(
            found, (np.tensordot(row, stacked, 1), _random(model.expression, rng, 0.5)), strict=True
        ):
            found[kind].append(max(deepest(pairs, person + shift).values()))
    return {kind: np.array(depths) for kind, depths in found.items()}


def _random(modes, rng, scale):
    return np.tensordot(scale * rng.standard_normal(len(modes)), np.asarray(modes, np.float64), 1)


def main() -> None:
    """Prints the table."""
    model = load_face_model(_MODEL.value)
    shapes = read_shapes(model)
    for kind, scans in face_scans(Path(_SHARED.value)).items():
        measured = [measure_scan(points, shapes) for points in scans]
        for row, count in enumerate(MODE_COUNTS):
            rms = np.mean([np.sqrt((distances[row] ** 2).mean()) for distances in measured])
            mean = np.mean([distances[row].mean() for distances in measured])
            print(f"{kind:16} {len(scans)} faces  {count:2} modes  RMS {rms:.3f} mm  mean {mean:.3f} mm", flush=True)
    if _RENDERS.value:
        print(f"MediaPipe sees {100 * detection_rate(model, _RENDERS.value):.1f}% of {_RENDERS.value} random renders")
    if _RENDERS.value and read_arrays(Path(_MODEL.value))["format_version"] == 2:
        for kind, depths in passing(Path(_MODEL.value), _RENDERS.value).items():
            deep = (depths > 0.5).sum()
            print(f"expressions {kind}: {deep} of {len(depths)} over 0.5 mm, at most {depths.max():.1f} mm")


if __name__ == "__main__":
    run_launcher(main, _FLAGS)
