"""What a common resource is worth to all under every tax, or every quota, and where the learned rule stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.figures import ACCENT, COLOURS, QUIET, page
from icsap_jax.games.commons.details import induced
from icsap_jax.games.commons.exact import exact_of
from icsap_jax.games.commons.optimum import worth
from icsap_jax.games.commons.problem import Commons

POINTS = 241


def pictures(problem: Commons, env: Any, rule: Rule, model: Any, folder: Path) -> None:
    """`commons.png` under `folder`: the sum of payoffs against the tax, the same for all, or against the quota where that is what the
    rule sets; below it the harvests. Raises ConfigError where it cannot be written."""
    exact, found = exact_of(env), induced(problem, env, rule)
    rationed = bool((found["quota"] < exact.high).any())
    best = exact.planned()
    if rationed:
        marked, name = float((found["quota"] / exact.high).mean()), "quota, as a share of what an agent could harvest"
        along = np.linspace(0.02, 1.0, POINTS) * min(1.0, 2.5 * (exact.nash() / exact.high).max())
        under: Callable[[float], np.ndarray] = lambda at: exact.nash(quota=at)  # noqa: E731  (one of two, chosen by what is drawn)
    else:
        marked, name = float(found["tax"].mean()), "tax on a unit harvested"
        widest = max(2.0 * exact.supporting_tax().max(), 1.2 * marked)
        along = np.linspace(min(0.0, 1.2 * marked), widest, POINTS)
        under = exact.nash
    harvests = np.array([under(at) for at in along])
    with page(folder / "commons.png", 7.6, 6.4, rows=2, sharex=True) as (figure, axes):
        figure.suptitle("What the resource is worth to all, and what is harvested", x=0.02, ha="left")
        top, bottom = axes[:, 0]
        top.plot(along, [worth(exact, each) for each in harvests], color=COLOURS[0], label="Nash harvests")
        top.axhline(worth(exact, best), color=QUIET, linestyle=(0, (5, 3)), linewidth=1.2, label="planner")
        top.plot(marked, worth(exact, found["harvest"]), "o", color=ACCENT, markersize=8, label="learned")
        top.set_ylabel("sum of payoffs")
        bottom.plot(along, harvests.sum(1), color=COLOURS[0])
        bottom.axhline(best.sum(), color=QUIET, linestyle=(0, (5, 3)), linewidth=1.2)
        bottom.plot(marked, found["harvest"].sum(), "o", color=ACCENT, markersize=8)
        bottom.set_ylabel("harvest of all")
        bottom.set_xlabel(name)
        for axis in (top, bottom):
            axis.grid(axis="y")
        top.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
