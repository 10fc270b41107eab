"""What networks share that treat bidders alike and items alike: exchangeable layers, what an entry is told, feasible shares from scores.

A profile is a matrix of N bidders by M items. An exchangeable layer (Hartford, Graham, Leyton-Brown & Ravanbakhsh 2018, theorem 2.1) is
the most general linear map of such matrices that commutes with permuting bidders and items: each entry sees itself and the means of its
bidder, of its item and of all. So whoever permutes the reports permutes the decision, and the parameters know neither N nor M.

Where bidders or items differ in their prior, the network can tell them apart only by what it is told. Each entry is told four numbers:
its report, brought to [−1, 1] by its own support; the report; and the support's two ends, these three in units of the highest bound of
the auction. An entry then knows where it stands in its own distribution, what it is worth beside others, and which distribution it is;
bidders and items of one prior stay interchangeable. Whatever else a prior says (its shape, dependence between items), it is not told.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.auctions.problem import Auction
from icsap_jax.auctions.rules.networks import Scale, Support
from icsap_jax.bilevel.types import Array

TOLD = 4  # numbers that each entry is told
NARROW = 96  # numbers a bidder's entries have in all, up to which one product is sooner done than its parts (measured on a CPU)


class Exchangeable(nnx.Module):
    """One exchangeable layer: [R, N, M, inputs] to [R, N, M, outputs]. The variance of its first weights is Glorot's for each of the
    four that an entry sees, times `size`."""

    def __init__(self, inputs: int, outputs: int, rngs: nnx.Rngs, size: float = 1.0):
        glorot = nnx.initializers.variance_scaling(size, "fan_avg", "uniform")
        self.entry = nnx.Linear(inputs, outputs, kernel_init=glorot, rngs=rngs)
        self.bidder, self.item, self.everyone = (
            nnx.Linear(inputs, outputs, use_bias=False, kernel_init=glorot, rngs=rngs) for _ in range(3))

    def __call__(self, entries: Array) -> Array:
        items, inputs = entries.shape[-2:]
        return self.as_one_product(entries) if items * inputs <= NARROW else self.in_parts(entries)

    def in_parts(self, entries: Array) -> Array:
        """Each mean and its product by itself."""
        rows, bidders, items, inputs = entries.shape
        # Left to itself the compiler computes an activation anew in each of the four that read it. Flat products are sooner differentiated.
        entries = jax.lax.optimization_barrier(entries)
        by_item = entries.mean(1)  # [R, M, inputs]
        by_bidder = self.bidder(entries.mean(2).reshape(-1, inputs)).reshape(rows, bidders, 1, -1)
        everyone = self.everyone(by_item.mean(1))[:, None, None]
        by_item = self.item(by_item.reshape(-1, inputs)).reshape(rows, 1, items, -1)
        itself = self.entry(entries.reshape(-1, inputs)).reshape(rows, bidders, items, -1)
        return jax.lax.optimization_barrier(itself + by_bidder + by_item + everyone)

    def as_one_product(self, entries: Array) -> Array:
        """The same with a bidder's entries for all items as one long row, and the matrix of such rows written out: M times as many
        multiplications, and half the time where rows are so short that the parts are all overhead."""
        rows, bidders, items, inputs = entries.shape
        dtype = entries.dtype
        own, among = jnp.eye(items, dtype=dtype)[:, None, :, None], jnp.full((items, 1, items, 1), 1 / items, dtype)

        def written_out(alone: nnx.Linear, pooled: nnx.Linear) -> Array:
            return (own * alone.kernel[None, :, None] + among * pooled.kernel[None, :, None]).reshape(items * inputs, -1)

        entries = jax.lax.optimization_barrier(entries.reshape(rows, bidders, items * inputs))
        shared = entries.mean(1) @ written_out(self.item, self.everyone) + jnp.tile(self.entry.bias[...], items)[None]
        itself = entries.reshape(rows * bidders, -1) @ written_out(self.entry, self.bidder)
        found = jax.lax.optimization_barrier(itself.reshape(rows, bidders, -1) + shared[:, None])
        return found.reshape(rows, bidders, items, -1)


class Told(nnx.Module):
    """What each entry is told of itself: reports [R, N, M] to [R, N, M, 4]. See the module."""

    def __init__(self, support: Support):
        low, high = support
        self.scale = Scale(support)
        self.unit = float(high.max()) or 1.0
        self.bounds = tuple(tuple(map(tuple, (bound / self.unit).tolist())) for bound in (low, high))

    def __call__(self, reports: Array) -> Array:
        low, high = (jnp.broadcast_to(jnp.asarray([bound], reports.dtype), reports.shape) for bound in self.bounds)
        return jnp.stack([self.scale(reports), reports / self.unit, low, high], -1)


def half_width(support: Support) -> tuple[tuple[float, ...], ...]:
    """Half the width of each report's support [N, M], as nested tuples: what a module holds beside its parameters must be hashable."""
    low, high = support
    return tuple(map(tuple, np.where(high > low, (high - low) / 2, 1.0).tolist()))


def beside_nobody(problem: Auction, wanted: Array, nobody: Array, liked: Array | None, nothing: Array | None) -> Array:
    """The scores [R, scores_needed] that `shares.feasible` takes: how much a bidder is wanted for an item [R, N, M] and nobody for it
    [R, M]; with unit demand also how much an item is liked by a bidder [R, N, M] and nothing by it [R, N]."""
    scores = jnp.concatenate([wanted, nobody[:, None]], 1).reshape(wanted.shape[0], -1)
    if problem.valuation != "unit_demand":
        return scores
    assert liked is not None and nothing is not None
    return jnp.concatenate([scores, jnp.concatenate([liked, nothing[..., None]], 2).reshape(wanted.shape[0], -1)], 1)
