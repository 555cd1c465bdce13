"""Folders that programs write into."""

import os
from pathlib import Path

from fml_jax.errors import InputError


def output_folder(path: str | os.PathLike) -> Path:
    """A folder to write into, made if missing.

    Raises:
      InputError: it cannot be made or written.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error.strerror) from None
    if not os.access(folder, os.W_OK):
        raise _unusable(folder, "Permission denied")
    return folder


def _unusable(folder: Path, reason: str) -> InputError:
    return InputError(f"{folder}: not a folder that can be written ({reason}); choose another")
