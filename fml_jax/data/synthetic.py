"""Synthetic faces: crops of the face model whose codes are known exactly.

The network learns from them what photos alone cannot tell it, such as how reflectance and light
share a colour. Faces are rendered ahead and stored as plain arrays; face k depends on (seed, k)
alone, so that a build can be cut off, taken up again, and shared by processes.
"""

import json
import multiprocessing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from fml_jax.codes import CODE_SIZE, NEUTRAL_DEPTH, FaceCode, flatten_code
from fml_jax.data import synthetic_scene as scene
from fml_jax.data.crops import HAAR_SCALE_STD, HAAR_SHIFT_STD, SIDE_FACTOR
from fml_jax.data.synthetic_augmentation import near_frontal, varied
from fml_jax.data.synthetic_expression import ExpressionUnits, expression_units
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel, geometry, reflectance
from fml_jax.face_model.landmarks import landmarks68
from fml_jax.face_model.topology import vertex_normals
from fml_jax.image_formation.camera import CROP_SIZE, FOCAL_IN_CROP_WIDTHS, project, to_camera
from fml_jax.image_formation.illumination import sh_basis
from fml_jax.image_formation.points import form_points_of
from fml_jax.image_formation.raster import interpolate, rasterize
from fml_jax.image_formation.rotation import rotation_matrix

_FACES_CAMERA = np.diag([1.0, -1.0, -1.0])
_RECIPE = "recipe.json"
_RECIPE_VERSION = 3  # raise it when the same seed gives other faces

_PROJECTED = jax.jit(project)
_REFLECTANCE = jax.jit(reflectance)


@dataclass(frozen=True)
class SyntheticFace:
    """A crop and what it shows."""

    crop: np.ndarray  # [240, 240, 3] uint8
    code: np.ndarray  # [257] float32, as `codes.flatten_code` orders it
    landmarks: np.ndarray  # [68, 2] float32, crop pixels


def render_synthetic(
    model: BaseModel,
    units: ExpressionUnits,
    rng: np.random.Generator,
    background_photos: list[np.ndarray] | None = None,
) -> SyntheticFace:
    """Draws a face, its light, its surroundings and its camera, and renders them.

    Args:
      model: a model of a whole head; one with 80, 64 and 80 modes gives codes of 257 numbers.
      units: what its expressions are made of.
      rng: decides everything; the same state gives the same face.
      background_photos: RGB uint8 photos whose borders serve as backgrounds now and then.
    """
    code = sample_code(model, units, rng)
    hair = scene.sample_hair(model, rng)
    points = _form_with_hair(model, code, hair.cover, hair.colour, hair.thickness)
    pixels, depth, colours = (np.asarray(part) for part in (points.pixels, points.positions[:, 2], points.colours))
    landmarks = np.asarray(_PROJECTED(_camera_landmarks(model, code)))

    triangles = np.asarray(model.topology.triangles)
    triangle_index, barycentric = rasterize(pixels, depth, triangles, CROP_SIZE, CROP_SIZE)
    attributes = np.concatenate([np.clip(colours, 0, 1), hair.cover[:, None]], axis=1)
    rendered = interpolate(attributes, triangles, triangle_index, barycentric)
    face, hair_cover = rendered[:, :, :3], rendered[:, :, 3:]

    picture = scene.background(rng, landmarks, hair, background_photos)
    shown = face * scene.strands(rng, hair_cover)
    picture = np.where(triangle_index[:, :, None] >= 0, shown, picture).astype(np.float32)
    picture = scene.add_occluders(rng, picture, landmarks)
    return SyntheticFace(scene.photographed(rng, picture), np.asarray(flatten_code(code), np.float32), landmarks)


def sample_code(model: BaseModel, units: ExpressionUnits, rng: np.random.Generator) -> FaceCode:
    """A random face, framed as crops of photos are, and lit plausibly."""
    identities, _, reflectances = model.code_sizes
    beta, brightness = _sample_reflectance(model, rng, reflectances)
    code = FaceCode(
        identity=_float32(rng.normal(size=identities)),
        expression=_float32(units.sample(rng)),
        reflectance=beta,
        rotation=_float32(_sample_rotation(rng)),
        translation=jnp.zeros(3),
        illumination=_float32(_sample_illumination(rng, brightness)),
    )
    # Without a translation, the landmarks in camera space are the turned ones.
    return code.replace(translation=_float32(_framing_translation(np.asarray(_camera_landmarks(model, code)), rng)))


def build_synthetic(
    model: BaseModel,
    output_folder: str | Path,
    count: int,
    seed: int = 0,
    workers: int = 2,
    background_folder: str | Path | None = None,
) -> None:
    """Renders `count` faces into crops.npy, codes.npy and landmarks.npy of a folder.

    A build that was cut off goes on where it stopped. Row k depends on (seed, k) and the
    background photos alone, whatever the number of workers.

    Raises:
      InputError: the folder holds faces of another recipe.
    """
    folder = Path(output_folder)
    backgrounds = None if background_folder is None else str(background_folder)
    recipe = {"version": _RECIPE_VERSION, "model": model.name, "seed": seed, "count": count, "backgrounds": backgrounds}
    _prepare(folder, recipe)
    done = np.load(folder / "done.npy", mmap_mode="r+")
    missing = np.flatnonzero(~done)
    start = partial(_start_worker, jax.device_get(model), folder, seed, backgrounds)
    with tqdm(total=count, initial=count - len(missing), unit="face", desc=str(folder)) as progress:
        for k in _in_processes(start, missing, workers):
            done[k] = True
            progress.update()


def is_synthetic(folder: str | Path) -> bool:
    """Whether `build_synthetic` has made a folder."""
    return (Path(folder) / _RECIPE).is_file()


class SyntheticBatches:
    """Training batches out of a folder that `build_synthetic` has filled; every face once an epoch."""

    def __init__(self, folder: str | Path, batch_size: int, seed: int = 0, vary: bool = False):
        """Opens a folder; with `vary`, each crop is changed a little whenever it comes (`synthetic_augmentation`).

        Raises:
          InputError: no faces there, or not all that were begun.
        """
        folder = Path(folder)
        try:
            self._crops, self._codes, self._landmarks, done = (
                np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("crops", "codes", "landmarks", "done")
            )
        except OSError:
            raise InputError(f"{folder}: no synthetic faces there; render them first (build_synthetic)") from None
        if not done.all():
            raise InputError(f"{folder}: {np.count_nonzero(~done)} faces are missing; run the same build again to finish it")
        self._batch_size, self._seed, self._vary = batch_size, seed, vary

    def __len__(self) -> int:
        """How many faces there are."""
        return len(self._crops)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step, a function of (seed, step)."""
        rows = self._rows(step)
        ones = np.ones(len(rows), np.float32)
        crops, codes, landmarks = self._crops[rows], self._codes[rows], self._landmarks[rows]
        if self._vary:
            rng = np.random.default_rng([self._seed, step])
            crops, codes, landmarks = map(np.stack, zip(*(varied(*face, rng) for face in zip(crops, codes, landmarks))))
        return {
            "crop": crops,
            "mask": np.ones((len(rows), CROP_SIZE, CROP_SIZE), np.uint8),
            "landmarks": landmarks,
            "confidence": np.ones((len(rows), 68), np.float32),
            "is_face": ones,
            "code": codes,
            "has_code": ones.copy(),
        }

    def _rows(self, step):
        positions = step * self._batch_size + np.arange(self._batch_size)
        epochs, places = np.divmod(positions, len(self))
        orders = {epoch: np.random.default_rng([self._seed, epoch]).permutation(len(self)) for epoch in np.unique(epochs)}
        return np.array([orders[epoch][place] for epoch, place in zip(epochs, places)])


@jax.jit
def _form_with_hair(model, code, cover, colour, thickness):
    """The code's points, except that hair covers skin and lifts the surface by its thickness (mm)."""
    vertices = geometry(model, code.identity, code.expression)
    vertices = vertices + thickness * cover[:, None] * vertex_normals(model.topology, vertices)
    skin = reflectance(model, code.reflectance)
    return form_points_of(model.topology, vertices, skin + cover[:, None] * (colour - skin), code)


@jax.jit
def _camera_landmarks(model, code):
    """The 68 landmarks in camera space, [68, 3] mm."""
    R = rotation_matrix(code.rotation)
    vertices = geometry(model, code.identity, code.expression)
    return landmarks68(model.landmarks, vertices, R) @ R.T + code.translation


def _sample_reflectance(model, rng, size):
    """β, shrunk until its skin has colours that can be, and the mean brightness of that skin."""
    beta = rng.normal(size=size)
    skin = np.flatnonzero(model.regions["skin"])
    while True:
        colours = np.asarray(_REFLECTANCE(model, _float32(beta)))[skin]
        if np.quantile(colours, 0.05) > 0.03 and np.quantile(colours, 0.95) < 0.97:
            return _float32(beta), colours.mean()
        beta *= 0.85


def _sample_rotation(rng):
    """Axis-angle of a head that mostly faces the camera, radians."""
    yaw_spread = rng.choice([10.0, 25.0, 40.0], p=[0.4, 0.4, 0.2])
    yaw = np.clip(rng.normal(0, yaw_spread), -60, 60)
    pitch, roll = np.clip(rng.normal(0, [9, 8]), -20, 20)
    turn = Rotation.from_euler("YXZ", [-yaw, -pitch, roll], degrees=True).as_matrix()
    return near_frontal(Rotation.from_matrix(turn @ _FACES_CAMERA).as_rotvec())


def _framing_translation(turned, rng):
    """Where a head, turned but not yet moved, must be for its landmarks' box to sit in the crop as `crop_from_landmarks` puts it.

    Crops scatter about that frame as those from a detector do. A few fixed-point steps: the size
    on the picture goes with 1 / depth but for the head's own depth.
    """
    centre = (CROP_SIZE - 1) / 2 + CROP_SIZE * rng.normal(0, HAAR_SHIFT_STD)
    side = CROP_SIZE / SIDE_FACTOR * np.exp(rng.normal(0, HAAR_SCALE_STD))
    translation = np.array([0.0, 0.0, NEUTRAL_DEPTH])
    for _ in range(6):
        pixels = np.asarray(_PROJECTED(_float32(turned + translation)))
        low, high = pixels.min(0), pixels.max(0)
        translation[2] *= np.sqrt(np.prod(high - low)) / side
        translation[:2] += (centre - (low + high) / 2) * translation[2] / (FOCAL_IN_CROP_WIDTHS * CROP_SIZE)
    return translation


def _sample_illumination(rng, brightness):
    """γ [9, 3] of soft light from all sides and one to three lamps, mostly above and in front.

    Cameras expose for what they see: with a skin of the given brightness, the face's side that is
    seen ends between 0.2 and 0.65 on average.
    """
    normals = _sphere(400)
    directions = rng.normal([0.0, -0.5, -0.8], [0.8, 0.5, 0.5], size=(rng.integers(1, 4), 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lamps = np.maximum(normals @ directions.T, 0)
    strengths = rng.dirichlet(np.ones(len(directions)))[:, None] * rng.normal(1, 0.05, (len(directions), 3))
    ambient = rng.normal(1, 0.05, 3)
    share = rng.uniform(0.2, 0.8)
    irradiance = share * ambient + (1 - share) * 2 * lamps @ strengths
    basis = np.asarray(sh_basis(_float32(normals)), np.float64).T  # [400, 9]
    gamma = np.linalg.lstsq(basis, irradiance, rcond=None)[0]
    seen = basis[normals[:, 2] < -0.2]
    exposure = np.clip(rng.uniform(0.6, 1.3), 0.2 / brightness, 0.65 / brightness)
    gamma *= exposure / (seen @ gamma).mean()
    return _brightened(gamma, (seen @ gamma).min())


def _brightened(gamma, darkest, floor=0.1):
    """The same light with so much more from all sides that no shading seen is below the floor."""
    if darkest < floor:
        gamma[0] += floor - darkest
    return gamma


def _sphere(count):
    """Directions spread evenly (a Fibonacci spiral), [count, 3]."""
    k = np.arange(count) + 0.5
    z = 1 - 2 * k / count
    angle = np.pi * (1 + 5**0.5) * k
    return np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], axis=1)


def _float32(array):
    return jnp.asarray(array, jnp.float32)


def _prepare(folder, recipe):
    """Creates the empty arrays, or finds those of the same recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _RECIPE
    if path.exists():
        found = json.loads(path.read_text())
        if found != recipe:
            raise InputError(f"{folder}: holds synthetic faces of another recipe ({found}); choose another folder or remove it")
        return
    count = recipe["count"]
    shapes = {
        "crops": ((count, CROP_SIZE, CROP_SIZE, 3), np.uint8),
        "codes": ((count, CODE_SIZE), np.float32),
        "landmarks": ((count, 68, 2), np.float32),
        "done": ((count,), np.bool_),
    }
    for name, (shape, dtype) in shapes.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
    path.write_text(json.dumps(recipe))


def _in_processes(start, rows, workers):
    """Renders rows and yields their numbers as they are stored."""
    if workers <= 1 or len(rows) < 2:
        start()
        yield from map(_render_row, rows)
        return
    context = multiprocessing.get_context("spawn")  # JAX does not survive a fork
    with context.Pool(workers, start) as pool:
        yield from pool.imap_unordered(_render_row, rows, chunksize=4)


_worker = {}  # what this process renders with


def _start_worker(model, folder, seed, background_folder):
    _worker["model"] = jax.device_put(model)
    _worker["units"] = expression_units(model)
    _worker["seed"] = seed
    _worker["backgrounds"] = scene.load_backgrounds(background_folder)
    for name in ("crops", "codes", "landmarks"):
        _worker[name] = np.load(folder / f"{name}.npy", mmap_mode="r+")


def _render_row(k):
    rng = np.random.default_rng([_worker["seed"], k])
    face = render_synthetic(_worker["model"], _worker["units"], rng, _worker["backgrounds"])
    _worker["crops"][k], _worker["codes"][k], _worker["landmarks"][k] = face.crop, face.code, face.landmarks
    return k
