"""What a subsidy to learners is worth, exactly: at the point of rest it leads to, with what anybody would gain by being of the other
kind, which is nothing where both kinds live."""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.bilevel.judgement import Judgement
from icsap_jax.bilevel.types import Rule
from icsap_jax.games.population.optimum import society
from icsap_jax.games.population.problem import Population


def judge(problem: Population, env: Any, model: Any, rule: Rule, settings: Any) -> Judgement:
    """At the rest found by bisection. A kind that has died out gains nothing by changing."""
    exact, subsidy = society(problem, env), float(rule())
    share = exact.rest(subsidy)
    lead = exact.lead(share, subsidy)
    raised = (1.0 - share) * subsidy
    return Judgement(
        value=exact.fitness(share), gap=np.maximum([[lead, -lead]], 0.0), weight=np.array([[share < 1.0, share > 0.0]], float),
        method="the other kind, exact", objectives={"mean_fitness": exact.fitness(share), "imitators": share, "raised": raised},
    )  # fmt: skip


def details(problem: Population, env: Any, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """The subsidy, the share of imitators and how often they are right: as learned, best, and without a subsidy."""
    exact, subsidy = society(problem, env), float(rule())
    rows = {"learned": (subsidy, exact.rest(subsidy)), "best": (exact.best_subsidy(), exact.best()), "without": (0.0, exact.rest())}
    return {
        name: {"subsidy": paid, "imitators": share, "imitators_right": exact.right(share), "mean_fitness": exact.fitness(share)}
        for name, (paid, share) in rows.items()
    }


def listing(problem: Population, env: Any, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """What either kind is paid, once all have paid for it."""
    exact, subsidy = society(problem, env), float(rule())
    raised = (1.0 - exact.rest(subsidy)) * subsidy
    return [{"kind": "learner", "net_payment": subsidy - raised}, {"kind": "imitator", "net_payment": -raised}]
