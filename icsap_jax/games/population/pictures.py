"""Mean fitness at every share of imitators: where the population rests by itself, where it were best off, and where it is led."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.figures import ACCENT, COLOURS, INK, QUIET, page
from icsap_jax.games.population.optimum import society
from icsap_jax.games.population.problem import Population

POINTS = 400


def pictures(problem: Population, env: Any, rule: Rule, model: Any, folder: Path) -> None:
    """`population.png` under `folder`. Raises ConfigError where it cannot be written."""
    exact, subsidy = society(problem, env), float(rule())
    shares = np.linspace(0.0, 1.0, POINTS)
    learners = exact.base + exact.benefit - exact.cost
    with page(folder / "population.png", 8.0, 4.6) as (figure, axes):
        axis = axes[0, 0]
        figure.suptitle("Fitness and the share of imitators", x=0.02, ha="left")
        axis.plot(shares, [exact.fitness(q) for q in shares], color=COLOURS[0], label="mean fitness")
        axis.plot(shares, [learners + exact.lead(q) for q in shares], color=COLOURS[1], label="an imitator's")
        axis.axhline(learners, color=QUIET, linestyle=(0, (5, 3)), linewidth=1.2, label="a learner's, unsubsidised")
        axis.axhline(learners + subsidy, color=ACCENT, linestyle=(0, (1, 2)), linewidth=1.2, label="a learner's with the subsidy")
        rows = (("at rest without a subsidy", exact.rest(), INK, "s"), ("best", exact.best(), COLOURS[3], "D"),
                ("at rest with the learned subsidy", exact.rest(subsidy), ACCENT, "o"))  # fmt: skip
        for size, (name, share, colour, marker) in zip((7, 11, 6), rows, strict=True):
            axis.plot(share, exact.fitness(share), marker, color=colour, markersize=size, label=name)
        axis.set_xlabel("share of imitators")
        axis.set_ylabel("fitness")
        axis.grid(axis="y")
        axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
