"""How good a network is on faces it was not trained on, measured while it trains."""

import jax
import numpy as np

from fml_jax.codes import FaceCode, code_from_network, leading_reflectance
from fml_jax.errors import InputError
from fml_jax.evaluation.metrics import displacement_error, landmark_error, rotation_error
from fml_jax.evaluation.surfaces import Surfaces, free_surfaces, known_surfaces, relit_photometric_error, surface_errors
from fml_jax.face_model.base import BaseModel
from fml_jax.image_formation.landmark_projection import project_landmarks
from fml_jax.image_formation.rotation import rotation_matrix
from fml_jax.networks.multilevel import Network, level_points
from fml_jax.ops.images import unit_range
from fml_jax.training.sharding import replicated
from fml_jax.training.step import make_loss

LOSS = "held_out_loss"  # what a stage minimises, on held-out faces: the lower the better
HEADLINES = (LOSS, "_error", "_degrees", "_ratio", "/photo", "_base", "_final")  # how names end of what matters most
_CHUNK = 20  # rows at a time


class Evaluator:
    """Errors of a network on fixed validation batches, each of which may be missing."""

    def __init__(
        self,
        network: Network,
        model: BaseModel,
        truth: BaseModel,
        config: dict,
        photos: dict | None,
        synthetic: dict | None,
    ):
        """
        Args:
          network: on a mesh.
          model: the base level.
          truth: what the synthetic faces were made with; `model`, or one with further reflectance modes.
          config: its stages and seed.
          photos, synthetic: held-out batches.

        Raises:
          InputError: the synthetic faces' stored truth is of another mesh.
        """
        _check_mesh(model, synthetic)
        self._model, self._truth = model, truth
        self._batches = {
            name: batch for name, batch in (("photos", photos), ("synthetic", synthetic)) if batch is not None
        }
        self._stages = config["stages"]

        def surfaces(params, model, crops, level):
            levels = level_points(network, params, model, crops=unit_range(crops), level=level)
            return {name: (points.positions, points.reflectance) for name, points in levels.items()}

        everywhere = dict(out_shardings=replicated(network.mesh))
        self._network = jax.jit(lambda params, crops: network.encode(params, unit_range(crops)).raw, **everywhere)
        self._project = jax.jit(jax.vmap(lambda code: project_landmarks(model, code)))
        of_stages = {name: (network, stage, config["seed"]) for name, stage in self._stages.items()}
        self._terms = {name: jax.jit(_terms(*of_stage), **everywhere) for name, of_stage in of_stages.items()}
        self._supervised = {name: jax.jit(_supervised(*of_stage), **everywhere) for name, of_stage in of_stages.items()}
        self._surfaces = jax.jit(surfaces, static_argnames="level", **everywhere)

    def __call__(self, params: dict, stage: str) -> dict[str, float]:
        """Means over the batches, under the names that the metrics file has; terms are those of the named stage."""
        values = {}
        for kind, batch in self._batches.items():
            codes = code_from_network(self._network(params, batch["crop"]), self._model.code_sizes)
            values[f"{kind}/landmark_error"] = _mean_landmark_error(self._project(codes), batch["landmarks"])
            chunks = list(_chunks(batch))
            terms = [self._terms[stage](params, self._model, chunk) for chunk in chunks]
            values |= {f"{kind}/{name}": _mean_of([term[name] for term in terms], chunks) for name in terms[0]}
            if kind == "synthetic":
                values |= synthetic_errors(
                    self._model, codes, leading_reflectance(batch["code"], self._model.code_sizes)
                )
                values |= self._truth_errors(params, self._stages[stage]["level"], chunks)
                if self._stages[stage]["synthetic"]:
                    energies = [self._supervised[stage](params, self._model, chunk) for chunk in chunks]
                    values["synthetic/supervised"] = _mean_of(energies, chunks)
        return values | self._loss(values, stage)

    def _loss(self, values, stage) -> dict[str, float]:
        """The stage's loss with its rows' shares, on faces of each kind that are at hand; renders do for photos."""
        of_photos = values.get("photos/loss", values.get("synthetic/loss"))
        known = {"synthetic": values.get("synthetic/supervised"), "photos": of_photos}
        rows = {kind: self._stages[stage][kind] for kind, value in known.items() if value is not None}
        total = sum(rows.values())
        return {LOSS: sum(rows[kind] * known[kind] for kind in rows) / total} if total else {}

    def _truth_errors(self, params, level, chunks) -> dict[str, float]:
        """Of each level, of the mean face, and of the best that the base level can reach: see `evaluation.surfaces`."""
        face, found = np.asarray(self._model.regions["face"]), []
        for chunk in chunks:
            true, free = known_surfaces(self._truth, chunk), free_surfaces(self._model, self._truth, chunk)
            levels = self._surfaces(params, self._model, chunk["crop"], level=level)
            rows = {**{name: Surfaces(*map(np.asarray, each)) for name, each in levels.items()}, **free}
            errors = {name: surface_errors(each, true, face) for name, each in rows.items()}
            values = {f"{error}_{name}": value for name, row in errors.items() for error, value in row.items()}
            found.append(values | self._free_photometric_errors({**free, "truth": true}, chunk))
        return {f"synthetic/{name}": _mean_of([each[name] for each in found], chunks) for name in found[0]}

    def _free_photometric_errors(self, surfaces, chunk):
        """In their true poses; what the truth itself scores is the camera's noise and blur."""
        posed = leading_reflectance(chunk["code"], self._model.code_sizes)
        crops = unit_range(chunk["crop"])
        return {
            f"photo_{name}": relit_photometric_error(self._model, each, posed, crops=crops)
            for name, each in surfaces.items()
        }


def _check_mesh(model, synthetic):
    stored = model.vertex_count if synthetic is None or "vertices" not in synthetic else synthetic["vertices"].shape[1]
    if stored != model.vertex_count:
        raise InputError(
            f"data.synthetic_validation: its faces' true surfaces have {stored} vertices, the model has {model.vertex_count}; "
            "train with --config.detail=face, or prepare these faces with "
            "--notruth"
        )


def _terms(network, stage, seed):
    """`terms(params, model, batch)`: means of a stage's loss and of its terms over a batch taken for photos."""
    loss = make_loss(network, {**stage, "synthetic": 0, "photos": True})

    def terms(params, model, batch):
        _, means = loss(params, model, batch, jax.random.key(seed))
        return {
            name.removeprefix("photos/"): mean for name, mean in means.items() if name.startswith(("photos/", "loss"))
        }

    return terms


def _supervised(network, stage, seed):
    """`supervised(params, model, batch)`: a stage's loss over renders, of at most `_CHUNK` rows, with known codes."""
    loss = make_loss(network, {**stage, "synthetic": _CHUNK, "photos": 0})
    return lambda params, model, batch: loss(params, model, batch, jax.random.key(seed))[0]


def _chunks(batch):
    """Rows of a batch, so many at a time that the points of all of them fit into memory."""
    rows = len(batch["crop"])
    for begin in range(0, rows, _CHUNK):
        yield {name: column[begin : begin + _CHUNK] for name, column in batch.items()}


def _mean_of(values, chunks) -> float:
    return float(np.average(np.asarray(values), weights=[chunk["is_face"].sum() for chunk in chunks]))


def synthetic_errors(model: BaseModel, codes: FaceCode, true: FaceCode) -> dict[str, float]:
    """Pose in degrees; identity, expression and reflectance as ratios to what the mean face scores."""
    face = np.asarray(model.regions["face"])
    turned = jax.vmap(rotation_matrix)
    angles = [
        rotation_error(*pair)
        for pair in zip(np.asarray(turned(codes.rotation)), np.asarray(turned(true.rotation)), strict=True)
    ]
    values = {"synthetic/pose_degrees": float(np.mean(angles))}
    for part in ("identity", "expression", "reflectance"):
        modes = np.asarray(getattr(model, part))[:, face]
        found, truth = np.asarray(getattr(codes, part)), np.asarray(getattr(true, part))
        error, mean_face = (
            np.mean([displacement_error(modes, *pair) for pair in zip(guess, truth, strict=True)])
            for guess in (found, 0 * truth)
        )
        values[f"synthetic/{part}_ratio"] = float(error / mean_face)
    return values


def _mean_landmark_error(found, reference) -> float:
    return float(np.mean([landmark_error(*pair) for pair in zip(np.asarray(found), reference, strict=True)]))
