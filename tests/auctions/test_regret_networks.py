"""Networks kept honest by the price of the gap that treat bidders alike and items alike, and what each is told."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from icsap_jax.auctions.problem import Draw
from icsap_jax.auctions.rules.regret.contest import beaten, strongest_rival
from icsap_jax.auctions.rules.regret.exchangeable import Exchangeable
from icsap_jax.config import ConfigError, parse

quickly = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
SMALL = {
    "equivariant": {"kind": "equivariant", "hidden": [6]},
    "regretformer": {"kind": "regretformer", "channels": 4, "heads": 2, "head_width": 2},
    "contest": {"kind": "contest", "hidden": [6]},
}
ROUNDING = 1e-4  # float32 sums in another order, divided by a temperature and exponentiated


@cache
def built(kind: str, bidders: int, items: int, valuation: str = "additive", high: float | tuple = 1.0):
    """(problem, env, rule with somewhat more than its first weights, so that it depends on reports)."""
    prior = {"kind": "uniform", "low": 0, "high": list(high) if isinstance(high, tuple) else high}
    problem = {"kind": "auction", "bidders": bidders, "items": items, "valuation": valuation, "prior": prior}
    config = parse({"problem": problem, "rule": SMALL[kind]})
    problem, env = config.problem.build(config.folder)
    rule = quickly(lambda key: config.rule.build(problem, env, key))(jax.random.key(0))
    return problem, env, replace(rule, params=jax.tree.map(lambda leaf: 1.2 * leaf, rule.params))


@quickly
def decide(rule, reports):
    """The decision, compiled."""
    return rule(reports)


@pytest.mark.parametrize("valuation", ["additive", "unit_demand"])
@pytest.mark.parametrize("kind", SMALL)
def test_permuting_bidders_and_items_permutes_the_decision(kind: str, valuation: str) -> None:
    """Nobody is favoured by the place it stands in, and no item either; and the decision does depend on who says what."""
    _, _, rule = built(kind, 3, 2, valuation)
    reports = jax.random.uniform(jax.random.key(1), (16, 3, 2))
    bidders, items = np.array([2, 0, 1]), np.array([1, 0])
    plain, moved = decide(rule, reports), decide(rule, reports[:, bidders][:, :, items])
    np.testing.assert_allclose(moved.allocation, plain.allocation[:, bidders][:, :, items], atol=ROUNDING)
    np.testing.assert_allclose(moved.payment, plain.payment[:, bidders], atol=ROUNDING)
    assert np.asarray(plain.payment).std() > 1e-4


@pytest.mark.parametrize("kind", SMALL)
def test_the_same_parameters_serve_two_bidders_and_three(kind: str) -> None:
    """Trained on 2×2, asked about 3×4: the parameters fit as they are, and a bidder who wants nothing among three is no bidder at all in
    how many parameters there are."""
    _, _, small = built(kind, 2, 2)
    problem, env, large = built(kind, 3, 4)
    assert jax.tree.map(jnp.shape, small.params) == jax.tree.map(jnp.shape, large.params)
    served = replace(large, params=small.params)
    decision = decide(served, problem.draw(env, jax.random.key(2), 8).types)
    assert decision.allocation.shape == (8, 3, 4)
    assert float(problem.infeasibility(env, decision)) < ROUNDING


def test_one_product_is_the_sum_of_its_parts() -> None:
    """The two ways in which an exchangeable layer is computed, by size, give the same; and it is the formula, entry by entry."""
    layer = Exchangeable(2, 3, nnx.Rngs(0))
    entries = jax.random.normal(jax.random.key(4), (5, 3, 4, 2))
    parts, product = quickly(lambda entries: (layer.in_parts(entries), layer.as_one_product(entries)))(entries)
    np.testing.assert_allclose(product, parts, atol=1e-5)
    x = np.asarray(entries)[1]
    seen = [x[2, 1], x[2].mean(0), x[:, 1].mean(0), x.mean((0, 1))]
    kernels = [each.kernel[...] for each in (layer.entry, layer.bidder, layer.item, layer.everyone)]
    by_hand = sum(np.asarray(one @ kernel) for one, kernel in zip(seen, kernels, strict=True))
    np.testing.assert_allclose(np.asarray(parts)[1, 2, 1], by_hand, atol=1e-5)  # the biases begin at 0


@pytest.mark.parametrize("kind", SMALL)
def test_items_of_different_priors_are_told_apart(kind: str) -> None:
    """One item is worth up to 1, the other up to 4: reports in the middle of each are not the same thing to the network."""
    _, _, rule = built(kind, 2, 2, "additive", (1.0, 4.0))
    decision = decide(rule, jnp.asarray([[[0.5, 2.0], [0.5, 2.0]]]))
    first, second = np.asarray(decision.allocation)[0, 0]
    assert abs(first - second) > 1e-4


@pytest.mark.parametrize("valuation", ["additive", "unit_demand"])
def test_a_contest_with_prices_of_its_own_is_truthful(valuation: str) -> None:
    """Prices, temperatures and shares that do not depend on reports: the slope of a bidder's utility in its report is its share of each
    item, so that no report gains more than the truth. Only biases are left of the last layer; the first price is half the support."""
    problem, env, rule = built("contest", 3, 2, valuation)
    flat = jax.tree.map(jnp.zeros_like, rule.params)
    rule = replace(rule, params=flat)
    draw = problem.draw(env, jax.random.key(3), 16)
    tried = jnp.linspace(0.0, 1.0, 6)
    lies = jnp.stack(jnp.meshgrid(tried, tried), -1).reshape(-1, 1, 1, 2)
    reports = jnp.broadcast_to(draw.types, (36, 16, 3, 2)).at[:, :, :1].set(jnp.broadcast_to(lies, (36, 16, 1, 2)))
    honest = problem.utility(env, draw, decide(rule, draw.types), draw.types)[:, 0]
    lying = problem.utility(env, Draw(weight=draw.weight, types=draw.types), decide(rule, reports), reports)[..., 0]
    assert float((lying - honest[None]).max()) < ROUNDING
    assert float(honest.max()) > 0.05  # who values both items highly gains something


def test_a_contest_knows_whom_to_beat() -> None:
    """The strongest rival for an item and the softened best of rivals and nobody, by hand; a lone bidder has to beat nobody."""
    values = jnp.asarray([[[0.2, 0.9], [0.5, 0.1], [0.7, 0.3]]])
    rival, best, alone, unbeaten = quickly(lambda v: (strongest_rival(v), beaten(v), strongest_rival(v[:, :1]), beaten(v[:, :1])))(values)
    np.testing.assert_allclose(rival, [[[0.7, 0.3], [0.7, 0.9], [0.5, 0.9]]])
    np.testing.assert_allclose(best[0, 0, 0], np.log(1 + np.exp(0.5) + np.exp(0.7)), rtol=1e-6)
    np.testing.assert_allclose(unbeaten, np.zeros((1, 1, 2)), atol=1e-7)
    assert (np.asarray(alone) == 0.0).all()


@pytest.mark.parametrize("kind", SMALL)
def test_bundles_are_refused_with_those_that_can(kind: str) -> None:
    """Combinatorial values are not entries of a matrix of bidders and items."""
    problem = {"kind": "auction", "bidders": 2, "items": 2, "valuation": "combinatorial", "prior": {"kind": "uniform", "low": 1, "high": 2}}
    with pytest.raises(ConfigError, match=rf"'{kind}' treats items alike one by one.*regretnet"):
        parse({"problem": problem, "rule": SMALL[kind]})


def test_a_network_too_large_for_memory_is_refused() -> None:
    """The sentence names what to make smaller."""
    problem = {"kind": "auction", "bidders": 50, "items": 500, "prior": {"kind": "uniform", "low": 0, "high": 1}}
    with pytest.raises(ConfigError, match=r"memory.*rule\.hidden"):
        parse({"problem": problem, "rule": {"kind": "contest", "hidden": [10000, 10000]}})
