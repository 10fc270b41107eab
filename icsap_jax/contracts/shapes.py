"""Which contracts are allowed: unrestricted, monotone, linear or threshold; budgeted; protected by limited liability.

A contract is described by the utilities w = u(t) it gives, because incentives are linear in them. Each shape is a union of
`Piece`s, convex sets {basis·z : rows·z ≤ right, low ≤ z ≤ high}; all shapes but `threshold` are one piece. For a risk-averse agent
every entry of w is one entry of z, so that what a contract costs is separable in z; linear contracts are not of that form (see
contracts/affine.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from icsap_jax.contracts.tables import Tables

Shape = Literal["any", "monotone", "linear", "threshold"]


@dataclass(frozen=True)
class Terms:
    """What is asked of a contract: its `shape`, the most payable on any outcome, and by how much what is recommended must beat every
    other choice. Raises ValueError where one of them makes no sense."""

    shape: Shape = "any"
    budget: float | None = None
    margin: float = 0.0

    def __post_init__(self) -> None:
        if self.shape not in ("any", "monotone", "linear", "threshold"):
            raise ValueError(f"The shape is {self.shape!r}; it must be any, monotone, linear or threshold.")
        if self.budget is not None and not 0.0 <= self.budget < np.inf:
            raise ValueError(f"The budget is {self.budget}; it must be a number ≥ 0.")
        if not 0.0 <= self.margin < np.inf:
            raise ValueError(f"The margin is {self.margin}; it must be a number ≥ 0.")


UNRESTRICTED = Terms()


@dataclass(frozen=True)
class Piece:
    """Contracts w = basis·z [K, V] with rows·z ≤ right [R, V], [R] and low ≤ z ≤ high [V]."""

    basis: np.ndarray
    rows: np.ndarray
    right: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray] | None:
        """rows and right as a linear programme wants them."""
        return (self.rows, self.right) if len(self.rows) else None

    @property
    def bounds(self) -> list[tuple[float | None, float | None]]:
        """The bounds as a linear programme wants them."""
        return [tuple(None if np.isinf(end) else float(end) for end in pair) for pair in zip(self.low, self.high, strict=True)]


def utility_range(tables: Tables, terms: Terms) -> tuple[float, float]:
    """The lowest and highest utility that one payment may give."""
    low = float(tables.utility.of(0.0)) if tables.limited_liability else tables.utility.lowest
    high = tables.utility.highest if terms.budget is None else float(tables.utility.of(terms.budget))
    return low, high


def pieces(tables: Tables, terms: Terms) -> list[Piece]:
    """The pieces of what is allowed.

    monotone: nondecreasing in the reward; outcomes of equal reward may be paid differently. threshold: one payment below some
    reward and a higher one from it on, the lower being 0 under limited liability; outcomes of equal reward are paid alike. linear
    (risk-neutral agents only): a share ≥ 0 of the reward, plus a constant without limited liability.
    """
    low, high = utility_range(tables, terms)
    level = np.unique(tables.rewards, return_inverse=True)[1].reshape(-1)  # numpy 2.0 shapes the inverse differently
    if terms.shape == "threshold":
        return [_threshold(level, start, low, high, tables.limited_liability) for start in range(level.max() + 1)]
    if terms.shape == "linear":
        return [_linear(tables, low, high)]
    rows = _rising(level) if terms.shape == "monotone" else np.zeros((0, level.size))
    ends = np.full(level.size, low), np.full(level.size, high)
    return [Piece(np.eye(level.size), rows, np.zeros(len(rows)), *ends)]


def _rising(level: np.ndarray) -> np.ndarray:
    """Rows w_i − w_j ≤ 0 for every i one level of reward below j."""
    below, above = np.nonzero(level[:, None] + 1 == level[None, :])
    unit = np.eye(level.size)
    return unit[below] - unit[above]


def _threshold(level: np.ndarray, start: int, low: float, high: float, from_nothing: bool) -> Piece:
    """z₀ below the level `start`, z₁ ≥ z₀ from it on."""
    upper = (level >= start).astype(np.float64)
    basis = np.stack([1.0 - upper, upper], axis=1)
    return Piece(basis, np.array([[1.0, -1.0]]), np.zeros(1), np.full(2, low), np.array([low if from_nothing else high, high]))


def _linear(tables: Tables, low: float, high: float) -> Piece:
    """share·reward (+ constant): z = (share, constant)."""
    if not tables.utility.linear:
        raise ValueError("A linear contract for a risk-averse agent is not linear in utilities.")
    basis = np.stack([tables.rewards, np.ones(tables.outcomes)], axis=1)
    rows, right = [], []
    if np.isfinite(low):
        rows, right = [-basis], [np.full(tables.outcomes, -low)]
    if np.isfinite(high):
        rows, right = [*rows, basis], [*right, np.full(tables.outcomes, high)]
    constant = 0.0 if tables.limited_liability else np.inf
    return Piece(
        basis, np.concatenate([np.zeros((0, 2)), *rows]), np.concatenate([np.zeros(0), *right]),
        np.array([0.0, -constant]), np.array([np.inf, constant]),
    )  # fmt: skip
