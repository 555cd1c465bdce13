"""Measures whether faces shrink under beards (the paper's figure 8).

    python -m benchmarks.beards [--people=60] [--refined=10] [--weights=WEIGHTS]

Each rendered person has a picture with a bare chin and one with a beard, a moustache or stubble; nothing else differs.
A model that cannot represent beards may explain them by a smaller chin. The reconstructions are brought to the true
face by the similarity that fits its upper half best. The table has, over the lower half, how far the beard moves
vertices, how far outwards (negative: the face shrinks), and the errors without and with it.

± is the standard deviation over people. "Refined" fits the base level to the landmarks and colours of each picture;
only the first people are refined, and the table also has the final level of these alone.
"""

from typing import NamedTuple

import numpy as np
from absl import app, flags
from jaxtyping import Bool, Float
from tqdm import trange

from fml_jax.codes import unflatten_code
from fml_jax.evaluation.metrics import similarity_aligned
from fml_jax.evaluation.reference_faces import reference_face
from fml_jax.evaluation.tables import markdown
from fml_jax.face_model import geometry, load_face_model
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.topology import vertex_normals
from fml_jax.reconstruction import Reconstructor
from fml_jax.reconstruction.refinement import refine
from fml_jax.synthetic.expressions import expression_units
from fml_jax.synthetic.rendering import Style, SyntheticFace, render_synthetic

_PEOPLE = flags.DEFINE_integer("people", 60, "Rendered people, with two pictures each.", lower_bound=2)
_REFINED = flags.DEFINE_integer("refined", 10, "How many of them are refined, too.", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 81, "Another seed makes other people.")
_WEIGHTS = flags.DEFINE_string("weights", None, "A weights file; by default the package's.")

LEVELS = "base", "final", "refined"


class Halves(NamedTuple):
    """Vertices of the face."""

    upper: Bool[np.ndarray, "N"]  # above the nose's base
    lower: Bool[np.ndarray, "N"]  # below it, where beards grow, without lips


class Effect(NamedTuple):
    """What a beard does to one reconstruction, mm."""

    moved: float  # mean distance
    outwards: float  # mean displacement along the normals
    bare: float  # mean distance from the true face without a beard
    bearded: float  # … with it


def main(_):
    model = load_face_model()
    units, halves = expression_units(model), halves_of(model)
    reconstructor = Reconstructor(weights=_WEIGHTS.value) if _WEIGHTS.value else Reconstructor.default()
    effects: dict[str, list[Effect]] = {level: [] for level in LEVELS}
    for number in trange(_PEOPLE.value, unit="person"):
        pictures = [rendered(model, units, number, share) for share in (0.0, 1.0)]
        true = true_shape(model, pictures[0])
        faces = [reconstructor(each.crop, boxes=[reference_face(each.landmarks).box])[0] for each in pictures]
        shapes = {level: [face.level(level).vertices for face in faces] for level in ("base", "final")}
        if number < _REFINED.value:
            shapes["refined"] = [refine(face).vertices for face in faces]
        for level, pair in shapes.items():
            effects[level].append(effect(model, halves, true, *pair))
    if effects["refined"]:
        effects["final, the refined people"] = effects["final"][: _REFINED.value]
    header = ["level", "people", "moved by the beard, mm", "outwards, mm", "error, bare, mm", "error, bearded, mm"]
    print(markdown(header, [line(level, found) for level, found in effects.items() if found]))


def rendered(model: BaseModel, units, number: int, bearded: float) -> SyntheticFace:
    """A person's picture; `bearded` is 0 or 1."""
    style = Style(kinds=(), bearded=bearded)
    return render_synthetic(model, units, np.random.default_rng([_SEED.value, number]), style=style)


def true_shape(model: BaseModel, picture: SyntheticFace) -> Float[np.ndarray, "N 3"]:
    """The vertices that a picture shows."""
    code = unflatten_code(picture.code, model.code_sizes)
    return np.asarray(geometry(model, code.identity, code.expression))


def halves_of(model: BaseModel) -> Halves:
    """The halves of the face by the mean face's heights."""
    height = np.asarray(model.mean)[:, 1]
    ibug = np.asarray(model.mean)[np.asarray(model.landmarks.fixed_vertices)[:, 0]]
    ibug = ibug[np.asarray(model.landmarks.ibug_from_mediapipe)]
    regions = {name: np.asarray(model.regions[name]) for name in ("face", "eyes", "lips")}
    face = regions["face"] & ~regions["eyes"] & ~regions["lips"]
    return Halves(face & (height >= ibug[33, 1]), face & (height < ibug[33, 1]))


def effect(
    model: BaseModel,
    halves: Halves,
    true: Float[np.ndarray, "N 3"],
    bare: Float[np.ndarray, "N 3"],
    bearded: Float[np.ndarray, "N 3"],
) -> Effect:
    """Compares the reconstructions of two pictures with the true face, and with each other."""
    targets = np.stack([true, true])
    bare, bearded = similarity_aligned(np.stack([bare, bearded]), targets, halves.upper)[:, halves.lower]
    normals = np.asarray(vertex_normals(model.topology, true))[halves.lower]
    change, true = bearded - bare, true[halves.lower]
    distances = [np.linalg.norm(each, axis=1).mean() for each in (change, bare - true, bearded - true)]
    outwards = np.einsum("nx,nx->n", change, normals).mean()
    return Effect(*map(float, (distances[0], outwards, distances[1], distances[2])))


def line(level: str, effects: list[Effect]) -> tuple[str, ...]:
    """A row of the table: means over people, and the standard deviation of the displacement outwards."""
    means, spread = np.mean(effects, axis=0), np.std([each.outwards for each in effects])
    return (
        level,
        str(len(effects)),
        f"{means[0]:.2f}",
        f"{means[1]:+.2f} ± {spread:.2f}",
        f"{means[2]:.2f}",
        f"{means[3]:.2f}",
    )


if __name__ == "__main__":
    app.run(main)
