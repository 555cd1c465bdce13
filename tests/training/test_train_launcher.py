"""What the launcher says when it cannot train."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICK = "--config=experiments/configs/quick.py"


@pytest.mark.parametrize(
    "argument, said",
    [
        ("--config=nope.py", "quick.py"),
        ("--config=experiments/configs/ablations.py:c7", "train: ablation 'c7' is unknown; choose one of c500, c250"),
        ("--config=experiments/configs/ablations.py:no_ref", "data/small: no such folder"),
        ("--learning=1", "train: Unknown command line flag 'learning'"),
        ("--config nope.py", "quick.py"),
        (
            "--config.lerning=1",
            "--config.lerning=1: the config has no such field, or not of this type; it has checkpoint_every, ",
        ),
        ("--config.steps=9", "close to it: stages.STAGE.steps"),
        ("--config.stages.synthetic.steps=-5", "--config.stages.synthetic.steps=-5: give at least 1"),
        ("--config.stages.synthetic.synthetic=0", "--config.stages.synthetic: its batches have no rows"),
        ("--coordinator=localhost:1", "--coordinator=localhost:1: also give --processes=N and --process=K"),
        ("--config.correctives.kind=cubic", "correctives.kind 'cubic' is unknown"),
        ("--config.stages.synthetic.level=full", "stage 'synthetic' trains both levels; give it a final one"),
        ("--config.encoder=resnet", "encoder 'resnet' is unknown; choose one of light"),
        ("--config.data.synthetic=/nowhere", "/nowhere: no such folder; make one with: python -m experiments.prepare"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path, argument, said):
    arguments = argument.split() if argument.startswith(("--config=", "--config ")) else [QUICK, argument]
    command = [sys.executable, "-m", "experiments.train", *arguments, f"--workdir={tmp_path}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert said in result.stderr.splitlines()[-1] and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "content, said",
    [("hello world", "config.py: not a Python file that can be run"), ("x = 1", "config.py: it has no get_config()")],
)
def test_a_file_that_is_no_config(tmp_path, content, said):
    path = tmp_path / "config.py"
    path.write_text(content)
    command = [sys.executable, "-m", "experiments.train", f"--config={path}", f"--workdir={tmp_path}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert said in result.stderr.splitlines()[-1] and "Traceback" not in result.stderr


def test_the_other_launcher_that_takes_configs_says_the_same():
    command = [sys.executable, "-m", "experiments.collectives", QUICK, "--config.sede=3"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("collectives: --config.sede=3: the config has no such field")


def test_a_workdir_that_is_a_file(tmp_path):
    (tmp_path / "taken.jpg").touch()
    command = [sys.executable, "-m", "experiments.train", QUICK, f"--workdir={tmp_path}/taken.jpg"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "taken.jpg: not a folder that can be written" in result.stderr.splitlines()[-1]
