"""The best recommendation of one of n independent actions, exactly: a small linear programme over the reduced form, in float64.

    maximise  Σ_t y(t) ξ(t)   over y ≥ 0   subject to   Σ_t y(t) = 1,   Σ_t y(t) ρ(t) ≥ Σ_t q(t) ρ(t),
              Σ_{t in B} y(t) ≤ 1 − (1 − q(B))^n   for every set B of types

The last says that a type can only be recommended when there is an action of it, and is enough for a rule to exist (Border 1991). Only
sets of the types with the largest y(t)/q(t) can be violated, so that rows are added as they are needed. The size does not depend on n.

For any λ ≥ 0 the sender gets at most E[max_i ξ + λρ] − λ Σ qρ: priced like that, it would always recommend an action of the largest
ξ + λρ. The rules of training approach such priorities, two types that tie at the right λ sharing as obedience needs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.config import Config, ConfigError
from icsap_jax.exact.lp import solve
from icsap_jax.persuasion.actions.problem import tables

ROUNDING = 1e-10
HALVINGS = 200


def priority(probabilities: np.ndarray, count: int, worth: np.ndarray) -> np.ndarray:
    """y [T] when an action of the type of the largest `worth` [T] there is is recommended; of equal ones the last is first."""
    order = np.argsort(worth, kind="stable")
    below = np.append(0.0, np.cumsum(probabilities[order])) ** count
    found = np.empty_like(worth)
    found[order] = np.diff(below)
    return found


def needed(probabilities: np.ndarray, receiver: np.ndarray, count: int, margin: float) -> float:
    """What following must bring the receiver at least, for it to beat every other action by the margin."""
    return float(probabilities @ receiver) + margin * (count - 1) / count


def best(probabilities: np.ndarray, receiver: np.ndarray, sender: np.ndarray, count: int, margin: float = 0.0) -> tuple[float, np.ndarray]:
    """(the sender's value, y [T]) of the best rule that is obeyed by the margin. Raises `exact.lp.Infeasible` where there is none."""
    rows, limits = [-receiver], [-needed(probabilities, receiver, count, margin)]
    while True:
        found = solve(
            sender, at_most=(np.array(rows), np.array(limits)), equal=(np.ones((1, len(sender))), [1.0]), maximise=True, tolerance=ROUNDING
        )
        order = np.argsort(-found.x / probabilities, kind="stable")
        often = np.cumsum(found.x[order]) - (1 - (1 - np.cumsum(probabilities[order])) ** count)
        if often.max() <= 10 * ROUNDING:
            return found.value, found.x
        for last in np.flatnonzero(often > 10 * ROUNDING):
            inside = np.isin(np.arange(len(sender)), order[: last + 1])
            rows.append(inside.astype(float))
            limits.append(1 - (1 - probabilities[inside].sum()) ** count)


def upper_bound(probabilities: np.ndarray, receiver: np.ndarray, sender: np.ndarray, count: int, multiplier: float) -> float:
    """E[max_i ξ + λρ] − λ Σ qρ: no obeyed rule gives the sender more, whatever λ ≥ 0 is."""
    worth = sender + multiplier * receiver
    return float(priority(probabilities, count, worth) @ worth - multiplier * (probabilities @ receiver))


def learned_multiplier(probabilities: np.ndarray, receiver: np.ndarray, sender: np.ndarray, count: int) -> float:
    """The λ of the least bound, whose slope in λ is by how much priorities at that price are obeyed: halved down to rounding."""

    def slack(multiplier: float) -> float:
        return float(priority(probabilities, count, sender + multiplier * receiver) @ receiver - probabilities @ receiver)

    low, high = 0.0, 1.0
    if slack(low) >= 0 or np.ptp(receiver) == 0:
        return low
    while slack(high) < 0:
        low, high = high, 2 * high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if slack(middle) >= 0 else (middle, high)
    return high


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: the sender's value without a margin."""
    given = tables(model)
    return {
        "value": best(*given, model.count)[0],
        "method": "linear programme over the reduced form",
        "source": "Dughmi & Xu 2016; Border 1991",
        "upper_bound": bound(problem, env, model),
    }


def bound(problem: Any, env: Any, model: Any, rule: Any = None) -> float:
    """An upper bound on what any obeyed rule gives the sender, by a learned multiplier."""
    given = tables(model)
    return upper_bound(*given, model.count, learned_multiplier(*given, model.count))


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The sender's value when the receiver sees all types and takes the best for itself, ties for the sender; and when it sees nothing."""
    probabilities, receiver, sender = tables(model)
    rank = np.empty(len(sender))
    rank[np.lexsort((sender, receiver))] = np.arange(len(sender))
    return {
        "full_disclosure": float(priority(probabilities, model.count, rank) @ sender),
        "no_disclosure": float(probabilities @ sender),
    }


def check(problem: Any, env: Any, config: Config) -> None:
    """Raise ConfigError where not even recommending what is best for the receiver is obeyed by the margin."""
    model = config.problem
    probabilities, receiver, _ = tables(model)
    most = float(priority(probabilities, model.count, receiver) @ receiver)
    if most < needed(probabilities, receiver, model.count, problem.margin):
        largest = (most - float(probabilities @ receiver)) * model.count / (model.count - 1)
        raise ConfigError(f"{config.source}: problem.obedience_margin = {problem.margin:g}: the best for the receiver is better than any "
                          f"other action by {largest:.6g} on average, and no recommendation leaves it more; make the margin smaller.")
