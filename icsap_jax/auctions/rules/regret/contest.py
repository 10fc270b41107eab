"""Prices in a contest: our own network, in which what a bidder pays follows from how it wins.

An exchangeable network (`exchangeable`) gives each bidder i and item j a price π_ij, a temperature τ_ij > 0 and odds γ_ij > 0. The
bidder's score is z_ij = (v_ij − π_ij)/τ_ij, nobody's is 0, and an item's shares are the softmax of its scores:

    x_ij = σ(d_ij),   d_ij = z_ij − log(1 + Σ_{k≠i} exp z_kj),   s_ij = τ_ij·(softplus(d_ij) − softplus(d_ij at the lowest report)).

The bidder keeps s_ij of what it receives, v_ij·x_ij, and pays the rest; γ_ij multiplies the odds of keeping rather than paying, so that
any payment between nothing and all of it can be had.

Why it is better than networks that give allocations and payments apart. Nobody gains by lying when a bidder's utility is convex in
its own report and its shares are the slope (Rochet 1987). RegretNet, EquivariantNet and RegretFormer have to learn this identity between
two outputs everywhere, and most precisely where the allocation changes fast; their regret is how well they succeed. Here it holds by
itself wherever γ_ij is 1 and π_ij, τ_ij and the rivals' scores do not depend on the bidder's report, since the slope of s_ij in v_ij
is the share x_ij. So there is regret only where what is offered does depend on it: in how bundles are discounted, and in how a report
moves rivals' prices. Smoothed auctions item by item with reserve prices (Myerson's, for regular priors) have none, and training starts
near one of them. That is a trap as well: where the multiplier on the gap is large from the beginning, it ends there too. Every entry
also hears its strongest rival's report, on which its price in the end depends, and which a network that pools by means can only guess.

A bidder with unit demand chooses by a second softmax among nothing and the items, each worth to it the surplus above; its utility is the
potential of that softmax, so that the same identity holds (`one_item`). What a bidder won and did not choose stays unsold, unless prices
keep bidders apart: where nearly everything is to be sold (values U[2, 3], say), that costs something.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.auctions.problem import Auction, AuctionEnv, Decision
from icsap_jax.auctions.rules.networks import Support, support_of
from icsap_jax.auctions.rules.regret.exchangeable import TOLD, Exchangeable, Told, half_width
from icsap_jax.bilevel.ties import largest
from icsap_jax.bilevel.types import Array, Rule

SOFT = 0.1  # the first temperature, in half-widths of the support: soft enough that every price has a slope
SHARED, CALM = 0.25, 0.0025  # of the variance of first weights, inside and in the last layer: prices begin near the support's middle
HAIR = 1e-6  # half-widths beside a worth of nothing: far below any gap, far enough from 0 to be squared and divided by


class Contest(nnx.Module):
    """Additive or unit-demand bidders. `hidden`: channels of each hidden layer."""

    def __init__(self, problem: Auction, support: Support, hidden: list[int], activation: str, rngs: nnx.Rngs):
        self.problem, self.activation = problem, activation
        self.told, self.half, self.low = Told(support), half_width(support), tuple(map(tuple, support[0].tolist()))
        outputs = 4 if problem.valuation == "unit_demand" else 3
        sizes = [TOLD + 1, *hidden]
        inside = [Exchangeable(a, b, rngs, SHARED) for a, b in pairwise(sizes)]
        self.layers = nnx.List([*inside, Exchangeable(sizes[-1], outputs, rngs, CALM)])

    def __call__(self, reports: Array) -> Decision:
        values = reports.reshape(-1, *reports.shape[-2:])
        activation = getattr(jax.nn, self.activation)
        rival = strongest_rival(values)
        entries = jnp.concatenate([self.told(values), rival[..., None] / self.told.unit], -1)
        for layer in self.layers[:-1]:
            entries = activation(layer(entries))
        price, temperature, kept, *choice = jnp.moveaxis(self.layers[-1](entries), -1, 0)
        half, low = (jnp.asarray([bound], values.dtype) for bound in (self.half, self.low))
        temperature = SOFT * jnp.exp(temperature)  # in half-widths, as are scores
        score = (self.told.scale(values) - price) / temperature
        lead = score - beaten(score)
        lowest = lead - (values - low) / half / temperature
        won = jax.nn.sigmoid(lead)
        gain, least = (half * temperature * jax.nn.softplus(each) for each in (lead, lowest))
        if choice:
            allocation, payment = one_item(values, won, gain, least, choice[0].mean(2), kept.mean(2), half.mean())
        else:
            worth, surplus = won * values, gain - least
            allocation, payment = won, (worth - half * shifted(surplus / half, worth / half, jnp.exp(kept))).sum(2)
        return Decision(allocation=allocation.reshape(reports.shape), payment=payment.reshape(reports.shape[:-1]))


def one_item(values: Array, won: Array, gain: Array, least: Array, softness: Array, kept: Array, unit: Array) -> tuple[Array, Array]:
    """Allocation [R, N, M] and payment [R, N] where each bidder chooses one item or nothing, by a softmax over what each item gains it
    [R, N, M]: the softmax is the slope of its logarithm of summed exponentials, so that the shares of what it wins and chooses are the
    slope of that, the bidder's utility over its lowest report's. `softness` and `kept` [R, N] are logarithms; `unit` [] is of money."""
    softness = (unit * SOFT * jnp.exp(softness))[..., None]
    gain, least = (jnp.concatenate([each, jnp.zeros_like(each[..., :1])], 2) / softness for each in (gain, least))
    allocation = won * jax.nn.softmax(gain, 2)[..., :-1]
    surplus = softness[..., 0] * (jax.nn.logsumexp(gain, 2) - jax.nn.logsumexp(least, 2))
    worth = jnp.einsum("rnm,rnm->rn", allocation, values)
    return allocation, worth - unit * shifted(surplus / unit, worth / unit, jnp.exp(kept))


def shifted(surplus: Array, worth: Array, odds: Array) -> Array:
    """The surplus, between 0 and the worth of what is received, with the odds of keeping it rather than paying it multiplied: still
    between 0 and the worth, the same at odds of 1. Any shapes, all alike."""
    return odds * surplus * worth / (worth - surplus + odds * surplus + HAIR)


def strongest_rival(values: Array) -> Array:
    """For each bidder and item of [R, N, M] the highest report of the others for it, 0 where there are none."""
    itself = jnp.eye(values.shape[1], dtype=bool)[None, :, :, None]
    return largest(jnp.where(itself, 0.0, values[:, None]), 2)


def beaten(score: Array) -> Array:
    """log(1 + Σ_{k≠i} exp z_kj) for scores z [R, N, M]: what bidder i has to beat for item j."""
    itself = jnp.eye(score.shape[1], dtype=bool)[None, :, :, None]
    # The bidder's own place is taken by nobody, whose score is 0.
    return jax.nn.logsumexp(jnp.where(itself, 0.0, score[:, None]), 2)


def contest(model: Any, problem: Auction, env: AuctionEnv, key: Array) -> Rule:
    """A freshly initialised contest for the auction."""
    return Rule.of(Contest(problem, support_of(problem, env), list(model.hidden), model.activation, nnx.Rngs(key)))
