"""GemNet's menus (Wang, Jiang & Parkes 2024, "GemNet: Menu-Based, Strategy-Proof Multi-Bidder Auctions Through Deep Learning").

Every bidder is offered all bundles, each at a price that depends on the others' reports alone, and gets what it likes best; nothing at 0
is always there. So nobody gains by lying or loses by taking part, whatever the prices. What is hard is that all get their favourites:
together they must not get an item twice.

While it is trained, prices come from a network for each bidder, bidders choose by softmax, and what is given twice has a price (the
response `compatible`). In use, prices come from tables: one menu for each profile of cells of the others (`grid`), of which `polish`
makes sure that they are compatible for every profile of types, not only for those tried. Until then the tables offer nothing at all.

The paper lets a network choose the lotteries of entries too; here the entries are the bundles, which is what makes cells exact.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.auctions.problem import Auction, AuctionEnv, Decision
from icsap_jax.auctions.rules.gemnet.grid import Grid, bundles, finest
from icsap_jax.auctions.rules.networks import Perceptron, Scale, Support, support_of
from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.config import ConfigError

NOBODY_PAYS = 4.0  # times the most that everything can be worth: the price of what is not for sale


class GemNet(nnx.Module):
    """Reports […, N, T] to a Decision. `tables` holds for each bidder the prices [menus, K − 1] of every entry but nothing, menus in the
    order of the others' cells, the last bidder's counting fastest."""

    def __init__(self, problem: Auction, support: Support, grids: tuple[Grid, ...], hidden: list[int], rngs: nnx.Rngs):
        self.problem, self.grids = problem, grids
        low, high = support
        self.low, self.high = (tuple(map(tuple, bound.tolist())) for bound in support)
        self.scale = Scale(support)
        entries = bundles(problem.items, problem.valuation)
        self.entries = tuple(map(tuple, entries.tolist()))
        # Softplus of a fresh network is about .7: prices begin at the value of a bundle in the middle of the support.
        self.unit = tuple(map(tuple, (np.maximum((low + high) / 2, 1e-6) @ entries[1:].T / np.log(2.0)).tolist()))
        others = (problem.agents - 1) * problem.items
        self.networks = nnx.List([Perceptron(others, hidden, len(entries) - 1, "relu", rngs) for _ in grids])
        withheld = NOBODY_PAYS * max(float(np.abs(high).sum(1).max()), 1.0)
        self.tables = nnx.List([nnx.Param(jnp.full((menus, len(entries) - 1), withheld)) for menus in self.menus()])

    def menus(self) -> list[int]:
        """How many menus each bidder has: profiles of the others' cells."""
        return [int(np.prod([other.size for j, other in enumerate(self.grids) if j != i])) for i in range(len(self.grids))]

    def __call__(self, reports: Array, temperature: Array | None = None) -> Decision:
        lead = reports.shape[:-2]
        rows = reports.reshape(-1, *reports.shape[-2:])
        if temperature is None:  # menus are compatible within the support, which a report may have left by a rounding
            rows = jnp.clip(rows, *(jnp.asarray([bound], rows.dtype) for bound in (self.low, self.high)))
        prices = self.tabled(rows) if temperature is None else self.learned(rows)
        entries = jnp.asarray(self.entries, rows.dtype)
        gain = rows @ entries.T - prices
        if temperature is None:
            odds = jax.nn.one_hot(jnp.argmax(gain, -1), len(self.entries), dtype=rows.dtype)
        else:
            odds = jax.nn.softmax(gain / jnp.asarray(temperature, rows.dtype), -1)
        allocation, payment = odds @ entries, (odds * prices).sum(-1)
        return Decision(allocation=allocation.reshape(*lead, *allocation.shape[1:]), payment=payment.reshape(*lead, payment.shape[-1]))

    def learned(self, rows: Array) -> Array:
        """The networks' prices [R, N, K] at reports [R, N, T]."""
        scaled, others = self.scale(rows), (rows.shape[1] - 1) * rows.shape[2]
        raw = [network(_others(scaled, i).reshape(-1, others)) for i, network in enumerate(self.networks)]
        return _with_nothing(jax.nn.softplus(jnp.stack(raw, 1)) * jnp.asarray([self.unit], rows.dtype))

    def tabled(self, rows: Array) -> Array:
        """The tables' prices [R, N, K] at reports [R, N, T]."""
        cells = [grid.locate(rows[:, i]) for i, grid in enumerate(self.grids)]
        found = []
        for i, table in enumerate(self.tables):
            place = jnp.zeros(rows.shape[:1], jnp.int32)
            for j, grid in enumerate(self.grids):
                place = place if i == j else place * grid.size + cells[j]
            found.append(table[...][place])
        return _with_nothing(jnp.stack(found, 1).astype(rows.dtype))


def _others(rows: Array, i: int) -> Array:
    """What all but bidder i report: [R, N, T] give [R, N − 1, T]."""
    return jnp.concatenate([rows[:, :i], rows[:, i + 1:]], 1)


def _with_nothing(prices: Array) -> Array:
    """Prices [R, N, K − 1] with nothing at 0 before them."""
    return jnp.pad(prices, ((0, 0), (0, 0), (1, 0)))


def gemnet(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """Fresh networks, and tables that offer nothing. Raises ConfigError where bidders' values depend on each other in a file of bids."""
    if not problem.independent(env):
        raise ConfigError("rule.kind = gemnet: judges prices by each bidder's own values, and this prior ties bidders to each other; write "
                          "another rule, such as affine_maximiser.")
    support = support_of(problem, env)
    return Rule.of(GemNet(problem, support, finest(problem, *support, model.cells), list(model.hidden), nnx.Rngs(key)))
