"""Fits a network's score anew, to faces in every condition in which the detector finds them.

    fml-fit-score --photos=LFW --frames=YOUTUBE --output=weights.npz

A crop's score predicts whether it shows a face, framed as it should be. The score's layer is fitted to crops of faces
(upright, turned, dark, in coloured light, grey, blurred, cut by the photo's edge, masked, and the turned heads of video
frames), to crops beside faces, of the wrong size or turned the wrong way, and to false boxes of libfacedetection;
nothing else of the network changes. Photos lie in one folder a person. Only people of the training split are used; the
table shows which share of each kind is scored rightly (one half or more for faces) of people of the validation split.
"""

from pathlib import Path

import numpy as np
from absl import flags

from fml_jax.files import output_folder
from fml_jax.launchers.command_line import run_launcher
from fml_jax.reconstruction.prediction import OPEN_WEIGHTS

_FLAGS = flags.FlagValues()
_PHOTOS = flags.DEFINE_string(
    "photos", None, "Folder of photos, one folder a person, the face in the middle.", required=True, flag_values=_FLAGS
)
_FRAMES = flags.DEFINE_string(
    "frames",
    None,
    "Folder of video frames, laid out as youtube (docs/corpora.md): turned heads with landmarks.",
    required=True,
    flag_values=_FLAGS,
)
_WEIGHTS = flags.DEFINE_string("weights", str(OPEN_WEIGHTS), "Weights file to begin with.", flag_values=_FLAGS)
_OUTPUT = flags.DEFINE_string("output", None, "Weights file to write.", required=True, flag_values=_FLAGS)
_COUNT = flags.DEFINE_integer("count", 500, "Faces of each kind.", lower_bound=10, flag_values=_FLAGS)
_SEARCHED = flags.DEFINE_integer(
    "searched", 500, "Photos to look for false boxes in.", lower_bound=0, flag_values=_FLAGS
)


def main() -> None:
    """Fits the score, writes the weights and prints the table."""
    from fml_jax.evaluation.tables import markdown
    from fml_jax.networks.weights import load_weights, save_weights
    from fml_jax.training.score import rightly_scored, with_fitted_score
    from fml_jax.training.score_crops import SHARES, is_face

    output_folder(Path(_OUTPUT.value).parent)  # before minutes of work
    params, about = load_weights(_WEIGHTS.value)
    train = crops_of("train", _COUNT.value, _SEARCHED.value)
    new = with_fitted_score(params, about["encoder"], train, shares=SHARES, is_face=is_face)
    save_weights(_OUTPUT.value, new, about)
    unseen = crops_of("validation", _COUNT.value // 2, _SEARCHED.value // 4)
    right = [rightly_scored(each, about["encoder"], unseen, is_face=is_face) for each in (params, new)]
    rows = [(kind, len(crops), *(f"{100 * each[kind]:.1f} %" for each in right)) for kind, crops in unseen.items()]
    print(markdown(["unseen people", "crops", "right before", "right now"], rows))
    print(f"weights: {_OUTPUT.value}")


def crops_of(split: str, count: int, searched: int) -> dict[str, np.ndarray]:
    """Crops by their kinds, of so many faces each, and of false boxes in so many photos."""
    from fml_jax.corpus.layouts import LAYOUTS
    from fml_jax.corpus.splits import split_of
    from fml_jax.photos.reading import list_photos
    from fml_jax.training.score_crops import crops_by_kind

    paths = [path for path in list_photos(_PHOTOS.value) if split_of(path.parent.name) == split]
    frames = [photo for photo in LAYOUTS["youtube"].find(Path(_FRAMES.value), 1.0) if split_of(photo.person) == split]
    return crops_by_kind(paths, frames, count, searched=searched, seed=0 if split == "train" else 1)


def run() -> None:
    """The command `fml-fit-score`."""
    run_launcher(main, _FLAGS)
