"""The flag --config=NAME_OR_FILE, its overrides --config.FIELD=VALUE, and the errors of those that cannot be used."""

import difflib
from pathlib import Path

from absl import flags
from ml_collections import config_flags

import fml_jax.configs
from fml_jax.errors import InputError

flags.disclaim_key_flags()  # --config belongs to the launcher that defines it, and appears in its help

_CONFIGS = Path(fml_jax.configs.__file__).parent
_HELP = "Name of a config that comes with the package ({}), or a Python file whose get_config() describes the run."


def define_config_flag(flag_values: flags.FlagValues) -> flags.FlagHolder:
    """Defines the required flag --config; `parse_with_config` parses the command line."""
    flag = config_flags.DEFINE_config_file("config", None, _HELP.format(", ".join(named_configs())), flag_values)
    flags.mark_flag_as_required("config", flag_values)
    return flag


def named_configs() -> dict[str, Path]:
    """Files of the configs that come with the package, by name."""
    paths = sorted(_CONFIGS.glob("[!_]*.py"))
    return {path.stem: path for path in paths if path.stem != "common"}


def parse_with_config(flag_values: flags.FlagValues, arguments: list[str]) -> list[str]:
    """Parses a command line that has --config, for `run_launcher(parse_flags=...)`.

    Raises:
      InputError: the config does not exist, is no config, or has no such field.
    """
    arguments, path = _with_config_file(arguments)
    try:
        return flag_values(arguments)
    except (AttributeError, KeyError, TypeError):  # what ml_collections raises for a wrong override
        given = [argument for argument in arguments if argument.startswith("--config.")]
        if not given:
            fault = "it has no get_config() that returns a config; fml_jax/configs/quick.py is an example"
            raise InputError(f"--config={path}: {fault}") from None
        fault = "the config has no such field, or not of this type"
        raise InputError(f"{' '.join(given)}: {fault}; {_closest_fields(given)}") from None
    except (NameError, SyntaxError) as error:
        raise InputError(f"--config={path}: not a Python file that can be run: {error}") from None


def _with_config_file(arguments: list[str]) -> tuple[list[str], str]:
    """The command line with the config's name replaced by its file, and that file as given to --config."""
    arguments, path = list(arguments), ""
    for k, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag not in ("--config", "-config"):
            continue
        at = k if equals else k + 1
        if at < len(arguments):
            path = _config_file(value if equals else arguments[at])
            arguments[at] = f"{flag}={path}" if equals else path
    return arguments, path


def _config_file(given: str) -> str:
    """The file that a value of --config stands for, with what follows its colon."""
    name, colon, argument = given.partition(":")
    if name in named_configs():
        return f"{named_configs()[name]}{colon}{argument}"
    if not Path(name).is_file():
        known = ", ".join(named_configs())
        raise InputError(f"--config={given}: no such file, and no config of the package; these are {known}")
    return given


def _closest_fields(given: list[str]) -> str:
    """Where to look instead of fields that a config does not have."""
    fields = _field_names()
    wanted = [argument.removeprefix("--config.").partition("=")[0].split(".")[-1] for argument in given]
    unknown = [name for name in wanted if name not in {field.split(".")[-1] for field in fields}]
    for name in unknown or wanted:
        matches = difflib.get_close_matches(name, [field.split(".")[-1] for field in fields], n=1)
        if found := [field for field in fields if field.split(".")[-1] in matches]:
            return f"close to it: {', '.join(found)}"
    return f"it has {', '.join(dict.fromkeys(field.split('.')[0] for field in fields))}"


def _field_names() -> list[str]:
    """The path of each field that a config has."""
    from flax.traverse_util import flatten_dict

    from fml_jax.configs.common import defaults, stage

    config = defaults().to_dict()
    config["stages"] = {"STAGE": stage(steps=1, synthetic=1, photos=1, rate=0.0).to_dict()}
    return list(flatten_dict(config, sep="."))
