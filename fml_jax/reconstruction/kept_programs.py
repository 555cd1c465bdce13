"""Compiled programs whose traces are kept on disk, so that the next start of a command traces nothing.

JAX keeps compiled programs (`compilation_cache`), but finds them by their traces: without this module, tracing and
lowering the network takes longer than all else between Enter and the first face.

A program may be compiled twice: quickly, for its first runs, and for good once it has run often.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

import jax
from jax import export

from fml_jax.codes import FaceCode, FinalCode
from fml_jax.errors import InputError
from fml_jax.files import complete_or_absent
from fml_jax.reconstruction.decoding import DecodedFace
from fml_jax.reconstruction.prediction import Prediction

_PACKAGE = Path(__file__).parents[1]
_DIGEST = hashlib.sha256().digest_size

OFTEN = 10  # runs of a quickly compiled program, after which it is compiled for good

for _tuple in (Prediction, DecodedFace):
    export.register_namedtuple_serialization(_tuple, serialized_name=_tuple.__name__)
for _node in (FaceCode, FinalCode):
    export.register_pytree_node_serialization(
        _node, serialized_name=_node.__name__, serialize_auxdata=lambda _: b"", deserialize_auxdata=lambda _: ()
    )


_beside: list[Callable[[], object]] = []  # what `beside_compilation` was given


_compiling: list[threading.Thread] = []  # in which programs are compiled for good


def compiled_for_good() -> None:
    """Waits until programs that have run often are compiled for good; benchmarks measure these."""
    while _compiling:
        _compiling.pop().join()


def beside_compilation(work: Callable[[], object]) -> None:
    """Does some work in a thread of its own when XLA compiles the next program, or reads it; never if there is none.

    XLA does not hold Python's lock. Beside tracing, which does, work would take several times as long, and slow the
    tracing down.
    """
    _beside.append(work)


class KeptProgram:
    """A pure function of arrays in pytrees, compiled once for each structure and shape of its arguments.

    Its results are arrays, `Prediction`s, or tuples of these and of codes.
    """

    def __init__(
        self,
        function: Callable,
        name: str,
        options: Mapping[str, Any] | None = None,
        *,
        for_good: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Args:
          name: part of the file name of its traces; no two functions share one.
          options: of XLA's compiler.
          for_good: options with which the program is compiled again after `OFTEN` runs, in a thread of its own. Where
            that has happened before, and the compiled program was kept, the next start takes it from the first run on.
        """
        self._function, self._name = function, name
        self._options, self._for_good = (None if each is None else dict(each) for each in (options, for_good))
        self._compiled: dict[Any, Callable] = {}
        self._quick_runs: dict[Any, int] = {}  # of programs that may be compiled for good

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """The function's result; arrays are on the device."""
        leaves, structure = jax.tree.flatten((arguments, keywords))
        key = (structure, *((leaf.shape, str(leaf.dtype)) for leaf in leaves))
        if key not in self._compiled:
            return self._first_run(key, leaves, structure)
        if key in self._quick_runs:
            self._quick_runs[key] += 1
            if self._quick_runs[key] == OFTEN:
                # When Python ends, it waits for the thread: for some seconds, and once on a machine.
                _compiling.append(threading.Thread(target=self._compile_for_good, args=(key, leaves, structure)))
                _compiling[-1].start()
        return self._compiled[key](leaves)

    def _first_run(self, key: Any, leaves: list, structure: Any) -> Any:
        path, quick = self._path(leaves, structure), True
        if self._for_good is not None:
            quick = path is None or not _was_compiled(_for_good(path))
            if quick:
                self._quick_runs[key] = 1
        with _once_on_the_machine(path if quick else _for_good(path)):
            options = self._options if quick else self._for_good
            compiled = jax.jit(self._of_leaves(leaves, structure, path), compiler_options=options)
            while _beside:
                threading.Thread(target=_beside.pop()).start()
            result = compiled(leaves)
        self._compiled[key] = compiled
        return result

    def _compile_for_good(self, key: Any, leaves: list, structure: Any) -> None:
        path = self._path(leaves, structure)
        with _once_on_the_machine(_for_good(path)):
            function = jax.jit(self._of_leaves(leaves, structure, path), compiler_options=self._for_good)
            self._compiled[key] = function.lower(leaves).compile()

    def _path(self, leaves: list, structure: Any) -> Path | None:
        """Where the trace is kept; None where none is."""
        folder = _setting("jax_compilation_cache_dir")
        if folder is None or jax.default_backend() != "cpu":
            return None
        shapes = [(leaf.shape, str(leaf.dtype)) for leaf in leaves]
        text = repr((self._name, structure, shapes, _circumstances()))
        return Path(folder) / f"trace_{self._name}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"

    def _of_leaves(self, leaves: list, structure: Any, path: Path | None) -> Callable:
        """The function of its arguments' leaves, from disk where it was kept."""

        def function(leaves):
            arguments, keywords = jax.tree.unflatten(structure, leaves)
            return self._function(*arguments, **keywords)

        if path is None:
            return function
        kept = _read(path)
        if kept is None:
            kept = export.export(jax.jit(function))(leaves)
            _write(path, kept)
        return kept.call


@contextlib.contextmanager
def _once_on_the_machine(path: Path | None) -> Iterator[None]:
    """A context in which a program is compiled: by the first of several processes, whose result the others read.

    Where files cannot be locked, or nothing is kept (None), each compiles for itself.
    """
    if path is None:
        yield
        return
    state = _state(path)  # empty until the program has been compiled
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = held.enter_context(state.open("a"))
            if not state.stat().st_size:
                _lock(file)
        yield
        with contextlib.suppress(OSError):
            state.write_text("compiled")


def _state(path: Path) -> Path:
    return path.with_name(f"compiled_{path.name}")


def _was_compiled(path: Path) -> bool:
    """Whether a program has been compiled on the machine, and so is in JAX's cache."""
    with contextlib.suppress(OSError):
        return _state(path).stat().st_size > 0
    return False


def _for_good(path: Path | None) -> Path | None:
    """Names the program that is compiled for good, which has the trace at `path`, too."""
    return None if path is None else path.with_name(f"{path.name}-for_good")


def _lock(file: IO) -> None:
    """Waits until no other process holds the file's lock, and holds it until the file is closed."""
    try:
        import fcntl
    except ImportError:  # Windows has no such locks
        return
    fcntl.flock(file, fcntl.LOCK_EX)


def _read(path: Path) -> export.Exported | None:
    """A kept trace; None where there is none, or a damaged one."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, trace = content[:_DIGEST], content[_DIGEST:]
    return export.deserialize(bytearray(trace)) if digest == hashlib.sha256(trace).digest() else None


def _write(path: Path, kept: export.Exported) -> None:
    """Keeps a trace behind its checksum; where the folder cannot be written, the next start traces again."""
    trace = bytes(kept.serialize())
    with contextlib.suppress(InputError, OSError), complete_or_absent(path) as partial:
        partial.write_bytes(hashlib.sha256(trace).digest() + trace)


def _setting(name: str) -> Any:
    return getattr(jax.config, name)


@cache
def _circumstances() -> tuple[str, ...]:
    """All that a trace depends on besides the arguments: the sources, and JAX."""
    sources = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        sources.update(str(path.relative_to(_PACKAGE)).encode() + path.read_bytes())
    settings = [_setting(name) for name in ("jax_enable_x64", "jax_default_matmul_precision")]
    return jax.__version__, repr(settings), sources.hexdigest()
