"""Makes the corpora that fml-train reads, from photos, videos, or renders of a face model.

    fml-prepare --layout=lfw --input=lfw --output=data/photos
    fml-prepare --input=PHOTOS --output=data/photos        (a folder, best one subfolder a person)
    fml-prepare --layout=list --input=photos.txt --output=data/photos

Several inputs become one corpus, each with a weight:

    fml-prepare --layout=celeba --input=CelebA --weight=1 --layout=lfw --input=lfw --weight=3 --output=data/photos

Synthetic faces, rendered with known codes; --input names photos for their backgrounds:

    fml-prepare --layout=synthetic --count=16000 --output=data/synthetic
    fml-prepare --layout=synthetic --beyond --count=3000 --output=data/beyond

More than half of them have something in front of the face, and a map of the pixels that it hides. Kinds that training
is not to see are left out of its corpus, to measure later how well a network generalises to them:

    fml-prepare --layout=synthetic --occluders=masks,glasses,hands,hair,blobs --output=data/synthetic
    fml-prepare --layout=synthetic --occluders=hats,microphones --unoccluded=0 --count=300 --output=data/held_out

The same command continues a build that was interrupted. OUTPUT/index.html shows the examples; OUTPUT/rejected.csv lists
the photos that were rejected, with reasons.
"""

import dataclasses
from typing import Any

from absl import flags

from fml_jax.corpus.examples import DETECTORS, Settings
from fml_jax.corpus.layouts import LAYOUTS, Source
from fml_jax.errors import InputError
from fml_jax.launchers.command_line import define_face_model_flag, define_runner_flag, run_launcher
from fml_jax.synthetic.adults import ADULT_SHARE, adult_identities
from fml_jax.synthetic.occluders.names import KINDS, UNOCCLUDED

_FLAGS = flags.FlagValues()
_LAYOUT = flags.DEFINE_multi_enum(
    "layout",
    ["folder"],
    [*LAYOUTS, "synthetic"],
    "Collection or arrangement of files of an input; given once for all inputs, or once for each.",
    flag_values=_FLAGS,
)
_INPUT = flags.DEFINE_multi_string(
    "input", [], "Folder, pattern or list of photos and videos; may be repeated.", flag_values=_FLAGS
)
_WEIGHT = flags.DEFINE_multi_float(
    "weight",
    [],
    "How often a photo of an input is used in training, relative to the other inputs; 1 by default.",
    flag_values=_FLAGS,
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True, flag_values=_FLAGS)
_WORKERS = flags.DEFINE_integer("workers", None, "Processes; all cores by default.", lower_bound=1, flag_values=_FLAGS)
_RUNNER = define_runner_flag(_FLAGS)
_SECONDS = flags.DEFINE_float(
    "seconds", 1.0, "Seconds between the frames that are taken from a video.", lower_bound=0.0, flag_values=_FLAGS
)
_COUNT = flags.DEFINE_integer("count", 16000, "Synthetic faces to render.", lower_bound=1, flag_values=_FLAGS)
_SEED = flags.DEFINE_integer("seed", 0, "Synthetic faces: another seed gives other faces.", flag_values=_FLAGS)
_FACE_MODEL = define_face_model_flag(_FLAGS)
_BEYOND = flags.DEFINE_boolean(
    "beyond",
    False,
    "Synthetic faces outside the face model's span, without occlusion, for training the final level.",
    flag_values=_FLAGS,
)
_OCCLUDERS = flags.DEFINE_list(
    "occluders",
    None,
    "Kinds of objects that may be in front of synthetic faces, separated by commas; --occluders= for none. By default "
    f"all: {', '.join(KINDS)}.",
    flag_values=_FLAGS,
)
_UNOCCLUDED = flags.DEFINE_float(
    "unoccluded",
    None,
    f"Share of synthetic faces with nothing in front of them; {UNOCCLUDED:g} by default.",
    lower_bound=0.0,
    upper_bound=1.0,
    flag_values=_FLAGS,
)
_ADULTS = flags.DEFINE_float(
    "adults",
    None,
    "Share of synthetic faces with the shapes of adults in photos. The others vary as the face model's modes do, which "
    f"include children. {ADULT_SHARE:g} by default. The open face model alone knows adults.",
    lower_bound=0.0,
    upper_bound=1.0,
    flag_values=_FLAGS,
)
_TRUTH = flags.DEFINE_boolean(
    "truth",
    None,
    "Store the true vertices and reflectance of synthetic faces beside their codes: 80 kB a face besides 32 kB, "
    "4 GB for 40,000 faces. By default only with --beyond: for other faces, eq. 3-4 give both from the code.",
    flag_values=_FLAGS,
)
_DETECTOR = flags.DEFINE_enum(
    "detector",
    Settings.detector,
    DETECTORS,
    "The detector whose box frames the crop (haar+mediapipe for the paper's corpora); after a +, the one to use where "
    "the first has no box on the face. "
    "mediapipe stands for the box of MediaPipe's landmarks. Without it, photos without a box on the face are rejected.",
    flag_values=_FLAGS,
)
_THRESHOLDS = {
    field.name: flags.DEFINE_float(
        field.name, None, f"Threshold, see fml_jax/corpus/examples.py; {field.default} by default.", flag_values=_FLAGS
    )
    for field in dataclasses.fields(Settings)
    if field.name != "detector"
}


def main() -> None:
    """Makes the corpus."""
    card = _synthetic() if _LAYOUT.value == ["synthetic"] else _photos()
    rendered = _LAYOUT.value == ["synthetic"]
    result = f"{card['examples']} faces" if rendered else f"{card['examples']} of {card['photos']} photos"
    print(f"{result} are in {_OUTPUT.value}; {_OUTPUT.value}/index.html shows them")


def _synthetic() -> dict:
    from fml_jax.face_model.files import load_face_model
    from fml_jax.synthetic.faces import build_synthetic
    from fml_jax.synthetic.rendering import Style

    if _BEYOND.value and (_OCCLUDERS.value or _UNOCCLUDED.value is not None):
        raise InputError("--occluders and --unoccluded: nothing occludes the faces of --beyond; leave one out")
    if _BEYOND.value and _ADULTS.value is not None:
        raise InputError("--adults: faces of --beyond are of a population of their own; leave one out")
    model = load_face_model(_FACE_MODEL.value)
    style = Style(
        kinds=KINDS if _OCCLUDERS.value is None else tuple(_OCCLUDERS.value),
        unoccluded=UNOCCLUDED if _UNOCCLUDED.value is None else _UNOCCLUDED.value,
        adults=_adult_share(model.name),
    )
    if len(_INPUT.value) > 1:
        raise InputError("--input: synthetic faces take their backgrounds from one folder")
    return build_synthetic(
        model,
        _OUTPUT.value,
        _COUNT.value,
        seed=_SEED.value,
        workers=_WORKERS.value,
        background_folder=_INPUT.value[0] if _INPUT.value else None,
        runner=_runner(),
        beyond=_BEYOND.value,
        truth=_BEYOND.value if _TRUTH.value is None else _TRUTH.value,
        style=style,
    )


def _adult_share(face_model: str) -> float:
    if adult_identities(face_model) is not None:
        return ADULT_SHARE if _ADULTS.value is None else _ADULTS.value
    if _ADULTS.value:
        raise InputError(f"--adults: nothing is known of adults in the face model {face_model}; leave it out")
    return 0.0


def _photos() -> dict:
    from fml_jax.corpus.building import build_corpus

    ours = (_BEYOND.value, _TRUTH.value, _FACE_MODEL.value)
    if any(ours) or any(flag.value is not None for flag in (_OCCLUDERS, _UNOCCLUDED, _ADULTS)):
        only = "--beyond, --truth, --face_model, --occluders, --unoccluded and --adults"
        raise InputError(f"{only} belong to --layout=synthetic; leave them out for photos")
    settings: dict[str, Any] = {"detector": _DETECTOR.value}
    settings |= {name: flag.value for name, flag in _THRESHOLDS.items() if flag.value is not None}
    return build_corpus(
        _sources(), _OUTPUT.value, _WORKERS.value, settings=settings, seconds=_SECONDS.value, runner=_runner()
    )


def _runner():
    from fml_jax.runners import RUNNERS

    return RUNNERS[_RUNNER.value]


def _sources() -> list[Source]:
    inputs = _INPUT.value
    if not inputs:
        raise InputError("--input is missing: a folder, pattern or list of photos")
    layouts = _LAYOUT.value * len(inputs) if len(_LAYOUT.value) == 1 else _LAYOUT.value
    weights = _WEIGHT.value or [1.0] * len(inputs)
    if "synthetic" in layouts:
        raise InputError("--layout=synthetic makes a corpus of its own; training mixes it with that of photos")
    if not len(inputs) == len(layouts) == len(weights) or min(weights) <= 0:
        raise InputError("--layout and --weight: give one for each --input (weights above 0), in the same order")
    return [Source(*each) for each in zip(layouts, inputs, weights, strict=True)]


def run() -> None:
    """The command `fml-prepare`."""
    run_launcher(main, _FLAGS)
