"""The cells on which GemNet's menus are constant, and the exact extremes of utilities over them.

A bidder's types are cut into cubes of one width h, and every cube by the hyperplanes on which the value of a bundle (for unit demand also
the difference of two items' values) is a multiple of h above its least. Cubes alone would not do: where a bidder buys both items at once
it does so on one side of v₁ + v₂ = p, and a cube that this line crosses can be used by neither bidder, so that the loss would shrink as
h and not as h². What a cell allows is exact: the difference of two entries' utilities is linear in the type, so that its maximum over a
cell is found at one of its corners, here by a linear programme for each shape of cell. Wang, Jiang & Parkes (2024) bound it
by a Lipschitz constant instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations, product

import jax.numpy as jnp
import numpy as np
from scipy.optimize import linprog

from icsap_jax.auctions.problem import Auction
from icsap_jax.bilevel.types import Array

Rows = tuple[tuple[int, ...], ...]


def bundles(items: int, valuation: str) -> np.ndarray:
    """The entries of every menu, [K, M] of zeros and ones, nothing first: all bundles, or for unit demand all items one by one."""
    every = np.array(list(product((0, 1), repeat=items)))
    every = every[np.argsort(every.sum(1), kind="stable")]
    return every[every.sum(1) <= 1] if valuation == "unit_demand" else every


@dataclass(frozen=True)
class Shapes:
    """The cells of one cube, as parts of the unit cube. A part is where the floor of every direction's product with the point is what
    `floors` [P, D] says; `inside` [P, M] is a point in the middle of each. `directions` [D, M]."""

    directions: Rows
    floors: Rows
    inside: tuple[tuple[float, ...], ...]


@cache
def shapes(items: int, valuation: str) -> Shapes:
    """See the class. Which floors go together is decided by a linear programme: whether there is room between all of them."""
    entries = bundles(items, valuation)
    found = {tuple(int(x) for x in entry) for entry in entries[1:]}
    if valuation == "unit_demand":
        found |= {tuple(int(x) for x in b - a) for a, b in combinations(entries[1:], 2)}
    directions = np.array(sorted(found))
    floors, inside = [], []
    low, high = np.minimum(directions, 0).sum(1), np.maximum(directions, 0).sum(1)
    for floor in product(*[range(a, b) for a, b in zip(low, high, strict=True)]):
        sides = np.vstack([-directions, directions])
        room = linprog(np.append(np.zeros(items), -1.0), A_ub=np.append(sides, np.ones((len(sides), 1)), 1),
                       b_ub=np.append(-np.array(floor), np.array(floor) + 1), bounds=[(0, 1)] * items + [(None, None)])
        if -room.fun > 1e-6:
            floors.append(tuple(int(x) for x in floor))
            inside.append(tuple(float(x) for x in room.x[:items]))
    return Shapes(tuple(map(tuple, directions.tolist())), tuple(floors), tuple(inside))


@dataclass(frozen=True)
class Grid:
    """The cells of one bidder: `low` [M] of its values, the `width` of a cube, how many of them (`counts` [M]), and their `shapes`. Cells
    are numbered cube by cube; those at the upper end may reach beyond the values there are."""

    low: tuple[float, ...]
    width: float
    counts: tuple[int, ...]
    shapes: Shapes

    @property
    def size(self) -> int:
        """C, how many cells there are."""
        return int(np.prod(self.counts)) * len(self.shapes.floors)

    def _corners(self) -> np.ndarray:
        """The lowest corner of every cube, [cubes, M]."""
        axes = np.meshgrid(*[np.arange(count) for count in self.counts], indexing="ij")
        return np.asarray(self.low) + self.width * np.stack(axes, -1).reshape(-1, len(self.counts))

    def middles(self) -> np.ndarray:
        """A type in the middle of every cell, [C, M]."""
        inside = self.width * np.asarray(self.shapes.inside)
        return (self._corners()[:, None] + inside[None]).reshape(-1, len(self.counts))

    def most(self, forms: np.ndarray) -> np.ndarray:
        """The largest value [C, F] that linear forms [F, M] of the type take in each cell, its border included."""
        directions, floors = np.asarray(self.shapes.directions), np.asarray(self.shapes.floors)
        sides = np.vstack([-directions, directions])
        within = [[-linprog(-form, A_ub=sides, b_ub=np.append(-floor, floor + 1), bounds=(0, 1)).fun for form in forms] for floor in floors]
        return ((self._corners() @ forms.T)[:, None] + self.width * np.asarray(within)[None]).reshape(self.size, -1)

    def locate(self, types: Array) -> Array:
        """The number [R] of the cell in which each type [R, M] lies; a type on a border lies in a cell that it borders."""
        place = (types - jnp.asarray([self.low], types.dtype)) / self.width
        cube = jnp.clip(jnp.floor(place), 0, jnp.asarray([self.counts], types.dtype) - 1)
        share = (place - cube) @ jnp.asarray(self.shapes.directions, types.dtype).T  # [R, D]
        floors = jnp.asarray([self.shapes.floors], types.dtype)
        beyond = jnp.maximum(floors - share[:, None], share[:, None] - floors - 1).max(-1)  # [R, P]: how far outside each part
        number = jnp.zeros(types.shape[:1], jnp.int32)
        for axis, count in enumerate(self.counts):
            number = number * count + cube[:, axis].astype(jnp.int32)
        return number * len(self.shapes.floors) + jnp.argmin(beyond, 1).astype(jnp.int32)


def finest(problem: Auction, low: np.ndarray, high: np.ndarray, cells: int) -> tuple[Grid, ...]:
    """A grid for each bidder, all of one width, over values from `low` to `high` [N, M]: the finest of which there are at most `cells`
    profiles of cells, and one cube each where even two along an axis are too many."""
    widest = float((high - low).max()) or 1.0
    parts = shapes(problem.items, problem.valuation)

    def cut(levels: int) -> tuple[Grid, ...]:
        width = widest / levels
        counts = np.maximum(1, np.ceil((high - low) / width - 1e-6).astype(int))
        return tuple(Grid(tuple(map(float, a)), width, tuple(map(int, n)), parts) for a, n in zip(low, counts, strict=True))

    levels = 1
    while np.prod([float(grid.size) for grid in cut(levels + 1)]) <= cells:
        levels += 1
    return cut(levels)
