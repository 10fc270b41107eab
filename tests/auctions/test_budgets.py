"""Bidders who cannot pay what they value: what they may report, what they are charged, and the best that can be had of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from icsap_jax import config
from icsap_jax.auctions import che_gale
from icsap_jax.auctions.myerson import optimal_revenue, revenue_curves
from icsap_jax.auctions.optimum import optimum
from icsap_jax.auctions.priors.marginals import Step
from icsap_jax.auctions.problem import RUIN, Decision
from icsap_jax.auctions.table import Table
from icsap_jax.bilevel.deviations import Search, box_gap, double
from icsap_jax.bilevel.types import Draw, Rule
from icsap_jax.config import ConfigError
from icsap_jax.run import posed

UNIFORM = {"kind": "uniform", "low": 0, "high": 1}
EVEN = stats.uniform(0, 1)


def parsed(**problem) -> config.Config:
    return config.parse({"problem": {"kind": "auction", "bidders": 2, "items": 1, "prior": UNIFORM, "budgets": UNIFORM, **problem}})


class Posted(nnx.Module):
    """A lone bidder may have a share of the item at a price of .6 for the whole, as large as it can pay."""

    def __init__(self, problem):
        self.problem = problem

    def __call__(self, reports):
        whole = (reports[..., :1] > 0.6).astype(reports.dtype)
        return self.problem.affordable(reports, Decision(whole, 0.6 * whole[..., 0]))


def test_one_bidders_optimum_is_the_known_one(case):
    model = parsed(bidders=1).problem
    found = optimum(*model.build(Path()), model)
    assert found["value"] == pytest.approx(case("che_gale_1x1")["optimum"], abs=2e-5)  # the extrapolations differ by as much
    assert found["value"] < found["upper_bound"] == pytest.approx(0.25, abs=1e-8)  # a posted price, were nobody poor


def test_two_bidders_bracket_holds_and_finer_grids_close_in(case):
    known, brackets = case("che_gale_2x1")["optimum"], []
    for cells in ((4, 2), (6, 3)):
        lower, upper = che_gale.bracket(che_gale.grid(EVEN, EVEN, *cells), 2)
        assert 0.99 * upper < lower <= upper + 1e-7  # HiGHS
        brackets.append((lower + upper) / 2)
    assert abs(brackets[1] - known) < abs(brackets[0] - known) < 0.03
    assert brackets[1] == pytest.approx(known, rel=0.02)


def test_budgets_that_nobody_meets_change_nothing():
    law = Step(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.3, 0.2]))
    found = che_gale.revenue(law, Step(np.array([3.0, 9.0]), np.array([0.5, 0.5])), 2)
    assert found.value == pytest.approx(optimal_revenue(revenue_curves([law, law])), abs=1e-7)  # HiGHS
    assert found.lower == pytest.approx(found.upper, abs=1e-7)


def test_shares_at_one_price_give_no_reason_to_lie_about_values_or_budgets():
    problem, env = parsed(bidders=1).problem.build(Path())
    with jax.enable_x64(True):
        env = jax.tree.map(jnp.asarray, double(problem.held_out(env)))
        draw = problem.draw(env, jax.random.key(0), 100)
        gap = box_gap(problem, Search(joint=51, single=11, starts=2, steps=4), env, Rule.of(Posted(problem)), draw)
    assert gap.max() < 1e-12


def test_a_payment_beyond_the_true_budget_is_ruin_when_judged_and_dear_in_training():
    problem, env = parsed(bidders=1).problem.build(Path())
    types = jnp.asarray([[[0.9, 0.2]], [[0.9, 0.7]]])
    rich = jnp.asarray([[[0.9, 1.0]], [[0.9, 1.0]]])
    decision = problem.decide(env, Rule.of(Posted(problem)), None, rich)
    draw = Draw(weight=jnp.full((2,), 0.5), types=types)
    np.testing.assert_allclose(problem.utility(problem.held_out(env), draw, decision, rich)[:, 0], [RUIN, 0.3], rtol=1e-6)  # float32
    np.testing.assert_allclose(problem.utility(env, draw, decision, rich)[:, 0], [0.3 - float(env.overspent) * 0.4, 0.3], rtol=1e-5)


def test_a_learned_rule_never_charges_more_than_is_said_to_be_there():
    read = parsed(items=2, valuation="unit_demand")
    problem, env = posed(read)
    rule = read.rule.build(problem, env, jax.random.key(0))
    reports = jax.random.uniform(jax.random.key(1), (200, 2, 3)) ** 3  # many of them poor
    rule = replace(rule, params=jax.tree.map(lambda leaf: 3 * leaf, rule.params))
    decision, reports = jax.tree.map(np.asarray, (jax.jit(problem.decide)(env, rule, None, reports), reports))
    assert (decision.payment <= reports[..., -1]).all()
    assert (decision.payment == reports[..., -1]).any()  # some are cut down to it
    worth = (decision.allocation * reports[..., :2]).sum(-1)
    assert (worth - decision.payment).min() > -1e-6  # float32: who is cut down keeps its share's price


def test_bids_in_a_table_come_with_budgets():
    problem, env = parsed(items=2, valuation="combinatorial", synergy={"kind": "uniform", "low": 0, "high": 1}).problem.build(Path())
    table = Table(problem, env)
    assert table.columns[:4] == ["bidder1_item1", "bidder1_item2", "bidder1_bundle12", "bidder1_budget"]
    (reports,) = table.inputs(np.array([[0.25, 0.5, 1.0, 0.75, 0, 0, 0, 0]]), lambda row, column, text: AssertionError(text))
    np.testing.assert_array_equal(reports[0, 0], [0.25, 0.5, 0.25, 0.75])
    with pytest.raises(ValueError, match="bidder2_budget: the budget 2 is outside"):
        table.inputs(np.array([[0, 0, 0, 0, 0, 0, 0, 2.0]]), lambda row, column, text: ValueError(f"{column}: {text}"))


def test_a_rule_that_knows_nothing_of_budgets_is_refused_and_one_that_does_is_named():
    with pytest.raises(ConfigError, match=r"knows nothing of budgets; rules that can serve this problem are .*regretnet"):
        config.parse({**parsed(bidders=1).resolved(), "rule": {"kind": "rochetnet"}, "training": {}, "evaluation": {}})


def test_a_budget_below_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"problem\.budgets reaches down to -1; a budget should be at least 0"):
        posed(parsed(budgets={"kind": "uniform", "low": -1, "high": 1}))
    with pytest.raises(ConfigError, match=r"problem\.budgets\.low = "):
        parsed(budgets={"kind": "uniform", "low": [0, 0, 0], "high": 1})
