"""Pictures of known surfaces, by corpora; those of scans are tested with the table of geometry."""

from types import SimpleNamespace

import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.evaluation import known_pictures
from fml_jax.evaluation.known_pictures import corpus_pictures, key_of
from fml_jax.face_model.files import OPEN_MODEL, load_face_model


@pytest.fixture
def corpus(monkeypatch):
    """Stands in for a corpus of three faces; the fixture's dictionary is its batch."""
    mean = np.asarray(load_face_model(None, "face").mean)
    batch = {
        "crop": np.stack([np.full((240, 240, 3), 10 * k, np.uint8) for k in range(3)]),
        "vertices": np.stack([mean + k for k in range(3)]),
    }

    class Batches:
        def __init__(self, folder, split, faces, **settings):
            self._faces = faces

        def __len__(self):
            return 3

        def batch(self, step):
            return {name: column[: self._faces] for name, column in batch.items() if name != "settings"}

    monkeypatch.setattr(known_pictures, "CorpusBatches", Batches)
    card = {"settings": {"model": load_face_model().name}}
    monkeypatch.setattr(known_pictures, "open_corpus", lambda folder: SimpleNamespace(card=card))
    batch.update(card)
    return batch


def test_renders_come_with_their_own_surfaces(corpus):
    pictures = list(corpus_pictures("data/beyond", 2))
    assert [picture.name for picture in pictures] == ["beyond_0", "beyond_1"]
    assert pictures[1].rgb[0, 0, 0] == 10 and pictures[1].group == "renders of beyond"
    np.testing.assert_allclose(pictures[1].known.mesh.vertices, corpus["vertices"][1])
    assert not list(corpus_pictures(None, 2))


def test_a_corpus_without_surfaces_is_refused(corpus):
    del corpus["vertices"]
    with pytest.raises(InputError, match="no true surfaces are stored in it"):
        list(corpus_pictures("data/plain", 2))


def test_renders_of_another_model_have_that_models_surface(corpus, tmp_path):
    path = tmp_path / "other.npz"
    with np.load(OPEN_MODEL, allow_pickle=False) as file:
        np.savez(path, **{name: file[name] for name in file.files} | {"name": np.array("other")})
    corpus["settings"]["model"] = load_face_model(path).name
    assert [each.model.name for each in corpus_pictures("data/beyond", 1, str(path))] == [load_face_model(path).name]
    with pytest.raises(InputError, match="data/beyond: rendered from the face model other-"):
        list(corpus_pictures("data/beyond", 1))


def test_a_corpus_that_was_made_anew_has_other_keys(corpus):
    before = [key_of(picture) for picture in corpus_pictures("data/beyond", 3)]
    corpus["vertices"][2] += 1
    corpus["crop"][1, 5, 5] = 255
    after = [key_of(picture) for picture in corpus_pictures("data/beyond", 3)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False]
    assert len(set(before)) == 3
