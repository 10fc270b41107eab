"""A common resource exactly, float64: Nash harvests under any taxes and quotas, and the harvests that are best for all.

Nash harvests are a function of one number that agents share (the total X in the pool, the rest R of the stock of fish), which they in
turn make up: a falling function of one number, whose root a bracket finds. It is not how harvests are found in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.optimize import brentq

from icsap_jax.games.commons.pool import PoolEnv

TIGHT = 1e-15


class Exact(Protocol):
    """What is known of a kind of stock. `high` [N]: the most each could harvest."""

    high: np.ndarray
    source: str

    def payoff(self, harvest: np.ndarray) -> np.ndarray:
        """[N] of harvests [N]."""

    def nash(self, tax: Any = 0.0, quota: Any = 1.0) -> np.ndarray:
        """Harvests [N] under taxes and quotas, numbers or [N]."""

    def planned(self) -> np.ndarray:
        """The harvests [N] of the largest sum of payoffs."""

    def supporting_tax(self) -> np.ndarray:
        """Taxes [N] under which those are Nash harvests."""


@dataclass(frozen=True)
class PoolExact:
    """See `pool`. `returns`, `outside`, `high` [N]."""

    returns: np.ndarray
    crowding: float
    outside: np.ndarray
    high: np.ndarray
    source: str = "Ostrom, Gardner & Walker 1994"

    def payoff(self, harvest: np.ndarray) -> np.ndarray:
        """w (e − x) + x (a − b X)."""
        return self.outside * (self.high - harvest) + harvest * (self.returns - self.crowding * harvest.sum())

    def nash(self, tax: Any = 0.0, quota: Any = 1.0) -> np.ndarray:
        """x = clip((a − w − τ)/b − X, 0, quota · e) at the X they add up to."""
        wanted, may = (self.returns - self.outside - tax) / self.crowding, quota * self.high

        def harvests(total: float) -> np.ndarray:
            return np.clip(wanted - total, 0.0, may)

        most = float(harvests(0.0).sum())
        total = brentq(lambda x: harvests(x).sum() - x, 0.0, most + 1.0, xtol=TIGHT, rtol=1e-15) if most > 0 else 0.0
        return harvests(total)

    def planned(self) -> np.ndarray:
        """Whoever has most from the pool first, as long as a unit more returns more than it costs all."""
        gains, left = self.returns - self.outside, np.zeros_like(self.high)
        # Agents who gain alike share evenly.
        for gain in np.unique(gains)[::-1]:
            alike = gains == gain
            room = gain / (2.0 * self.crowding) - left.sum()
            share = np.clip(room / self.high[alike].sum(), 0.0, 1.0)
            left[alike] = share * self.high[alike]
        return left

    def supporting_tax(self) -> np.ndarray:
        """τ = a − w − b X − b x at the planned harvests: zero slope for each agent, wherever it is."""
        planned = self.planned()
        return self.returns - self.outside - self.crowding * (planned.sum() + planned)


@dataclass(frozen=True)
class FishExact:
    """See `fish`. `growth` α, `discount` β, the first `stock`; `high` [N] ones."""

    growth: float
    discount: float
    stock: float
    high: np.ndarray
    source: str = "Levhari & Mirman 1980"

    @property
    def kept(self) -> float:
        """αβ."""
        return self.growth * self.discount

    def payoff(self, harvest: np.ndarray) -> np.ndarray:
        """V by adding up, for shares that leave something."""
        left = 1.0 - harvest.sum()
        if left <= 0.0 or harvest.min() <= 0.0:
            return np.full_like(harvest, -np.inf)
        later = self.kept / ((1.0 - self.discount) * (1.0 - self.kept)) * np.log(left)
        return np.log(harvest) / (1.0 - self.discount) + np.log(self.stock) / (1.0 - self.kept) + later

    def nash(self, tax: Any = 0.0, quota: Any = 1.0) -> np.ndarray:
        """σ = min(quota, 1/(t + k/R)) at the R that they leave; where a subsidy outweighs k/R, the quota."""
        ahead, may = self.kept / (1.0 - self.kept), quota * self.high

        def shares(left: float) -> np.ndarray:
            cost = tax + ahead / left + np.zeros_like(self.high)
            return np.where(cost * may > 1.0, 1.0 / np.where(cost * may > 1.0, cost, 1.0), may)

        return shares(brentq(lambda left: 1.0 - shares(left).sum() - left, TIGHT, 1.0, xtol=TIGHT, rtol=1e-15))

    def planned(self) -> np.ndarray:
        """(1 − αβ)/n each."""
        return np.full_like(self.high, (1.0 - self.kept) / len(self.high))

    def supporting_tax(self) -> np.ndarray:
        """(n − 1)/(1 − αβ)."""
        return np.full_like(self.high, (len(self.high) - 1.0) / (1.0 - self.kept))

    def steady(self, harvest: np.ndarray) -> float:
        """The stock at which s = (s R)^α."""
        return float((1.0 - harvest.sum()) ** (self.growth / (1.0 - self.growth)))


def exact_of(env: Any) -> PoolExact | FishExact:
    """The same numbers, exactly."""
    if isinstance(env, PoolEnv):
        return PoolExact(*(np.asarray(each, np.float64) for each in (env.returns, env.crowding, env.outside, env.high)))
    return FishExact(float(env.growth), float(env.discount), float(env.stock), np.asarray(env.high, np.float64))
