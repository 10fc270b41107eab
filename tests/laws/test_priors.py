"""What every prior must obey, whatever it is: the examples of all registered priors, and some harder ones, without naming them.

Draws are compared with the exact law in float64. Keys are fixed, so a test passes or fails for good; tolerances are five standard
errors, which a right sampler would exceed once in two million comparisons.
"""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.auctions.priors import Coordinatewise
from icsap_jax.auctions.schema import PriorModel  # importing the schema registers the priors
from icsap_jax.config import kinds

AGENTS, ITEMS, PROFILES = 2, 2, 40_000  # enough that a missing tail of .001 is noticed
KEY = 7
WIDE = 5 / (2 * np.sqrt(PROFILES))  # five standard errors of a share of one half, the least certain of all shares

HARDER = [
    {"kind": "uniform", "low": [0, 4], "high": [[1, 7], [2, 16]]},
    {"kind": "exponential", "scale": [[0.1, 1], [3, 10]]},
    {"kind": "beta", "a": [[0.3, 1], [5, 40]], "b": [[0.3, 3], [1, 60]], "low": 1, "high": 3},
    {"kind": "truncated_normal", "mean": [[0, 9], [2, 2.5]], "std": 1, "low": 2, "high": 5},
    {"kind": "discrete", "values": [3, 1, 2], "probabilities": [0.2, 0.8, 0]},
    {"kind": "mixture", "weights": [0.7, 0.2, 0.1], "parts": [
        {"kind": "uniform"}, {"kind": "exponential", "scale": 2}, {"kind": "discrete", "values": [5], "probabilities": [1]}]},
    {"kind": "copula", "correlation": -0.9, "marginals": [
        {"kind": "exponential"}, {"kind": "mixture", "weights": [0.5, 0.5], "parts": [
            {"kind": "truncated_normal", "mean": 0, "std": 1, "high": 1}, {"kind": "uniform", "low": 2, "high": 3}]}]},
    {"kind": "copula", "marginals": {"kind": "uniform"}, "correlation": [[1, .5, .3, 0], [.5, 1, 0, 0], [.3, 0, 1, 0], [0, 0, 0, 1]]},
]


def examples() -> list[dict]:
    """Every registered prior's examples; one that reads a file gets a file of bidders and a file of whole profiles."""
    found = list(HARDER)
    for kind, model in kinds(PriorModel).items():
        if not model.__module__.startswith("icsap_jax."):
            continue  # a plugin that another test defined
        own = list(model.examples)
        if "file" in model.model_fields:
            own += [{"kind": kind, "file": name} for name in ("bidders.csv", "profiles.csv")]
        assert own, f"the prior {kind} has no example"
        found += own
    return found


@functools.cache
def folder() -> Path:
    """Valuations that depend on each other, in files of M and of N·M columns."""
    place = Path(tempfile.mkdtemp())
    rows = np.random.default_rng(0).gamma(2.0, size=(500, AGENTS * ITEMS)).round(3)
    rows[:, -1] = rows[:, 0] + 0.5
    np.savetxt(place / "profiles.csv", rows, delimiter=",", fmt="%.3f")
    np.savetxt(place / "bidders.csv", rows[:, -ITEMS:], delimiter=",", fmt="%.3f")
    return place


@dataclass
class Stated:
    """What a prior says of itself, in float64, [N, M] each."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    tail: np.ndarray


@functools.cache
def drawn(place: int) -> tuple:
    """The prior of example `place`, draws from it in float64, [PROFILES, N, M], and what it says of itself; all of it compiled, once
    for all laws."""
    example = examples()[place]
    model = kinds(PriorModel)[example["kind"]].model_validate(example)
    model.check(AGENTS, ITEMS, folder())
    prior = model.build(AGENTS, ITEMS, folder())
    found = jax.jit(lambda prior, key: (prior.sample(key, PROFILES), *prior.support(), prior.mean(), prior.variance(), prior.tail()))
    sample, *numbers = found(prior, jax.random.key(KEY))
    assert sample.shape == (PROFILES, AGENTS, ITEMS) and sample.dtype == jnp.float32
    assert all(each.shape == (AGENTS, ITEMS) for each in numbers)
    return prior, np.asarray(sample, np.float64), Stated(*(np.asarray(each, np.float64) for each in numbers))


every_prior = pytest.mark.parametrize("place", range(len(examples())), ids=[f"{i}-{each['kind']}" for i, each in enumerate(examples())])


@every_prior
def test_draws_lie_in_the_misreport_box_but_for_the_stated_tail(place: int) -> None:
    _, sample, stated = drawn(place)
    low, high, tail = stated.low, stated.high, stated.tail
    rounding = 1e-6 * (high - low)  # float32: low + (high − low)·u may round past an end
    assert (low < high).all() and np.isfinite(high).all()
    assert (sample >= low - rounding).all()
    share = (sample > high + rounding).mean(0)
    error = np.where(tail > 1e-6, 5 * np.sqrt(tail / PROFILES), 0)  # a share of 1e-6 or less is rounding: nothing may lie above
    assert (np.abs(share - tail) <= error + 1e-6).all()


@every_prior
def test_sample_moments_match_the_stated_ones(place: int) -> None:
    _, sample, stated = drawn(place)
    assert (np.abs(sample.mean(0) - stated.mean) <= 5 * np.sqrt(stated.variance / PROFILES)).all()
    squares = (sample - stated.mean) ** 2
    assert (np.abs(squares.mean(0) - stated.variance) <= 5 * squares.std(0) / np.sqrt(PROFILES)).all()


@every_prior
def test_stated_moments_are_those_of_the_exact_marginals(place: int) -> None:
    prior, _, stated = drawn(place)
    exact = prior.marginals()
    assert len(exact) == AGENTS and all(len(row) == ITEMS for row in exact)
    # float32 carries about seven digits, and the moments take a handful of operations.
    np.testing.assert_allclose(stated.mean, [[each.mean() for each in row] for row in exact], rtol=2e-6)
    np.testing.assert_allclose(stated.variance, [[each.var() for each in row] for row in exact], rtol=2e-5)


@every_prior
def test_draws_follow_the_exact_cdf(place: int) -> None:
    """The distance of the empirical cdf exceeds WIDE with probability 2·exp(−12.5) at most (Massart 1990)."""
    prior, sample, stated = drawn(place)
    low, high = stated.low, stated.high
    for n, row in enumerate(prior.marginals()):
        for m, exact in enumerate(row):
            # Between the round numbers: at an atom the float32 draw may lie a rounding to its left.
            points = low[n, m] + (high[n, m] - low[n, m]) * (np.arange(400) + 0.381966) / 400
            share = np.searchsorted(np.sort(sample[:, n, m]), points, side="right") / PROFILES
            assert np.abs(share - exact.cdf(points)).max() <= WIDE


@every_prior
def test_exact_quantiles_invert_the_exact_cdf(place: int) -> None:
    prior, _, _ = drawn(place)
    q = (np.arange(200) + 0.5) / 200
    for exact in (each for row in prior.marginals() for each in row):
        values, (low, high) = np.asarray(exact.ppf(q)), exact.support()
        near = 1e-9 * (values.max() - values.min() + 1)  # float64, through a root search for some laws
        assert (values >= low).all() and (values <= high).all() and (np.diff(values) >= 0).all()
        assert (exact.cdf(values + near) >= q - 1e-9).all() and (exact.cdf(values - near) <= q + 1e-9).all()


@every_prior
def test_quantiles_invert_the_cdf_where_values_are_independent(place: int) -> None:
    """Galois: F(Q(u)) ≥ u, and F falls to u or less just left of Q(u); F is the exact cdf."""
    prior, sample, stated = drawn(place)
    if not isinstance(prior, Coordinatewise):
        pytest.skip("its values depend on each other")
    u = (np.arange(300) + 0.381966) / 300
    at = jnp.broadcast_to(jnp.asarray(u, jnp.float32)[:, None, None], (300, AGENTS, ITEMS))
    values = np.asarray(jax.jit(jax.vmap(prior.quantile))(at), np.float64)
    below = np.asarray(jax.jit(jax.vmap(prior.cdf))(jnp.asarray(sample[:300], jnp.float32)))
    low, high = stated.low, stated.high
    near = 2e-5 * (high - low)  # a tabulated quantile is within 1e-5 of the support's width, float32 within 1e-6
    for n, row in enumerate(prior.marginals()):
        for m, exact in enumerate(row):
            assert (exact.cdf(values[:, n, m] + near[n, m]) >= u - 1e-6).all()  # 1e-6: u itself is a float32
            assert (exact.cdf(values[:, n, m] - near[n, m]) <= u + 1e-6).all()
            least, most = (exact.cdf(sample[:300, n, m] + side * near[n, m]) for side in (-1, 1))
            assert (least - 1e-5 <= below[:, n, m]).all() and (below[:, n, m] <= most + 1e-5).all()


@functools.cache
def scanned(place: int) -> tuple:
    """Draws [64, N, M] inside one scan: two keys and the first again, then the first with every number 1 % larger; and the family
    of both priors, stacked leaf by leaf."""
    prior, _, _ = drawn(place)
    family = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf * 1.01]), prior)
    members = jax.tree.map(lambda leaf: leaf[jnp.array([0, 0, 0, 1])], family)
    keys = jax.random.split(jax.random.key(1), 2)[jnp.array([0, 1, 0, 0])]
    draws = jax.jit(lambda members: jax.lax.scan(lambda carry, each: (carry, each[0].sample(each[1], 64)), 0, (members, keys))[1])
    return draws(members), family, keys[0]


@every_prior
def test_the_key_alone_decides_the_draws(place: int) -> None:
    (first, second, again, _), _, _ = scanned(place)
    assert (first == again).all() and (first != second).any()


@every_prior
def test_members_with_other_numbers_draw_what_they_would_alone(place: int) -> None:
    """Every number of a prior is a leaf, so that vmap runs over a family of priors."""
    (first, _, _, larger), family, key = scanned(place)
    together = jax.jit(jax.vmap(lambda prior: prior.sample(key, 64)))(family)
    np.testing.assert_allclose(together, [first, larger], rtol=1e-5, atol=1e-6)  # float32 in another order
    assert (together[0] != together[1]).any()


@every_prior
def test_values_said_to_be_independent_are_uncorrelated(place: int) -> None:
    prior, sample, _ = drawn(place)
    correlation = np.corrcoef(sample.reshape(PROFILES, -1).T) - np.eye(AGENTS * ITEMS)
    if not isinstance(prior, Coordinatewise):
        of_others = np.kron(1 - np.eye(AGENTS), np.ones((ITEMS, ITEMS)))
        correlation = correlation * of_others * prior.independent_agents
    # The standard error of a correlation of independent values is 1/√B.
    assert np.abs(correlation).max() <= 5 / np.sqrt(PROFILES)


@every_prior
def test_evaluation_uses_the_same_misreport_box(place: int) -> None:
    prior, _, _ = drawn(place)
    for ours, theirs in zip(prior.support(), prior.held_out().support(), strict=True):
        assert (ours == theirs).all()


@every_prior
def test_in_float64_a_prior_draws_float64(place: int) -> None:
    prior, _, _ = drawn(place)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), prior)
        shapes = jax.eval_shape(lambda prior, key: (prior.sample(key, 64), *prior.support(), prior.mean(), prior.variance(), prior.tail()),
                                wide, jax.random.key(3))
        assert [each.dtype for each in shapes] == [jnp.float64] * 6
