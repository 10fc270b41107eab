"""One item, one or two like bidders with private budgets: the best revenue, by linear programmes on grids (Che & Gale 2000; for several
bidders there is no formula). float64, nothing learned.

A type is (v, b), and nobody can pay more than b. For each report of the other bidder a rule gives shares x and utilities u, the payment
being v·x − u ≤ b. In dominant strategies it is enough that neighbours in v at the same b do not envy each other, and that u never falls
with b: chained, no report of a lower budget pays. A report of a *higher* budget is open to whoever can pay what follows from it. Left
out, the programme is an upper bound on its grid: the designer might ask to be shown the money. With u held constant from the least
budget that affords a type's payment up to that type, solved again until no payment falls to what poorer types afford, it is attained
by a rule under which no such report pays: a lower bound. The two are within a few thousandths.

The grid: cells of equal probability, each with its least value, as prices are thresholds, and with its mean budget, as payments average
over it. Both make an error of second order, which two further grids, coarser one way each, tell and take off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from icsap_jax.auctions.myerson import atoms
from icsap_jax.exact import lp

SIDES = {1: (32, 32), 2: (12, 6)}  # cells in v and in b, by the number of bidders: seconds
COARSER = 2 / 3  # of the cells, in the further grids
ROUNDS = 12
ROUNDING = 1e-7  # of payments, by the linear programme


@dataclass(frozen=True)
class Types:
    """A grid of types: values [K] and budgets [J], ascending, with their probabilities."""

    value: np.ndarray
    value_mass: np.ndarray
    budget: np.ndarray
    budget_mass: np.ndarray


@dataclass(frozen=True)
class Answer:
    """The best revenue: `value`, extrapolated, and on the finest grid the bracket `lower` (None: not found), `upper`."""

    value: float
    lower: float | None
    upper: float


def revenue(value: Any, budget: Any, bidders: int) -> Answer:
    """Of one or two bidders whose values and budgets are independent, from the two marginals."""
    fine = grid(value, budget, *SIDES[bidders])
    lower, upper = bracket(fine, bidders)
    # A grid with n cells is off by c/n²; where a prior is discrete both grids are the same and nothing is taken off.
    off = 0.0
    for axis in (0, 1):
        sides = list(SIDES[bidders])
        sides[axis] = round(sides[axis] * COARSER)
        weight = 1 / ((SIDES[bidders][axis] / sides[axis]) ** 2 - 1)
        off += weight * (upper - Programme(grid(value, budget, *sides), bidders).best()[0])
    middle = upper if lower is None else (lower + upper) / 2
    return Answer(value=middle + off, lower=lower, upper=upper)


def grid(value: Any, budget: Any, value_cells: int, budget_cells: int) -> Types:
    """Types of two marginals: atoms as they are, if they are few; else cells of equal probability, with their least value and their
    mean budget."""
    at_value, at_budget = atoms(value), atoms(budget)
    if at_value is None or len(at_value[0]) > value_cells:
        least = np.asarray(value.ppf(np.arange(value_cells) / value_cells), dtype=np.float64)
        at_value = np.maximum(least, 0.0), np.full(value_cells, 1 / value_cells)
    if at_budget is None or len(at_budget[0]) > budget_cells:
        inside = (np.arange(budget_cells * 64) + 0.5) / (budget_cells * 64)
        means = np.asarray(budget.ppf(inside), dtype=np.float64).reshape(budget_cells, 64).mean(1)
        at_budget = means, np.full(budget_cells, 1 / budget_cells)
    return Types(*at_value, *at_budget)


def bracket(types: Types, bidders: int) -> tuple[float | None, float]:
    """(lower, None where none was found, and upper) bound of the best revenue from bidders of just these types."""
    programme = Programme(types, bidders)
    upper, payment = programme.best()
    return programme.best_where_nobody_overstates(payment), upper


class Programme:
    """The linear programme over x and u [T, S]: T types of a bidder, S of the other, whose rule is the same (else S is 1)."""

    def __init__(self, types: Types, bidders: int):
        self.types, self.budgets = types, len(types.budget)
        self.value, self.budget = np.repeat(types.value, self.budgets), np.tile(types.budget, len(types.value))
        mass = np.outer(types.value_mass, types.budget_mass).ravel()
        count, others = len(mass), len(mass) if bidders == 2 else 1
        self.type, self.other = (each.ravel() for each in np.meshgrid(np.arange(count), np.arange(others), indexing="ij"))
        self.size, self.others = count * others, others
        self.mass = bidders * mass[self.type] * (mass[self.other] if bidders == 2 else 1.0)
        self.rows, self.right = self._truthful_and_paid(count)
        if bidders == 2:
            own, other = self.type[self.type <= self.other], self.other[self.type <= self.other]
            given = self._row((own * others + other, 1.0), (other * others + own, 1.0))  # the item once
            self.rows, self.right = sparse.vstack([self.rows, given]), np.append(self.right, np.ones(len(own)))

    def best(self) -> tuple[float, np.ndarray]:
        """The revenue where nobody can overstate its budget, and the payments [T, S]."""
        return self._solved(self.rows, self.right)

    def best_where_nobody_overstates(self, payment: np.ndarray) -> float | None:
        """The revenue where nobody wants to overstate its budget: what is found from the payments [T, S] without that, u being held
        constant from the least budget that affords a payment upwards, until payments no longer fall to what more can afford. None where
        they still do after some rounds."""
        least = self._least(payment)
        for _ in range(ROUNDS):
            poorest = (self.type - self.type % self.budgets + least) * self.others + self.other
            envied = self._row((np.arange(self.size) + self.size, 1.0), (poorest + self.size, -1.0))
            value, payment = self._solved(sparse.vstack([self.rows, envied]), np.append(self.right, np.zeros(self.size)))
            lower = np.minimum(least, self._least(payment))
            if (lower == least).all():
                return value
            least = lower
        return None

    def _least(self, payment: np.ndarray) -> np.ndarray:
        """The place of the least budget that affords each payment, [T·S]; of none above the type's own."""
        least = np.searchsorted(self.types.budget, payment.ravel() - ROUNDING, side="left")
        return np.minimum(least, self.type % self.budgets)

    def _solved(self, rows: Any, right: np.ndarray) -> tuple[float, np.ndarray]:
        cost = np.concatenate([self.value[self.type] * self.mass, -self.mass])
        bounds = np.zeros((2 * self.size, 2))
        bounds[: self.size, 1], bounds[self.size :, 1] = 1.0, np.inf
        found = lp.solve(cost, at_most=(rows, right), bounds=bounds, maximise=True)
        share, utility = found.x[: self.size], found.x[self.size :]
        return found.value, (self.value[self.type] * share - utility).reshape(-1, self.others)

    def _truthful_and_paid(self, count: int) -> tuple[Any, np.ndarray]:
        """Rows ≤ right: no envy between neighbours in value, utility that never falls with the budget, payments within it."""
        places, size = np.arange(self.size), self.size
        low = places[self.type < count - self.budgets]
        high = low + self.budgets * self.others
        step = self.value[self.type[high]] - self.value[self.type[low]]
        poor = places[self.type % self.budgets < self.budgets - 1]
        rows = [
            self._row((low, step), (low + size, 1.0), (high + size, -1.0)),
            self._row((high, -step), (high + size, 1.0), (low + size, -1.0)),
            self._row((poor + size, 1.0), (poor + self.others + size, -1.0)),
            self._row((places, self.value[self.type]), (places + size, -1.0)),
        ]
        return sparse.vstack(rows), np.concatenate([np.zeros(2 * len(low) + len(poor)), self.budget[self.type]])

    def _row(self, *terms: tuple[np.ndarray, Any]) -> sparse.csr_matrix:
        """One row for each entry of the terms' columns: Σ coefficient · variable."""
        count = len(terms[0][0])
        columns = np.concatenate([columns for columns, _ in terms])
        entries = np.concatenate([np.broadcast_to(coefficients, (count,)) for _, coefficients in terms])
        return sparse.csr_matrix((entries, (np.tile(np.arange(count), len(terms)), columns)), shape=(count, 2 * self.size))
