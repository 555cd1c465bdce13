"""Where a face's colours differ from its photo, as pictures: the heat maps of the paper's supplement (figure 9)."""

import numpy as np
from jaxtyping import UInt8

from fml_jax.evaluation.figures import caption, heat_colours
from fml_jax.image_formation.drawing import Paint, draw
from fml_jax.reconstruction.reconstruction import Reconstruction
from fml_jax.reconstruction.refinement import observed_points

MOST = 0.3  # RGB distance at the end of the scale
SIZE = 160  # pixels of a picture


def error_strip(face: Reconstruction) -> UInt8[np.ndarray, "H W 3"]:
    """A face's photo, then for each level the face on the photo and the colour error of each visible vertex."""
    cells = [_titled(face.render("photo", SIZE), "photo")]
    levels = {"base": face.level("base")} | ({"final": face} if face.final_code is not None else {})
    for name, level in levels.items():
        picture, error = error_picture(level)
        cells += [_titled(level.render("overlay", SIZE), f"{name} level"), _titled(picture, f"error {error:.3f}")]
    return np.concatenate(cells, axis=1)


def error_picture(face: Reconstruction) -> tuple[UInt8[np.ndarray, "S S 3"], float]:
    """RGB distances from the photo over the visible face without its eyes, as a picture and their mean."""
    points, seen = observed_points(face)
    regions = face.model.regions
    members = np.asarray(points.visible & regions["face"] & ~regions["eyes"])
    gaps = np.linalg.norm(np.asarray(points.colours) - seen, axis=1).astype(np.float64)
    paint = Paint(heat_colours(gaps, MOST), opacity=members.astype(np.float32)[:, None])
    triangles = np.asarray(face.triangles)
    depth = np.asarray(points.positions)[:, 2]
    drawn = draw(np.asarray(points.pixels), depth, triangles, paints={"error": paint}, size=SIZE)
    return drawn["error"], float(gaps[members].mean())


def _titled(picture, text):
    return np.concatenate([picture, caption(text, picture.shape[1])])
