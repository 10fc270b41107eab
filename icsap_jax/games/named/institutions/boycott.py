"""Law as what buyers agree to punish (Hadfield & Weingast 2012): a boycott works only if both join it, and both join what both call wrong.

In the first period both buy, and the seller performs honestly or cheats the first buyer, which saves it the cost. If both call that a
wrong, of probability (1 − ρ_1)(1 − ρ_2), each may boycott in what follows: together they leave the seller nothing, and are glad to have
deterred it; a lone boycott moves the other sale elsewhere and costs the seller nothing. So in equilibrium cheating is not worth while
exactly if cost ≤ 2 δ (1 − ρ_1)(1 − ρ_2)(price − cost).

What follows is a state that stays; at a discount of one half it counts as one period, and so is multiplied by the seller's and the
buyers' patience δ, which may be 1. A `fine` of 1 on cheating is what a state could add.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.games.named.common import kept
from icsap_jax.games.tables import Tables, tables

MARKET, TRUSTED, WRONG, DISPUTED = range(4)
HONEST, CHEAT = range(2)
BUY, STAY_AWAY = range(2)


def boycott(model: Any) -> Tables:
    """Agents: the seller, the first buyer, the second. The target: honest, and both stay away from whom both call a cheat."""
    profit, surplus = model.price - model.cost, model.value - model.price
    rewards = np.zeros((3, 4, 2, 2, 2))
    rewards[0, MARKET, HONEST], rewards[0, MARKET, CHEAT] = 2 * profit, 2 * profit + model.cost
    rewards[1:, MARKET] = surplus
    rewards[1, MARKET, CHEAT] = -model.price
    for state in (TRUSTED, WRONG, DISPUTED):
        rewards[0, state] = 2 * profit
        rewards[0, state, :, STAY_AWAY, STAY_AWAY] = 0
        rewards[1, state, :, BUY], rewards[2, state, :, :, BUY] = surplus, surplus
    rewards[1:, WRONG, :, STAY_AWAY, STAY_AWAY] = model.deterrence
    rewards[:, TRUSTED:] *= model.patience
    agreed = float(np.prod([1 - chance for chance in model.ambiguity]))
    transitions = np.broadcast_to(np.eye(4).reshape(4, 1, 1, 1, 4), (4, 2, 2, 2, 4)).copy()
    transitions[MARKET, HONEST] = np.eye(4)[TRUSTED]
    transitions[MARKET, CHEAT] = agreed * np.eye(4)[WRONG] + (1 - agreed) * np.eye(4)[DISPUTED]
    legal = np.ones((3, 4, 2), bool)
    legal[0, TRUSTED:, CHEAT] = legal[1:, MARKET, STAY_AWAY] = False
    fine = np.zeros_like(rewards)
    fine[0, MARKET, CHEAT] = -1
    target = np.zeros((3, 4), int)
    target[1:, WRONG] = STAY_AWAY
    return tables(
        rewards, transitions, discount=0.5, legal=legal, instruments=kept(model, {"fine": fine}),
        agents=("seller", "first buyer", "second buyer"), states=("market", "trusted", "both call it a wrong", "disputed"),
        actions=(("honest", "cheat"), ("buy", "stay away"), ("buy", "stay away")), target=target,
    )  # fmt: skip


def enough(model: Any) -> float:
    """The largest cost/price at which the boycott deters, x/(1 + x) with x = 2 δ (1 − ρ_1)(1 − ρ_2)."""
    x = 2 * model.patience * float(np.prod([1 - chance for chance in model.ambiguity]))
    return x / (1 + x)
