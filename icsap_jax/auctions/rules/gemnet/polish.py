"""From a network's menus to menus that are compatible for every profile of types (Wang, Jiang & Parkes 2024).

A menu is what the network offers to others in the middle of their cells. In a profile of cells, one of each bidder, an item is somebody's
to take: of the bidder who likes it best beyond what it costs, or where they like it nearly alike, of the first of them, everywhere. Then
all menus are independent of each other, and each is raised to the least prices at which nobody takes what is another's (`prices`). So
much is certain; what follows gains back what cells have cost. Every menu tries other prices, as long as nobody takes what is another's;
items that their owner then leaves aside in a whole profile of cells go to whoever would like them; and again.

The paper's mixed-integer programme decides on owners and prices at once, for as little change as possible. With a million profiles of
cells that is out of reach, and needless where the network's menus are nearly compatible: there it is clear who should give way, except
among those who like an item nearly alike, of whom it matters little who does but much that it is always the same one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.auctions.problem import Auction, AuctionEnv
from icsap_jax.auctions.rules.gemnet.grid import bundles
from icsap_jax.auctions.rules.gemnet.menus import GemNet
from icsap_jax.auctions.rules.gemnet.prices import eagerness, earned, improved, items_of, raised, taken
from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.types import Array, Rule

MARGIN = 1e-5  # of the most everything is worth: what prices leave between who takes and who does not, far beyond float32's rounding
# Of a cell's width: within which of these two bidders like an item nearly alike. What is best depends on how far the networks' prices
# scatter: at half a width a menu's prices may already stray across a border that its neighbours keep to.
ALIKE = (0.5, 0.75, 1.0)
STEPS = (2.0, 1.0, 0.2, 0.06)  # of a cell's width: by how much prices are moved


def polish(problem: Auction, env: AuctionEnv, problem_model: Any, model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The rule with tables that are compatible, and what was done: how many menus and profiles of cells there are, and what the menus
    earn on the sample by which they were changed as learned, once compatible, and in the end."""
    draw = problem.draw(env, jax.random.key(0), model.sample)
    with jax.enable_x64(True):
        exact = jax.tree.map(jnp.asarray, double(rule))
        module = exact.module(exact.params)
        worked, menus = Tables(module, np.asarray(draw.types, np.float64)), offered(module)
        tables, told = max((worked.settled(menus, alike, model.rounds) for alike in ALIKE), key=lambda found: found[1]["sample"])
    merged = rule.module(jax.tree.map(lambda leaf: leaf, rule.params))  # a copy: the rule given stays as it is
    for table, prices in zip(merged.tables, tables, strict=True):
        table[...] = jnp.asarray(prices[:, 1:], jnp.float32)
    return replace(rule, params=Rule.of(merged).params), {"compatible_menus": told}


def offered(module: GemNet) -> list[Array]:
    """The networks' menus [L, K] for each bidder, at the middles of the others' cells."""
    agents, found = len(module.grids), []
    middles = [np.clip(grid.middles(), low, high) for grid, low, high in zip(module.grids, module.low, module.high, strict=True)]
    for i, menus in enumerate(module.menus()):
        others = [j for j in range(agents) if j != i]
        places = np.unravel_index(np.arange(menus), [len(middles[j]) for j in others])
        rows = np.zeros((menus, agents, module.problem.items))
        for j, place in zip(others, places, strict=True):
            rows[:, j] = middles[j][place]
        found.append(module.learned(jnp.asarray(rows))[:, i])
    return found


class Tables:
    """The tables of all bidders while they are worked on. Sets of items [C, L] are a bidder's own view; `beside` turns such an array into
    [C₁, …, C_N], one axis for each bidder's cells, and `own` turns it back."""

    def __init__(self, module: GemNet, types: np.ndarray):
        entries = bundles(module.problem.items, module.problem.valuation)
        self.items, self.sets = entries.shape[1], items_of(entries)
        self.grids, self.sizes = module.grids, [grid.size for grid in module.grids]
        self.margin = jnp.asarray(MARGIN * max(float(np.abs(module.high).sum(1).max()), 1e-6))
        forms = (entries[:, None] - entries[None]).reshape(-1, self.items)
        self.most = [jnp.asarray(grid.most(forms).reshape(grid.size, len(entries), -1)) for grid in self.grids]
        self.values = [jnp.asarray(types[:, i] @ entries.T) for i in range(len(self.grids))]
        cells = [np.asarray(grid.locate(jnp.asarray(types[:, i]))) for i, grid in enumerate(self.grids)]
        self.often = [np.bincount(cell, minlength=size) / len(types) for cell, size in zip(cells, self.sizes, strict=True)]
        singles = np.eye(len(entries))[1:]
        together = np.array([entries[:, j] for j in range(self.items)] + [entries.any(1)], float)
        directions = np.unique(np.concatenate([singles, together]), axis=0)
        steps = [size * sign * self.grids[0].width * way for size in STEPS for way in directions for sign in (-1, 1)]
        self.moves = jnp.asarray(np.array(steps))

    def settled(self, learned: list[Array], alike: float, rounds: int) -> tuple[list[np.ndarray], dict[str, Any]]:
        """Compatible tables [L, K] from the learned ones, where bidders like an item `alike` within so many widths, and what `polish` tells
        of them."""
        bidders = range(len(self.sizes))
        may = self.shares(learned, [], alike)
        tables = [raised(learned[i], may[i], self.most[i], self.margin, self.sets) for i in bidders]
        told = {"menus": [len(table) for table in tables], "profiles_of_cells": int(np.prod(self.sizes)), "alike": alike,
                "sample_learned": self.worth(learned), "sample_compatible": self.worth(tables)}
        for turn in range(rounds):
            for i in list(bidders)[:: 1 if turn % 2 == 0 else -1]:
                tables[i] = raised(self.sought(i, tables[i], may[i]), may[i], self.most[i], self.margin, self.sets)
                may = self.shares(tables, self.used(tables), alike)
        final = [np.array(table.astype(jnp.float32), np.float64) for table in tables]
        return self.certain(final), {**told, "sample": self.worth([jnp.asarray(table) for table in final])}

    def sought(self, i: int, table: Array, may: Array) -> Array:
        """Better prices for bidder i, looked for in float32, which is twice as fast."""
        rough = [jnp.asarray(each, jnp.float32) for each in (table, self.most[i], self.margin, self.values[i], self.moves)]
        prices, most, margin, values, moves = rough
        return improved(prices, may, most, margin, values, moves, self.sets).astype(jnp.float64)

    def used(self, tables: list[Array]) -> list[np.ndarray]:
        """What each bidder might take, [C, L]."""
        return [np.asarray(taken(table, most, self.margin, self.sets)) for table, most in zip(tables, self.most, strict=True)]

    def shares(self, tables: list[Array], used: list[np.ndarray], alike: float) -> list[Array]:
        """What each bidder may take, sets of items [C, L]: what it uses, and of what nobody uses what it likes best beyond the price; an
        earlier bidder also what it likes less by up to `alike` widths for each bidder between them."""
        eager = [self.beside(i, np.asarray(eagerness(table, self.most[i], self.sets, self.items))) for i, table in enumerate(tables)]
        users = [self.beside(i, each) for i, each in enumerate(used)]
        may = [np.zeros(tuple(self.sizes), np.int32) for _ in tables]
        for item in range(self.items):
            keen = np.stack([each[..., item] - alike * self.grids[0].width * i for i, each in enumerate(eager)])
            for i, each in enumerate(users):
                keen[i][each >> item & 1 == 1] = np.inf
            owner = keen.argmax(0)
            for i, each in enumerate(may):
                each[owner == i] |= 1 << item
        return [jnp.asarray(self.own(i, each)) for i, each in enumerate(may)]

    def certain(self, tables: list[np.ndarray]) -> list[np.ndarray]:
        """The tables, looked over once more as they will be stored. What would still be given twice in a profile of cells (nothing, unless
        rounding to float32 were coarser than the margin) is withdrawn from the later bidders' menus."""
        seen = np.zeros(tuple(self.sizes), np.int32)
        for i, users in enumerate(self.used([jnp.asarray(table) for table in tables])):
            clash = (self.own(i, seen) & users).any(0)
            tables[i][clash, 1:] = 2 * float(self.most[i].max()) + 1.0
            seen = seen | self.beside(i, np.where(clash[None], 0, users))
        return tables

    def worth(self, tables: list[Array]) -> float:
        """What all menus earn on the sample, each menu weighed by how often the others are there."""
        total = 0.0
        for i, table in enumerate(tables):
            weight = reduce(np.multiply.outer, [often for j, often in enumerate(self.often) if j != i])
            total += float(weight.ravel() @ np.asarray(earned(table, self.values[i])))
        return total

    def beside(self, i: int, array: np.ndarray) -> np.ndarray:
        """[C, L, …] of bidder i as [C₁, …, C_N, …]."""
        others = [size for j, size in enumerate(self.sizes) if j != i]
        return np.moveaxis(array.reshape(self.sizes[i], *others, *array.shape[2:]), 0, i)

    def own(self, i: int, array: np.ndarray) -> np.ndarray:
        """[C₁, …, C_N] as [C, L] of bidder i."""
        return np.moveaxis(array, i, 0).reshape(self.sizes[i], -1)
