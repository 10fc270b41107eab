"""Affine maximisers: what they charge, that nobody gains by lying under any of them, and that no way to find their maxima is another
rule than the rest."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from icsap_jax.auctions import affine
from icsap_jax.auctions.rules.affine import counts, maximiser
from icsap_jax.auctions.rules.affine.maximiser import Menu, charged
from icsap_jax.auctions.rules.affine.menus import deterministic
from icsap_jax.bilevel import fit
from icsap_jax.bilevel.deviations import double
from icsap_jax.config import ConfigError, parse

UNIFORM = {"kind": "uniform", "low": 0, "high": 1}
KINDS = {
    "affine_maximiser": {}, "vvca": {}, "affine_by_count": {}, "lottery_ama": {"menu_size": 12},
    "amenunet": {"menu_size": 8, "embedding": 4, "width": 8, "heads": 2, "layers": 1},
}  # fmt: skip
ROUNDING = 1e-12  # float64 sums of a few numbers of size one
random = np.random.default_rng(0)
# Compiling is most of what these tests cost.
decided = jax.jit(maximiser.decided, static_argnames="scores")


@pytest.fixture(autouse=True)
def _in_double():
    with jax.enable_x64(True):
        yield


def config(kind, bidders=2, items=2, valuation="additive", training=None, **settings):
    """A problem file for an auction with values uniform on [0, 1]."""
    problem = {"kind": "auction", "bidders": bidders, "items": items, "valuation": valuation, "prior": UNIFORM}
    return parse({"problem": problem, "rule": {"kind": kind, **KINDS[kind], **settings}, "training": training})


def built(kind):
    """(problem, env, rule), its parameters moved away from where they begin."""
    file = config(kind)
    problem, env = file.problem.build(file.folder)
    fresh = file.rule.build(problem, env, jax.random.key(0)).astype(jnp.float64)
    params = jax.tree.map(lambda leaf: leaf + 0.3 * random.standard_normal(leaf.shape), fresh.params)
    return problem, jax.tree.map(jnp.asarray, double(env)), replace(fresh, params=params)


def some(agents, items, valuation, profiles=40):
    """(all allocations, weights, boosts with 0 for nothing sold, values of the goods)."""
    menu = affine.allocations(agents, items, valuation)
    boosts = np.append(0.0, random.normal(-0.3, 0.3, len(menu) - 1))
    return menu, random.uniform(0.5, 2.0, agents), boosts, random.random((profiles, agents, menu.shape[-1]))


def as_menu(menu, weights, boosts):
    """The menu without nothing sold, which it has anyway."""
    return Menu(*map(jnp.asarray, (menu[1:], weights, boosts[1:])))


@pytest.mark.parametrize(("agents", "valuation"), [(1, "additive"), (3, "unit_demand"), (2, "combinatorial")])
def test_a_bidder_pays_what_it_costs_the_others(agents, valuation):
    menu, weights, boosts, values = some(agents, 2, valuation)
    found = decided(as_menu(menu, weights, boosts), jnp.asarray(values)).payment.sum(1)
    np.testing.assert_allclose(found, affine.revenue(affine.worth(values, menu), weights, boosts), atol=ROUNDING)


def test_even_weights_and_no_boosts_are_a_second_price_auction_for_each_item():
    menu, _, _, values = some(2, 2, "additive")
    found = decided(as_menu(menu, np.ones(2), np.zeros(len(menu))), jnp.asarray(values)).payment.sum(1)
    np.testing.assert_allclose(found, affine.vcg_revenue(values, menu), atol=ROUNDING)
    np.testing.assert_allclose(found, values.min(1).sum(1), atol=ROUNDING)  # of two bidders the lower value, item by item


@pytest.mark.parametrize("temperature", [None, 0.1])
def test_a_menu_taken_in_blocks_decides_as_one_taken_whole(temperature):
    menu, weights, boosts, values = some(2, 3, "additive")
    whole, blocks = (decided(as_menu(menu, weights, boosts), jnp.asarray(values), temperature, scores) for scores in (2**24, 3 * 40 * 4))
    np.testing.assert_allclose(whole.payment, blocks.payment, atol=ROUNDING)
    np.testing.assert_allclose(whole.allocation, blocks.allocation, atol=ROUNDING)


def test_blocks_of_a_menu_teach_what_the_whole_would():
    menu, weights, boosts, values = some(2, 2, "additive")

    def revenue(menu, scores):
        return maximiser.decided(menu, jnp.asarray(values), jnp.asarray(0.1), scores).payment.sum()

    whole, blocks = (jax.jit(jax.grad(revenue), static_argnums=1)(as_menu(menu, weights, boosts), scores) for scores in (2**24, 3 * 40 * 3))
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(blocks), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)  # sums over 40 profiles of slopes of size 1 / temperature


def test_a_cold_choice_is_the_best_choice():
    menu, weights, boosts, values = some(2, 2, "additive")
    best, cold = (decided(as_menu(menu, weights, boosts), jnp.asarray(values), heat) for heat in (None, jnp.asarray(1e-7)))
    np.testing.assert_allclose(best.payment, cold.payment, atol=1e-6)  # scores as near as 10 temperatures are still mixed


@pytest.mark.parametrize("agents", [1, 3])
def test_handing_out_items_one_by_one_finds_the_best_of_all_allocations(agents):
    menu, weights, _, values = some(agents, 3, "additive")
    vectors = counts.vectors(agents, 3)
    boosts = np.append(0.0, random.normal(-0.3, 0.3, len(vectors) - 1))
    each = boosts[(menu.sum(2)[:, None] == vectors[None]).all(-1).argmax(1)]
    weighted = jnp.asarray(values * weights[None, :, None])
    found = jax.jit(lambda: charged(counts.chosen(jnp.asarray(boosts), weighted), weighted, jnp.asarray(weights)))()
    listed = decided(as_menu(menu, weights, each), jnp.asarray(values))
    np.testing.assert_allclose(found.payment, listed.payment, atol=ROUNDING)
    np.testing.assert_allclose(found.allocation, listed.allocation, atol=ROUNDING)
    softly = jax.jit(lambda: counts.softly_chosen(jnp.asarray(boosts), weighted, jnp.asarray(0.1)))()
    np.testing.assert_allclose(softly.allocation, decided(as_menu(menu, weights, each), jnp.asarray(values), 0.1).allocation, atol=ROUNDING)


@partial(jax.jit, static_argnames="problem")
def gains(problem, env, rule, lies):
    """(utility of the truth [B, N], what each lie [K, B, T] adds to it for each bidder [K, B, N])."""
    draw = problem.draw(env, jax.random.key(1), lies.shape[1])
    apart = jnp.eye(problem.agents, dtype=bool)[:, None, None, :, None]  # [N′, 1, 1, N, 1]
    reports = jnp.where(apart, lies[None, :, :, None], draw.types[None, None])
    reports = jnp.concatenate([draw.types[None], reports.reshape(-1, *draw.types.shape)])
    utility = problem.utility(env, draw, problem.decide(env, rule, None, reports), reports)
    lied = utility[1:].reshape(problem.agents, *lies.shape[:2], problem.agents)
    return utility[0], jnp.diagonal(lied, axis1=0, axis2=3) - utility[0][None]


@pytest.mark.parametrize("kind", KINDS)
def test_no_lie_pays_whatever_the_parameters(kind):
    truth, gained = gains(*built(kind), jnp.maximum(random.uniform(-0.2, 1.5, (32, 24, 2)), 0.0))
    assert gained.max() <= ROUNDING
    assert truth.min() >= -ROUNDING
    assert truth.max() > 0.0  # something is sold


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_trained_in_single_precision_is_judged_in_double(kind):
    file = config(kind)
    problem, env = file.problem.build(file.folder)
    rule = jax.eval_shape(lambda key: file.rule.build(problem, env, key), jax.random.key(0))  # as a run builds it, compiled
    reports = jax.ShapeDtypeStruct((3, 2, 2), jnp.float64)
    for precision, wide in ((jnp.float32, False), (jnp.float64, True)):
        with jax.enable_x64(wide):
            small = jax.tree.map(lambda leaf, kept=precision: jax.ShapeDtypeStruct(leaf.shape, kept), rule)
            found = jax.eval_shape(lambda rule, reports: rule(reports).payment, small, reports.update(dtype=precision))
            assert found.dtype == precision


def test_boosts_of_a_vvca_are_sums_of_what_each_bidder_gets():
    _, _, rule = built("vvca")
    module = nnx.merge(rule.graph, rule.params)
    by_bundle = dict(zip(((0, 1), (1, 0), (1, 1)), np.asarray(module.boosts[...]).T, strict=True))  # in the rule's order
    found = np.asarray(module.menu().boosts) / module.unit
    for allocation, boost in zip(deterministic(2, 2, "additive"), found, strict=True):
        assert boost == pytest.approx(sum(by_bundle[tuple(given)][i] for i, given in enumerate(allocation) if given.any()), abs=ROUNDING)


def test_what_is_seen_decides_the_menu_profile_by_profile():
    contexts = {"kind": "discrete", "bidders": 3, "items": 3}
    file = parse({"problem": {"kind": "auction", "bidders": 2, "items": 2, "prior": UNIFORM, "contexts": contexts},
                  "rule": {"kind": "amenunet", **KINDS["amenunet"]}})
    problem, env = file.problem.build(file.folder)
    rule = file.rule.build(problem, env, jax.random.key(0)).astype(jnp.float64)
    reports = jnp.asarray(random.random((3, 2, 2, 2)))  # three reports in each of two auctions
    seen = jnp.asarray([[0, 1], [2, 0]]), jnp.asarray([[1, 1], [0, 2]])
    payment = jax.jit(lambda reports, *seen: rule(reports, *seen).payment)
    together = payment(reports, *seen)
    np.testing.assert_allclose(payment(reports[:, ::-1], *(part[::-1] for part in seen))[:, ::-1], together, atol=ROUNDING)
    assert np.abs(payment(reports, *(part[::-1] for part in seen)) - together).max() > 1e-3  # as large as payments are


def test_two_bidders_for_one_item_learn_the_optimal_reserve():
    file = config("affine_maximiser", items=1, training={"steps": 200, "batch": 256, "learning_rate": 0.02, "response": {
        "kind": "truthful", "temperature": 0.1, "temperature_end": 0.03}})
    with jax.enable_x64(False):
        problem, env = file.problem.build(file.folder)
        trainer = fit.Trainer.of(problem, file.training)
        start = trainer.init(env, file.rule.build(problem, env, jax.random.key(0)), jax.random.key(0), file.training)
        state, _ = fit.run(trainer, env, fit.stack([start]), 200)
    boosts = 0.5 * np.asarray(fit.member(state, 0).rule.params["boosts"].get_value())
    np.testing.assert_allclose(boosts, -0.5, atol=0.05)  # Myerson's reserve; revenue is flat there: 0.05 off costs 0.0025 of .4167


@pytest.mark.parametrize(("kind", "changes", "told"), [
    ("vvca", {"bidders": 3, "items": 10}, "lists every allocation, of which there are 1,048,576 for 3 bidders and 10 items"),
    ("affine_by_count", {"valuation": "unit_demand"}, "adds up the values of items, and these are unit_demand"),
    ("affine_by_count", {"bidders": 10, "items": 10}, "may in 184,756 ways"),
    ("lottery_ama", {"menu_size": 10**10}, "make one of these smaller: rule.menu_size, training.batch"),
    ("amenunet", {"heads": 3}, "should divide the width, 8"),
    ("lottery_ama", {"menu_size": 0}, "menu_size = 0 should be greater than or equal to 1"),
])  # fmt: skip
def test_what_cannot_serve_says_why_and_what_can(kind, changes, told):
    with pytest.raises(ConfigError) as refusal:
        config(kind, **changes)
    assert told in str(refusal.value)
    if "lists" in told:
        assert "affine_by_count" in str(refusal.value)
        assert "lottery_ama" in str(refusal.value)
