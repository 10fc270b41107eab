"""The best of all rules that several receivers obey: a sparse linear programme over the joint probability of state and signal.

    maximise  Σ x(ω, r) v(ω, r)   over x ≥ 0   subject to   Σ_r x(ω, r) = μ₀(ω)   and the obedience of `many_games`

Private channels: Bayes correlated equilibria (Bergemann & Morris 2016, 2019; Arieli & Babichenko 2019 for voters). A public channel:
every signal is a pure equilibrium at its posterior, the sender's choice among them; mixed equilibria are left out.

Baselines need a choice among equilibria too. Under full and under no disclosure all receivers share a belief, and they are taken to
play the pure equilibrium there that is best for the sender; a baseline is left out where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from icsap_jax.bilevel.replies import TIE
from icsap_jax.config import Config, ConfigError
from icsap_jax.exact.lp import Infeasible, solve
from icsap_jax.persuasion.many.games import Game, game


@dataclass(frozen=True)
class Scheme:
    """An optimal rule: its `value`, the `joint` probability [S, R] of state and signal, and the `multipliers` [K] of obedience."""

    value: float
    joint: np.ndarray
    multipliers: np.ndarray


def best_scheme(given: Game, margin: float = 0.0) -> Scheme:
    """The best rule that is obeyed with at least `margin` to spare, given what is heard. Raises `exact.lp.Infeasible` where there is
    none."""
    states, signals, comparisons = given.gain.shape
    at, signal, compared = np.indices((states, signals, comparisons))
    lack = margin * given.chance - given.worth
    disobedience = sparse.coo_matrix(
        (lack.ravel(), (given.row[signal, compared].ravel(), (at * signals + signal).ravel())), shape=(given.rows, states * signals)
    )
    found = solve(
        given.sender.ravel(), at_most=(disobedience, np.zeros(given.rows)), maximise=True,
        equal=(sparse.kron(sparse.eye(states), np.ones((1, signals))), given.prior),
    )  # fmt: skip
    return Scheme(found.value, found.x.reshape(states, signals), np.maximum(found.duals_at_most, 0.0))


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: the sender's value without a margin, and the bound its duals prove."""
    given = game(model)
    scheme = best_scheme(given)
    among = "private recommendations that are obeyed" if model.channel == "private" else "pure equilibria recommended in public"
    return {
        "value": scheme.value,
        "method": f"linear programme over {among}",
        "source": "Bergemann & Morris 2019" + ("; Arieli & Babichenko 2019" if model.channel == "private" else ""),
        "upper_bound": given.bound(scheme.multipliers),
    }


def at_belief(given: Game, joint: np.ndarray) -> float | None:
    """The sender's value when a joint probability [S] of the states and something all have heard is followed by the pure equilibrium
    that is best for it; None where there is none."""
    possible = given.equilibria(joint / joint.sum(), TIE)
    return float((joint @ given.sender)[possible].max()) if possible.any() else None


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The sender's value under full and under no disclosure, and where channels are private the best it could do in public, by name;
    what has no pure equilibrium is left out."""
    given = game(model)
    everywhere = [at_belief(given, row) for row in np.diag(given.prior)]
    found = {
        "full_disclosure": None if None in everywhere else sum(value for value in everywhere if value is not None),
        "no_disclosure": at_belief(given, given.prior),
    }
    if model.channel == "private":
        found["public_channel"] = _value(given.public())
    return {name: float(value) for name, value in found.items() if value is not None}


def _value(given: Game, margin: float = 0.0) -> float | None:
    try:
        return best_scheme(given, margin).value
    except Infeasible:
        return None


def check(problem: Any, env: Any, config: Config) -> None:
    """Raise ConfigError where no rule is obeyed with the margin asked for."""
    given, margin = game(config.problem), problem.margin
    if _value(given, margin) is not None:
        return
    if margin and _value(given) is not None:
        raise ConfigError(f"{config.source}: problem.obedience_margin = {margin:g}: no recommendations leave every receiver that much "
                          "better off than disobeying; without a margin some are obeyed, so make it smaller.")
    raise ConfigError(f"{config.source}: problem.channel = public: in some state no pure profile of actions is an equilibrium at any "
                      "belief that includes the state; write problem.channel=private.")
