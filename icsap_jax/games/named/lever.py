"""The Escape Room (Yang et al. 2020), played once: somebody has to stay at the lever for others to leave."""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.games.named.common import kept
from icsap_jax.games.tables import Tables, tables

STAY, LEVER, DOOR = range(3)


def lever(model: Any) -> Tables:
    """`door_pays_lever`: everybody at the lever gets 1 if there is anyone at the door, who share what that comes to. Balanced: with nobody
    at the door nothing is paid. As much as the lever costs is enough and leaves prize (N − M) − cost M to all together."""
    count = model.agents
    done = np.indices([3] * count)  # [N, A1, …, AN]
    pulling, leaving = (done == LEVER).sum(0), (done == DOOR).sum(0)
    through = np.where(pulling >= model.needed, model.prize, -model.cost)
    rewards = np.where(done == DOOR, through, np.where(done == LEVER, -model.cost, 0.0))
    shared = pulling / np.maximum(leaving, 1)
    paid = np.where(done == LEVER, leaving > 0, np.where(done == DOOR, -shared, 0.0))
    return tables(
        rewards[:, None], instruments=kept(model, {"door_pays_lever": paid[:, None]}), states=("room",),
        actions=(("stay", "lever", "door"),) * count,
    )  # fmt: skip
