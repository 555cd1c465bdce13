"""Draws a sheet of random faces of the model: the quickest way to see what it believes a face to be.

python -m third_party.open_face_model.portraits --output=docs/images/random_faces.png
"""

from pathlib import Path

import cv2
import numpy as np
from absl import app, flags

from fml_jax.face_model import BaseModel, load_face_model
from fml_jax.face_model.files import OPEN_MODEL
from fml_jax.image_formation.plain_pictures import View, render, sheet

COLUMNS, ROWS = 5, 4
OVERSAMPLING = 2  # pixels drawn a pixel kept, against jagged edges

_MODEL = flags.DEFINE_string("model", str(OPEN_MODEL), "The model file.")
_OUTPUT = flags.DEFINE_string("output", "docs/images/random_faces.png", "The picture to write.")
_SIZE = flags.DEFINE_integer("size", 220, "Pixels a portrait.")
_SEED = flags.DEFINE_integer("seed", 4, "Whose portraits.")


def random_portrait(model: BaseModel, rng: np.random.Generator, size: int) -> np.ndarray:
    """[size, size, 3] uint8: one random face with a mild expression."""
    shape = np.asarray(model.mean) + _random(model.identity, rng, 1.0) + _random(model.expression, rng, 0.35)
    colours = np.asarray(model.reflectance_mean) + _random(model.reflectance, rng, 1.0)
    view = View(rng.uniform(-30, 30), rng.uniform(-6, 6), OVERSAMPLING * size)
    light = np.array([rng.uniform(-0.5, 0.5), 0.4, 0.9])
    triangles = np.asarray(model.topology.triangles)
    picture = render(shape, triangles, np.clip(colours, 0.01, 1), view=view, light=light, background=0.86)
    return cv2.resize(picture.image, (size, size), interpolation=cv2.INTER_AREA)


def _random(modes, rng, scale):
    return np.tensordot(scale * rng.standard_normal(len(modes)), np.asarray(modes, np.float64), 1)


def main(_) -> None:
    """Writes the sheet."""
    model = load_face_model(_MODEL.value)
    rng = np.random.default_rng(_SEED.value)
    portraits = [random_portrait(model, rng, _SIZE.value) for _ in range(COLUMNS * ROWS)]
    Path(_OUTPUT.value).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(_OUTPUT.value, sheet(portraits, COLUMNS)[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    app.run(main)
