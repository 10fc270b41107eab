"""The most that agents can be left with, as far as that is known.

Where a deficit is ruled out on average alone, everything can be handed back: an N-th of the expected revenue to everybody. Where it is
ruled out on every profile the best rule is not known in closed form; `programmes.py` has a rule and a bound which are close to each other
(and meet where participation is not asked of four agents with one unit and uniform values: 15/16 of what is collected), and the best linear
rule exactly. All of it is for `utility` as the objective, where nothing else is asked of rules; then what agents are
left with is the efficient welfare less what is collected and not handed back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from icsap_jax.choice.redistribution import programmes
from icsap_jax.choice.redistribution.problem import Redistribution, RedistributionEnv
from icsap_jax.choice.redistribution.ranks import SMOOTH, ranked_means

GUO_CONITZER = "Guo & Conitzer 2010"
SETTLED = 1e-8  # share of the bound by which a rule may miss it and be called the best: rounding


@dataclass(frozen=True)
class Market:
    """What an efficient allocation is worth on average, `welfare`; what it collects, `collected`; values `means` [N] by rank; the ends of
    their support."""

    welfare: float
    collected: float
    means: np.ndarray
    low: float
    high: float


def market(problem: Redistribution, env: RedistributionEnv, model: Any) -> Market:
    """Of the values a rule is judged on."""
    prior = env.prior.held_out()
    means = ranked_means(prior, model.prior.kind)
    low, high = (np.asarray(bound).astype(str).astype(np.float64) for bound in prior.support())
    collected = problem.units * float(means[problem.units])
    return Market(float(means[: problem.units].sum()), collected, means, float(low.min()), float(high.max()))


def is_plain(problem: Redistribution, env: RedistributionEnv) -> bool:
    """Whether agents' utility is all that is wanted, and no deficit and participation all that is asked."""
    return tuple(problem.objective) == ("utility",) and bool(np.allclose(np.asarray(env.weights), 1.0)) and not problem.limits


def alike(env: RedistributionEnv) -> Any:
    """The law that all agents' values have independently of each other, None where there is no such law."""
    if not env.prior.independent_agents:
        return None
    low, high = (np.asarray(bound) for bound in env.prior.support())
    laws = [agent[0] for agent in env.prior.marginals()]
    places = np.linspace(float(low.min()), float(high.max()), 33)
    same = all(np.array_equal(law.cdf(places), laws[0].cdf(places)) for law in laws)
    return laws[0] if same else None


def optimum(problem: Redistribution, env: RedistributionEnv, model: Any) -> dict[str, Any] | None:
    """{"value", "method", "source", "upper_bound"}; None where nothing is known."""
    if not is_plain(problem, env):
        return None
    there = market(problem, env, model)
    if not problem.every:
        return {"value": there.welfare, "method": "the expected revenue is handed back in equal parts, whatever is reported",
                "source": "expected values by rank", "upper_bound": there.welfare}  # fmt: skip
    reached, bound = returned_bounds(problem, env, model)
    lost = there.welfare - there.collected
    if bound is None:
        return {"value": None, "method": "everything handed back: a bound", "source": "expected values by rank",
                "upper_bound": there.welfare}  # fmt: skip
    method, told = "linear programme over averages in cells", {"source": f"after {GUO_CONITZER}", "upper_bound": lost + bound}
    if reached is not None and bound - reached < SETTLED * bound:
        return {"value": lost + reached, "method": f"{method}, and over piecewise linear rules, which meet", **told}
    return {"value": None, "method": f"{method}: a bound", **told}


def returned_bounds(problem: Redistribution, env: RedistributionEnv, model: Any) -> tuple[float | None, float | None]:
    """What some rule hands back on average with no deficit anywhere, and what no rule exceeds; None where that is not known."""
    law = alike(env) if model.prior.kind in SMOOTH else None
    if law is None:
        return None, None
    agents, units, asked = problem.agents, problem.units, problem.participation
    above = programmes.from_above(law, agents, units, asked)
    if model.prior.kind != "uniform" or agents > programmes.MOST_PERMUTED + 1:
        return None, above
    there = market(problem, env, model)
    return programmes.from_below(agents, units, there.low, there.high, asked), above


def best_of_linear(problem: Redistribution, env: RedistributionEnv, model: Any, rule: Any) -> dict[str, Any] | None:
    """The same among linear rules, exactly; None where something else is wanted, or nothing new is."""
    if not is_plain(problem, env) or not problem.every:
        return optimum(problem, env, model)
    value = linear_value(problem, env, model)
    return {"value": value, "method": "linear programme over linear rules", "source": GUO_CONITZER, "upper_bound": value}


def linear_value(problem: Redistribution, env: RedistributionEnv, model: Any) -> float:
    """What the best linear rule leaves agents with."""
    there = market(problem, env, model)
    found = programmes.best_linear(there.means, problem.units, there.low, there.high, problem.participation)
    return there.welfare - there.collected + found.returned


def control(problem: Redistribution, env: RedistributionEnv, model: Any) -> Any:
    """(the efficient welfare of given types, its expectation), which goes with what agents are left with; None where the expectation is not
    exact."""
    if model.prior.kind not in SMOOTH or not env.prior.independent_agents:
        return None
    units, expected = problem.units, market(problem, env, model).welfare
    return (lambda types, seen: np.sort(types[..., 0], axis=-1)[..., -units:].sum(-1)), expected
