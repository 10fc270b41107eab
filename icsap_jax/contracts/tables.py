"""A finite contracting problem as float64 arrays, and the agent's utility of money.

The agent of type k (probability `type_prior`) takes one of A actions at a cost; action a gives outcome j with probability
`outcome_probabilities[k, a, j]`; the principal gets `rewards[j]` and pays t[j]:

    agent  u(t)·F[k, a] − costs[k, a]        principal  F[k, a]·(rewards − payment_cost · t)

A utility of money is u, its inverse `pay` (what must be paid for utility w: convex, since u is concave) and the inverse's slope. With
jax arrays pass `xp=jax.numpy`: the formulas are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar, Protocol

import numpy as np


class Utility(Protocol):
    """A concave, increasing utility of money; [lowest, highest] are the utilities it can reach, or tends to. One that derives from it
    has `lift` and `lifted` too: how payments are raised alike until they are worth taking."""

    linear: bool
    lowest: float
    highest: float

    def of(self, t: Any, xp: ModuleType = np) -> Any:
        """The utility of being paid t, elementwise."""

    def pay(self, w: Any, xp: ModuleType = np) -> Any:
        """The payment that gives utility w, elementwise: the inverse of `of`."""

    def slope_of_pay(self, w: Any, xp: ModuleType = np) -> Any:
        """The derivative of `pay` at w, elementwise."""

    def lift(self, expected: Any, needed: Any, xp: ModuleType = np) -> Any:
        """By how much payments of `expected` utility must be `lifted` to be worth the utility `needed`: here in utility, for which
        incentives stay as they are."""
        return needed - expected

    def lifted(self, t: Any, lift: Any, xp: ModuleType = np) -> Any:
        """The payments t raised by a `lift`."""
        return self.pay(self.of(t, xp) + lift, xp)


@dataclass(frozen=True)
class Linear(Utility):
    """u(t) = t: a risk-neutral agent."""

    linear: ClassVar[bool] = True
    lowest: ClassVar[float] = -np.inf
    highest: ClassVar[float] = np.inf

    def of(self, t: Any, xp: ModuleType = np) -> Any:
        """t."""
        return t

    def pay(self, w: Any, xp: ModuleType = np) -> Any:
        """w."""
        return w

    def slope_of_pay(self, w: Any, xp: ModuleType = np) -> Any:
        """1."""
        return xp.ones_like(w)


@dataclass(frozen=True)
class Sqrt(Utility):
    """u(t) = √t on t ≥ 0. Its slope at 0 is infinite: a learner does better to choose w = √t."""

    linear: ClassVar[bool] = False
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = np.inf

    def of(self, t: Any, xp: ModuleType = np) -> Any:
        """√t."""
        return xp.sqrt(t)

    def pay(self, w: Any, xp: ModuleType = np) -> Any:
        """w²."""
        return w * w

    def slope_of_pay(self, w: Any, xp: ModuleType = np) -> Any:
        """2w."""
        return 2.0 * w


@dataclass(frozen=True)
class Cara(Utility):
    """u(t) = (1 − exp(−r t)) / r with constant absolute risk aversion r > 0; it tends to `Linear` as r → 0."""

    risk_aversion: float
    linear: ClassVar[bool] = False
    lowest: ClassVar[float] = -np.inf

    def __post_init__(self) -> None:
        if not 0.0 < self.risk_aversion < np.inf:
            raise ValueError(f"risk_aversion is {self.risk_aversion}; it must be positive and finite (a linear utility has none).")

    @property
    def highest(self) -> float:
        """1/r, which no payment reaches."""
        return 1.0 / self.risk_aversion

    def of(self, t: Any, xp: ModuleType = np) -> Any:
        """(1 − exp(−r t)) / r, exact for small r t."""
        return -xp.expm1(-self.risk_aversion * t) / self.risk_aversion

    def pay(self, w: Any, xp: ModuleType = np) -> Any:
        """−log(1 − r w) / r."""
        return -xp.log1p(-self.risk_aversion * w) / self.risk_aversion

    def slope_of_pay(self, w: Any, xp: ModuleType = np) -> Any:
        """1 / (1 − r w)."""
        return 1.0 / (1.0 - self.risk_aversion * w)

    def lift(self, expected: Any, needed: Any, xp: ModuleType = np) -> Any:
        """In money, since a sum added to every payment multiplies exp(−r t), and utility has a highest; infinite where `needed` is
        beyond that."""
        left = 1.0 - self.risk_aversion * needed
        sum_ = xp.log((1.0 - self.risk_aversion * expected) / xp.where(left > 0.0, left, 1.0)) / self.risk_aversion
        return xp.where(left > 0.0, sum_, xp.inf)

    def lifted(self, t: Any, lift: Any, xp: ModuleType = np) -> Any:
        """t + lift."""
        return t + lift


@dataclass(frozen=True)
class Tables:
    """A finite problem: `outcome_probabilities` [T, A, K], `costs` [T, A], `rewards` [K], `type_prior` [T], `reservation` [T] (utility
    outside), `limited_liability` (t ≥ 0), the agent's `utility`, and what a unit paid costs the principal. Without types T = 1, and
    the leading axis of the first two may be left out, `type_prior` being 1. A number given for `reservation` holds for every type.
    Raises ValueError where shapes disagree or a number is not finite."""

    outcome_probabilities: np.ndarray
    costs: np.ndarray
    rewards: np.ndarray
    type_prior: np.ndarray = field(default_factory=lambda: np.ones(1))
    reservation: np.ndarray | float = 0.0
    limited_liability: bool = True
    utility: Utility = field(default_factory=Linear)
    payment_cost: float = 1.0

    def __post_init__(self) -> None:
        probabilities = np.asarray(self.outcome_probabilities, dtype=np.float64)
        probabilities = probabilities[None] if probabilities.ndim == 2 else probabilities
        if probabilities.ndim != 3:
            raise ValueError(f"outcome_probabilities has {probabilities.ndim} axes; it needs [types, actions, outcomes].")
        types, actions, outcomes = probabilities.shape
        arrays = {
            "outcome_probabilities": probabilities,
            "costs": np.atleast_2d(np.asarray(self.costs, dtype=np.float64)),
            "rewards": np.asarray(self.rewards, dtype=np.float64),
            "type_prior": np.asarray(self.type_prior, dtype=np.float64),
            "reservation": np.asarray(self.reservation, dtype=np.float64),
        }
        if arrays["reservation"].ndim == 0:
            arrays["reservation"] = np.full(types, arrays["reservation"])
        expected = {"costs": (types, actions), "rewards": (outcomes,), "type_prior": (types,), "reservation": (types,)}
        for name, shape in expected.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} is {arrays[name].shape}, but outcome_probabilities {probabilities.shape} needs {shape}.")
        for name, array in arrays.items():
            if not np.all(np.isfinite(array)):
                raise ValueError(f"{name} holds a number that is not finite.")
            object.__setattr__(self, name, array)

    @property
    def types(self) -> int:
        """T."""
        return self.outcome_probabilities.shape[0]

    @property
    def actions(self) -> int:
        """A."""
        return self.outcome_probabilities.shape[1]

    @property
    def outcomes(self) -> int:
        """K."""
        return self.outcome_probabilities.shape[2]

    @property
    def expected_rewards(self) -> np.ndarray:
        """F·rewards [T, A]."""
        return self.outcome_probabilities @ self.rewards

    @property
    def least_payment(self) -> float:
        """The lowest payment allowed: 0 under limited liability, else the lowest the utility is defined at."""
        if self.limited_liability:
            return 0.0
        return float(self.utility.pay(self.utility.lowest)) if np.isfinite(self.utility.lowest) else -np.inf


def risk_neutral(model: Any) -> Linear:
    """From its model in a problem file."""
    return Linear()


def square_root(model: Any) -> Sqrt:
    """From its model in a problem file."""
    return Sqrt()


def constant_risk_aversion(model: Any) -> Cara:
    """From its model in a problem file."""
    return Cara(float(model.risk_aversion))
