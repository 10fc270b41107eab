"""What a division of a known cake is worth, and what is told of it.

Tastes are known here: nothing is reported, so that the incentive gap is zero without a search. It is not, where agents are asked for
their tastes: `cake_family` measures that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.bilevel.judgement import Judgement
from icsap_jax.bilevel.types import Rule
from icsap_jax.division.optimum import best, price_of_fairness
from icsap_jax.division.problem import Cake, CakeEnv, enjoyed, envy, lacking, values_of, wishes

NOTHING_REPORTED = "tastes are known: nothing is reported"


def shares_of(rule: Rule) -> np.ndarray:
    """The division [N, P] in float64."""
    logits = np.asarray(rule.params["logits"][...], np.float64)
    raised = np.exp(logits - logits.max(0))
    return raised / raised.sum(0)


def judge(problem: Cake, env: CakeEnv, model: Any, rule: Rule, settings: Any) -> Judgement:
    """The objective, by how much each constraint is missed by whom it is missed most, and what everybody gets."""
    values, shares = values_of(model), shares_of(rule)
    gets = enjoyed(values, shares)
    worth = {name: float(each) for name, each in wishes(gets).items()}
    envies, short = envy(values, shares), lacking(values, shares)
    np.fill_diagonal(envies, 0.0)  # nobody envies itself, but for rounding
    missed = {"envy_free": max(0.0, float(envies.max())), "proportional": max(0.0, float(short.max()))}
    wanted = best(values, problem.wish, problem.constraints)
    fair = price_of_fairness(values)
    reached = best(values, "utilitarian").value / worth["utilitarian"]
    return Judgement(
        value=worth[problem.wish], gap=np.zeros((1, problem.agents)), weight=np.ones((1, 1)), method=NOTHING_REPORTED, objectives=worth,
        constraints={name: missed[name] for name in problem.constraints},
        details={
            "utilities": gets.tolist(), "best_utilities": enjoyed(values, wanted.shares).tolist(), "largest_envy": missed["envy_free"],
            "envy": envies.tolist(), "proportionality_shortfall": missed["proportional"], "price_of_fairness": {"learned": reached, **fair},
        },
    )  # fmt: skip


def listing(problem: Cake, env: CakeEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The shares as rows: a piece, and how much of it each agent gets, both counted from 1."""
    columns = shares_of(rule).T
    return [{"piece": piece, **{f"agent{agent}": float(share) for agent, share in enumerate(row, 1)}}
            for piece, row in enumerate(columns, 1)]  # fmt: skip
