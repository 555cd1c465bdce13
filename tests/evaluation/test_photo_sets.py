"""Which photos are measured, and what their names say."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fml_jax.corpus.splits import split_of
from fml_jax.errors import InputError
from fml_jax.evaluation.photo_sets import (
    described,
    held_out_photos,
    photos_to_measure,
    read_with_surroundings,
    split_of_photo,
    with_company,
)

NAMED = [f"{age}_{age % 2}_{age % 5}_2017{age:04d}.png" for age in range(10, 50)]


def write(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.full((60, 40, 3), 90, np.uint8))
    return path


def test_names_like_utkfaces_say_age_and_group():
    assert described(Path("a/34_1_2_20170109.jpg.chip.jpg")) == (34, "Asian")
    assert described(Path("110_0_0_2017.jpg")) == (110, "White")
    assert described(Path("34_1_7_2017.jpg")) is None and described(Path("Ada_0001.jpg")) is None


def test_named_photos_are_held_out_one_by_one_and_mixed(tmp_path):
    for name in NAMED:
        write(tmp_path / name)
    of_test, of_validation = (photos_to_measure(str(tmp_path), split) for split in ("test", "validation"))
    assert {path.name for path in of_test} == {name for name in NAMED if split_of_photo(Path(name)) == "test"}
    assert not set(of_test) & set(of_validation) and len(of_validation) > 2
    ages = [described(path).age for path in of_test]
    assert ages != sorted(ages)  # the first few are of all ages
    for path in of_test:
        path.unlink()
    with pytest.raises(InputError, match="no photo falls into the test split"):
        photos_to_measure(str(tmp_path), "test")


def test_other_photos_are_held_out_by_their_folders(tmp_path):
    people = [f"Person_{k}" for k in range(60)]
    for person in people:
        write(tmp_path / person / "a.png")
    found = photos_to_measure(str(tmp_path), "validation")
    assert [path.parent.name for path in found] == sorted(p for p in people if split_of(p) == "validation")
    assert found == held_out_photos(str(tmp_path), "validation")
    with pytest.raises(InputError, match="no folder's name falls into the test split"):
        held_out_photos(str(found[0].parent), "test")


def test_only_photos_that_a_face_fills_are_padded(tmp_path):
    assert read_with_surroundings(write(tmp_path / "30_0_1_x.png")).shape == (96, 76, 3)
    assert read_with_surroundings(write(tmp_path / "Ada.png")).shape == (60, 40, 3)


def test_who_is_alone_tells_nothing_about_same_people():
    paths = [Path("Ada/a.png"), Path("Ada/b.png"), Path("Bob/a.png")]
    assert with_company(paths) == paths[:2]
