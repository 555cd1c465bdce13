"""Compares the proportions of random faces with those of people in photos, both by MediaPipe's 3D points.

    python -m third_party.open_face_model.measure_proportions --shared=FOLDER [--model=FILE]

Prints the mean and the spread of each measure over the distance between the outer eye corners: for 500 frontal renders,
and for 500 photos each of LFW and UTKFace with yaw under 10° and closed mouths. Takes about two minutes.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import flags

from fml_jax.face_model import BaseModel, load_face_model
from fml_jax.face_model.files import OPEN_MODEL
from fml_jax.image_formation.plain_pictures import View, render
from fml_jax.launchers.command_line import run_launcher
from fml_jax.photos.landmarks import detect_mesh
from fml_jax.photos.reading import read_photo

# MediaPipe's numbers of the two ends of each measure.
MEASURES = {
    "nose length": (168, 2),
    "nose width": (129, 358),
    "face height": (10, 152),
    "face width": (234, 454),
    "lip height": (0, 17),
    "chin": (17, 152),
    "brow height": (105, 159),
}
EYE_CORNERS, INNER_LIPS = (33, 263), (13, 14)
MOST_YAW, MOST_OPEN = 10.0, 0.03  # degrees; lip gap over the distance of the eye corners
PADDING = 0.35  # of a photo's side: faces that fill it are not found otherwise

_FLAGS = flags.FlagValues()
_SHARED = flags.DEFINE_string("shared", None, "The folder with photos/.", required=True, flag_values=_FLAGS)
_MODEL = flags.DEFINE_string("model", str(OPEN_MODEL), "The model file.", flag_values=_FLAGS)
_COUNT = flags.DEFINE_integer("count", 500, "Faces of each kind.", flag_values=_FLAGS)


def proportions(mesh: np.ndarray) -> np.ndarray | None:
    """[7] MEASURES over the distance of the outer eye corners; None for turned heads and open mouths.

    Args:
      mesh: [478, 3] MediaPipe's points.
    """
    right, left = mesh[list(EYE_CORNERS)]
    yaw = np.degrees(np.arctan2(left[2] - right[2], left[0] - right[0]))
    scale = np.linalg.norm(left - right)
    gap = np.linalg.norm(mesh[INNER_LIPS[0]] - mesh[INNER_LIPS[1]]) / scale
    if abs(yaw) > MOST_YAW or gap > MOST_OPEN:
        return None
    return np.array([np.linalg.norm(mesh[first] - mesh[second]) for first, second in MEASURES.values()]) / scale


def renders(model: BaseModel) -> Iterator[np.ndarray]:
    """[320, 320, 3] uint8: random faces without expression, from the front."""
    rng, triangles = np.random.default_rng(500), np.asarray(model.topology.triangles)
    mean, identity = np.asarray(model.mean), np.asarray(model.identity)
    colours, reflectance = np.asarray(model.reflectance_mean), np.asarray(model.reflectance)
    while True:
        shape = mean + np.tensordot(rng.standard_normal(len(identity)), identity, 1)
        colour = colours + np.tensordot(rng.standard_normal(len(reflectance)), reflectance, 1)
        view = View(rng.uniform(-6, 6), rng.uniform(-6, 6))
        yield render(shape, triangles, np.clip(colour, 0.01, 1), view=view).image


def photos(folder: Path) -> Iterator[np.ndarray]:
    """Padded photos of a folder, in a random order that is always the same."""
    paths = sorted(folder.rglob("*.jpg"))
    for number in np.random.default_rng(7).permutation(len(paths)):
        photo = read_photo(paths[number])
        side = round(PADDING * photo.shape[0])
        yield np.pad(photo, ((side, side), (side, side), (0, 0)), mode="edge")


def collect(pictures: Iterator[np.ndarray], count: int) -> np.ndarray:
    """[≤ count, 7] proportions of the pictures that show a frontal face with a closed mouth."""
    found: list[np.ndarray] = []
    for picture in pictures:
        mesh = detect_mesh(picture)
        measured = None if mesh is None else proportions(mesh)
        if measured is not None:
            found.append(measured)
        if len(found) == count:
            break
    return np.array(found)


def main() -> None:
    """Prints the table."""
    kinds = {"renders": renders(load_face_model(_MODEL.value))}
    kinds |= {name: photos(Path(_SHARED.value) / "photos" / name) for name in ("lfw", "utkface")}
    print(f"{'':10} {'':5}" + "".join(f"{name:>16}" for name in MEASURES))
    for name, pictures in kinds.items():
        table = collect(pictures, _COUNT.value)
        cells = zip(table.mean(0), table.std(0), strict=True)
        print(f"{name:10} {len(table):5}" + "".join(f"{mean:9.3f} ±{spread:.3f}" for mean, spread in cells), flush=True)


if __name__ == "__main__":
    run_launcher(main, _FLAGS)
