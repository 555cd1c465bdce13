"""All files of a clip: one of each kind a person, and the overlay with everybody."""

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from tqdm import tqdm

from fml_jax.errors import InputError
from fml_jax.files import complete_or_absent, output_folder
from fml_jax.video.clip_face import ClipFace
from fml_jax.video.clips import ClipWriter
from fml_jax.video.files import Shapes, shapes_of, write_animated_glb, write_numbers, write_weights
from fml_jax.video.overlay import Overlay
from fml_jax.video.reconstructing import ClipFaces

Write = Callable[[Path, ClipFace, Shapes], None]
OF_PERSON: dict[str, tuple[str, Write]] = {  # by format: the ending, and what writes the file
    "npz": (".npz", write_numbers),
    "csv": ("_arkit.csv", write_weights),
    "glb": (".glb", write_animated_glb),
}
OVERLAY = "overlay"
FORMATS = (*OF_PERSON, OVERLAY)


def checked_clip_formats(names: Iterable[str]) -> tuple[str, ...]:
    """Names of formats of clips.

    Raises:
      InputError: there is none, or one is unknown.
    """
    wanted = tuple(names)
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown or not wanted:
        raise InputError(f"format {(unknown or [''])[0]!r} is none of clips; choose from {', '.join(FORMATS)}")
    return wanted


def save_clip(
    faces: ClipFaces, folder: str | Path, formats: Iterable[str] = FORMATS, *, progress: bool = False
) -> list[Path]:
    """Writes STEM_0.npz, STEM_0_arkit.csv, STEM_0.glb and so on for each person, and STEM_overlay.mp4.

    Ctrl-C ends the overlay with the frames that are drawn.

    Args:
      formats: of FORMATS.

    Returns:
      the files' paths.

    Raises:
      InputError: an unknown format, or a file cannot be written; it is then absent.
    """
    wanted, target, paths = checked_clip_formats(formats), output_folder(folder), []
    for face in faces.people:
        shapes = shapes_of(face)
        for name, (ending, write) in OF_PERSON.items():
            if name in wanted:
                paths.append(target / f"{face.name}_{face.index}{ending}")
                with complete_or_absent(paths[-1]) as partial:
                    write(partial, face, shapes)
    if OVERLAY in wanted:
        paths.append(target / f"{faces.clip.path.stem}_{OVERLAY}.mp4")
        _write_overlay(paths[-1], faces, progress)
    return paths


def _write_overlay(path: Path, faces: ClipFaces, progress: bool) -> None:
    overlays = [Overlay(face) for face in faces.people]
    frames = tqdm(
        faces.clip.frames(faces.frame_count),
        total=faces.frame_count,
        unit="frame",
        desc="overlay",
        disable=not progress,
        dynamic_ncols=True,
    )
    with complete_or_absent(path) as partial, ClipWriter(partial, faces.clip.rate, faces.clip) as writer:
        with contextlib.suppress(KeyboardInterrupt):
            for frame in frames:
                picture = frame.rgb
                for overlay in overlays:
                    picture = overlay.draw(frame.number, picture)
                writer.write(frame._replace(rgb=picture))
