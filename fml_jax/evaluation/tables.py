"""Results as Markdown tables."""

from collections.abc import Mapping, Sequence
from typing import Any

SUMMARY_HEADER = ("", "n", "mean", "median", "p90")


def markdown(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    """A table; floats get four significant digits."""
    lines = [header, ["---"] * len(header), *([cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary(values: Mapping[str, Sequence[float]], percent: bool = False) -> str:
    """Mean, median and 90th percentile of each named list."""
    return markdown(SUMMARY_HEADER, summary_rows(values, percent))


def summary_rows(values: Mapping[str, Sequence[float]], percent: bool = False) -> list[tuple[Any, ...]]:
    """The rows of `summary`, under `SUMMARY_HEADER`."""
    import numpy as np

    scale, unit = (100, " %") if percent else (1, "")
    return [
        (
            name,
            len(column),
            *(
                f"{scale * statistic:.3g}{unit}"
                for statistic in (np.mean(column), np.median(column), np.percentile(column, 90))
            ),
        )
        for name, column in values.items()
    ]


def cell(value: Any) -> str:
    """A value as a table shows it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
