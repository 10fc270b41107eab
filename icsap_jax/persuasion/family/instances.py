"""Random games, one for each seed, by numpy's PCG64: the families on which learned signals are compared with exact ones.

The order of the draws is the definition: a seed means the same game everywhere.
"""

from __future__ import annotations

import numpy as np

Game = tuple[np.ndarray, np.ndarray, np.ndarray]


def uniform(n: int, m: int, seed: int) -> Game:
    """(prior [n], sender [n, m], receiver [n, m]) of n states and m actions: utilities U[0, 1], the prior Dirichlet(1)."""
    random = np.random.default_rng(seed)
    receiver = random.random((n, m))
    sender = random.random((n, m))
    return random.dirichlet(np.ones(n)), sender, receiver


def state_independent(n: int, m: int, seed: int) -> Game:
    """The same, of a sender who cares for the action alone."""
    random = np.random.default_rng(seed)
    receiver = random.random((n, m))
    sender = np.tile(random.random(m), (n, 1))
    return random.dirichlet(np.ones(n)), sender, receiver
