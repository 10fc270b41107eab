"""The exact best signal of a normal state with quadratic payoffs, and bounds by duality; float64.

A linear signal leaves posterior means of any covariance 0 ≤ M ≤ Σ, and the sender expects tr(VM). In the state's own units, M = Σ^½ W Σ^½
with 0 ≤ W ≤ 1, that is tr(ṼW) with Ṽ = Σ^½ V Σ^½: best is to tell the directions of Ṽ's positive eigenvalues, and the value is their sum.
No other signal, linear or not, does better: the covariance of posterior means is never above Σ (Tamura 2018).

*The bound*: for any symmetric P ≥ 0 with P ≥ Ṽ, tr(ṼW) ≤ tr(PW) ≤ tr P. Such a P is (Ṽ + S)/2 for S ≥ ±Ṽ, and Newton's iteration for the
root of Ṽ², S ← (S + S⁻¹Ṽ²)/2, comes down to the least of them from above: every iterate is a proof.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NEWTON_STEPS = 60


def root(covariance: np.ndarray) -> np.ndarray:
    """Σ^½, symmetric."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values)) @ vectors.T


def in_own_units(model: Any) -> np.ndarray:
    """Ṽ, [D, D]."""
    half = root(np.asarray(model.covariance, np.float64))
    return half @ model.worth @ half


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}."""
    values = np.linalg.eigvalsh(in_own_units(model))
    value = float(np.maximum(values, 0.0).sum())
    return {"value": value, "method": "sum of positive eigenvalues", "source": "Tamura 2018", "upper_bound": value}


def bound(problem: Any, env: Any, model: Any, rule: Any = None) -> float:
    """tr P of the multipliers found, made to dominate what they must whatever rounding did."""
    worth = in_own_units(model)
    size = np.linalg.norm(worth)
    if size == 0.0:
        return 0.0
    square, over = worth @ worth, size * np.eye(len(worth))
    for _ in range(NEWTON_STEPS):
        if np.trace(over) < 1e-8 * size:  # nothing is worth anything, and dividing by it no longer means anything
            break
        refined = 0.5 * (over + np.linalg.solve(over, square))
        refined = 0.5 * (refined + refined.T)
        if not np.trace(refined) < np.trace(over):
            break
        over = refined
    multiplier = 0.5 * (worth + over)
    lack = max(0.0, -np.linalg.eigvalsh(multiplier).min(), -np.linalg.eigvalsh(multiplier - worth).min())
    return float(np.trace(multiplier) + len(worth) * lack)


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The sender's expected utility of telling all, nothing, and the one coordinate of the state that is best told alone."""
    covariance, worth = np.asarray(model.covariance, np.float64), model.worth
    alone = [float(row @ worth @ row / row[place]) for place, row in enumerate(covariance)]
    return {"full_disclosure": float(np.trace(worth @ covariance)), "no_disclosure": 0.0, "one_coordinate": max(alone)}
