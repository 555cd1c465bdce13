"""Several photos of one person: one identity and one reflectance for all, and pose, expression and light for each."""

import operator
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.codes import FaceCode, FinalCode
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel, geometry
from fml_jax.fitting.colours import ColourSolver
from fml_jax.fitting.shared_colours import solve_shared_colours
from fml_jax.fitting.shared_energy import fit_shared_energy
from fml_jax.fitting.shared_identity import fit_with_identity, identity_information, shared_identity
from fml_jax.image_formation.local_points import PointBasis
from fml_jax.ops.images import unit_range
from fml_jax.photos.colour_balance import balanced, balancing_gains
from fml_jax.photos.crops import crop_photo
from fml_jax.reconstruction.answers import Reconstructions
from fml_jax.reconstruction.evidence import Measurement, measure
from fml_jax.reconstruction.levels import learned_corrections, with_code, with_final_code, with_refitted_base
from fml_jax.reconstruction.prediction import TrainedNetwork
from fml_jax.reconstruction.reconstruction import Reconstruction
from fml_jax.reconstruction.refinement import fitting_model, observation_of

REFINED = 32  # photos that are refined together at most: each takes memory and time
BATCH = 32  # crops in one call of the network
_FEWEST = 8  # crops are filled up to so many, which takes less time than to compile for fewer
_DELTAS = ("geometry", "reflectance")  # names of δ in `FinalCode`
_ROUNDS = 2  # of joining identities and fitting poses and expressions

_measure = jax.jit(measure, static_argnames="encoder")


class Person(Reconstructions):
    """One face a photo, all of one identity and reflectance; `failures` has the photos that show nobody."""

    @property
    def neutral(self) -> Float[np.ndarray, "N 3"]:
        """The person's vertices without expression, mm, model space."""
        face = self[0]
        return face.vertices - np.tensordot(np.asarray(face.code.expression), np.asarray(face.model.expression), 1)


class NetworkParts(NamedTuple):
    """What a `Reconstructor` predicts with."""

    trained: TrainedNetwork
    model: BaseModel
    basis: PointBasis
    solver: ColourSolver | None  # None leaves light and reflectance to the network


def join_photos(
    network: NetworkParts, found: Iterable[Reconstruction], *, refine: bool = False
) -> list[Reconstruction]:
    """One face a photo, all of one identity and reflectance.

    Args:
      found: the faces of the photos. Of a photo with several, the one is taken whose identity is nearest to that of the
        photos with one; if there is no photo with one face, to that of the first photo's largest.
      refine: fit everything to all photos together, `REFINED` at most.

    Raises:
      InputError: more photos are to be refined.
    """
    faces = _one_a_photo(network, list(found))
    if not faces:
        return []
    codes = join_crops(network, _crops(faces))
    joined = _with_final_codes(network, faces, codes)
    return _refined(joined) if refine else joined


def join_crops(network: NetworkParts, crops: UInt8[np.ndarray, "B 240 240 3"]) -> FaceCode:
    """The codes of B crops of one person, with one identity and one reflectance; NumPy arrays."""
    gains = balancing_gains(crops)
    places, used = _places(len(crops), _FEWEST)
    filled = balanced(crops, gains)[places]
    parts = [_answer(network, part) for part in np.split(filled, range(BATCH, len(filled), BATCH))]
    answer = jax.tree.map(lambda *each: jnp.concatenate(each), *parts)
    codes = _with_one_identity(network.basis, answer.codes, answer.evidence, used=used)
    codes = _with_one_reflectance(network.model, network.solver, codes, crops=filled, used=used)
    codes = jax.tree.map(lambda part: np.asarray(part)[: len(crops)], codes)
    return codes.replace(illumination=codes.illumination / gains[:, None])


def measured(network: NetworkParts, crops: UInt8[np.ndarray, "B 240 240 3"]) -> Measurement:
    """`evidence.measure` of crops as `Reconstructor.predict` takes them; NumPy arrays. It is compiled for each B."""
    gains = balancing_gains(crops)
    answer = jax.tree.map(np.asarray, _answer(network, balanced(crops, gains)))
    light = answer.codes.illumination / gains[:, None]
    return answer._replace(codes=answer.codes.replace(illumination=light))


def _answer(network: NetworkParts, crops: np.ndarray) -> Measurement:
    trained = network.trained
    return _measure(trained.params, network.model, crops, encoder=trained.encoder, basis=network.basis)


def likeness(one: FaceCode, other: FaceCode) -> float:
    """How alike the people of two codes are, at most 1: the mean cosine of their identities and reflectances.

    Of single video frames 0.8 is as common among frames of one person as 0.7 is rare among those of different people.
    """
    pairs = ((one.identity, other.identity), (one.reflectance, other.reflectance))
    return float(np.mean([np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-12) for a, b in pairs]))


def _one_a_photo(network: NetworkParts, faces: list[Reconstruction]) -> list[Reconstruction]:
    photos: dict[str, list[Reconstruction]] = {}
    for face in faces:
        photos.setdefault(face.source, []).append(face)
    alone = [found[0] for found in photos.values() if len(found) == 1] or faces[:1]
    if len(photos) == len(faces):
        return faces
    person = jax.tree.map(lambda part: part[0], join_crops(network, _crops(alone)))
    return [max(found, key=lambda face: likeness(face.code, person)) for found in photos.values()]


def _crops(faces: Sequence[Reconstruction]) -> UInt8[np.ndarray, "B 240 240 3"]:
    return np.stack([crop_photo(face.photo, face.crop_from_photo) for face in faces])


def _with_codes(faces: Sequence[Reconstruction], codes: FaceCode) -> list[Reconstruction]:
    return [with_code(face, jax.tree.map(operator.itemgetter(k), codes)) for k, face in enumerate(faces)]


def _with_final_codes(network: NetworkParts, faces: Sequence[Reconstruction], codes: FaceCode) -> list[Reconstruction]:
    """Faces of these base levels, and of the mean δ of their photos; each keeps its change of the light."""
    final, found = network.trained.final, [face.final_code for face in faces if face.final_code is not None]
    if final is None or len(found) < len(faces):
        return _with_codes(faces, codes)
    geometry, reflectance = (np.mean([getattr(each, name) for each in found], axis=0) for name in _DELTAS)
    joined = []
    for k, (face, own) in enumerate(zip(faces, found, strict=True)):
        base = jax.tree.map(operator.itemgetter(k), codes)
        light = base.illumination + (own.illumination - own.base.illumination)
        joined.append(with_final_code(face, FinalCode(base, geometry, reflectance, light), final))
    return joined


def _places(count: int, fewest: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Which of `count` crops fill a power of two, so that functions are compiled for few sizes, and 1 for each one."""
    places = np.arange(max(fewest, 1 << (count - 1).bit_length()))
    return np.minimum(places, count - 1), (places < count).astype(np.float32)


def _refined(faces: list[Reconstruction]) -> list[Reconstruction]:
    """Faces of one person after `fit_shared_energy`."""
    if len(faces) > REFINED:
        raise InputError(f"{len(faces)} photos of one person to refine; give {REFINED} at most, or do not refine")
    places, used = _places(len(faces))
    filled = [faces[place] for place in places]
    codes, observations = (
        jax.tree.map(lambda *parts: jnp.stack(parts), *each)
        for each in ([face.code for face in filled], [observation_of(face) for face in filled])
    )
    learned = learned_corrections(faces[0])  # the mean δ of all of them
    model = fitting_model(faces[0].model, learned)
    fitted = jax.device_get(fit_shared_energy(model, codes, observations, used=used))
    each = (jax.tree.map(operator.itemgetter(k), fitted) for k in range(len(faces)))
    return [with_refitted_base(face, code, learned) for face, code in zip(faces, each, strict=True)]


@jax.jit
def _with_one_identity(basis, codes, evidence, *, used):
    each = jax.vmap(identity_information, in_axes=(None, 0, 0))
    fitted = jax.vmap(
        lambda code, identity, found: fit_with_identity(basis, code, identity, evidence=found), (0, None, 0)
    )
    for _ in range(_ROUNDS):
        codes = fitted(codes, shared_identity(each(basis, codes, evidence), used), evidence)
    return codes


@jax.jit
def _with_one_reflectance(model, solver, codes, *, crops, used):
    if solver is None:
        beta = used @ codes.reflectance / used.sum()
        return codes.replace(reflectance=jnp.broadcast_to(beta, codes.reflectance.shape))
    vertices = jax.vmap(lambda code: geometry(model, code.identity, code.expression))(codes)
    return solve_shared_colours(solver, codes, vertices, crops=unit_range(crops), used=used)
