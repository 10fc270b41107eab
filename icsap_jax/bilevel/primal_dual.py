"""Rules that are linear under obedience that is linear too, solved from both sides at once: the scheme and its prices.

    maximise Σ_j worth_j·x_j   over x_j ≥ 0 [n]   subject to   Σ_j link x_j = mass [R],   obedience_j x_j ≥ 0 [K]

Blocks j are what is recommended, so that a block's obedience concerns this block alone; the masses tie them together. A primal-dual
interior-point method (Mehrotra's predictor and corrector, 1992): every step solves one system of n equations for each block and one
of R for the masses, a few dozen steps do, and all of it is arrays, so that thousands of programmes run side by side under vmap.

Obedience is elastic: a lack of it may be bought at a price no multiplier needs to reach, so that there is an interior even where a
recommendation can never be obeyed. What proves an upper bound is not this method but the multipliers it ends with, in a formula that
holds for any.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array

STEPS = 40
ELASTIC = 1e4  # the price of a unit of disobedience, as a multiple of the range of what is at stake
SHORT_OF_THE_WALL = 0.9995  # the share of the way to the boundary that a step goes
FINISHED = 10.0  # units of rounding, the sum of all products in a scaled programme


@register_dataclass
@dataclass(frozen=True)
class Programme:
    """J blocks of n variables: `worth` [J, n], `obedience` [J, K, n], `link` [R, n], the same for every block, and `mass` [R] > 0."""

    worth: Array
    obedience: Array
    link: Array
    mass: Array


@register_dataclass
@dataclass(frozen=True)
class Solution:
    """`x` [J, n]; `price` [R] of a unit of each mass; `multiplier` [J, K] ≥ 0 of obedience; `value` and `bound` [], what x is worth
    and what the prices say at most can be had; `residual` [], their difference and what is left of the equations, relative to what is
    at stake."""

    x: Array
    price: Array
    multiplier: Array
    value: Array
    bound: Array
    residual: Array


Triple = tuple[Array, Array, Array]


@register_dataclass
@dataclass(frozen=True)
class _Point:
    """All that moves, in pairs whose products go to zero. `primal`: x [J, n], the slack of obedience and the disobedience bought, [J, K]
    each; `dual`: what each x is short of its price [J, n], the multipliers of obedience, and by how much what disobedience costs
    exceeds them, [J, K] each; `price` [R]."""

    primal: Triple
    dual: Triple
    price: Array


@partial(jax.jit, static_argnames="steps")
def solve(programme: Programme, steps: int = STEPS) -> Solution:
    """One programme, in the precision of its arrays; vmap for many. Nothing is raised: look at `residual`."""
    least = jnp.finfo(programme.worth.dtype).tiny ** 0.5
    size, stake = jnp.maximum(jnp.ptp(programme.worth), least), jnp.maximum(jnp.abs(programme.obedience).max(), least)
    scaled = Programme(programme.worth / size, programme.obedience / stake, programme.link, programme.mass)
    found = jax.lax.fori_loop(0, steps, lambda _, at: _step(scaled, at), _begin(scaled))
    x, price, multiplier = found.primal[0], size * found.price, size / stake * found.dual[1]
    value = (programme.worth * x).sum()
    # Where no x is worth more than its price, the prices alone bound the value.
    excess = programme.worth + _lent(programme, multiplier) - (price @ programme.link)[None]
    bound = programme.mass @ price + jax.nn.relu(excess).max() * programme.mass.sum()
    missing = jnp.abs(programme.link @ x.sum(0) - programme.mass).max() + jax.nn.relu(-_obeys(scaled, x)).max()
    return Solution(x, price, multiplier, value, bound, (bound - value) / size + missing)


def _obeys(programme: Programme, x: Array) -> Array:
    """By how much each constraint is met, [J, K]."""
    return jnp.einsum("jkn,jn->jk", programme.obedience, x)


def _lent(programme: Programme, multiplier: Array) -> Array:
    """What obedience at these multipliers adds to the worth of each x, [J, n]."""
    return jnp.einsum("jk,jkn->jn", multiplier, programme.obedience)


def _begin(programme: Programme) -> _Point:
    """A point well inside: every mass spread evenly."""
    blocks, count = programme.worth.shape
    even = (programme.mass / programme.link.sum(1)) @ programme.link / programme.link.sum(0) / blocks
    x = jnp.broadcast_to(even[None], (blocks, count))
    met, some = _obeys(programme, x), programme.mass.mean() / blocks
    bought = jax.nn.relu(-met) + some
    multiplier = jnp.ones_like(met)
    worth = programme.worth + _lent(programme, multiplier)
    price = jnp.broadcast_to((worth.max() + 1.0)[None], programme.mass.shape)
    short = jnp.maximum((price @ programme.link)[None] - worth, 1.0)
    return _Point((x, jnp.maximum(met + bought, some), bought), (short, multiplier, ELASTIC - multiplier), price)


def _step(programme: Programme, at: _Point) -> _Point:
    """One predictor and corrector, with one factorisation. Eliminating all but x and the prices leaves, for each block,
    H dx + linkᵀ dprice = q with H = short/x + obedienceᵀ W obedience; and eliminating the dx, one system for the prices."""
    G, L = programme.obedience, programme.link
    (x, slack, bought), (short, multiplier, spare) = at.primal, at.dual
    off_worth = programme.worth + _lent(programme, multiplier) - (at.price @ L)[None] + short
    off_slack, off_spare, off_mass = _obeys(programme, x) + bought - slack, ELASTIC - multiplier - spare, programme.mass - L @ x.sum(0)
    W = 1.0 / (slack / multiplier + bought / spare)
    factor = jnp.linalg.cholesky(jnp.einsum("jkn,jk,jkm->jnm", G, W, G) + jax.vmap(jnp.diag)(short / x))
    spread = _solve(factor, jnp.broadcast_to(L.T[None], (x.shape[0], *L.T.shape)))  # [J, n, R]
    prices = jnp.linalg.cholesky(jnp.einsum("rn,jnq->rq", L, spread))

    def towards(products: Triple) -> _Point:
        """Newton's step to where the pairs have these products."""
        aims = tuple(product / dual for product, dual in zip(products, at.dual, strict=True))
        h = aims[1] - slack - (aims[2] - bought - bought * off_spare / spare) - off_slack
        own = _solve(factor, (products[0] / x - short + off_worth + _lent(programme, W * h))[..., None])[..., 0]
        price = _solve(prices, (L @ own.sum(0) - off_mass)[:, None])[:, 0]
        dx = own - spread @ price
        dual = W * (h - _obeys(programme, dx))
        kept = off_spare - dual
        moved = (dx, aims[1] - slack - slack / multiplier * dual, aims[2] - bought - bought / spare * kept)
        return _Point(moved, (products[0] / x - short - short / x * dx, dual, kept), price)

    guess = towards((0.0 * x, 0.0 * slack, 0.0 * bought))
    now = sum((one * other).sum() for one, other in zip(at.primal, at.dual, strict=True))
    then = sum((one * other).sum() for one, other in zip(*_moved(at, guess, 1.0)[:2], strict=True))
    centre = (jnp.maximum(then, 0.0) / now) ** 3 * now / (x.size + 2 * slack.size)
    step = towards(tuple(centre - one * other for one, other in zip(guess.primal, guess.dual, strict=True)))
    moved = _Point(*_moved(at, step, SHORT_OF_THE_WALL))
    finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(moved)]).all()
    # Once the pairs are down to rounding there is nothing left to gain, and the equations get worse with every step.
    goes_on = finite & (now > FINISHED * jnp.finfo(x.dtype).eps)
    return jax.tree.map(lambda new, old: jnp.where(goes_on, new, old), moved, at)


def _moved(at: _Point, step: _Point, share: float) -> tuple[Triple, Triple, Array]:
    """Where a step leads that goes a share of the way to the boundary, or all its length; each side goes its own."""

    def length(points: Triple, steps: Triple) -> Array:
        ways = [jnp.where(step < 0, -point / step, jnp.inf).min() for point, step in zip(points, steps, strict=True)]
        return share * jnp.minimum(1.0, jnp.stack(ways).min())

    primal, dual = length(at.primal, step.primal), length(at.dual, step.dual)
    x, slack, bought = (point + primal * move for point, move in zip(at.primal, step.primal, strict=True))
    short, multiplier, spare = (point + dual * move for point, move in zip(at.dual, step.dual, strict=True))
    return (x, slack, bought), (short, multiplier, spare), at.price + dual * step.price


def _solve(factor: Array, right: Array) -> Array:
    return jax.scipy.linalg.cho_solve((factor, True), right)
