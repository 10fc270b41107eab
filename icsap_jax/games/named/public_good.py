"""The linear public good, or voluntary contributions mechanism (Isaac & Walker 1988)."""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.games.named.common import kept
from icsap_jax.games.tables import Tables, tables


def public_good(model: Any) -> Tables:
    """u_i = endowment − x_i + share · Σ x. `contribution` pays by the unit one gives: from 1 − share on, giving all is best whatever the
    others give."""
    given = np.linspace(0.0, model.endowment, model.levels + 1)[np.indices([model.levels + 1] * model.agents)]  # [N, A1, …, AN]
    rewards = model.endowment - given + model.share * given.sum(0)
    names = tuple(f"gives {part:g}" for part in np.linspace(0.0, model.endowment, model.levels + 1))
    return tables(
        rewards[:, None], instruments=kept(model, {"contribution": given[:, None]}), states=("good",), actions=(names,) * model.agents
    )  # fmt: skip
