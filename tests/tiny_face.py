"""A face model that costs no time, and codes of any model: for tests, and for the programs that they start.

Those programs import no conftest, whose checks of annotations take them longer than all else that they import.
"""

import jax.numpy as jnp
import numpy as np

from fml_jax.codes import NEUTRAL_DEPTH, FaceCode
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.landmarks import Landmarks
from fml_jax.face_model.topology import make_topology


def make_tiny_model():
    """A bulging patch of 9×9 vertices with two or three modes of each kind, all random but smooth."""
    rng = np.random.default_rng(0)
    side = 9
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    mean = np.stack([70 * x, -90 * y, 60 * np.cos(x) * np.cos(y)], axis=-1).reshape(-1, 3)
    k = np.arange(side * side).reshape(side, side)
    a, b, c, d = (part.ravel() for part in (k[:-1, :-1], k[1:, :-1], k[1:, 1:], k[:-1, 1:]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    count = side * side

    def modes(number, scale):
        waves = rng.normal(size=(number, 3, 2))
        phase = np.einsum("kcw,wn->knc", waves, np.stack([x.ravel(), y.ravel()]))
        return jnp.asarray(scale * np.sin(phase + rng.normal(size=(number, 1, 3))), jnp.float32)

    def on_mesh(*shape):
        vertices = triangles[rng.integers(len(triangles), size=shape)]
        return jnp.asarray(vertices, jnp.int32), jnp.asarray(rng.dirichlet(np.ones(3), size=shape), jnp.float32)

    fixed_vertices, fixed_weights = on_mesh(478)
    contour_vertices, contour_weights = on_mesh(3, 17)
    return BaseModel(
        mean=jnp.asarray(mean, jnp.float32),
        identity=modes(3, 4.0),
        expression=modes(2, 3.0),
        reflectance_mean=jnp.full((count, 3), 0.5),
        reflectance=modes(3, 0.08),
        topology=make_topology(triangles, count),
        uv=jnp.asarray(np.stack([x.ravel(), -y.ravel()], 1) / 2 + 0.5, jnp.float32),
        uv_triangles=jnp.asarray(triangles, jnp.int32),
        landmarks=Landmarks(
            fixed_vertices=fixed_vertices,
            fixed_weights=fixed_weights,
            ibug_from_mediapipe=jnp.asarray(rng.permutation(478)[:68], jnp.int32),
            contour_yaws=jnp.asarray([-60.0, 0.0, 60.0]),
            contour_vertices=contour_vertices,
            contour_weights=contour_weights,
            candidates=jnp.arange(0, count, 2, dtype=jnp.int32),
        ),
        regions={"face": jnp.ones(count, bool), "skin": jnp.ones(count, bool)},
        name="tiny",
    )


def random_code(model, rng):
    """A plausible code of any model, float32."""
    sizes = model.code_sizes
    parts = [rng.normal(size=size) for size in sizes]
    return FaceCode(
        *(jnp.asarray(part, jnp.float32) for part in parts),
        rotation=jnp.asarray(np.array([np.pi, 0, 0]) + rng.normal(0, 0.3, 3), jnp.float32),
        translation=jnp.asarray(np.array([0, 0, NEUTRAL_DEPTH]) + rng.normal(0, 10, 3), jnp.float32),
        illumination=jnp.asarray(np.eye(9)[0][:, None] + rng.normal(0, 0.2, (9, 3)), jnp.float32),
    )
