"""A learned rule for a common resource in plain numbers: the taxes or quotas, and what is then harvested."""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.games.commons.exact import FishExact, exact_of
from icsap_jax.games.commons.optimum import worth
from icsap_jax.games.commons.problem import Commons


def induced(problem: Commons, env: Any, rule: Rule) -> dict[str, np.ndarray]:
    """The rule's `tax` and `quota` for each agent, the share `taken` of payoffs, and the exact Nash `harvest`, [N] each."""
    given, exact = rule(), exact_of(env)
    shape = (problem.agents,)
    tax, quota = (np.broadcast_to(np.asarray(each, np.float64), shape) for each in (given.tax, given.quota))
    kept = np.full(shape, float(given.kept))
    return {"tax": tax, "quota": quota * exact.high, "taken": 1.0 - kept, "harvest": exact.nash(tax / kept, quota)}


def details(problem: Commons, env: Any, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """Taxes, quotas and exact Nash harvests under the learned rule, the planner's harvests and the taxes that lead there; the steady
    states of the stock and the values of the fish war, the rents of the pool."""
    exact, found = exact_of(env), induced(problem, env, rule)
    payoffs, planned, untaxed = exact.payoff(found["harvest"]), exact.planned(), exact.nash()
    told: dict[str, Any] = {name: each.tolist() for name, each in found.items()}
    told |= {
        "total_harvest": float(found["harvest"].sum()), "payoffs": payoffs.tolist(),
        "planner": {"harvest": planned.tolist(), "tax": exact.supporting_tax().tolist()},
        "without_a_rule": {"harvest": untaxed.tolist()},
    }  # fmt: skip
    if isinstance(exact, FishExact):
        rows = (("planner", planned), ("without_a_rule", untaxed))
        told["steady_state"] = {"learned": exact.steady(found["harvest"]), **{name: exact.steady(each) for name, each in rows}}
        told["value_per_agent"] = {"learned": float(payoffs.mean()), **{name: float(exact.payoff(each).mean()) for name, each in rows}}
        return told
    idle = float((exact.outside * exact.high).sum())
    rent = {name: worth(exact, each) - idle for name, each in (("learned", found["harvest"]), ("planner", planned), ("nash", untaxed))}
    told["rent"] = rent
    told["efficiency"] = {name: rent[name] / rent["planner"] for name in ("learned", "nash")}
    return told


def listing(problem: Commons, env: Any, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The rule as rows, one for each agent: its tax on a unit, its quota, the share taken of its payoff, and its exact Nash harvest."""
    found = induced(problem, env, rule)
    return [{"agent": i, **{name: float(each[i]) for name, each in found.items()}} for i in range(problem.agents)]
