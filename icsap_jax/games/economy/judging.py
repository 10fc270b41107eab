"""What an income tax is worth and what people do under it, exactly: the judge of the kind `tax`, and what it tells in plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.bilevel.judgement import Judgement
from icsap_jax.games.economy.exact import Exact, of_model
from icsap_jax.games.economy.optimum import best_rate, isoelastic_sum, marginal_weights
from icsap_jax.games.economy.rules import schedule_of
from icsap_jax.games.economy.social import Account, Isoelastic, parts
from icsap_jax.inequality import gini

POINTS = 20_001  # incomes that each type is offered besides, evenly up to twice what it earns without a tax


def judge(problem: Any, env: Any, model: Any, rule: Any, settings: Any) -> Judgement:
    """Each type at its best over all brackets and kinks, ties both ways. The gap [B, 1] is what a type would gain at the best income of any
    bracket or at any point of a grid."""
    exact = of_model(model)
    rates, thresholds = (np.asarray(each, np.float64) for each in (rule(None).rates, rule(None).thresholds))
    income, tax, value, worst = exact.both_ways(exact.tied(rates, thresholds))
    account = exact.account(income, tax)
    return Judgement(
        value=value, adversarial=worst, gap=gaps(exact, rates, thresholds, income, tax)[:, None], weight=exact.share[:, None],
        method=f"each type's best in every bracket and at every kink, exact, and a grid of {POINTS} incomes",
        objectives={name: float(each) for name, each in parts(account, np).items()},
    )  # fmt: skip


def tax_due(rates: np.ndarray, thresholds: np.ndarray, income: np.ndarray) -> np.ndarray:
    """The tax on incomes of any shape under rates [K] up to thresholds [K − 1]."""
    low = np.concatenate([[0.0], thresholds])
    within = np.clip(income[..., None] - low, 0.0, np.append(np.diff(low), np.inf))
    return within @ rates


def gaps(exact: Exact, rates: np.ndarray, thresholds: np.ndarray, income: np.ndarray, tax: np.ndarray) -> np.ndarray:
    """What each type [B] would gain by another income than the one it has."""
    got = income - tax - exact.cost(income)
    found = exact.utilities(*exact.candidates(rates, thresholds)).max(-1)
    grid = np.linspace(0.0, 2.0, POINTS)[:, None] * exact.free
    offered = (grid - tax_due(rates, thresholds, grid) - exact.cost(grid)).max(0)
    return np.maximum(np.maximum(found, offered) - got, 0.0)


def told(exact: Exact, model: Any, account: Account) -> dict[str, Any]:
    """A society in plain numbers, type by type; and under inequality aversion the isoelastic sum."""
    rebate = account.mean("tax") - exact.requirement
    found = {
        "skills": exact.skills, "incomes": account.income, "labour": account.income / exact.skills, "taxes": account.tax,
        "consumption": account.consumption, "utilities": account.utility, "incomes_without_a_tax": exact.free,
    }  # fmt: skip
    society = {name: each.tolist() for name, each in found.items()} | {
        "revenue": float(account.mean("tax")), "rebate": float(rebate), "gini": float(gini(account.consumption, exact.share, np)),
        "elasticity": exact.elasticity,
    }  # fmt: skip
    if isinstance(exact.social, Isoelastic):
        society["isoelastic_sum"] = isoelastic_sum(account.utility, exact.share, exact.social.aversion)
    return society


def details(problem: Any, env: Any, model: Any, rule_model: Any, rule: Any) -> dict[str, Any]:
    """The schedule, what each type does under it, and beside it the best single rate."""
    exact, (rates, thresholds) = of_model(model), schedule_of(rule)
    ties = exact.tied(rates, thresholds)
    income, tax, *_ = exact.both_ways(ties)
    best = best_rate(exact)
    found = {"rates": rates.tolist(), "thresholds": thresholds.tolist(), "best_single_rate": best,
             "value_of_best_single_rate": None if best is None else float(exact.linear(best)),
             "marginal_rates": marginal(rates, thresholds, income).tolist(),
             "indifferent_types": [place for place, each in enumerate(ties) if each.shape[1] > 1]}  # fmt: skip
    weights = marginal_weights(exact)
    if weights is not None:
        found["welfare_weights_without_a_tax"] = weights.tolist()
    if rule_model.kind == "linear_tax" and best is not None:
        found["distance_from_best_rate"] = float(rates[0] - best)
    return {**found, **told(exact, model, exact.account(income, tax))}


def marginal(rates: np.ndarray, thresholds: np.ndarray, income: np.ndarray) -> np.ndarray:
    """The rate on the next unit at incomes of any shape."""
    return rates[np.searchsorted(thresholds, income, side="right")]
