"""Two agents, to cooperate or to defect: Prisoner's dilemma, Stag Hunt and Chicken (Macy & Flache 2002 for greed and fear)."""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.games.named.common import kept, two_by_two
from icsap_jax.games.tables import Tables, tables


def dilemma(model: Any) -> Tables:
    """Greed is temptation − reward, fear punishment − sucker. `defector_pays` goes from each defector to the other, nothing in all where
    both defect; at least max(greed, fear) makes cooperation dominant. A third party pays for `cooperation`, or for it where the other
    cooperates too (`cooperation_met`: greed) and where it does not (`cooperation_unmet`: fear)."""
    first = np.array([[model.reward, model.sucker], [model.temptation, model.punishment]])
    offered = {
        "defector_pays": [[0, 1], [-1, 0]], "cooperation": [[1, 1], [0, 0]], "cooperation_met": [[1, 0], [0, 0]],
        "cooperation_unmet": [[0, 1], [0, 0]],
    }  # fmt: skip
    names = tuple(model.actions)
    return tables(
        two_by_two(first), instruments=kept(model, {name: two_by_two(np.array(table)) for name, table in offered.items()}),
        agents=("first", "second"), states=("dilemma",), actions=(names, names),
    )  # fmt: skip
