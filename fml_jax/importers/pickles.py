"""Reading arrays out of pickles from untrusted sources, without running anything that they name.

Pickles are programs. Here their instructions build plain values only: a class or function that a pickle names is kept
as a name, and what it would be called with is kept beside it. Nothing is imported or called. NumPy's arrays, SciPy's
compressed sparse matrices and Chumpy's arrays are then recognised by these names and made from their bytes.
"""

import math
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sparse

from fml_jax.errors import InputError
from fml_jax.importers.raw_model import existing, one_line

MOST_BYTES = 2 * 2**30
_MOST_INSTRUCTIONS = 200_000
_MOST_AXES, _MOST_ALONG = 8, 2**31  # axes, and numbers along one
_MOST_DENSE = 2**23  # numbers of a sparse matrix, zeros included
_MOST_NAME = 200  # letters of a class's or function's name
_RECONSTRUCT = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
_FROM_BUFFER = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")
_MARK = object()


@dataclass
class Named:
    """Something that a pickle names (`name`), calls with `arguments`, or gives a `state`."""

    name: str
    arguments: Any = None
    state: Any = None


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle: strings, numbers, arrays, and `Named` for all else.

    Raises:
      InputError: no such file, none of this kind, or it is too large or too long.
    """
    size = existing(path, "pickle").stat().st_size
    if size > MOST_BYTES:
        raise InputError(f"{path}: {size // 2**20} MiB; pickles of up to {MOST_BYTES // 2**20} MiB are read")
    try:
        value = _run(path, path.read_bytes())
    except InputError:
        raise
    except Exception as error:  # damaged instructions fail in many ways
        raise InputError(
            f"{path}: not a pickle that can be read ({one_line(error)}); copy or download it again"
        ) from None
    content = value.state if isinstance(value, Named) else value
    if not isinstance(content, dict):
        raise InputError(f"{path}: the pickle holds no dictionary of arrays; it is no model file")
    return {name: each for name, each in content.items() if isinstance(name, str)}


def numbers(path: Path, content: Mapping[str, Any], name: str) -> np.ndarray:
    """One of a pickle's entries as an array of numbers.

    Raises:
      InputError: it is missing, or no such array.
    """
    if name not in content:
        raise InputError(f"{path}: the model lacks {name!r}")
    try:
        return _array(content[name])
    except (TypeError, ValueError, KeyError, IndexError, OverflowError, AttributeError, MemoryError) as error:
        raise InputError(f"{path}: {name!r} is no array of numbers ({one_line(error)})") from None


def _array(value: Any) -> np.ndarray:
    """NumPy's arrays, SciPy's matrices of them, and Chumpy's arrays of either: nothing lies deeper."""
    if isinstance(value, Named) and value.name.startswith("chumpy.") and isinstance(value.state, dict):
        value = value.state.get("x", value)
    if isinstance(value, Named) and value.name.startswith("scipy.sparse.") and isinstance(value.state, dict):
        return _sparse(value.name, value.state)
    return _plain(value)


def _plain(value: Any) -> np.ndarray:
    if isinstance(value, Named):
        if value.name in _RECONSTRUCT:
            return _numpys(value.state)
        if value.name in _FROM_BUFFER:
            content, kind, shape, order = value.arguments
            return _numpys((1, shape, kind, order == "F", content))
        raise ValueError(f"{value.name} is not read")
    if isinstance(value, int | float):
        return np.array(value)
    raise ValueError(f"a {type(value).__name__} is not read")


def _numpys(state: Any) -> np.ndarray:
    """An array of its pickled state: (version, shape, type, whether the first axis is adjacent, bytes)."""
    _, shape, kind, is_fortran, content = state
    dtype = _dtype(kind)
    content = _bytes(content)
    sane = isinstance(shape, tuple) and len(shape) <= _MOST_AXES and all(_is_size(n) for n in shape)
    if not sane or math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError("its shape is not that of its content")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")


def _bytes(value: Any) -> bytes:
    """An array's content; Python 3 writes bytes for Python 2 as text and the name of its encoder."""
    if isinstance(value, Named) and value.name == "_codecs.encode" and isinstance(value.arguments, tuple):
        value = value.arguments[0]
    if isinstance(value, str):
        return value.encode("latin-1")
    if not isinstance(value, bytes | bytearray):  # bytes(number) would be so many zeros
        raise ValueError("its content is no bytes")
    return bytes(value)


def _is_size(value: Any) -> bool:
    """Whether a value can be the size of an axis; products of larger numbers may take for ever."""
    return isinstance(value, int) and 0 <= value < _MOST_ALONG


def _dtype(kind: Any) -> np.dtype:
    if not isinstance(kind, Named) or kind.name != "numpy.dtype" or not isinstance(kind.arguments, tuple):
        raise ValueError("its type is not NumPy's")
    code = kind.arguments[0]
    if not isinstance(code, str):  # the text of nested tuples may take for ever
        raise ValueError("its type has no name")
    if len(code) > 3 or code[:1] not in "fiub":
        raise ValueError(f"its type {code[:20]!r} is no number")
    order = kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else "="
    return np.dtype(f"{order}{code}" if order in ("<", ">") else code)


def _sparse(name: str, state: dict) -> np.ndarray:
    kind = name.rpartition(".")[2]
    shape: Any = state.get("_shape", state.get("shape"))
    sane = isinstance(shape, tuple) and len(shape) == 2 and all(_is_size(n) for n in shape)
    if kind not in ("csc_matrix", "csr_matrix") or not sane or math.prod(shape) > _MOST_DENSE:
        raise ValueError(f"{kind} of this shape is not read")
    data, indices, starts = (_plain(state[part]) for part in ("data", "indices", "indptr"))
    rows, columns = shape if kind == "csr_matrix" else shape[::-1]
    if indices.dtype.kind not in "iu" or starts.dtype.kind not in "iu":
        raise ValueError("its sparse entries have no whole numbers")
    lengths = np.diff(starts.astype(np.int64))  # differences of unsigned numbers are never negative
    if len(starts) != rows + 1 or starts[0] != 0 or (lengths < 0).any() or starts[-1] != len(data):
        raise ValueError("its sparse entries do not fit its shape")
    if len(indices) != len(data) or (len(indices) and not 0 <= indices.min() <= indices.max() < columns):
        raise ValueError("its sparse entries lie outside its shape")
    dense = sparse.csr_matrix((data, indices, starts), (rows, columns)).toarray()
    return dense if kind == "csr_matrix" else dense.T


def _run(path: Path, program: bytes) -> Any:
    argument: Any
    stack: list[Any] = []
    memory: dict[int, Any] = {}
    for count, (instruction, argument, _) in enumerate(pickletools.genops(program)):
        if count > _MOST_INSTRUCTIONS:
            raise InputError(f"{path}: over {_MOST_INSTRUCTIONS} instructions, which no face model takes")
        name = instruction.name
        if name == "STOP":
            return stack.pop()
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _VALUES:
            stack.append(argument)
        elif name in _MAKERS:
            stack.append(_MAKERS[name]())
        elif name in _ACTIONS:
            _ACTIONS[name](stack)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memory[argument] = stack[-1]
        elif name == "MEMOIZE":
            memory[len(memory)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memory[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(_global(stack, argument))
        elif name not in ("PROTO", "FRAME"):
            raise InputError(f"{path}: the pickle uses {name}, which no face model needs; it is not read")
    raise InputError(f"{path}: the pickle ends too early; copy or download it again")


def _global(stack, argument):
    if argument is None:
        name, module = stack.pop(), stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise ValueError("a name that is no text")
        if len(name) + len(module) > _MOST_NAME:  # a text that lies in memory once could be joined often
            raise ValueError("a name that is too long")
        return Named(f"{module}.{name}")
    return Named(argument.replace(" ", ".", 1))


def _since_mark(stack):
    items = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _pushed(make):
    return lambda stack: stack.append(make(_since_mark(stack)))


def _paired(items):
    if len(items) % 2:
        raise ValueError("a key without a value")
    for key in items[::2]:
        # The hash of nested tuples may take for ever, and so may a table of large integers of one hash.
        if not (isinstance(key, str | bytes) or (isinstance(key, int) and abs(key) < _MOST_ALONG)):
            raise ValueError("a key that is no name")
    return zip(items[::2], items[1::2], strict=True)


def _entries(target):
    """The dictionary that entries are set in: of an object such as OrderedDict, its state."""
    if isinstance(target, Named):
        target.state = {} if target.state is None else target.state
        target = target.state
    if not isinstance(target, dict):
        raise ValueError("entries set in no dictionary")
    return target


def _set_item(stack):
    value, key = stack.pop(), stack.pop()
    _entries(stack[-1]).update(_paired([key, value]))


def _set_items(stack):
    items = _since_mark(stack)
    _entries(stack[-1]).update(_paired(items))


def _append(stack):
    item = stack.pop()
    _listed(stack[-1]).append(item)


def _appends(stack):
    items = _since_mark(stack)
    _listed(stack[-1]).extend(items)


def _listed(target):
    if not isinstance(target, list):
        raise ValueError("items appended to no list")
    return target


def _call(stack):
    """REDUCE and NEWOBJ: the name and its arguments, uncalled."""
    arguments, function = stack.pop(), stack.pop()
    if not isinstance(function, Named):
        raise ValueError("a call of no function")
    if function.name.rpartition(".")[2] == "_reconstructor" and isinstance(arguments, tuple) and arguments:
        kind = arguments[0]  # copyreg's way to make an object of a class
        stack.append(Named(kind.name if isinstance(kind, Named) else "unknown"))
    else:
        stack.append(Named(function.name, arguments))


def _build(stack):
    state = stack.pop()
    if not isinstance(stack[-1], Named):
        raise ValueError("a state of no object")
    stack[-1].state = state


def _tuple_of(count):
    def action(stack):
        items = [stack.pop() for _ in range(count)]
        stack.append(tuple(items[::-1]))

    return action


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": _MARK}
_VALUES = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split()
)
_MAKERS = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_ACTIONS = {
    "LIST": _pushed(list),
    "TUPLE": _pushed(tuple),
    "DICT": _pushed(lambda items: dict(_paired(items))),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "APPEND": _append,
    "APPENDS": _appends,
    "REDUCE": _call,
    "NEWOBJ": _call,
    "BUILD": _build,
    "POP": lambda stack: stack.pop(),
    "POP_MARK": _since_mark,
}
