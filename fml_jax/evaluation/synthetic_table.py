"""Table "synthetic": errors on renders whose codes are known."""

from pathlib import Path

import jax

from fml_jax.codes import unflatten_code
from fml_jax.corpus.card import check_face_model, open_corpus
from fml_jax.corpus.loader import CorpusBatches
from fml_jax.evaluation.code_errors import code_errors
from fml_jax.evaluation.job import Job
from fml_jax.evaluation.table import Part, Table

NAME = "synthetic"


def synthetic_table(job: Job, corpus: str) -> Table:
    """Measures all faces of a corpus in one batch; nothing of it is kept.

    Args:
      corpus: folder that `fml-prepare --layout=synthetic` made.

    Raises:
      InputError: no such corpus, or one of another face model.
    """
    reconstructor = job.reconstructor
    check_face_model(Path(corpus), open_corpus(corpus).card, reconstructor.model.name)
    faces = len(CorpusBatches(corpus, "all", 1))
    batch = CorpusBatches(corpus, "all", faces, jitter=0.0).batch(0)
    codes, _ = reconstructor.codes(batch["crop"])
    true = unflatten_code(batch["code"], reconstructor.model.code_sizes)
    own = code_errors(reconstructor.model, jax.device_get(codes), true)
    solved = code_errors(reconstructor.model, reconstructor.predict(batch["crop"]).codes, true)
    sums = [(name.replace("_", " "), own[name], solved[name]) for name in own]
    note = f"{faces} synthetic faces; ratios: the mean face scores 1."
    rows = [{"": name, "network alone": alone, "its colours solved": after} for name, alone, after in sums]
    return Table(NAME, "Synthetic faces", note, [Part(note, ("", "network alone", "its colours solved"), sums)], rows)
