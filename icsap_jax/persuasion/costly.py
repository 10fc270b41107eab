"""The best scheme where information costs the sender, exactly: a convex dual, solved smoothly, and the scheme it prices.

Cost c·(H(μ₀) − E H(posterior)), nats (entropy; as in rational inattention, Sims 2003; Gentzkow & Kamenica 2014). For any multipliers
λ ≥ 0 on obedience and any prices p of states, no scheme that is obeyed earns the sender more than

    p·μ₀ + max_j c log Σ_ω exp((w(j,ω) + Σ_k λ(j,k) G(j,k,ω) − p(ω)) / c) − c H(μ₀)

since a signal with posterior q earns Σ q (w + λG) + c H(q) − c H(μ₀), and c log Σ exp is the most of that less p·q over all q. At the
minimum the bound is tight, the maximisers q are the posteriors, and how often each is reached follows from the prior. w and G are those
of `tables.Game`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, nnls
from scipy.special import logsumexp

from icsap_jax.persuasion.tables import entropy

MOST = 1200  # multipliers and prices, beyond which the dual takes too long
ACTIVE = 1e-6  # by how much, in units of c, a recommendation may fall short of the best and still be used
ROUNDING = 1e-6  # of the prior, left unexplained by the posteriors


@dataclass(frozen=True)
class CostlyScheme:
    """A scheme: its `joint` probability [S, J] of state and recommendation, None where it could not be told; the proven `bound` on what
    any scheme earns; and the `multipliers` [J, K] and `prices` [S] that prove it."""

    joint: np.ndarray | None
    bound: float
    multipliers: np.ndarray
    prices: np.ndarray


def best(prior: np.ndarray, worth: np.ndarray, obedience: np.ndarray, cost: float) -> CostlyScheme | None:
    """The best scheme of `worth` [J, S] under `obedience` [J, K, S] when a nat costs `cost`; None where there are too many multipliers."""
    rows = np.argwhere(np.abs(obedience).max(-1) > 0)
    held, count = obedience[rows[:, 0], rows[:, 1]], len(rows)  # [R, S]
    if count + len(prior) > MOST:
        return None

    def posteriors(point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What each recommendation earns above its price, and the posterior [J, S] at which it does."""
        scores = worth - point[count:]
        np.add.at(scores, rows[:, 0], point[:count, None] * held)
        total = logsumexp(scores / cost, axis=1)
        return cost * total, np.exp(scores / cost - total[:, None])

    def slopes(point: np.ndarray) -> np.ndarray:
        belief = posteriors(point)[1]
        jacobian = np.zeros((len(worth), len(point)))
        jacobian[:, count:] = belief
        jacobian[rows[:, 0], np.arange(count)] = -(belief[rows[:, 0]] * held).sum(1)
        return jacobian

    direction = np.concatenate([np.zeros(count), prior])
    found = minimize(
        lambda point: direction @ point, np.concatenate([np.zeros(count), worth.max(0) + cost * np.log(len(prior))]),
        jac=lambda point: direction, constraints=[{"type": "ineq", "fun": lambda point: -posteriors(point)[0], "jac": slopes}],
        bounds=[(0.0, None)] * count + [(None, None)] * len(prior), method="SLSQP", options={"ftol": 1e-14, "maxiter": 1000},
    )  # fmt: skip
    point = np.concatenate([np.maximum(found.x[:count], 0.0), found.x[count:]])
    multipliers = np.zeros(obedience.shape[:2])
    multipliers[tuple(rows.T)] = point[:count]
    earned, belief = posteriors(point)
    used = earned > earned.max() - ACTIVE * cost
    mass, left = nnls(belief[used].T, prior)
    joint = np.zeros(worth.T.shape)
    joint[:, used] = (mass[:, None] * belief[used]).T
    bound = upper_bound(prior, worth, obedience, cost, multipliers, point[count:])
    return CostlyScheme(joint if left < ROUNDING else None, bound, multipliers, point[count:])


def upper_bound(
    prior: np.ndarray, worth: np.ndarray, obedience: np.ndarray, cost: float, multipliers: np.ndarray, prices: np.ndarray
) -> float:
    """The bound above at any `multipliers` [J, K] ≥ 0 and any `prices` [S]."""
    scores = worth + np.einsum("jk,jks->js", multipliers, obedience) - prices
    return float(prior @ prices + cost * logsumexp(scores / cost, axis=1).max() - cost * entropy(prior))
