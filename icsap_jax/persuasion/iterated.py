"""Persuading again and again, yesterday's posterior being today's prior (Zhang et al. 2024, eq. 19–21), and the truth about it.

Printed, eq. 21 optimises at the posterior that came about; a sender commits before its signal is sent, so that what counts is the
expectation over all of them. Then beliefs are a martingale, whatever is said; re-optimised, the first round's posteriors already lie
on the concave envelope and nothing is gained after it, unless signals are too few for the envelope; and one signal sent again and again
ends in full disclosure. A posterior leaves the receiver indifferent, so that an optimiser without a tolerance moves it each time by what
rounding left, and the value leaks away: a belief at which no more than a tolerance is to be gained stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from icsap_jax.exact.lp import Infeasible
from icsap_jax.persuasion.envelope import worth
from icsap_jax.persuasion.programme import best
from icsap_jax.persuasion.tables import Game, subsets

Design = Callable[[np.ndarray], np.ndarray]  # belief [S] → joint probability [S, Z] of state and signal there
SAME = 1e-12  # beliefs nearer than this are one
POSSIBLE = 1e-12  # a state less likely than this is not thought of


@dataclass(frozen=True)
class Round:
    """Beliefs after a round: `beliefs` [P, S] with their `masses` [P], the sender's expected `value` there, and `moved`: the mass of
    beliefs that this round moved by more than the tolerance."""

    beliefs: np.ndarray
    masses: np.ndarray
    value: float
    moved: float

    @property
    def mean(self) -> np.ndarray:
        """The expected belief [S], which Bayes' rule keeps at the prior."""
        return self.masses @ self.beliefs


def iterate(game: Game, design: Design, rounds: int, tolerance: float) -> list[Round]:
    """The rounds from the game's prior until nothing moves or `rounds` are over; what information costs is left out."""
    beliefs, masses, told = game.prior[None], np.ones(1), []
    for _ in range(rounds):
        parts, moved = [], 0.0
        for belief, mass in zip(beliefs, masses, strict=True):
            joint = design(belief)
            sent = joint.sum(0)
            after = (joint[:, sent > 0] / sent[sent > 0]).T
            moved += mass * float(sent[sent > 0][np.abs(after - belief).max(1) > tolerance].sum())
            parts.append((after, mass * sent[sent > 0]))
        beliefs, masses = merged(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))
        told.append(Round(beliefs, masses, float(masses @ worth(game, beliefs)), moved))
        if moved <= tolerance:
            break
    return told


def reoptimised(game: Game, tolerance: float, signals: int | None = None) -> Design:
    """The best scheme of so many signals at each belief; none where it would gain no more than `tolerance` of the range of payoffs."""
    profiles = game.profiles()
    allowed = None if signals is None or signals >= len(profiles) else subsets(len(profiles), signals)
    worths, obedience = game.worth(profiles), game.obedience(profiles)

    def design(belief: np.ndarray) -> np.ndarray:
        there = belief > POSSIBLE
        choices = [range(len(profiles))] if allowed is None else allowed
        top = None
        for some in choices:
            try:
                found = best(belief[there] / belief[there].sum(), worths[list(some)][:, there], obedience[list(some)][..., there])
            except Infeasible:  # these recommendations are not obeyed at this belief, whatever is said
                continue
            top = found if top is None or found.value > top.value else top
        if top is None:
            return belief[:, None]
        gain = top.value - float(worth(game, belief[None])[0])
        if gain <= tolerance * np.ptp(game.sender):
            return belief[:, None]
        joint = np.zeros((len(belief), top.joint.shape[1]))
        joint[there] = top.joint * belief[there].sum()
        return np.where(joint.sum(0) > POSSIBLE, np.maximum(joint, 0.0), 0.0)

    return design


def repeated(signal: np.ndarray) -> Design:
    """The same signal [S, Z] at each belief."""
    return lambda belief: belief[:, None] * signal


def merged(beliefs: np.ndarray, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Beliefs that are the same, as one."""
    kept: list[np.ndarray] = []
    weights: list[float] = []
    for belief, mass in zip(beliefs, masses, strict=True):
        near = next((place for place, other in enumerate(kept) if np.abs(belief - other).max() <= SAME), None)
        if near is None:
            kept.append(belief)
            weights.append(float(mass))
        else:
            weights[near] += float(mass)
    return np.array(kept), np.array(weights)
