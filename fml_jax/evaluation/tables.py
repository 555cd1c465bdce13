"""Results as Markdown tables."""

from collections.abc import Mapping, Sequence


def markdown(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    """A table; floats get four significant digits."""
    lines = [header, ["---"] * len(header), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary(values: Mapping[str, Sequence[float]], percent: bool = False) -> str:
    """Mean, median and 90th percentile of each named list."""
    import numpy as np

    scale, unit = (100, " %") if percent else (1, "")
    rows = [
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
    return markdown(["", "n", "mean", "median", "p90"], rows)


def _cell(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
