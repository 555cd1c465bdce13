"""Synthetic faces: renders of the face model whose codes are known exactly.

The network learns from them what photos alone do not determine, such as the parts of reflectance and illumination in a
colour. Faces are rendered into a corpus before training. Face k depends on (seed, k) alone, so that a build can be
interrupted, continued, and divided among processes.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
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
from fml_jax.image_formation.parts import form_parts, joined_rows, joined_triangles, parts_of
from fml_jax.image_formation.points import form_points_of
from fml_jax.image_formation.raster import interpolate, rasterize
from fml_jax.image_formation.sphere import fibonacci_sphere
from fml_jax.photos.crops import HAAR_SCALE_STD, HAAR_SHIFT_STD, SIDE_FACTOR
from fml_jax.runners import Runner, run_in_processes
from fml_jax.synthetic import scene
from fml_jax.synthetic.beyond_span import SPREAD, Population, hidden_population
from fml_jax.synthetic.expressions import ExpressionUnits, expression_units

_FACES_CAMERA = np.diag([1.0, -1.0, -1.0])
_RECIPE_VERSION = 3  # raise it when the same seed gives other faces

_UNMOVED = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
_PROJECTED, _CAMERA_LANDMARKS = jax.jit(project), jax.jit(camera_landmarks)
_GEOMETRY, _REFLECTANCE = jax.jit(geometry), jax.jit(reflectance)


@dataclass(frozen=True)
class SyntheticFace:
    """A rendered crop, and the face that it shows."""

    crop: UInt8[np.ndarray, "240 240 3"]
    code: Float[np.ndarray, "code"]  # in the order of `codes.flatten_code`
    landmarks: Float[np.ndarray, "68 2"]  # crop pixels
    mesh: Float[np.ndarray, "478 3"]  # MediaPipe's points in crop pixels; depth as in `landmarks.detect_mesh`
    truth: Truth  # without hair


def render_synthetic(
    model: BaseModel,
    units: ExpressionUnits,
    rng: np.random.Generator,
    *,
    background_photos: list[np.ndarray] | None = None,
    population: Population | None = None,
) -> SyntheticFace:
    """Samples a face, its illumination, surroundings and camera, and renders them.

    Args:
      model: a model of a whole head; its `code_sizes` define the length of the code.
      units: of the expressions.
      rng: source of all random numbers; the same state gives the same face.
      background_photos: RGB uint8 photos whose borders serve as some of the backgrounds.
      population: the distribution of faces beyond the model's span. Nothing then occludes the face, and its code is the
        part of the face in the model's span.
    """
    person = model if population is None else population.draw(model, rng)
    code, surface = _sample_face(person, units, rng, 1.0 if population is None else SPREAD)
    hair = scene.sample_hair(person, rng)
    if population is not None:
        hair = dataclasses.replace(hair, cover=hair.cover * ~np.asarray(model.regions["face"]))
    points = _form_with_hair(model.topology, code, surface, hair.cover, hair.colour, hair.thickness)
    pixels, depth, colours = (np.asarray(part) for part in (points.pixels, points.positions[:, 2], points.colours))
    landmarks = np.asarray(_PROJECTED(_CAMERA_LANDMARKS(person, code, surface.vertices)))

    attributes = np.concatenate([np.clip(colours, 0, 1), hair.cover[:, None]], axis=1)
    mesh = _with_parts(model, code, _Mesh(pixels, depth, np.asarray(model.topology.triangles), attributes))
    raster = rasterize(mesh.pixels, mesh.depth, mesh.triangles, height=CROP_SIZE, width=CROP_SIZE)
    rendered = interpolate(mesh.attributes, mesh.triangles, raster)
    face, hair_cover = rendered[:, :, :3], rendered[:, :, 3:]

    picture = scene.background(rng, landmarks, hair, photos=background_photos)
    shown = face * scene.strands(rng, hair_cover)
    triangle_index, _ = raster
    picture = np.where(triangle_index[:, :, None] >= 0, shown, picture).astype(np.float32)
    if population is None:
        picture = scene.add_occluders(rng, picture, landmarks)
    flat = np.asarray(flatten_code(code), np.float32)
    return SyntheticFace(
        scene.photographed(rng, picture),
        flat,
        landmarks,
        np.asarray(_mesh(person, code, surface.vertices)),
        _truth(person, surface),
    )


def sample_code(model: BaseModel, units: ExpressionUnits, rng: np.random.Generator, *, spread: float = 1.0) -> FaceCode:
    """A random face with plausible illumination, framed like the crops of photos.

    Args:
      spread: factor on the standard deviations of identity and expression.
    """
    return _sample_face(model, units, rng, spread)[0]


class _Surface(NamedTuple):
    """What a code's modes sum up to; the sums take most of a render's time and are made once."""

    vertices: jax.Array  # [N, 3] model space, mm
    reflectance: jax.Array  # [N, 3]


def _sample_face(model, units, rng, spread) -> tuple[FaceCode, _Surface]:
    sizes = model.code_sizes
    beta, skin, brightness = _sample_reflectance(model, rng, sizes.reflectance)
    code = FaceCode(
        identity=_float32(rng.normal(size=sizes.identity) * spread),
        expression=_float32(units.sample(rng) * spread),
        reflectance=beta,
        rotation=_float32(_sample_rotation(rng)),
        translation=jnp.zeros(3),
        illumination=_float32(_sample_illumination(rng, brightness)),
    )
    vertices = _GEOMETRY(model, code.identity, code.expression)
    # Before the translation is known, the landmarks in camera space are only rotated.
    turned = np.asarray(_CAMERA_LANDMARKS(model, code, vertices))
    return code.replace(translation=_float32(_framing_translation(turned, rng))), _Surface(vertices, skin)


class SyntheticFaceNumber(NamedTuple):
    """One item of a corpus of renders."""

    name: str
    source: str
    number: int


class SyntheticMaker:
    """Renders face number k; the result depends on (seed, k) and the background photos alone."""

    def __init__(
        self, model: BaseModel, seed: int, background_photos: list[Path], *, beyond: bool, truth: bool
    ) -> None:
        """See `build_synthetic`; `background_photos` are the files."""
        self._model, self._seed, self._background_photos = jax.device_get(model), seed, background_photos
        self._beyond, self._truth = beyond, truth

    def start(self) -> None:
        """Prepares a process: reads the background photos and computes the data that all faces share."""
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
    """Renders faces into a corpus, as `corpus.building.build_corpus` makes one of photos.

    The code of a record and the model that the card names define the face: eq. 3–4 give its vertices and reflectance.
    This does not hold for faces beyond the model's span.

    Args:
      output_folder, workers, per_shard, runner: see `corpus.building.build_corpus`.
      count: number of faces.
      seed: another seed gives other faces.
      background_folder: photos for backgrounds; without it, backgrounds are generated.
      beyond: render faces of `beyond_span.hidden_population`.
      truth: store vertices and reflectance as well, 80 kB a face.

    Returns:
      The card.

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


class _Mesh(NamedTuple):
    """What is rasterised of a head."""

    pixels: np.ndarray  # [N, 2] crop pixels
    depth: np.ndarray  # [N] mm
    triangles: np.ndarray  # [T, 3]
    attributes: np.ndarray  # [N, 4]: colour, and how much of it is hair


def _with_parts(model: BaseModel, code: FaceCode, head: _Mesh) -> _Mesh:
    """The head with its teeth, tongue and mouth's lining, if its face model has them."""
    parts = parts_of(model)
    if parts is None:
        return head
    points = jax.device_get(form_parts(parts, code))
    colours = np.clip(points.colours, 0, 1)
    return _Mesh(
        joined_rows(head.pixels, points.pixels),
        np.concatenate([head.depth, points.positions[:, 2]]),
        joined_triangles(len(head.pixels), head.triangles, parts),
        joined_rows(head.attributes, np.column_stack([colours, np.zeros(len(colours), np.float32)])),
    )


@jax.jit
def _form_with_hair(topology, code, surface, cover, colour, thickness):
    """The points of a face with hair, which covers the skin and lifts the surface by its thickness (mm)."""
    vertices, skin = surface
    vertices = vertices + thickness * cover[:, None] * vertex_normals(topology, vertices)
    return form_points_of(topology, vertices, skin + cover[:, None] * (colour - skin), code=code)


@jax.jit
def _mesh(model, code, vertices):
    """MediaPipe's points in crop pixels, and their depths relative to the mean depth, in crop pixels."""
    on_face = landmarks478(model.landmarks, vertices)
    points = to_camera(on_face, code.rotation, code.translation)
    middle = points[:, 2].mean()
    depth = FOCAL_IN_CROP_WIDTHS * CROP_SIZE * (points[:, 2] - middle) / middle
    return jnp.column_stack([project(points), depth])


def _truth(model, surface):
    """Vertices and reflectance at the detail that training uses."""
    kept = kept_vertices(model, model.regions["face"])
    return Truth(np.asarray(surface.vertices)[kept], np.asarray(surface.reflectance)[kept])


def _sample_reflectance(model, rng, size):
    """A random β, scaled down until the skin's colours are valid; its reflectance; the mean brightness of the skin."""
    beta = rng.normal(size=size)
    skin = np.flatnonzero(model.regions["skin"])
    while True:
        everywhere = _REFLECTANCE(model, _float32(beta))
        colours = np.asarray(everywhere)[skin]
        if np.quantile(colours, 0.05) > 0.03 and np.quantile(colours, 0.95) < 0.97:
            return _float32(beta), everywhere, colours.mean()
        beta *= 0.85


def _sample_rotation(rng):
    """The axis-angle vector (radians) of a head that mostly faces the camera."""
    yaw_spread = rng.choice([10.0, 25.0, 40.0], p=[0.4, 0.4, 0.2])
    yaw = np.clip(rng.normal(0, yaw_spread), -60, 60)
    pitch, roll = np.clip(rng.normal(0, [9, 8]), -20, 20)
    turn = Rotation.from_euler("YXZ", [-yaw, -pitch, roll], degrees=True).as_matrix()
    return near_frontal(Rotation.from_matrix(turn @ _FACES_CAMERA).as_rotvec())


def _framing_translation(turned, rng):
    """The translation of a rotated head for which its landmarks lie in the crop as in `crop_from_landmarks`.

    The frame scatters as that of a detector's crops does. A few fixed-point steps suffice, because the size in the
    picture is nearly proportional to 1 / depth.
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
    """γ [9, 3] of ambient light and one to three lamps, mostly above and in front.

    The exposure is limited such that the visible side of a face whose skin has this brightness is between 0.2 and 0.65
    on average.
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
    visible = basis[normals[:, 2] < -0.2]
    exposure = np.clip(rng.uniform(0.6, 1.3), 0.2 / brightness, 0.65 / brightness)
    gamma *= exposure / (visible @ gamma).mean()
    return _brightened(gamma, (visible @ gamma).min())


def _brightened(gamma, darkest, floor=0.1):
    """The light with ambient light added such that no visible shading is below the floor."""
    if darkest < floor:
        gamma[0] += floor - darkest
    return gamma


def _float32(array):
    return jnp.asarray(array, jnp.float32)
