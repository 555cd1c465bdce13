"""A picture that shows a face before and after a change."""

from pathlib import Path
from typing import Any

import numpy as np

from fml_jax.export.png import write_png
from fml_jax.files import complete_or_absent

_SIZE = 480


def save_comparison(path: Path, before: Any, after: Any) -> Path:
    """Writes the crop, a `Reconstruction` on it and a changed one on it, side by side.

    Returns:
      the path.

    Raises:
      InputError: the file cannot be written.
    """
    pictures = [before.render("photo", _SIZE), before.render("overlay", _SIZE), after.render("changed", _SIZE)]
    with complete_or_absent(path) as partial:
        write_png(partial, np.concatenate(pictures, axis=1))
    return path
