"""A z-buffer raster for pictures and synthetic faces; no loss uses it.

Triangles are expanded to their rows, rows to their pixels, and the nearest surface wins each
pixel; all of it vectorised over the triangles. Both windings are drawn. Barycentric coordinates
are affine in the picture (not perspective-correct): over triangles of a few millimetres, a metre
away, the difference is far below a pixel.
"""

import numpy as np
from jaxtyping import Float, Int, Shaped

# Pixel centres this close to an edge (in barycentric units) count as inside, so that no pixel on
# an edge that two triangles share falls between them by rounding.
_EDGE_SLACK = 1e-9


def rasterize(
    pixels: Shaped[np.ndarray, "N 2"],
    depth: Shaped[np.ndarray, "N"],
    triangles: Int[np.ndarray, "T 3"],
    *,
    height: int,
    width: int,
) -> tuple[Int[np.ndarray, "H W"], Float[np.ndarray, "H W 3"]]:
    """Finds the nearest triangle under every pixel centre.

    Args:
      pixels: projected vertices, (0, 0) being the centre of the top-left pixel.
      depth: distance along the viewing axis; triangles with a corner at or behind the camera
        (depth ≤ 0), or with one that is not finite, are left out.
      triangles: rows of `pixels`, in either winding.

    Returns:
      The triangle seen at each pixel (int32, -1 where there is none) and the barycentric
      coordinates there (float32, zeros where there is none). Of surfaces at exactly the same
      depth, the triangle that comes first wins.
    """
    corners = np.asarray(pixels, np.float64)[triangles]
    corner_depth = np.asarray(depth, np.float64)[triangles]
    index, edges = _edge_functions(corners, corner_depth)
    row_of, y = _rows(corners[index], height)
    first, last, at_zero, slope = _spans(edges, row_of, y, width)
    span, x = _expand(first, last)
    weights = at_zero[span] + slope[span] * x[:, None]
    candidates = index[row_of[span]]
    flat = y[span] * width + x
    candidate_depth = np.einsum("pk,pk->p", weights, corner_depth[candidates])
    return _nearest(candidates, flat, candidate_depth, weights, height, width)


def interpolate(
    attributes: Shaped[np.ndarray, "N C"],
    triangles: Int[np.ndarray, "T 3"],
    raster: tuple[Int[np.ndarray, "H W"], Float[np.ndarray, "H W 3"]],
) -> Float[np.ndarray, "H W C"]:
    """Vertex attributes at every pixel of a raster (float32); zeros where nothing was hit.

    Args:
      raster: what `rasterize` returns, the triangle and the barycentric coordinates at each pixel.
    """
    triangle_index, barycentric = raster
    attributes = np.asarray(attributes, np.float32)
    image = np.zeros((*triangle_index.shape, attributes.shape[1]), np.float32)
    hit = triangle_index >= 0
    corners = attributes[triangles[triangle_index[hit]]]
    image[hit] = np.einsum("pk,pkc->pc", barycentric[hit], corners)
    return image


def _edge_functions(corners, corner_depth):
    """Barycentric coordinates as affine functions of the pixel, for the triangles that can be drawn.

    Returns their indices [D] and coefficients [D, 3, 3]: weight k is e[k, 0] + e[k, 1] x + e[k, 2] y.
    """
    usable = np.isfinite(corners).all((1, 2)) & np.isfinite(corner_depth).all(1) & (corner_depth > 0).all(1)
    index = np.flatnonzero(usable)
    x, y = corners[index, :, 0], corners[index, :, 1]
    # The edge opposite to corner k runs from corner k + 1 to corner k + 2.
    x1, y1, x2, y2 = (np.roll(part, -shift, 1) for shift in (1, 2) for part in (x, y))
    constant, along_x, along_y = x1 * y2 - x2 * y1, y1 - y2, x2 - x1
    doubled_area = constant.sum(1)
    solid = doubled_area != 0
    edges = np.stack([constant, along_x, along_y], 2)[solid] / doubled_area[solid, None, None]
    return index[solid], edges


def _rows(corners, height):
    """All pairs (triangle, picture row that it may cross): positions in `corners` and rows y."""
    top = np.clip(np.ceil(corners[:, :, 1].min(1)), 0, height).astype(np.int64)
    bottom = np.clip(np.floor(corners[:, :, 1].max(1)), -1, height - 1).astype(np.int64)
    return _expand(top, bottom)


def _spans(edges, row_of, y, width):
    """The pixels first … last that a triangle covers in a row, and its weights there: at_zero + slope x."""
    slope = edges[:, :, 1][row_of]
    at_zero = edges[:, :, 0][row_of] + edges[:, :, 2][row_of] * y[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = (-_EDGE_SLACK - at_zero) / slope
    from_left = np.where(slope > 0, crossing, -np.inf).max(1)
    to_right = np.where(slope < 0, crossing, np.inf).min(1)
    missed = ((slope == 0) & (at_zero < -_EDGE_SLACK)).any(1)
    first = np.clip(np.ceil(from_left), 0, width).astype(np.int64)
    last = np.clip(np.floor(to_right), -1, width - 1).astype(np.int64)
    return first, np.where(missed, first - 1, last), at_zero, slope


def _expand(first, last):
    """Every integer of each range first … last (none where last < first), with its range's position."""
    counts = np.maximum(last - first + 1, 0)
    owner = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return owner, np.arange(len(owner)) + (first - before)[owner]


def _nearest(candidates, flat, depth, weights, height, width):
    nearest = np.full(height * width, np.inf)
    np.minimum.at(nearest, flat, depth)
    # Assigned backwards, so that the first of equals stays.
    seen = np.flatnonzero(depth == nearest[flat])[::-1]
    triangle_index = np.full(height * width, -1, np.int32)
    barycentric = np.zeros((height * width, 3), np.float32)
    triangle_index[flat[seen]] = candidates[seen]
    barycentric[flat[seen]] = weights[seen]
    return triangle_index.reshape(height, width), barycentric.reshape(height, width, 3)
