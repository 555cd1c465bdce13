"""The messages of the launcher when it cannot train."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.launchers.launching import launch

ROOT = Path(__file__).parents[2]
QUICK = "--config=quick"


@pytest.mark.parametrize(
    "argument, said",
    [
        (
            "--config=nope.py",
            "--config=nope.py: no such file, and no config of the package; these are ablations, beyond, ",
        ),
        ("--config=ablations:c7", "train: ablation 'c7' is unknown; choose one of c500, c250"),
        ("--config=ablations:no_ref", "data/small: no such folder"),
        ("--learning=1", "train: Unknown command line flag 'learning'"),
        ("--config nope.py", "these are ablations, beyond, "),
        (
            "--config.lerning=1",
            "optimizer.groups.network.learning_rate? the config has answers, checkpoint_every, correctives, ",
        ),
        (
            "--config.steps=9",
            "did you mean --config.stages.synthetic.steps? the config has answers, checkpoint_every, ",
        ),
        ("--config.seed=x", "--config.seed=x: give a whole number"),
        ("--config.tensorboard=maybe", "--config.tensorboard=maybe: give True or False"),
        (
            "--config.stages.synthetic.rate=3",
            "--config.stages.synthetic.rate: the config has no such field; did you mean "
            "--config.stages.synthetic.optimizer.groups.network.learning_rate? stages.synthetic has base, ",
        ),
        ("--config.stages.synthetic.steps=-5", "--config.stages.synthetic.steps=-5: give at least 1"),
        ("--config.stages.synthetic.synthetic=0", "--config.stages.synthetic: its batches have no rows"),
        ("--coordinator=localhost:1", "--coordinator=localhost:1: also give --processes=N and --process=K"),
        ("--config.correctives.kind=cubic", "--config.correctives.kind=cubic: unknown; choose one of none, linear"),
        ("--config.stages.synthetic.level=full", "it trains both levels, which takes photos, and has none"),
        ("--config.encoder=resnet", "--config.encoder=resnet: unknown; choose one of light"),
        ("--config.data.synthetic=/nowhere", "/nowhere: no such folder; make one with: fml-prepare"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path, argument, said):
    arguments = argument.split() if argument.startswith(("--config=", "--config ")) else [QUICK, argument]
    result = launch("train", *arguments, f"--workdir={tmp_path}")
    assert result.returncode == 1
    assert said in result.stderr.splitlines()[-1] and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "content, said",
    [("hello world", "config.py: not a Python file that can be run"), ("x = 1", "config.py: it has no get_config()")],
)
def test_a_file_that_is_no_config(tmp_path, monkeypatch, content, said):
    path = tmp_path / "config.py"
    path.write_text(content)
    monkeypatch.delitem(sys.modules, "config_config", raising=False)  # ml_collections loads each file under this name
    result = launch("train", f"--config={path}", f"--workdir={tmp_path}")
    assert result.returncode == 1
    assert said in result.stderr.splitlines()[-1] and "Traceback" not in result.stderr


def test_the_other_launcher_that_takes_configs_says_the_same():
    result = launch("collectives", QUICK, "--config.sede=3")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(
        "collectives: --config.sede: the config has no such field; did you mean --config.seed? "
    )


def test_a_workdir_that_is_a_file(tmp_path):
    (tmp_path / "taken.jpg").touch()
    result = launch("train", QUICK, f"--workdir={tmp_path}/taken.jpg")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "taken.jpg: not a folder that can be written" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("config", ["quick", "fml_jax/configs/quick.py", "experiments/configs/quick.py"])
def test_a_config_is_named_or_a_file(tmp_path, config):
    result = launch("train", f"--config={config}", f"--workdir={tmp_path}")
    assert "--config.data.synthetic=data/quick: no such folder" in result.stderr


LAUNCHERS = [
    "ablate",
    "collectives",
    "evaluate",
    "evaluate_detection",
    "fit_score",
    "prepare",
    "reconstruct",
    "report",
    "train",
]


@pytest.mark.parametrize("name", LAUNCHERS)
def test_help_shows_the_flags_and_how_the_program_is_started(name):
    result = launch(name, "--help")
    assert result.returncode == 0 and f"fml-{name.replace('_', '-')} --" in result.stdout
    assert any(flag in result.stdout for flag in ("  --config: ", "  --output: ", "  --workdir: "))


def test_the_files_of_the_experiments_folder_start_the_launchers_too():
    command = [sys.executable, "-m", "experiments.train", "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "python -m experiments.train --config=quick" in result.stdout and "  --data_workers: " in result.stdout


def test_an_argument_that_is_no_flag_is_refused():
    result = launch("report", "runs/small", "--workdir=runs/small")
    assert (result.returncode, result.stderr) == (1, "report: runs/small: not a flag; see --help\n")
