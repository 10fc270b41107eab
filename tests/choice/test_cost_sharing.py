"""Sharing the cost of a service: who is served and pays what, by hand; that nobody gains by lying; that learned shares serve more."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import evaluation
from icsap_jax.bilevel import fit
from icsap_jax.bilevel.deviations import Search, box_gap
from icsap_jax.bilevel.fit import Trainer
from icsap_jax.choice.cost_sharing import polish
from icsap_jax.choice.cost_sharing.baselines import baselines
from icsap_jax.choice.cost_sharing.optimum import first_best, most_served, optimum
from icsap_jax.choice.cost_sharing.problem import expected_cost
from icsap_jax.choice.cost_sharing.told import Table, details
from icsap_jax.config import ConfigError, parse

PEAKS = {"kind": "mixture", "weights": [0.5, 0.5], "parts": [
    {"kind": "truncated_normal", "mean": mean, "std": 0.1, "low": 0, "high": 1} for mean in (0.15, 0.85)]}  # fmt: skip


def configured(**problem):
    """The checked file of a problem."""
    rest = {name: problem.pop(name) for name in ("rule", "training", "evaluation") if name in problem}
    return parse({"problem": {"kind": "cost_sharing", "agents": 3, "cost": 1, **problem}, **rest})


def built(**problem):
    """(config, problem, env, rule) of one."""
    config = configured(**problem)
    found, env = config.problem.build(config.folder)
    return config, found, env, config.rule.build(found, env, jax.random.key(0))


def decided(rule, values):
    """(served, payments) of some values, as rows of numbers."""
    decision = rule(jnp.asarray(values)[..., None])
    return np.asarray(decision.allocation)[..., 0], np.asarray(decision.payment)


def test_equal_shares_serve_the_largest_set_that_agrees() -> None:
    """A project that costs 1, by hand: three at a third, two at a half, one at 1, or nobody."""
    *_, rule = built(rule={"kind": "serial"}, prior={"kind": "uniform", "high": 2})
    served, paid = decided(rule, [[0.4, 0.5, 0.9], [0.2, 0.5, 0.9], [0.2, 0.4, 0.9], [0.3, 0.4, 1.5], [0.2, 0.45, 0.49]])
    np.testing.assert_array_equal(served, [[1, 1, 1], [0, 1, 1], [0, 0, 0], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_allclose(paid, [[1 / 3] * 3, [0, 0.5, 0.5], [0, 0, 0], [0, 0, 1], [0, 0, 0]], atol=1e-6)


def test_an_order_makes_the_first_pay_what_it_costs_and_later_ones_what_they_add() -> None:
    """Costs .5, .8 and 1; the order is 2, 0, 1. Where agent 2 leaves, agent 0 is first."""
    *_, rule = built(cost=[0.5, 0.8, 1.0], rule={"kind": "sequential", "order": [2, 0, 1]})
    served, paid = decided(rule, [[0.4, 0.3, 0.6], [0.6, 0.35, 0.4], [0.4, 0.6, 0.4]])
    np.testing.assert_array_equal(served, [[1, 1, 1], [1, 1, 0], [0, 1, 0]])
    np.testing.assert_allclose(paid, [[0.3, 0.2, 0.5], [0.5, 0.3, 0.0], [0.0, 0.5, 0.0]], atol=1e-6)


def test_a_lottery_costs_what_it_serves_by_one_random_number() -> None:
    """Expected costs against the number served where u < x, over a grid of u; and a project costs its largest probability."""
    costs, x = np.array([0.5, 0.8, 1.0]), np.array([0.2, 0.9, 0.5])
    u = (np.arange(1000) + 0.5) / 1000
    count = (x > u[:, None]).sum(1)
    np.testing.assert_allclose(expected_cost(jnp.asarray(costs), jnp.asarray(x)), np.append(0.0, costs)[count].mean(), atol=1e-6)
    np.testing.assert_allclose(expected_cost(jnp.full(3, 2.0), jnp.asarray(x)), 1.8, atol=1e-6)


@pytest.mark.parametrize("data", [
    {"rule": {"kind": "serial"}, "cost": [0.5, 0.9, 1.1]}, {"rule": {"kind": "sequential"}, "cost": [0.5, 0.8, 1.0]},
    {"rule": {"kind": "unanimous", "parts": 3, "tried": 2}},
])  # fmt: skip
def test_unanimous_sets_balance_and_leave_nothing_to_lies(data) -> None:
    """In float64: no gap under the strong search, what is collected is the cost, nobody loses. Weights are far from equal."""
    _, problem, env, rule = built(prior={"kind": "uniform", "high": 1.5}, **data)
    rule = type(rule)(params=jax.tree.map(lambda leaf: 20 * leaf, rule.params), graph=rule.graph)
    with jax.enable_x64(True):
        env64, rule64 = evaluation.as_judged(problem, env, rule)
        draw = problem.draw(env64, jax.random.key(5), 100)
        gap = box_gap(problem, Search(joint=None, single=41, starts=4, steps=8), env64, rule64, draw)
        decision = rule64(draw.types)
        beyond = decision.payment.sum(-1) - expected_cost(env64.costs, decision.allocation[..., 0])
        left = problem.utility(env64, draw, decision, draw.types)
    assert 0 < np.asarray(decision.allocation).mean() < 1
    assert gap.max() < 1e-9
    assert np.abs(beyond).max() < 1e-6  # costs are float32 in env, and the decimals of the file in the rule
    assert np.asarray(left).min() >= -1e-12


def test_shares_never_fall_as_others_leave() -> None:
    """Cross-monotonicity of learned shares, on every set of four and each of its members."""
    *_, rule = built(agents=4, rule={"kind": "unanimous", "parts": 3})
    from flax import nnx

    module = nnx.merge(rule.graph, jax.tree.map(lambda leaf: 20 * leaf, rule.params))
    sets = np.array(list(np.ndindex(2, 2, 2, 2)))[1:].astype(np.float32)
    shares = np.asarray(module.shares(jnp.asarray(sets)))
    np.testing.assert_allclose((shares * sets).sum(1), 1.0, atol=1e-5)
    by_set = {tuple(row): each for row, each in zip(sets.tolist(), shares, strict=True)}
    for row, each in by_set.items():
        for gone in np.flatnonzero(row):
            smaller = tuple(np.where(np.arange(4) == gone, 0.0, row).tolist())
            if any(smaller):
                stay = np.flatnonzero(smaller)
                assert (by_set[smaller][stay] >= each[stay] - 1e-5).all()


def test_learned_shares_serve_more_than_equal_ones_where_values_have_two_peaks(monkeypatch) -> None:
    """Wang et al. 2021 find so for such priors. A standard error is below .01; equal shares are among what is learned from."""
    config = configured(prior=PEAKS, objective="served", rule={"kind": "unanimous", "parts": 2, "tried": 2})
    problem, env = config.problem.build(config.folder)
    training = config.training.model_copy(update={"steps": 150, "batch": 256})
    trainer = Trainer.of(problem, training, starts=True)
    rules = jax.jit(lambda key: config.rule.hook("starts")(config.rule, problem, env, key))(jax.random.key(0))
    state, _ = fit.run(trainer, env, fit.stack([trainer.init(env, rules, jax.random.key(1), training)]), training.steps)
    rule, worth = evaluation.best_start(config, problem, env, fit.member(state, 0).rule)
    monkeypatch.setattr(polish, "TRIES", 40)
    rule, done = polish.polish(problem, env, config.problem, config.rule, rule)
    serial = baselines(problem, env, config.problem)["serial"]
    assert done["value_after_polish"] >= max(done["value_before_polish"], serial - 1e-4)
    told = details(problem, env, config.problem, config.rule, rule)["cost_sharing"]
    assert len(worth["start_values"]) == 2
    assert told["served"] > serial + 0.05
    assert told["served"] <= optimum(problem, env, config.problem)["upper_bound"]
    assert told["worst_imbalance"] < 1e-6
    np.testing.assert_allclose(sum(told["shares_of_all"]), 1.0, atol=1e-6)


def test_equal_shares_are_worth_what_integration_says() -> None:
    """Two agents, a cost of 1, values U[0, 1]: both are served where both values are above 1/2, worth 1/4·(3/4 + 3/4 − 1)."""
    config, problem, env, _ = built(agents=2)
    found = baselines(problem, env, config.problem)
    np.testing.assert_allclose(found["serial"], 0.125, atol=1e-4)
    bound = optimum(problem, env, config.problem)
    np.testing.assert_allclose(bound["upper_bound"], 1 / 6, atol=1e-4)  # E max(0, v₁ + v₂ − 1)
    assert bound["value"] is None


def test_a_lone_agent_is_served_first_best() -> None:
    """By a price that is the cost: E max(0, v − .6) = .08, reached by equal shares, which are that price."""
    config, problem, env, _ = built(agents=1, cost=0.6)
    found = optimum(problem, env, config.problem)
    np.testing.assert_allclose([found["value"], baselines(problem, env, config.problem)["serial"]], 0.08, atol=1e-4)


def test_the_bound_on_how_many_are_served_mixes_what_can_be_paid_for() -> None:
    """Values .8 and .1 at a cost of .5 for one and 1 for two: one is worth .3 more than it costs, two .1 less, so that three quarters of
    the time both may be served. Against a linear programme over lotteries."""
    from icsap_jax.exact.lp import solve

    rng = np.random.default_rng(0)
    values, costs = rng.uniform(size=(20, 3)), np.array([0.5, 0.9, 1.6])
    found = most_served(values, costs)
    for row, each in zip(values, found, strict=True):
        worth = np.append(0.0, np.cumsum(-np.sort(-row)) - costs)
        lottery = solve(np.arange(4.0), at_most=(-worth[None], [0.0]), equal=(np.ones((1, 4)), [1.0]), maximise=True)
        np.testing.assert_allclose(each, lottery.value, atol=1e-6)
    np.testing.assert_allclose(most_served(np.array([[0.8, 0.1]]), np.array([0.5, 1.0])), 1.75, atol=1e-12)
    np.testing.assert_allclose(first_best(np.array([[0.8, 0.1]]), np.array([0.5, 1.0])), 0.3, atol=1e-12)


def test_a_budget_that_does_not_balance_is_missed_from_both_sides() -> None:
    """On every profile by how far the two are apart; on average with a sign of its own for each side."""
    _, problem, env, rule = built(rule={"kind": "costnet", "hidden": [4]})
    draw = problem.draw(env, jax.random.key(1), 8)
    decision = problem.decide(env, rule, None, draw.types)
    signed = np.asarray(problem.score(env, draw, decision, draw.types).constraints["balance"])
    beyond = np.asarray(decision.payment.sum(-1) - expected_cost(env.costs, decision.allocation[..., 0]))
    np.testing.assert_allclose(np.maximum(signed, 0).sum(-1), np.abs(beyond), atol=1e-6)
    _, average, env, _ = built(balance="on_average", rule={"kind": "costnet", "hidden": [4]})
    told = average.score(env, draw, decision, draw.types)
    assert average.averages == ("deficit", "surplus")
    np.testing.assert_allclose(told.averages["deficit"], -beyond, atol=1e-6)
    np.testing.assert_allclose(told.averages["surplus"], beyond, atol=1e-6)
    assert not told.constraints


def test_a_table_tells_cost_and_what_is_left_over() -> None:
    """Two of three are served at a half each; a value outside the prior is refused by its column."""
    config, problem, env, rule = built(rule={"kind": "serial"})
    table = Table(problem, env)
    values = np.array([[0.2, 0.6, 0.9]])
    (reports,) = table.inputs(values, lambda *_: AssertionError())
    decision = rule(jnp.asarray(reports))
    answers = {"allocation": np.asarray(decision.allocation), "payment": np.asarray(decision.payment)}
    np.testing.assert_allclose(table.outputs(values, answers), [[0, 0, 1, 0.5, 1, 0.5, 1.0, 0.0]], atol=1e-6)
    with pytest.raises(ValueError, match=r"agent2_value .*outside the support"):
        table.inputs(np.array([[0.2, 1.6, 0.9]]), lambda row, column, text: ValueError(f"{column} {text}"))
    assert "shares_of_all" not in details(problem, env, config.problem, config.rule, rule)["cost_sharing"]


@pytest.mark.parametrize(("problem", "said"), [
    ({"cost": -1}, "cost .*at least 0"),
    ({"cost": [1, 2]}, r"cost .*shape \[2\].*\[3\]: of serving one agent"),
    ({"cost": [1, 0.9, 1.2]}, "cost .*not fall"),
    ({"cost": [0.1, 0.4, 1.2], "rule": {"kind": "serial"}}, "asks for less of each as others leave"),
    ({"cost": [0.1, 0.4, 0.5], "rule": {"kind": "sequential"}}, "asks for less of later agents"),
    ({"rule": {"kind": "sequential", "order": [0, 0, 1]}}, "name each of the 3 agents once"),
    ({"cost": [0.5, 0.8, 1.0], "rule": {"kind": "unanimous"}}, "depends on how many are"),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(problem, said) -> None:
    """Where, what is there, and what would be right."""
    with pytest.raises(ConfigError, match=said):
        configured(**problem)


def test_what_is_served_is_never_worth_less_than_nothing() -> None:
    """Rules charge a share of what it is worth."""
    config, problem, env, _ = built(prior={"kind": "uniform", "low": -1, "high": 1})
    with pytest.raises(ConfigError, match=r"reaches down to -1"):
        config.problem.hook("check")(problem, env, config)
