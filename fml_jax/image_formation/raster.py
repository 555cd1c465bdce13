"""A z-buffer raster for pictures and synthetic faces; no loss uses it.

Triangles are expanded to their rows, rows to their pixels, and the nearest surface wins each pixel; all of it
vectorised over the triangles, whose numbers are the last axis of arrays. Barycentric
coordinates are affine in the picture (not perspective-correct): over triangles of a few millimetres, a metre away, the
difference is far below a pixel.
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
    front_only: bool = False,
) -> tuple[Int[np.ndarray, "H W"], Float[np.ndarray, "H W 3"]]:
    """Finds the nearest triangle under every pixel centre.

    Args:
      pixels: projected vertices, (0, 0) being the centre of the top-left pixel.
      depth: distance along the viewing axis; triangles with a corner at or behind the camera
        (depth ≤ 0), or with one that is not finite, are left out.
      triangles: rows of `pixels`, in either winding.
      front_only: leave out the triangles whose back faces the camera. On a closed surface others hide them. Seen from
        its front, a triangle's corners are counterclockwise.

    Returns:
      The triangle seen at each pixel (int32, -1 where there is none) and the barycentric
      coordinates there (float32, zeros where there is none). Of surfaces at exactly the same
      depth, the triangle that comes first wins.
    """
    places, triangles_seen, weights = seen_pixels(
        pixels, depth, triangles, height=height, width=width, front_only=front_only
    )
    triangle_index = np.full(height * width, -1, np.int32)
    barycentric = np.zeros((height * width, 3), np.float32)
    triangle_index[places], barycentric[places] = triangles_seen, weights
    return triangle_index.reshape(height, width), barycentric.reshape(height, width, 3)


def seen_pixels(
    pixels: Shaped[np.ndarray, "N 2"],
    depth: Shaped[np.ndarray, "N"],
    triangles: Int[np.ndarray, "T 3"],
    *,
    height: int,
    width: int,
    front_only: bool = False,
) -> tuple[Int[np.ndarray, "P"], Int[np.ndarray, "P"], Float[np.ndarray, "P 3"]]:
    """`rasterize` for the P pixels alone that show a triangle, row by row; arguments as there.

    Returns:
      The pixels' positions in the flattened picture, ascending; their triangles; their barycentric coordinates.
    """
    pixels, depth = np.asarray(pixels, np.float64), np.asarray(depth, np.float64)
    index, top, bottom = _in_picture(pixels, depth, triangles, height, width)
    corners = triangles[index].T
    weights, kept = _edge_functions(pixels[corners, 0], pixels[corners, 1], front_only=front_only)
    index, corners, top, bottom = index[kept], corners[:, kept], top[kept], bottom[kept]
    row_of, y = _expand(top, bottom)
    # Like the weights, depth is an affine function of the pixel.
    constant, along_x, along_y = np.einsum("kct,kt->ct", weights, depth[corners])
    depth_at_left, slope, before = (constant[row_of] + along_y[row_of] * y, along_x[row_of], y * width)
    span, x = _expand(*_spans(weights, row_of, y, width=width))
    flat, candidate_depth = before[span] + x, depth_at_left[span] + slope[span] * x
    seen = _nearest(flat, candidate_depth, height * width)
    rows, places = span[seen], flat[seen]
    seen_triangles = row_of[rows]
    # With a triangle's nine numbers side by side they are gathered in half the time.
    of_pixels = np.take(np.ascontiguousarray(weights.reshape(9, -1).T), seen_triangles, axis=0).reshape(-1, 3, 3)
    across, down = x[seen].astype(np.float64)[:, None], y[rows].astype(np.float64)[:, None]
    barycentric = of_pixels[:, :, 0] + of_pixels[:, :, 1] * across + of_pixels[:, :, 2] * down
    return places, index[seen_triangles].astype(np.int32), barycentric.astype(np.float32)


def interpolate(
    attributes: Shaped[np.ndarray, "N C"],
    triangles: Int[np.ndarray, "T 3"],
    raster: tuple[Int[np.ndarray, "H W"], Float[np.ndarray, "H W 3"]],
) -> Float[np.ndarray, "H W C"]:
    """Vertex attributes at every pixel of a raster (float32); zeros where nothing was hit.

    Args:
      raster: what `rasterize` returns, the triangle and the barycentric coordinates at each pixel.
    """
    image = np.zeros((*raster[0].shape, attributes.shape[1]), np.float32)
    image[raster[0] >= 0] = at_hits(attributes, triangles, raster)
    return image


def at_hits(
    attributes: Shaped[np.ndarray, "N C"],
    triangles: Int[np.ndarray, "T 3"],
    raster: tuple[Int[np.ndarray, "H W"], Float[np.ndarray, "H W 3"]],
) -> Float[np.ndarray, "P C"]:
    """Vertex attributes (float32) at the P pixels of a raster that show a triangle, row by row."""
    triangle_index, barycentric = raster
    hit = triangle_index >= 0
    attributes, corners = np.asarray(attributes, np.float32), triangles.T[:, triangle_index[hit]]
    found = np.zeros((corners.shape[1], attributes.shape[1]), np.float32)
    for corner, weight in zip(corners, barycentric[hit].T, strict=True):
        found += weight[:, None] * np.take(attributes, corner, axis=0)
    return found


def _in_picture(pixels, depth, triangles, height, width):
    """The triangles that can be drawn and may hold a pixel's centre, with their first and last rows."""
    usable = np.isfinite(pixels).all(axis=1) & np.isfinite(depth) & (depth > 0)
    a, b, c = triangles.T
    index = np.flatnonzero(usable[a] & usable[b] & usable[c])
    (left, right), (top, bottom) = (
        _range(pixels[:, axis], triangles[index], size) for axis, size in ((0, width), (1, height))
    )
    some = (left <= right) & (top <= bottom)
    return index[some], top[some], bottom[some]


def _range(values, triangles, size):
    """The first and the last whole number from 0 to size − 1 within the values of each triangle's corners."""
    a, b, c = values[triangles.T]
    first = np.ceil(np.minimum(np.minimum(a, b), c))
    last = np.floor(np.maximum(np.maximum(a, b), c))
    return np.clip(first, 0, size).astype(np.int64), np.clip(last, -1, size - 1).astype(np.int64)


def _edge_functions(x, y, *, front_only):
    """Barycentric coordinates as affine functions of the pixel, of the triangles that have an area.

    Args:
      x, y: of the corners, [3, D].
      front_only: leave out the triangles that show their backs, too.

    Returns:
      [3, 3, K]: weight k is w[k, 0] + w[k, 1] x + w[k, 2] y; and which of the D triangles these K are.
    """
    # The edge opposite to corner k runs from corner k + 1 to corner k + 2.
    x1, y1, x2, y2 = (np.roll(part, -shift, 0) for shift in (1, 2) for part in (x, y))
    constant = x1 * y2 - x2 * y1
    doubled_area = constant.sum(axis=0)  # negative for corners that are counterclockwise where y points down
    kept = np.flatnonzero(doubled_area < 0 if front_only else doubled_area != 0)
    constant, x1, y1, x2, y2 = (np.take(part, kept, axis=1) for part in (constant, x1, y1, x2, y2))
    return np.stack([constant, y1 - y2, x2 - x1], axis=1) / doubled_area[kept], kept


def _spans(weights, row_of, y, *, width):
    """The pixels first … last that a triangle covers in a row.

    Weights sum to 1, so their slopes along x sum to 0: that of the greatest slope bounds a row from the left, that of
    the least one from the right, and the third from the side that its sign tells. A weight without a slope is not
    negative in the rows between the triangle's corners.

    Args:
      weights: [3, 3, D], of triangles.
      row_of, y: of rows: the triangle, and the row's place.
    """
    constant, slope, along_y = weights.swapaxes(0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        at_zero, by_row = -(_EDGE_SLACK + constant) / slope, -along_y / slope  # where a weight is 0
    order, each = np.argsort(slope, axis=0), np.arange(slope.shape[1])

    def crossing(k, used, otherwise):
        edge = order[k]
        start = np.where(used, at_zero[edge, each], otherwise)
        return start[row_of] + np.where(used, by_row[edge, each], 0.0)[row_of] * y

    middle = slope[order[1], each]
    from_left = np.maximum(crossing(2, slope[order[2], each] > 0, 0.0), crossing(1, middle > 0, 0.0))
    to_right = np.minimum(crossing(0, slope[order[0], each] < 0, width - 1.0), crossing(1, middle < 0, width - 1.0))
    first = np.clip(np.ceil(from_left), 0, width).astype(np.int64)
    return first, np.clip(np.floor(to_right), -1, width - 1).astype(np.int64)


def _expand(first, last):
    """Every integer of each range first … last (none where last < first), with its range's position."""
    counts = np.maximum(last - first + 1, 0)
    owner = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return owner, np.arange(len(owner)) + (first - before)[owner]


def _nearest(flat, depth, size):
    """The position of each covered pixel's nearest candidate, pixel by pixel; of equals, the first."""
    nearest = np.full(size, np.inf)
    np.minimum.at(nearest, flat, depth)
    candidates = np.flatnonzero(depth == nearest[flat])[::-1]  # of equals, the first is assigned last and stays
    winner = np.full(size, -1, np.int64)
    winner[flat[candidates]] = candidates
    return winner[winner >= 0]
