"""An exchange economy exactly, float64: its equilibrium, the allocations a planner would choose, and what supports them.

With Cobb–Douglas consumers the equilibrium is linear: p is the vector for which (diag(ω) − αᵀe) p = 0, an eigenvector, found by least
squares beside p·ω = 1. An efficient allocation gives consumer i the share of good l that λ_i α_il is of Σ_k λ_k α_kl; λ are Negishi's
weights of log utilities, and at once the shares of all wealth at the prices p_l = Σ_k λ_k α_kl / ω_l that support it (second welfare
theorem): so transfers worth λ_i p·ω − p·e_i lead there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, nnls

ROUNDING = 1e-7


@dataclass(frozen=True)
class Economy:
    """`exponents` α and `endowments` e [N, L]."""

    exponents: np.ndarray
    endowments: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """ω [L]."""
        return self.endowments.sum(0)

    def determined(self) -> bool:
        """Whether relative prices are: whether there is but one equilibrium, and all its prices are above 0."""
        values = np.linalg.svd(self._clearing() / self.total[:, None], compute_uv=False)
        return bool(values[-2] > 1e-10 and self.prices().min() > 0)

    def prices(self) -> np.ndarray:
        """The equilibrium's [L], the last of them 1."""
        rows = np.vstack([self._clearing(), self.total])
        found = np.linalg.lstsq(rows, np.append(np.zeros(len(self.total)), 1.0), rcond=None)[0]
        return found / found[-1]

    def _clearing(self) -> np.ndarray:
        return np.diag(self.total) - self.exponents.T @ self.endowments

    def demand(self, prices: np.ndarray) -> np.ndarray:
        """[N, L]."""
        return self.exponents * (self.endowments @ prices)[:, None] / prices

    def utility(self, allocation: np.ndarray) -> np.ndarray:
        """[N] of an allocation [N, L]; 0 for who has none of what it wants."""
        wanted = self.exponents > 0
        with np.errstate(divide="ignore"):
            return np.exp((self.exponents * np.log(np.where(wanted, allocation, 1.0))).sum(1))

    def costs(self, prices: np.ndarray) -> np.ndarray:
        """What a unit of utility costs each consumer at least, [N]: Π (p/α)^α. Wealth divided by it is the most that can be had."""
        share = np.where(self.exponents > 0, self.exponents, 1.0)
        return np.exp((self.exponents * np.log(prices / share)).sum(1))

    def efficient(self, weights: np.ndarray) -> np.ndarray:
        """The allocation [N, L] that maximises Σ weights · log u."""
        claims = weights[:, None] * self.exponents
        return claims / claims.sum(0) * self.total

    def supporting(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(prices [L], the value of the transfer to each consumer [N]) that make of it an equilibrium."""
        prices = weights @ self.exponents / self.total
        prices = prices / prices[-1]
        return prices, weights / weights.sum() * (prices @ self.total) - self.endowments @ prices

    def weights_of(self, allocation: np.ndarray) -> np.ndarray | None:
        """The weights [N], adding up to 1, for which an allocation [N, L] is efficient; None where it is for none. In an efficient one
        q_l x_il = α_il λ_i for some prices q: linear in both."""
        consumers, goods = allocation.shape
        rows = np.zeros((consumers * goods + 1, goods + consumers))
        for i in range(consumers):
            for good in range(goods):
                rows[i * goods + good, good] = allocation[i, good]
                rows[i * goods + good, goods + i] = -self.exponents[i, good]
        rows[-1, goods:] = 1.0
        found, *_ = np.linalg.lstsq(rows, np.append(np.zeros(consumers * goods), 1.0), rcond=None)
        missed = np.abs(rows[:-1] @ found).max()
        weights = found[goods:]
        return weights if missed <= ROUNDING and weights.min() >= -ROUNDING else None

    def most_utilities(self, counts: np.ndarray) -> tuple[np.ndarray, float]:
        """(the weights [N] of an allocation with the largest Σ counts · u, an upper bound on it). By duality the bound is the value p·ω of
        all there is, at any prices at which no consumer makes a unit of utility for less than it counts; the least of them is reached.
        Its logarithm is convex in log p, its conditions Σ_l α_il log(p_l/α_il) ≥ log counts_i are linear. What there is of each good is
        then worth what consumers with some wealth spend on it, which tells their wealths."""
        share = np.where(self.exponents > 0, self.exponents, 1.0)
        least = np.log(counts) + (self.exponents * np.log(share)).sum(1)

        def value(logs: np.ndarray) -> tuple[float, np.ndarray]:
            each = self.total * np.exp(logs)
            return float(np.log(each.sum())), each / each.sum()

        limits = {"type": "ineq", "fun": lambda logs: self.exponents @ logs - least, "jac": lambda logs: self.exponents}
        begin = np.full(len(self.total), least.max())  # every consumer's exponents add up to 1, so that this meets all conditions
        found = minimize(value, begin, jac=True, method="SLSQP", constraints=[limits], options={"ftol": 1e-15, "maxiter": 500})
        prices = np.exp(found.x + np.maximum(least - self.exponents @ found.x, 0.0).max())  # rounding must not break a condition
        spare = self.costs(prices) / counts - 1.0
        weights = nnls(np.where(spare < 1e-5, self.exponents.T, 0.0), prices * self.total)[0]
        return weights / weights.sum(), float(prices @ self.total)

    def most_equal(self) -> tuple[np.ndarray, float]:
        """(the weights [N] of the allocation with the largest least utility, an upper bound on it). At any prices nobody can give all u for
        less than u Σ costs, so that no least utility is more than p·ω / Σ costs; the least of these bounds is reached."""
        def bound(logs: np.ndarray) -> tuple[float, np.ndarray]:
            value, each = self.total * np.exp(logs), self.costs(np.exp(logs))
            share, paid = value / value.sum(), each / each.sum()
            return float(np.log(value.sum()) - np.log(each.sum())), share - paid @ self.exponents

        found = minimize(bound, -np.log(self.total), jac=True, method="BFGS", options={"gtol": 1e-11})
        costs = self.costs(np.exp(found.x))
        return costs / costs.sum(), float(np.exp(found.fun))
