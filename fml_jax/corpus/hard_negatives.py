"""Hard negatives for the face score: boxes that a cascade takes for faces and that show none.

A cascade that requires no agreement between neighbouring windows finds many such boxes in a photo. A box is a hard
negative if no landmarks are found in it and no ordinary detection overlaps it.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from fml_jax.errors import InputError
from fml_jax.photos.boxes import Detection, overlap, shrunk
from fml_jax.photos.crops import crop_from_photo, crop_photo
from fml_jax.photos.haar import FRONTAL, PROFILE, SECOND_LOOK, detect_faces_with_haar, in_photo_of, search
from fml_jax.photos.landmarks import detect_mesh
from fml_jax.photos.reading import read_photo

SMALLEST = 50  # side of the smallest box, pixels of the shrunk photo
BESIDE = 0.15  # boxes that overlap by no more show different things
_EAGER = (FRONTAL._replace(neighbours=0), SECOND_LOOK._replace(neighbours=1), PROFILE._replace(neighbours=1))


def hard_negative_crops(paths: Sequence[Path], count: int, seed: int = 0) -> UInt8[np.ndarray, "S 240 240 3"]:
    """Crops of hard negatives, followed by their mirror images.

    Args:
      paths: photos. One that cannot be read is reported and left out.
      count: number of photos to search, chosen at random.
      seed: of the random choice.

    Raises:
      InputError: no hard negative is found in these photos.
    """
    rng, crops = np.random.default_rng(seed), []
    for k in tqdm(rng.permutation(len(paths))[:count], desc="hard negatives", unit="photo"):
        try:
            rgb = read_photo(paths[k])
        except InputError as error:
            tqdm.write(f"left out: {error}")
            continue
        crops += [crop_photo(rgb, crop_from_photo(box)) for box in hard_negative_boxes(rgb, rng)]
    if not crops:
        raise InputError(
            f"no hard negative in {min(count, len(paths))} photos; give more photos, with more than a face in them"
        )
    return np.concatenate([crops, np.flip(crops, axis=2)])


def hard_negative_boxes(
    rgb: UInt8[np.ndarray, "H W 3"], rng: np.random.Generator, most: int = 3
) -> list[tuple[float, float, float, float]]:
    """Hard negatives of a photo, chosen at random.

    Returns:
      At most `most` boxes x0, y0, x1, y1 in photo pixels.
    """
    grey = shrunk(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    # Sorted, because the cascades' threads finish in any order.
    candidates = sorted(
        in_photo_of(rgb, grey, [face for cascade in _EAGER for face in search(grey, cascade, SMALLEST)])
    )
    taken: list[Detection] = detect_faces_with_haar(rgb)
    faces = len(taken)
    for k in rng.permutation(len(candidates)):
        candidate = candidates[k]
        if all(overlap(candidate, other) <= BESIDE for other in taken) and detect_mesh(rgb, candidate.box) is None:
            taken.append(candidate)
        if len(taken) == faces + most:
            break
    return [box.box for box in taken[faces:]]
