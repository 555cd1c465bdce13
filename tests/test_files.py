import os

import pytest

from fml_jax import files
from fml_jax.errors import InputError
from fml_jax.files import all_complete_or_absent, all_together


def write(folder, *names):
    with all_complete_or_absent([folder / name for name in names]) as partials:
        for partial in partials:
            partial.write_text(partial.name)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_files_of_several_groups_get_their_names_at_the_end(tmp_path):
    with all_together():
        write(tmp_path, "a", "b")
        write(tmp_path, "c")
        assert len(names_in(tmp_path)) == 3 and not {"a", "b", "c"} & set(names_in(tmp_path))
    assert names_in(tmp_path) == ["a", "b", "c"]
    write(tmp_path, "d")  # a group by itself again
    assert "d" in names_in(tmp_path)


def test_an_error_after_a_group_leaves_none_of_its_files_and_the_older_ones_as_they_were(tmp_path):
    (tmp_path / "a").write_text("older")
    with pytest.raises(KeyboardInterrupt), all_together():
        write(tmp_path, "a", "b")
        raise KeyboardInterrupt
    assert names_in(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "older"


def test_files_of_a_group_that_failed_get_no_names_though_the_error_is_caught(tmp_path):
    with all_together():
        write(tmp_path, "a")
        with pytest.raises(RuntimeError), all_complete_or_absent([tmp_path / "b"]) as (partial,):
            partial.write_text("half")
            raise RuntimeError
    assert names_in(tmp_path) == ["a"]


def test_the_outermost_context_counts(tmp_path):
    with pytest.raises(RuntimeError), all_together():
        with all_together():
            write(tmp_path, "a")
        assert "a" not in names_in(tmp_path)
        raise RuntimeError
    assert names_in(tmp_path) == []


def test_a_path_cannot_be_written_twice_at_the_same_time(tmp_path):
    with pytest.raises(ValueError, match="written twice.*a"), all_together():
        write(tmp_path, "a")
        write(tmp_path, "a")
    assert names_in(tmp_path) == []


def test_an_error_of_the_program_between_groups_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), all_together():
        write(tmp_path, "a")
        open(tmp_path / "missing")
    assert names_in(tmp_path) == []


def test_a_name_that_cannot_be_given_leaves_no_file_of_any_group(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match=f"{tmp_path / 'a'}: cannot be written"), all_together():
        write(tmp_path, "a", "b")
        write(tmp_path, "c")
    assert names_in(tmp_path) == ["a"] and (tmp_path / "a").is_dir()


def test_an_error_of_a_group_names_a_file_of_it(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path / 'b'}: cannot be written"), all_together():
        write(tmp_path, "a")
        with all_complete_or_absent([tmp_path / "b"]):
            raise PermissionError(13, "Permission denied")
    assert names_in(tmp_path) == []


def test_files_are_synced_before_any_has_its_name(tmp_path, monkeypatch):
    synced = []

    def sync(descriptor, original=os.fsync):
        synced.append(all(name.endswith(files.PARTIAL_SUFFIX) for name in names_in(tmp_path)))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    with all_together():
        write(tmp_path, "a", "b")
        assert not synced
        write(tmp_path, "c")
    assert synced == [True] * 3
