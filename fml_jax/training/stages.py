"""The stages of a run, one after the other, and their steps."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from tqdm import tqdm

from fml_jax.face_model.base import BaseModel
from fml_jax.networks.multilevel import Network
from fml_jax.training.batches import corpus_checksums
from fml_jax.training.checkpoints import UNKNOWN
from fml_jax.training.clock import Clock
from fml_jax.training.config import RunConfig
from fml_jax.training.gradient_norms import make_gradient_norms
from fml_jax.training.held_out import Evaluator
from fml_jax.training.host_memory import give_back_freed_memory
from fml_jax.training.optimizers import make_optimizer
from fml_jax.training.outputs import RunOutputs
from fml_jax.training.prefetch import batches_ahead
from fml_jax.training.sharding import compiled_step, over_batch, placed, replicated, state_shardings
from fml_jax.training.sheets import Sheets
from fml_jax.training.signals import StopSignal
from fml_jax.training.step import TrainState, init_state, make_train_step, state_of
from fml_jax.training.stored import StoredBatches
from fml_jax.training.warm_start import warm_started


class NonFiniteLoss(RuntimeError):
    """The loss is not finite; the message names the step, the terms and the rows of the batch."""


class StageRunner:
    """Trains the stages of a run."""

    def __init__(
        self,
        config: RunConfig,
        network: Network,
        model: BaseModel,
        *,
        mesh: Mesh,
        batches: Mapping[str, Callable[[int], dict]],
        outputs: RunOutputs,
        evaluator: Evaluator,
        sheets: Sheets | None,
        answers: Path,
        workers: int,
    ) -> None:
        """
        Args:
          batches: for each stage a function that returns the batch of a step of the run.
          answers: the folder of stored batches.
          workers: processes that make batches; 0 is a thread of this process.
        """
        self._config, self._network, self._model, self._mesh = config, network, model, mesh
        self._batches, self._outputs, self._evaluator, self._sheets = batches, outputs, evaluator, sheets
        self._answers, self._workers = answers, workers

    def train(self) -> TrainState:
        """Trains from the newest checkpoint to the end.

        Returns:
          the last state.

        Raises:
          NonFiniteLoss: the last good checkpoint is kept.
          SystemExit: with status 0, after SIGTERM; a checkpoint is written.
        """
        with StopSignal() as stop:
            state, begin = None, 0
            for name, stage in self._config.ordered_stages.items():
                end = begin + stage.steps
                # A checkpoint after the end of a stage has the statistics of a later stage's
                # optimizer. A checkpoint at the very end is restored here and passed on.
                if self._outputs.done <= end:
                    state = self._train_stage(name, state, begin, end=end, stop=stop)
                begin = end
        assert state is not None, "RunOutputs.check_continues refuses checkpoints after the end"
        return state

    def _train_stage(
        self, name: str, previous: TrainState | None, begin: int, *, end: int, stop: StopSignal
    ) -> TrainState:
        stage, seed = self._config.stages[name], self._config.seed
        optimizer = make_optimizer(stage.optimizer, stage.steps)
        state, shardings = self._starting_state(optimizer, previous, begin)
        give_back_freed_memory()
        train_step = make_train_step(self._network, optimizer, stage, seed=seed)
        step = compiled_step(train_step, self._mesh, shardings)
        gradient_norms = jax.jit(make_gradient_norms(self._network, stage, seed=seed))
        model = placed(self._model, replicated(self._mesh))
        start = int(state.step)
        if start < end:
            self._outputs.begin(start)
        bar = tqdm(
            total=end - begin,
            initial=start - begin,
            desc=name,
            unit="step",
            dynamic_ncols=True,
            disable=jax.process_index() > 0,
        )
        with self._batches_ahead(name, state, start=start, end=end) as batches, bar:
            progress = _Progress(name, end, Clock(stage.rows), bar)
            for done in range(start + 1, end + 1):
                batch = progress.clock.waiting_for(lambda: next(batches))
                norms = gradient_norms(state, model, batch) if self._due("gradient_norms_every", done) else {}
                state, values = step(state, model, batch)
                values = jax.device_get({**values, **norms})
                self._check_finite(done, values)
                progress.clock.step()
                self._after_step(progress, done, state, values=values, stop=stop)
                if self._sheets and (done == end or self._due("sheet_every", done)):
                    self._sheets.write(done, state.eval_params, stage.level)
        return state

    def _batches_ahead(self, name: str, state: TrainState, *, start: int, end: int) -> AbstractContextManager:
        """A context with the batches of a stage from one step to another, on the devices."""
        stage = self._config.stages[name]
        make_batch, workers = self._batches[name], self._workers
        if stage.stored:
            make_batch = StoredBatches(
                make_batch,
                self._network,
                state.params,
                model=self._model,
                config=self._config,
                stage=stage,
                corpora=corpus_checksums(self._config.data),
                folder=self._answers,
            ).batch
            workers = 0  # the network answers in this process

        def place(batch: dict) -> dict:
            return placed(batch, over_batch(self._mesh))

        return batches_ahead(make_batch, place, start=start, stop=end, workers=workers)

    def _starting_state(
        self, optimizer: optax.GradientTransformation, previous: TrainState | None, begin: int
    ) -> tuple[TrainState, Any]:
        """The state with which a stage begins or continues, and its shardings.

        It comes from the newest checkpoint if that lies within the stage, else from the previous stage.
        """
        config, keep_ema = self._config, self._config.keeps_ema

        def initial() -> TrainState:
            return init_state(self._network, optimizer, config.seed, keep_ema=keep_ema)

        shapes = jax.eval_shape(initial)
        shardings = state_shardings(self._mesh, shapes)
        if self._outputs.done > begin:
            described = jax.tree.map(lambda shape, place: shape.update(sharding=place), shapes, shardings)
            return self._outputs.restore(described), shardings
        if previous is None:
            # In two steps, so that the memory for drawing the parameters is free before statistics are allocated.
            params = jax.jit(lambda: initial().params, out_shardings=shardings.params)()
            make_state = jax.jit(state_of, static_argnums=(1, 2), donate_argnums=0, out_shardings=shardings)
            state = make_state(params, optimizer, keep_ema)
            if not config.start_from:
                return state, shardings
            begun = warm_started(state, config.start_from, encoder=config.encoder, without=config.start_without)
            return begun, shardings
        statistics = jax.jit(optimizer.init, out_shardings=shardings.opt_state)(previous.params)
        return previous.replace(opt_state=statistics), shardings

    def _due(self, every: str, done: int) -> bool:
        period = getattr(self._config, every)
        return bool(period) and done % period == 0

    def _after_step(
        self, progress: "_Progress", done: int, state: TrainState, *, values: dict, stop: StopSignal
    ) -> None:
        """Writes what is due after a step."""
        progress.bar.update()
        last = done == progress.end
        if last or self._due("log_every", done) or self._due("gradient_norms_every", done):
            speed, wait = progress.clock.read()
            self._outputs.write_metrics(done, values, images_per_second=speed, wait=wait)
            progress.bar.set_postfix(loss=f"{values['loss']:.3f}", images=f"{speed:.0f}/s")
        held_out = UNKNOWN
        if last or self._due("evaluate_every", done):
            held_out = self._outputs.evaluate(done, state, evaluator=self._evaluator, stage=progress.name)
        stopped = stop.agreed(done)
        if last or stopped or self._due("checkpoint_every", done) or self._outputs.is_best(held_out):
            self._outputs.save_checkpoint(state, held_out)
        if stopped and done < self._config.steps:
            tqdm.write(f"stopped by SIGTERM at step {done}; the same command resumes here")
            raise SystemExit(0)

    def _check_finite(self, done: int, values: dict) -> None:
        if np.isfinite(values["loss"]) and np.isfinite(values["gradient_norm"]):
            return
        faults = {name: np.flatnonzero(~np.isfinite(column)).tolist() for name, column in values["rows"].items()}
        terms = [f"{name} in rows {rows}" for name, rows in faults.items() if rows and name != "energy"]
        where = f"{', '.join(terms)} of the batch" if terms else "the gradient"
        kept = self._outputs.done
        remains = f"the checkpoint of step {kept} is kept" if kept else "no checkpoint was written yet"
        raise NonFiniteLoss(f"step {done}: not finite: {where}; {remains}")


class _Progress(NamedTuple):
    """A stage that is being trained."""

    name: str
    end: int  # the step of the run with which it ends
    clock: Clock
    bar: tqdm
