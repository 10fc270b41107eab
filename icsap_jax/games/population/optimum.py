"""Learners and imitators exactly, float64: where they rest, where mean fitness is largest, and the subsidy that leads there.

The equations are those of `problem`. The point of rest is found by bisection, and mean fitness maximised by the root of its slope,

    (W̄ − W₀)/D = (1 − q)(1 − C/D) + q h(q^n),   h(y) = (1 − y)/(1 − (1 − 2γ) y),   h′(y) = −2γ/(1 − (1 − 2γ) y)²,

which is concave in q: q h(q^n) has the second derivative n q^{n−1} ((n + 1) h′ + n q^n h″), both of them negative. The subsidy is what
imitators then earn more than learners.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import bisect, brentq

HALVINGS = 200


@dataclass(frozen=True)
class Society:
    """`models` n, `switching` γ, `cost` C, `benefit` D, `base` W₀."""

    models: int
    switching: float
    cost: float
    benefit: float
    base: float

    def right(self, share: float) -> float:
        """P: how often an imitator is right."""
        return 0.5 * (1.0 + self.precision(share))

    def precision(self, share: float) -> float:
        """2P − 1."""
        copied = share**self.models
        return (1.0 - copied) / (1.0 - (1.0 - 2.0 * self.switching) * copied)

    def lead(self, share: float, subsidy: float = 0.0) -> float:
        """What an imitator earns more than a learner."""
        return self.benefit * (self.precision(share) - 1.0) + self.cost - subsidy

    def fitness(self, share: float) -> float:
        """The mean; what a subsidy pays it takes."""
        return self.base + self.benefit - self.cost + share * self.lead(share)

    def rest(self, subsidy: float = 0.0) -> float:
        """The share of imitators that stays, by bisection: all or none where one kind always earns more."""
        if self.lead(0.0, subsidy) <= 0.0:
            return 0.0
        if self.lead(1.0, subsidy) >= 0.0:
            return 1.0
        return float(bisect(lambda share: self.lead(share, subsidy), 0.0, 1.0, xtol=1e-16, rtol=8.9e-16, maxiter=HALVINGS))

    def slope(self, share: float) -> float:
        """Of mean fitness in the share of imitators."""
        kept = 1.0 - 2.0 * self.switching
        copied = share**self.models
        steep = -2.0 * self.switching / (1.0 - kept * copied) ** 2
        return self.lead(share) + self.benefit * self.models * copied * steep

    def best(self) -> float:
        """The share of imitators of the largest mean fitness: where its slope, C at none and falling, is zero."""
        return 1.0 if self.slope(1.0) >= 0.0 else float(brentq(self.slope, 0.0, 1.0, xtol=1e-16, rtol=8.9e-16))

    def best_subsidy(self) -> float:
        """Under which that share rests."""
        return self.lead(self.best())


def society(problem: Any, env: Any) -> Society:
    """The same numbers, exactly."""
    return Society(problem.models, *(float(np.asarray(each)) for each in (env.switching, env.cost, env.benefit, env.base)))


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: the largest mean fitness, and no share of imitators has more."""
    exact = society(problem, env)
    best = exact.fitness(exact.best())
    return {"value": best, "method": "root of the slope of mean fitness in the share of imitators",
            "source": "Boyd & Richerson 1995, with W_I = W₀ + D(2P − 1)", "upper_bound": best}  # fmt: skip


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """Mean fitness without a subsidy, when all learn, and when all imitate."""
    exact = society(problem, env)
    return {"no_subsidy": exact.fitness(exact.rest()), "all_learn": exact.fitness(0.0), "all_imitate": exact.fitness(1.0)}
