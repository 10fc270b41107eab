"""Auctions for the worst of several priors: what is exact of them, how nature weighs them, and how rules are judged."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from icsap_jax import config
from icsap_jax.auctions.maximin import random_price
from icsap_jax.auctions.myerson import optimal_revenue, revenue_curve
from icsap_jax.auctions.optimum import optimum
from icsap_jax.auctions.priors.marginals import Step
from icsap_jax.auctions.problem import Decision
from icsap_jax.bilevel.responses import Play
from icsap_jax.bilevel.robust import Robust
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import ConfigError
from icsap_jax.evaluation import evaluate

LOW, HIGH = {"kind": "uniform", "low": 0, "high": 1}, {"kind": "uniform", "low": 2, "high": 3}
EITHER = {"kind": "any_of", "parts": [LOW, HIGH]}
ONE, OR_FOUR = Step(np.array([1.0]), np.array([1.0])), Step(np.array([0.0, 4.0]), np.array([0.75, 0.25]))


def parsed(prior=EITHER, **more) -> config.Config:
    problem = {"kind": "auction", "bidders": 1, "items": 1, "prior": prior, **more.pop("problem", {})}
    return config.parse({"problem": problem, **more})


class Posted(nnx.Module):
    """The first item at a price of .4, which is learned."""

    def __init__(self):
        self.price = nnx.Param(jnp.full((), 0.4))

    def __call__(self, reports):
        price = self.price[...].astype(reports.dtype)
        given = (reports[..., :1] > price).astype(reports.dtype)
        return Decision(given, price * given[..., 0])


def test_a_random_price_earns_more_at_worst_than_any_price():
    """Always 1, or 4 with probability 1/4: at 1 with chance a both earn 1·a = a/4 + (1 − a), so that a = 4/7; a price of 1 earns 1/4."""
    found = random_price([ONE, OR_FOUR])
    assert found.value == pytest.approx(4 / 7, abs=1e-9)  # HiGHS
    assert found.most == pytest.approx(found.value, abs=1e-9)
    assert found.posted_value == pytest.approx(1 / 4, abs=1e-9)
    np.testing.assert_allclose(found.prices, [1.0, 4.0])
    np.testing.assert_allclose(found.chances, [4 / 7, 3 / 7], atol=1e-8)


def test_where_one_prior_is_worst_whatever_is_done_its_optimum_is_the_answer():
    """Values stochastically below the others' earn less at every price."""
    low = stats.uniform(0, 1)
    found = random_price([low, stats.uniform(0.2, 2), stats.uniform(0.5, 0.7)])
    assert found.value == pytest.approx(optimal_revenue([revenue_curve(low)]), rel=1e-8)  # a price refined to 1e-9
    assert found.mixture[0] == pytest.approx(1.0, abs=1e-8)


def test_the_worst_case_is_below_what_is_best_for_any_one_prior():
    model = parsed(problem={"bidders": 2}).problem
    found = optimum(*model.build(Path()), model)
    assert found["value"] is None
    assert found["upper_bound"] == pytest.approx(5 / 12, abs=1e-6)  # Myerson's for two values on [0, 1], by quadrature


def test_every_scenario_has_its_own_values_and_the_reports_of_all():
    problem, env = parsed().problem.build(Path())
    low, high = problem.scenarios(env)
    drawn = [np.asarray(problem.draw(each, jax.random.key(0), 50).types) for each in (low, high)]
    assert drawn[0].max() <= 1 and drawn[1].min() >= 2
    for each in (low, high):
        assert (float(problem.space(each, None).low[0, 0]), float(problem.space(each, None).high[0, 0])) == (0.0, 3.0)


class Worth:
    """An inner response under which a scenario is worth what its prior's mean is, times the rule."""

    def init(self, problem, env, numbers, key, batch):
        return ()

    def play(self, problem, env, rule, memory, key, step, batch, numbers):
        value = rule * env.prior.mean().mean()
        return Play(value, jnp.ones((1,)), {"revenue": value}, (), jnp.zeros((0,)), jnp.zeros((0,)))


def test_nature_comes_to_rest_where_weights_are_exponential_in_values():
    problem, env = parsed().problem.build(Path())
    search = Robust(inner=Worth())
    given = {"temperature": jnp.asarray(0.5), "forget": jnp.asarray(0.2), "inner": {}}
    memory = search.init(problem, env, given, jax.random.key(0), 8)
    for step in range(60):
        play = search.play(problem, env, jnp.ones(()), memory, jax.random.key(step), step, 8, given)
        memory = play.memory
    # Means are .5 and 2.5 and the unit, an item's mean value, 1.5; .8⁶⁰ of the start is left.
    wanted = jax.nn.softmax(-jnp.asarray([0.5, 2.5]) / (0.5 * 1.5))
    np.testing.assert_allclose(play.parts["scenario_weights"], wanted, atol=1e-5)
    assert float(play.parts["worst_scenario"]) == 0.5
    assert float(play.value) == pytest.approx(float(wanted @ jnp.asarray([0.5, 2.5])), abs=1e-5)
    slope = jax.grad(lambda rule: search.play(problem, env, rule, memory, jax.random.key(0), 0, 8, given).value)(jnp.ones(()))
    assert float(slope) == pytest.approx(float(play.value), abs=1e-5)  # Σ w·∇F, where F is linear in the rule
    assert float(play.gap[0]) == 2.0  # each scenario's is priced as if it were alone


def test_a_rule_is_judged_by_the_scenario_that_is_worst_for_it():
    """A price of .4 sells to 60 % of the low values and to all high ones; the rest of the weights do not matter to what is judged."""
    read = parsed(evaluation={"profiles": 2000, "gap_profiles": 20, "joint_grid": 41, "starts": 2, "steps": 4})
    problem, env = read.problem.build(Path())
    found = evaluate(read, problem, env, Rule.of(Posted()))
    low, high = found["details"]["scenarios"]
    # Against the exact optimum on the same profiles the standard error is told; five of them.
    assert low["objective"] == pytest.approx(0.4 * 0.6, abs=5 * low["std_error"] + 1e-9)
    assert high["objective"] == pytest.approx(0.4, abs=1e-6)  # all buy; the price is a float32
    assert found["objective"]["value"] == low["objective"] and found["details"]["worst_scenario"] == 0
    assert found["incentive_gap"]["max"] < 1e-9
    assert found["optimum"]["value"] == pytest.approx(0.25, rel=1e-8)
    assert found["objective"]["name"] == "revenue at worst"


def test_a_set_of_priors_is_trained_for_the_worst_unless_something_else_is_asked_for():
    assert parsed().training.response.kind == "robust"
    assert parsed().training.response.inner.kind == "exchange"
    menus = parsed(rule={"kind": "rochetnet"}).training.response
    assert (menus.kind, menus.inner.kind) == ("robust", "truthful")
    assert parsed(training={"response": {"kind": "candidates"}}).training.response.kind == "candidates"


@pytest.mark.parametrize(("data", "said"), [
    ({"prior": {"kind": "any_of", "parts": [LOW]}}, "problem.prior.parts"),
    ({"prior": {"kind": "any_of", "parts": [LOW, EITHER]}}, "write its parts beside the others"),
    ({"problem": {"budgets": EITHER}}, "only problem.prior can be any of several"),
    ({"rule": {"kind": "rochetnet"}, "training": {"response": {"kind": "robust", "inner": {"kind": "candidates"}}}}, "response.inner.kind"),
    ({"training": {"response": {"kind": "robust", "inner": {"kind": "truthful"}}}}, "training.response.inner.kind"),
])  # fmt: skip
def test_what_does_not_fit_is_said(data, said):
    with pytest.raises(ConfigError, match=said):
        parsed(**data)


def test_a_prior_that_is_known_has_no_worst_case():
    problem, env = parsed(LOW).problem.build(Path())
    with pytest.raises(ConfigError, match="here is one"):
        Robust(inner=Worth()).init(problem, env, {"inner": {}}, jax.random.key(0), 8)
