"""How near a face comes to itself in another face model, and back.

    python -m benchmarks.other_model --photo=photo.jpg --face_model=flame.npz

The photo's face is reconstructed with the package's network, then `in_model` of the given model, then `in_model` of the
open model. Distances are those of the new vertices from the surface that was approximated, mm. They say nothing of how
far a vertex slid along the surface: the last line does, by the base level's vertices before and after both ways.
"""

import numpy as np
from absl import app, flags

import fml_jax
from fml_jax.evaluation.tables import markdown
from fml_jax.face_model.files import OPEN_MODEL
from fml_jax.image_formation.rotation import rotation_matrix

_PHOTO = flags.DEFINE_string("photo", None, "A photo with a face.", required=True)
_FACE_MODEL = flags.DEFINE_string("face_model", None, "A file of fml-import-face-model.", required=True)


def row(name: str, found) -> tuple[str, ...]:
    """A table row of a `FaceInModel`."""
    distances = found.distances[np.isfinite(found.distances)]
    numbers = (found.residual, np.percentile(distances, 95), distances.max())
    return (name, *(f"{number:.3f}" for number in numbers))


def main(_: list[str]) -> None:
    """Prints the table."""
    face = fml_jax.Reconstructor.default()(_PHOTO.value)[0]
    base = face.level("base")
    there = base.in_model(_FACE_MODEL.value)
    back = there.face.in_model(OPEN_MODEL)
    rows = [
        row("final level → the model", face.in_model(_FACE_MODEL.value)),
        row("base level → the model", there),
        row("and back → the open model", back),
    ]
    print(markdown(["mm", "mean", "95%", "worst"], rows))
    regions = {name: np.asarray(mask) for name, mask in base.model.regions.items()}
    members = regions["face"] & ~regions["eyes"]
    before, after = (each.vertices @ _turn(each).T + np.asarray(each.code.translation) for each in (base, back.face))
    slid = np.linalg.norm(after - before, axis=1)[members]
    print(f"\nthere and back, vertex by vertex: {slid.mean():.2f} mm as a mean, 95% {np.percentile(slid, 95):.2f}")


def _turn(face) -> np.ndarray:
    """[3, 3], model to camera axes."""
    return np.asarray(rotation_matrix(face.code.rotation))


if __name__ == "__main__":
    app.run(main)
