"""Reconstructs the faces of photos in 3D.

    fml-reconstruct --input=photo.jpg --output=out
    fml-reconstruct --input=FOLDER --output=out --refine

For the k-th face of photo.jpg (from 0, largest first) it writes photo_k.npz (vertices, landmarks,
pose, light and all other numbers), photo_k.obj (the mesh with UVs), photo_k.ply (the mesh with its
reflectance) and photo_k_overlay.png, and one index.html with all faces side by side. Photos that
share a stem keep their extension in the names. A photo that cannot be used is told and skipped; the
exit status is 1 only if no face was reconstructed. Ctrl-C ends a run with the page of what is done
(exit status 130).
"""

import contextlib
import sys
from collections import Counter
from pathlib import Path

from absl import flags

from fml_jax.errors import InputError
from fml_jax.files import output_folder
from fml_jax.launchers.command_line import run_launcher

_FLAGS = flags.FlagValues()
_INPUT = flags.DEFINE_string(
    "input", None, "Photo, folder of photos (with those below it), or a pattern.", required=True, flag_values=_FLAGS
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the results.", required=True, flag_values=_FLAGS)
_REFINE = flags.DEFINE_bool(
    "refine", False, "Improve each face by fitting it to its photo (some seconds a face).", flag_values=_FLAGS
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "A weights.npz of fml-train instead of the network that comes along.", flag_values=_FLAGS
)
_BOXES = flags.DEFINE_multi_string(
    "box",
    None,
    "For one photo: a face's place in pixels as x0,y0,x1,y1 instead of detection; may be repeated.",
    flag_values=_FLAGS,
)
_MIN_SCORE = flags.DEFINE_float(
    "min_score", None, "Detected boxes that score less (0.5 if not given) are no face.", flag_values=_FLAGS
)

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


def main() -> int:
    """Reconstructs the photos; returns the exit status."""
    try:
        return _reconstruct()
    except KeyboardInterrupt:
        print("stopped; no face was done", file=sys.stderr)
        return INTERRUPTED


def _reconstruct() -> int:
    from fml_jax.export import Page
    from fml_jax.reconstruction import Reconstructor

    folder = output_folder(_OUTPUT.value)
    paths = _photos(folder)
    settings = {"weights": _WEIGHTS.value, "min_score": _MIN_SCORE.value}
    reconstructor = Reconstructor(**{name: value for name, value in settings.items() if value is not None})
    page, names, stopped = Page(folder), _stems(paths), False
    with contextlib.closing(reconstructor.stream(paths, _boxes(paths), refine=_REFINE.value, progress=True)) as faces:
        try:
            for face in faces:
                stem = names[face.source]
                page.add(face, stem, face.save(folder, stem, overwrite=True))
        except KeyboardInterrupt:
            if not page.faces:
                raise
            stopped = True
    failed = {failure.source for failure in faces.failures}
    for dropped in faces.dropped:
        if dropped.source not in failed:
            print(f"dropped: {dropped.reason}", file=sys.stderr)
    for _, reason in faces.failures:
        print(f"skipped: {reason}", file=sys.stderr)
    if page.faces:
        print(f"{page.count(stopped)}: {page.write(faces.failures, stopped)}")
    return INTERRUPTED if stopped else int(not page.faces)


def _photos(output: Path) -> list[Path]:
    """What --input names, without pictures that an earlier run left in the output folder."""
    from fml_jax.photos.reading import list_photos

    found = list_photos(_INPUT.value)
    photos = [path for path in found if not _is_own_picture(path.resolve(), output.resolve())]
    if not photos:
        raise InputError(
            f"--input={_INPUT.value}: all {len(found)} pictures were made by an earlier run; name the photos"
        )
    return photos


def _is_own_picture(path: Path, output: Path) -> bool:
    return path.parent == output / "pictures" or (path.parent == output and path.name.endswith("_overlay.png"))


def _stems(paths) -> dict[str, str]:
    """Names for each photo's results: the stem, with the extension where stems collide."""
    count = Counter(path.stem for path in paths)
    names = {str(path): path.stem if count[path.stem] == 1 else path.name for path in paths}
    # Photos of the same name in several folders are told apart by number.
    seen: Counter = Counter()
    for source, name in names.items():
        seen[name] += 1
        if seen[name] > 1:
            names[source] = f"{name}_{seen[name]}"
    return names


def _boxes(paths):
    if not _BOXES.value:
        return None
    if len(paths) != 1:
        raise InputError("--box goes with one photo; --input names several")
    try:
        return [[tuple(float(number) for number in box.split(",")) for box in _BOXES.value]]
    except ValueError:
        raise InputError(f"--box={_BOXES.value[0]}: give four numbers, x0,y0,x1,y1") from None


def run() -> None:
    """The command `fml-reconstruct`."""
    run_launcher(main, _FLAGS)
