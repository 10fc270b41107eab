"""Finitely many actions that are worth a line each, intercept + slope · state: which means make the receiver take them, and what any
multipliers on that prove. Exact, float64.

An action is best for the receiver at the means of one interval, so that obeying it takes two constraints and not one for each other
action. At multipliers λ, κ ≥ 0 on a mean not below lo and not above hi, the price of a state is the convex function

    p(ω) = max_a  v_a(ω) + λ_a (ω − lo_a) + κ_a (hi_a − ω)

and no signal brings the sender more than E p(ω): at every mean x, p(x) is at least what the sender gets there, and p is convex, so that
telling more about the state never lowers its expectation (Dworczak & Martini 2019, theorem 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from icsap_jax.persuasion.continuous.prior import Prior

ROUNDING = 1e-12  # of payoffs, in units of the steepest line over the whole interval


@dataclass(frozen=True)
class Lines:
    """What a problem file says of finite actions: the `receiver`'s and the `sender`'s lines [A, 2], the `prior` of the state."""

    receiver: np.ndarray
    sender: np.ndarray
    prior: Prior

    def intervals(self, margin: float = 0.0) -> np.ndarray:
        """The means (lo, hi) at which each action beats all others by at least `margin`, within the support, [A, 2]; lo > hi where
        there are none."""
        apart = self.receiver[:, None] - self.receiver[None]  # [A, A, 2]: the action's line less another's
        level, slope = apart[..., 0] - margin * ~np.eye(len(apart), dtype=bool), apart[..., 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = -level / slope
        lo = np.where(slope > 0, crossing, -np.inf).max(1)
        hi = np.where(slope < 0, crossing, np.inf).min(1)
        beaten = ((slope == 0) & (level < 0)).any(1)
        lo, hi = np.maximum(lo, self.prior.low), np.minimum(hi, self.prior.high)
        width = self.prior.high - self.prior.low
        touching = (lo > hi) & (lo <= hi + ROUNDING * width)  # lines that meet in a point, up to rounding
        return np.stack([np.where(beaten, np.inf, lo), np.where(beaten, -np.inf, np.where(touching, lo, hi))], axis=1)

    def usable(self, margin: float = 0.0) -> np.ndarray:
        """The places of the actions that some mean makes the receiver take, with `margin` to spare."""
        intervals = self.intervals(margin)
        return np.flatnonzero(intervals[:, 0] <= intervals[:, 1])

    def value_at(self, means: Any) -> np.ndarray:
        """What the sender expects at posterior means [...], ties for it."""
        means = np.asarray(means, np.float64)
        gets, worth = (lines[:, 0] + lines[:, 1] * means[..., None] for lines in (self.receiver, self.sender))
        size = np.abs(self.receiver).max() * max(1.0, abs(self.prior.low), abs(self.prior.high))
        return np.where(gets >= gets.max(-1, keepdims=True) - ROUNDING * size, worth, -np.inf).max(-1)

    def prices(self, multipliers: np.ndarray) -> np.ndarray:
        """The lines [A, 2] whose maximum is the price of a state, at multipliers [A, 2] ≥ 0 on not being below and not above the means
        that make an action best; an action that no mean makes best has no line, −∞."""
        intervals = self.intervals()
        ever = intervals[:, 0] <= intervals[:, 1]
        lo, hi = np.where(ever[:, None], intervals, 0.0).T
        below, above = np.maximum(multipliers, 0.0).T
        raised = self.sender + np.stack([above * hi - below * lo, below - above], axis=1)
        return np.where(ever[:, None], raised, [[-np.inf, 0.0]])

    def price_at(self, lines: np.ndarray, states: Any) -> np.ndarray:
        """The highest of lines [A, 2] at states [...]."""
        return (lines[:, 0] + lines[:, 1] * np.asarray(states, np.float64)[..., None]).max(-1)

    def bound(self, lines: np.ndarray) -> float:
        """E max over lines [A, 2], by the continuous prior."""
        taken = self.shares_of(lines)
        kept = np.isfinite(lines[:, 0])
        return float((taken[kept] * lines[kept]).sum())

    def shares_of(self, lines: np.ndarray) -> np.ndarray:
        """The mass and the first moment [A, 2] of the states at which each line is the highest: a partition into intervals."""
        low, high = self.prior.low, self.prior.high
        kept = np.flatnonzero(np.isfinite(lines[:, 0]))
        one, other = (lines[kept][each] for each in np.triu_indices(len(kept), 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            meet = -(one[:, 0] - other[:, 0]) / (one[:, 1] - other[:, 1])
        ends = np.unique(np.concatenate([[low], meet[(meet > low) & (meet < high)], [high]]))
        middle = 0.5 * (ends[:-1] + ends[1:])
        highest = kept[np.argmax(lines[kept, 0] + lines[kept, 1] * middle[:, None], axis=1)]
        taken = np.zeros((len(lines), 2))
        np.add.at(taken, highest, np.diff(self.prior.below(ends)[:2], axis=1).T)
        return taken


def lines_of(model: Any) -> Lines:
    """From a problem file with finite actions."""
    return Lines(np.asarray(model.receiver.lines, np.float64), np.asarray(model.values, np.float64), model.prior.build())
