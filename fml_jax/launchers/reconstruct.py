"""Reconstructs the faces of photos in 3D.

    fml-reconstruct --input=photo.jpg --output=out
    fml-reconstruct --input=FOLDER --output=out --refine

For the k-th face of photo.jpg (from 0, largest first) it writes by default

    photo_k.npz           vertices, landmarks, pose, light and all other numbers
    photo_k.glb           the head for Blender, game engines, web pages: texture, ARKit's expressions
                          as morph targets, teeth, tongue, eyes; in metres
    photo_k_overlay.png   the face on the photo

--formats=glb,obj chooses. Others are obj (the mesh in mm with its texture in .mtl and _texture.png),
ply (the mesh with colours at its vertices), fml (the code alone, 2 KB, which fml_jax.load_face reads;
fml_small is a third as large and moves no vertex by 0.1 mm), camera (the photo's camera as JSON), and, as
16-bit PNG of the photo's size, depth, normals, reflectance, shading and mask.
Photos of subfolders have their results in subfolders; photos of a folder that share a stem keep their
extension in the names. index.html shows all faces, viewer.html shows them in 3D; both work without a
network, from this folder. Up to 8 faces are in viewer.html itself, which is then complete in one file.
failures.csv lists the photos without a face.

A clip (--input=clip.mp4; pip install 'fml_jax[video]') gives for its k-th person, from 0 who is seen longest

    clip_k.npz            pose, expression, light, landmarks of each frame; identity and skin of all
    clip_k_arkit.csv      ARKit's weights and the head's angles, one line a frame
    clip_k.glb            the head with its motion
    clip_overlay.mp4      the faces on the clip, with its sound

--formats=npz,csv,glb,overlay chooses. Ctrl-C leaves the files of the frames that were seen until then.

--same_person: all photos show one person. They get one identity and one skin, which several
photos determine better than one; pose, expression and light are each photo's own.

A run that was cut off continues when the same command is run again; photos that are done already are
left as they are. Ctrl-C ends a run with the page of what is done (exit status 130). The exit status
is 1 if no photo shows a face, or if the disk is full. --runner=ray spreads the work over a Ray
cluster, all of whose machines must have the photos and the output under the same paths.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from tqdm import tqdm

from fml_jax.errors import InputError
from fml_jax.files import checked_path, output_folder
from fml_jax.launchers.clip_command import INTERRUPTED, reconstruct_clip_into
from fml_jax.launchers.command_line import define_face_model_flag, define_runner_flag, run_launcher
from fml_jax.worker_processes import collect_garbage_rarely

_FLAGS = flags.FlagValues()
_INPUT = flags.DEFINE_string(
    "input",
    None,
    "Photo, folder of photos (with those below it), a pattern, or a clip.",
    required=True,
    flag_values=_FLAGS,
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the results.", required=True, flag_values=_FLAGS)
_REFINE = flags.DEFINE_bool(
    "refine", False, "Improve each face by fitting it to its photo (some seconds a face).", flag_values=_FLAGS
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "A weights.npz of fml-train instead of the network of the package.", flag_values=_FLAGS
)
_FACE_MODEL = define_face_model_flag(_FLAGS)
_BOXES = flags.DEFINE_multi_string(
    "box",
    None,
    "For one photo: a face's place in pixels as x0,y0,x1,y1 instead of detection; may be repeated.",
    flag_values=_FLAGS,
)
_MIN_SCORE = flags.DEFINE_float(
    "min_score", None, "Detected boxes that score lower (0.5 by default) are dropped.", flag_values=_FLAGS
)
_DETECTOR = flags.DEFINE_enum(
    "detector",
    "auto",
    ["auto", "libfacedetection", "haar", "yunet"],
    "What finds the faces; auto is libfacedetection, or haar where that is not installed.",
    flag_values=_FLAGS,
)
_LEVEL = flags.DEFINE_enum(
    "level",
    "final",
    ("base", "final"),
    "final: with the corrections that were learned from photos. base: within the span of the face model.",
    flag_values=_FLAGS,
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    None,
    "Processes; by default one for each core, or less for few photos.",
    lower_bound=1,
    flag_values=_FLAGS,
)
_RUNNER = define_runner_flag(_FLAGS)
_FORMATS = flags.DEFINE_list(
    "formats",
    ["npz", "glb", "overlay"],
    "Files to write: npz, glb, obj, ply, fml, fml_small, overlay, camera, depth, normals, reflectance, shading, mask.",
    flag_values=_FLAGS,
)
_TEXTURE = flags.DEFINE_enum(
    "texture",
    "reflectance",
    ["reflectance", "photo"],
    "Of glb and obj; photo completes the reflectance where the photo shows skin.",
    flag_values=_FLAGS,
)
_SAME_PERSON = flags.DEFINE_bool(
    "same_person",
    False,
    "All photos show one person: one identity and skin for all. Photos without the person are skipped.",
    flag_values=_FLAGS,
)
_REDO = flags.DEFINE_bool(
    "redo", False, "Reconstruct photos again that are done already with the same settings.", flag_values=_FLAGS
)


def main() -> int:
    """Reconstructs the photos; returns the exit status."""
    collect_garbage_rarely()
    try:
        return _reconstruct()
    except KeyboardInterrupt:
        print("stopped; no face was done", file=sys.stderr)
        return INTERRUPTED


def _reconstruct() -> int:
    from fml_jax.photos.videos import VIDEO_SUFFIXES

    place, folder = checked_path(_INPUT.value), output_folder(_OUTPUT.value)
    arguments = {
        "weights": _WEIGHTS.value,
        "min_score": _MIN_SCORE.value,
        "detector": _DETECTOR.value,
        "level": _LEVEL.value,
        "face_model": _FACE_MODEL.value,
    }
    if place.suffix.lower() in VIDEO_SUFFIXES and not place.is_dir():
        for flag in (_REFINE, _BOXES, _TEXTURE, _RUNNER, _SAME_PERSON, _REDO, _WORKERS):
            if flag.present:
                raise InputError(f"--{flag.name} goes with photos, not with a clip; leave it out")
        formats = _FORMATS.value if _FORMATS.present else None
        return reconstruct_clip_into(folder, place, arguments=arguments, formats=formats)
    return reconstruct_into(
        folder,
        [place],
        arguments=arguments,
        refine=_REFINE.value,
        boxes=_boxes(_BOXES.value),
        formats=_FORMATS.value,
        texture=_TEXTURE.value,
        workers=_WORKERS.value,
        runner=_RUNNER.value,
        redo=_REDO.value,
        same_person=_SAME_PERSON.value,
    )


def reconstruct_into(
    folder: Path,
    places: Sequence[Path],
    *,
    arguments: Mapping[str, Any] | None = None,
    refine: bool = False,
    boxes: tuple[tuple[float, ...], ...] | None = None,
    formats: Sequence[str] | None = None,
    texture: str = "reflectance",
    workers: int | None = None,
    runner: str = "local",
    redo: bool = False,
    only: bool = False,
    same_person: bool = False,
) -> int:
    """Reconstructs the photos of some places into a folder with its pages, and reports on the terminal.

    Args:
      folder: the folder for the results; it exists.
      places: photos, folders or patterns.
      arguments: of `Reconstructor`, by name; None stands for a default.
      refine: see `Reconstructor`.
      boxes: places of the faces of a single photo, instead of detection.
      formats: of `fml_jax.export.formats.FORMATS`; None is the default ones.
      texture: of glb and obj files, one of `fml_jax.export.formats.TEXTURES`.
      workers: processes; None chooses.
      runner: a key of `RUNNERS`.
      redo: do photos again that are done already.
      only: remove the results of all other photos from the folder.
      same_person: all photos show one person; see `Reconstructor.person`.

    Returns:
      the exit status.

    Raises:
      InputError: no photos, or arguments that cannot be used.
    """
    from fml_jax.export.batch import Outcome, count_photos, default_workers, forget_others, reconstruct_photos
    from fml_jax.export.formats import DEFAULT
    from fml_jax.export.jobs import Settings
    from fml_jax.export.page import write_pages
    from fml_jax.export.result_folder import ResultFolder
    from fml_jax.runners import RUNNERS

    photos = sum(count_photos(place, folder) for place in places)
    if boxes is not None and photos != 1:
        raise InputError("--box goes with one photo; --input names several")
    wanted = DEFAULT if formats is None else tuple(formats)
    given = tuple((name, value) for name, value in (arguments or {}).items() if value is not None)
    outcome = Outcome()
    with ResultFolder(folder) as results:
        try:
            if only:
                forget_others(results, places)
            with tqdm(total=photos, unit="photo", dynamic_ncols=True) as bar:
                for place in places:
                    outcome += reconstruct_photos(
                        place,
                        results,
                        Settings(given, refine, boxes, wanted, texture, same_person),
                        workers=1 if same_person else workers or default_workers(photos, refine),
                        runner=RUNNERS[runner],
                        redo=redo,
                        report=_report,
                        note=lambda rejected, items=1: bar.update(items),
                    )
                    if outcome.stopped:
                        break
        except InputError:
            if results.count_faces():
                write_pages(results, stopped=True)
            raise
        return _finish(results, outcome)


def _finish(results: Any, outcome: Any) -> int:
    """Writes the pages of a `ResultFolder`, prints what became of the run and returns the exit status."""
    from fml_jax.export.page import FAILURES, count_in_words, write_pages
    from fml_jax.export.viewer.folder import VIEWER

    if outcome.disk_full:
        print(f"reconstruct: {outcome.disk_full}", file=sys.stderr)
    if outcome.interrupted and not outcome.faces:
        raise KeyboardInterrupt
    page = write_pages(results, stopped=outcome.stopped)
    if failures := results.count_failures():
        print(
            f"{failures} photo{'' if failures == 1 else 's'} without a face: {page.with_name(FAILURES)}",
            file=sys.stderr,
        )
    if outcome.faces:
        print(f"{count_in_words(outcome.faces, outcome.stopped)}: {page}")
        print(f"to turn in 3D: {page.with_name(VIEWER)}")
    if outcome.interrupted:
        return INTERRUPTED
    return int(not outcome.faces or bool(outcome.disk_full))


def _report(entry: Any) -> None:
    """Prints why a photo or a box in it gave no face; `entry` is a `PhotoEntry`."""
    for reason in entry.dropped:
        tqdm.write(f"dropped: {reason}", file=sys.stderr)
    if entry.failure is not None:
        tqdm.write(f"skipped: {entry.failure}", file=sys.stderr)


def _boxes(texts: list[str] | None) -> tuple[tuple[float, ...], ...] | None:
    if not texts:
        return None
    try:
        return tuple(tuple(float(number) for number in text.split(",")) for text in texts)
    except ValueError:
        raise InputError(f"--box={texts[0]}: give four numbers, x0,y0,x1,y1") from None


def run() -> None:
    """The command `fml-reconstruct`."""
    run_launcher(main, _FLAGS)
