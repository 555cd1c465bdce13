"""Fits a network's score anew, so that it also tells boxes that fool a detector.

    fml-fit-score --photos=PHOTOS --corpus=data/photos --weights=runs/open_light/weights.npz --output=weights.npz

A crop's score says whether it shows a face, framed as it should be. Training shows it crops beside faces, far too
large or too small ones and textures; a cascade's own mistakes look more like faces than these. Here such boxes are
looked for in photos (one folder a person), and the score's layer is fitted to them, to the corpus's faces and to its
other negatives; nothing else of the network changes. The table tells how many of each kind a score of one half
puts on the right side, of people that no network is trained on.
"""

from pathlib import Path

import numpy as np
from absl import flags

from fml_jax.files import output_folder
from fml_jax.launchers.command_line import run_launcher
from fml_jax.reconstruction.prediction import OPEN_WEIGHTS

_FLAGS = flags.FlagValues()
_PHOTOS = flags.DEFINE_string(
    "photos", None, "Folder of photos, one folder a person.", required=True, flag_values=_FLAGS
)
_CORPUS = flags.DEFINE_string(
    "corpus", None, "What fml-prepare made of such photos.", required=True, flag_values=_FLAGS
)
_WEIGHTS = flags.DEFINE_string("weights", str(OPEN_WEIGHTS), "Weights file to begin with.", flag_values=_FLAGS)
_OUTPUT = flags.DEFINE_string("output", None, "Weights file to write.", required=True, flag_values=_FLAGS)
_COUNT = flags.DEFINE_integer(
    "count",
    2500,
    "Photos to look for false boxes in, and crops of each other kind.",
    lower_bound=100,
    flag_values=_FLAGS,
)

BESIDE, FALSE = "beside faces, badly sized, textures", "false boxes, and mirrored"
FALSE_SHARE = 0.02  # of all that is no face; more tells a few more of them, at the price of faces in profile


def main() -> None:
    """Fits the score, writes the weights and prints the table."""
    from fml_jax.evaluation.tables import markdown
    from fml_jax.networks.weights import load_weights, save_weights
    from fml_jax.training.score import FACES, rightly_scored, with_fitted_score

    output_folder(Path(_OUTPUT.value).parent)  # before minutes of work
    params, about = load_weights(_WEIGHTS.value)
    shares = {FACES: 1.0, BESIDE: 1.0 - FALSE_SHARE, FALSE: FALSE_SHARE}
    new = with_fitted_score(params, about["encoder"], crops_of("train", _COUNT.value), shares)
    save_weights(_OUTPUT.value, new, about)
    unseen = crops_of("validation", _COUNT.value // 5)
    right = [rightly_scored(each, about["encoder"], unseen) for each in (params, new)]
    rows = [(kind, len(crops), *(f"{100 * each[kind]:.1f} %" for each in right)) for kind, crops in unseen.items()]
    print(markdown(["unseen people", "crops", "right before", "right now"], rows))
    print(f"weights: {_OUTPUT.value}")


def crops_of(split: str, count: int) -> dict[str, np.ndarray]:
    """Crops of faces, of the corpus's negatives, and of false boxes in so many photos."""
    from fml_jax.corpus.hard_negatives import hard_negative_crops
    from fml_jax.corpus.loader import CorpusBatches
    from fml_jax.corpus.splits import split_of
    from fml_jax.photos.reading import list_photos
    from fml_jax.training.score import FACES

    paths = [path for path in list_photos(_PHOTOS.value) if split_of(path.parent.name) == split]
    return {
        FACES: CorpusBatches(_CORPUS.value, split, count, negatives=0.0).batch(0)["crop"],
        BESIDE: CorpusBatches(_CORPUS.value, split, count, negatives=1.0).batch(0)["crop"],
        FALSE: hard_negative_crops(paths, count),
    }


def run() -> None:
    """The command `fml-fit-score`."""
    run_launcher(main, _FLAGS)
