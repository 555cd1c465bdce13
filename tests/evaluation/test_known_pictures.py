"""Pictures of known surfaces, by corpora; those of scans are tested with the table of geometry."""

import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.evaluation import known_pictures
from fml_jax.evaluation.known_pictures import corpus_pictures, key_of
from fml_jax.face_model.files import load_face_model


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
            return {name: column[: self._faces] for name, column in batch.items()}

    monkeypatch.setattr(known_pictures, "CorpusBatches", Batches)
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


def test_a_corpus_that_was_made_anew_has_other_keys(corpus):
    before = [key_of(picture) for picture in corpus_pictures("data/beyond", 3)]
    corpus["vertices"][2] += 1
    corpus["crop"][1, 5, 5] = 255
    after = [key_of(picture) for picture in corpus_pictures("data/beyond", 3)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False]
    assert len(set(before)) == 3
