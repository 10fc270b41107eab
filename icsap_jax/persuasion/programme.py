"""The best obedient scheme as a linear programme, exactly, in float64, and the bound that any multipliers prove.

    maximise  Σ x(ω,j) w(j,ω)  over x ≥ 0  subject to  Σ_j x(ω,j) = μ₀(ω),  Σ_ω x(ω,j) G(j,k,ω) ≥ 0

x is the joint probability of state and recommendation (Bergemann & Morris 2016); w and G are those of `tables.Game`. Any multipliers
λ ≥ 0 on obedience prove an upper bound, no programme needed:

    UB(λ) = Σ_ω μ₀(ω) max_j [w(j,ω) + Σ_k λ(j,k) G(j,k,ω)]

and the programme's own prove the optimum. Where obedience has many rows, only those that a solution breaks are written down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from icsap_jax.exact.lp import Infeasible, LpSolution, solve
from icsap_jax.persuasion.tables import Game

MANY = 3000  # rows of obedience, from which on they are added as they are broken
BROKEN = 1e-9  # by how much, for each unit of mass


@dataclass(frozen=True)
class Scheme:
    """An optimal scheme: its `value` to the sender, the `joint` probability [S, J] of state and recommendation, and what the sender
    would gain by a unit of disobedience, `multipliers` [J, K]; `price` [S]: what a unit more of each state would be worth."""

    value: float
    joint: np.ndarray
    multipliers: np.ndarray
    price: np.ndarray


def best_scheme(prior: np.ndarray, sender: np.ndarray, receiver: np.ndarray, margin: float = 0.0) -> Scheme:
    """The best of all schemes that a receiver obeys with at least `margin` to spare, given the recommendation; utilities [S, A], ties
    are broken for the sender, multipliers [A, A] on (recommended, deviation). Raises `exact.lp.Infeasible` where no scheme leaves that
    margin."""
    game = Game.single(prior, sender, receiver)
    profiles = game.profiles()
    return best(prior, game.worth(profiles), game.obedience(profiles, margin))


def best(prior: np.ndarray, worth: np.ndarray, obedience: np.ndarray) -> Scheme:
    """The best scheme of `worth` [J, S] under `obedience` [J, K, S]. Raises `exact.lp.Infeasible` where there is none."""
    recommendations, kinds, states = obedience.shape
    rows = np.argwhere(np.abs(obedience).max(-1) > 0)  # (j, k), without those that ask nothing
    held = np.ones(len(rows), bool) if len(rows) <= MANY else np.zeros(len(rows), bool)
    while True:
        solution = _solve(prior, worth, obedience, rows[held])
        joint = solution.x.reshape(recommendations, states)
        short = -np.einsum("rs,rs->r", obedience[rows[:, 0], rows[:, 1]], joint[rows[:, 0]])
        broken = ~held & (short > BROKEN)
        if not broken.any():
            break
        held |= broken
    multipliers = np.zeros((recommendations, kinds))
    multipliers[tuple(rows[held].T)] = np.maximum(solution.duals_at_most, 0.0)
    return Scheme(value=solution.value, joint=joint.T, multipliers=multipliers, price=solution.duals_equal)


def _solve(prior: np.ndarray, worth: np.ndarray, obedience: np.ndarray, rows: np.ndarray) -> LpSolution:
    """The programme with these rows (j, k) of obedience."""
    recommendations, states = worth.shape
    entries = -obedience[rows[:, 0], rows[:, 1]]
    columns = rows[:, :1] * states + np.arange(states)
    matrix = sparse.csr_matrix(
        (entries.ravel(), (np.repeat(np.arange(len(rows)), states), columns.ravel())), shape=(len(rows), worth.size)
    )
    masses = sparse.hstack([sparse.eye(states, format="csr")] * recommendations, format="csr")
    at_most = (matrix, np.zeros(len(rows))) if len(rows) else None
    return solve(worth.ravel(), at_most=at_most, equal=(masses, prior), maximise=True)


def upper_bound(prior: np.ndarray, worth: np.ndarray, obedience: np.ndarray, multipliers: np.ndarray) -> float:
    """UB(λ): no scheme that is obeyed gives the sender more, whatever `multipliers` [J, K] ≥ 0 are."""
    return float(prior @ (worth + np.einsum("jk,jks->js", multipliers, obedience)).max(0))


def most_margin(prior: np.ndarray, game: Game, precision: float = 1e-6) -> float:
    """The largest margin that some scheme leaves, by bisection, given that none is possible."""
    profiles = game.profiles()
    low, high = 0.0, float(np.ptp(game.receiver))
    while high - low > precision * max(high, 1e-300):
        middle = (low + high) / 2
        low, high = (middle, high) if obeyable(prior, game, profiles, middle) else (low, middle)
    return low


def obeyable(prior: np.ndarray, game: Game, profiles: np.ndarray, margin: float) -> bool:
    """Whether some scheme is obeyed with this margin. Telling a posterior's states apart only makes the best action clearer on
    average, so that full disclosure is not always it: a margin is asked of each recommendation as a whole."""
    try:
        best(prior, np.zeros((len(profiles), len(prior))), game.obedience(profiles, margin))
    except Infeasible:
        return False
    return True
