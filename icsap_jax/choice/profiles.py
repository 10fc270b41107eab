"""Profiles of one number for each agent whose means are expectations: for what exact answers, bounds and details average over."""

from __future__ import annotations

from typing import Any

import numpy as np

POWER = 17  # the logarithm to base 2 of how many profiles
SEED = 7_919
QUICK = ("uniform", "beta", "truncated_normal", "exponential")  # kinds of priors whose quantiles are had at once


def spread(prior: Any, kind: str) -> np.ndarray:
    """Values [B, N], float64, the same at every call: a Sobol sequence, on which the mean of a bounded function is off by some 1e-5, or
    where quantiles are slow or agents tied to each other drawn ones."""
    prior = prior.held_out()
    if kind not in QUICK:
        import jax

        return np.asarray(prior.sample(jax.random.key(SEED), 2**POWER), np.float64)[..., 0]
    from scipy.stats import qmc

    laws = [agent[0] for agent in prior.marginals()]
    shares = qmc.Sobol(len(laws), seed=SEED).random_base2(POWER)
    return np.stack([law.ppf(column) for law, column in zip(laws, shares.T, strict=True)], -1)
