"""What is exactly known of two-sided matching.

Where stability alone is valued its violation can be 0, by deferred acceptance (Gale & Shapley 1962), but no stable rule is free of lies
that pay (Roth 1982): under each, whoever has several stable partners gets the best of them by cutting its list short behind it (Gale &
Sotomayor 1985). The least violation at a given gap is not known for lists as long as those of practice. It is bounded here for two on a
side by a linear programme over all rules (`least_violation`).

The violation of a pair is a product a·b, of what the firm and the worker would gain by each other, both linear in the rule, 0 ≤ a ≤ q⁺ and
0 ≤ b ≤ p⁺. On that rectangle no convex function is larger that is never above the product than max(0, a p + b q − p q) (McCormick 1976),
which makes the programme linear, its value a lower bound on the violation, and exact where each pair is at a corner.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from scipy import sparse

from icsap_jax.choice.matching import lists
from icsap_jax.choice.matching.problem import STABILITY, Matching, MatchingEnv
from icsap_jax.exact import lp


def optimum(problem: Matching, env: MatchingEnv, model: Any) -> dict[str, Any] | None:
    """The most that stability alone can be worth, 0; nothing is known of other aims."""
    if problem.objective != (STABILITY,) or problem.limits or model.objective[STABILITY] <= 0:
        return None
    return {"value": 0.0, "method": "deferred acceptance, stable, though some gain by lying, as under every stable rule (Roth 1982)",
            "source": "Gale & Shapley 1962", "upper_bound": 0.0}  # fmt: skip


def least_violation(problem: Matching, env: MatchingEnv, price: float) -> float:
    """A lower bound on the stability violation plus `price` times the strategyproofness violation of any rule that respects lists, for two
    on a side. The variables are the rule r on each of 625 profiles, each pair's violation, and each agent's gap.

    Raises ValueError where there are more than two on a side."""
    if problem.size != 2:
        raise ValueError("the programme is for two on a side: of three there are 16 million profiles.")
    types = np.array(list(itertools.product(range(len(lists.every_list(2))), repeat=4)))
    p, q = values_of(env, types)
    weight = profile_weights(env, types)
    count = len(types)
    gaps, pairs = 8 * count, 4 * count  # where the gaps' variables begin, and how many pairs there are
    rows = _Rows(gaps + 4 * count)
    for profile in range(count):
        r = 4 * profile + np.arange(4).reshape(2, 2)
        for agent in range(2):
            rows.add({int(each): 1.0 for each in r[agent]}, 1.0)
            rows.add({int(each): 1.0 for each in r[:, agent]}, 1.0)
        for worker, firm in itertools.product(range(2), repeat=2):
            a, b = max(q[profile, worker, firm], 0.0), max(p[profile, worker, firm], 0.0)
            if a and b:
                rows.add(_above(profile, worker, firm, p, q, pairs), -a * b)
        _temptations(rows, types, profile, env, gaps)
    cost = np.concatenate([np.zeros(pairs), np.repeat(weight, 4) / 2, price * np.repeat(weight, 4) / 4])
    unwanted = ((p <= 0) | (q <= 0)).reshape(-1)
    high = np.concatenate([np.where(unwanted, 0.0, 1.0), np.full(len(cost) - pairs, 2.0)])
    return lp.solve(cost, at_most=rows.matrix(), bounds=[(0.0, float(each)) for each in high]).value


class _Rows:
    """Sparse rows of a matrix, one at a time, each at most a number."""

    def __init__(self, width: int):
        self.width = width
        self.entries: list[tuple[int, int, float]] = []
        self.limits: list[float] = []

    def add(self, row: dict[int, float], limit: float) -> None:
        """One more: Σ row·x ≤ limit."""
        self.entries += [(len(self.limits), column, value) for column, value in row.items()]
        self.limits.append(limit)

    def matrix(self) -> tuple[Any, np.ndarray]:
        """All of them."""
        places, columns, values = zip(*self.entries, strict=True)
        return sparse.csr_matrix((values, (places, columns)), shape=(len(self.limits), self.width)), np.array(self.limits)


def _above(profile: int, worker: int, firm: int, p: np.ndarray, q: np.ndarray, pairs: int) -> dict[int, float]:
    """McCormick: z ≥ a p + b q − p q, a = q less what the firm has already, b = p less what the worker has: p q less both is ≤ z."""
    high_q, high_p = q[profile, worker, firm], p[profile, worker, firm]
    row = {pairs + 4 * profile + 2 * worker + firm: -1.0}
    for other in range(2):
        # What the firm gains by the worker falls by q − (q − q′)⁺ for each bit of another it has: min(q, q′).
        has = 4 * profile + 2 * other + firm
        row[has] = row.get(has, 0.0) - high_p * min(high_q, max(q[profile, other, firm], 0.0))
        has = 4 * profile + 2 * worker + other
        row[has] = row.get(has, 0.0) - high_q * min(high_p, max(p[profile, worker, other], 0.0))
    return row


def _temptations(rows: _Rows, types: np.ndarray, profile: int, env: MatchingEnv, gaps: int) -> None:
    """Each agent's gap is at least what any list gains over the truth, by each of its best k."""
    kinds, tops = env.tops.shape[0], np.asarray(env.tops)
    for agent in range(4):
        step = kinds ** (3 - agent)
        for lie in range(kinds):
            if lie == types[profile, agent]:
                continue
            lied = profile + (lie - types[profile, agent]) * step
            for best in tops[types[profile, agent]]:
                row = {gaps + 4 * profile + agent: -1.0}
                for partner in np.flatnonzero(best):
                    place = 2 * agent + partner if agent < 2 else 2 * partner + agent - 2
                    row[4 * lied + int(place)] = 1.0
                    row[4 * profile + int(place)] = -1.0
                rows.add(row, 0.0)


def values_of(env: MatchingEnv, types: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p and q [B, n, n] of lists [B, 2n]."""
    said, size = np.asarray(env.values)[types], types.shape[1] // 2
    return said[:, :size], said[:, size:].swapaxes(1, 2)


def profile_weights(env: MatchingEnv, types: np.ndarray) -> np.ndarray:
    """The probability of each profile of lists [B, 2n], summed over each side's common list."""
    law, correlation, size = np.asarray(env.chances), float(env.correlation), types.shape[1] // 2
    weight = np.ones(len(types))
    for side in range(2):
        own = types[:, side * size : (side + 1) * size]
        same = own[:, :, None] == np.arange(law.shape[1])
        weight *= (law[side] * (correlation * same + (1 - correlation) * law[side][own][..., None]).prod(1)).sum(-1)
    return weight
