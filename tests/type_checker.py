"""How annotations are checked while tests run."""

from beartype import BeartypeConf, beartype

# As for mypy, a whole number may be given for a float.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
