"""The best taxes that are known, and the ones a user would otherwise use.

One rate leaves everybody's income z°·(1 − τ)^e, and a bounded search in one number finds the best. Where welfare weights g of mean one do
not depend on it, that is Sheshinski's (1972) τ = (1 − ḡ)/(1 − ḡ + e) with ḡ = Σ f g z/Σ f z, which Saez (2001) writes for any schedule;
with ḡ = 0 it is the top of the Laffer curve. No tax on income does better than the best direct mechanism (`mirrlees`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from icsap_jax.games.economy import mirrlees
from icsap_jax.games.economy.exact import Exact, of_model
from icsap_jax.games.economy.search import searched
from icsap_jax.games.economy.social import EqualityProductivity, Isoelastic, Maximin, Revenue, Weighted
from icsap_jax.inequality import equally_distributed

NEARLY = 1e-3  # rates of the best mechanism are known this well: its value hardly depends on them
GRID = 1.0 - np.geomspace(1e-4, 1e3, 8000)[::-1]  # rates among which the bounded search begins: what is left is a share, or a multiple


def best_rate(exact: Exact) -> float | None:
    """The rate that is worth most to the designer, to about 1e-10: refined where the grid is highest. None where subsidies pay without
    end."""
    best = int(np.argmax(exact.linear(GRID)))
    if best == 0:
        return None
    low, high = GRID[max(best - 1, 0)], GRID[min(best + 1, len(GRID) - 1)]
    around = minimize_scalar(lambda rate: -float(exact.linear(rate)), bounds=(low, high), method="bounded", options={"xatol": 1e-11})
    return float(around.x)


def saez_rate(exact: Exact) -> float | None:
    """(1 − ḡ)/(1 − ḡ + e), with the designer's weights as they are without a tax; None where it has no weights."""
    weights = marginal_weights(exact)
    if weights is None:
        return None
    mean = float(exact.share * weights @ exact.free / (exact.share @ exact.free))
    return (1.0 - mean) / (1.0 - mean + exact.elasticity)


def marginal_weights(exact: Exact) -> np.ndarray | None:
    """What a unit of money is worth at each type [B] without a tax, of mean one, or all zero where only revenue counts."""
    social, f = exact.social, exact.share
    if isinstance(social, Revenue):
        return np.zeros_like(f)
    if isinstance(social, EqualityProductivity):
        return None
    utility = exact.account(exact.free, np.zeros_like(exact.free)).utility
    if isinstance(social, Weighted):
        weights = np.asarray(social.weights)
    elif isinstance(social, Maximin):
        weights = np.eye(len(f))[int(utility.argmin())]
    else:
        weights = (np.maximum(utility, 1e-9 * utility.max()) / utility.max()) ** -social.aversion
    return weights / (f @ weights)


def linear(problem: Any, env: Any, model: Any, rule_model: Any = None) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"} of the best single rate; no tax on income exceeds the bound, of which there
    is none where no leisure is counted."""
    exact = of_model(model)
    rate, formula = best_rate(exact), saez_rate(exact)
    if rate is None:
        return {"value": None, "method": None, "source": None, "upper_bound": None}
    settled = formula is not None and not isinstance(exact.social, Isoelastic)
    return {
        "value": float(exact.linear(rate)), "method": "closed form, τ = (1 − ḡ)/(1 − ḡ + e)" if settled else "bounded search in one number",
        "source": "Sheshinski 1972; Saez 2001" if settled else None, "upper_bound": upper_bound(model),
    }  # fmt: skip


def upper_bound(model: Any) -> float | None:
    """What no tax on income exceeds, None where nothing is proved."""
    best = mirrlees.of_problem(model)
    return None if best is None else best.bound


@lru_cache(maxsize=32)
def _searched(written: str, kind: type, rule_written: str, rule_kind: type) -> tuple[Any, float]:
    return searched(of_model(kind.model_validate_json(written)), rule_kind.model_validate_json(rule_written))


def bracketed(problem: Any, env: Any, model: Any, rule_model: Any) -> dict[str, Any]:
    """The same of the best schedule with so many brackets: the best mechanism's value where brackets suffice to reach it, and else what
    the search finds, which may not be the best."""
    exact, best = of_model(model), mirrlees.of_problem(model)
    if best is not None and reaches_everything(exact, best, rule_model):
        return {"value": best.value, "method": "as many brackets as the best direct mechanism needs, by cutting planes",
                "source": "Mirrlees 1971", "upper_bound": best.bound}  # fmt: skip
    _, value = _searched(model.model_dump_json(), type(model), rule_model.model_dump_json(), type(rule_model))
    return {"value": value, "method": "differential evolution on exact replies, then a simplex: a search, not a proof", "source": None,
            "upper_bound": None if best is None else best.bound}  # fmt: skip


def reaches_everything(exact: Exact, best: mirrlees.Best, rule_model: Any) -> bool:
    """Whether schedules with so many brackets can give each type its bundle in the best mechanism (see `search`). Marginal rates there are
    those of the tangents, and brackets between them have higher ones."""
    if isinstance(exact.social, Revenue) or rule_model.thresholds is not None or rule_model.brackets < 2 * len(exact.free) - 1:
        return False
    rates = 1.0 - (best.income / exact.free) ** (exact.exponent - 1.0)
    return rule_model.least_rate is None or bool(rule_model.least_rate <= rates.min() + NEARLY)


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """What the designer values without a tax, at the top of the Laffer curve, at the rate of the formula with the weights there are without
    a tax, and at the best single rate."""
    exact = of_model(model)
    found = {"free_market": 0.0, "laffer": 1.0 / (1.0 + exact.elasticity), "best_single_rate": best_rate(exact),
             "saez_formula": saez_rate(exact)}  # fmt: skip
    return {name: float(exact.linear(rate)) for name, rate in found.items() if rate is not None}


def veil(exact: Exact, aversions: np.ndarray) -> np.ndarray:
    """The best single rate at each inequality aversion, np.inf for the worst off alone."""
    rates = []
    for aversion in aversions:
        social = Maximin() if np.isinf(aversion) else Isoelastic(float(aversion)) if aversion else Weighted(np.ones_like(exact.free))
        rates.append(best_rate(Exact(**{**vars(exact), "social": social})))
    return np.array(rates)


def isoelastic_sum(utility: np.ndarray, share: np.ndarray, aversion: float) -> float:
    """Σ f u^{1−η}/(1−η), or Σ f log u at η = 1: what the equally distributed equivalent stands for."""
    level = equally_distributed(utility, share, aversion, np)
    return float(np.log(level)) if aversion == 1.0 else float(level ** (1.0 - aversion) / (1.0 - aversion))
