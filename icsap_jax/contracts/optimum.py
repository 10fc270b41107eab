"""What the best contracts of a shape earn, exactly: one least-pay programme for each profile of the types' actions, in float64.

With types a randomised menu, which no other beats, bounds the value. A problem in which nothing can be implemented is refused before
anything is trained, with the constraint that stands in the way.
"""

from __future__ import annotations

from typing import Any

from icsap_jax.config import Config, ConfigError
from icsap_jax.contracts.infeasibility import why_infeasible
from icsap_jax.contracts.menus import randomised_menu
from icsap_jax.contracts.problem import tables
from icsap_jax.contracts.programmes import MOST_PROFILES, best_contract, implementable
from icsap_jax.contracts.shapes import Terms
from icsap_jax.contracts.tables import Tables
from icsap_jax.exact.lp import Infeasible, LpError


def terms_of(rule_model: Any, margin: bool = False) -> Terms:
    """What the rule asks of its contracts; its margin only where asked for."""
    return Terms(shape=rule_model.shape, budget=rule_model.budget, margin=rule_model.margin if margin else 0.0)


def optimum(problem: Any, env: Any, model: Any, rule_model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: the most the principal gets by contracts of the rule's shape, without a margin.
    Nulls where there are too many profiles to try. Raises ConfigError where nothing can be implemented."""
    given, terms, menu = tables(model), terms_of(rule_model), rule_model.menu != "single"
    kind = "linear" if given.utility.linear else "convex"
    bound = lottery_bound(given)
    try:
        best = best_contract(given, terms, menu)
    except Infeasible as error:
        raise ConfigError(f"problem: {error}") from None
    except (LpError, ValueError) as error:
        many = f"more than {MOST_PROFILES} profiles of actions"
        return {"value": None, "method": many if isinstance(error, ValueError) else str(error), "source": None, "upper_bound": bound}
    what = "action" if given.types == 1 else "profile of the types' actions"
    return {
        "value": best.value,
        "method": f"a least-pay {kind} programme for each {what}",
        "source": "Grossman & Hart 1983" + ("" if given.types == 1 else "; Castiglioni, Marchesi & Gatti 2022"),
        "upper_bound": best.upper_bound if bound is None else max(bound, best.value),
    }


def lottery_bound(given: Tables) -> float | None:
    """What menus of lotteries over contracts earn at most; None where there are no types, where the agent is risk averse, and where bets
    on the outcome, which limited liability would rule out, earn without bound."""
    if given.types == 1 or not given.utility.linear:
        return None
    try:
        return randomised_menu(given)
    except LpError:
        return None


def check(problem: Any, env: Any, config: Config) -> None:
    """Raise ConfigError where no action of the types can be implemented by contracts of the rule's shape."""
    given, terms, menu = tables(config.problem), terms_of(config.rule, margin=True), config.rule.menu != "single"
    try:
        if not implementable(given, terms, menu):
            raise ConfigError(f"{config.source}: {why_infeasible(given, terms, lambda *other: implementable(*other, menu))}")
    except ValueError:  # too many profiles to be sure
        return
    except LpError as error:
        raise ConfigError(f"{config.source}: {error}") from None
