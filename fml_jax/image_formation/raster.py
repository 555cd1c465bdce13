"""A z-buffer raster for pictures and synthetic faces; no loss uses it.

Triangles are expanded to their rows, rows to their pixels, and the nearest surface wins each pixel; all of it
vectorised over the triangles, whose numbers are the last axis of arrays. Barycentric
coordinates are affine in the picture (not perspective-correct): over triangles of a few millimetres, a metre away, the
difference is far below a pixel.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.sparse import csr_array

# Pixel centres this close to an edge (in barycentric units) count as inside, so that no pixel on
# an edge that two triangles share falls between them by rounding.
_EDGE_SLACK = 1e-9


class SeenTriangles(NamedTuple):
    """The nearest triangle at each pixel of a picture, and barycentric coordinates at any place."""

    number: np.ndarray  # [H, W], which of the K triangles below; -1 where there is none
    triangles: np.ndarray  # [K], which ones of the mesh these are
    # [3, 3, K]: coordinate k at the place (x, y) is weights[k, 0] + weights[k, 1] x + weights[k, 2] y.
    weights: np.ndarray

    def barycentric(
        self, number: Int[np.ndarray, "P"], x: Shaped[np.ndarray, "P"], y: Shaped[np.ndarray, "P"]
    ) -> Float[np.ndarray, "P 3"]:
        """Coordinates (float32) at places in pixels, each within the triangle of a number."""
        # One gather of rows, of two coordinates; the third is what they leave of 1.
        rows = np.take(np.ascontiguousarray(self.weights[:2].reshape(6, -1).T), number, axis=0)
        found = np.empty((len(number), 3), np.float32)
        found[:, 0] = rows[:, 0] + rows[:, 1] * x + rows[:, 2] * y
        found[:, 1] = rows[:, 3] + rows[:, 4] * x + rows[:, 5] * y
        found[:, 2] = 1 - found[:, 0] - found[:, 1]
        return found


def rasterize(
    pixels: Shaped[np.ndarray, "N 2"],
    depth: Shaped[np.ndarray, "N"],
    triangles: Int[np.ndarray, "T 3"],
    *,
    height: int,
    width: int,
) -> tuple[Int[np.ndarray, "H W"], Float[np.ndarray, "H W 3"]]:
    """Finds the nearest triangle under every pixel centre; arguments as of `seen_triangles`.

    Returns:
      The triangle seen at each pixel (int32, -1 where there is none) and the barycentric
      coordinates there (float32, zeros where there is none).
    """
    seen = seen_triangles(pixels, depth, triangles, height=height, width=width)
    triangle_index = np.full((height, width), -1, np.int32)
    barycentric = np.zeros((height, width, 3), np.float32)
    y, x = np.nonzero(seen.number >= 0)
    number = seen.number[y, x]
    triangle_index[y, x], barycentric[y, x] = seen.triangles[number], seen.barycentric(number, x, y)
    return triangle_index, barycentric


def seen_triangles(
    pixels: Shaped[np.ndarray, "N 2"],
    depth: Shaped[np.ndarray, "N"],
    triangles: Int[np.ndarray, "T 3"],
    *,
    height: int,
    width: int,
    front_only: bool = False,
) -> SeenTriangles:
    """Finds the nearest triangle under every pixel centre; of surfaces at exactly the same depth, the first.

    Args:
      pixels: projected vertices, (0, 0) being the centre of the top-left pixel.
      depth: distance along the viewing axis; triangles with a corner at or behind the camera
        (depth ≤ 0), or with one that is not finite, are left out.
      triangles: rows of `pixels`, in either winding.
      front_only: leave out the triangles whose back faces the camera. On a closed surface others hide them. Seen from
        its front, a triangle's corners are counterclockwise.
    """
    pixels, depth = np.asarray(pixels, np.float64), np.asarray(depth, np.float64)
    index, corners = _usable(pixels, depth, triangles)
    x, y = np.take(pixels[:, 0], corners), np.take(pixels[:, 1], corners)
    kept, top, bottom, doubled_area = _in_picture(x, y, height, width, front_only=front_only)
    index, corners, x, y = index[kept], corners[:, kept], np.take(x, kept, axis=1), np.take(y, kept, axis=1)
    weights = _edge_functions(x, y, doubled_area)
    row_of, row = _expand(top, bottom)
    span, column = _expand(*_spans(weights, row_of, row, width=width))
    # Like the weights, depth is an affine function of the pixel.
    constant, along_x, along_y = np.einsum("kct,kt->ct", weights, depth[corners])
    depth_at_left = np.take(constant, row_of) + np.take(along_y, row_of) * row
    candidate_depth = np.take(depth_at_left, span) + np.take(np.take(along_x, row_of), span) * column
    place = np.take(row * width, span) + column
    nearest = _nearest(place, candidate_depth, height * width)
    number = np.full(height * width, -1, np.int32)
    number[place[nearest]] = np.take(row_of, span[nearest])
    return SeenTriangles(number.reshape(height, width), index.astype(np.int32), weights)


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
    corners = np.take(triangles, triangle_index[hit], axis=0)
    return _shares(corners, barycentric[hit], len(attributes)) @ np.asarray(attributes, np.float32)


def shares_at_hits(seen: SeenTriangles, triangles: Int[np.ndarray, "T 3"], count: int) -> csr_array:
    """The share of each of N vertices in the P pixels that show a triangle, row by row, [P, N] (float32).

    The product with attributes of the vertices is what `at_hits` returns.

    Args:
      triangles: of the mesh that is seen.
      count: N.
    """
    pixel = np.flatnonzero(seen.number >= 0)
    number = np.take(seen.number, pixel)
    y, x = np.divmod(pixel, seen.number.shape[1])
    corners = np.take(triangles, np.take(seen.triangles, number), axis=0)
    return _shares(corners, seen.barycentric(number, x, y), count)


def _shares(corners, barycentric, count):
    """[P, N] from the corners [P, 3] of a triangle and the coordinates [P, 3] in it. Its products are quick."""
    starts = np.arange(0, corners.size + 1, 3)
    return csr_array((barycentric.ravel(), corners.ravel(), starts), shape=(len(corners), count))


def _usable(pixels, depth, triangles):
    """The triangles whose corners can be drawn, and their corners, [3, U]."""
    usable = np.isfinite(pixels).all(axis=1) & np.isfinite(depth) & (depth > 0)
    a, b, c = triangles.T
    index = np.arange(len(triangles)) if usable.all() else np.flatnonzero(usable[a] & usable[b] & usable[c])
    return index, np.ascontiguousarray(np.take(triangles, index, axis=0).T, np.intp)


def _in_picture(x, y, height, width, *, front_only):
    """The triangles with an area that may hold a pixel's centre.

    Args:
      x, y: of the corners, [3, U].
      front_only: leave out the triangles that show their backs, too.

    Returns:
      Which these K triangles are, their first and last rows, and twice their areas.
    """
    # It is negative for corners that are counterclockwise where y points down.
    doubled_area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    kept = np.flatnonzero(doubled_area < 0 if front_only else doubled_area != 0)
    (left, right), (top, bottom) = (
        _range(np.take(part, kept, axis=1), size) for part, size in ((x, width), (y, height))
    )
    some = (left <= right) & (top <= bottom)
    kept = kept[some]
    return kept, top[some], bottom[some], doubled_area[kept]


def _range(values, size):
    """The first and the last whole number from 0 to size − 1 within the values of each triangle's corners, [3, K]."""
    a, b, c = values
    first = np.ceil(np.minimum(np.minimum(a, b), c))
    last = np.floor(np.maximum(np.maximum(a, b), c))
    return np.clip(first, 0, size).astype(np.intp), np.clip(last, -1, size - 1).astype(np.intp)


def _edge_functions(x, y, doubled_area):
    """Barycentric coordinates as affine functions of the pixel, [3, 3, K]; see `SeenTriangles.weights`."""
    weights = np.empty((3, 3, len(doubled_area)))
    for k, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):  # the edge opposite to corner k runs from corner i to j
        weights[k] = x[i] * y[j] - x[j] * y[i], y[i] - y[j], x[j] - x[i]
    weights /= doubled_area
    return weights


def _spans(weights, row_of, row, *, width):
    """The pixels first … last that a triangle covers in a row.

    Weights sum to 1, so their slopes along x sum to 0: that of the greatest slope bounds a row from the left, that of
    the least one from the right, and the third from the side that its sign tells. A weight without a slope is not
    negative in the rows between the triangle's corners.

    Args:
      weights: [3, 3, K], of triangles.
      row_of, row: of rows: the triangle, and the row's place.
    """
    constant, slope, along_y = weights.swapaxes(0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        at_zero, by_row = -(_EDGE_SLACK + constant) / slope, -along_y / slope  # where a weight is 0
    each, left, right = np.arange(slope.shape[1]), slope.argmax(axis=0), slope.argmin(axis=0)
    third = 3 - left - right
    of_third = slope[third, each]
    second_left, second_right = np.where(of_third > 0, third, left), np.where(of_third < 0, third, right)

    def crossing(edge):
        return np.take(at_zero[edge, each], row_of) + np.take(by_row[edge, each], row_of) * row

    from_left = np.maximum(crossing(left), crossing(second_left))
    to_right = np.minimum(crossing(right), crossing(second_right))
    first = np.clip(np.ceil(from_left), 0, width).astype(np.intp)
    return first, np.clip(np.floor(to_right), -1, width - 1).astype(np.intp)


def _expand(first, last):
    """Every integer of each range first … last (none where last < first), with its range's position."""
    counts = np.maximum(last - first + 1, 0)
    owner = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return owner, np.arange(len(owner)) + np.take(first - before, owner)


def _nearest(place, depth, size):
    """The candidates that are nearest at their places, of `size`; of equals at a place, the first comes last."""
    nearest = np.full(size, np.inf)
    np.minimum.at(nearest, place, depth)
    return np.flatnonzero(depth == np.take(nearest, place))[::-1]
