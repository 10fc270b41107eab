"""Third parties who punish better the better they are told what is forbidden: a toy of what a public classification is worth.

With two of three zones forbidden, 20 for a violation punished and 10 for punishing, who knows nothing punishes always: a gain of
20 · 2/3 − 10 = 10/3, one punishment in three misdirected. Who knows gains 20/3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.games.tables import Tables, numbered, tables


def classification(model: Any) -> Tables:
    """A state is the zone an act lies in. Every punisher is paid for what it does itself."""
    count = model.punishers
    forbidden = np.arange(model.zones) < model.violations
    punishing = model.gain * forbidden - model.cost  # [S]
    rewards = np.zeros((count, model.zones, *[2] * count))
    for agent in range(count):
        acting = [1] * count
        acting[agent] = 2
        rewards[agent] = np.stack([punishing, 0 * punishing], 1).reshape(model.zones, *acting)
    names = tuple(f"zone {zone + 1}, {'forbidden' if wrong else 'allowed'}" for zone, wrong in enumerate(forbidden))
    return tables(
        rewards, start=np.full(model.zones, 1 / model.zones), agents=numbered("punisher", count), states=names,
        actions=(("punish", "spare"),) * count,
    )  # fmt: skip
