"""What a learned auction does, type by type.

One bidder and two goods: the probability of each item and the payment over the square of types, as in the figures of Dütting et
al. 2019, with the regions of the exact optimal menu drawn on top where that menu is known. More bidders or more numbers in a type:
the same for bidder 1 over its first two numbers, everything else held at its mean. One item: curves over bidder 1's value. Public
contexts are one draw of them, always the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from icsap_jax.auctions.baselines import is_revenue
from icsap_jax.auctions.menus import Menu, area
from icsap_jax.auctions.optimum import known_menu
from icsap_jax.figures import COLOURS, INK, QUIET, colours_from_white, page, scale_beside

SIDE = 201  # reports along each axis of a map
SMALLEST = 0.004  # share of the types below which a region has no room for a label


def draw(problem: Any, env: Any, rule: Any, model: Any, folder: Path) -> list[Path]:
    """Pictures of `rule` in `folder`, and their paths: allocation.png when a lone bidder's type is two numbers, else
    allocation_slice.png. Raises ConfigError where they cannot be written."""
    low, _ = support(problem, env)
    if low.shape[1] == 1:
        output = folder / "allocation_slice.png"
        draw_curves(problem, env, rule, output)
    elif low.shape == (1, 2):
        output = folder / "allocation.png"
        menu = known_menu(env, model) if is_revenue(problem, env) else None
        draw_maps(problem, env, rule, f"The learned auction{_given(env)}, type by type", menu, output)
    else:
        output = folder / "allocation_slice.png"
        held = [text for text, there in ((others(problem), low.shape[0] > 1), ("its other values", low.shape[1] > 2)) if there]
        slice_of = f"a slice: bidder 1, with {' and '.join(held)} at the mean"
        draw_maps(problem, env, rule, f"The learned auction{_given(env)}, {slice_of}", None, output)
    return [output]


def draw_maps(problem: Any, env: Any, rule: Any, title: str, menu: Menu | None, output: Path) -> None:
    """Maps over bidder 1's first two numbers: the probability of each of its goods (two at most, or the three bundles), then its
    payment; `menu`: the optimal one, whose regions are drawn."""
    low, high = (bound[0, :2] for bound in support(problem, env))
    allocation, payment = decisions(problem, env, rule, grid(low, high))
    goods = ["item 1 alone", "item 2 alone", "both items"] if problem.valuation == "combinatorial" else ["item 1", "item 2"]
    goods = goods[: problem.goods]
    outside = None if menu is None else ~inside(menu.region, grid(low, high))
    columns = len(goods) + 1
    with page(output, 3.1 * columns + 0.7, 3.7 if menu is None else 3.95, columns=columns, sharey=True) as (figure, axes):
        figure.suptitle(title, x=0.012, ha="left")
        for place, (axis, good) in enumerate(zip(axes[0], goods, strict=False)):
            image = _map(axis, allocation[..., place], low, high, outside, "Blues", 1.0)
            axis.set_title(f"{good}: probability")
            if menu is not None:
                _regions(axis, menu, [f"{share:.3g}" for share in menu.allocations[:, place]])
        scale_beside(axes[0, -2], image, ticks=[0.0, 0.5, 1.0])
        last = axes[0, -1]
        image = _map(last, payment, low, high, outside, "Greens", max(float(np.nanmax(payment)), 1e-9))
        last.set_title("payment")
        scale_beside(last, image)
        axes[0, 0].set_ylabel("value of item 2" if problem.items > 1 else "budget")
        if menu is not None:
            _regions(last, menu, [f"{price:.3g}" for price in menu.prices])
            figure.supxlabel(f"Lines and numbers: the exact optimum ({menu.source}), revenue {menu.revenue:.4f}", x=0.012, ha="left",
                             fontsize=9.5, color=QUIET)  # fmt: skip


def draw_curves(problem: Any, env: Any, rule: Any, output: Path) -> None:
    """One item: bidder 1's probability of it and its payment by its value, the other bidders at their means."""
    low, high = (bound[0, 0] for bound in support(problem, env))
    values = np.linspace(low, high, SIDE)
    allocation, payment = decisions(problem, env, rule, values[:, None])
    with page(output, 8.0, 3.8, columns=2) as (figure, axes):
        held = f", a slice: bidder 1, with {others(problem)} at the mean" if problem.agents > 1 else ", type by type"
        figure.suptitle(f"The learned auction{_given(env)}{held}", x=0.012, ha="left")
        for axis, what, heights in zip(axes[0], ("probability of the item", "payment"), (allocation[:, 0], payment), strict=True):
            axis.plot(values, heights, color=COLOURS[0])
            axis.set_title(what)
            axis.set_xlabel("value of the item")
            axis.set_xlim(low, high)
            axis.grid(axis="y")
        axes[0, 0].set_ylim(-0.02, 1.02)


def others(problem: Any) -> str:
    """Whose values stand still, in words."""
    return "the other bidder" if problem.agents == 2 else "the other bidders"


def support(problem: Any, env: Any) -> tuple[np.ndarray, np.ndarray]:
    """The misreport box as numbers: (low [N, T], high [N, T])."""
    box = problem.space(env, _circumstances(problem, env))
    low, high = (np.asarray(bound, dtype=np.float64) for bound in (box.low, box.high))
    return (low, high) if low.ndim == 2 else (low[0], high[0])


def _circumstances(problem: Any, env: Any) -> Any:
    """One draw, always the same, where contexts decide what an auction looks like; else None."""
    return None if env.contexts is None else problem.draw(env, jax.random.key(0), 1)


def _given(env: Any) -> str:
    """What a title says of that."""
    return "" if env.contexts is None else " at one draw of the contexts"


def grid(low: np.ndarray, high: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The centres [side, side, 2] of even cells over the rectangle [low, high], indexed [second number, first number]."""
    first, second = (low[i] + (high[i] - low[i]) * (np.arange(side) + 0.5) / side for i in (0, 1))
    return np.stack(np.meshgrid(first, second), axis=-1)


def decisions(problem: Any, env: Any, rule: Any, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bidder 1's allocation […, M] and payment […] where the first numbers of its report are `points` […, 1 or 2] and all other
    numbers, its own and the others', stand at their means."""
    there = _circumstances(problem, env)
    mean = np.asarray(env.prior.mean() if there is None else env.contexts.known(env.prior)(there.seen, np.float32)[2][0], dtype=np.float32)
    if env.synergy is not None:
        mean = np.concatenate([mean, np.asarray(env.synergy.mean(), dtype=np.float32)], axis=-1)
    if env.budget is not None:
        mean = np.concatenate([mean, np.asarray(env.budget.mean(), dtype=np.float32)], axis=-1)
    rows = points.reshape(-1, points.shape[-1])
    reports = np.repeat(mean[None], len(rows), axis=0)
    reports[:, 0, : rows.shape[1]] = rows
    decision = problem.decide(env, rule, None if there is None else there.seen, reports)
    shape = points.shape[:-1]
    return np.asarray(decision.allocation[:, 0]).reshape(*shape, -1), np.asarray(decision.payment[:, 0]).reshape(shape)


def inside(polygon: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which of `points` […, 2] lie in a convex polygon [V, 2] given anticlockwise, its edges included."""
    edges = np.roll(polygon, -1, axis=0) - polygon
    apart = points[..., None, :] - polygon
    return (edges[:, 0] * apart[..., 1] - edges[:, 1] * apart[..., 0] >= 0).all(-1)


def label_place(polygon: np.ndarray) -> np.ndarray:
    """The centre of mass [2] of a polygon [V, 2]: inside it, since the regions of a menu are convex."""
    following = np.roll(polygon, -1, axis=0)
    cross = polygon[:, 0] * following[:, 1] - following[:, 0] * polygon[:, 1]
    return ((polygon + following) * cross[:, None]).sum(0) / (3 * cross.sum())


def _map(axis: Any, values: np.ndarray, low: np.ndarray, high: np.ndarray, outside: np.ndarray | None, name: str, most: float) -> Any:
    """Values [side, side] from 0 to `most` as colours over the rectangle; types that never occur stay blank."""
    shown = values if outside is None else np.ma.array(values, mask=outside)
    image = axis.imshow(shown, origin="lower", extent=(low[0], high[0], low[1], high[1]), aspect="auto", vmin=0.0, vmax=most,
                        cmap=colours_from_white(name), interpolation="nearest")  # fmt: skip
    axis.set_box_aspect(1)
    axis.set_xlabel("value of item 1")
    return image


def _regions(axis: Any, menu: Menu, labels: list[str]) -> None:
    """The polygons of the types that pick each entry of the menu, with a label in each."""
    for polygon, label in zip(menu.regions(), labels, strict=True):
        if area(polygon) > SMALLEST * area(menu.region):
            axis.fill(*polygon.T, fill=False, edgecolor=INK, linewidth=1.2, joinstyle="round")
            axis.text(*label_place(polygon), label, ha="center", va="center", fontsize=10.5)
