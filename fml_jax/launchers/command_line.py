"""What all launchers share: the flags of one program, its help, and errors in one line."""

import functools
import inspect
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import no_type_check

from absl import app, flags, logging

from fml_jax.compilation_cache import keep_compiled_programs
from fml_jax.errors import InputError

flags.disclaim_key_flags()  # --face_model belongs to the launcher that defines it, and appears in its help

_FACE_MODEL_HELP = "A face model that fml-import-face-model wrote, instead of the open model."
_HELP_FLAGS = {"-h", "-help", "--help", "-helpshort", "--helpshort"}


@no_type_check  # absl finds the module that the flag belongs to by the stack; a wrapper would stand in between
def define_face_model_flag(flag_values: flags.FlagValues) -> flags.FlagHolder:
    """Defines the flag --face_model, which has the same meaning for all commands."""
    return flags.DEFINE_string("face_model", None, _FACE_MODEL_HELP, flag_values=flag_values)


@no_type_check  # as above
def define_runner_flag(flag_values: flags.FlagValues) -> flags.FlagHolder:
    """Defines the flag --runner of commands that work in several processes."""
    return flags.DEFINE_enum(
        "runner",
        "local",
        ["local", "ray"],
        "Processes of this machine, or a Ray cluster (RAY_ADDRESS).",
        flag_values=flag_values,
    )


def run_launcher(
    main: Callable[[], int | None],
    flag_values: flags.FlagValues,
    parse_flags: Callable[[flags.FlagValues, list[str]], list[str]] = flags.FlagValues.__call__,
) -> None:
    """Parses the command line, calls `main` and ends the process with its exit status.

    Each launcher has a `FlagValues` of its own, so that several launchers can be imported by one program. absl's own
    flags, such as `--flagfile`, are accepted as well.

    Args:
      main: the launcher's body; the module that defines it gives the program's name and the text of `--help`.
        An `InputError` that it raises is printed in one line.
      flag_values: the launcher's flags.
      parse_flags: parses the command line into the flags, and returns what is left of it.
    """
    main = inspect.unwrap(main)  # tests wrap it in checks of its types, from another file
    name = Path(inspect.getfile(main)).stem
    own = list(flag_values)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be no text

    def parse(arguments: list[str]) -> list[str]:
        if _HELP_FLAGS.intersection(arguments):
            print(_help(main, flag_values))
            sys.exit(0)
        _add_absls_own(flag_values)
        try:
            rest = parse_flags(flag_values, arguments)
        except flags.Error as error:
            sys.exit(f"{name}: {_in_one_line(error)}")
        except InputError as error:
            sys.exit(f"{name}: {error}")
        if len(rest) > 1:
            sys.exit(f"{name}: {rest[1]}: not a flag; see --help")
        if empty := [flag for flag in own if _is_empty(flag_values[flag])]:
            sys.exit(f"{name}: --{empty[0]} is empty; give a value, or leave the flag out")
        flags.FLAGS.mark_as_parsed()  # it shares its flags with `flag_values`; app.run reads them there
        return rest

    app.run(functools.partial(_call, main, name), flags_parser=parse)


def _call(main: Callable[[], int | None], name: str, _: list[str]) -> int | None:
    logging.set_verbosity(logging.WARNING)  # JAX and Orbax log much at absl's default level
    keep_compiled_programs()
    try:
        return main()
    except InputError as error:
        sys.exit(f"{name}: {error}")


def _add_absls_own(flag_values: flags.FlagValues) -> None:
    """Adds absl's flags, and none of other programs that happen to be imported."""
    for module, own in flags.FLAGS.flags_by_module_dict().items():
        if module.partition(".")[0] == "absl":
            for flag in own:
                flag_values[flag.name] = flag


def _is_empty(flag: flags.Flag) -> bool:
    """Whether the user gave an empty value, as a shell does whose variable is unset; as a path it would be `.`."""
    values = flag.value if isinstance(flag.value, list) else [flag.value]
    return bool(flag.present) and "" in values


def _in_one_line(error: flags.Error) -> str:
    text = str(error).strip().splitlines()[-1]  # of an error within a config's get_config() it has the whole traceback
    missing = re.match(r"flag (--\w+)=None: Flag \S+ must have a value", text)
    return f"{missing[1]} is missing; see --help" if missing else text.removeprefix("fml_jax.errors.InputError: ")


def _help(main: Callable[[], int | None], flag_values: flags.FlagValues) -> str:
    text = main.__globals__["__doc__"]
    if sys.argv[0].endswith(".py"):  # python -m experiments.NAME, where the commands may not be installed
        text = re.sub(r"\bfml-([a-z-]+)", lambda match: f"python -m experiments.{match[1].replace('-', '_')}", text)
    return f"{text}\nflags:\n{flag_values.module_help(main.__module__)}"
