"""`RunConfig`, the settings of a training run: typed, frozen, and checked once where a run starts.

A config file returns an ml_collections ConfigDict, so that each field can be set on the command line. `run_config`
converts it; everything below the launchers takes the classes of this file.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ml_collections import ConfigDict

from fml_jax.errors import InputError
from fml_jax.face_model.files import DETAILS
from fml_jax.losses import BaseWeights, FinalSkinWeights, FullWeights, LocalWeights, SupervisedWeights, ToneWeights
from fml_jax.networks.encoders import ENCODERS, predicts_occlusion
from fml_jax.networks.multilevel import CorrectivesConfig
from fml_jax.training.config_fields import no_such_field, type_in_words

Level = Literal["base", "full", "landmarks"]


def _at_least(least: float, default: Any = dataclasses.MISSING, *, below: float = math.inf) -> Any:
    return dataclasses.field(default=default, metadata={"least": least, "below": below})


def _one_of(choices: tuple[str, ...], default: str) -> Any:
    return dataclasses.field(default=default, metadata={"choices": choices})


@dataclass(frozen=True)
class GroupConfig:
    """Parameters that share a learning rate: those whose '/'-joined path begins with the prefix ("" is all).

    Of several groups whose prefix fits, a parameter belongs to that with the longest.
    """

    prefix: str
    learning_rate: float = _at_least(0.0)  # 0 keeps the parameters constant, without optimizer statistics


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer of one stage; each parameter of the network belongs to exactly one group."""

    groups: Mapping[str, GroupConfig]
    name: Literal["adadelta", "adam", "adamw", "muon"] = "adam"
    schedule: Literal["constant", "cosine"] = "cosine"  # cosine ends at a hundredth of the rate
    warmup: int = _at_least(0, 0)  # steps in which the rate rises linearly from 0
    clip: float = _at_least(0.0, 100.0)  # global norm to which gradients are clipped; 0 is no clipping
    rho: float = _at_least(0.0, 0.95, below=1.0)  # adadelta: decay of both statistics
    eps: float = _at_least(0.0, 1e-6)  # adadelta: added to both statistics
    weight_decay: float = _at_least(0.0, 1e-4)  # adamw


@dataclass(frozen=True)
class StageConfig:
    """One stage of a run: its length, the rows of a batch from each source, its losses and its optimizer."""

    optimizer: OptimizerConfig
    steps: int = _at_least(1)
    synthetic: int = _at_least(0)  # rows of a batch with known codes
    photos: int = _at_least(0)  # rows of a batch with landmarks alone
    # What is trained on photos: the base level, both levels, or the base level's landmarks alone, without colours.
    level: Level = "base"
    supervised: SupervisedWeights = SupervisedWeights()
    base: BaseWeights = BaseWeights()
    full: FullWeights = FullWeights()
    local: LocalWeights = LocalWeights()  # of the local stages, where the network has them
    tone: ToneWeights = ToneWeights()  # of the skin tone that they predict last
    skin: FinalSkinWeights = FinalSkinWeights()  # of the final level's reflectance, at level "full"
    score: float = _at_least(0.0, 5.0)  # weight of the crop score's cross-entropy
    occlusion: float = _at_least(0.0, 0.0)  # weight of the cross-entropy of label maps, for encoders that predict them
    identity: float = _at_least(0.0, 0.0)  # weight of `losses.identity`, which takes packed photos
    invariance: float = _at_least(0.0, 0.0)  # weight of `losses.invariance`
    changed_photos: int = _at_least(1, 8)  # photos of a batch that it mirrors or blurs; their landmarks count again
    # So many batches are made once, with the answers of encoder and local stages, and drawn again and again
    # (training/stored.py); for stages that train the final level alone. 0 makes new batches at each step.
    stored: int = _at_least(0, 0)
    # Decay of the exponential moving average of the parameters, which is evaluated and shipped; 0 keeps no average.
    ema_decay: float = _at_least(0.0, 0.999, below=1.0)

    @property
    def rows(self) -> int:
        """The rows of a batch."""
        return self.synthetic + self.photos

    @property
    def trains_final_level_alone(self) -> bool:
        """Whether encoder and local stages stay constant."""
        rates = {group.prefix: group.learning_rate for group in self.optimizer.groups.values()}
        base = {prefix: rate for prefix, rate in rates.items() if not prefix.startswith(("final", "correctives"))}
        return self.level == "full" and not any(base.values())


@dataclass(frozen=True)
class DataConfig:
    """Folders of corpora, as `fml-prepare` writes them; "" where there is none.

    `synthetic` and `photos` may also be files that `fml-pack` wrote. They are kept in the devices' memory, and the
    batches are made there (training/resident.py).
    """

    synthetic: str = ""
    synthetic_validation: str = ""
    photos: str = ""


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run.

    The class itself checks nothing: `run_config` makes one from a config file's settings and checks it.
    """

    seed: int = _at_least(0, 0)
    encoder: str = _one_of(tuple(ENCODERS), "light")
    model: str = ""  # a face model file; "" is the open model
    reflectance_modes: int = _at_least(0, 0)  # how many of the face model's the base level uses; 0 is all
    detail: str = _one_of(tuple(DETAILS), "face")
    local_stages: bool = False  # with local stages after the encoder (networks/local_stages.py)
    solve_colours: bool = False  # light and reflectance of the base level are solved on each crop (fitting/colours.py)
    correctives: CorrectivesConfig = CorrectivesConfig()
    data: DataConfig = DataConfig()
    masks: bool = True  # photometric terms leave out what the encoder takes for an object before the face
    start_from: str = ""  # a weights file to begin with, such as fml_jax/reconstruction/open_deep.npz
    answers: str = ""  # the folder of stored batches, which runs may share; "" is the run's own
    start_without: tuple[str, ...] = ()  # parts of it that are not taken: "encoder", "local", "final", "correctives"
    stage_order: tuple[str, ...] = ()  # names of the stages that are trained
    stages: Mapping[str, StageConfig] = dataclasses.field(default_factory=dict)
    model_devices: int = _at_least(1, 1)  # devices that share one copy of the corrective modes; others split the batch
    validation_rows: int = _at_least(1, 200)
    delta_faces: int = _at_least(1, 1000)  # faces of which the learned model's statistics of δ are computed
    log_every: int = _at_least(1, 20)
    tensorboard: bool = True  # also write TensorBoard's files
    gradient_norms_every: int = _at_least(0, 0)  # steps between norms of each term's gradient; 0 is never
    evaluate_every: int = _at_least(1, 500)
    sheet_every: int = _at_least(0, 500)  # steps between picture sheets of held-out crops; 0 is never
    checkpoint_every: int = _at_least(1, 500)
    keep_checkpoints: int = _at_least(1, 3)

    @property
    def ordered_stages(self) -> dict[str, StageConfig]:
        """The stages that are trained, by name, in their order."""
        return {name: self.stages[name] for name in self.stage_order}

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.steps for stage in self.ordered_stages.values())

    @property
    def keeps_ema(self) -> bool:
        """Whether any stage keeps an average of the parameters."""
        return any(stage.ema_decay > 0 for stage in self.ordered_stages.values())


def run_config(config: Mapping[str, Any] | ConfigDict) -> RunConfig:
    """The settings in a ConfigDict, or in a dict as `as_dict` returns it.

    Raises:
      InputError: a field that is unknown, missing, of another type or out of range; a stage of `stage_order` that is
        missing, named twice, without rows, of both levels without photos or without a final level to train, with a
        weight of occlusion for an encoder that predicts none, with more changed photos than photos, or with stored
        batches though it trains the encoder.
    """
    settings = config.to_dict() if isinstance(config, ConfigDict) else config
    built = _built(RunConfig, settings, "--config", settings)
    _check_stages(built)
    return built


def as_dict(config: Any) -> Any:
    """A config as plain dicts, lists and numbers, ready for JSON or for a ConfigDict."""
    if dataclasses.is_dataclass(config):
        return {field.name: as_dict(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if hasattr(config, "_asdict"):
        return as_dict(config._asdict())
    if isinstance(config, Mapping):
        return {name: as_dict(value) for name, value in config.items()}
    return config


def _check_stages(config: RunConfig) -> None:
    if not config.stage_order:
        raise InputError("--config.stage_order is empty; name the stages to train")
    for name in config.stage_order:
        if name not in config.stages:
            known = ", ".join(config.stages)
            raise InputError(f"--config.stage_order: there is no stage {name!r}; the config has {known}")
        if config.stage_order.count(name) > 1:
            raise InputError(f"--config.stage_order: the stage {name!r} is there twice; give the second another name")
        field, stage = f"--config.stages.{name}", config.stages[name]
        if not stage.rows:
            raise InputError(f"{field}: its batches have no rows; give {field}.synthetic or {field}.photos")
        if stage.level == "full" and not stage.photos:
            raise InputError(
                f"{field}: it trains both levels, which takes photos, and has none; give {field}.photos or level=base"
            )
        if stage.level == "full" and config.correctives.kind == "none":
            raise InputError(
                f"stage {name!r} trains both levels; give it a final one with --config.correctives.kind=linear"
            )
        if stage.occlusion and not predicts_occlusion(config.encoder):
            raise InputError(
                f"{field}.occlusion={stage.occlusion:g}: the encoder {config.encoder} predicts no occlusion; give 0, "
                "or --config.encoder=deep"
            )
        if stage.invariance and stage.changed_photos > stage.photos:
            raise InputError(
                f"{field}.changed_photos={stage.changed_photos}: a batch has {stage.photos} photos; give no more"
            )
        if stage.invariance and stage.trains_final_level_alone:
            raise InputError(
                f"{field}.invariance={stage.invariance:g}: it trains the base level, which is constant; give 0"
            )
        if stage.stored and not stage.trains_final_level_alone:
            raise InputError(
                f"{field}.stored={stage.stored}: stored answers are those of a constant encoder; give 0, or level=full "
                "and the learning rate 0 to encoder and local stages"
            )


def _built(kind: Any, value: Any, path: str, whole: Mapping) -> Any:
    """A value as a type of a field. `path` is its name in messages, `whole` the config that it belongs to."""
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, path, whole)
    if hasattr(kind, "_fields"):
        return _weights(kind, value, path, whole)
    if get_origin(kind) is Literal:
        return _chosen(value, get_args(kind), path)
    if get_origin(kind) is tuple:
        return tuple(_built(get_args(kind)[0], each, path, whole) for each in _of_type((list, tuple), value, path))
    if kind is float:
        number = float(_of_type((float, int), value, path))
        if not math.isfinite(number):
            raise InputError(f"{path}={value}: give a finite number")
        return number
    if isinstance(kind, type):
        return _of_type((kind,), value, path)
    _of_type((Mapping,), value, path)
    return {name: _built(get_args(kind)[1], each, f"{path}.{name}", whole) for name, each in value.items()}


def _record(kind: Any, value: Any, path: str, whole: Mapping) -> Any:
    """A dataclass; the ranges of its fields are checked."""
    fields, types = {field.name: field for field in dataclasses.fields(kind)}, get_type_hints(kind)
    found = {}
    for name, each in _of_type((Mapping,), value, path).items():
        if name not in fields:
            raise no_such_field(f"{path}.{name}", whole, fields)
        found[name] = _built(types[name], each, f"{path}.{name}", whole)
        _check_range(fields[name].metadata, found[name], f"{path}.{name}")
    for name, field in fields.items():
        if name not in found and field.default is field.default_factory is dataclasses.MISSING:
            raise InputError(f"{path}.{name}: is missing; give {type_in_words(types[name])}")
    return kind(**found)


def _weights(kind: Any, value: Any, path: str, whole: Mapping) -> Any:
    """A NamedTuple of loss weights: numbers ≥ 0, and how the contour slides."""
    types, found = get_type_hints(kind), {}
    for name, each in _of_type((Mapping,), value, path).items():
        if name not in types:
            raise no_such_field(f"{path}.{name}", whole, types)
        if types[name] is str:
            found[name] = _chosen(each, ("rays", "pose"), f"{path}.{name}")
        else:
            found[name] = _built(types[name], each, f"{path}.{name}", whole)
            _check_range({"least": 0.0}, found[name], f"{path}.{name}")
    return kind(**found)


def _of_type(kinds: tuple, value: Any, path: str) -> Any:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise InputError(f"{path}={value!r}: give {type_in_words(kinds[0])}")
    return value


def _chosen(value: Any, choices: tuple, path: str) -> Any:
    if value not in choices:
        raise InputError(f"{path}={value}: unknown; choose one of {', '.join(choices)}")
    return value


def _check_range(metadata: Mapping, value: Any, path: str) -> None:
    if "choices" in metadata:
        _chosen(value, metadata["choices"], path)
    if "least" in metadata and value < metadata["least"]:
        raise InputError(f"{path}={value}: give at least {metadata['least']:g}")
    if "below" in metadata and value >= metadata["below"]:
        raise InputError(f"{path}={value}: give less than {metadata['below']:g}")
