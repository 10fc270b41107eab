"""The one look of every picture: type, colours, and a page that is written whole or not at all.

Colours are those of Okabe & Ito (2008), told apart by people with any of the common kinds of colour blindness. Colour maps grow
evenly from white to a middle tone, so that they survive a black-and-white printer and dark lines can be seen on all of them.
matplotlib takes a second to import: it is imported when a picture is first drawn, and without any window system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax import files

INK, QUIET = "#1a1a1a", "#666666"
COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
ACCENT = "#D55E00"  # kept for what was measured by the strong evaluation
DOTS_PER_INCH = 160
TWO_LINES = 0.18  # of the height of the axes we name levels beside, two inches

LOOK = {
    "font.family": "DejaVu Sans", "font.size": 10.0, "axes.titlesize": 10.5, "axes.labelsize": 10.0, "figure.titlesize": 12.5,
    "xtick.labelsize": 9.0, "ytick.labelsize": 9.0, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": QUIET,
    "xtick.color": QUIET, "ytick.color": QUIET, "axes.titlelocation": "left", "axes.titlepad": 8.0, "axes.linewidth": 0.8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "grid.color": "#ececec", "grid.linewidth": 0.8,
    "lines.linewidth": 1.8, "lines.solid_capstyle": "round", "figure.facecolor": "white", "savefig.facecolor": "white",
}  # fmt: skip


_change: ContextVar[Callable[[Any], None] | None] = ContextVar("change", default=None)


@contextmanager
def changed_by(change: Callable[[Any], None]) -> Iterator[None]:
    """Inside, `change` is given every figure, whoever draws it, just before it is written."""
    token = _change.set(change)
    try:
        yield
    finally:
        _change.reset(token)


@contextmanager
def page(output: Path, width: float, height: float, rows: int = 1, columns: int = 1, **grid: Any) -> Iterator[tuple[Any, np.ndarray]]:
    """A figure of `width` × `height` inches and its axes [rows, columns], written to `output` as PNG when the block ends well.
    `grid` goes to matplotlib's `subplots`. Raises ConfigError where `output` cannot be written."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(LOOK):
        figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(rows, columns, squeeze=False, **grid)
        change = _change.get()
        if change is not None:
            change(figure)
        with files.disk_faults(output):
            output.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(output) as partial:
            # The name on disk ends in .partial-…, so the format is given; without "Software" equal pictures are equal files.
            figure.savefig(partial, format="png", metadata={"Software": None})


def colours_from_white(name: str) -> Any:
    """The lighter seven tenths of a sequential colour map of matplotlib's, `Blues` for probabilities, `Greens` for money."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps[name](np.linspace(0.0, 0.7, 256)))


def scale_beside(axis: Any, image: Any, ticks: Sequence[float] | None = None) -> None:
    """The colour scale of an image right of its axes and as high as they are."""
    scale = axis.figure.colorbar(image, cax=axis.inset_axes((1.05, 0.0, 0.045, 1.0)), ticks=ticks)
    scale.outline.set_visible(False)
    scale.ax.tick_params(length=0)


def name_levels(axis: Any, levels: Sequence[tuple[float, str, str]]) -> None:
    """Horizontal lines at (height, text, colour), named right of the axes at their height, moved apart where the names would meet."""
    for height, _, colour in levels:
        axis.axhline(height, color=colour, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1.5)
    places = axis.transAxes.inverted().transform(axis.transData.transform([(0.0, height) for height, _, _ in levels]))[:, 1]
    for (_, text, colour), place in zip(levels, spread(places, TWO_LINES), strict=True):
        axis.annotate(text, (1.015, place), xycoords="axes fraction", color=colour, va="center", ha="left", fontsize=9,
                      linespacing=1.1)  # fmt: skip


def spread(heights: Sequence[float], apart: float) -> np.ndarray:
    """Heights near those given [K], in the same order, at least `apart` from each other: neighbours that are too close are moved
    symmetrically about their middle."""
    heights = np.asarray(heights, dtype=float)
    order = np.argsort(heights, kind="stable")
    groups: list[list[float]] = []
    for height in heights[order]:
        groups.append([height])
        # Two groups are the heights their members want; a group stands centred on the mean of those.
        while len(groups) > 1 and _bottom(groups[-1], apart) - _top(groups[-2], apart) < apart:
            groups[-2:] = [groups[-2] + groups[-1]]
    placed = np.concatenate([_bottom(group, apart) + apart * np.arange(len(group)) for group in groups]) if groups else heights
    result = np.empty_like(heights)
    result[order] = placed
    return result


def _bottom(group: list[float], apart: float) -> float:
    return float(np.mean(group)) - apart * (len(group) - 1) / 2


def _top(group: list[float], apart: float) -> float:
    return float(np.mean(group)) + apart * (len(group) - 1) / 2
