"""Writes WORKDIR/report.html: a training run's curves and picture sheets on one page, at any time of the run.

    python -m experiments.report --workdir=runs/small

The page needs no other file and no network. Dotted lines are where a stage ends.
"""

import sys
from pathlib import Path

from absl import app, flags

from fml_jax.errors import InputError

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a run of experiments.train.")


def main(_):
    from fml_jax.training.report import write_report

    try:
        print(f"report: {write_report(Path(_WORKDIR.value))}")
    except InputError as error:
        sys.exit(f"report: {error}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir"])
    app.run(main)
