"""Errors of a network on held-out faces, measured while it trains."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from fml_jax.codes import code_from_network, leading_reflectance
from fml_jax.errors import InputError
from fml_jax.evaluation.code_errors import code_errors
from fml_jax.evaluation.metrics import landmark_error
from fml_jax.evaluation.surfaces import Surfaces, free_surfaces, known_surfaces, relit_photometric_error, surface_errors
from fml_jax.face_model.base import BaseModel
from fml_jax.image_formation.landmark_projection import project_landmarks
from fml_jax.networks.multilevel import Network, level_points
from fml_jax.ops.images import unit_range
from fml_jax.training.config import Level, StageConfig
from fml_jax.training.sharding import replicated
from fml_jax.training.step import make_loss

LOSS = "held_out_loss"  # the loss of a stage on held-out faces: the lower the better
HEADLINES = (LOSS, "_error", "_degrees", "_ratio", "/photo", "_base", "_final")  # endings of the most important names
_CHUNK = 20  # rows that are processed at a time, to limit memory


class Evaluator:
    """Errors of a network on fixed validation batches, each of which may be missing."""

    def __init__(
        self,
        network: Network,
        model: BaseModel,
        stages: Mapping[str, StageConfig],
        *,
        mesh: Mesh,
        truth: BaseModel,
        seed: int,
        photos: dict | None,
        synthetic: dict | None,
    ) -> None:
        """
        Args:
          network: a network for `model`.
          model: the face model of the base level.
          stages: the stages of the run, by name.
          mesh: the devices.
          truth: the face model of the synthetic faces; `model`, or one with further reflectance modes.
          seed: of the random samples in the losses.
          photos, synthetic: held-out batches.

        Raises:
          InputError: the true surfaces of the synthetic faces have another mesh.
        """
        _check_vertex_count(model, synthetic)
        self._model, self._truth, self._stages = model, truth, stages
        batches = {"photos": photos, "synthetic": synthetic}
        self._batches = {name: batch for name, batch in batches.items() if batch is not None}

        def surfaces(params, model, crops, level):
            levels = level_points(network, params, model, crops=unit_range(crops), level=level)
            return {name: (points.positions, points.reflectance) for name, points in levels.items()}

        def raw_codes(params, crops):
            return network.encode(params, unit_range(crops)).raw

        everywhere = replicated(mesh)
        self._raw_codes = jax.jit(raw_codes, out_shardings=everywhere)
        self._project = jax.jit(jax.vmap(lambda code: project_landmarks(model, code)))
        self._surfaces = jax.jit(surfaces, static_argnames="level", out_shardings=everywhere)
        self._terms, self._supervised = (
            {name: jax.jit(make(network, stage, seed), out_shardings=everywhere) for name, stage in stages.items()}
            for make in (_terms, _supervised)
        )

    def __call__(self, params: dict, stage: str) -> dict[str, float]:
        """Means over the batches, by their names in the metrics file; the terms are those of the named stage."""
        values: dict[str, float] = {}
        for kind, batch in self._batches.items():
            codes = code_from_network(self._raw_codes(params, batch["crop"]), self._model.code_sizes)
            values[f"{kind}/landmark_error"] = _mean_landmark_error(self._project(codes), batch["landmarks"])
            chunks = list(_chunks(batch))
            terms = [self._terms[stage](params, self._model, chunk) for chunk in chunks]
            values |= {f"{kind}/{name}": _mean_of([term[name] for term in terms], chunks) for name in terms[0]}
            if kind == "synthetic":
                true = leading_reflectance(batch["code"], self._model.code_sizes)
                errors = code_errors(self._model, codes, true)
                values |= {f"synthetic/{name}": error for name, error in errors.items()}
                values |= self._surface_errors(params, self._stages[stage].level, chunks)
                if self._stages[stage].synthetic:
                    energies = [self._supervised[stage](params, self._model, chunk) for chunk in chunks]
                    values["synthetic/supervised"] = _mean_of(energies, chunks)
        return values | self._loss(values, self._stages[stage])

    def _loss(self, values: dict[str, float], stage: StageConfig) -> dict[str, float]:
        """The loss of a stage with the shares of its rows, on the available faces; renders may stand in for photos."""
        of_photos = values.get("photos/loss", values.get("synthetic/loss"))
        rows = {"synthetic": stage.synthetic, "photos": stage.photos}
        known = {"synthetic": values.get("synthetic/supervised"), "photos": of_photos}
        parts = [(rows[kind], value) for kind, value in known.items() if value is not None]
        total = sum(count for count, _ in parts)
        return {LOSS: sum(count * value for count, value in parts) / total} if total else {}

    def _surface_errors(self, params: dict, level: Level, chunks: list[dict]) -> dict[str, float]:
        """Errors of each level, of the mean face, and of the best surface that the base level can represent.

        `evaluation.surfaces` defines them.
        """
        face, found = np.asarray(self._model.regions["face"]), []
        for chunk in chunks:
            true, free = known_surfaces(self._truth, chunk), free_surfaces(self._model, self._truth, chunk)
            levels = self._surfaces(params, self._model, chunk["crop"], level=level)
            rows = {**{name: Surfaces(*map(np.asarray, each)) for name, each in levels.items()}, **free}
            errors = {name: surface_errors(each, true, face) for name, each in rows.items()}
            values = {f"{error}_{name}": value for name, row in errors.items() for error, value in row.items()}
            found.append(values | self._free_photometric_errors({**free, "truth": true}, chunk))
        return {f"synthetic/{name}": _mean_of([each[name] for each in found], chunks) for name in found[0]}

    def _free_photometric_errors(self, surfaces: dict[str, Surfaces], chunk: dict) -> dict[str, float]:
        """Photometric errors of surfaces in their true poses; that of the truth is the camera's noise and blur."""
        posed = leading_reflectance(chunk["code"], self._model.code_sizes)
        crops = unit_range(chunk["crop"])
        return {
            f"photo_{name}": relit_photometric_error(self._model, each, posed, crops=crops)
            for name, each in surfaces.items()
        }


def _check_vertex_count(model: BaseModel, synthetic: dict | None) -> None:
    stored = model.vertex_count if synthetic is None or "vertices" not in synthetic else synthetic["vertices"].shape[1]
    if stored != model.vertex_count:
        raise InputError(
            f"data.synthetic_validation: its true surfaces have {stored} vertices, the model has {model.vertex_count}; "
            "train with --config.detail=face, or prepare these faces with --notruth"
        )


def _terms(network: Network, stage: StageConfig, seed: int) -> Callable:
    """`terms(params, model, batch)`: means of a stage's loss and of its terms over a batch that is taken as photos."""
    # Invariance is left out: it counts for a part of a batch's photos, and a chunk may have fewer.
    loss = make_loss(network, dataclasses.replace(stage, synthetic=0, photos=1, invariance=0.0))

    def terms(params, model, batch):
        _, means = loss(params, model, batch, jax.random.key(seed))
        return {
            name.removeprefix("photos/"): mean for name, mean in means.items() if name.startswith(("photos/", "loss"))
        }

    return terms


def _supervised(network: Network, stage: StageConfig, seed: int) -> Callable:
    """`supervised(params, model, batch)`: a stage's loss over at most `_CHUNK` renders with known codes."""
    loss = make_loss(network, dataclasses.replace(stage, synthetic=_CHUNK, photos=0))
    return lambda params, model, batch: loss(params, model, batch, jax.random.key(seed))[0]


def _chunks(batch: dict) -> Iterator[dict]:
    """Consecutive rows of a batch, at most `_CHUNK` at a time."""
    rows = len(batch["crop"])
    for begin in range(0, rows, _CHUNK):
        yield {name: column[begin : begin + _CHUNK] for name, column in batch.items()}


def _mean_of(values, chunks) -> float:
    return float(np.average(np.asarray(values), weights=[chunk["is_face"].sum() for chunk in chunks]))


def _mean_landmark_error(found, reference) -> float:
    return float(np.mean([landmark_error(*pair) for pair in zip(np.asarray(found), reference, strict=True)]))
