"""Renders a synthetic face: the head under its light, what is behind it and in front of it, and the camera.

What the code's image formation does not have (highlights, cast shadows, detail of the skin, occluders, the camera's
effects) makes pictures more like photos. It leaves the code as it is.
"""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.codes import FaceCode, flatten_code
from fml_jax.corpus.face_labels import label_map
from fml_jax.corpus.records import Truth
from fml_jax.face_model.base import BaseModel, kept_vertices
from fml_jax.face_model.landmarks import landmarks68, landmarks478
from fml_jax.image_formation.camera import CROP_SIZE, FOCAL_IN_CROP_WIDTHS, project, to_camera
from fml_jax.image_formation.landmark_projection import camera_landmarks
from fml_jax.synthetic.adults import adult_identities
from fml_jax.synthetic.backgrounds import background
from fml_jax.synthetic.beyond_span import SPREAD, Population
from fml_jax.synthetic.camera_effects import photographed
from fml_jax.synthetic.expressions import ExpressionUnits
from fml_jax.synthetic.hair import grain, sample_hair
from fml_jax.synthetic.head_raster import head_raster
from fml_jax.synthetic.lit_head import lit_head, plainly_lit_head
from fml_jax.synthetic.occluders.kinds import sample_kinds
from fml_jax.synthetic.occluders.names import KINDS, UNOCCLUDED
from fml_jax.synthetic.occluders.placing import Setting, place_occluders
from fml_jax.synthetic.occluders.wearer import Wearer
from fml_jax.synthetic.random_codes import RandomFace, sample_face
from fml_jax.synthetic.skin_detail import BEARDED, sample_skin_detail

_FACES_CAMERA = np.diag([1.0, -1.0, -1.0]).astype(np.float32)
_PROJECTED, _CAMERA_LANDMARKS, _LANDMARKS = jax.jit(project), jax.jit(camera_landmarks), jax.jit(landmarks68)


@dataclass(frozen=True)
class Style:
    """What renders look like."""

    kinds: tuple[str, ...] = KINDS  # of occluders that may be in front of the face
    unoccluded: float = UNOCCLUDED  # share of faces with none
    photographic: bool = True  # with highlights, cast shadows, detail of the skin, and clothes
    bearded: float = BEARDED  # share of photographic faces with a beard or stubble; nothing else depends on it
    # Share of faces with the shapes of adults in photos, for the open model alone; corpora have `adults.ADULT_SHARE`.
    adults: float = 0.0


PLAIN = Style(kinds=(), photographic=False)  # what the code's image formation shows, but for hair and the camera


@dataclass(frozen=True)
class SyntheticFace:
    """A rendered crop, and the face that it shows."""

    crop: UInt8[np.ndarray, "240 240 3"]
    code: Float[np.ndarray, "code"]  # in the order of `codes.flatten_code`
    landmarks: Float[np.ndarray, "68 2"]  # crop pixels
    mesh: Float[np.ndarray, "478 3"]  # MediaPipe's points in crop pixels; depth as in `landmarks.detect_mesh`
    truth: Truth  # without hair
    labels: UInt8[np.ndarray, "120 120"]  # see `corpus.face_labels`
    kinds: tuple[str, ...]  # of the occluders in front of it


def render_synthetic(
    model: BaseModel,
    units: ExpressionUnits,
    rng: np.random.Generator,
    *,
    background_photos: list[np.ndarray] | None = None,
    population: Population | None = None,
    style: Style = Style(),  # noqa: B008 (frozen)
    like: FaceCode | None = None,
) -> SyntheticFace:
    """Samples a face, its illumination, surroundings and camera, and renders them.

    Args:
      model: a model of a whole head; its `code_sizes` define the length of the code.
      units: of the expressions.
      rng: source of all random numbers; the same state gives the same face.
      background_photos: RGB uint8 photos whose borders serve as some of the backgrounds.
      population: the distribution of faces beyond the model's span. The style is then `PLAIN`, and the face's code is
        the part of the face in the model's span.
      like: the face has the identity and the reflectance of this code; the rest is sampled.
    """
    person = model if population is None else population.draw(model, rng)
    style = style if population is None else PLAIN
    adult = population is None and style.adults > 0 and rng.random() < style.adults
    face = sample_face(
        person,
        units,
        rng,
        spread=1.0 if population is None else SPREAD,
        identities=adult_identities(model.name) if adult else None,
        like=like,
    )
    kinds = sample_kinds(rng, style.kinds, style.unoccluded)
    hair = _hair(person, rng, kinds, population is not None)
    head = head_raster(person, face, hair)
    before = place_occluders(rng, kinds, _setting(person, face, head, hair=hair, photos=background_photos))
    if style.photographic:
        detail = sample_skin_detail(person, rng, bearded=style.bearded)
        skin = lit_head(rng, person, face, head=head, detail=detail, cover=hair.cover, blockers=before.positions)
    else:
        skin = plainly_lit_head(head, face.code)

    landmarks = np.asarray(_PROJECTED(_CAMERA_LANDMARKS(person, face.code, face.vertices)))
    picture = background(rng, landmarks, hair, photos=background_photos)
    pixels = np.flatnonzero(head.shown)  # quicker than the mask
    picture.reshape(-1, 3)[pixels] = (skin * np.take(grain(rng, head.cover), pixels)).T
    picture = before.over(picture)
    return SyntheticFace(
        crop=photographed(rng, picture),
        code=np.asarray(flatten_code(face.code), np.float32),
        landmarks=landmarks,
        mesh=np.asarray(_mesh(person, face.code, face.vertices)),
        truth=_truth(person, face),
        labels=label_map(head.face.astype(np.float32), before.hidden),
        kinds=before.kinds,
    )


def _hair(person, rng, kinds, beyond):
    hair = sample_hair(person, rng, over_face="hair" in kinds)
    if beyond:
        hair = dataclasses.replace(hair, cover=hair.cover * ~np.asarray(person.regions["face"]))
    if "hats" in kinds:  # which press it down
        hair = dataclasses.replace(hair, thickness=np.minimum(hair.thickness, np.float32(2)))
    return hair


def _setting(person, face: RandomFace, head, *, hair, photos) -> Setting:
    vertices = np.asarray(face.vertices)
    ears, middle = np.flatnonzero(person.regions["ears"]), np.asarray(person.mean)[:, 0]
    wearer = Wearer(
        vertices,
        np.asarray(_LANDMARKS(person.landmarks, face.vertices, _FACES_CAMERA)),
        np.asarray(face.reflectance)[np.asarray(person.regions["skin"])].mean(axis=0),
        (ears[middle[ears] < 0], ears[middle[ears] > 0]),
    )
    return Setting(wearer, face.code, face.light, head=head, hair=hair, photos=photos)


@jax.jit
def _mesh(model, code, vertices):
    """MediaPipe's points in crop pixels, and their depths relative to the mean depth, in crop pixels."""
    on_face = landmarks478(model.landmarks, vertices)
    points = to_camera(on_face, code.rotation, code.translation)
    middle = points[:, 2].mean()
    depth = FOCAL_IN_CROP_WIDTHS * CROP_SIZE * (points[:, 2] - middle) / middle
    return jnp.column_stack([project(points), depth])


def _truth(model, face: RandomFace):
    """Vertices and reflectance at the detail that training uses."""
    kept = kept_vertices(model, model.regions["face"])
    return Truth(np.asarray(face.vertices)[kept], np.asarray(face.reflectance)[kept])
