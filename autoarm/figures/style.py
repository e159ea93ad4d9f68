"""The common style of all figures, and how a figure is saved."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoarm.runtime.files import replacing, write_text
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# M. Okabe and K. Ito, "Color Universal Design" (2008): told apart with every common kind of colour vision.
SUCCESS: Final = "#009E73"
FAILURE: Final = "#D55E00"
POLICY_COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
POLICY_MARKERS: Final = "osD^vP"
INK: Final = "#1f2328"
FAINT: Final = "#8a929c"


_DPI: Final = 160
_STYLE: Final[Any] = {  # Matplotlib types it as a dictionary of some 300 literals
    "font.family": "DejaVu Sans",  # Matplotlib brings it: the same letters on every machine
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e3e6ea",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "autoarm",  # equal figures give equal files
    "svg.fonttype": "none",
}


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """An empty figure of a size in inches; it and all that is drawn in the `with` block have the common style."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        # Not through pyplot, which keeps every figure alive and asks for a display.
        yield Figure(figsize=(width, height), layout="constrained", dpi=_DPI)


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, with the first one's keys as columns; no text of theirs becomes a formula in a spreadsheet."""
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _no_formula(value) for name, value in row.items()} for row in rows)
    return table.getvalue()


def _no_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def save_figure(figure: Figure, stem: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write `stem`.png, `stem`.svg and the data shown as `stem`.csv; returns the PNG's path.

    Raises:
        InvalidInputError: If there are no rows.
        InvalidFileError: If the files cannot be written.
    """
    from matplotlib import rc_context

    if not rows:
        raise InvalidInputError("no data behind the figure", file=stem)
    write_text(stem.with_name(f"{stem.name}.csv"), csv_text(rows))
    with rc_context(_STYLE):
        for kind in ("svg", "png"):
            path = stem.with_name(f"{stem.name}.{kind}")
            metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {}
            with replacing(path) as temporary:
                figure.savefig(temporary, format=kind, metadata=metadata)
    return path
