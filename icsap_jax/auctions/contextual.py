"""Myerson's auctions where contexts are public: what they earn item by item, averaged over contexts, and what they charge on profiles.

Given the contexts bidders are independent with known laws, so that one item alone is sold best by Myerson's auction for those laws
(Myerson 1981): its revenue is E ∫₀^∞ 1 − Π_i P(φ_i ≤ t | contexts) dt. Of kinds of bidders the expectation is a product over bidders once
the item's kind is given, and exact. Of vectors it is a mean over contexts that are spread evenly by Sobol's sequences (1967), scrambled
anew for each of several samples, whose spread is its error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import qmc

from icsap_jax.auctions.contexts import Continuous
from icsap_jax.auctions.myerson import RevenueCurve, fingerprint, revenue_curves
from icsap_jax.auctions.priors.base import decimal

SAMPLES, CONTEXTS = 8, 2**12  # Sobol's sequences, and contexts in each
NODES = 128  # midpoints of ∫ dt: the integrand is piecewise smooth, so that the error is of the order of 1e-5 of its range
CELLS = 20_000  # of a law as a function of t, between which it is interpolated
SEED = 7_919
Below = Callable[[np.ndarray], np.ndarray]  # t to the probability of at most t


@dataclass(frozen=True)
class Mean:
    """A mean and its standard error, 0 where it is exact."""

    value: float
    std_error: float = 0.0


def sold_apart(env: Any, model: Any) -> Mean:
    """Revenue of Myerson's auction of each item given the contexts, summed over items."""
    curves = _curves(env)
    once = {id(curve): _virtual_below(curve) for row in curves for curve in row}
    tops = np.array([[curve.slope.max() for curve in row] for row in curves])
    return _expected_highest(env, model, [[once[id(curve)] for curve in row] for row in curves], tops)


def surplus(env: Any, model: Any) -> Mean:
    """The expected highest value of each item, summed: more than any auction earns from additive or unit-demand bidders."""
    laws, once = env.prior.marginals(), {}
    below = [[once.setdefault(fingerprint(law), law.cdf) for law in row] for row in laws]
    return _expected_highest(env, model, below, np.array([[float(law.ppf(1 - 1e-9)) for law in row] for row in laws]))


def charged(env: Any, types: np.ndarray, seen: Sequence[np.ndarray]) -> np.ndarray:
    """What Myerson's auctions item by item charge in all on profiles of values [B, N, M] with these contexts, [B]: the winner has the
    largest positive virtual value, and pays the least value with which it would still have won."""
    values, total = np.asarray(types, np.float64), np.zeros(len(types))
    curves, which, scale = _curves(env), *_laws_of(env, seen, values.shape)
    flat = [curve for row in curves for curve in row]
    virtual, least = np.empty_like(values), np.zeros_like(values)
    for place in np.unique(which):
        mine = which == place
        virtual[mine] = scale[mine] * flat[place].virtual(values[mine] / scale[mine])
    order = np.sort(virtual, axis=1)
    second = order[:, -2] if virtual.shape[1] > 1 else np.zeros_like(order[:, -1])
    threshold = np.broadcast_to(np.maximum(second, 0.0)[:, None], values.shape)
    for place in np.unique(which):
        mine, curve = which == place, flat[place]
        last = np.minimum(np.searchsorted(-curve.slope, -threshold[mine] / scale[mine], side="left"), len(curve.price) - 1)
        least[mine] = scale[mine] * curve.price[last]
    winner = virtual.argmax(1)[:, None]
    won = np.take_along_axis(virtual, winner, 1) > 0
    total += np.where(won, np.take_along_axis(least, winner, 1), 0.0)[:, 0].sum(-1)
    return total


def _curves(env: Any) -> list[list[RevenueCurve]]:
    """The revenue curve of each law the prior lists: of [N][M] bidders and items, or of [K][L] kinds of them."""
    laws = env.prior.marginals()
    flat = revenue_curves([law for row in laws for law in row])
    return [flat[n * len(laws[0]) : (n + 1) * len(laws[0])] for n in range(len(laws))]


def _laws_of(env: Any, seen: Sequence[np.ndarray], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Which law, counted through rows, each value [B, N, M] is of, and by what it is multiplied."""
    if isinstance(env.contexts, Continuous):
        return np.broadcast_to(np.arange(shape[1] * shape[2]).reshape(shape[1:]), shape), _attraction(*seen)
    bidders, items = (np.asarray(each) for each in seen)
    return bidders[:, :, None] * env.contexts.items + items[:, None, :], np.ones(shape)


def _expected_highest(env: Any, model: Any, below: list[list[Below]], tops: np.ndarray) -> Mean:
    """E ∫₀^∞ 1 − Π_i below_i(t) dt summed over items; `tops` [rows, columns]: where each reaches one."""
    if not isinstance(env.contexts, Continuous):
        width = tops.max() / (NODES * 128)
        t = (np.arange(NODES * 128) + 0.5) * width
        each = [np.mean([row[kind](t) for row in below], axis=0) for kind in range(len(below[0]))]
        return Mean(float(model.items * np.mean([np.sum(1 - known**model.bidders) * width for known in each])))
    tables: dict[int, Any] = {}
    for n, row in enumerate(below):
        for m, each in enumerate(row):
            grid = np.linspace(0.0, tops[n, m], CELLS)
            tables[id(each)] = (grid, np.asarray(each(grid), np.float64))
    found = [_one_sample(env, model, below, tops, tables, sample) for sample in range(SAMPLES)]
    return Mean(float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(SAMPLES)))


def _one_sample(env: Any, model: Any, below: list[list[Below]], tops: np.ndarray, tables: dict[int, Any], sample: int) -> float:
    low, high = (float(decimal(each)) for each in (env.contexts.low, env.contexts.high))
    dimension = env.contexts.dimension
    sequence = qmc.Sobol((model.bidders + 1) * dimension, seed=SEED + sample)
    points = (low + (high - low) * sequence.random(CONTEXTS)).reshape(CONTEXTS, model.bidders + 1, dimension)
    scale = _attraction(points[:, :-1], points[:, -1:])[..., 0]
    # One item stands for every other with the same laws.
    known: dict[tuple, float] = {}
    total = 0.0
    for item in range(model.items):
        column = tuple(id(row[item]) for row in below)
        if column not in known:
            top = (scale * tops[:, item]).max(1)
            u = (np.arange(NODES) + 0.5) / NODES
            t = top[:, None] * u**2  # closer together near 0, where laws without an end have most of their weight
            nobody = np.ones_like(t)
            for bidder, key in enumerate(column):
                nobody *= np.interp(t / scale[:, bidder, None], *tables[key])
            known[column] = float(np.mean(((1 - nobody) * 2 * u).mean(1) * top))
        total += known[column]
    return total


def _virtual_below(curve: RevenueCurve) -> Below:
    """The probability that the ironed virtual value is at most t ≥ 0."""
    return lambda t: 1.0 - curve.quantile[np.searchsorted(-curve.slope, -np.asarray(t), side="left")]


def _attraction(bidders: np.ndarray, items: np.ndarray) -> np.ndarray:
    """sigmoid(x · y), [B, N, M], in float64."""
    return 1.0 / (1.0 + np.exp(-np.einsum("bnd,bmd->bnm", np.asarray(bidders, np.float64), np.asarray(items, np.float64))))
