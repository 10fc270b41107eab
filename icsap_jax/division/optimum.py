"""The best division of a cake, exactly, in float64: by linear programming, and for Nash welfare by convex programming.

Everything but Nash welfare is linear in the shares x [N, P] and one number more:

    utilitarian  max Σ f        maximin  max t, t ≤ f_i        equitable  max −t, f_i − f_j ≤ t

subject to columns that sum to 1 and to envy-freeness and proportionality, which are linear too. Nash welfare maximises Σ log f (Eisenberg
& Gale 1959; without constraints this is the competitive equilibrium from equal incomes, and so envy-free: Varian 1974). It comes with a
proven upper bound, as far from the value found as the tolerance allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from icsap_jax.division.problem import enjoyed, values_of, wishes
from icsap_jax.exact.convex import minimise
from icsap_jax.exact.lp import solve

SOURCES = {"nash_welfare": "Eisenberg & Gale 1959", "utilitarian": "linear programming", "maximin": "linear programming",
           "equitable": "linear programming"}  # fmt: skip


@dataclass(frozen=True)
class Best:
    """The `value` of the objective, a proven `bound` on it from above, and `shares` [N, P] that reach the value."""

    value: float
    bound: float
    shares: np.ndarray


def best(values: np.ndarray, wish: str, constraints: tuple[str, ...] = ()) -> Best:
    """The best division of a cake of `values` [N, P]. Equal shares satisfy every constraint, so that there always is one."""
    if wish == "nash_welfare":
        return _nash(values, constraints)
    agents, pieces = values.shape
    size = agents * pieces
    rows, limits = fairness(values, constraints)
    cost = np.append(np.zeros(size), 1.0)
    own = np.stack([_own(values, agent) for agent in range(agents)])
    if wish == "utilitarian":
        cost, rows = values.ravel(), rows
    elif wish == "maximin":
        rows = np.vstack([_widened(rows), np.hstack([-own, np.ones((agents, 1))])])
        limits = np.append(limits, np.zeros(agents))
    else:
        apart = (own[:, None] - own[None]).reshape(-1, size)
        rows = np.vstack([_widened(rows), np.hstack([apart, -np.ones((len(apart), 1))])])
        limits, cost = np.append(limits, np.zeros(len(apart))), -cost
    bounds = [(0.0, 1.0)] * size + [(None, None)] * (len(cost) - size)
    total = np.tile(np.eye(pieces), agents)
    total = np.hstack([total, np.zeros((pieces, len(cost) - size))])
    found = solve(cost, at_most=(rows, limits) if len(rows) else None, equal=(total, np.ones(pieces)), bounds=bounds, maximise=True,
                  tolerance=1e-10)  # fmt: skip
    shares = _clean(found.x[:size].reshape(agents, pieces))
    return Best(found.value + 0.0, found.value + 0.0, shares)  # −0 is 0


def fairness(values: np.ndarray, constraints: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The constraints as rows · x ≤ limits, with x [N·P] agent by agent."""
    agents, pieces = values.shape
    rows, limits = [np.zeros((0, agents * pieces))], [np.zeros(0)]
    if "envy_free" in constraints:
        pairs = [(i, j) for i in range(agents) for j in range(agents) if i != j]
        rows.append(np.stack([_placed(values[i], j, agents) - _own(values, i) for i, j in pairs]))
        limits.append(np.zeros(len(pairs)))
    if "proportional" in constraints:
        rows.append(-np.stack([_own(values, agent) for agent in range(agents)]))
        limits.append(-values.sum(1) / agents)
    return np.vstack(rows), np.concatenate(limits)


def _nash(values: np.ndarray, constraints: tuple[str, ...]) -> Best:
    """Variables are the shares and what everybody gets, no more than it enjoys: −Σ log of the latter is convex and separable."""
    agents, pieces = values.shape
    size = agents * pieces
    unit = values.sum(1)  # the best division is the same in any units of utility
    scaled = values / unit[:, None]
    own = np.stack([_own(scaled, agent) for agent in range(agents)])
    rows, limits = fairness(scaled, constraints)
    total = np.tile(np.eye(pieces), agents)
    tables = [np.hstack([table, np.zeros((len(table), agents))]) for table in (rows, total, -total)]
    at_most = np.vstack([*tables, np.hstack([-own, np.eye(agents)])]), np.concatenate(
        [limits, np.ones(pieces), -np.ones(pieces), np.zeros(agents)])  # fmt: skip
    found = minimise(np.append(np.zeros(size), np.ones(agents)), lambda f: -np.log(f), lambda f: -1.0 / f, at_most=at_most,
                     bounds=[(0.0, 1.0)] * size + [(0.0, 1.0)] * agents)  # fmt: skip
    shares = _clean(found.x[:size].reshape(agents, pieces))
    size_of = np.exp(np.log(unit).mean())
    return Best(float(wishes(enjoyed(values, shares))["nash_welfare"]), float(size_of * np.exp(-found.lower_bound / agents)), shares)


def _own(values: np.ndarray, agent: int) -> np.ndarray:
    """What the agent gets, as a row over x [N·P]."""
    return _placed(values[agent], agent, len(values))


def _placed(row: np.ndarray, agent: int, agents: int) -> np.ndarray:
    """A row [P] over the share of one agent, as a row over x [N·P]."""
    return np.kron(np.arange(agents) == agent, row)


def _widened(rows: np.ndarray) -> np.ndarray:
    """The same rows where there is one variable more."""
    return np.hstack([rows, np.zeros((len(rows), 1))])


def _clean(shares: np.ndarray) -> np.ndarray:
    """Shares without what rounding did to them."""
    shares = np.clip(shares, 0.0, 1.0)
    return shares / shares.sum(0)


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"} of the objective under the constraints asked for."""
    found = best(values_of(model), problem.wish, problem.constraints)
    convex = problem.wish == "nash_welfare"
    return {"value": found.value, "method": "convex programme, by cutting planes" if convex else "linear programme",
            "source": SOURCES[problem.wish], "upper_bound": found.bound}  # fmt: skip


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The objective under equal shares, and under the divisions that are best by the other measures, whatever is asked for."""
    values = values_of(model)
    found = {"equal_shares": np.full(values.shape, 1.0 / len(values))}
    found |= {f"best_{wish}": best(values, wish).shares for wish in ("utilitarian", "maximin", "nash_welfare") if wish != problem.wish}
    return {name: float(wishes(enjoyed(values, shares))[problem.wish]) for name, shares in found.items()}


def price_of_fairness(values: np.ndarray) -> dict[str, float]:
    """The largest sum of utilities over the largest sum under each constraint, and over the sum where somebody else's objective is best
    (Bertsimas, Farias & Trichakis 2011; Caragiannis et al. 2012). At a best of maximin or Nash welfare that is not the only one, it is that
    of the one found."""
    most = best(values, "utilitarian").value
    fair = {"proportional": ("proportional",), "envy_free": ("envy_free",)}
    under = {name: best(values, "utilitarian", constraints).value for name, constraints in fair.items()}
    under |= {wish: float(enjoyed(values, best(values, wish).shares).sum()) for wish in ("nash_welfare", "maximin")}
    return {name: most / each for name, each in under.items()}
