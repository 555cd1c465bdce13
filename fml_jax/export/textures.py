"""Colours of vertices as a texture: baked in the layout of the face model's texture coordinates."""

from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float

from fml_jax.face_model.base import BaseModel
from fml_jax.image_formation.raster import rasterize

SIZE = 1024  # texels of a side; the mesh's finest triangles, at eyes and lips, have three
_MARGIN = 16  # texels around each island that repeat its border, so that filters and mip maps find no ground there


class Atlas(NamedTuple):
    """How a texture of S × S texels follows from the mesh's vertices; row 0 is its upper edge (v = 1)."""

    # [S², N + 1], barycentric; beyond the islands and their margins 1 of the last column, which stands for the mean.
    weights: scipy.sparse.csr_matrix
    covered: Bool[np.ndarray, "S S"]  # whether a texel lies on the surface itself

    @property
    def size(self) -> int:
        """S."""
        return len(self.covered)

    def baked(self, values: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "S S C"]:
        """Values of vertices at each texel; their mean where there is no surface near."""
        values = np.asarray(values, np.float32)
        texels = self.weights @ np.concatenate([values, values.mean(axis=0, keepdims=True)])
        return texels.reshape(self.size, self.size, -1)


_atlases: dict[tuple[str, int, int], Atlas] = {}


def atlas_of(model: BaseModel, size: int = SIZE) -> Atlas:
    """The atlas of a face model, made once for each model and size."""
    key = (model.name, model.vertex_count, size)
    if key not in _atlases:
        _atlases[key] = _make_atlas(model, size)
    return _atlases[key]


def _make_atlas(model: BaseModel, size: int) -> Atlas:
    from scipy.ndimage import distance_transform_edt

    uv = np.asarray(model.uv, np.float64)
    texels = np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1) * size - 0.5
    rows, corners = np.asarray(model.uv_triangles), np.asarray(model.topology.triangles)
    forward = np.zeros(len(uv))  # z of each row's vertex: where charts overlap, such as lips and what lies behind them,
    forward[rows.ravel()] = np.asarray(model.mean)[corners.ravel(), 2]  # the front is seen
    triangle, barycentric = rasterize(texels, 1 + forward.max() - forward, rows, height=size, width=size)
    covered = triangle >= 0
    distance, (row, column) = distance_transform_edt(~covered, return_indices=True)
    source = (row * size + column).ravel()  # of a covered texel this is the texel itself
    vertex, shares = corners[triangle.ravel()[source]], barycentric.reshape(-1, 3)[source]
    far = distance.ravel() > _MARGIN
    vertex[far, 0], shares[far, 0] = model.vertex_count, 1
    used = np.ones((size * size, 3), bool)
    used[far, 1:] = False
    starts = np.append(0, np.cumsum(np.where(far, 1, 3)))
    shape = (size * size, model.vertex_count + 1)
    return Atlas(scipy.sparse.csr_matrix((shares[used], vertex[used], starts), shape=shape), covered)
