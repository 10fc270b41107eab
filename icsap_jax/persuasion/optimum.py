"""The exact best a sender can get, and the bound that is proven by multipliers it learns, for every variety of finite persuasion.

Recommendations to exact receivers: a linear programme (`programme`); where information costs, a convex dual (`costly`). Fewer signals
than could matter: a programme for every choice of what they may recommend. Quantal receivers: the concave envelope of the value over
beliefs of two or three states (`envelope`); they have no programme, and no bound. The bound is learned without any programme, by the
primal-dual method, and evaluated in float64.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.primal_dual import Programme, Solution, solve
from icsap_jax.config import Config, ConfigError
from icsap_jax.exact.lp import Infeasible
from icsap_jax.persuasion import costly
from icsap_jax.persuasion.envelope import concavified
from icsap_jax.persuasion.programme import best, most_margin, obeyable, upper_bound
from icsap_jax.persuasion.tables import Game, game_of, subsets

SOURCE = "Kamenica & Gentzkow 2011; Bergemann & Morris 2016"
NOTHING: dict[str, Any] = {"value": None, "method": None, "source": None, "upper_bound": None}


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: the sender's expected utility without any margin, and the bound that duals prove;
    nulls where nothing exact is known."""
    game = game_of(model)
    profiles = game.profiles()
    worth, obedience = game.worth(profiles), game.obedience(profiles)
    scarce = model.signals is not None and model.signals < min(len(profiles), len(game.prior))
    if game.precision is not None:
        found = None if model.signals is not None and model.signals < len(game.prior) else concavified(game)
        method = "concave envelope of the value over a fine grid of beliefs"
        return NOTHING if found is None else told(found.value, method, "Kamenica & Gentzkow 2011", None)
    if game.cost > 0:
        dual = costly.best(game.prior, worth, obedience, game.cost)
        if dual is None:
            return NOTHING
        method = "convex dual over multipliers of obedience and prices of states"
        return told(None if scarce else dual.bound, method, "Gentzkow & Kamenica 2014", dual.bound)
    scheme = best(game.prior, worth, obedience)
    proven = upper_bound(game.prior, worth, obedience, scheme.multipliers)
    if not scarce:
        return told(scheme.value, "linear programme over obedient recommendations", SOURCE, proven)
    choices = subsets(len(profiles), model.signals)
    if choices is None:
        return told(None, "linear programme over obedient recommendations, with as many signals as it likes", SOURCE, proven)
    value = max(best_of(game, worth[list(chosen)], obedience[list(chosen)]) for chosen in choices)
    return told(value, f"a linear programme for each choice of {model.signals} recommendations", SOURCE, proven)


def told(value: float | None, method: str, source: str, proven: float | None) -> dict[str, Any]:
    """As `optimum` answers."""
    return {"value": value, "method": method, "source": source, "upper_bound": proven}


def best_of(game: Game, worth: np.ndarray, obedience: np.ndarray) -> float:
    """The value of the best scheme of these recommendations alone; −inf where they cannot be obeyed."""
    try:
        return best(game.prior, worth, obedience).value
    except Infeasible:
        return -np.inf


def primal_dual(game: Game, profiles: np.ndarray, margin: float = 0.0) -> Solution:
    """Scheme and multipliers of recommending `profiles` [J, T], in float64, by the primal-dual method."""
    with jax.enable_x64(True):
        given = Programme(*map(jnp.asarray, (game.worth(profiles), game.obedience(profiles, margin), np.eye(len(game.prior)), game.prior)))
        return jax.tree.map(np.asarray, solve(given))


def bound(problem: Any, env: Any, model: Any, rule: Any = None) -> float | None:
    """A proven upper bound on what the sender gets from receivers that do their best, whatever it says; None for quantal ones."""
    game = game_of(model)
    profiles = game.profiles()
    worth, obedience = game.worth(profiles), game.obedience(profiles)
    if game.precision is not None:
        return None
    if game.cost > 0:
        dual = costly.best(game.prior, worth, obedience, game.cost)
        return None if dual is None else dual.bound
    return upper_bound(game.prior, worth, obedience, np.asarray(primal_dual(game, profiles).multiplier))


def check(problem: Any, env: Any, config: Config) -> None:
    """Raises ConfigError where no scheme is obeyed with the margin that is asked for."""
    model = config.problem
    game = game_of(model)
    if not problem.direct or not problem.margin:
        return
    if not obeyable(game.prior, game, game.profiles(), problem.margin):
        raise ConfigError(
            f"{config.source}: problem.obedience_margin = {problem.margin:g}: no scheme makes the receiver that sure; the most any leaves "
            f"is {most_margin(game.prior, game):.4g}. Lower it."
        )
