"""The best a designer could do with a common resource, in general and by each kind of rule; and what is harvested without one.

Where agents are alike one tax, or one quota, leads to the best harvests; where each has its own, always. What one tax or one quota for
unlike agents can do is found by a search over it, a grid and then the best of its neighbourhood, with exact Nash harvests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from icsap_jax.games.commons.exact import FishExact, PoolExact, exact_of

GRID = 401


def nash(env: Any) -> np.ndarray:
    """What agents harvest without a rule, [N]."""
    return exact_of(env).nash()


def worth(exact: PoolExact | FishExact, harvest: np.ndarray) -> float:
    """The sum of payoffs."""
    return float(exact.payoff(harvest).sum())


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: the sum of payoffs when a planner chooses every harvest."""
    exact = exact_of(env)
    best = worth(exact, exact.planned())
    return {"value": best, "method": "closed form: the planner's harvests", "source": exact.source, "upper_bound": best}


def best_tax(problem: Any, env: Any, model: Any, rule_model: Any) -> dict[str, Any]:
    """The best that a harvest tax does."""
    exact, planner = exact_of(env), optimum(problem, env, model)
    supporting = exact.supporting_tax()
    if rule_model.individual or np.ptp(supporting) <= 1e-12 * np.abs(supporting).max():
        value = worth(exact, exact.nash(supporting))
        return {**planner, "value": value, "method": "closed form: the tax under which the planner's harvests are Nash"}
    unit = problem.unit(env)
    return {**planner, "value": _searched(lambda tax: worth(exact, exact.nash(tax)), -unit, 2.0 * unit),
            "method": "search over one tax for all, with exact Nash harvests"}  # fmt: skip


def best_quota(problem: Any, env: Any, model: Any, rule_model: Any) -> dict[str, Any]:
    """The best that quotas do. Where the planner's harvests are quotas nobody wants less than its own."""
    exact, planner = exact_of(env), optimum(problem, env, model)
    shares = exact.planned() / exact.high
    if rule_model.individual or np.ptp(shares) <= 1e-12:
        value = worth(exact, exact.nash(quota=shares))
        return {**planner, "value": value, "method": "closed form: the planner's harvests as quotas"}
    return {**planner, "value": _searched(lambda share: worth(exact, exact.nash(quota=share)), 1e-9, 1.0),
            "method": "search over one share for all, with exact Nash harvests"}  # fmt: skip


def untaxed(problem: Any, env: Any, model: Any, rule_model: Any) -> dict[str, Any]:
    """What a tax in proportion to payoffs does: nothing."""
    exact, planner = exact_of(env), optimum(problem, env, model)
    return {**planner, "value": worth(exact, exact.nash()), "method": "closed form: harvests are those without a tax"}


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The sum of payoffs without a rule (Nash), and when a planner chooses."""
    exact = exact_of(env)
    return {"nash": worth(exact, exact.nash()), "planner": worth(exact, exact.planned())}


def _searched(value: Callable[[float], float], low: float, high: float) -> float:
    """The largest value on an interval: of a grid, then between the neighbours of its best point."""
    grid = np.linspace(low, high, GRID)
    found = np.array([value(at) for at in grid])
    place = int(np.argmax(found))
    ends = grid[max(place - 1, 0)], grid[min(place + 1, GRID - 1)]
    finer = minimize_scalar(lambda at: -value(at), bounds=ends, method="bounded", options={"xatol": 1e-12})
    return max(float(found[place]), -float(finer.fun))
