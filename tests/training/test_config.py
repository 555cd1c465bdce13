"""Settings of a run: built once, with their types, and refused in one line with the field that was meant."""

import dataclasses
import json

import pytest
from ml_collections import ConfigDict

from fml_jax.configs import ablations, beyond, open_gpu, open_levels, open_light, open_local, paper, quick, small
from fml_jax.errors import InputError
from fml_jax.losses import FullWeights
from fml_jax.networks.weights import load_weights
from fml_jax.training.config import RunConfig, as_dict, run_config
from fml_jax.training.config_fields import no_such_field
from tests.training import stub

CONFIGS = {
    each.__name__.rpartition(".")[2]: each.get_config
    for each in (ablations, beyond, open_gpu, open_levels, open_light, open_local, paper, quick, small)
}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_named_config_can_be_trained_and_survives_json(name):
    settings = CONFIGS[name]()
    config = run_config(settings)
    assert config.stage_order and config.steps == sum(settings.stages[each].steps for each in config.stage_order)
    assert run_config(json.loads(json.dumps(as_dict(config)))) == config
    assert as_dict(config) == settings.to_dict()


def test_configs_that_begin_with_weights_have_their_encoder():
    begun = {name: config for name, make in CONFIGS.items() if (config := run_config(make())).start_from}
    assert {"beyond", "open_levels", "open_local"} <= begun.keys()
    for name, config in begun.items():
        assert load_weights(config.start_from)[1]["encoder"] == config.encoder, name


def test_fields_have_their_types_and_cannot_be_changed():
    settings = stub.small_settings(steps=(2, 3), levels=["base", "full"])
    settings.stages.stage1.full.smo = 7  # a whole number for a float
    config = run_config(settings)
    stage = config.ordered_stages["stage1"]
    assert stage.full == FullWeights(smo=7.0) and isinstance(stage.full.smo, float) and stage.rows == 8
    assert config.correctives.geometry == 8 and stage.optimizer.groups["encoder"].learning_rate == 1e-3
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1


def test_the_average_is_kept_if_any_stage_has_a_decay():
    settings = stub.small_settings(steps=(2, 3))
    settings.stages.stage0.ema_decay = 0.0
    assert run_config(settings).keeps_ema
    settings.stages.stage1.ema_decay = 0.0
    assert not run_config(settings).keeps_ema


def spoiled(path, value):
    """Plain settings with a value at a path; `...` removes the field."""
    settings = stub.small_settings(steps=(2,)).to_dict()
    *place, name = path.split(".")
    node = settings
    for each in place:
        node = node[each]
    if value is ...:
        del node[name]
    else:
        node[name] = value
    return settings


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("seed", "three", "--config.seed='three': give a whole number"),
        ("seed", 0.5, "--config.seed=0.5: give a whole number"),
        ("seed", True, "--config.seed=True: give a whole number"),
        ("seed", -1, "--config.seed=-1: give at least 0"),
        ("tensorboard", 1, "--config.tensorboard=1: give True or False"),
        ("encoder", "resnet", "--config.encoder=resnet: unknown; choose one of light, deep, alexnet, vggface"),
        ("detail", "coarse", "--config.detail=coarse: unknown; choose one of standard, fine, face"),
        (
            "correctives.kind",
            "cubic",
            "--config.correctives.kind=cubic: unknown; choose one of none, linear, relu1, relu2",
        ),
        ("correctives.geometry", -1, "--config.correctives.geometry=-1: give at least 0"),
        ("correctives", "linear", "--config.correctives='linear': give a dict of fields"),
        ("stage_order", "stage0", "--config.stage_order='stage0': give a list"),
        ("stage_order", [], "--config.stage_order is empty; name the stages to train"),
        ("stage_order", ["first"], "--config.stage_order: there is no stage 'first'; the config has stage0"),
        ("stage_order", ["stage0"] * 2, "--config.stage_order: the stage 'stage0' is there twice"),
        ("stages.stage0.steps", 0, "--config.stages.stage0.steps=0: give at least 1"),
        ("stages.stage0.steps", ..., "--config.stages.stage0.steps: is missing; give a whole number"),
        ("stages.stage0.photos", -4, "--config.stages.stage0.photos=-4: give at least 0"),
        ("stages.stage0.level", "both", "--config.stages.stage0.level=both: unknown; choose one of base, full"),
        ("stages.stage0.level", "full", "stage 'stage0' trains both levels; give it a final one with --config.corr"),
        ("stages.stage0.base.photo", -1.0, "--config.stages.stage0.base.photo=-1.0: give at least 0"),
        ("stages.stage0.base.contour", "nose", "--config.stages.stage0.base.contour=nose: unknown; choose one of rays"),
        ("stages.stage0.score", float("nan"), "--config.stages.stage0.score=nan: give a finite number"),
        (
            "stages.stage0.occlusion",
            10.0,
            "stages.stage0.occlusion=10: the encoder light predicts no occlusion; give 0, ",
        ),
        (
            "stages.stage0.invariance",
            1.0,
            "--config.stages.stage0.changed_photos=8: a batch has 4 photos; give no more",
        ),
        ("stages.stage0.ema_decay", 1.0, "--config.stages.stage0.ema_decay=1.0: give less than 1"),
        (
            "stages.stage0.optimizer.name",
            "sgd",
            "--config.stages.stage0.optimizer.name=sgd: unknown; choose one of adad",
        ),
        ("stages.stage0.optimizer.schedule", "step", "unknown; choose one of constant, cosine"),
        ("stages.stage0.optimizer.groups.network.learning_rate", "1e-3", "learning_rate='1e-3': give a number"),
        ("stages.stage0.optimizer.groups.network.prefix", ..., "groups.network.prefix: is missing; give a text"),
        ("stages.stage0.rate", 3, "--config.stages.stage0.rate: the config has no such field; did you mean --config."),
    ],
)
def test_settings_that_cannot_be_used_are_refused_in_one_line(path, value, message):
    with pytest.raises(InputError) as error:
        run_config(spoiled(path, value))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_stage_without_rows_is_refused():
    settings = spoiled("stages.stage0.synthetic", 0)
    settings["stages"]["stage0"]["photos"] = 0
    with pytest.raises(InputError, match="its batches have no rows; give --config.stages.stage0.synthetic or "):
        run_config(settings)


def test_a_stage_of_both_levels_needs_photos():
    settings = stub.small_settings(rows=(4, 0), levels=["full"])
    with pytest.raises(InputError, match="stages.stage0: it trains both levels, which takes photos, and has none; "):
        run_config(settings)


def test_stages_that_are_not_trained_may_lack_what_training_needs():
    settings = ConfigDict(stub.small_settings(steps=(2, 2)))
    settings.stages.stage1.update(synthetic=0, photos=0)
    settings.stage_order = ("stage0",)
    assert list(run_config(settings).ordered_stages) == ["stage0"]


@pytest.mark.parametrize(
    "path, hint",
    [
        (
            "stages.stage0.rate",
            "--config.stages.stage0.optimizer.groups.network.learning_rate? stages.stage0 has base, ",
        ),
        ("stages.stage0.average", "did you mean --config.stages.stage0.ema_decay? stages.stage0 has base, "),
        ("stages.stage0.optimizer.lr", "did you mean --config.stages.stage0.optimizer.groups.network.learning_rate?"),
        ("stages.stage0.photo", "did you mean --config.stages.stage0.base.photo or --config.stages.stage0.full.photo?"),
        ("stages.first.steps", "did you mean --config.stages.stage0.steps"),
        ("stages.first.steps", "stages has stage0, stage1"),
        ("steps", "did you mean --config.stages.stage0.steps or --config.stages.stage1.steps? the config has answ"),
        ("sede", "did you mean --config.seed? the config has answers, "),
        ("seed.value", "--config.seed.value: the config has no such field; "),
        ("stages.stage0.qqq", "no such field; stages.stage0 has base, "),
    ],
)
def test_a_field_that_does_not_exist_is_answered_with_the_one_that_is_meant(path, hint):
    settings = as_dict(stub.small_config(steps=(2, 2)))
    assert hint in str(no_such_field(f"--config.{path}", settings))


def test_the_defaults_are_those_of_the_configs():
    assert as_dict(RunConfig())["stages"] == {} and RunConfig().encoder == "light"
