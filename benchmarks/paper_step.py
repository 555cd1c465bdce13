"""The step of paper.py's second stage with all that it works on, for benchmarks."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from fml_jax.codes import neutral_code
from fml_jax.configs import paper
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import load_face_model
from fml_jax.face_model.landmarks import CONTOUR, landmarks68
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.losses.regularisers import draw_skin_pairs
from fml_jax.networks.multilevel import make_network
from fml_jax.ops.products import Factored
from fml_jax.training.config import run_config
from fml_jax.training.low_rank_gradients import low_rank_rows, with_low_rank_gradients
from fml_jax.training.optimizers import make_optimizer
from fml_jax.training.sharding import compiled_step, make_mesh, over_batch, placed, replicated, state_shardings
from fml_jax.training.step import init_state, make_loss, make_train_step, state_of, step_key

SEED = 0


class PaperStep:
    """Called, it trains one step; the batch is always the same."""

    def __init__(self, detail="fine", count=500, rows=5, parameters=None, batch=None, averaged=False):
        """`parameters`, by their '/'-joined names, and `batch` are made up where they are not given.

        Args:
          averaged: keep the parameters' moving average, which paper.py does not.
        """
        settings = paper.get_config()
        settings.correctives.update(geometry=count, reflectance=count)
        settings.stages.full.update(photos=rows, ema_decay=0.999 if averaged else 0.0)
        config = run_config(settings)
        self.stage = config.stages["full"]
        self.count, self.rows = count, rows
        self.model = load_face_model(None, detail)
        self.mesh = make_mesh()
        self.network = make_network(config.encoder, config.correctives, self.model, mesh=self.mesh)
        self.optimizer = make_optimizer(self.stage.optimizer, self.stage.steps)
        self.batch = made_up_batch(self.model, rows) if batch is None else batch
        self._compiled = None
        self.state, self._shardings = self._begin(parameters)
        self.model = placed(self.model, replicated(self.mesh))
        self._on_device = [self.model, placed(self.batch, over_batch(self.mesh))]

    def _begin(self, parameters):
        def fresh():
            return _spread(init_state(self.network, self.optimizer, SEED).params)

        shapes = jax.eval_shape(fresh)
        if parameters is None:
            params = jax.jit(fresh)()
        else:
            arrays = jax.tree.unflatten(jax.tree.structure(shapes), [parameters[name] for name in flat(shapes)])
            params = placed(arrays, replicated(self.mesh))
        averaged = self.stage.ema_decay > 0
        shardings = state_shardings(
            self.mesh, jax.eval_shape(lambda params: state_of(params, self.optimizer, averaged), shapes)
        )
        begun = jax.jit(state_of, static_argnums=(1, 2), donate_argnums=0, out_shardings=shardings)
        return begun(params, self.optimizer, averaged), shardings

    def lowered(self):
        """The step, traced but not compiled."""
        step = make_train_step(self.network, self.optimizer, self.stage, seed=SEED)
        return compiled_step(step, self.mesh, self._shardings).lower(self.state, *self._on_device)

    def __call__(self):
        if self._compiled is None:
            self._compiled = self.lowered().compile()
        self.state, metrics = self._compiled(self.state, *self._on_device)
        jax.block_until_ready(self.state)
        return float(metrics["loss"])

    @property
    def spared(self) -> dict[str, int]:
        """Bytes of the gradients that the step keeps as factors: what each part would write, and the optimizer read."""
        shapes = jax.eval_shape(self._differentiated, self.state.params)
        spared = {"encoder": 0, "model": 0}
        for path, node in jax.tree_util.tree_leaves_with_path(shapes, is_leaf=_is_factored):
            if _is_factored(node):
                spared["model" if path[0].key == "correctives" else "encoder"] += 4 * node.matrix.size
        return spared | {"optimizer": sum(spared.values())}

    def _differentiated(self, params):
        """The parameters as the step differentiates by them."""
        rows = low_rank_rows(self.stage)
        return with_low_rank_gradients(params, rows) if rows else params

    def gradients(self):
        """(loss, its gradient) at the present parameters, as the step finds it, in arrays."""
        loss = jax.value_and_grad(make_loss(self.network, self.stage), has_aux=True)

        @jax.jit
        def in_arrays(params, *others):
            (value, _), gradient = loss(self._differentiated(params), *others)
            return value, jax.tree.map(_as_array, gradient, is_leaf=_is_factored)

        value, gradient = in_arrays(self.state.params, *self._on_device, step_key(SEED, self.state.step))
        return float(value), gradient


def _is_factored(node):
    return isinstance(node, Factored)


def _as_array(node):
    return node.gradient.array() if _is_factored(node) else node


def _spread(params):
    """Parameters as they are after some training: codes and δ that differ from zero and from face to face."""
    layers = {"final": params["final"], "code": params["encoder"]["code"]}
    for k, layer in enumerate(layers.values()):
        scale = 0.1 * layer["kernel"].shape[0] ** -0.5
        layer["kernel"] = scale * jax.random.normal(jax.random.key(k), layer["kernel"].shape)
    return params | {"final": layers["final"], "encoder": params["encoder"] | {"code": layers["code"]}}


def made_up_batch(model: BaseModel, rows: int) -> dict[str, np.ndarray]:
    """Smooth noise for crops, with the mean face's landmarks somewhat displaced."""
    rng = np.random.default_rng(SEED)
    coarse = rng.integers(0, 256, (rows, 12, 12, 3)).astype(np.uint8)
    code = neutral_code(model.code_sizes)
    rotation = rotation_matrix(code.rotation)
    points = project(landmarks68(model.landmarks, to_camera(model.mean, code.rotation, code.translation), rotation))
    return {
        "crop": np.stack([cv2.resize(crop, (240, 240), interpolation=cv2.INTER_CUBIC) for crop in coarse]),
        "mask": np.ones((rows, 240, 240), np.uint8),
        "landmarks": np.asarray(points + rng.normal(0, 3, (rows, 68, 2)), np.float32),
        "confidence": rng.uniform(0.5, 1, (rows, 68)).astype(np.float32),
        "is_face": np.ones(rows, np.float32),
    }


def plain_batch(step: PaperStep) -> dict[str, np.ndarray]:
    """The batch and the first step's skin pairs."""
    pairs = draw_skin_pairs(step_key(SEED, jnp.int32(0)), step.model.regions["skin"])
    return step.batch | {"partners": np.asarray(pairs.partners(), np.int64)}


def plain_model(model: BaseModel) -> dict[str, np.ndarray]:
    """The face model for a program that knows nothing of ours; indices as int64."""
    marks = model.landmarks
    inner = np.asarray(marks.ibug_from_mediapipe)[CONTOUR:]
    neighbours = np.asarray(model.topology.neighbours)
    start, place = np.nonzero(neighbours < model.vertex_count)
    names = ("mean", "identity", "expression", "reflectance_mean", "reflectance")
    arrays = {name: getattr(model, name) for name in names} | {name: model.regions[name] for name in ("face", "skin")}
    arrays["fixed_weights"] = np.asarray(marks.fixed_weights)[inner]
    indices = {
        "triangles": model.topology.triangles,
        "edges": np.stack([start, neighbours[start, place]], axis=1),
        "fixed_vertices": np.asarray(marks.fixed_vertices)[inner],
        "candidates": marks.candidates,
    }
    return arrays | {name: np.asarray(index, np.int64) for name, index in indices.items()}


def flat(tree) -> dict:
    """Leaves by their '/'-joined names."""
    return {"/".join(key.key for key in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
