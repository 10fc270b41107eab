"""Several receivers as tables: what is recommended, what obeying it gains, and who hears what; exact, in float64.

A *signal* r is a profile of recommendations, or where receivers are anonymous how many of them are told to act (k of N, drawn evenly).
Obedience is a list of *comparisons* c for each signal: a receiver's gain from obeying rather than from one other action, the others
obeying. With x(ω, r) the joint probability of state and signal a rule is obeyed when for every row

    Σ over (ω, r, c) of this row   x(ω, r) · chance(r, c) · (gain(ω, r, c) − margin)   ≥   0

What is heard decides which comparisons share a row: on private channels all signals that tell a receiver the same (Bergemann & Morris
2019, Bayes correlated equilibrium), on a public one each signal is a row of its own (a Nash equilibrium at its posterior).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Game:
    """`prior` [S]; the `sender`'s utility when a signal is obeyed, [S, R]; `gain` [S, R, C]; `chance` [R, C] that a signal puts a
    receiver into that comparison; `row` [R, C], the row of obedience it belongs to; `size`, the range of receivers' payoffs."""

    prior: np.ndarray
    sender: np.ndarray
    gain: np.ndarray
    chance: np.ndarray
    row: np.ndarray
    size: float

    @property
    def rows(self) -> int:
        """How many rows of obedience there are, K."""
        return int(self.row.max()) + 1

    @property
    def separate(self) -> bool:
        """Whether every comparison is a row of its own, so that each signal is obeyed by itself."""
        return self.rows == self.row.size

    def public(self) -> Game:
        """The same receivers, all of whom hear the whole signal."""
        return replace(self, row=np.arange(self.row.size).reshape(self.row.shape))

    @cached_property
    def worth(self) -> np.ndarray:
        """What obeying is worth in each comparison, weighted by its chance, [S, R, C]."""
        return self.gain * self.chance

    def obedience(self, joint: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """By how much each row [K] is obeyed under a joint probability [S, R], times the probability of the row."""
        each = np.einsum("sr,src->rc", joint, self.worth - margin * self.chance)
        return np.bincount(self.row.ravel(), each.ravel(), minlength=self.rows)

    def bound(self, multipliers: np.ndarray) -> float:
        """Σ_ω μ₀(ω) max_r [v(ω, r) + Σ_c λ(row) · chance · gain]: no obeyed rule gives the sender more, whatever λ [K] ≥ 0 is."""
        priced = self.sender + np.einsum("src,rc->sr", self.worth, multipliers[self.row])
        return float(self.prior @ priced.max(1))

    def equilibria(self, belief: np.ndarray, tolerance: float) -> np.ndarray:
        """Which signals [R] are equilibria among receivers who all share a belief [S], up to a share of `size`."""
        return (np.einsum("s,src->rc", belief, self.worth) >= -tolerance * self.size * self.chance).all(1)


def tables(model: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The prior [S], and in full the sender's and the receivers' utilities of a problem file: [S, A, …] and [N, S, A, …], or for
    anonymous receivers [S, N + 1] and [S, 2, N]."""
    prior, sender, receivers = (np.asarray(table, np.float64) for table in (model.prior, model.sender, model.receivers))
    count, actions = model.count
    if model.anonymous:
        receivers = np.broadcast_to(receivers[..., None], (*receivers.shape, count)) if receivers.ndim == 2 else receivers
    elif receivers.shape != (count, *sender.shape):
        own = [np.moveaxis(each.reshape(len(prior), *[1] * (count - 1), actions), -1, n + 1) for n, each in enumerate(receivers)]
        receivers = np.stack([np.broadcast_to(each, sender.shape) for each in own])
    return prior / prior.sum(), sender, np.ascontiguousarray(receivers)


def game(model: Any) -> Game:
    """The tables of obedience of a problem file."""
    found = _anonymous(*tables(model)) if model.anonymous else _profiles(*tables(model))
    return found.public() if model.channel == "public" else found


def profiles(receivers: int, actions: int) -> np.ndarray:
    """Every profile of actions [A^N, N], the last receiver's changing fastest."""
    return np.stack(np.unravel_index(np.arange(actions**receivers), (actions,) * receivers), -1)


def _profiles(prior: np.ndarray, sender: np.ndarray, receivers: np.ndarray) -> Game:
    count, states, actions = receivers.shape[:3]
    told = profiles(count, actions)  # [R, N]
    steps = actions ** np.arange(count - 1, -1, -1)
    utility = receivers.reshape(count, states, -1)
    others = np.arange(1, actions)
    instead = (told[..., None] + others) % actions  # [R, N, A − 1]
    place = np.arange(len(told))[:, None, None] + (instead - told[..., None]) * steps[:, None]
    gain = np.stack([utility[n][:, :, None] - utility[n][:, place[:, n]] for n in range(count)], 2)  # [S, R, N, A − 1]
    row = ((np.arange(count) * actions + told)[..., None] * (actions - 1) + others - 1).reshape(len(told), -1)
    return Game(prior, sender.reshape(states, -1), gain.reshape(states, len(told), -1), np.ones(row.shape), row, np.ptp(receivers))


def _anonymous(prior: np.ndarray, sender: np.ndarray, receivers: np.ndarray) -> Game:
    count = receivers.shape[-1]
    acting = np.arange(count + 1)
    gains = []
    for own in (0, 1):
        others = np.clip(acting - own, 0, count - 1)  # out of range nobody is in this comparison
        gains.append(receivers[:, own][:, others] - receivers[:, 1 - own][:, others])
    chance = np.stack([1 - acting / count, acting / count], -1)
    row = np.broadcast_to(np.arange(2), chance.shape)
    return Game(prior, sender, np.stack(gains, -1), chance, row, np.ptp(receivers))
