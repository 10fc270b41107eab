"""What a society values: numbers that a designer of taxes may want to be large, each a function of who earns, pays and consumes what.

Every value takes an `Account` and the array module to compute with (`numpy` in the exact answers, `jax.numpy` in training), so that what
is learned and what is exact are one formula. All are per head. The inequality-averse ones are told as the equally distributed
equivalent of Atkinson (1970), the utility which, if everybody had it, would be worth as much:

    (Σ f u^{1−η})^{1/(1−η)},   exp Σ f log u at η = 1,   min u as η → ∞,   Σ f u at η = 0.

It orders taxes as the sum Σ f u^{1−η}/(1−η) does, whose sign and unit change with η. Behind a veil of ignorance, where one may turn out
to be anybody, η = 0 is Harsanyi's (1953) expected utility and η → ∞ Rawls' (1971) maximin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.inequality import Array, equally_distributed, gini, lowest


@register_dataclass
@dataclass(frozen=True)
class Account:
    """Who does what, […, B] each: `income` before tax, `tax` before the even rebate, `consumption` and `utility` after it; `share` [B]
    of the population, summing to one."""

    share: Array
    income: Array
    tax: Array
    consumption: Array
    utility: Array

    def mean(self, name: str) -> Array:
        """Per head, […]."""
        return getattr(self, name) @ self.share


@register_dataclass
@dataclass(frozen=True)
class Weighted:
    """Σ f g u with welfare weights `weights` g [B]; all ones: the utilitarian sum."""

    weights: Array

    def of(self, account: Account, xp: Any) -> Array:
        """[…]."""
        return account.utility @ (account.share * self.weights)


@register_dataclass
@dataclass(frozen=True)
class Isoelastic:
    """The equally distributed equivalent at a finite inequality `aversion` η."""

    aversion: float = field(metadata={"static": True})

    def of(self, account: Account, xp: Any) -> Array:
        """[…]."""
        return equally_distributed(account.utility, account.share, self.aversion, xp)


@register_dataclass
@dataclass(frozen=True)
class Maximin:
    """What the worst off have."""

    def of(self, account: Account, xp: Any) -> Array:
        """[…]."""
        return lowest(account.utility, xp)


@register_dataclass
@dataclass(frozen=True)
class Revenue:
    """What the tax takes in."""

    def of(self, account: Account, xp: Any) -> Array:
        """[…]."""
        return account.mean("tax")


@register_dataclass
@dataclass(frozen=True)
class EqualityProductivity:
    """(1 − Gini of consumption) × mean income."""

    def of(self, account: Account, xp: Any) -> Array:
        """[…]."""
        return (1.0 - gini(account.consumption, account.share, xp)) * account.mean("income")


def parts(account: Account, xp: Any) -> dict[str, Array]:
    """What one may want to know of any society, […] each."""
    return {
        "revenue": account.mean("tax"),
        "productivity": account.mean("income"),
        "mean_utility": account.mean("utility"),
        "least_utility": lowest(account.utility, xp),
        "equality": 1.0 - gini(account.consumption, account.share, xp),
    }


def weighted(model: Any, free: np.ndarray, share: np.ndarray) -> Weighted:
    """Weights as they are written."""
    return Weighted(np.asarray(model.weights, np.float64))


def utilitarian(model: Any, free: np.ndarray, share: np.ndarray) -> Weighted:
    """Everybody counts the same."""
    return Weighted(np.ones_like(free))


def inverse_income(model: Any, free: np.ndarray, share: np.ndarray) -> Weighted:
    """Weights in inverse proportion to the incomes `free` [B] without a tax, of mean one."""
    return Weighted(1.0 / free / (share @ (1.0 / free)))


def maximin(model: Any, free: np.ndarray, share: np.ndarray) -> Maximin:
    """From its model."""
    return Maximin()


def isoelastic(model: Any, free: np.ndarray, share: np.ndarray) -> Weighted | Isoelastic | Maximin:
    """Its two ends are the utilitarian sum and maximin themselves."""
    if model.inequality_aversion == "infinite":
        return Maximin()
    aversion = float(model.inequality_aversion)
    return Isoelastic(aversion) if aversion else Weighted(np.ones_like(free))


def revenue(model: Any, free: np.ndarray, share: np.ndarray) -> Revenue:
    """From its model."""
    return Revenue()


def equality_productivity(model: Any, free: np.ndarray, share: np.ndarray) -> EqualityProductivity:
    """From its model."""
    return EqualityProductivity()
