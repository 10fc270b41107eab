"""Games in normal form written out, and those in which agents gain by doing the same (Schelling 1960; Luce & Raiffa 1957)."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from icsap_jax.games.named.common import kept
from icsap_jax.games.tables import Tables, numbered, tables


def names_of(model: Any) -> tuple[tuple[str, ...], ...]:
    """Of each agent's actions."""
    sizes = model.payoffs.shape[1:]
    return tuple(numbered("action", size) for size in sizes) if model.actions is None else tuple(map(tuple, model.actions))


def transfers(model: Any) -> dict[str, np.ndarray]:
    """For two agents and each joint action, a payment of 1 from the second to the first [2, 1, A1, A2]: together they are every balanced
    contract about what is done. Nothing for more agents."""
    if model.payoffs.shape[0] != 2:
        return {}
    found = {}
    for row, column in itertools.product(*(range(size) for size in model.payoffs.shape[1:])):
        table = np.zeros((2, 1, *model.payoffs.shape[1:]))
        table[:, 0, row, column] = 1, -1
        first, second = names_of(model)
        found[f"to the first after ({first[row]}, {second[column]})"] = table
    return found


def matrix(model: Any) -> Tables:
    """The payoffs as they are written."""
    return tables(
        model.payoffs.values[:, None], instruments=kept(model, transfers(model)), states=("game",), actions=names_of(model),
        agents=None if model.agents is None else tuple(model.agents),
    )  # fmt: skip


def coordination(model: Any) -> Tables:
    """A convention is worth what is written where all follow it, and nothing else is worth anything. Besides the conventions there are
    equilibria in which agents mix them, worth less than any of those."""
    names, count = model.names, model.agents
    worth = np.broadcast_to(model.worth.values, (count, len(names)))
    rewards = np.zeros((count, 1, *[len(names)] * count))
    offered = {}
    for place, name in enumerate(names):
        rewards[(slice(None), 0, *[place] * count)] = worth[:, place]
        paid = np.zeros_like(rewards)
        for agent in range(count):
            paid[(agent, 0, *[place if other == agent else slice(None) for other in range(count)])] = 1
        offered[f"{name}_followed"] = paid
    return tables(rewards, instruments=kept(model, offered), states=("meeting",), actions=(names,) * count)
