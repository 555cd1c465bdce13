"""A training run: stages one after the other, resumable at any step."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from absl import logging
from jax.experimental.multihost_utils import reached_preemption_sync_point
from jax.sharding import Mesh
from tqdm import tqdm

from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel, with_reflectance_modes
from fml_jax.face_model.files import load_face_model
from fml_jax.face_model.learned import FaceModel, save_learned_model
from fml_jax.files import output_folder
from fml_jax.networks.multilevel import Network, layers, make_network
from fml_jax.networks.weights import save_weights
from fml_jax.training.batches import StageBatches, copy_cards, validation_batch
from fml_jax.training.checkpoints import UNKNOWN, Checkpoints, HeldOut, changes
from fml_jax.training.config_checks import check_continues, validate_config
from fml_jax.training.gradient_norms import make_gradient_norms
from fml_jax.training.held_out import HEADLINES, LOSS, Evaluator
from fml_jax.training.host_memory import give_back_freed_memory
from fml_jax.training.learned import learned_model
from fml_jax.training.metrics import CONFIG, VALIDATION, MetricsWriter
from fml_jax.training.optimizers import make_optimizer
from fml_jax.training.prefetch import batches_ahead, default_workers
from fml_jax.training.sharding import (
    check_rows,
    compiled_step,
    gathered,
    make_mesh,
    over_batch,
    placed,
    replicated,
    state_shardings,
)
from fml_jax.training.sheets import FOLDER as SHEETS
from fml_jax.training.sheets import Sheets, sheet_crops
from fml_jax.training.step import TrainState, init_state, make_train_step, state_of
from fml_jax.training.warm_start import warm_started

WEIGHTS_FILE = "weights.npz"
MODEL_FILE = "face_model.npz"
BEST = "best_"  # begins the names of both where they are those of the lowest held-out loss, before the end


class NonFiniteLoss(RuntimeError):
    """The loss stopped being a number; the message names step, terms and rows of the batch."""


def train(config: dict, workdir: Path, data_workers: int | None = None) -> Path:
    """Runs all stages of a config, from the newest checkpoint in `workdir` if there is one.

    Args:
      config: plain dict, as `fml_jax/configs/common.py` describes it.
      workdir: gets `config.json`, the cards of its corpora, `metrics.jsonl`, `tensorboard/`, `sheets/`, `checkpoints/`
        and, at the end, `weights.npz` and, where both levels were trained, `face_model.npz`; also `best_weights.npz` and
        `best_face_model.npz`, where the held-out loss was lower before the end.
      data_workers: processes that make batches; they change the speed, not the batches. 0 is a thread of this process,
        None that on CPUs and a process a spare core (15 at most) beside a GPU. A program that starts
        any must do so under `if __name__ == "__main__"`.

    Returns:
      the path of the weights.

    Raises:
      InputError: data that is missing, a disk that is full, a batch that the devices cannot split, a worker that died.
      NonFiniteLoss: the last good checkpoint is kept.
    """
    validate_config(config)
    output_folder(workdir)
    truth = load_face_model(config["model"] or None, config["detail"])
    model = with_reflectance_modes(truth, config["reflectance_modes"]) if config["reflectance_modes"] else truth
    mesh = make_mesh(config["model_devices"])
    network = make_network(config["encoder"], config["correctives"], model, mesh=mesh)
    workers = default_workers() if data_workers is None else data_workers
    run = Run(config, workdir, network, model, truth, mesh, workers)
    try:
        state = run.all_stages()
        path, described = run.written(state), jax.tree.map(_described, state)
        del state  # there may not be room for two
        run.write_best(described)
        return path
    finally:
        run.close()


class Run:
    """The parts that the steps of one run share."""

    def __init__(
        self,
        config: dict,
        workdir: Path,
        network: Network,
        model: BaseModel,
        truth: BaseModel,
        mesh: Mesh,
        workers: int,
    ):
        """`truth` is the model that synthetic faces were made with, `model` what of it the base level has."""
        self.config, self.workdir, self.network, self.model, self.mesh = config, workdir, network, model, mesh
        self.workers = workers
        self.batches = {name: StageBatches(config, config["stages"][name]) for name in config["stage_order"]}
        self.checkpoints = Checkpoints(workdir, config["keep_checkpoints"])
        self.is_first = jax.process_index() == 0  # of several processes, one writes
        done = self.checkpoints.latest_step() or 0
        self.metrics = MetricsWriter(workdir if self.is_first else None, config["tensorboard"], done)
        held_out = [validation_batch(config, kind, config["validation_rows"]) for kind in ("photos", "synthetic")]
        self.evaluator = Evaluator(network, model, truth, config, *held_out)
        self.sheets = self._make_sheets(held_out) if config["sheet_every"] else None
        self.stop_asked = False

    def _make_sheets(self, held_out) -> Sheets:
        crops = sheet_crops(held_out, self.batches[self.config["stage_order"][0]].batch(0))
        return Sheets(self.network, self.model, crops, self.workdir / SHEETS if self.is_first else None)

    def all_stages(self) -> TrainState:
        """Trains to the end; SIGTERM saves and exits with status 0."""
        self._check_fits()
        restore_handler = _on_sigterm(self._ask_to_stop)
        try:
            state, begin = None, 0
            for name in self.config["stage_order"]:
                end = begin + self.config["stages"][name]["steps"]
                # A checkpoint that lies behind a stage's end was written by a later stage's
                # optimizer; one at the very end is restored here and handed on.
                if (self.checkpoints.latest_step() or 0) <= end:
                    state = self._one_stage(name, state, begin, end)
                begin = end
            return state
        finally:
            restore_handler()

    def close(self) -> None:
        """Waits for what is being written."""
        self.metrics.close()
        self.checkpoints.close()

    def _one_stage(self, name: str, previous: TrainState | None, begin: int, end: int) -> TrainState:
        stage = self.config["stages"][name]
        optimizer = make_optimizer(stage["optimizer"], stage["steps"])
        state, shardings = self._starting_state(optimizer, previous, begin)
        give_back_freed_memory()
        step = compiled_step(make_train_step(self.network, optimizer, stage, self.config["seed"]), self.mesh, shardings)
        gradient_norms = jax.jit(make_gradient_norms(self.network, stage, self.config["seed"]))
        model = placed(self.model, replicated(self.mesh))
        start = int(state.step)
        if start < end:
            self._record_config()
        clock = _Clock(stage["synthetic"] + stage["photos"])
        shown = dict(desc=name, unit="step", dynamic_ncols=True, disable=not self.is_first)
        with self._batches(name, start, end) as batches, tqdm(total=end - begin, initial=start - begin, **shown) as bar:
            under_way = _UnderWay(name, end, clock, bar)
            for done in range(start + 1, end + 1):
                batch = clock.waiting_for(lambda: next(batches))
                norms = gradient_norms(state, model, batch) if self._due("gradient_norms_every", done) else {}
                state, values = step(state, model, batch)
                values = jax.device_get({**values, **norms})
                self._check_finite(done, values)
                clock.step()
                self._after_step(under_way, done, state, values)
                if self.sheets and (done == end or self._due("sheet_every", done)):
                    self.sheets.write(done, state.shown, stage["level"])
        return state

    def _batches(self, name: str, start: int, end: int):
        """A context with the stage's batches from one step to another, on the devices."""
        make, place = self.batches[name].batch, lambda batch: placed(batch, over_batch(self.mesh))
        return batches_ahead(make, place, start, end, self.workers)

    def _starting_state(self, optimizer, previous: TrainState | None, begin: int):
        """From the checkpoint when it lies within this stage, else from the stage before; and where it lives."""

        averaged = any(self.config["stages"][name]["average"] for name in self.config["stage_order"])

        def fresh() -> TrainState:
            return init_state(self.network, optimizer, self.config["seed"], averaged)

        shapes = jax.eval_shape(fresh)
        shardings = state_shardings(self.mesh, shapes)
        if (self.checkpoints.latest_step() or 0) > begin:
            described = jax.tree.map(lambda shape, place: shape.update(sharding=place), shapes, shardings)
            return self.checkpoints.restore(described), shardings
        if previous is None:
            # In two steps: what drawing them takes is free again when the average and statistics come.
            params = jax.jit(lambda: fresh().params, out_shardings=shardings.params)()
            begun = jax.jit(state_of, static_argnums=(1, 2), donate_argnums=0, out_shardings=shardings)
            state = begun(params, optimizer, averaged)
            path = self.config["start_from"]
            return (warm_started(state, path) if path else state), shardings
        statistics = jax.jit(optimizer.init, out_shardings=shardings.opt_state)(previous.params)
        return previous.replace(opt_state=statistics), shardings

    def write_best(self, described: TrainState) -> None:
        """Writes what the run knew when it was best on held-out faces, if that was before its end.

        Args:
          described: the last state's shapes and shardings.
        """
        step, held_out = self.checkpoints.best()
        if held_out != UNKNOWN and step < self.checkpoints.latest_step():
            self.written(self.checkpoints.restore(described, step), BEST)

    def written(self, state: TrainState, prefix: str = "") -> Path:
        """Writes what the run has learned by a state, into files that begin with a prefix; the path of the weights."""
        path = self.workdir / (prefix + WEIGHTS_FILE)
        shown, learned = gathered(state.shown, self.mesh), self._learned_model(state)
        if self.is_first:
            if learned is not None:
                save_learned_model(self.workdir / (prefix + MODEL_FILE), learned)
            save_weights(path, layers(shown), _note(self.config, self.model, int(state.step)))
        return path

    def _learned_model(self, state: TrainState) -> FaceModel | None:
        """The face model of both levels, where a stage has trained them."""
        full = [name for name in self.config["stage_order"] if self.config["stages"][name]["level"] == "full"]
        if not full:
            return None
        batches, photos = self.batches[full[-1]], self.config["stages"][full[-1]]["photos"]
        return learned_model(self.network, self.model, state, batches.batch, photos, self.config["delta_faces"])

    def _due(self, every: str, done: int) -> bool:
        return bool(self.config[every]) and done % self.config[every] == 0

    def _after_step(self, stage: "_UnderWay", done: int, state: TrainState, values: dict):
        stage.bar.update()
        last = done == stage.end
        if last or self._due("log_every", done) or self._due("gradient_norms_every", done):
            rate, wait = stage.clock.read()
            scalars = {name: value for name, value in values.items() if name != "rows"}
            self.metrics.write(done, {**scalars, "images_per_second": rate, "wait": wait, "seconds": time.time()})
            stage.bar.set_postfix(loss=f"{values['loss']:.3f}", images=f"{rate:.0f}/s")
        held_out = self._evaluate(done, stage.name, state) if last or self._due("evaluate_every", done) else UNKNOWN
        stop = self._stop_agreed(done)
        if last or self._due("checkpoint_every", done) or stop or held_out.better_than(self.checkpoints.best()[1]):
            self.checkpoints.save(state, self.config, held_out)
        if stop and not last:
            tqdm.write(f"stopped by SIGTERM at step {done}; the same command resumes here")
            raise SystemExit(0)

    def _evaluate(self, done, name, state) -> HeldOut:
        values = self.evaluator(state.shown, name)
        if values and self.is_first:
            self.metrics.write(done, {VALIDATION: 1, **values})
            told = {name: value for name, value in values.items() if name.endswith(HEADLINES)}
            tqdm.write(f"step {done}: " + ", ".join(f"{name} {value:.4g}" for name, value in told.items()))
        return HeldOut(self.config["stage_order"].index(name), values[LOSS]) if LOSS in values else UNKNOWN

    def _check_finite(self, done, values):
        if np.isfinite(values["loss"]) and np.isfinite(values["gradient_norm"]):
            return
        faults = {name: np.flatnonzero(~np.isfinite(column)).tolist() for name, column in values["rows"].items()}
        terms = [f"{name} in rows {rows}" for name, rows in faults.items() if rows and name != "energy"]
        where = f"{', '.join(terms)} of the batch" if terms else "the gradient"
        kept = self.checkpoints.latest_step()
        remains = "no checkpoint was written yet" if kept is None else f"the checkpoint of step {kept} is kept"
        raise NonFiniteLoss(f"step {done}: not finite: {where}; {remains}")

    def _check_fits(self):
        """The batch splits over the devices, and the config reaches as far as the checkpoint does."""
        stages = {name: self.config["stages"][name] for name in self.config["stage_order"]}
        for name, stage in stages.items():
            check_rows(name, stage, self.mesh)
        end = sum(stage["steps"] for stage in stages.values())
        if (done := self.checkpoints.latest_step() or 0) > end:
            raise InputError(
                f"{self.workdir}: its checkpoint is at step {done}, this config ends at {end}; choose another --workdir"
            )

        if done:
            self._check_continues(finished=done == end)

    def _check_continues(self, finished: bool):
        """The checkpoint's network is the config's; other changes are told."""
        saved, config = self.checkpoints.saved_config(), json.loads(json.dumps(self.config))
        check_continues(saved, config, str(self.workdir))
        if not self.is_first:
            return
        for line in changes(saved, config):
            logging.warning("config changed since the checkpoint: %s", line)
        if finished:
            logging.warning("%s: all steps are done, nothing is trained and %s stays as it is", self.workdir, CONFIG)

    def _record_config(self):
        """Puts the config and the cards of its data beside the checkpoints, once the run is sure to go on."""
        if not self.is_first:
            return
        (self.workdir / CONFIG).write_text(json.dumps(self.config, indent=2), encoding="utf-8")
        for line in copy_cards(self.config, self.workdir):
            logging.warning("data changed since the run began: %s", line)

    def _ask_to_stop(self, *_):
        self.stop_asked = True

    def _stop_agreed(self, done: int) -> bool:
        """Whether to stop after this step; several processes agree on one, whichever got the signal."""
        return self.stop_asked if jax.process_count() == 1 else reached_preemption_sync_point(done)


class _UnderWay(NamedTuple):
    """A stage that is being trained."""

    name: str
    end: int  # the run's step that it ends with
    clock: "_Clock"
    bar: tqdm


class _Clock:
    """Images per second, and the share of the time that the step waited for its batch."""

    def __init__(self, rows: int):
        self._rows = rows
        self._restart()

    def _restart(self):
        self._begin, self._steps, self._waited = time.perf_counter(), 0, 0.0

    def waiting_for(self, make: Callable):
        begin = time.perf_counter()
        made = make()
        self._waited += time.perf_counter() - begin
        return made

    def step(self):
        self._steps += 1

    def read(self) -> tuple[float, float]:
        elapsed = max(time.perf_counter() - self._begin, 1e-9)
        reading = self._rows * self._steps / elapsed, self._waited / elapsed
        self._restart()
        return reading


def _on_sigterm(handler) -> Callable[[], None]:
    """Installs a handler where that is possible (the main thread); returns what takes it out again.

    Of several processes JAX itself handles the signal, and tells all of them.
    """
    if jax.process_count() > 1:
        return lambda: None
    try:
        previous = signal.signal(signal.SIGTERM, handler)
    except ValueError:
        return lambda: None
    return lambda: signal.signal(signal.SIGTERM, previous)


def _described(array: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _note(config, model, steps) -> dict:
    return {
        "encoder": config["encoder"],
        "model": model.name,
        "steps": steps,
        "data": {name: str(Path(config["data"][name]).name) for name in config["data"] if config["data"][name]},
    }
