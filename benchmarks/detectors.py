"""Measures how the detectors' boxes lie relative to faces, by MediaPipe's landmarks.

    python -m benchmarks.detectors --photos=LFW

For each detector: in how many photos it has a box on the face, how many other boxes it has, what a photo takes, and how
the box of the 68 landmarks sits in the detector's, in √(w·h) of that: medians, and deviations of centre and log side.
"""

import math
import sys
import time

import numpy as np
from absl import app, flags
from tqdm import tqdm

from fml_jax.corpus.target_face import shows_face
from fml_jax.errors import InputError
from fml_jax.evaluation.tables import markdown
from fml_jax.photos.detection import DETECTORS
from fml_jax.photos.landmarks import detect_landmarks, ibug68
from fml_jax.photos.reading import list_photos, read_photo

_PHOTOS = flags.DEFINE_string("photos", None, "Folder of photos of a face each.", required=True)
_EVERY = flags.DEFINE_integer("every", 13, "Takes one photo in so many.", lower_bound=1)
_FIRST = flags.DEFINE_integer("first", 5, "The first that is taken.", lower_bound=0)


def main(_):
    try:
        photos = [read_photo(path) for path in list_photos(_PHOTOS.value)[_FIRST.value :: _EVERY.value]]
    except InputError as error:
        sys.exit(f"detectors: {error}")
    marked = [(rgb, detect_landmarks(rgb)) for rgb in tqdm(photos, unit="photo")]
    faces = [(rgb, ibug68(points)) for rgb, points in marked if points is not None]
    heads = [
        "of " + str(len(faces)),
        "on the face",
        "other boxes",
        "ms",
        "right",
        "down",
        "√(w·h)",
        "σ right",
        "σ down",
        "σ log √(w·h)",
    ]
    print(markdown(heads, [(name, *row(detect, faces)) for name, detect in DETECTORS.items()]))


def row(detect, faces) -> tuple:
    """A detector's line of the table."""
    found, others, begin = [], 0, time.perf_counter()
    for rgb, points in faces:
        boxes = [face.box for face in detect(rgb)]
        on_face = [box for box in boxes if shows_face(box, points)]
        others += len(boxes) - len(on_face[:1])
        found += [seat(box, points) for box in on_face[:1]]
    spent = 1000 * (time.perf_counter() - begin) / len(faces)
    seats = np.array(found)
    spread = [*seats[:, :2].std(axis=0), np.log(seats[:, 2]).std()]
    return (len(seats), others, f"{spent:.1f}", *(f"{value:.3f}" for value in [*np.median(seats, axis=0), *spread]))


def seat(box, points) -> tuple[float, float, float]:
    """Of the landmarks' box in a detector's: how far to the right, how far down, how large."""
    side = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
    low, high = points.min(axis=0), points.max(axis=0)
    right, down = ((low + high) / 2 - [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]) / side
    return right, down, math.sqrt(np.prod(high - low)) / side


if __name__ == "__main__":
    app.run(main)
