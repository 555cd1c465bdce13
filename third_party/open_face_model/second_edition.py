"""Builds the second edition: ICT-FaceKit's scans, enriched with MakeHuman's axes, in MakeHuman's skins."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.sparse as sparse
from absl import logging

from fml_jax.face_model.integer_modes import quantised
from fml_jax.face_model.subdivision import triangulate
from fml_jax.photos.landmarks import IBUG_FROM_MEDIAPIPE
from third_party.open_face_model.archive import rounded
from third_party.open_face_model.coarse_eyes import with_coarse_eyes
from third_party.open_face_model.complexions import build_complexions
from third_party.open_face_model.contact import Margins, Pair, contact_pairs
from third_party.open_face_model.expressions import average_unit
from third_party.open_face_model.head_mesh import EYE, MM_PER_UNIT
from third_party.open_face_model.ict_expressions import ExpressionModes, Units, build_expressions
from third_party.open_face_model.ict_identity import (
    SAMPLES,
    build_identity,
    sample_people,
    sampled_coordinates,
    vertex_weights,
)
from third_party.open_face_model.ict_parts import part_arrays
from third_party.open_face_model.ict_regions import NARROW_FACE, IctRegions, occlusion
from third_party.open_face_model.ict_sources import Sources, adjacency, carrying, ears, evened, misplaced, read_sources
from third_party.open_face_model.identity import BACK_WEIGHT, ORIGINS, IdentityModes, frontal_face, sample_heads
from third_party.open_face_model.landmark_embedding import Embedding, Surface, embed_landmarks, first_landmarks
from third_party.open_face_model.makehuman_on_ict import RegisteredHead, Target, register_makehuman, with_eyes
from third_party.open_face_model.openings import LID_MARGIN_RING
from third_party.open_face_model.repairs import (
    Spreader,
    closed_lips,
    identity_without_penetration,
    make_spreader,
    plausible_combinations,
    repaired_identity,
    repaired_units,
    without_penetration,
)
from third_party.open_face_model.sampled_heads import random_heads
from third_party.open_face_model.skins import ReflectanceModes, hair_cover, sample_texture

NAME = "fml-open-face-2"
LICENCE = (
    "MIT geometry of ICT-FaceKit (c) 2020 USC Institute for Creative Technologies; "
    "CC0-1.0 geometry and skins by the MakeHuman community; see OPEN_MODEL.md"
)
GEOMETRY_ERROR, EXPRESSION_ERROR, REFLECTANCE_ERROR = 0.01, 0.0025, 0.001  # mm, mm, sRGB: of the stored modes
MAKEHUMAN_MODES = 60  # of its heads
ENRICHMENT = 0.85  # of MakeHuman's part in an identity: chosen by fits to scans (README.md)


def build_registration(sources: Sources) -> RegisteredHead:
    """MakeHuman's head on the new mesh's neutral face."""
    triangles = triangulate(sources.head.quads)
    parts = np.repeat(sources.head.parts, 2)
    target = Target(sources.neutral, triangles, parts, ears(sources.neutral), sources.kit.landmarks68)
    return register_makehuman(sources.package, list(sources.textures.values()), target)


def build_units(sources: Sources, registration: RegisteredHead) -> Units:
    """ICT-FaceKit's units, then MakeHuman's."""
    names, shapes = sources.kit.units()
    operator = sources.head.operator
    ict = np.stack([operator @ shape for shape in shapes])
    names_of_makehuman = sources.package.target_names(f"expression/units/{ORIGINS[0]}")
    carry = carrying(sources, registration)
    carried = []
    for name in names_of_makehuman:
        control = average_unit(sources.package, registration.base, registration.mesh, name) * MM_PER_UNIT
        carried.append(carry(registration.operator @ control) * registration.scale)
    shapes = np.concatenate([ict, evened(np.stack(carried), sources, carry)])
    return Units(names + [f"makehuman-{name}" for name in names_of_makehuman], shapes)


@dataclass(frozen=True)
class Repairs:
    """What repairs need to know about the mesh."""

    pairs: list[Pair | Margins]
    spread: Spreader


def prepare_repairs(sources: Sources) -> Repairs:
    """Contact pairs and the spreading of repairs on the new mesh."""
    quads = sources.head.quads
    pairs = contact_pairs(sources.neutral, sources.openings, sources.head.eyeballs, quads)
    return Repairs(pairs, make_spreader(adjacency(quads, len(sources.neutral)), sources.openings))


def repair_units(sources: Sources, units: Units, neutral: np.ndarray, repairs: Repairs) -> Units:
    """Units that turn the eyes, close the lids and leave lips apart, alone and together."""
    repaired = repaired_units(units, neutral, sources.openings, sources.head.eyeballs, spread=repairs.spread)
    return without_penetration(
        repaired,
        neutral,
        sources.openings,
        sources.head.eyeballs,
        pairs=repairs.pairs,
        spread=repairs.spread,
        combinations=plausible_combinations(units.names),
    )


def build_people(
    sources: Sources, neutral: np.ndarray, makehuman: tuple[np.ndarray, np.ndarray], strength: float = ENRICHMENT
) -> IdentityModes:
    """Identity modes; the mean is still in ICT-FaceKit's space.

    Args:
      neutral: [N, 3] with repaired lips.
      makehuman: coordinates [S, K] and modes [K, N, 3] of MakeHuman's heads.
      strength: factor on MakeHuman's part.
    """
    operator = sources.head.operator
    identity = np.stack([operator @ mode for mode in sources.kit.identity.astype(float)]).astype(np.float32)
    coordinates, modes = makehuman
    flat = (strength * modes).reshape(len(modes), -1).astype(np.float32)
    extra = (coordinates.astype(np.float32) @ flat).reshape(-1, *neutral.shape)
    heads = np.stack([head.astype(np.float32) for head in sample_people(neutral, identity, extra)])
    count = len(neutral)
    weights = vertex_weights(count, NARROW_FACE, count, np.concatenate(sources.head.eyeballs))
    return build_identity(heads, weights, np.arange(NARROW_FACE))


def makehuman_people(sources: Sources, registration: RegisteredHead) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates [S, K] of random MakeHuman heads in their principal modes, and these on the new mesh [K, N, 3]."""
    heads = sample_heads(sources.package, registration.base, registration.mesh, SAMPLES)
    frontal = frontal_face(registration.mesh, heads.mean(0))
    weights = np.where(frontal | registration.mesh.vertices_of(EYE), 1.0, BACK_WEIGHT)
    coordinates, modes = sampled_coordinates(heads, frontal, weights, MAKEHUMAN_MODES)
    carry = carrying(sources, registration)
    carried = np.stack([carry(registration.operator @ mode) for mode in modes]) * registration.scale
    eyes = carried.copy()
    carried = evened(carried, sources, carry)
    for ball, eye in zip(sources.head.eyeballs, sources.openings.eyes, strict=True):
        # An eyeball moves as its lids do on average; it keeps its size.
        carried[:, ball] = eyes[:, eye.grid[LID_MARGIN_RING]].mean(1, keepdims=True)
    return coordinates, carried


def centred(identity: IdentityModes, neutral: np.ndarray) -> IdentityModes:
    """The identity with its origin at the midpoint between the mean head's ears."""
    middle = identity.mean[ears(neutral)].mean(0) * [0, 1, 1]
    return replace(identity, mean=identity.mean - middle)


def repair_identity(sources: Sources, identity: IdentityModes, repairs: Repairs) -> IdentityModes:
    """Identity modes under which lips stay closed and lids on the eyeballs."""
    modes = repaired_identity(
        identity.modes, identity.mean, sources.openings, sources.head.eyeballs, spread=repairs.spread
    )
    modes = identity_without_penetration(modes, identity.mean, repairs.pairs, repairs.spread)
    return replace(identity, modes=modes)


def build_regions(sources: Sources, registration: RegisteredHead, mean: np.ndarray) -> IctRegions:
    """Regions of the standard mesh."""
    triangles = triangulate(sources.head.quads)
    parts = np.repeat(sources.head.parts, 2)
    carry = carrying(sources, registration)
    on_makehuman = [sample_texture(texture, registration.uv) for texture in sources.textures.values()]
    colours = carry(np.mean(on_makehuman, axis=0))
    surface = Surface(mean, triangles, parts)
    landmarks = first_landmarks(surface, with_eyes(colours, mean, sources.head.vertices_of(EYE)))
    dark = [c for name, c in zip(sources.textures, on_makehuman, strict=True) if "darkskinned" in name]
    return IctRegions(
        mean,
        sources.head,
        sources.openings,
        ears=ears(sources.neutral).astype(float),
        hair=carry(hair_cover(dark)[:, None])[:, 0],
        landmarks=landmarks,
        adjacency=adjacency(sources.head.quads, len(mean)),
        occlusion=occlusion(mean, triangles),
    )


def build_skins(
    sources: Sources, registration: RegisteredHead, regions: IctRegions, mean: np.ndarray, samples: int
) -> ReflectanceModes:
    """Reflectance modes."""
    carry = carrying(sources, registration)
    colours = [carry(sample_texture(texture, registration.uv)) for texture in sources.textures.values()]
    near_openings = np.zeros(len(mean))
    for eye in sources.openings.eyes:
        near_openings[eye.grid] = 1
    near_openings[sources.openings.mouth.grid[:8]] = 1
    doubtful = misplaced(sources, carry) | (near_openings > 0) | (regions.occlusion > 0.6)
    doubtful |= regions.ears > 0.5
    doubtful |= regions.brows(6.0, 1.0, 0.0, 0.0) > 0.02  # the skins have painted brows, or pale ones
    doubtful &= ~regions.is_eye
    return build_complexions(colours, mean, regions, doubtful, samples)


def build_landmarks(
    sources: Sources,
    identity: IdentityModes,
    expression: ExpressionModes,
    reflectance: ReflectanceModes,
    renders: int,
) -> Embedding:
    """Landmarks of the standard mesh, seen by MediaPipe on renders."""
    surface = Surface(identity.mean, triangulate(sources.head.quads), np.repeat(sources.head.parts, 2))
    heads = random_heads(sparse.identity(len(identity.mean)), identity, expression, reflectance, renders)
    return embed_landmarks(surface, heads)


def model_arrays(
    sources: Sources,
    identity: IdentityModes,
    expression: ExpressionModes,
    reflectance: ReflectanceModes,
    *,
    regions: IctRegions,
    landmarks: Embedding,
) -> dict[str, np.ndarray]:
    """The model file's arrays."""
    head, masks = sources.head, regions.names_and_masks()
    quantised_modes = {
        "identity": quantised(identity.modes, GEOMETRY_ERROR),
        "expression": quantised(expression.modes, EXPRESSION_ERROR),
        "reflectance": quantised(reflectance.modes, REFLECTANCE_ERROR),
    }
    fine = np.zeros(len(identity.mean), bool)
    fine[:NARROW_FACE] = True
    fine |= head.vertices_of(EYE)
    return {
        "format_version": np.int64(2),
        "name": np.array(NAME),
        "licence": np.array(LICENCE),
        "mean": identity.mean.astype(np.float32),
        **{name: integers for name, (integers, _) in quantised_modes.items()},
        **{f"{name}_steps": steps for name, (_, steps) in quantised_modes.items()},
        "arkit_names": np.array(expression.arkit_names),
        "arkit_codes": expression.arkit_codes.astype(np.float32),
        "identity_sigma": identity.sigma.astype(np.float32),
        "expression_sigma": expression.sigma.astype(np.float32),
        "reflectance_sigma": reflectance.sigma.astype(np.float32),
        "quads": head.quads.astype(np.uint16),
        "fine_quads": fine[head.quads].all(1),
        "uv": head.uv.astype(np.float32),
        "uv_quads": head.uv_quads.astype(np.uint16),
        "reflectance_mean": rounded(reflectance.mean, 2.0**-11),
        "region_names": np.array(list(masks)),
        "regions": np.stack(list(masks.values())),
        "landmarks478_vertices": landmarks.vertices.astype(np.uint16),
        "landmarks478_weights": landmarks.weights.astype(np.float32),
        "landmarks68_from_478": np.asarray(IBUG_FROM_MEDIAPIPE, np.uint16),
        "contour_yaws": landmarks.contour_yaws,
        "contour_vertices": landmarks.contour_vertices.astype(np.uint16),
        "contour_weights": landmarks.contour_weights.astype(np.float32),
        "contour_candidates": landmarks.contour_candidates.astype(np.uint16),
    }


def build_second_model(ict: Path, inputs: Path, reflectances: int, renders: int) -> dict[str, np.ndarray]:
    """All arrays of the second edition's model file.

    Args:
      ict: ICT-FaceKit's npz file, or its folder of OBJ files.
      inputs: the folder that holds MakeHuman's packages, or is to.
      reflectances, renders: how many samples each part is learned from.
    """
    sources = read_sources(ict, inputs)
    registration = build_registration(sources)
    repairs = prepare_repairs(sources)
    neutral = closed_lips(sources.neutral, sources.openings.mouth, repairs.pairs, repairs.spread)
    raw_units = build_units(sources, registration)
    units = repair_units(sources, raw_units, neutral, repairs)
    expression = build_expressions(units, len(neutral))
    logging.info("expression: 64 modes explain %.4f", expression.variance_explained)
    people = makehuman_people(sources, registration)
    identity = centred(build_people(sources, neutral, people), sources.neutral)
    identity = repair_identity(sources, identity, repairs)
    logging.info("identity: 80 modes explain %.4f", identity.variance_explained)
    regions = build_regions(sources, registration, identity.mean)
    reflectance = build_skins(sources, registration, regions, identity.mean, reflectances)
    logging.info("reflectance: 80 modes explain %.4f", reflectance.variance_explained)
    landmarks = build_landmarks(sources, identity, expression, reflectance, renders)
    logging.info("landmarks: MediaPipe sees %d of %d renders", landmarks.seen, landmarks.shown)
    logging.info("landmarks: mean distance %.2f mm as medians, %.2f mm refined", *landmarks.errors)
    parts = build_parts(sources, identity, expression, units=(raw_units, units), makehuman=people[1])
    arrays = model_arrays(sources, identity, expression, reflectance, regions=regions, landmarks=landmarks)
    return with_coarse_eyes(arrays, sources.head) | parts


def build_parts(
    sources: Sources,
    identity: IdentityModes,
    expression: ExpressionModes,
    *,
    units: tuple[Units, Units],
    makehuman: np.ndarray,
) -> dict[str, np.ndarray]:
    """The model file's arrays of teeth, gums and tongue, lining and lashes.

    Args:
      units: as they came, and repaired.
      makehuman: [K, N, 3] MakeHuman's modes on the new mesh.
    """
    raw, repaired = units
    return part_arrays(
        sources.kit,
        sources.head.operator,
        sources.openings,
        identity,
        expression,
        raw_units=raw.shapes,
        repaired_units=repaired.shapes,
        makehuman=makehuman,
    )
