"""The taxed economy exactly, in float64: what each type earns under a schedule of brackets, and what that is worth to the designer.

Labour l of skill n earns z = n·l and costs k·l^d, so that without a tax z° = n (n/(kd))^e with the elasticity e = 1/(d − 1), and the cost
of earning z is (z°/d)·(z/z°)^d. Where a bracket [a, b] leaves the share r of each further unit, the best income in it is z°·r^e, or the
end nearest to that; the best of all is the best of these, one for each bracket. Kinks need no more: bunching at one is two brackets
having the same best end, and where rates fall a type may be indifferent between two brackets, which is a tie. The designer's value is told
with every tie broken for it and against it.

Each type is many people: none of whom moves the revenue, so that the rebate is a constant to each.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from icsap_jax.games.economy.social import Account

TIE = 1e-6  # incomes whose utility is this near to the best, as a share of mean utility without a tax, are ties
MOST_TIES = 4096  # ways to break ties that are tried; beyond, the first of them
SAME = 1e-9  # incomes this near to each other are one, as a share of the type's income without a tax


@dataclass(frozen=True)
class Exact:
    """`skills`, `share` and `free` z° [B] of each type; `exponent` d, `elasticity` e; the public `requirement` per head; the designer's
    `social` value."""

    skills: np.ndarray
    share: np.ndarray
    free: np.ndarray
    exponent: float
    requirement: float
    social: Any

    @property
    def elasticity(self) -> float:
        """e."""
        return 1.0 / (self.exponent - 1.0)

    @property
    def scale(self) -> float:
        """Mean utility without a tax: the size of payoffs."""
        return float(self.share @ self.free) * (1.0 - 1.0 / self.exponent)

    def cost(self, income: np.ndarray) -> np.ndarray:
        """What it costs each type to earn it, […, B] of […, B]."""
        return self.free / self.exponent * (income / self.free) ** self.exponent

    def account(self, income: np.ndarray, tax: np.ndarray) -> Account:
        """Of incomes and taxes […, B], the rebate included in consumption."""
        rebate = tax @ self.share - self.requirement
        consumption = income - tax + rebate[..., None]
        return Account(share=self.share, income=income, tax=tax, consumption=consumption, utility=consumption - self.cost(income))

    def worth(self, income: np.ndarray, tax: np.ndarray) -> np.ndarray:
        """What that is worth to the designer, […]."""
        return self.social.of(self.account(income, tax), np)

    def linear(self, rate: np.ndarray) -> np.ndarray:
        """The designer's value […] of one rate […] below one on all incomes."""
        rate = np.asarray(rate, np.float64)[..., None]
        income = self.free * (1.0 - rate) ** self.elasticity
        return self.worth(income, rate * income)

    def candidates(self, rates: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(incomes, taxes) [..., B, K]: the best of each type in each of K brackets of rates […, K] that end at thresholds [..., K − 1]."""
        low = np.concatenate([np.zeros_like(thresholds[..., :1]) if thresholds.shape[-1] else np.zeros_like(rates), thresholds], -1)
        high = np.concatenate([thresholds, np.full_like(rates[..., :1], np.inf)], -1)
        base = np.concatenate([np.zeros_like(rates[..., :1]), np.cumsum(rates[..., :-1] * (high - low)[..., :-1], -1)], -1)
        wanted = self.free[:, None] * ((1.0 - rates) ** self.elasticity)[..., None, :]
        income = np.clip(wanted, low[..., None, :], high[..., None, :])
        return income, base[..., None, :] + rates[..., None, :] * (income - low[..., None, :])

    def utilities(self, income: np.ndarray, tax: np.ndarray) -> np.ndarray:
        """Before the rebate, [..., B, K]."""
        return income - tax - (self.free / self.exponent)[:, None] * (income / self.free[:, None]) ** self.exponent

    def first_best_reply(self, rates: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(incomes, taxes) [..., B] that are best for each type; of ties whichever comes first."""
        income, tax = self.candidates(rates, thresholds)
        best = self.utilities(income, tax).argmax(-1)[..., None]
        return np.take_along_axis(income, best, -1)[..., 0], np.take_along_axis(tax, best, -1)[..., 0]

    def tied(self, rates: np.ndarray, thresholds: np.ndarray, tolerance: float = TIE) -> list[np.ndarray]:
        """For each type, the (incomes, taxes) [2, ties] that are as good to it as any; different ones only, the best first."""
        found = []
        for income, tax, utility, free in zip(*(lambda c: (*c, self.utilities(*c)))(self.candidates(rates, thresholds)), self.free,
                                              strict=True):  # fmt: skip
            order = [k for k in np.argsort(-utility, kind="stable") if utility[k] >= utility.max() - tolerance * self.scale]
            kept: list[int] = []
            for k in order:
                if all(abs(income[k] - income[j]) > SAME * free for j in kept):
                    kept.append(int(k))
            found.append(np.stack([income[kept], tax[kept]]))
        return found

    def both_ways(self, ties: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, float, float]:
        """(incomes and taxes [B] with ties broken for the designer, its value then, its value with ties broken against it)."""
        ways = itertools.islice(itertools.product(*[range(each.shape[1]) for each in ties]), MOST_TIES)
        chosen = np.array([[each[:, k] for each, k in zip(ties, way, strict=True)] for way in ways])  # [W, B, 2]
        worth = self.worth(chosen[..., 0], chosen[..., 1])
        best = int(worth.argmax())
        return chosen[best, :, 0], chosen[best, :, 1], float(worth[best]), float(worth.min())


def of_model(model: Any) -> Exact:
    """The economy a problem file describes."""
    skills = np.asarray(model.skills, np.float64)
    share = np.full(skills.shape, 1.0 / len(skills)) if model.shares is None else np.asarray(model.shares, np.float64)
    share, exponent = share / share.sum(), float(model.labour_exponent)
    free = skills * (skills / (model.effort_cost * exponent)) ** (1.0 / (exponent - 1.0))
    return Exact(skills, share, free, exponent, float(model.requirement), model.objective.build(free, share))
