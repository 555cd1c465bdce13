"""Fields of a config by their paths, and the message for one that does not exist: which field was probably meant."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fml_jax.errors import InputError

# Other names that users try, and what the configs call it.
_SYNONYMS = {
    "average": "ema_decay",
    "decay": "weight_decay",
    "ema": "ema_decay",
    "epochs": "steps",
    "lr": "learning_rate",
    "rate": "learning_rate",
}


_TYPES_IN_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "True or False",
    dict: "a dict of fields",
    Mapping: "a dict of fields",
    list: "a list",
    tuple: "a list",
}


def type_in_words(kind: Any) -> str:
    """What a user should give for a field of a type, "a whole number"."""
    return _TYPES_IN_WORDS.get(kind, "a value")


def value_at(path: str, config: Mapping) -> Any:
    """The value of the field of a path "--config.NAME.NAME"; None where there is none."""
    place, name, node = _missing(path, config)
    return node.get(name) if len(place) == path.count(".") - 1 else None


def no_such_field(path: str, config: Mapping, known: Iterable[str] = ()) -> InputError:
    """The error for a field of a config that does not exist.

    Args:
      path: the field's path, "--config.NAME.NAME".
      config: the config as nested dicts.
      known: fields at the field's place that the config may lack.
    """
    place, _, node = _missing(path, config)
    fields, wanted = sorted({*node, *known}), path.rpartition(".")[2]
    candidates = [(*place, *found) for found in _paths(node)]
    meant = _meant(wanted, candidates) or _meant(wanted, list(_paths(config)))
    hint = f"did you mean {' or '.join('--config.' + '.'.join(each) for each in meant)}? " if meant else ""
    where = ".".join(place) or "the config"
    return InputError(f"{path}: the config has no such field; {hint}{where} has {', '.join(fields)}")


def _missing(path: str, config: Mapping) -> tuple[tuple[str, ...], str, Mapping]:
    """How far a path exists, the next name, and the fields at that place."""
    names, node = path.removeprefix("--config.").split("."), config
    for k, name in enumerate(names):
        below = node.get(name)
        if not isinstance(below, Mapping) or k == len(names) - 1:
            return tuple(names[:k]), name, node
        node = below
    raise AssertionError("a path has at least one name")


def _paths(node: Mapping) -> Iterator[tuple[str, ...]]:
    """The paths of all fields below a place, without those that hold other fields."""
    for name, below in node.items():
        if isinstance(below, Mapping):
            yield from ((name, *rest) for rest in _paths(below))
        else:
            yield (name,)


def _meant(name: str, paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The paths whose last name is the one meant; none where no name is close."""
    names = {path[-1] for path in paths}
    if name in names:
        close = [name]
    elif _SYNONYMS.get(name) in names:
        close = [_SYNONYMS[name]]
    else:
        close = difflib.get_close_matches(name, names, n=1)
    return [path for path in paths if path[-1] in close][:3]
