"""Measures a network on photos of people outside its training split, and on synthetic faces.

    fml-evaluate --photos=LFW --output=out/evaluation
    fml-evaluate --synthetic=data/synthetic_validation --output=out/evaluation

Photos are expected in one folder per person; those of the validation split (by the folder's name,
as in training) are used in order. The reference landmarks are MediaPipe's. The command prints Markdown
tables and writes the numbers of each photo to photos.csv.
"""

import csv
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from tqdm import tqdm

from fml_jax.errors import InputError
from fml_jax.files import output_folder
from fml_jax.launchers.command_line import define_face_model_flag, run_launcher

if TYPE_CHECKING:
    from fml_jax.reconstruction import Reconstructor

_FLAGS = flags.FlagValues()
_PHOTOS = flags.DEFINE_string("photos", None, "Folder of photos, one folder a person.", flag_values=_FLAGS)
_SYNTHETIC = flags.DEFINE_string(
    "synthetic", None, "Folder that fml-prepare --layout=synthetic made.", flag_values=_FLAGS
)
_OUTPUT = flags.DEFINE_string("output", "out/evaluation", "Folder for photos.csv.", flag_values=_FLAGS)
_COUNT = flags.DEFINE_integer("count", 400, "Photos to take.", lower_bound=1, flag_values=_FLAGS)
_REFINE = flags.DEFINE_bool(
    "refine", True, "Also refine each face, twice: with all landmarks and with half of them.", flag_values=_FLAGS
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "A weights.npz instead of the network that comes along.", flag_values=_FLAGS
)
_FACE_MODEL = define_face_model_flag(_FLAGS)

YAW_BINS = ((0, 15), (15, 30), (30, 90))


def main() -> None:
    """Measures, and prints tables."""
    from fml_jax.reconstruction import Reconstructor

    if not (_PHOTOS.value or _SYNTHETIC.value):
        raise InputError("nothing to measure on; give --photos=FOLDER, --synthetic=CORPUS or both")
    reconstructor = Reconstructor(_WEIGHTS.value, min_score=0.0, face_model=_FACE_MODEL.value)
    if _PHOTOS.value:
        unsolved = Reconstructor(
            _WEIGHTS.value, min_score=0.0, solve_colours=False, level="base", face_model=_FACE_MODEL.value
        )
        evaluate_photos(_PHOTOS.value, reconstructor, unsolved)
    if _SYNTHETIC.value:
        evaluate_synthetic(_SYNTHETIC.value, reconstructor)


def evaluate_photos(photos: str, reconstructor: "Reconstructor", unsolved: "Reconstructor") -> None:
    """Found faces, scores, landmark and colour errors on held-out photos.

    Args:
      photos: folder of photos, one folder per person.
      unsolved: the reconstructor without the colour solver.
    """
    from fml_jax.corpus.splits import split_of
    from fml_jax.photos.reading import list_photos

    folder = output_folder(_OUTPUT.value)
    paths = [path for path in list_photos(photos) if split_of(path.parent.name) == "validation"][: _COUNT.value]
    if not paths:
        raise InputError(
            f"--photos={photos}: no folder's name falls into the validation split (one person in sixteen); "
            "photos lie in one folder a person"
        )
    rows = [row for path in tqdm(paths, unit="photo") if (row := photo_row(reconstructor, unsolved, path)) is not None]
    if not rows:
        raise InputError(f"--photos={photos}: MediaPipe finds no face in {len(paths)} photos of the validation split")
    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(folder / "photos.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    print(photo_tables(rows))


def photo_row(reconstructor: "Reconstructor", unsolved: "Reconstructor", path: Path) -> dict | None:
    """One photo's numbers; None where the reference finds no face.

    Args:
      unsolved: the reconstructor without the colour solver.
    """
    from fml_jax.corpus.target_face import shows_face
    from fml_jax.evaluation.photos import colour_error, network_errors, refined_errors, span_errors
    from fml_jax.photos.landmarks import detect_landmarks, ibug68
    from fml_jax.photos.reading import read_photo

    marks = detect_landmarks(read_photo(path))
    if marks is None:
        return None
    reference = ibug68(marks)
    try:
        faces = list(reconstructor(path))
    except InputError:
        faces = []
    right = [face for face in faces if shows_face(tuple(face.box), reference)]
    wrong = [face.score for face in faces if not shows_face(tuple(face.box), reference)]
    row = {"photo": str(path), "found": bool(right), "wrong_boxes": " ".join(f"{score:.3f}" for score in wrong)}
    if right:
        face = right[0]
        row |= {
            "score": face.score,
            "yaw": face.angles[0],
            **network_errors(face, reference),
            **span_errors(face, reference),
        }
        row["colours, network alone"] = colour_error(unsolved(face.photo, boxes=[tuple(face.box)])[0])
        if _REFINE.value:
            row |= refined_errors(face, reference)
    return row


def photo_tables(rows: list[dict]) -> str:
    """The report of many photos."""
    from fml_jax.evaluation.tables import markdown, summary

    found = [row for row in rows if row["found"]]
    sure = [row for row in found if row["score"] >= 0.5]
    wrong = [float(score) for row in rows for score in row["wrong_boxes"].split()]
    columns = defaultdict(list)
    for row in found:
        for name, value in row.items():
            if name.startswith(("landmarks", "colours")):
                columns[name].append(value)
    of_landmarks = {name: column for name, column in columns.items() if name.startswith("landmarks")}
    of_colours = {name: column for name, column in columns.items() if name.startswith("colours")}
    by_yaw = {
        f"yaw {low}–{high}° to either side": [row["landmarks"] for row in found if low <= abs(row["yaw"]) < high]
        for low, high in YAW_BINS
    }
    counts = [
        ("photos with a face by MediaPipe", len(rows)),
        ("face found", f"{len(found)} ({100 * len(found) / len(rows):.2f} %)"),
        ("… and its score is at least 0.5", f"{len(sure)} ({100 * len(sure) / len(rows):.2f} %)"),
        ("other boxes (beside the face, or bystanders)", len(wrong)),
        ("… that score under 0.5", sum(score < 0.5 for score in wrong)),
    ]
    parts = [
        markdown(["", ""], counts),
        "Landmark error, normalised by √(w·h):\n\n" + summary(of_landmarks, percent=True),
        "The network's, by yaw:\n\n"
        + summary({name: column for name, column in by_yaw.items() if column}, percent=True),
        "Colour error, RGB distance over visible skin vertices:\n\n" + summary(of_colours),
    ]
    return "\n\n".join(parts)


def evaluate_synthetic(corpus: str, reconstructor: "Reconstructor") -> None:
    """Errors against known codes."""
    import jax

    from fml_jax.codes import unflatten_code
    from fml_jax.corpus.card import check_face_model, open_corpus
    from fml_jax.corpus.loader import CorpusBatches
    from fml_jax.evaluation.tables import markdown
    from fml_jax.training.held_out import synthetic_errors

    check_face_model(Path(corpus), open_corpus(corpus).card, reconstructor.model.name)
    faces = len(CorpusBatches(corpus, "all", 1))
    batch = CorpusBatches(corpus, "all", faces, jitter=0.0).batch(0)
    codes, _ = reconstructor.codes(batch["crop"])
    true = unflatten_code(batch["code"], reconstructor.model.code_sizes)
    own = synthetic_errors(reconstructor.model, jax.device_get(codes), true)
    solved = synthetic_errors(reconstructor.model, reconstructor.predict(batch["crop"]).codes, true)
    rows = [(name.removeprefix("synthetic/").replace("_", " "), own[name], solved[name]) for name in own]
    print(f"{faces} synthetic faces (ratios: the mean face scores 1):\n")
    print(markdown(["", "network alone", "its colours solved"], rows))


def run() -> None:
    """The command `fml-evaluate`."""
    run_launcher(main, _FLAGS)
