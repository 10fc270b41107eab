"""Formal contracts that agents may refuse (Christoffersen, Haupt & Hadfield 2023): first each accepts or refuses, then all play.

The game that follows, with the contract or without, is a state that stays. At a discount of one half everything from the next period on
counts ½ + ¼ + … = 1 times one period, so that payoffs, payments and values are those of one play of the stage game. What to do without a
contract is a part of the target: the best pure equilibrium of the stage, which is what a refusal has to be measured against.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.config import fault
from icsap_jax.games.named.common import instruments_of, kept
from icsap_jax.games.named.schema import one_shot
from icsap_jax.games.tables import Tables, tables

OFFER, CONTRACT, NONE = range(3)
ACCEPT, REFUSE = range(2)
TIE = 1e-9


def contract_offer(model: Any) -> Tables:
    """States: the offer, a contract, no contract. An agent accepts or refuses in the first, and in the others has the stage's actions."""
    stage = one_shot(model.stage)
    count, sizes = len(stage.agents), tuple(2 + size for size in stage.sizes)
    playing = (slice(None), *[slice(2, None)] * count)  # the stage's joint actions, for all agents

    def after(table: np.ndarray, *states: int) -> np.ndarray:
        """A table [N, 1, A1, …, AN] of the stage as one of this game that counts in some states."""
        found = np.zeros((count, 3, *sizes))
        for state in states:
            found[:, state][playing] = table[:, 0]
        return found

    transitions = np.zeros((3, *sizes, 3))
    transitions[OFFER, ..., NONE] = 1
    transitions[(OFFER, *[ACCEPT] * count)] = np.eye(3)[CONTRACT]
    transitions[CONTRACT, ..., CONTRACT] = transitions[NONE, ..., NONE] = 1
    legal = np.zeros((count, 3, max(sizes)), bool)
    legal[:, OFFER, :2] = True
    legal[:, CONTRACT:, 2:] = stage.legal
    terms = instruments_of(stage) | {"fee": -np.ones_like(stage.rewards)}
    target = np.stack([np.full(count, ACCEPT), 2 + best_for_all(stage), 2 + disagreement(stage)], 1)
    return tables(
        after(stage.rewards, CONTRACT, NONE), transitions, discount=0.5, legal=legal,
        instruments=kept(model, {name: after(table, CONTRACT) for name, table in terms.items()}), agents=stage.agents,
        states=("offer", "with the contract", "without it"), actions=tuple(("accept", "refuse", *names) for names in stage.actions),
        target=target,
    )  # fmt: skip


def best_for_all(stage: Tables) -> np.ndarray:
    """The legal joint action [N] of most welfare; of several the first."""
    return np.array(np.unravel_index(np.where(_open(stage), stage.rewards[:, 0].sum(0), -np.inf).argmax(), stage.sizes))


def disagreement(stage: Tables) -> np.ndarray:
    """The pure equilibrium [N] of most welfare of a game of one state. Raises a fault where there is none."""
    content = _open(stage)
    for agent, own in enumerate(stage.rewards[:, 0]):
        best = np.where(_open(stage), own, -np.inf).max(agent, keepdims=True)
        content = content & (own >= best - TIE)
    if not content.any():
        raise fault((["stage"], "has no pure equilibrium; without a contract agents would not know what to do", None))
    return np.array(np.unravel_index(np.where(content, stage.rewards[:, 0].sum(0), -np.inf).argmax(), stage.sizes))


def _open(stage: Tables) -> np.ndarray:
    """Where everybody's action is legal, [A1, …, AN]."""
    found = np.ones(stage.sizes, bool)
    for agent, size in enumerate(stage.sizes):
        axes = [size if other == agent else 1 for other in range(len(stage.sizes))]
        found = found & stage.legal[agent, 0, :size].reshape(axes)
    return found
