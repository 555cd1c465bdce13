"""Measures how many faces are found, on sets of pictures of people that no network is trained on.

    fml-evaluate-detection --photos=PHOTOS --output=out/detection
    fml-evaluate-detection --photos=PHOTOS --split=validation --sets=background,dark_15 --weights=weights.npz
    fml-evaluate-detection --photos=PHOTOS --stage=detector --detectors=libfacedetection,haar,yunet --count=40

PHOTOS holds lfw/ and youtube/ with one folder a person, utkface/ and masked/; pictures in portraits/, where there are
any, are listed with what was found. Choices are made on --split=validation; the test split is for results.

The sets: upright, rotated, dark_25 and dark_15 (brightness), coloured, edge (cut by a quarter), small_24 to small_48
(pixels) and crowds are made of photos in lfw/, background of places beside all faces; youtube, utkface and masked are
those photos. References are MediaPipe's landmarks (youtube: its own), for masked YuNet's boxes; the model files of both
are downloaded when they are first needed.

A face is found where a box overlaps its reference box by half (intersection over union), the roll is right to 10° and
the score is at least 0.5; the table counts these three stages one after the other. "Other" are accepted boxes without a
reference face: bystanders in photos, false faces in the set "background".

--stage=detector runs no network, which is quick: nothing is rejected then. The 2,000 pictures of "background" take
about nine minutes of one core, since a picture without a face is searched in eight turns; --count=40 takes a tenth of
every set.

Into the output folder go, after each set, the table (table.md), all numbers and names of missed faces (results.json), a
sheet of pictures if something failed, and the landmarks of the photos, so that the next run is quicker.
"""

import functools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from absl import flags
from tqdm import tqdm

from fml_jax.errors import InputError
from fml_jax.files import complete_or_absent, output_folder
from fml_jax.launchers.command_line import define_face_model_flag, run_launcher

if TYPE_CHECKING:
    from fml_jax.corpus.splits import Split
    from fml_jax.evaluation.detection import Finder
    from fml_jax.evaluation.detection_sets import HeldOutPhotos, Picture

FULL = 400  # upright photos of a full run
FEWEST = 10  # pictures of a set in a small run
SET_NAMES = (
    "upright rotated dark_25 dark_15 coloured masked youtube utkface small_24 small_32 small_48 crowds edge background"
).split()
DETECTOR_NAMES = ("auto", "libfacedetection", "haar", "yunet")

_FLAGS = flags.FlagValues()
_PHOTOS = flags.DEFINE_string("photos", None, "Folder of the collections.", required=True, flag_values=_FLAGS)
_OUTPUT = flags.DEFINE_string("output", "out/detection", "Folder of the results.", flag_values=_FLAGS)
_SPLIT = flags.DEFINE_enum("split", "test", ["test", "validation"], "Whose photos.", flag_values=_FLAGS)
_COUNT = flags.DEFINE_integer(
    "count", FULL, "Photos of the set upright; other sets shrink with it.", lower_bound=1, flag_values=_FLAGS
)
_SETS = flags.DEFINE_list("sets", SET_NAMES, "Sets to measure on.", flag_values=_FLAGS)
_DETECTORS = flags.DEFINE_list(
    "detectors", ["auto"], f"Of {', '.join(DETECTOR_NAMES)}; a table row each.", flag_values=_FLAGS
)
_STAGE = flags.DEFINE_enum(
    "stage", "score", ["detector", "score"], "How far faces are followed: also into the network?", flag_values=_FLAGS
)
_WEIGHTS = flags.DEFINE_string("weights", None, "A weights file instead of the embedded network.", flag_values=_FLAGS)
_FACE_MODEL = define_face_model_flag(_FLAGS)


def main() -> None:
    """Measures, writes the results and prints the table."""
    from fml_jax.evaluation.detection_sets import HeldOutPhotos
    from fml_jax.evaluation.reference_faces import LandmarkCache

    for given, known in ((_SETS.value, SET_NAMES), (_DETECTORS.value, DETECTOR_NAMES)):
        if unknown := set(given) - set(known):
            raise InputError(f"{sorted(unknown)[0]}: unknown; choose from {', '.join(known)}")
    folder = output_folder(_OUTPUT.value)
    finders = {name: finder(name) for name in _DETECTORS.value}
    photos = HeldOutPhotos(Path(_PHOTOS.value), cast("Split", _SPLIT.value), LandmarkCache(folder / "landmarks.json"))
    results: dict[tuple[str, str], dict] = {}
    for set_name in _SETS.value:
        for name, find in finders.items():
            results[set_name, name] = measured(set_name, name, photos, find=find, folder=folder)
        photos.cache.save()
        text = table(results)
        _write(folder / "table.md", text.encode())
        rows = [{"set": key[0], "detector": key[1], **value} for key, value in results.items()]
        about = {"split": _SPLIT.value, "count": _COUNT.value, "stage": _STAGE.value}
        _write(folder / "results.json", json.dumps({**about, "results": rows}, indent=1).encode())
    print(text)
    portraits(Path(_PHOTOS.value) / "portraits", finders, folder)


def finder(detector: str) -> "Finder":
    """A detector by its name, followed by the network unless only detectors are measured."""
    from fml_jax.evaluation.detection import by_detector, by_reconstructor
    from fml_jax.photos.detection import detect_faces
    from fml_jax.reconstruction import Reconstructor

    if _STAGE.value == "detector":
        return by_detector(functools.partial(detect_faces, detector=detector))
    model = _FACE_MODEL.value
    return by_reconstructor(Reconstructor(_WEIGHTS.value, min_score=0.0, detector=detector, face_model=model))


def measured(set_name: str, detector: str, photos: "HeldOutPhotos", *, find: "Finder", folder: Path) -> dict:
    """One set's numbers; the sheet of what failed is written."""
    from fml_jax.evaluation.detection import STAGES, judged, tally
    from fml_jax.evaluation.detection_sheets import failure_sheet

    start = time.perf_counter()
    results = list(judged(_pictures(set_name, photos), find))
    sheet = failure_sheet(results)
    if sheet is not None:
        _write_picture(folder / f"{set_name}_{detector}.png", sheet)
    missed = [
        f"{each.picture.name}: not {STAGES[stage]}" for each in results for stage in each.stages if stage < len(STAGES)
    ]
    sums = tally(results)
    return {**sums._asdict(), "seconds": round(time.perf_counter() - start, 1), "missed": missed}


def table(results: dict[tuple[str, str], dict]) -> str:
    """The rows of all sets and detectors."""
    from fml_jax.evaluation.detection_sets import SETS
    from fml_jax.evaluation.tables import markdown

    rows = []
    for (set_name, detector), found in results.items():
        shares = [_percent(found[stage], found["faces"]) for stage in ("detected", "upright", "accepted")]
        counts = found["pictures"], found["faces"]
        rows.append((set_name, detector, *counts, *shares, SETS[set_name].aim, found["false"]))
    return markdown(["set", "detector", "pictures", "faces", "detected", "upright", "accepted", "aim", "other"], rows)


def portraits(folder: Path, finders: dict[str, "Finder"], output: Path) -> None:
    """What happens to each picture of portraits, paintings, cartoons and animals: printed, and a sheet."""
    from fml_jax.evaluation.detection import judge
    from fml_jax.evaluation.detection_sets import Picture
    from fml_jax.evaluation.detection_sheets import whole_pictures
    from fml_jax.evaluation.tables import markdown
    from fml_jax.photos.reading import list_photos, read_photo

    if not folder.is_dir():
        return
    pictures = [Picture(path.stem, read_photo(path), ()) for path in list_photos(folder)]
    rows = []
    for name, find in finders.items():
        results = [judge(each, found) for each, found in zip(pictures, find([p.rgb for p in pictures]), strict=True)]
        for each in results:
            boxes = ", ".join(f"score {face.score:.2f} roll {face.roll:.0f}°" for face in each.found) or "no box"
            rows.append((each.picture.name, name, boxes))
        sheet = whole_pictures(results)
        if sheet is not None:
            _write_picture(output / f"portraits_{name}.png", sheet)
    text = markdown(["portrait", "detector", "found"], rows)
    _write(output / "portraits.md", text.encode())
    print("\n" + text)


def _pictures(set_name: str, photos) -> Iterator["Picture"]:
    from fml_jax.evaluation.detection_sets import SETS

    full = SETS[set_name].size
    count = min(full, max(FEWEST if set_name != "crowds" else 3, round(full * _COUNT.value / FULL)))
    with tqdm(total=count, desc=set_name, unit="picture") as bar:
        for picture, _ in zip(SETS[set_name].make(photos), range(count), strict=False):
            bar.update()
            yield picture


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _write(path: Path, content: bytes) -> None:
    with complete_or_absent(path) as partial:
        partial.write_bytes(content)


def _write_picture(path: Path, rgb: np.ndarray) -> None:
    import cv2

    _write(path, cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())


def run() -> None:
    """The command `fml-evaluate-detection`."""
    run_launcher(main, _FLAGS)
