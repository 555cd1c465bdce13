"""What the tables of one run of `fml-evaluate` have in common."""

import hashlib
from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from fml_jax.errors import InputError
from fml_jax.evaluation.kept_rows import KeptRows
from fml_jax.evaluation.table import Table, write_table
from fml_jax.face_model.files import OPEN_MODEL
from fml_jax.reconstruction.open_network import OPEN_WEIGHTS
from fml_jax.reconstruction.reconstructor import Reconstructor

SOURCES = Path(__file__).resolve().parents[1]  # the package


@dataclass(frozen=True)
class Job:
    """The network that is measured, where results go, and how much is measured."""

    output: Path
    weights: str | None = None  # None: the network that comes along
    face_model: str | None = None
    count: int = 400  # photos, frames or renders
    refine: bool = True  # also measure refined faces
    split: str = "validation"  # whose photos
    most: int | None = None  # of a table with another default: benchmarks' is all photos
    workers: int | None = None  # processes that measure; None: as many as are worth their start

    def __getstate__(self) -> dict[str, Any]:
        """The settings alone: each process loads its own network."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def reconstructor(self) -> Reconstructor:
        """Reconstructs both levels, whatever a face scores. Loaded when something is measured that is not kept yet."""
        return self.reconstructor_with()

    def load(self) -> None:
        """Loads the network now, so that files that do not fit are named before photos are looked for.

        Raises:
          InputError: the weights or the face model cannot be read, or do not belong together.
        """
        _ = self.reconstructor

    def reconstructor_with(self, **settings: Any) -> Reconstructor:
        """The same network with other settings."""
        return Reconstructor(self.weights, min_score=0.0, face_model=self.face_model, **settings)

    def about(self, **settings: Any) -> dict[str, Any]:
        """What rows depend on.

        These are the network, the face model and the program by their files' contents, and a table's own settings.
        """
        files = {"weights": self.weights or OPEN_WEIGHTS, "face_model": self.face_model or OPEN_MODEL}
        digests = {name: _digest(Path(path)) for name, path in files.items()}
        program = sources_digest(SOURCES)
        return digests | {"program": program, "refine": self.refine} | settings

    def rows(self, name: str, **settings: Any) -> KeptRows:
        """The kept rows of a table with these settings.

        Raises:
          InputError: the output folder cannot be written, or a file is missing.
        """
        return KeptRows(self.output, name, self.about(**settings))

    def write(self, table: Table, **settings: Any) -> None:
        """Writes a table's files and prints its parts.

        Raises:
          InputError: a file cannot be written.
        """
        files = {"weights": self.weights or "those that come along", "face_model": self.face_model or "the open model"}
        write_table(self.output, table, files | {"refine": self.refine} | settings)
        print(f"{table.title}\n\n{table.markdown()}\n")


@cache
def sources_digest(root: Path) -> str:
    """A digest of the Python files in a folder, which changes with every change of one of them."""
    digest = hashlib.sha1()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _digest(path: Path) -> str:
    try:
        return hashlib.sha1(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
