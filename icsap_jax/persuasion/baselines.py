"""What a sender gets without designing anything: by saying all it knows, or nothing. Exact, float64; ties are the sender's."""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.persuasion.tables import game_of, scheme_value


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The sender's expected utility under full and under no disclosure, what information costs paid, by name."""
    game = game_of(model)
    return {
        "full_disclosure": scheme_value(game, np.diag(game.prior), "for"),
        "no_disclosure": scheme_value(game, game.prior[:, None], "for"),
    }
