"""Writes WORKDIR/report.html: the curves and picture sheets of a training run on one page, at any time of the run.

    fml-report --workdir=runs/small

The page needs no other file and no network. Dotted lines mark the ends of stages.
"""

from pathlib import Path

from absl import flags

from fml_jax.launchers.command_line import run_launcher

_FLAGS = flags.FlagValues()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a run of fml-train.", required=True, flag_values=_FLAGS)


def main() -> None:
    """Writes the report."""
    from fml_jax.training.report import write_report

    print(f"report: {write_report(Path(_WORKDIR.value))}")


def run() -> None:
    """The command `fml-report`."""
    run_launcher(main, _FLAGS)
