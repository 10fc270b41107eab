"""The most any menu of randomised contracts brings: one linear programme, however many types and actions.

Asked for its type k, the agent is told an action a with probability x(k, a) and given a contract that depends on both (Castiglioni,
Marchesi & Gatti 2022; Gan, Han, Wu & Xu 2022 in general). In x and y(k, a) = x(k, a)·t(k, a) all is linear:

    u_k(k)  ≥  Σ_a max_b [ F[k, b]·y(k', a) − (c[k, b] − margin·1{(k', b) ≠ (k, a)}) x(k', a) ]     for every report k'

with u_k(k) = Σ_a F[k, a]·y(k, a) − c[k, a] x(k, a) ≥ reservation[k]. The value is a supremum: where y is positive and x is 0, ever rarer
and larger payments come ever closer to it. It bounds what single contracts and deterministic menus bring.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy import sparse

from icsap_jax.contracts.shapes import UNRESTRICTED, Piece, Terms, pieces
from icsap_jax.contracts.tables import Tables
from icsap_jax.exact.lp import solve


def randomised_menu(tables: Tables, terms: Terms = UNRESTRICTED) -> float:
    """The supremum of the principal's value over menus of randomised contracts, for a risk-neutral agent.

    Raises `exact.lp.Infeasible` where the types cannot all be given their reservation utility within the terms, `Unbounded` where
    payments below zero can be traded for ever, ValueError for a risk-averse agent.
    """
    if not tables.utility.linear:
        raise ValueError("Randomised menus are computed for a risk-neutral agent (agent_utility: linear) only.")
    # A message is an action and, where contracts are of several pieces (thresholds), the piece its contract is of.
    messages = list(itertools.product(range(tables.actions), pieces(tables, terms)))
    programme = _Programme(tables, messages)
    for k in range(tables.types):
        programme.shapes(k)
        programme.participation(k)
        for other in range(tables.types):
            programme.honesty(k, other, terms.margin)
    return programme.value()


class _Programme:
    """The rows, as they are collected, over x [T, M], y [T, M, V] (V the variables of a piece) and the best reply z [T, T, M]."""

    def __init__(self, tables: Tables, messages: list[tuple[int, Piece]]) -> None:
        self.tables, self.messages = tables, messages
        types, count, size = tables.types, len(messages), messages[0][1].basis.shape[1]
        self.x = np.arange(types * count).reshape(types, count)
        self.y = self.x.size + np.arange(types * count * size).reshape(types, count, size)
        self.z = self.x.size + self.y.size + np.arange(types * types * count).reshape(types, types, count)
        self.size = self.x.size + self.y.size + self.z.size
        self.entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.right: list[float] = []

    def add(self, columns: np.ndarray, values: np.ndarray, right: float) -> None:
        """One row: values·variables[columns] ≤ right."""
        self.entries.append((np.full(len(columns), len(self.right)), columns, values))
        self.right.append(right)

    def shapes(self, k: int) -> None:
        """Every contract y(k, m) = x(k, m)·t is of its piece: its limits are multiplied by x(k, m)."""
        for m, (_, piece) in enumerate(self.messages):
            unit = np.eye(piece.basis.shape[1])
            rows, limits = np.concatenate([piece.rows, unit, -unit]), np.concatenate([piece.right, piece.high, -piece.low])
            for row, limit in zip(rows, limits, strict=True):
                if np.isfinite(limit):
                    self.add(np.append(self.y[k, m], self.x[k, m]), np.append(row, -limit), 0.0)

    def utility(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The columns and values of what type k gets by honesty and obedience."""
        columns = np.concatenate([self.y[k].ravel(), self.x[k]])
        gains = [self.tables.outcome_probabilities[k, action] @ piece.basis for action, piece in self.messages]
        return columns, np.concatenate([*gains, -self.tables.costs[k, [action for action, _ in self.messages]]])

    def participation(self, k: int) -> None:
        """Type k gets its reservation utility."""
        columns, values = self.utility(k)
        self.add(columns, -values, -float(self.tables.reservation[k]))

    def honesty(self, k: int, report: int, margin: float) -> None:
        """Type k gets no more by reporting `report` and then replying to each message as suits it best."""
        columns, values = self.utility(k)
        self.add(np.concatenate([columns, self.z[k, report]]), np.concatenate([-values, np.ones(len(self.messages))]), 0.0)
        for m, (action, piece) in enumerate(self.messages):
            for reply in range(self.tables.actions):
                cost = self.tables.costs[k, reply] - (margin if (report, reply) != (k, action) else 0.0)
                gain = self.tables.outcome_probabilities[k, reply] @ piece.basis
                variables = np.concatenate([self.y[report, m], [self.x[report, m], self.z[k, report, m]]])
                self.add(variables, np.concatenate([gain, [-cost, -1.0]]), 0.0)

    def value(self) -> float:
        """The best value under the rows collected."""
        tables = self.tables
        gain = np.zeros(self.size)
        for k, (m, (action, piece)) in itertools.product(range(tables.types), enumerate(self.messages)):
            own = tables.type_prior[k] * tables.outcome_probabilities[k, action]
            gain[self.x[k, m]] = own @ tables.rewards
            gain[self.y[k, m]] = -tables.payment_cost * (own @ piece.basis)
        rows, columns, values = (np.concatenate(part) for part in zip(*self.entries, strict=True))
        matrix = sparse.csr_matrix((values, (rows, columns)), shape=(len(self.right), self.size))
        once = sparse.csr_matrix(
            (np.ones(self.x.size), (np.repeat(np.arange(tables.types), self.x.shape[1]), self.x.ravel())), shape=(tables.types, self.size)
        )
        bounds = [(0.0, None)] * self.x.size + [(None, None)] * (self.size - self.x.size)
        return solve(gain, at_most=(matrix, np.array(self.right)), equal=(once, np.ones(tables.types)), bounds=bounds, maximise=True).value
