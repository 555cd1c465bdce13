"""What `fml-reconstruct` does with a clip."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


def reconstruct_clip_into(
    folder: Path, clip: Path, *, arguments: Mapping[str, Any], formats: Sequence[str] | None = None
) -> int:
    """Follows the faces of a clip, writes their files, and reports on the terminal.

    Args:
      folder: the folder for the results; it exists.
      arguments: of `Reconstructor`, by name; None stands for a default.
      formats: of `fml_jax.video.saving.FORMATS`; None is all.

    Returns:
      the exit status.

    Raises:
      InputError: the clip cannot be read or shows no face, or a format is unknown.
    """
    from fml_jax.reconstruction import Reconstructor
    from fml_jax.video.reconstructing import reconstruct_clip
    from fml_jax.video.saving import FORMATS, checked_clip_formats, save_clip

    wanted = checked_clip_formats(FORMATS if formats is None else formats)
    reconstructor = Reconstructor(**{name: value for name, value in arguments.items() if value is not None})
    begin = time.monotonic()
    faces = reconstruct_clip(reconstructor, clip, progress=True)
    rate = faces.frame_count / (time.monotonic() - begin)
    if faces.clip.damaged_after is not None:
        print(f"{clip}: damaged; the {faces.clip.damaged_after} frames before the damage are used", file=sys.stderr)
    paths = save_clip(faces, folder, wanted, progress=True)
    people = f"{len(faces.people)} {'person' if len(faces.people) == 1 else 'people'}"
    stopped = ", stopped before the end" if faces.interrupted else ""
    print(f"{people} in {faces.frame_count} frames{stopped}, {rate:.1f} frames a second:")
    for path in paths:
        print(f"  {path}")
    return INTERRUPTED if faces.interrupted else 0
