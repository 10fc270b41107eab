"""What several named games are made with."""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.games.tables import Tables


def kept(model: Any, offered: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of the payments [N, S, A1, …, AN] a game offers those that its file keeps, in the file's order."""
    return offered if model.instruments is None else {name: offered[name] for name in model.instruments}


def two_by_two(first: np.ndarray) -> np.ndarray:
    """Both agents' tables [2, 1, A, A] in a game of one state that is the same for both, from what the first gets [A, A]."""
    return np.stack([first, first.T])[:, None]


def instruments_of(stage: Tables) -> dict[str, np.ndarray]:
    """A game's payments by name."""
    return dict(zip(stage.instrument_names, stage.instruments, strict=True))
