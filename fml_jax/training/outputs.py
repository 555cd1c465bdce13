"""The files of a run in its workdir: config, metrics, sheets, checkpoints, weights and the learned face model."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import jax
from absl import logging
from jax.sharding import Mesh
from tqdm import tqdm

from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.learned import FaceModel, save_learned_model
from fml_jax.files import complete_or_absent
from fml_jax.networks.multilevel import Network, layers
from fml_jax.networks.weights import save_weights
from fml_jax.training.batches import copy_cards
from fml_jax.training.checkpoints import UNKNOWN, Checkpoints, HeldOut, changes
from fml_jax.training.config import RunConfig, as_dict
from fml_jax.training.held_out import HEADLINES, LOSS
from fml_jax.training.learned import learned_model
from fml_jax.training.metrics import CONFIG, VALIDATION, MetricsWriter
from fml_jax.training.sharding import gathered
from fml_jax.training.step import TrainState

WEIGHTS_FILE = "weights.npz"
MODEL_FILE = "face_model.npz"
BEST = "best_"  # prefix of both names for the state with the lowest held-out loss, where that is not the last

# Fields of a config on which the arrays of a checkpoint's network depend.
_NETWORK_FIELDS = ("correctives", "detail", "encoder", "local_stages", "model", "reflectance_modes")


class RunOutputs:
    """Everything that a run writes. All processes of the run take part; the first one writes the files.

    Files of an earlier start of the run are changed only after `begin`.
    """

    def __init__(self, config: RunConfig, workdir: Path, *, network: Network, model: BaseModel, mesh: Mesh) -> None:
        self._config, self._workdir, self._network, self._model, self._mesh = config, workdir, network, model, mesh
        self._is_first = jax.process_index() == 0
        self._checkpoints = Checkpoints(workdir, config.keep_checkpoints)
        self._metrics: MetricsWriter | None = None

    @property
    def done(self) -> int:
        """Steps of the newest checkpoint; 0 before the first."""
        return self._checkpoints.latest_step() or 0

    def check_continues(self) -> None:
        """Checks that the config continues the newest checkpoint; warnings list other changes of the config.

        Raises:
          InputError: the checkpoint lies after the config's end, or has another network; there are weights, which a
            new run would replace, but no checkpoint.
        """
        if not self.done:
            if (weights := self._workdir / WEIGHTS_FILE).exists():
                raise InputError(
                    f"{weights}: of a run without a checkpoint to continue from, and a new run would replace it; "
                    "choose another --workdir"
                )
            return
        if self.done > self._config.steps:
            raise InputError(
                f"{self._workdir}: its checkpoint is at step {self.done}, this config ends at {self._config.steps}; "
                "choose another --workdir"
            )
        saved, config = self._checkpoints.saved_config(), as_dict(self._config)
        before, now = ({field: each.get(field) for field in _NETWORK_FIELDS} for each in (saved, config))
        if differ := changes(before, now):
            raise InputError(
                f"{self._workdir}: its checkpoint has another network ({'; '.join(differ)}); choose another --workdir"
            )
        if self._is_first:
            for line in changes(saved, config):
                logging.warning("config changed since the checkpoint: %s", line)
            if self.done == self._config.steps:
                logging.warning("%s: all steps are done; nothing is trained, %s stays", self._workdir, CONFIG)

    def restore(self, described: TrainState) -> TrainState:
        """The newest checkpoint.

        Args:
          described: the shapes and shardings of the state.

        Raises:
          InputError: the checkpoint has other arrays.
        """
        return self._checkpoints.restore(described)

    def begin(self, done: int) -> None:
        """Writes the config and the cards of its data, once it is certain that steps after `done` will be trained."""
        if self._metrics is not None:
            return
        self._metrics = MetricsWriter(
            self._workdir if self._is_first else None, tensorboard=self._config.tensorboard, done=done
        )
        if self._is_first:
            with complete_or_absent(self._workdir / CONFIG) as partial:
                partial.write_text(json.dumps(as_dict(self._config), indent=2), encoding="utf-8")
            for line in copy_cards(self._config.data, self._workdir):
                logging.warning("data changed since the run began: %s", line)

    def write_metrics(self, step: int, values: dict, *, images_per_second: float, wait: float) -> None:
        """A row of the metrics of a training step.

        Args:
          values: scalars by name, and under "rows" the terms of each row, which are not written.
          wait: the share of the time in which the step waited for its batch.
        """
        scalars = {name: value for name, value in values.items() if name != "rows"}
        speed = {"images_per_second": images_per_second, "wait": wait, "seconds": time.time()}
        self._write(step, {**scalars, **speed})

    def evaluate(self, step: int, state: TrainState, *, evaluator: Callable[[dict, str], dict], stage: str) -> HeldOut:
        """Measures a state on held-out faces and writes the result."""
        values = evaluator(state.eval_params, stage)
        if values and self._is_first:
            self._write(step, {VALIDATION: 1, **values})
            headlines = {name: value for name, value in values.items() if name.endswith(HEADLINES)}
            tqdm.write(f"step {step}: " + ", ".join(f"{name} {value:.4g}" for name, value in headlines.items()))
        return HeldOut(self._config.stage_order.index(stage), values[LOSS]) if LOSS in values else UNKNOWN

    def _write(self, step: int, values: dict) -> None:
        assert self._metrics is not None, "begin comes before the first row"
        self._metrics.write(step, values)

    def save_checkpoint(self, state: TrainState, held_out: HeldOut) -> None:
        """Writes a checkpoint of a state."""
        self._checkpoints.save(state, as_dict(self._config), held_out)

    def is_best(self, held_out: HeldOut) -> bool:
        """Whether a held-out loss is better than those of all checkpoints."""
        return held_out.better_than(self._checkpoints.best()[1])

    def write_weights(self, state: TrainState, batch: Callable[[int], dict], prefix: str = "") -> Path:
        """Writes the weights of a state, and the learned face model where a stage trained both levels.

        Args:
          batch: returns the batch of a step of the last stage that trains both levels.
          prefix: of the names of the files.

        Returns:
          the path of the weights.
        """
        path = self._workdir / (prefix + WEIGHTS_FILE)
        params, learned = gathered(state.eval_params, self._mesh), self._learned_model(state, batch)
        if self._is_first:
            arrays = layers(params)
            if learned is not None:
                save_learned_model(self._workdir / (prefix + MODEL_FILE), learned)
                delta = {"mean": learned.delta_mean, "factor": learned.delta_factor}
                arrays |= {"correctives": learned.correctives, "delta": delta}
            save_weights(path, arrays, self._metadata(int(state.step), has_final=learned is not None))
        return path

    def write_best_weights(self, described: TrainState, batch: Callable[[int], dict]) -> None:
        """Writes the files of the state with the lowest held-out loss, where that is not the last state.

        Args:
          described: the shapes and shardings of the last state.
          batch: as in `write_weights`.
        """
        step, held_out = self._checkpoints.best()
        if step is not None and held_out != UNKNOWN and step < self.done:
            self.write_weights(self._checkpoints.restore(described, step), batch, BEST)

    def _learned_model(self, state: TrainState, batch: Callable[[int], dict]) -> FaceModel | None:
        both = [stage for stage in self._config.ordered_stages.values() if stage.level == "full"]
        if not both:
            return None
        photos, faces = both[-1].photos, self._config.delta_faces
        return learned_model(
            self._network, self._model, state, mesh=self._mesh, batch=batch, photos=photos, faces=faces
        )

    def _metadata(self, steps: int, *, has_final: bool) -> dict:
        config, folders = self._config, as_dict(self._config.data)
        data = {field: Path(folder).name for field, folder in folders.items() if folder}
        about = {"encoder": config.encoder, "model": self._model.name, "steps": steps, "data": data}
        return about | ({"final_level": as_dict(config.correctives) | {"detail": config.detail}} if has_final else {})

    def close(self) -> None:
        """Waits until everything is written."""
        if self._metrics is not None:
            self._metrics.close()
        self._checkpoints.close()
