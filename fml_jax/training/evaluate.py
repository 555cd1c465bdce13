"""How good a network is on faces it was not trained on, measured while it trains."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxtyping import Bool, Float

from fml_jax.codes import FaceCode, code_from_network, leading_reflectance
from fml_jax.evaluation.metrics import displacement_error, landmark_error, rotation_error
from fml_jax.face_model.base import BaseModel, geometry, reflectance
from fml_jax.face_model.landmarks import landmarks68
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.multilevel import Network, level_points
from fml_jax.training.sharding import replicated
from fml_jax.training.step import make_loss

HEADLINES = ("_error", "_degrees", "_ratio", "/photo", "/photo_base", "/photo_final")  # how names end of what matters most
_CHUNK = 20  # rows at a time


class Evaluator:
    """Errors of a network on fixed validation batches, each of which may be missing."""

    def __init__(
        self, network: Network, model: BaseModel, truth: BaseModel, config: dict, photos: dict | None, synthetic: dict | None
    ):
        """
        Args:
          network: on a mesh.
          model: the base level.
          truth: what the synthetic faces were made with; `model`, or one with further reflectance modes.
          config: its stages and seed.
          photos, synthetic: held-out batches.
        """
        self._model, self._truth = model, truth
        self._batches = {name: batch for name, batch in (("photos", photos), ("synthetic", synthetic)) if batch is not None}
        self._stages = config["stages"]

        def reflectances(params, model, crops, level):
            levels = level_points(network, params, model, _unit(crops), level)
            return {name: points.reflectance for name, points in levels.items()}

        everywhere = dict(out_shardings=replicated(network.mesh))
        self._network = jax.jit(lambda params, crops: network.look(params, _unit(crops)).raw, **everywhere)
        self._project = jax.jit(jax.vmap(lambda code: projected68(model, code)))
        self._terms = {
            name: jax.jit(_terms(network, stage, config["seed"]), **everywhere) for name, stage in self._stages.items()
        }
        self._reflectances = jax.jit(reflectances, static_argnames="level", **everywhere)

    def __call__(self, params: dict, stage: str) -> dict[str, float]:
        """Means over the batches, under the names that the metrics file has; terms are those of the named stage."""
        values = {}
        for kind, batch in self._batches.items():
            codes = code_from_network(self._network(params, batch["crop"]), *self._model.code_sizes)
            values[f"{kind}/landmark_error"] = _mean_landmark_error(self._project(codes), batch["landmarks"])
            chunks = list(_chunks(batch))
            terms = [self._terms[stage](params, self._model, chunk) for chunk in chunks]
            values |= {f"{kind}/{name}": _mean_of([term[name] for term in terms], chunks) for name in terms[0]}
            if kind == "synthetic":
                values |= synthetic_errors(self._model, codes, leading_reflectance(batch["code"], *self._model.code_sizes))
                values |= self._reflectance_errors(params, self._stages[stage]["level"], chunks)
        return values

    def _reflectance_errors(self, params, level, chunks) -> dict[str, float]:
        """RGB distance from the true reflectance: of each level, of the mean reflectance, and of the truth's own modes
        that the base level has."""
        face, found = np.asarray(self._truth.regions["face"]), []
        for chunk in chunks:
            true = np.asarray(_true_reflectances(self._truth, chunk["code"]))
            own_modes = self._truth.replace(reflectance=self._model.reflectance)
            guesses = self._reflectances(params, self._model, chunk["crop"], level=level)
            guesses["mean"] = self._truth.reflectance_mean[None]
            guesses["own_modes"] = _true_reflectances(own_modes, chunk["code"])
            found.append({name: reflectance_error(np.asarray(guess), true, face) for name, guess in guesses.items()})
        return {f"synthetic/reflectance_error_{name}": _mean_of([each[name] for each in found], chunks) for name in found[0]}


def reflectance_error(
    found: Float[np.ndarray, "B N 3"], true: Float[np.ndarray, "B N 3"], members: Bool[np.ndarray, "N"]
) -> float:
    """Mean RGB distance over vertices where `members` is true, less what is the same over all of a face.

    Light and reflectance can trade such a shift; the paper takes it out too (supplement, section 4).
    """
    gaps = (found - true)[:, members]
    return float(np.linalg.norm(gaps - gaps.mean(axis=1, keepdims=True), axis=-1).mean())


def _terms(network, stage, seed):
    """`terms(params, model, batch)`: the means of a stage's energy's terms over a batch taken for photos."""
    loss = make_loss(network, {**stage, "synthetic": 0, "photos": True})

    def terms(params, model, batch):
        _, means = loss(params, model, batch, jax.random.key(seed))
        return {name.removeprefix("photos/"): mean for name, mean in means.items() if name.startswith("photos/")}

    return terms


def _unit(crops):
    return crops.astype(jnp.float32) / 255


def _chunks(batch):
    """Rows of a batch, so many at a time that the points of all of them fit into memory."""
    rows = len(batch["crop"])
    for begin in range(0, rows, _CHUNK):
        yield {name: column[begin : begin + _CHUNK] for name, column in batch.items()}


def _mean_of(values, chunks) -> float:
    return float(np.average(np.asarray(values), weights=[chunk["is_face"].sum() for chunk in chunks]))


@jax.jit
def _true_reflectances(model, codes):
    return jax.vmap(lambda code: reflectance(model, leading_reflectance(code, *model.code_sizes).reflectance))(codes)


def projected68(model: BaseModel, code: FaceCode):
    """The 68 landmarks of a code in pixels of its crop, [68, 2]."""
    vertices = geometry(model, code.identity, code.expression)
    points = landmarks68(model.landmarks, vertices, rotation_matrix(code.rotation))
    return project(to_camera(points, code.rotation, code.translation))


def synthetic_errors(model: BaseModel, codes: FaceCode, true: FaceCode) -> dict[str, float]:
    """Pose in degrees; identity, expression and reflectance as ratios to what the mean face scores."""
    face = np.asarray(model.regions["face"])
    turned = jax.vmap(rotation_matrix)
    angles = [rotation_error(*pair) for pair in zip(np.asarray(turned(codes.rotation)), np.asarray(turned(true.rotation)))]
    values = {"synthetic/pose_degrees": float(np.mean(angles))}
    for part in ("identity", "expression", "reflectance"):
        modes = np.asarray(getattr(model, part))[:, face]
        found, truth = np.asarray(getattr(codes, part)), np.asarray(getattr(true, part))
        error, mean_face = (
            np.mean([displacement_error(modes, *pair) for pair in zip(guess, truth)]) for guess in (found, 0 * truth)
        )
        values[f"synthetic/{part}_ratio"] = float(error / mean_face)
    return values


def _mean_landmark_error(found, reference) -> float:
    return float(np.mean([landmark_error(*pair) for pair in zip(np.asarray(found), reference)]))
