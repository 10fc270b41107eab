"""A game played again and again by agents who remember the last round: strategies of memory one, in which cooperation may be sustained
by what defecting leads to (Friedman 1971 for grim trigger; Nowak & Sigmund 1993 for win-stay, lose-shift).

With payoffs T > R > P ≥ S grim trigger is an equilibrium of the Prisoner's dilemma from the discount (T − R)/(T − P) on, win-stay,
lose-shift from (T − R)/(R − P) on. Both are then best in every state, reached or not.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from icsap_jax.games.named.common import instruments_of
from icsap_jax.games.named.schema import one_shot
from icsap_jax.games.tables import Tables, tables

COOPERATE, DEFECT = range(2)


def repeated(model: Any) -> Tables:
    """State 0 comes before the first round; after that a state is the joint action of the last."""
    stage = one_shot(model.stage)
    count, sizes = len(stage.agents), stage.sizes
    before = list(itertools.product(*(range(size) for size in sizes)))
    places = 1 + len(before)
    transitions = np.broadcast_to(np.eye(places)[1:].reshape(*sizes, places), (places, *sizes, places))

    def always(table: np.ndarray) -> np.ndarray:
        """The same payoffs in every state, from those of the stage [N, 1, A1, …, AN]."""
        return np.repeat(table, places, 1)

    done = [[stage.actions[agent][action] for agent, action in enumerate(joint)] for joint in before]
    told = [names[0] if len(set(names)) == 1 else ", ".join(names) for names in done]
    target = None if model.strategy is None else np.array([[COOPERATE, *(REPLIES[model.strategy](agent, joint) for joint in before)]
                                                           for agent in range(count)])  # fmt: skip
    return tables(
        always(stage.rewards), transitions, discount=model.discount, legal=np.repeat(stage.legal, places, 1),
        instruments={name: always(table) for name, table in instruments_of(stage).items()}, agents=stage.agents,
        states=("at first", *(f"after {names}" for names in told)), actions=stage.actions, target=target,
    )  # fmt: skip


def grim(agent: int, last: tuple[int, ...]) -> int:
    """Cooperate as long as all did."""
    return COOPERATE if set(last) == {COOPERATE} else DEFECT


def win_stay_lose_shift(agent: int, last: tuple[int, ...]) -> int:
    """Do the same after the others cooperated, the other thing after one of them did not."""
    met = all(action == COOPERATE for other, action in enumerate(last) if other != agent)
    return last[agent] if met else 1 - last[agent]


def tit_for_tat(agent: int, last: tuple[int, ...]) -> int:
    """Do what was done to one: defect after any other did."""
    return max(action for other, action in enumerate(last) if other != agent)


REPLIES = {"grim": grim, "win_stay_lose_shift": win_stay_lose_shift, "tit_for_tat": tit_for_tat}
