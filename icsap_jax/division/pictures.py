"""Who gets what of a cake, how it compares with what is best by each measure, and what fairness costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.division.optimum import best, price_of_fairness
from icsap_jax.division.problem import Cake, CakeEnv, enjoyed, values_of
from icsap_jax.division.told import shares_of
from icsap_jax.figures import ACCENT, COLOURS, INK, QUIET, page

MAP = "tab20"
MOST = 20  # agents that colours can tell apart
NAMES = {"proportional": "proportional", "envy_free": "envy-free", "nash_welfare": "best\nNash welfare", "maximin": "best\nmaximin"}


def pictures(problem: Cake, env: CakeEnv, rule: Rule, model: Any, folder: Path) -> None:
    """`division.png` under `folder`: the shares piece by piece, what they are worth, and the price of fairness. Raises ConfigError where
    it cannot be written."""
    values, shares = values_of(model), shares_of(rule)
    wanted = best(values, problem.wish, problem.constraints)
    asked = f", {' and '.join(problem.constraints)}" if problem.constraints else ""
    with page(folder / "division.png", 8.0, 8.4, rows=3) as (figure, axes):
        figure.suptitle(f"A cake divided: {problem.wish}{asked}".replace("_", "-"), x=0.02, ha="left")
        _shares(axes[0, 0], shares, values)
        _utilities(axes[1, 0], enjoyed(values, shares), enjoyed(values, wanted.shares), values.sum(1) / problem.agents)
        _prices(axes[2, 0], values, float(enjoyed(values, shares).sum()))


def colours(agents: int) -> list[Any]:
    """One for each agent."""
    if agents <= len(COLOURS):
        return list(COLOURS[:agents])
    from matplotlib import colormaps

    return [colormaps[MAP](agent % MOST) for agent in range(agents)]


def _shares(axis: Any, shares: np.ndarray, values: np.ndarray) -> None:
    """A bar for each piece, stacked by agent; inside, what the whole piece is worth to who has some of it."""
    agents, pieces = shares.shape
    below = np.cumsum(shares, 0) - shares
    for agent, colour in enumerate(colours(agents)):
        axis.bar(np.arange(pieces), shares[agent], 0.8, below[agent], color=colour, label=f"agent {agent + 1}")
        for piece in range(pieces):
            if shares[agent, piece] > 0.08 and pieces <= 12:
                middle = below[agent, piece] + shares[agent, piece] / 2
                axis.text(piece, middle, f"{values[agent, piece]:.2g}", ha="center", va="center", color="white", fontsize=9)
    axis.set_title("Shares of each piece (in white: what all of it is worth to the agent)")
    axis.set_xticks(np.arange(pieces), [str(piece + 1) for piece in range(pieces)])
    axis.set_xlabel("piece")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _utilities(axis: Any, gets: np.ndarray, wanted: np.ndarray, fair: np.ndarray) -> None:
    """What everybody gets, beside a best division and an N-th of the cake."""
    agents = len(gets)
    axis.bar(np.arange(agents), gets, 0.6, color=colours(agents))
    for agent in range(agents):
        ends = (agent - 0.36, agent + 0.36)
        axis.plot(ends, [wanted[agent]] * 2, color=INK, linewidth=1.6, label="exact optimum" if agent == 0 else None)
        axis.plot(ends, [fair[agent]] * 2, color=QUIET, linewidth=1.2, linestyle=(0, (2, 2)),
                  label="an equal part\nof the cake" if agent == 0 else None)  # fmt: skip
    axis.set_title("What each agent gets")
    axis.set_xticks(np.arange(agents), [f"agent {agent + 1}" for agent in range(agents)])
    axis.grid(axis="y")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _prices(axis: Any, values: np.ndarray, total: float) -> None:
    """The largest sum of utilities as a multiple of the sum under each kind of fairness, and of that of the learned division."""
    fair = price_of_fairness(values)
    learned = best(values, "utilitarian").value / total
    names, prices = [*(NAMES[name] for name in fair), "learned"], [*fair.values(), learned]
    axis.bar(names, [price - 1.0 for price in prices], 0.6, color=[*[QUIET] * len(fair), ACCENT])
    for place, price in enumerate(prices):
        axis.text(place, max(price - 1.0, 0.0), f"{price:.3f}", ha="center", va="bottom", fontsize=9)
    axis.axhline(0.0, color=INK, linewidth=0.8)
    axis.set_ylim(min(0.0, 1.1 * (learned - 1.0)), 1.2 * max(*(price - 1.0 for price in prices), 0.01))
    axis.set_ylabel("above 1")
    axis.set_title("The price of fairness: the largest sum of utilities over the sum reached")
