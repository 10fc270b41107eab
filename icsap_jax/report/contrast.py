"""Any picture in black and white with one accent: for eyes that need contrast, for beamers, and for printers without colours.

What colours told apart is told apart by dashes, markers and hatching, one of each to a colour in the order in which they were drawn, so
that a legend still fits its lines. Text is black, on white where it stands on a map; maps are grey; lines are thicker. Text and accent
have at least 7:1 against white (Web Content Accessibility Guidelines 2.2, 1.4.6).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from icsap_jax import figures

INK, PAPER, GRID, ACCENT = "#000000", "#ffffff", "#bdbdbd", "#8f2d00"
WIDER = 1.35
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)), (0, (3, 1)))
MARKERS = ("o", "s", "^", "D", "v")
FILLS = ((INK, ""), (PAPER, "///"), (PAPER, "xxx"), ("#b0b0b0", ""), (PAPER, "..."))
MARKED = 10  # places along a curve
SMALL = 25.0  # square points of area: a dot that an outline would fill
SPOTS = (INK, "#8c8c8c", "#5a5a5a", "#b0b0b0")  # what such dots are told apart by


def contrasting() -> AbstractContextManager[None]:
    """Inside, every picture is drawn so, its domain's too."""
    return figures.changed_by(redrawn)


def redrawn(figure: Any) -> None:
    """Change a finished matplotlib figure: its lines, areas, maps and text."""
    from matplotlib.text import Text

    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    places: dict[str, int] = {}
    marked: set[int] = set()
    for axes in figure.axes:
        for line in axes.get_lines():
            curved = len(line.get_xdata()) > 2 and line.get_drawstyle() == "default"  # a staircase's corners are points enough
            _line(line, places, marked if curved else None)
        for patch in axes.patches:
            _area(patch, places)
        for collection in axes.collections:
            _collection(collection, places)
        for image in axes.images:
            if image.get_array().ndim == 2:
                image.set_cmap(figures.colours_from_white("Greys"))
        for spine in axes.spines.values():
            spine.set_edgecolor(INK)
        _scale(axes)
    for handle in (handle for legend in legends for handle in legend.legend_handles if handle is not None):
        if hasattr(handle, "get_xdata"):
            _line(handle, places, marked if _place(handle.get_color(), places) in marked else None)
        elif hasattr(handle, "get_facecolors"):
            _collection(handle, places)
        else:
            _area(handle, places)
    for text in figure.findobj(Text):
        text.set_color(ACCENT if _is_accent(text.get_color()) else INK)
    for axes in figure.axes:
        covered = axes.images or any(patch.get_fill() for patch in axes.patches)
        for text in axes.texts if covered else ():
            text.set_bbox({"facecolor": PAPER, "edgecolor": "none", "pad": 1.0})


def _scale(axes: Any) -> None:
    """Ticks and grid lines, which are lines too."""
    for axis in (axes.xaxis, axes.yaxis):
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            tick.gridline.set_color(GRID)
            for line in (tick.tick1line, tick.tick2line):
                line.set_color(INK)
                line.set_markeredgecolor(INK)


def _line(line: Any, places: dict[str, int], marked: set[int] | None) -> None:
    """A curve: dashes and markers in the place of its colour. `marked`: the places that have markers, None where there is no room."""
    place = _place(line.get_color(), places)
    line.set_linewidth(WIDER * line.get_linewidth())
    line.set_color(_ink(line.get_color()))
    if place is None:
        return
    bare = line.get_marker() in ("None", "", None)
    if line.get_linestyle() == "-" and bare:
        line.set_linestyle(DASHES[place % len(DASHES)])
    if marked is not None and bare and not _is_faint(line):
        marked.add(place)
        points = len(line.get_xdata())
        line.set_marker(MARKERS[place % len(MARKERS)])
        line.set_markersize(5.5)
        every = max(1, points // MARKED)
        # Each colour begins elsewhere, so that curves that run together do not cover one another's markers.
        line.set_markevery((place % len(MARKERS) * every // len(MARKERS), every) if points > 2 else [0])
        line.set_markerfacecolor(PAPER)
    line.set_markeredgecolor(INK)


def _area(patch: Any, places: dict[str, int]) -> None:
    """A bar, a polygon, a swatch: white, black or hatched."""
    patch.set_linewidth(WIDER * (patch.get_linewidth() or 0.6))
    if not patch.get_fill():
        patch.set_edgecolor(_ink(patch.get_edgecolor()))
        return
    place = _place(patch.get_facecolor(), places)
    if place is not None:
        colour, hatch = FILLS[place % len(FILLS)]
        patch.set_facecolor(colour)
        patch.set_hatch(hatch)
        patch.set_edgecolor(INK)
    elif _is_accent(patch.get_facecolor()):
        patch.set_facecolor(ACCENT)


def _collection(collection: Any, places: dict[str, int]) -> None:
    """Points, bands, contours or a field of many things of one kind."""
    from matplotlib.collections import LineCollection, PathCollection
    from matplotlib.colors import ListedColormap
    from matplotlib.contour import ContourSet

    if isinstance(collection, ContourSet) and collection.colors is not None:
        place = _place(collection.get_edgecolor()[0], places)
        collection.set_cmap(ListedColormap([INK]))
        collection.set_linestyle(DASHES[(place or 0) % len(DASHES)])
        return
    if collection.get_array() is not None and getattr(collection, "cmap", None) is not None:
        collection.set_cmap(figures.colours_from_white("Greys"))
        return
    if isinstance(collection, LineCollection):
        collection.set_color([_ink(colour) for colour in collection.get_colors()])
        return
    found = [_place(colour, places) for colour in collection.get_facecolors()]
    kinds = {place for place in found if place is not None}
    if not kinds:
        collection.set_facecolor([ACCENT if _is_accent(colour) else tuple(colour) for colour in collection.get_facecolors()])
        collection.set_edgecolor([_ink(colour) for colour in collection.get_edgecolors()])
        return
    points = isinstance(collection, PathCollection)
    small = points and max(collection.get_sizes(), default=0) < SMALL
    collection.set_facecolor([_ink(colour) if place is None else SPOTS[place % len(SPOTS)] if small else FILLS[place % len(FILLS)][0]
                              for place, colour in zip(found, collection.get_facecolors(), strict=True)])  # fmt: skip
    if small:
        return
    collection.set_edgecolor(INK)
    collection.set_linewidth(1.0)
    if len(kinds) == 1 and not points:
        collection.set_hatch(FILLS[kinds.pop() % len(FILLS)][1])


def _place(colour: Any, places: dict[str, int]) -> int | None:
    """The place of a colour among those met so far; None for greys, and for the accent."""
    red, green, blue, opacity = _rgba(colour)
    if opacity == 0 or max(red, green, blue) - min(red, green, blue) < 0.06 or _is_accent(colour):
        return None
    return places.setdefault(f"{red:.2f} {green:.2f} {blue:.2f}", len(places))


def _ink(colour: Any) -> str | tuple[float, ...]:
    """What a line of this colour is drawn with: black or the accent, white on white staying white, nothing staying nothing."""
    rgba = tuple(_rgba(colour))
    if rgba[3] == 0 or min(rgba[:3]) > 0.99:
        return rgba
    return ACCENT if _is_accent(colour) else (0.0, 0.0, 0.0, rgba[3])


def _is_faint(line: Any) -> bool:
    """Whether a line stands behind the others: one of many, almost transparent."""
    return (line.get_alpha() or 1.0) < 0.6


def _is_accent(colour: Any) -> bool:
    return sum(abs(a - b) for a, b in zip(_rgba(colour), _rgba(figures.ACCENT), strict=True)) < 0.05


def _rgba(colour: Any) -> Iterator[float] | tuple[float, ...]:
    from matplotlib.colors import to_rgba

    return to_rgba(colour)
