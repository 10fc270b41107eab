"""What the values of N agents are on average by rank, and what of them falls to whom: E θ₍₁₎ ≥ … ≥ E θ₍N₎ in float64.

Where agents' values are independent, each with a law of its own, θ₍ⱼ₎ > t where at least j of them exceed t, and
E θ₍ⱼ₎ = low + ∫ P(at least j exceed t) dt. How many exceed t is a sum of N independent trials, whose law is had by adding one at a time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

SMOOTH = ("uniform", "beta", "truncated_normal")  # kinds of priors without atoms, whose densities are smooth inside their supports
PANELS, NODES = 32, 32  # of Gauss-Legendre quadrature: exact for polynomials of degree 63 on each panel
STEPS = 2**15  # midpoints where laws may have jumps: off by at most a step
SAMPLED, SEED = 2**18, 7_919  # profiles, and by which key they are drawn, where agents' values depend on each other


def ranked_means(prior: Any, kind: str) -> np.ndarray:
    """E θ₍ⱼ₎ for j = 1 … N, [N], of a prior of one number for each agent and of this kind."""
    if not prior.independent_agents:
        import jax

        values = np.asarray(prior.sample(jax.random.key(SEED), SAMPLED), np.float64)[..., 0]
        return -np.sort(-values, axis=1).mean(0)
    laws = [agent[0] for agent in prior.marginals()]
    ends = np.unique([end for law in laws for end in law.support()])
    places, weights = _smooth_nodes(ends) if kind in SMOOTH else _midpoints(ends)
    exceeding = 1.0 - np.stack([law.cdf(places) for law in laws], axis=-1)
    return ends[0] + weights @ at_least(exceeding)


def at_least(chances: np.ndarray) -> np.ndarray:
    """P(at least j of N independent trials succeed) for j = 1 … N, […, N], from the chances […, N] of each."""
    counts = np.zeros((*chances.shape[:-1], chances.shape[-1] + 1))
    counts[..., 0] = 1.0
    for each in np.moveaxis(chances, -1, 0):
        counts[..., 1:] = counts[..., 1:] * (1 - each[..., None]) + counts[..., :-1] * each[..., None]
        counts[..., 0] *= 1 - each
    return np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1][..., 1:]


def rank_nodes(count: int, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles in (0, 1) and weights at which the `rank`-th highest of `count` independent draws from one law is averaged: its quantile is
    Beta(count + 1 − rank, rank), whose density is a polynomial."""
    from scipy.stats import beta

    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    places = (nodes + 1) / 2
    return places, weights / 2 * beta(count + 1 - rank, rank).pdf(places)


def _smooth_nodes(ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    edges = np.concatenate([np.linspace(low, high, PANELS + 1)[:-1] for low, high in pairwise(ends)] + [ends[-1:]])
    half = np.diff(edges) / 2
    return ((edges[:-1] + half)[:, None] + half[:, None] * nodes).ravel(), (half[:, None] * weights).ravel()


def _midpoints(ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    step = (ends[-1] - ends[0]) / STEPS
    return ends[0] + step * (np.arange(STEPS) + 0.5), np.full(STEPS, step)
