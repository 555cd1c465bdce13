"""A training corpus: photos of faces made ready once, as plain arrays that training maps into memory.

One window per photo, a square about the face that leaves room to move the crop. A corpus is a folder:

    windows.npy    uint8   [n, 256, 256, 3]  RGB
    valid.npy      uint8   [n, 256, 32]      one bit a pixel (np.packbits): a pixel of the photo itself
    landmarks.npy  float32 [n, 478, 2]       MediaPipe's points, window pixels
    crops.npy      float32 [n, 2, 3]         affine from window pixels to the detector's crop
    split.npy      uint8   [n]               1 = validation
    names.txt                                the photo of each row, a line each
    corpus.json                              counts and settings, written last: without it, no corpus
"""

import concurrent.futures
import hashlib
import json
import math
import multiprocessing
import os
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from tqdm import tqdm

from fml_jax.codes import CODE_SIZE
from fml_jax.data.augmentation import Sample, random_face, random_negative
from fml_jax.data.crops import CROP_SIZE, apply_affine, compose_affines, crop_from_landmarks, crop_from_photo
from fml_jax.data.crops import crop_photo, invert_affine
from fml_jax.data.detection import detect_faces
from fml_jax.data.landmarks import detect_landmarks, ibug68
from fml_jax.data.photos import list_photos, read_photo
from fml_jax.errors import InputError

WINDOW_SIZE = 256  # pixels
WINDOW_SIDE = 2.2  # crop sides that a window shows, where the photo has them
VALIDATION_SHARE = 16  # one person in so many is kept for validation
BLACK = 12  # pixels no brighter than this, connected to the border, are no part of the photo
OFF_CENTRE = 0.2  # default for `build_corpus`, in photo sides
_ROWS = {
    "windows": ((WINDOW_SIZE, WINDOW_SIZE, 3), np.uint8),
    "valid": ((WINDOW_SIZE, WINDOW_SIZE // 8), np.uint8),
    "landmarks": ((478, 2), np.float32),
    "crops": ((2, 3), np.float32),
    "split": ((), np.uint8),
}


class Example(NamedTuple):
    """One photo's row."""

    window: UInt8[np.ndarray, "256 256 3"]
    valid: Bool[np.ndarray, "256 256"]
    landmarks: Float[np.ndarray, "478 2"]  # window pixels
    crop: Float[np.ndarray, "2 3"]  # window pixels to crop pixels
    from_box: bool  # the crop comes from the face detector, not from the landmarks


def build_corpus(
    photos: str | os.PathLike,
    output: str | os.PathLike,
    workers: int = 2,
    off_centre: float | None = OFF_CENTRE,
) -> dict:
    """Makes a corpus of a folder of photos, each of which shows one person; bad photos are reported.

    Photos are best sorted into one folder a person: then no person is in both splits.

    Args:
      photos: a folder or a pattern, as for `list_photos`.
      output: the corpus folder, made if missing, replaced if there.
      workers: processes.
      off_centre: photos are skipped when the face is farther from the photo's centre, in parts of its
        shorter side, since it may be a bystander; None keeps all.

    Returns:
      What corpus.json says.

    Raises:
      InputError: no photo, or none with a face.
    """
    paths, output = list_photos(photos), Path(output)
    root = Path(os.path.commonpath([path.parent for path in paths]))
    output.mkdir(parents=True, exist_ok=True)
    (output / "corpus.json").unlink(missing_ok=True)
    rows = {name: _GrowingArray(output / f"{name}.npy", *kind) for name, kind in _ROWS.items()}
    names, from_box = [], 0
    jobs = [(str(path), off_centre) for path in paths]
    spawn = multiprocessing.get_context("spawn")  # forked copies of MediaPipe's threads would hang
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        results = tqdm(pool.map(_example_or_reason, jobs, chunksize=8), total=len(paths), unit="photo")
        for path, example in zip(paths, results):
            if isinstance(example, str):
                tqdm.write(f"skipped: {example}")
                continue
            _append(rows, example, is_validation(path.parent.name))
            names.append(path.relative_to(root).as_posix())
            from_box += example.from_box
    validation = sum(is_validation(path.parent.name) for path in map(root.joinpath, names))
    for array in rows.values():
        array.close()
    if not names:
        raise InputError(f"{photos}: no photo with a face; nothing to train on")
    (output / "names.txt").write_text("\n".join(names) + "\n")
    about = {
        "photos": len(paths),
        "examples": len(names),
        "training": len(names) - validation,
        "validation": validation,
        "crops_from_detector": from_box,
        "window_size": WINDOW_SIZE,
        "window_side": WINDOW_SIDE,
        "crop_size": CROP_SIZE,
        "off_centre": off_centre,
    }
    (output / "corpus.json").write_text(json.dumps(about, indent=2) + "\n")
    return about


def open_corpus(folder: str | os.PathLike) -> dict[str, np.ndarray]:
    """The corpus's arrays by name, mapped into memory read-only.

    Raises:
      InputError: the folder holds no finished corpus.
    """
    folder = Path(folder)
    if not (folder / "corpus.json").is_file():
        raise InputError(f"{folder}: no finished training corpus; make one with: python -m experiments.prepare --layout=folder --input=PHOTOS --output=FOLDER")
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ROWS}


def make_example(rgb: UInt8[np.ndarray, "H W 3"], name: str, off_centre: float | None = OFF_CENTRE) -> Example:
    """One photo's row of a corpus.

    Raises:
      InputError: no face, or one too far off the centre.
    """
    boxes = [face.box for face in detect_faces(rgb)]
    landmarks = detect_landmarks(rgb)
    if landmarks is None and boxes:  # a small face in a large photo
        landmarks = detect_landmarks(rgb, boxes[0])
    if landmarks is None:
        raise InputError(f"{name}: no face")
    points = ibug68(landmarks)
    if off_centre is not None and _distance_off_centre(points, rgb.shape) > off_centre:
        raise InputError(f"{name}: the face is not in the middle, it may be a bystander's")
    box = next((box for box in boxes if shows_face(box, points)), None)
    crop = crop_from_landmarks(points) if box is None else crop_from_photo(box)
    to_window = _window_affine(crop, rgb.shape)
    window = crop_photo(rgb, to_window, WINDOW_SIZE)
    return Example(
        window=window,
        valid=_inside(to_window, rgb.shape) & ~_black_border(window),
        landmarks=apply_affine(to_window, landmarks).astype(np.float32),
        crop=compose_affines(crop, invert_affine(to_window)).astype(np.float32),
        from_box=box is not None,
    )


def shows_face(box: tuple[float, float, float, float], landmarks68: Float[np.ndarray, "68 2"]) -> bool:
    """Whether a detector's box shows the face with these landmarks: half a side off at most, scale within 2."""
    low, high = landmarks68.min(axis=0), landmarks68.max(axis=0)
    side = math.sqrt(np.prod(high - low))
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    return bool(np.abs(centre - (low + high) / 2).max() < side / 2 and 0.5 < (box[2] - box[0]) / side < 2)


def is_validation(person: str) -> bool:
    """Whether a person's photos are kept for validation; depends on the folder's name alone."""
    return int(hashlib.sha1(person.encode()).hexdigest(), 16) % VALIDATION_SHARE == 0


class _GrowingArray:
    """An .npy file whose number of rows is known only at the end."""

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: type):
        self._file, self._shape, self._dtype, self._rows = path.open("wb"), row_shape, np.dtype(dtype), 0
        self._write_header()

    def append(self, row: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(row, self._dtype).reshape(self._shape).tobytes())
        self._rows += 1

    def close(self) -> None:
        self._file.seek(0)
        self._write_header()  # NumPy leaves room for the first axis to grow, so this one is as long
        self._file.close()

    def _write_header(self) -> None:
        shape = (self._rows, *self._shape)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


def _append(rows: dict[str, _GrowingArray], example: Example, validation: bool) -> None:
    rows["windows"].append(example.window)
    rows["valid"].append(np.packbits(example.valid, axis=1))
    rows["landmarks"].append(example.landmarks)
    rows["crops"].append(example.crop)
    rows["split"].append(np.array(validation))


def _example_or_reason(job: tuple[str, float | None]) -> Example | str:
    path, off_centre = job
    cv2.setNumThreads(1)  # there is a process a core already
    try:
        return make_example(read_photo(path), path, off_centre)
    except InputError as error:
        return str(error)


def _distance_off_centre(points: Float[np.ndarray, "68 2"], shape: tuple[int, ...]) -> float:
    """In parts of the photo's shorter side."""
    face = (points.min(axis=0) + points.max(axis=0)) / 2
    photo = (np.array(shape[1::-1]) - 1) / 2
    return float(np.linalg.norm(face - photo)) / min(shape[:2])


def _window_affine(crop: Float[np.ndarray, "2 3"], shape: tuple[int, ...]) -> Float[np.ndarray, "2 3"]:
    """Photo to window: WINDOW_SIDE crop sides about the crop, kept inside the photo where it fits."""
    photo = np.array(shape[1::-1])
    side = min(WINDOW_SIDE * CROP_SIZE / math.hypot(*crop[:, 0]), photo.max())
    centre = apply_affine(invert_affine(crop), np.full(2, (CROP_SIZE - 1) / 2))
    low, high = side / 2 - 0.5, photo - 0.5 - side / 2
    centre = np.where(high >= low, np.clip(centre, low, np.maximum(low, high)), (photo - 1) / 2)
    scale = WINDOW_SIZE / side
    return np.column_stack([scale * np.eye(2), (WINDOW_SIZE - 1) / 2 - scale * centre])


def _inside(to_window: Float[np.ndarray, "2 3"], shape: tuple[int, ...]) -> Bool[np.ndarray, "256 256"]:
    """Window pixels that lie in the photo."""
    pixels = np.stack(np.meshgrid(np.arange(float(WINDOW_SIZE)), np.arange(float(WINDOW_SIZE))), axis=-1)
    photo = apply_affine(invert_affine(to_window), pixels)
    return ((photo >= -0.5) & (photo <= np.array(shape[1::-1]) - 0.5)).all(axis=-1)


def _black_border(window: UInt8[np.ndarray, "256 256 3"]) -> Bool[np.ndarray, "256 256"]:
    """Black areas that touch the window's edge, as aligned photo collections have them."""
    black = (window.max(axis=2) <= BLACK).astype(np.uint8)
    _, labels = cv2.connectedComponents(black, connectivity=4)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    border = np.isin(labels, np.setdiff1d(edge, [0]))
    return cv2.dilate(border.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # the rim is compressed into grey


class CorpusBatches:
    """Endless training batches of a corpus; each is a function of the seed and its step alone.

    A batch is a dict of arrays, B rows first:
      crop       uint8   [B, 240, 240, 3]
      mask       uint8   [B, 240, 240]     1 = a pixel of the photo itself
      landmarks  float32 [B, 68, 2]        crop pixels
      confidence float32 [B, 68]           0 for landmarks outside the photo
      is_face    float32 [B]               0 = a negative crop, whose other targets are void
      code       float32 [B, 257]          zeros: photos have no true code
      has_code   float32 [B]               zeros
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        split: str,
        batch_size: int,
        seed: int = 0,
        jitter: float = 1.0,
        mirror: float = 0.5,
        negatives: float = 0.15,
    ):
        """Opens a corpus.

        Args:
          folder: what `build_corpus` made.
          split: "train" or "validation".
          batch_size: rows a batch.
          seed: any whole number from 0.
          jitter: scales the random changes of framing and colours; 0 for the detector's own crops.
          mirror: probability of a mirrored crop.
          negatives: probability of a negative crop.

        Raises:
          InputError: no finished corpus, or no photo in the split.
        """
        self._corpus = open_corpus(folder)
        self._rows = np.flatnonzero(self._corpus["split"] == {"train": 0, "validation": 1}[split])
        if not len(self._rows):
            raise InputError(f"{folder}: the {split} split is empty; give photos of more people")
        self._batch_size, self._seed = batch_size, seed
        self._jitter, self._mirror, self._negatives = jitter, mirror, negatives
        self._order: tuple[int, np.ndarray] = (-1, self._rows)

    def __len__(self) -> int:
        """Photos in the split."""
        return len(self._rows)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step; the same whenever it is asked for."""
        places = range(step * self._batch_size, (step + 1) * self._batch_size)
        samples, is_face = zip(*(self._sample(place) for place in places))
        rows = {name: np.stack([getattr(sample, name) for sample in samples]) for name in Sample._fields}
        is_face = np.array(is_face, np.float32)
        no_code = np.zeros((len(is_face), CODE_SIZE), np.float32)
        return {**rows, "is_face": is_face, "code": no_code, "has_code": no_code[:, 0]}

    def _sample(self, place: int) -> tuple[Sample, bool]:
        """The sample at a place in the endless sequence of epochs."""
        row = self._row(*divmod(place, len(self._rows)))
        rng = np.random.default_rng([self._seed, 1, place])
        window, crop = self._corpus["windows"][row], self._corpus["crops"][row].astype(np.float64)
        valid = np.unpackbits(self._corpus["valid"][row], axis=1).view(bool)
        if rng.random() < self._negatives:
            return random_negative(window, valid, crop, rng), False
        points = ibug68(self._corpus["landmarks"][row])
        return random_face(window, valid, points, crop, rng, self._jitter, self._mirror), True

    def _row(self, epoch: int, place: int) -> int:
        """The corpus row at a place in an epoch, which goes through the split once, in an order of its own."""
        order = self._order
        if order[0] != epoch:
            order = self._order = (epoch, np.random.default_rng([self._seed, 0, epoch]).permutation(self._rows))
        return int(order[1][place])
