"""Results of a Reconstructor: faces, photos without one, and boxes that were dropped."""

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import NamedTuple

from fml_jax.reconstruction.reconstruction import Reconstruction
from fml_jax.reconstruction.sources import Box


class Failure(NamedTuple):
    """A photo without a face."""

    source: str  # its path or name
    reason: str  # one line that names the photo and the remedy


class DroppedFace(NamedTuple):
    """A box that the detector found and that scored under `min_score`."""

    source: str  # the photo's path or name
    box: Box
    score: float
    min_score: float

    @property
    def reason(self) -> str:
        """One line that names photo, box, score and the remedy."""
        place = ", ".join(f"{number:.0f}" for number in self.box)
        return (
            f"{self.source}: the box {place} scores {self.score:.2f} and does not look like a face; if it is one, set "
            f"min_score (--min_score) under {self.score:.2f} instead of {self.min_score:g}, or give the box"
        )


class Reconstructions(list[Reconstruction]):
    """The faces of one call, photos in order, a photo's faces largest first."""

    def __init__(
        self,
        faces: Iterable[Reconstruction] = (),
        failures: Iterable[Failure] = (),
        dropped: Iterable[DroppedFace] = (),
    ) -> None:
        super().__init__(faces)
        self.failures = list(failures)  # photos that gave no face
        self.dropped = list(dropped)  # detected boxes that scored too low, also in photos with other faces


class FaceStream(Iterator[Reconstruction]):
    """Reconstructions one after the other; `failures` and `dropped` grow as photos are worked on.

    `close()` ends the work early (`contextlib.closing` calls it).
    """

    def __init__(self, work: Callable[["FaceStream"], Generator[Reconstruction, None, None]]) -> None:
        """`work` is a generator function, which adds to the stream's `failures` and `dropped` as it yields faces."""
        self.failures: list[Failure] = []
        self.dropped: list[DroppedFace] = []
        self._faces = work(self)

    @classmethod
    def empty(cls) -> "FaceStream":
        """A stream without faces."""
        faces: tuple[Reconstruction, ...] = ()
        return cls(lambda _: (face for face in faces))

    def __next__(self) -> Reconstruction:
        return next(self._faces)

    def close(self) -> None:
        """Ends the work; no further face comes."""
        self._faces.close()
