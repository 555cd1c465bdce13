"""Synthetic faces: crops of the face model whose codes are known exactly.

The network learns from them what photos alone cannot tell it, such as how reflectance and light
share a colour. Faces are rendered ahead into a corpus like that of photos; face k depends on (seed, k)
alone, so that a build can be cut off, taken up again, and shared by processes.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from fml_jax.codes import NEUTRAL_DEPTH, FaceCode, flatten_code
from fml_jax.corpus.building import build
from fml_jax.corpus.camera_augmentation import near_frontal
from fml_jax.corpus.quality import face_stats
from fml_jax.corpus.records import Example, Truth
from fml_jax.corpus.shards import PER_SHARD
from fml_jax.face_model.base import BaseModel, geometry, kept_vertices, reflectance
from fml_jax.face_model.landmarks import landmarks478
from fml_jax.face_model.topology import vertex_normals
from fml_jax.files import checked_path
from fml_jax.image_formation.camera import CROP_SIZE, FOCAL_IN_CROP_WIDTHS, project, to_camera
from fml_jax.image_formation.illumination import sh_basis
from fml_jax.image_formation.landmark_projection import camera_landmarks
from fml_jax.image_formation.points import form_points_of
from fml_jax.image_formation.raster import interpolate, rasterize
from fml_jax.image_formation.sphere import fibonacci_sphere
from fml_jax.photos.crops import HAAR_SCALE_STD, HAAR_SHIFT_STD, SIDE_FACTOR
from fml_jax.runners import Runner, run_in_processes
from fml_jax.synthetic import scene as scene
from fml_jax.synthetic.beyond_span import SPREAD, Population, hidden_population
from fml_jax.synthetic.expressions import ExpressionUnits, expression_units

_FACES_CAMERA = np.diag([1.0, -1.0, -1.0])
_RECIPE_VERSION = 3  # raise it when the same seed gives other faces

_UNMOVED = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
_PROJECTED, _CAMERA_LANDMARKS = jax.jit(project), jax.jit(camera_landmarks)
_GEOMETRY, _REFLECTANCE = jax.jit(geometry), jax.jit(reflectance)


@dataclass(frozen=True)
class SyntheticFace:
    """A crop and what it shows."""

    crop: np.ndarray  # [240, 240, 3] uint8
    code: np.ndarray  # [code] float32, as `codes.flatten_code` orders it
    landmarks: np.ndarray  # [68, 2] float32, crop pixels
    mesh: (
        np.ndarray
    )  # [478, 3] float32, MediaPipe's points in crop pixels, with depth as `landmarks.detect_mesh` has it
    truth: Truth  # without hair


def render_synthetic(
    model: BaseModel,
    units: ExpressionUnits,
    rng: np.random.Generator,
    *,
    background_photos: list[np.ndarray] | None = None,
    population: Population | None = None,
) -> SyntheticFace:
    """Draws a face, its light, its surroundings and its camera, and renders them.

    Args:
      model: a model of a whole head; its `code_sizes` decide the length of the code.
      units: what its expressions are made of.
      rng: decides everything; the same state gives the same face.
      background_photos: RGB uint8 photos whose borders serve as backgrounds now and then.
      population: whose faces are drawn, where they lie beyond the model's span. Nothing then hides the face, and its
        code is what of it the model can say.
    """
    person = model if population is None else population.draw(model, rng)
    code = sample_code(person, units, rng, spread=1.0 if population is None else SPREAD)
    hair = scene.sample_hair(person, rng)
    if population is not None:
        hair = dataclasses.replace(hair, cover=hair.cover * ~np.asarray(model.regions["face"]))
    points = _form_with_hair(person, code, hair.cover, hair.colour, hair.thickness)
    pixels, depth, colours = (np.asarray(part) for part in (points.pixels, points.positions[:, 2], points.colours))
    landmarks = np.asarray(_PROJECTED(_CAMERA_LANDMARKS(person, code)))

    triangles = np.asarray(model.topology.triangles)
    raster = rasterize(pixels, depth, triangles, height=CROP_SIZE, width=CROP_SIZE)
    attributes = np.concatenate([np.clip(colours, 0, 1), hair.cover[:, None]], axis=1)
    rendered = interpolate(attributes, triangles, raster)
    face, hair_cover = rendered[:, :, :3], rendered[:, :, 3:]

    picture = scene.background(rng, landmarks, hair, background_photos)
    shown = face * scene.strands(rng, hair_cover)
    picture = np.where(triangle_index[:, :, None] >= 0, shown, picture).astype(np.float32)
    if population is None:
        picture = scene.add_occluders(rng, picture, landmarks)
    flat = np.asarray(flatten_code(code), np.float32)
    return SyntheticFace(
        scene.photographed(rng, picture), flat, landmarks, np.asarray(_mesh(person, code)), _truth(person, code)
    )


def sample_code(model: BaseModel, units: ExpressionUnits, rng: np.random.Generator, *, spread: float = 1.0) -> FaceCode:
    """A random face, framed as crops of photos are, and lit plausibly; identities and expressions are `spread` times the ordinary."""
    sizes = model.code_sizes
    beta, brightness = _sample_reflectance(model, rng, sizes.reflectance)
    code = FaceCode(
        identity=_float32(rng.normal(size=sizes.identity) * spread),
        expression=_float32(units.sample(rng) * spread),
        reflectance=beta,
        rotation=_float32(_sample_rotation(rng)),
        translation=jnp.zeros(3),
        illumination=_float32(_sample_illumination(rng, brightness)),
    )
    # Without a translation, the landmarks in camera space are the turned ones.
    return code.replace(translation=_float32(_framing_translation(np.asarray(_CAMERA_LANDMARKS(model, code)), rng)))


class SyntheticFaceNumber(NamedTuple):
    """An item of a corpus of renders."""

    name: str
    source: str
    number: int


class SyntheticMaker:
    """Renders face number k; a pure function of (seed, k) and the background photos."""

    def __init__(self, model: BaseModel, seed: int, background_photos: list[Path], *, beyond: bool, truth: bool):
        self._model, self._seed, self._background_photos = jax.device_get(model), seed, background_photos
        self._beyond, self._truth = beyond, truth

    def start(self) -> None:
        """Reads the background photos and makes what all faces share, once a process."""
        self._model, self._units = jax.device_put(self._model), expression_units(self._model)
        self._backgrounds = [scene.read_background(path) for path in self._background_photos]
        self._population = hidden_population(self._model) if self._beyond else None

    def __call__(self, item: SyntheticFaceNumber) -> Example:
        rng = np.random.default_rng([self._seed, item.number])
        face = render_synthetic(
            self._model, self._units, rng, background_photos=self._backgrounds, population=self._population
        )
        return Example(
            name=item.name,
            source=item.source,
            person="",
            window=face.crop,
            valid=np.ones((CROP_SIZE, CROP_SIZE), bool),
            to_photo=_UNMOVED,
            crop=_UNMOVED,
            landmarks68=face.landmarks,
            confidence=np.ones(68, np.float32),
            landmarks478=face.mesh,
            from_detector=False,
            stats=face_stats(face.crop, face.mesh),
            code=face.code,
            truth=face.truth if self._truth else None,
        )


def build_synthetic(
    model: BaseModel,
    output_folder: str | Path,
    count: int,
    *,
    seed: int = 0,
    workers: int | None = None,
    background_folder: str | Path | None = None,
    per_shard: int = PER_SHARD,
    runner: Runner = run_in_processes,
    beyond: bool = False,
    truth: bool = False,
) -> dict:
    """Renders `count` faces into a corpus, as `corpus.build_corpus` does with photos; returns its card.

    The code in each record, with the model that the card names, is the face: vertices and reflectance are
    eq. 3–4 of it. Faces beyond the model's span are not told by their codes.

    Args:
      beyond: faces of `synthetic_beyond.hidden_population`.
      truth: store vertices and reflectance too, 104 kB a face.

    Raises:
      InputError: the folder holds something else, no background photo can be read, or the disk is full.
    """
    backgrounds = None if background_folder is None else str(background_folder)
    photos, digest = ([], None) if backgrounds is None else scene.usable_backgrounds(backgrounds)
    about = {
        "sources": [
            {
                "name": "synthetic",
                "layout": "synthetic",
                "input": backgrounds,
                "weight": 1.0,
                "where": f"rendered from the face model {model.name!r}",
                "terms": "the face model's, and the background photos'" if backgrounds else "the face model's",
            }
        ],
        "settings": {
            "recipe": _RECIPE_VERSION,
            "model": model.name,
            "seed": seed,
            "count": count,
            "beyond": beyond,
            "truth": truth,
            "backgrounds_sha256": digest,
        },
    }
    items = [SyntheticFaceNumber(f"synthetic/{seed}/{k:08d}", "synthetic", k) for k in range(count)]
    maker = SyntheticMaker(model, seed, photos, beyond=beyond, truth=truth)
    return build(
        checked_path(output_folder), items, maker, about=about, workers=workers, per_shard=per_shard, runner=runner
    )


@jax.jit
def _form_with_hair(model, code, cover, colour, thickness):
    """The code's points, except that hair covers skin and lifts the surface by its thickness (mm)."""
    vertices = geometry(model, code.identity, code.expression)
    vertices = vertices + thickness * cover[:, None] * vertex_normals(model.topology, vertices)
    skin = reflectance(model, code.reflectance)
    return form_points_of(model.topology, vertices, skin + cover[:, None] * (colour - skin), code)


@jax.jit
def _mesh(model, code):
    """MediaPipe's points in crop pixels, and how much farther than their mean they are, in such pixels too."""
    on_face = landmarks478(model.landmarks, geometry(model, code.identity, code.expression))
    points = to_camera(on_face, code.rotation, code.translation)
    middle = points[:, 2].mean()
    depth = FOCAL_IN_CROP_WIDTHS * CROP_SIZE * (points[:, 2] - middle) / middle
    return jnp.column_stack([project(points), depth])


def _truth(model, code):
    """The code's vertices and reflectance at the detail that training uses."""
    kept = kept_vertices(model, model.regions["face"])
    vertices = _GEOMETRY(model, code.identity, code.expression)
    return Truth(np.asarray(vertices)[kept], np.asarray(_REFLECTANCE(model, code.reflectance))[kept])


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
    normals = fibonacci_sphere(400)
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


def _float32(array):
    return jnp.asarray(array, jnp.float32)
