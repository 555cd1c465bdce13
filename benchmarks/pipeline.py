"""Time and memory of each stage from a photo to a 3D face, as ratios within one run.

    python -m benchmarks.pipeline [--repeats=20]

Prints milliseconds for a 640-pixel photo: detecting, and all that comes after (crop, network, colours,
decoding to vertices), with one look of the network and with two; then crops a second one by one against in
batches; last, the process's peak memory. Times are medians of rounds in which each stage runs once, so that
every one of them finds the caches as its neighbours left them.
"""

import math
import resource

import cv2
import jax
import numpy as np
from absl import app, flags
from skimage import data

from benchmarks.timing import in_turn
from fml_jax.photos.crops import crop_from_photo, crop_photo
from fml_jax.photos.haar import detect_faces_with_haar
from fml_jax.reconstruction import Reconstructor
from fml_jax.reconstruction.decoding import decode_one
from fml_jax.reconstruction.kept_programs import OFTEN, compiled_for_good
from fml_jax.reconstruction.reconstructor import BATCH, Face

_REPEATS = flags.DEFINE_integer("repeats", 20, "Rounds, after one that is not counted.", lower_bound=3)

PHOTO_SIDE = 640


def main(_):
    photo = cv2.resize(data.astronaut(), (PHOTO_SIDE, PHOTO_SIDE), interpolation=cv2.INTER_CUBIC)
    box = detect_faces_with_haar(photo)[0].box
    face = Face(photo, "astronaut", "astronaut", 0, box)
    affine = crop_from_photo(box)
    one_look, two_looks = Reconstructor(look_again=math.inf), Reconstructor(look_again=0.0)
    crop = crop_photo(photo, affine)[None]
    codes = one_look.codes(crop)[0]
    code = jax.tree.map(lambda rows: rows[0], codes)

    for _ in range(OFTEN):  # so that the programs for one crop are compiled for good
        one_look.codes(crop)
        one_look.predict(crop)
    compiled_for_good()

    stages = {
        "detect (Haar)": lambda: detect_faces_with_haar(photo),
        "crop": lambda: crop_photo(photo, affine),
        "network": lambda: one_look.codes(crop),
        "network, colours and decoding": lambda: one_look.predict(crop),
        "… decoding alone": lambda: decode_one(one_look.model, code),
        "all after detection, one look": lambda: list(one_look.reconstruct([face])),
        "all after detection, two looks": lambda: list(two_looks.reconstruct([face])),
    }
    times = in_turn(stages, _REPEATS.value)
    for name, value in times.items():
        print(f"{name:34}{1000 * value:9.2f} ms   {value / times['detect (Haar)']:6.3f} of detecting")

    crops = np.repeat(crop, BATCH, axis=0)
    pairs = {
        "network": (lambda: [one_look.codes(crop) for _ in range(BATCH)], lambda: one_look.codes(crops)),
        "all after detection, one look": (
            lambda: [list(one_look.reconstruct([face])) for _ in range(BATCH)],
            lambda: list(one_look.reconstruct([face] * BATCH)),
        ),
    }
    print(f"\n{BATCH} crops, one by one and in a batch")
    for name, (one_by_one, in_a_batch) in pairs.items():
        alone, together = in_turn({"one by one": one_by_one, "in a batch": in_a_batch}, _REPEATS.value).values()
        print(f"{name:34}{BATCH / alone:.0f}/s, {BATCH / together:.0f}/s, ratio {alone / together:.2f}")
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    app.run(main)
