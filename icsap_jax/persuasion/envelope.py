"""What a belief is worth to the sender, and the smallest concave function above it, of which the value at the prior is the optimum.

Concavification (Kamenica & Gentzkow 2011): a scheme splits the prior into posteriors, so that the best one earns the concave envelope of
the value over beliefs. With two states beliefs are a line, with three a triangle; on a grid of them the envelope is a linear programme
over which posteriors to use how often. It needs no obedience, so that it holds for quantal receivers and costly signals alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from icsap_jax.bilevel.replies import TIE
from icsap_jax.exact.lp import solve
from icsap_jax.persuasion.tables import Game

FINE = {2: 40_000, 3: 400}  # parts of an edge of the simplex of beliefs, by number of states


@dataclass(frozen=True)
class Split:
    """The prior split into posteriors: the `value` of it, the `posteriors` [Z, S] used and their `masses` [Z], and the `plane` [S] that
    touches the value function there: value = plane·prior."""

    value: float
    posteriors: np.ndarray
    masses: np.ndarray
    plane: np.ndarray


def beliefs(states: int, parts: int) -> np.ndarray:
    """Evenly spread beliefs [P, S] over two or three states."""
    if states == 2:
        second = np.arange(parts + 1) / parts
        return np.stack([1.0 - second, second], 1)
    first, second = np.meshgrid(np.arange(parts + 1), np.arange(parts + 1), indexing="ij")
    inside = first + second <= parts
    last = np.stack([first[inside], second[inside]], 1) / parts
    return np.column_stack([1.0 - last.sum(1), last])


def worth(game: Game, points: np.ndarray) -> np.ndarray:
    """What the sender gets at beliefs [P, S] from the game's receivers, ties broken for it, and the entropy it has not paid for, [P]."""
    expected = np.einsum("ps,tsa->tpa", points, game.receiver)
    earns = points @ game.sender
    if game.precision is None:
        tied = expected >= expected.max(-1, keepdims=True) - TIE * np.ptp(game.receiver)
        gets = np.where(tied, earns[None], -np.inf).max(-1)
    else:
        scores = game.precision * expected
        play = np.exp(scores - scores.max(-1, keepdims=True))
        gets = (play / play.sum(-1, keepdims=True) * earns[None]).sum(-1)
    kept = np.where(points > 0, points, 1.0)
    return game.type_prior @ gets + game.cost * -(points * np.log(kept)).sum(1)


def concavified(game: Game, prior: np.ndarray | None = None) -> Split | None:
    """The envelope at a prior, the game's own where none is given; None with more than three states. Exact but for the grid: an exact
    receiver's indifferent beliefs are among its points with two states."""
    prior = game.prior if prior is None else prior
    states = len(prior)
    if states not in FINE:
        return None
    points = beliefs(states, FINE[states])
    if states == 2 and game.precision is None:
        points = np.concatenate([points, indifferent(game)])
    values = worth(game, points)
    if states == 3:  # a belief below the envelope of a coarse grid cannot be below that of a fine one by less, so most are left out
        coarse = beliefs(3, FINE[3] // 10)
        rough = split(prior, coarse, worth(game, coarse))
        near = values - points @ rough.plane > -0.05 * max(np.ptp(values), 1e-12)
        points, values = points[near], values[near]
        points, values = np.concatenate([points, rough.posteriors]), np.concatenate([values, worth(game, rough.posteriors)])
    found = split(prior, points, values)
    owed = game.cost * float(-(prior[prior > 0] * np.log(prior[prior > 0])).sum())
    return Split(found.value - owed, found.posteriors, found.masses, found.plane)


def indifferent(game: Game) -> np.ndarray:
    """The beliefs [P, 2] over two states at which some type is indifferent between two actions."""
    lead = game.receiver[:, :, :, None] - game.receiver[:, :, None, :]  # [T, 2, A, A]
    first, second = lead[:, 0].ravel(), lead[:, 1].ravel()
    crosses = first * second < 0
    share = first[crosses] / (first[crosses] - second[crosses])
    return np.stack([1.0 - share, share], 1)


def split(prior: np.ndarray, points: np.ndarray, values: np.ndarray) -> Split:
    """The best way to split a prior [S] into `points` [P, S] worth `values` [P]."""
    solution = solve(values, equal=(points.T, prior), maximise=True, tolerance=1e-10)
    used = solution.x > 1e-12
    return Split(solution.value, points[used], solution.x[used], solution.duals_equal)
