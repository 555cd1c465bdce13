"""A training run from its config to its weights, resumable at any step."""

from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel, with_reflectance_modes
from fml_jax.face_model.files import load_face_model
from fml_jax.files import output_folder
from fml_jax.networks.multilevel import Network, make_network
from fml_jax.training.batches import StageBatches, check_face_models, validation_batch
from fml_jax.training.config import RunConfig, StageConfig
from fml_jax.training.held_out import Evaluator
from fml_jax.training.outputs import RunOutputs
from fml_jax.training.prefetch import default_workers
from fml_jax.training.resident import ResidentBatches, is_packed
from fml_jax.training.sharding import check_rows, make_mesh
from fml_jax.training.sheets import FOLDER as SHEETS
from fml_jax.training.sheets import Sheets, sheet_crops
from fml_jax.training.stages import StageRunner
from fml_jax.training.stored import FOLDER as ANSWERS
from fml_jax.training.stored import seed_of_batches


def train(config: RunConfig, workdir: Path, data_workers: int | None = None) -> Path:
    """Trains all stages of a config, from the newest checkpoint in `workdir` if there is one.

    SIGTERM writes a checkpoint and ends the process with status 0.

    Args:
      workdir: gets `config.json`, the cards of its corpora, `metrics.jsonl`, `tensorboard/`, `sheets/`, `checkpoints/`
        and, at the end, `weights.npz` and, where both levels were trained, `face_model.npz`; also `best_weights.npz`
        and `best_face_model.npz`, where the held-out loss was lower before the end.
      data_workers: processes that make batches; they change the speed, not the batches. 0 is a thread of this
        process. None is 0 on CPUs, and beside a GPU one process for each spare core (15 at most). A program
        that starts any needs `if __name__ == "__main__"`. Stages with stored batches make theirs in this process.

    Returns:
      the path of the weights.

    Raises:
      InputError: data is missing, the disk is full, the devices cannot split a batch, a worker process died, `workdir`
        has weights but no checkpoint, or a checkpoint that the config does not continue.
      NonFiniteLoss: the last good checkpoint is kept.
    """
    output_folder(workdir)
    truth = load_face_model(config.model or None, config.detail)
    model = with_reflectance_modes(truth, config.reflectance_modes) if config.reflectance_modes else truth
    check_face_models(config.data, truth.name)
    mesh = make_mesh(config.model_devices)
    for name, stage in config.ordered_stages.items():
        check_rows(name, stage, mesh)
        if stage.stored and jax.process_count() > 1:
            raise InputError(f"--config.stages.{name}.stored={stage.stored}: batches are stored by one process; give 0")
    network = make_network(
        config.encoder,
        config.correctives,
        model,
        local_stages=config.local_stages,
        solve_colours=config.solve_colours,
        masks=config.masks,
        invariance=any(stage.invariance for stage in config.ordered_stages.values()),
        mesh=mesh,
    )
    batches = {name: _batches(config, stage) for name, stage in config.ordered_stages.items()}
    resident = any(is_packed(config.data, stage) for stage in config.ordered_stages.values())
    photos, synthetic = (
        validation_batch(config.data, kind, config.validation_rows) for kind in ("photos", "synthetic")
    )
    faces = {"photos": photos, "synthetic": synthetic}
    evaluator = Evaluator(network, model, config.stages, mesh=mesh, truth=truth, seed=config.seed, **faces)
    outputs = RunOutputs(config, workdir, network=network, model=model, mesh=mesh)
    try:
        outputs.check_continues()
        stages = StageRunner(
            config,
            network,
            model,
            mesh=mesh,
            batches=batches,
            outputs=outputs,
            evaluator=evaluator,
            sheets=_sheets(network, model, config, mesh=mesh, batches=batches, held_out=faces, workdir=workdir),
            answers=Path(config.answers or workdir / ANSWERS),
            workers=0 if resident else default_workers() if data_workers is None else data_workers,
        )
        state = stages.train()
        last = batches[_last_stage_of_both_levels(config)]
        path, described = outputs.write_weights(state, last), jax.tree.map(_described, state)
        del state  # there may not be enough memory for two
        outputs.write_best_weights(described, last)
        return path
    finally:
        outputs.close()


def _batches(config: RunConfig, stage: StageConfig) -> Callable[[int], dict]:
    """A function that returns the batch of a step."""
    kind = ResidentBatches if is_packed(config.data, stage) else StageBatches
    return kind(config.data, stage, seed_of_batches(config, stage)).batch


def _sheets(
    network: Network,
    model: BaseModel,
    config: RunConfig,
    *,
    mesh: Mesh,
    batches: Mapping[str, Callable[[int], dict]],
    held_out: dict[str, dict[str, np.ndarray] | None],
    workdir: Path,
) -> Sheets | None:
    if not config.sheet_every:
        return None
    crops = sheet_crops(list(held_out.values()), batches[config.stage_order[0]](0))
    folder = workdir / SHEETS if jax.process_index() == 0 else None
    return Sheets(network, model, crops, mesh=mesh, folder=folder)


def _last_stage_of_both_levels(config: RunConfig) -> str:
    """The stage whose faces the learned model's statistics come from; the last stage where none trains both levels."""
    both = [name for name in config.stage_order if config.stages[name].level == "full"]
    return (both or config.stage_order)[-1]


def _described(array: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)
