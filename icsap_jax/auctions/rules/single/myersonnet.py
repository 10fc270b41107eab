"""MyersonNet (Dütting, Feng, Narasimhan, Parkes & Ravindranath 2019, appendix): one item, a learned virtual value for each bidder.

φ_i(b) = min_k max_j e^{w_ikj}·b + β_ikj rises with the bid (Sill 1998, monotonic networks). The item goes to the highest φ_i(b_i) above
zero, and the winner pays the least bid that wins, φ_i⁻¹(max(0, max_{n≠i} φ_n(b_n))), so that nobody gains by lying (Myerson 1981). The
inverse is as quick as φ: each line is inverted, and min and max change places. A winner never pays less than the lowest type there is,
who wins as well; below it, nobody wins.

While it is trained the item goes to the highest of φ_n + τ·g_n and τ·g_0, the g being Gumbel noise: shares are a softmax. Whatever the
noise, the winner pays the least bid that wins, so that the noisy auction is strategyproof too and earns no more than the optimum.
Seen from bidder i, what it must beat is a logistic variable around M_i = τ·log(1 + Σ_{n≠i} e^{φ_n/τ}), so that the expected payment is
one integral, done at a few quantiles. (The paper charges the softmax share of φ_i⁻¹(max(0, max φ_n)): no strategyproof rule, which
learns to shrink φ, sell by lot and collect more than any auction can, and earns less in use.)
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.auctions.problem import Auction, AuctionEnv, Decision
from icsap_jax.auctions.rules.networks import support_of, unit_of
from icsap_jax.bilevel.ties import largest, smallest
from icsap_jax.bilevel.types import Array, Rule

LEAST_SLOPE = 1e-3  # of a line: one that is flat cannot be inverted
QUANTILES = 4  # midpoints at which the payment's integral over noise is done


class MyersonNet(nnx.Module):
    """Bids […, N, 1] to a Decision. Slopes e^`steepness` [N, K, J], a line's value `height` [N, K, J] at the bid `pivot` [N, K, J]; bids
    and virtual values are in units of `unit`."""

    def __init__(self, low: np.ndarray, unit: float, steepness: Array, pivot: np.ndarray, height: Array):
        self.low, self.unit = tuple(low.tolist()), unit
        self.steepness = nnx.Param(steepness)
        self.height = nnx.Param(height)
        self.pivot = tuple(pivot.ravel().tolist())

    def __call__(self, reports: Array, temperature: Array | None = None) -> Decision:
        bids = reports.reshape(-1, reports.shape[-2])
        virtual = self.virtual(bids)
        shares, prices = self.sell(virtual) if temperature is None else self.sell_softly(virtual, temperature / self.unit)
        shares = jnp.where(bids >= self._lowest(bids), shares, 0.0)
        paid = shares * jnp.minimum(prices, bids)  # the least bid that wins is at most the winner's, but for rounding
        return Decision(allocation=shares.reshape(reports.shape), payment=paid.reshape(reports.shape[:-1]))

    def virtual(self, bids: Array) -> Array:
        """φ_i(b_i), bids [R, N] to [R, N], in units."""
        slope, offset = self._lines(bids.dtype)
        return smallest(largest(slope * (bids / self.unit)[..., None, None] + offset))

    def bid_of(self, virtual: Array) -> Array:
        """φ_i⁻¹ of each bidder, [R, N] in units to bids [R, N]: the least bid at which it is reached."""
        slope, offset = self._lines(virtual.dtype)
        return self.unit * largest(smallest((virtual[..., None, None] - offset) / slope))

    def sell(self, virtual: Array) -> tuple[Array, Array]:
        """The whole item to the highest positive virtual value [R, N], the first of those that tie: shares [R, N], and the least bid
        [R, N] with which each would have won."""
        agents = virtual.shape[-1]
        winner = jnp.arange(agents)[None] == jnp.argmax(virtual, 1)[:, None]
        shares = jnp.where(winner & (virtual > 0), 1.0, 0.0).astype(virtual.dtype)
        others = jnp.where(jnp.eye(agents, dtype=bool)[None], 0.0, virtual[:, None])  # of itself: nobody, who is worth zero
        return shares, jnp.maximum(self.bid_of(largest(jax.nn.relu(others))), self._lowest(virtual))

    def sell_softly(self, virtual: Array, temperature: Array) -> tuple[Array, Array]:
        """Shares [R, N] by a softmax of virtual values [R, N] and zero, and what a winner pays on average [R, N]."""
        agents = virtual.shape[-1]
        scores = jnp.pad(virtual, ((0, 0), (0, 1))) / temperature
        rivals = jnp.broadcast_to(scores[:, None], (len(scores), agents, agents + 1))
        rival = jax.nn.logsumexp(rivals, axis=2, where=~jnp.eye(agents, agents + 1, dtype=bool)[None])  # [R, N]
        lead = scores[:, :-1] - rival
        quantile = ((jnp.arange(QUANTILES) + 0.5) / QUANTILES).astype(virtual.dtype)[:, None, None]
        beaten = jax.nn.log_sigmoid(lead)[None] + jnp.log(quantile)  # the logarithm of how likely a rival is at most so strong
        strength = rival[None] + beaten - jnp.log1p(-jnp.exp(beaten))
        prices = jnp.maximum(self.bid_of(strength.reshape(-1, agents) * temperature), self._lowest(virtual))
        return jax.nn.sigmoid(lead), prices.reshape(QUANTILES, -1, agents).mean(0)

    def _lines(self, dtype: Any) -> tuple[Array, Array]:
        """Slopes and offsets at a bid of zero, [1, N, K, J] each."""
        slope = LEAST_SLOPE + jnp.exp(self.steepness[...])
        offset = self.height[...] - slope * jnp.asarray(self.pivot, slope.dtype).reshape(slope.shape)
        return slope[None].astype(dtype), offset[None].astype(dtype)

    def _lowest(self, bids: Array) -> Array:
        return jnp.asarray([self.low], bids.dtype)


def myersonnet(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """A fresh network for the auction: lines of slopes around one, which cross at bids spread over the support, at half the virtual
    value of a uniform prior."""
    low, high = (bound[:, 0] for bound in support_of(problem, env))
    unit = unit_of(problem, env)
    shape = (problem.agents, model.groups, model.lines)
    places = (np.arange(model.groups * model.lines) + 0.5) / (model.groups * model.lines)
    places = places.reshape(model.lines, model.groups).T[None]  # each group has lines all over the support
    pivot = (low[:, None, None] + (high - low)[:, None, None] * places) / unit
    steepness = 0.3 * jax.random.normal(key, shape)
    start = jnp.asarray(pivot - pivot.mean((1, 2), keepdims=True) / 2, steepness.dtype)
    return Rule.of(MyersonNet(low, unit, steepness, pivot, start))
