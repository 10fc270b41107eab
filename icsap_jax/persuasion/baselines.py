"""What a sender gets without designing anything: by saying all it knows, or nothing. Exact, float64; ties are the sender's."""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.persuasion.problem import best_reply_value, tables


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The sender's expected utility under full and under no disclosure, by name."""
    prior, sender, receiver = tables(model)
    return {
        "full_disclosure": best_reply_value(np.diag(prior), sender, receiver, "for"),
        "no_disclosure": best_reply_value(prior[:, None], sender, receiver, "for"),
    }
