"""The empirical prior: observed valuations, resampled with replacement. Part of the rows is never trained on.

A file with M columns holds bidders: each bidder draws a row of its own. A file with N·M columns holds whole profiles, and a draw
is one of them, so bidders stay as correlated as they were observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.auctions.data import held_rows, read_valuations
from icsap_jax.auctions.priors.base import Prior, decimal, leaf
from icsap_jax.auctions.priors.marginals import Step
from icsap_jax.bilevel.types import Array
from icsap_jax.config import ConfigError

SPLIT = 20190109  # seeds the split alone: which rows are held out depends on the file, never on the seed of a run


@register_dataclass
@dataclass(frozen=True)
class Empirical(Prior):
    """`rows` to draw from and rows `held` back, each [R, M] (bidders) or [R, N, M] (profiles); `low`, `high` [N, M] over both, so
    that the misreport box is the same in training and evaluation. Moments and marginals are those of `rows`."""

    rows: Array
    held: Array
    low: Array
    high: Array

    @property
    def independent_agents(self) -> bool:
        return self.rows.ndim == 2

    def sample(self, key: Array, count: int) -> Array:
        each = (count, self.low.shape[0]) if self.independent_agents else (count,)
        return self.rows[jax.random.randint(key, each, 0, self.rows.shape[0])]

    def support(self) -> tuple[Array, Array]:
        return self.low, self.high

    def _per_bidder(self, numbers: Array) -> Array:
        return jnp.broadcast_to(numbers, self.low.shape)

    def mean(self) -> Array:
        return self._per_bidder(self.rows.mean(0))

    def variance(self) -> Array:
        return self._per_bidder(self.rows.var(0))

    def held_out(self) -> Empirical:
        """The rows held back, as a prior; theirs are the rows trained on."""
        return Empirical(rows=self.held, held=self.rows, low=self.low, high=self.high)

    def marginals(self) -> list[list[Any]]:
        agents, items = self.low.shape
        rows = decimal(self.rows)
        rows = np.broadcast_to(rows[:, None, :] if rows.ndim == 2 else rows, (len(rows), agents, items))
        share = np.full(len(rows), 1 / len(rows))
        return [[Step(rows[:, n, m], share) for m in range(items)] for n in range(agents)]


def empirical(model: Any, agents: int, items: int, folder: Path) -> Empirical:
    """`empirical: {file, holdout}`: the share `holdout` of the rows, chosen by a fixed permutation, is kept for evaluation."""
    path = Path(folder) / model.file
    table = read_valuations(path, agents, items)
    held = held_rows(len(table), model.holdout)
    if held is None:
        raise ConfigError(f"{path}: holdout = {model.holdout:g} of {len(table)} rows leaves no row to train on or none to evaluate on.")
    rows = table if table.shape[1] == items else table.reshape(len(table), agents, items)
    order = np.random.default_rng(SPLIT).permutation(len(rows))
    low, high = (np.broadcast_to(each, (agents, items)) for each in (rows.min(0), rows.max(0)))
    return Empirical(rows=leaf(rows[order[held:]]), held=leaf(rows[order[:held]]), low=leaf(low), high=leaf(high))
