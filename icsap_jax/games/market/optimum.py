"""The best the designer of an exchange economy can do: the planner's allocation, by the second welfare theorem an equilibrium with
transfers (Arrow 1951; Debreu 1951). A competitive equilibrium by itself maximises, of all weighted sums of utilities, the one with
Negishi's weights (Negishi 1960), and not the plain sum, as it is sometimes shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.config import Config, ConfigError
from icsap_jax.games.market.exact import Economy
from icsap_jax.games.market.schema import LogUtilities, Maximin, NashWelfare, Target, Utilities

SOURCE = "second welfare theorem (Arrow 1951; Debreu 1951)"


def economy(env: Any) -> Economy:
    """The same numbers, exactly."""
    return Economy(np.asarray(env.exponents, np.float64), np.asarray(env.endowments, np.float64))


def check(problem: Any, env: Any, config: Config) -> None:
    """Raises ConfigError where prices are not determined: where some consumers have only goods that they alone want."""
    if not economy(env).determined():
        raise ConfigError(f"{config.source}: problem.endowments: relative prices are not determined, or a price is 0: some consumers trade "
                          "with nobody else; give them a good that others want, or make two problems of it.")


def value_of(env: Any, model: Any, allocation: np.ndarray) -> float:
    """What an allocation [N, L] is worth to the designer."""
    exact, numbers = economy(env), np.asarray(env.aim, np.float64)
    utility = exact.utility(allocation)
    with np.errstate(divide="ignore"):
        if isinstance(model.aim, LogUtilities):
            return float(numbers @ np.log(utility))
        if isinstance(model.aim, Utilities):
            return float(numbers @ utility)
        if isinstance(model.aim, NashWelfare):
            return float(np.exp(np.log(utility).mean()))
    if isinstance(model.aim, Maximin):
        return float(utility.min())
    return float(-(((allocation - numbers) / exact.total) ** 2).mean())


def planned_weights(env: Any, model: Any) -> np.ndarray | None:
    """Negishi's weights [N] of the planner's allocation, adding up to 1, or of one of many; None where a target is not efficient."""
    exact, numbers = economy(env), np.asarray(env.aim, np.float64)
    if isinstance(model.aim, (LogUtilities, NashWelfare)):
        return numbers / numbers.sum()
    if isinstance(model.aim, Maximin):
        return exact.most_equal()[0]
    if isinstance(model.aim, Utilities):
        return exact.most_utilities(numbers)[0]
    return exact.weights_of(numbers) if isinstance(model.aim, Target) else None


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: what the planner reaches. Of a target that is not efficient only the bound is known."""
    exact, weights = economy(env), planned_weights(env, model)
    if weights is None:
        return {"value": None, "method": "the target is not efficient: no equilibrium reaches it", "source": SOURCE, "upper_bound": 0.0}
    value = value_of(env, model, exact.efficient(weights))
    if isinstance(model.aim, (Maximin, Utilities)):
        bound = exact.most_equal()[1] if isinstance(model.aim, Maximin) else exact.most_utilities(np.asarray(env.aim, np.float64))[1]
        return {"value": value, "method": "least bound over prices, and an allocation that reaches it", "source": SOURCE,
                "upper_bound": bound}  # fmt: skip
    return {"value": value, "method": "closed form: Negishi's weights", "source": SOURCE,
            "upper_bound": 0.0 if isinstance(model.aim, Target) else value}  # fmt: skip


def best_transfers(problem: Any, env: Any, model: Any, rule_model: Any) -> dict[str, Any]:
    """What transfers of all goods, or of those that may be moved, reach: the planner's best, where at the supporting prices nobody is to
    have less than what it keeps is worth; else only the bound is known."""
    best = optimum(problem, env, model)
    if rule_model.goods is None or best["value"] is None:
        return best
    weights, exact = planned_weights(env, model), economy(env)
    if weights is not None:
        prices, transfers = exact.supporting(weights)
        movable = exact.endowments[:, rule_model.goods] @ prices[rule_model.goods]
        if (transfers + movable >= -1e-12 * prices @ exact.total).all():
            return best
    return {**best, "value": None, "method": "unknown: the goods that may be moved may not be worth enough for the planner's transfers"}


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The designer's value without transfers, and after an even division of all goods; what is infinite is left out."""
    exact = economy(env)
    even = Economy(exact.exponents, np.broadcast_to(exact.total / problem.agents, exact.endowments.shape))
    found = {name: value_of(env, model, each.demand(each.prices())) for name, each in (("no_transfers", exact), ("even_division", even))}
    return {name: value for name, value in found.items() if np.isfinite(value)}
