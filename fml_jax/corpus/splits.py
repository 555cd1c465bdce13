"""Which split a person's photos belong to: training, validation or test.

A split is a function of the person's name alone, so that it is the same in every collection: most people of
YouTube Faces are in Labeled Faces in the Wild, too, under the same names.

Choices (thresholds, checkpoints, hyperparameters) are made on the validation split. The test split is for results
that are reported; nothing is trained on it or chosen by it.
"""

import hashlib
from typing import Literal

from fml_jax.errors import printable

Split = Literal["train", "validation", "test"]

PARTS = 16  # people fall into as many parts by a hash of their names; one part is each held-out split
VALIDATION_PART, TEST_PART = 0, 2


def split_of(person: str) -> Split:
    """The split of a person.

    Args:
      person: the name that folders of photos have, such as "Ada_Lovelace". Spaces count as underscores. The empty
        name (renders, photos of nobody in particular) belongs to "train".
    """
    if not person:
        return "train"
    name = printable(person).strip().replace(" ", "_")
    part = int(hashlib.sha1(name.encode()).hexdigest(), 16) % PARTS
    return "validation" if part == VALIDATION_PART else "test" if part == TEST_PART else "train"
