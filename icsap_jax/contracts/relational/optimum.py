"""Self-enforcing contracts exactly (Levin 2003, "Relational incentive contracts"), in float64.

In a stationary contract the agent is paid a wage and, by the outcome, a bonus that no court enforces. Whoever breaks a promise is left
for ever, so that all promises are kept if and only if the dynamic enforcement constraint holds (Levin 2003, theorem 3):

    max bonus − min bonus  ≤  δ/(1 − δ) · (joint surplus of the effort − outside surplus)

The wage divides the surplus as one likes. So an effort is enforceable when the least spread of bonuses that induces it, a linear
programme, is within that. Where the effort is seen, the outcome is the effort itself, and the least spread is what shirking saves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from icsap_jax.exact.lp import Infeasible, solve


@dataclass(frozen=True)
class Relationship:
    """The tables of a problem file: `outcome_probabilities` [A, K] (the identity where effort is seen), `surplus` and `cost` [A],
    `discount` δ in [0, 1), `outside` surplus."""

    outcome_probabilities: np.ndarray
    surplus: np.ndarray
    cost: np.ndarray
    discount: float
    outside: float

    @property
    def joint(self) -> np.ndarray:
        """The joint surplus of each effort, [A]."""
        return self.surplus - self.cost

    @property
    def limits(self) -> np.ndarray:
        """The largest spread of bonuses that each effort makes enforceable, [A]; negative where parting is better."""
        return self.discount / (1.0 - self.discount) * (self.joint - self.outside)

    @cached_property
    def bonuses(self) -> list[np.ndarray | None]:
        """For each effort the bonuses [K] ≥ 0 of least spread that induce it; None where no bonuses do."""
        return [self._least_spread(effort) for effort in range(len(self.cost))]

    @property
    def spreads(self) -> np.ndarray:
        """The least spread that induces each effort, [A]; infinite where no bonuses do."""
        return np.array([np.inf if bonus is None else bonus.max() for bonus in self.bonuses])

    @property
    def critical(self) -> np.ndarray:
        """The least discount factor at which each effort is enforceable, [A]; infinite where none is. At the least one itself the
        constraint holds with equality."""
        gain, spread = self.joint - self.outside, self.spreads
        with np.errstate(divide="ignore", invalid="ignore"):
            enforceable = np.where((spread == 0.0) & (gain >= 0.0), 0.0, spread / (spread + gain))
        return np.where((gain > 0.0) & np.isfinite(spread) | (spread == 0.0) & (gain == 0.0), enforceable, np.inf)

    @property
    def enforceable(self) -> np.ndarray:
        """Whether each effort is, [A]; to rounding, at the critical discount factor too."""
        return self.spreads <= self.limits + 1e-9 * max(1.0, np.abs(self.surplus).max())

    @property
    def best(self) -> int | None:
        """The enforceable effort of the largest joint surplus; None where they part."""
        worth = np.where(self.enforceable, self.joint, -np.inf)
        return int(worth.argmax()) if worth.max() > -np.inf else None

    def _least_spread(self, effort: int) -> np.ndarray | None:
        F = self.outcome_probabilities
        outcomes = F.shape[1]
        others = np.arange(len(F)) != effort
        cost = np.append(np.zeros(outcomes), 1.0)  # the variables are the bonuses and the largest of them
        rows = np.block([[F[others] - F[effort], np.zeros((others.sum(), 1))], [np.eye(outcomes), -np.ones((outcomes, 1))]])
        right = np.append(self.cost[others] - self.cost[effort], np.zeros(outcomes))
        try:
            found = solve(cost, at_most=(rows, right), tolerance=1e-10).x
        except Infeasible:
            return None
        return found[:outcomes]


def relationship(model: Any) -> Relationship:
    """The tables of a problem file."""
    surplus, cost = np.asarray(model.surplus, np.float64), np.asarray(model.cost, np.float64)
    given = model.outcome_probabilities
    probabilities = np.eye(len(surplus)) if given is None else np.asarray(given, np.float64)
    return Relationship(probabilities / probabilities.sum(1, keepdims=True), surplus, cost, model.discount, model.outside_surplus)


def critical_discount(temptation: float, value_gain: float, decay: float, payment_cost: float) -> float:
    """The least discount factor δ* = κ Δu / ((1 − λ) Δv + λ κ Δu) at which a contract that pays by reputation enforces itself.

    An action costs the agent Δu (`temptation`) in every period and brings the human Δv (`value_gain`) > 0. The human pays g for it, at
    κ (`payment_cost`) each; the agent receives its reputation r_t = λ r_{t−1} + (1 − λ) g_t (`decay` λ in [0, 1)). The agent acts if
    (1 − λ) g Σ_j (δλ)^j ≥ Δu, that is g ≥ Δu (1 − δλ)/(1 − λ); the human keeps its word if κ g ≤ δ/(1 − δ) (Δv − κ g), that is
    κ g ≤ δ Δv. Both hold for some g if and only if δ ≥ δ*, so that where δ* ≥ 1 no human is patient enough. Raises ValueError for
    numbers outside these ranges."""
    if not 0.0 <= decay < 1.0:
        raise ValueError(f"decay is {decay}; it must be in [0, 1).")
    if temptation < 0.0 or payment_cost <= 0.0 or value_gain <= 0.0:
        raise ValueError(f"temptation {temptation} must be ≥ 0, value_gain {value_gain} and payment_cost {payment_cost} must be > 0.")
    paid = payment_cost * temptation
    return paid / ((1.0 - decay) * value_gain + decay * paid)


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: what the principal gets in a period of the best self-enforcing contract."""
    given = relationship(model)
    value = given.outside if given.best is None else float(given.joint[given.best])
    return {"value": value, "method": "least spread of bonuses for each effort against the dynamic enforcement constraint",
            "source": "Levin 2003, theorem 3", "upper_bound": None}  # fmt: skip


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """What the principal gets when they part, with no bonus at all, and with a court that enforces every bonus."""
    given = relationship(model)
    free = given.joint[given.spreads <= 1e-9 * max(1.0, np.abs(given.cost).max())]
    enforced = given.joint[np.isfinite(given.spreads)]
    return {
        "parting": given.outside,
        "no_bonus": float(max(given.outside, *free)),
        "enforced_by_a_court": float(max(given.outside, *enforced)),
    }
