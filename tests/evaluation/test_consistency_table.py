"""The table of consistency, on the astronaut under several names."""

import cv2
import pytest
from skimage import data

from fml_jax.corpus.splits import split_of
from fml_jax.errors import InputError
from fml_jax.evaluation.consistency_table import consistency_table, frames_of_people
from fml_jax.evaluation.job import Job

PEOPLE = [f"Person_{k}" for k in range(200) if split_of(f"Person_{k}") == "validation"][:2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two people of the validation split, with two photos and one; the second is the first, mirrored and stretched."""
    folder = tmp_path_factory.mktemp("people")
    bgr = cv2.cvtColor(data.astronaut()[:320, 60:400], cv2.COLOR_RGB2BGR)
    wide = cv2.resize(bgr, (430, 320))
    for person, name, picture in (
        (0, "a", bgr),
        (0, "b", cv2.GaussianBlur(bgr, (0, 0), 1)),
        (1, "a", wide),
        (1, "b", wide),
    ):
        (folder / PEOPLE[person]).mkdir(exist_ok=True)
        cv2.imwrite(str(folder / PEOPLE[person] / f"{name}.png"), picture)
    return folder


def test_photos_of_one_person_are_nearer_and_changes_are_listed(folder, tmp_path, reconstructor, monkeypatch):
    monkeypatch.setattr(Job, "reconstructor", reconstructor)
    job = Job(tmp_path, count=4)
    table = consistency_table(job, str(folder), None, people=20, frames_each=10)
    identity, changes = table.parts
    assert [row[:5] for row in identity.rows] == [("photos", f"{name} level", 2, 4, 2) for name in ("base", "final")]
    assert float(identity.rows[0][7]) < 1  # within : between
    of_base = {row[0].split(",")[0]: float(row[2]) for row in changes.rows if "base level" in row[0]}
    assert set(of_base) == {"mirrored", "shifted", "half size", "blurred", "JPEG"}
    assert 0 < of_base["JPEG"] < 3 and 0 < of_base["mirrored"] < 4
    assert table.sheet is not None


def test_frames_are_spread_over_a_persons_clip(folder):
    found = frames_of_people(str(folder), "validation", 1, most=2)
    assert [path.name for path in found] == ["a.png", "b.png"] and len({path.parent for path in found}) == 1
    assert len(frames_of_people(str(folder), "validation", 5, most=10)) == 4
    with pytest.raises(InputError, match="no folder's name falls into the test split"):
        frames_of_people(str(folder), "test", 1, most=2)


def test_data_are_asked_for(tmp_path):
    with pytest.raises(InputError, match="give --photos=FOLDER, --frames=FOLDER or both"):
        consistency_table(Job(tmp_path), None, None, people=2, frames_each=2)
