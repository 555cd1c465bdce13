"""Rows depend on what they were measured with."""

from pathlib import Path

from fml_jax.evaluation import job
from fml_jax.evaluation.job import Job, sources_digest


def sources(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = folder / "room" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_rows_of_another_program_are_kept_apart(tmp_path, monkeypatch):
    settings = Job(tmp_path).about()
    other = sources(tmp_path / "other", losses="changed = 1")
    monkeypatch.setattr(job, "SOURCES", other)
    changed = Job(tmp_path).about()
    assert {name for name in settings if settings[name] != changed[name]} == {"program"}


def test_the_digest_of_a_program_depends_on_names_and_contents_of_its_files_alone(tmp_path):
    first = sources(tmp_path / "a", losses="x = 1", model="y = 2")
    same = sources(tmp_path / "b", model="y = 2", losses="x = 1")
    (same / "room" / "notes.txt").write_text("no part of the program")
    edited = sources(tmp_path / "c", losses="x = 2", model="y = 2")
    renamed = sources(tmp_path / "d", terms="x = 1", model="y = 2")
    assert sources_digest(first) == sources_digest(same)
    assert len({sources_digest(folder) for folder in (first, edited, renamed)}) == 3
