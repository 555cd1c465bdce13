"""Fits a network's score anew, to faces in every condition in which the detector finds them.

    fml-fit-score --photos=LFW --frames=YOUTUBE --output=weights.npz

A crop's score predicts whether it shows a face, framed as it should be. The score's layer is fitted to crops of faces
(upright, turned, dark, in coloured light, grey, blurred, cut by the photo's edge, masked, and the turned heads of video
frames), to crops beside faces, of the wrong size or turned the wrong way, and to false boxes of libfacedetection;
nothing else of the network changes. Photos lie in one folder a person. Only people of the training split are used; the
table shows which share of each kind is scored rightly (one half or more for faces) of people of the validation split.
The face model has no influence on the score: --face_model says which one the weights are made for.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from fml_jax.errors import InputError
from fml_jax.files import output_folder
from fml_jax.launchers.command_line import define_face_model_flag, run_launcher
from fml_jax.reconstruction.open_network import OPEN_WEIGHTS

if TYPE_CHECKING:
    from fml_jax.corpus.layouts import Photo
    from fml_jax.corpus.splits import Split

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
_FACE_MODEL = define_face_model_flag(_FLAGS)
_OUTPUT = flags.DEFINE_string("output", None, "Weights file to write.", required=True, flag_values=_FLAGS)
_COUNT = flags.DEFINE_integer("count", 800, "Faces of each kind.", lower_bound=10, flag_values=_FLAGS)
_SEARCHED = flags.DEFINE_integer(
    "searched", 900, "Photos to look for false boxes in.", lower_bound=0, flag_values=_FLAGS
)


def main() -> None:
    """Fits the score, writes the weights and prints the table."""
    from fml_jax.evaluation.tables import markdown
    from fml_jax.face_model.files import load_face_model
    from fml_jax.networks.weights import load_weights, save_weights
    from fml_jax.reconstruction.prediction import load_network
    from fml_jax.training.score import features_by_kind, rightly_scored, with_fitted_score
    from fml_jax.training.score_crops import SHARES, crops_by_kind, is_face

    output_folder(Path(_OUTPUT.value).parent)  # all that can be wrong, before minutes of work
    load_network(_WEIGHTS.value, load_face_model(_FACE_MODEL.value))  # refuses weights of another face model
    train_photos, unseen_photos = photos_of("train"), photos_of("validation")
    params, about = load_weights(_WEIGHTS.value)
    train, unseen = (
        features_by_kind(params, about["encoder"], crops)
        for crops in (
            crops_by_kind(*train_photos, _COUNT.value, searched=_SEARCHED.value, seed=0),
            crops_by_kind(*unseen_photos, _COUNT.value // 2, searched=_SEARCHED.value // 4, seed=1),
        )
    )
    new = with_fitted_score(params, train, shares=SHARES, is_face=is_face)
    save_weights(_OUTPUT.value, new, about)
    before, now = (rightly_scored(each, unseen, is_face=is_face) for each in (params, new))
    rows = [(kind, len(each), _percent(before[kind]), _percent(now[kind])) for kind, each in unseen.items()]
    print(markdown(["unseen people", "crops", "right before", "right now"], rows))
    print(f"weights: {_OUTPUT.value}")


def photos_of(split: "Split") -> tuple[list[Path], list["Photo"]]:
    """The photos and the video frames of a split's people.

    Raises:
      InputError: there are none.
    """
    from fml_jax.corpus.layouts import LAYOUTS
    from fml_jax.corpus.splits import split_of
    from fml_jax.photos.reading import list_photos

    paths = [path for path in list_photos(_PHOTOS.value) if split_of(path.parent.name) == split]
    frames = [photo for photo in LAYOUTS["youtube"].find(Path(_FRAMES.value), 1.0) if split_of(photo.person) == split]
    for flag, found in ((_PHOTOS, paths), (_FRAMES, frames)):
        if not found:
            raise InputError(
                f"--{flag.name}={flag.value}: nobody in it belongs to the {split} split; give photos of more people, "
                "in one folder a person"
            )
    return paths, frames


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %"


def run() -> None:
    """The command `fml-fit-score`."""
    run_launcher(main, _FLAGS)
