"""The flag --config=NAME_OR_FILE, its overrides --config.FIELD=VALUE, and their errors."""

import re
from pathlib import Path
from typing import no_type_check

from absl import flags
from ml_collections import ConfigDict, config_flags

import fml_jax.configs
from fml_jax.errors import InputError
from fml_jax.training.config_fields import no_such_field, type_in_words, value_at

flags.disclaim_key_flags()  # --config belongs to the launcher that defines it, and appears in its help

_CONFIGS = Path(fml_jax.configs.__file__).parent
_HELP = "Name of a config of the package ({}), or a Python file whose get_config() returns the settings of the run."


@no_type_check  # absl finds the module that the flag belongs to by the stack; a wrapper would stand in between
def define_config_flag(flag_values: flags.FlagValues) -> flags.FlagHolder:
    """Defines the required flag --config; `parse_with_config` parses the command line."""
    flag = config_flags.DEFINE_config_file("config", None, _HELP.format(", ".join(named_configs())), flag_values)
    flags.mark_flag_as_required("config", flag_values)
    return flag


def with_face_model(config: ConfigDict, path: str | None) -> ConfigDict:
    """The config with the face model of the flag --face_model, if that is given."""
    if path is not None:
        config.model = path
    return config


def named_configs() -> dict[str, Path]:
    """The files of the package's configs, by name."""
    paths = sorted(_CONFIGS.glob("[!_]*.py"))
    return {path.stem: path for path in paths if path.stem != "common"}


def parse_with_config(flag_values: flags.FlagValues, arguments: list[str]) -> list[str]:
    """Parses a command line that has --config, for `run_launcher(parse_flags=...)`.

    Raises:
      InputError: the config does not exist or is no config, or a field in the command line does not exist.
    """
    arguments, path = _with_config_file(arguments)
    try:
        return flag_values(arguments)
    except (AttributeError, KeyError, TypeError):  # what ml_collections raises for a wrong override
        raise _override_error(arguments, path) from None
    except flags.IllegalFlagValueError as error:
        raise _value_error(error, path) from None
    except (NameError, SyntaxError) as error:
        raise InputError(f"--config={path}: not a Python file that can be run: {error}") from None


def _without_overrides(path: str) -> dict:
    """The fields of a config as its file sets them."""
    values, arguments = flags.FlagValues(), ["", f"--config={path}"]
    config_flags.DEFINE_config_file("config", None, "", values, sys_argv=arguments)
    values(arguments)
    return values.config.to_dict()


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


def _override_error(arguments: list[str], path: str) -> InputError:
    """The error of a command line that ml_collections rejects."""
    try:
        config = _without_overrides(path)
    except (AttributeError, KeyError, TypeError):
        fault = "it has no get_config() that returns a config; fml_jax/configs/quick.py is an example"
        return InputError(f"--config={path}: {fault}")
    given = [argument for argument in arguments if argument.startswith(("--config.", "-config."))]
    for argument in given:
        field = "--" + argument.lstrip("-").partition("=")[0]
        if value_at(field, config) is None:
            return no_such_field(field, config)
    return InputError(f"{' '.join(given)}: a value has another type than its field; {path} shows the types")


def _value_error(error: flags.IllegalFlagValueError, path: str) -> Exception:
    """The error of an override whose value cannot be converted to the type of its field."""
    found = re.match(r"flag (?P<field>--config\.[\w.]+)=(?P<value>.*?): ", str(error), re.DOTALL)
    if found is None:
        return error
    kind = type(value_at(found["field"], _without_overrides(path)))
    return InputError(f"{found['field']}={found['value']}: give {type_in_words(kind)}")
