"""Two forms of the traveller's dilemma (Basu 1994), in which it always pays to give, or to claim, a little less than the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.games.named.common import kept, two_by_two
from icsap_jax.games.tables import Tables, tables


def quality(model: Any) -> Tables:
    """u_i = step · min(a_1, a_2) + bonus · [a_i < a_j]. `low_pays_high` is a lump sum from who gives less to who gives more, balanced;
    `own_quality` pays by the unit of one's own. With step < bonus ≤ 2 step the equilibria are (0, 0), (0, 1) and (1, 0). The target is full
    quality of both, which a bonus of 2 step or more makes no better for all together than one of them giving a step less."""
    own, other = np.indices((model.top + 1, model.top + 1))
    rewards = model.step * np.minimum(own, other) + model.bonus * (own < other)
    offered = {"low_pays_high": two_by_two(np.sign(own - other)), "own_quality": two_by_two(own)}
    names = tuple(f"quality {level}" for level in range(model.top + 1))
    return tables(
        two_by_two(rewards), instruments=kept(model, offered), agents=("first server", "second server"), states=("service",),
        actions=(names, names), target=np.full((2, 1), model.top),
    )  # fmt: skip


def claims(model: Any) -> Tables:
    """u_i = min(a_1, a_2) + reward · sign(a_j − a_i). `top_bonus` is paid for the highest claim. From reward − 1 on the highest claims
    are an equilibrium, above reward the only one, from 2 reward − 1 on the highest claim is best whatever the other does."""
    levels = np.arange(model.low, model.high + 1)
    own, other = np.meshgrid(levels, levels, indexing="ij")
    rewards = np.minimum(own, other) + model.reward * np.sign(other - own)
    names = tuple(f"claim {level}" for level in levels)
    return tables(
        two_by_two(rewards), instruments=kept(model, {"top_bonus": two_by_two(own == model.high)}),
        agents=("first traveller", "second traveller"), states=("claims",), actions=(names, names),
    )  # fmt: skip
