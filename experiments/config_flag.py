"""--config=FILE and --config.FIELD=VALUE on the command line, and what is told of those that cannot be used."""

import difflib
import sys
from pathlib import Path

from absl import flags

CONFIGS = Path(__file__).parent / "configs"


def parse_flags(program: str, arguments: list[str]) -> list[str]:
    """absl's parser, for `app.run(flags_parser=…)`; a config that cannot be used ends the program with one line.

    Args:
      program: whose name the line begins with.
    """
    path = _config_file(program, arguments)
    try:
        return flags.FLAGS(arguments)
    except flags.Error as error:  # of an error within get_config its text has the whole trace
        sys.exit(f"{program}: " + str(error).strip().splitlines()[-1].removeprefix("fml_jax.errors.InputError: "))
    except (AttributeError, KeyError, TypeError):  # what ml_collections raises for a wrong override
        given = [argument for argument in arguments if argument.startswith("--config.")]
        if not given:
            sys.exit(
                f"{program}: --config={path}: it has no get_config() that returns a config; see experiments/configs/quick.py"
            )
        sys.exit(
            f"{program}: {' '.join(given)}: the config has no such field, or not of this type; {_closest_fields(given)}"
        )
    except (NameError, SyntaxError) as error:
        sys.exit(f"{program}: --config={path}: not a Python file that can be run: {error}")


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
    """Of any config, with the path of each."""
    from flax.traverse_util import flatten_dict

    from experiments.configs.common import defaults, stage

    config = defaults().to_dict()
    config["stages"] = {"STAGE": stage(steps=1, synthetic=1, photos=1, rate=0.0).to_dict()}
    return list(flatten_dict(config, sep="."))


def _config_file(program, arguments) -> str | None:
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        name = following if argument in ("--config", "-config") else argument.removeprefix("--config=")
        if name != argument and not Path(name.partition(":")[0]).is_file():
            known = ", ".join(sorted(path.name for path in CONFIGS.glob("[!_]*.py") if path.stem != "common"))
            sys.exit(f"{program}: --config={name}: no such file; experiments/configs/ has {known}")
        if name != argument:
            return name
    return None
