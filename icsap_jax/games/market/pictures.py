"""Two consumers and two goods: Edgeworth's box. More of either: what each consumer has, without transfers, with them, and as planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.figures import ACCENT, COLOURS, INK, QUIET, page
from icsap_jax.games.market.exact import Economy
from icsap_jax.games.market.judge import traded
from icsap_jax.games.market.optimum import economy, planned_weights
from icsap_jax.games.market.problem import Market


def pictures(problem: Market, env: Any, rule: Rule, model: Any, folder: Path) -> None:
    """`market.png` under `folder`. Raises ConfigError where it cannot be written."""
    exact, after, weights = economy(env), traded(env, rule), planned_weights(env, model)
    if (problem.agents, problem.goods) == (2, 2):
        _box(exact, after, weights, folder / "market.png")
    else:
        _bars(exact, after, weights, folder / "market.png")


def _box(exact: Economy, after: Economy, weights: np.ndarray | None, output: Path) -> None:
    """Consumer 0 from the lower left, consumer 1 from the upper right."""
    prices, wide, high = after.prices(), *exact.total
    bundle = after.demand(prices)
    along = np.linspace(0.0, 1.0, 300)[1:-1]
    curve = np.array([exact.efficient(np.array([share, 1.0 - share]))[0] for share in along])
    with page(output, 9.0, 5.6) as (figure, axes):
        axis = axes[0, 0]
        figure.suptitle("Edgeworth's box: what consumer 0 has, and leaves to consumer 1", x=0.02, ha="left")
        axis.plot(*curve.T, color=COLOURS[1], label="efficient allocations")
        goods = np.linspace(0.0, wide, 300)
        axis.plot(goods, (after.endowments[0] @ prices - prices[0] * goods) / prices[1], color=INK, linewidth=1.2, label="budget line")
        mesh = np.meshgrid(np.linspace(0, wide, 200)[1:-1], np.linspace(0, high, 200)[1:-1])
        first = np.exp(sum(a * np.log(x) for a, x in zip(exact.exponents[0], mesh, strict=True)))
        second = np.exp(sum(a * np.log(w - x) for a, w, x in zip(exact.exponents[1], exact.total, mesh, strict=True)))
        for surface, level, colour in zip((first, second), after.utility(bundle), (COLOURS[0], COLOURS[2]), strict=True):
            axis.contour(*mesh, surface, levels=[level], colors=[colour], linewidths=1.2)
        for name, colour, marker, size, place in (
            ("endowment", QUIET, "s", 8, exact.endowments[0]), ("after transfers", COLOURS[3], "D", 6, after.endowments[0]),
            ("equilibrium without transfers", INK, "o", 9, exact.demand(exact.prices())[0]),
            ("equilibrium with transfers", ACCENT, "o", 6, bundle[0]),
        ):  # fmt: skip
            axis.plot(*place, marker, color=colour, markersize=size, label=name, clip_on=False, zorder=4)
        if weights is not None:
            axis.plot(*exact.efficient(weights)[0], "o", markersize=13, fillstyle="none", color=ACCENT, label="planner")
        for name, colour in (("indifference, consumer 0", COLOURS[0]), ("indifference, consumer 1", COLOURS[2])):
            axis.plot([], [], color=colour, linewidth=1.2, label=name)
        axis.set(xlim=(0, wide), ylim=(0, high), xlabel="good 0 of consumer 0", ylabel="good 1 of consumer 0")
        axis.set_box_aspect(1.0)
        axis.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))


def _bars(exact: Economy, after: Economy, weights: np.ndarray | None, output: Path) -> None:
    """Utilities and the value of what each consumer is given."""
    rows = [("without transfers", QUIET, exact.prices(), exact.demand(exact.prices())),
            ("learned transfers", ACCENT, after.prices(), after.demand(after.prices()))]  # fmt: skip
    if weights is not None:
        rows.append(("planner", COLOURS[0], exact.supporting(weights)[0], exact.efficient(weights)))
    places, width = np.arange(len(exact.endowments)), 0.8 / len(rows)
    with page(output, 8.0, 6.0, rows=2, sharex=True) as (figure, axes):
        figure.suptitle("What consumers end with, and what they are given for it", x=0.02, ha="left")
        for order, (name, colour, prices, bundle) in enumerate(rows):
            at = places - 0.4 + width * (order + 0.5)
            axes[0, 0].bar(at, exact.utility(bundle), width, color=colour, label=name)
            axes[1, 0].bar(at, (bundle - exact.endowments) @ prices, width, color=colour)
        axes[0, 0].set_ylabel("utility")
        axes[1, 0].set_ylabel("value of what is given\n(in units of the last good)")
        axes[1, 0].set_xlabel("consumer")
        axes[1, 0].set_xticks(places)
        axes[1, 0].axhline(0.0, color=QUIET, linewidth=0.8)
        axes[0, 0].legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
