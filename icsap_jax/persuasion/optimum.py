"""The exact best a sender can get: a linear programme over obedient recommendations, in float64.

    maximise  Σ x(ω,a) v(ω,a)   over x ≥ 0   subject to   Σ_a x(ω,a) = μ₀(ω),   Σ_ω x(ω,a) (u(ω,b) − u(ω,a) + margin) ≤ 0  for b ≠ a

x is the joint probability of state and recommendation (Bergemann & Morris 2016). Any multipliers λ ≥ 0 on obedience prove an upper
bound, and the programme's own prove the optimum, so the answer carries its certificate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from icsap_jax.exact.lp import solve
from icsap_jax.persuasion.problem import tables


@dataclass(frozen=True)
class Scheme:
    """An optimal scheme: its `value` to the sender, the `joint` probability [S, A] of state and recommendation, and what the
    sender would gain if the receiver accepted losing one unit, the multipliers `obedience` [A, A] on (recommended, deviation)."""

    value: float
    joint: np.ndarray
    obedience: np.ndarray


def best_scheme(prior: np.ndarray, sender: np.ndarray, receiver: np.ndarray, margin: float = 0.0) -> Scheme:
    """The best of all schemes that are obeyed with at least `margin` to spare, given the recommendation; ties are broken for the
    sender. Raises `exact.lp.Infeasible` where no scheme leaves that margin."""
    states, actions = receiver.shape
    pairs = [(a, b) for a in range(actions) for b in range(actions) if a != b]
    disobedience = np.zeros((len(pairs), states, actions))
    for row, (a, b) in enumerate(pairs):
        disobedience[row, :, a] = receiver[:, b] - receiver[:, a] + margin
    solution = solve(
        sender.ravel(), at_most=(disobedience.reshape(len(pairs), -1), np.zeros(len(pairs))) if pairs else None,
        equal=(np.kron(np.eye(states), np.ones(actions)), prior), maximise=True,
    )  # fmt: skip
    obedience = np.zeros((actions, actions))
    for dual, pair in zip(solution.duals_at_most, pairs, strict=True):
        obedience[pair] = max(dual, 0.0)
    return Scheme(value=solution.value, joint=solution.x.reshape(states, actions), obedience=obedience)


def upper_bound(prior: np.ndarray, sender: np.ndarray, receiver: np.ndarray, obedience: np.ndarray) -> float:
    """Σ_ω μ₀(ω) max_a [v(ω,a) + Σ_b λ(a,b) (u(ω,a) − u(ω,b))]: no obedient scheme gives the sender more, whatever λ ≥ 0 is."""
    gains = receiver * obedience.sum(1) - receiver @ obedience.T
    return float(prior @ (sender + gains).max(1))


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: the sender's expected utility without any margin, and the bound its duals prove."""
    scheme = best_scheme(*tables(model))
    return {
        "value": scheme.value,
        "method": "linear programme over obedient recommendations",
        "source": "Kamenica & Gentzkow 2011; Bergemann & Morris 2016",
        "upper_bound": upper_bound(*tables(model), scheme.obedience),
    }
