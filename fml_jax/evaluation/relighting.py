"""The light under which a surface fits a picture best: for rows of tables without a network."""

import numpy as np

from fml_jax.image_formation.illumination import sh_basis


def relit(reflectance: np.ndarray, normals: np.ndarray, seen: np.ndarray, *, members: np.ndarray) -> np.ndarray:
    """Colours [N, 3] of a reflectance [N, 3] on camera-space normals [N, 3] under the light that fits best.

    Args:
      seen: the picture's colours at the vertices, [N, 3], the targets of the least squares.
      members: vertices that count, [N] bool.
    """
    basis = np.asarray(sh_basis(normals), np.float64).T
    colours = np.empty_like(seen)
    for channel in range(3):
        columns = reflectance[:, channel, None] * basis
        chosen = columns[members]
        # The normal equations of nine unknowns take a twentieth of the time of a singular value decomposition.
        gamma, *_ = np.linalg.lstsq(chosen.T @ chosen, chosen.T @ seen[members, channel], rcond=None)
        colours[:, channel] = columns @ gamma
    return colours
