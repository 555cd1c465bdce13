"""Compiled programs whose traces are kept on disk, so that the next start of a command traces nothing.

JAX keeps compiled programs (`compilation_cache`), but finds them by their traces: without this module, tracing and
lowering the network takes longer than all else between Enter and the first face.

Where nothing is kept on disk, as in programs of users, a program may be compiled twice: quickly for its first runs,
and for good once it has run often. The two round differently: vertices differ by up to 0.001 mm. Commands, whose files
are to be the same byte for byte in every run, stay with the quick one.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

import jax
from absl import logging
from jax import export

from fml_jax.codes import FaceCode, FinalCode
from fml_jax.errors import InputError
from fml_jax.files import complete_or_absent
from fml_jax.reconstruction.decoding import DecodedFace
from fml_jax.reconstruction.prediction import Prediction

_PACKAGE = Path(__file__).parents[1]
_DIGEST = hashlib.sha256().digest_size

OFTEN = 30  # the run of a quickly compiled program at which it is compiled for good

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


def _start(thread: threading.Thread) -> None:
    """Starts a thread, for which Python waits when it ends; without one the program stays as it is."""
    with contextlib.suppress(RuntimeError):  # no further thread can be started
        thread.start()
        _compiling.append(thread)


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
          for_good: options with which a program that is not kept on disk is compiled again at its run `OFTEN`, in a
            thread of its own. Until that has ended the quick program runs.
        """
        self._function, self._name = function, name
        self._options, self._for_good = (None if each is None else dict(each) for each in (options, for_good))
        self._compiled: dict[Any, Callable] = {}
        self._quick_runs: dict[Any, int] = {}  # of programs that may be compiled for good
        self._lock = threading.Lock()  # of both

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """The function's result; arrays are on the device."""
        leaves, structure = jax.tree.flatten((arguments, keywords))
        key = (structure, *((leaf.shape, str(leaf.dtype)) for leaf in leaves))
        compiled = self._compiled.get(key)
        if compiled is None:
            return self._first_run(key, leaves, structure)
        if self._runs_often(key):
            _start(threading.Thread(target=self._compile_for_good, args=(key, leaves, structure)))
        return compiled(leaves)

    def _first_run(self, key: Any, leaves: list, structure: Any) -> Any:
        path = self._path(leaves, structure)
        with contextlib.nullcontext() if path is None else _once_on_the_machine(path):
            compiled = jax.jit(self._of_leaves(leaves, structure, path), compiler_options=self._options)
            while _beside:
                threading.Thread(target=_beside.pop()).start()
            result = compiled(leaves)
        with self._lock:
            if self._compiled.setdefault(key, compiled) is compiled and path is None and self._for_good is not None:
                self._quick_runs[key] = 1
        return result

    def _runs_often(self, key: Any) -> bool:
        """Counts a run, and is true once for each program that may be compiled for good."""
        with self._lock:
            if key not in self._quick_runs:
                return False
            self._quick_runs[key] += 1
            if self._quick_runs[key] < OFTEN:
                return False
            del self._quick_runs[key]
            return True

    def _compile_for_good(self, key: Any, leaves: list, structure: Any) -> None:
        program = jax.jit(self._of_leaves(leaves, structure, None), compiler_options=self._for_good)
        try:
            jax.block_until_ready(program(leaves))
        except (RuntimeError, MemoryError) as error:
            logging.warning("%s stays a quickly compiled program: %s", self._name, error)
            return
        with self._lock:
            self._compiled[key] = program

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
def _once_on_the_machine(path: Path) -> Iterator[None]:
    """A context in which a program is compiled: by the first of several processes, whose result the others read.

    Where files cannot be locked, each compiles for itself.
    """
    state = path.with_name(f"compiled_{path.name}")  # empty until the program has been compiled
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = held.enter_context(state.open("a"))
            if not state.stat().st_size:
                _lock(file)
        yield
        with contextlib.suppress(OSError):
            state.write_text("compiled")


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
