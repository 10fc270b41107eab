"""What a designer may want of an auction: aims weighed, items that are worth something unsold, floors and ceilings."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats
from scipy.optimize import linprog
from typer.testing import CliRunner

from icsap_jax import config
from icsap_jax.auctions import aims
from icsap_jax.auctions.baselines import baselines
from icsap_jax.auctions.optimum import optimum
from icsap_jax.auctions.priors.marginals import Step
from icsap_jax.auctions.problem import Decision
from icsap_jax.bilevel.fit import Trainer, member, run
from icsap_jax.bilevel.types import Rule
from icsap_jax.cli import app
from icsap_jax.config import ConfigError
from icsap_jax.run import initial_state, posed

UNIFORM = {"kind": "uniform", "low": 0, "high": 1}
FLOOR = {"kind": "at_least", "objective": "revenue", "value": 0.4}
REVENUE, WELFARE = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 1.0])


def parsed(**problem) -> config.Config:
    return config.parse({"problem": {"kind": "auction", "bidders": 2, "items": 1, "prior": UNIFORM, **problem}})


def answer(**problem) -> dict:
    model = parsed(**problem).problem
    return optimum(*model.build(Path()), model)


@pytest.mark.parametrize("name", ["welfare_for_revenue_2x1", "public_value_3x1", "mixture_3x1"])
def test_aims_with_a_closed_form_are_answered_by_it(case, name):
    known = case(name)
    found = answer(**{key: known[key] for key in ("bidders", "objective", "outside_value", "constraints") if key in known})
    assert found["value"] == pytest.approx(known["optimum"], abs=1e-8)  # second order in cells of 5e-5
    if "dual" in known:
        assert found["dual"]["at_least revenue"] == pytest.approx(known["dual"], abs=2e-4)  # a slope: first order in them


def test_weighing_irons_what_is_weighed_and_not_virtual_values():
    """A lone bidder of four types, revenue and two fifths of welfare: the linear programme over its shares and utilities agrees."""
    value, mass = np.array([1.0, 2.0, 3.0, 7.0]), np.array([0.4, 0.1, 0.4, 0.1])
    rows = [np.concatenate([np.eye(4)[b] * value[a], np.zeros(4)]) - np.concatenate([np.eye(4)[a] * value[a], np.zeros(4)])
            + np.concatenate([np.zeros(4), np.eye(4)[a] - np.eye(4)[b]]) for a in range(4) for b in range(4) if a != b]  # fmt: skip
    rows += [np.concatenate([-np.eye(4)[a] * value[a], np.eye(4)[a]]) for a in range(4)]
    cost = -np.concatenate([0.4 * mass * value, mass])
    programme = linprog(cost, A_ub=np.array(rows), b_ub=np.zeros(len(rows)), bounds=[(0, 1)] * 4 + [(None, None)] * 4)
    weights = np.array([1.0, 0.4, 0.4])
    assert weights @ aims.sold_apart(aims.items_of([[Step(value, mass)]], [0.0]), weights) == pytest.approx(-programme.fun, abs=1e-9)


def test_a_price_is_what_a_little_more_of_the_constraint_costs():
    """The multiplier against the slope of the frontier; the floor binds, and the account keeps it."""
    items = aims.items_of([[stats.uniform(0, 1)], [stats.uniform(0, 2)]], [0.1])
    bound, step = -0.55, 1e-3
    low, here, high = (aims.best(items, WELFARE, -REVENUE[None], np.array([bound + change])) for change in (-step, 0.0, step))
    assert here.dual[0] == pytest.approx((high.value - low.value) / (2 * step), rel=1e-3)  # second order in the step, and the cells
    assert here.account[0] == pytest.approx(-bound, abs=1e-8)
    assert here.value == pytest.approx(WELFARE @ here.account, abs=1e-8)


def test_a_slack_floor_costs_nothing():
    free = answer(objective="welfare", constraints=[{**FLOOR, "value": 0.3}])  # giving it away to the highest earns a third
    assert free["value"] == pytest.approx(2 / 3, abs=1e-8) and free["dual"] == {"at_least revenue": 0.0}


def bound(kind: str, objective, value: float) -> dict:
    return {"kind": kind, "objective": objective, "value": value}


ONE, TWO = {"items": 1}, {"items": 2}
JOINT = TWO | {"prior": {"kind": "copula", "correlation": np.kron([[1, 0.5], [0.5, 1]], np.eye(2)).tolist(), "marginals": UNIFORM}}


@pytest.mark.parametrize(("problem", "constraints", "sentence"), [
    (ONE, [bound("at_least", "revenue", 0.42)],
     r"constraints\.0\.value = 0\.42: 'at_least revenue' can be met by no auction .*; the most that any reaches is 0\.416667; write less"),
    (TWO, [bound("at_least", "revenue", 1.34)], r"0\.value = 1\.34: .* all they value is worth 1\.3333; write less"),
    (TWO, [bound("at_most", "revenue", -1)], r"0\.value = -1: 'at_most revenue' can be met by no rule here, as none pays bidders; it is at "
     r"least 0; write more"),
    (ONE, [bound("at_least", "utility", 0.7)], r"no rule here, as none pays bidders; all they value is worth 0\.66667"),
    (TWO, [bound("at_most", "welfare", 2), bound("at_least", {"revenue": 2, "welfare": 1}, 4.1)], r"constraints\.1\.value .* at most 4; "),
    (TWO, [bound("at_least", "equality", 0.1)], r"'at_least equality' can be met by no auction .* it is at most 0; write less"),
    (TWO, [bound("at_least", "maximin", 0.7)], r"as none pays bidders; it is at most 0\.66667; write less"),
    (TWO, [bound("at_least", "revenue", 0.6), bound("at_most", "welfare", 0.5)], r"'at_least revenue' 0\.6 and 'at_most welfare' 0\.5 can "
     "each be met, but not together"),
    (ONE, [bound("at_least", "revenue", 0.4), bound("at_least", "welfare", 0.65)], "can each be met, but not together"),
    ({"bidders": 1, **TWO}, [bound("at_least", "revenue", 0.56)], r"it is at most 0\.5492; write less"),  # the best menu of one bidder
    (TWO | {"budgets": {"kind": "uniform", "low": 0, "high": 0.5}}, [bound("at_least", "revenue", 0.51)], r"at most 0\.5; write less"),
    (TWO | {"outside_value": 1.0}, [bound("at_least", "profit", 2.01)], r"it is at most 2; write less"),
    (TWO | {"contexts": {"kind": "discrete", "bidders": 2, "items": 2}}, [bound("at_least", "revenue", 1.34)], "worth 1.3333"),
    (JOINT, [bound("at_least", "welfare", 1.6)], r"worth 1\.5; write less"),  # of two uniform values, whatever joins them: .75
])
def test_what_no_rule_can_keep_is_refused_with_the_value_and_what_can_be_reached(problem, constraints, sentence):
    with pytest.raises(ConfigError, match=sentence):
        posed(parsed(**problem, constraints=constraints))


@pytest.mark.parametrize(("problem", "constraints"), [
    (ONE, [bound("at_least", "revenue", 5 / 12)]),
    (ONE, [bound("at_most", "revenue", 0.0)]),
    (ONE, [bound("at_least", "welfare", 2 / 3), bound("at_least", "revenue", 1 / 3)]),
    (TWO, [bound("at_least", "revenue", 0.87), bound("at_most", "revenue", 0.9)]),
    (TWO | {"population": {"share": 0.5, "precision": 1}}, [bound("at_least", "revenue", 1.5)]),  # who errs may pay more than its value
    (JOINT, [bound("at_least", "welfare", 4 / 3)]),
])
def test_what_can_be_kept_is_not_refused(problem, constraints):
    posed(parsed(**problem, constraints=constraints))


def test_a_dry_run_and_the_optimum_refuse_what_training_would(root):
    for command in (["train", "--dry-run"], ["optimum"]):
        done = CliRunner().invoke(app, [command[0], str(root / "configs/auctions/aims/welfare_for_revenue_2x2.yaml"), *command[1:],
                                        "problem.constraints.0.value=1.9"])
        assert done.exit_code == 2 and "problem.constraints.0.value = 1.9: 'at_least revenue' can be met by no auction" in done.stderr


def test_where_money_is_to_be_handed_back_for_ever_nothing_is_claimed():
    assert answer(objective="utility")["value"] is None
    bounded = answer(objective="utility", constraints=[{**FLOOR, "value": 0.2}])  # the whole surplus, less what is to be earned
    assert bounded["value"] == pytest.approx(2 / 3 - 0.2, abs=1e-8)


def test_two_items_under_a_floor_have_bounds_and_a_baseline_that_meets_it():
    problem = {"items": 2, "objective": "welfare", "constraints": [{**FLOOR, "value": 0.8}]}
    found, model = answer(**problem), parsed(**problem).problem
    assert found["value"] is None
    assert found["lower_bound"] == pytest.approx(2 * answer(objective="welfare", constraints=[FLOOR])["value"], abs=1e-6)  # item by item
    assert found["lower_bound"] < found["upper_bound"] == pytest.approx(4 / 3, abs=1e-8)
    assert set(baselines(*model.build(Path()), model)) == {"item_myerson"}  # giving items to who values them most earns too little


class Nothing(nnx.Module):
    """Keeps every item."""

    def __call__(self, reports):
        return Decision(jnp.zeros((*reports.shape[:-1], 2)), jnp.zeros(reports.shape[:-1]))


def test_what_is_kept_counts_in_profit_and_welfare_but_not_in_revenue():
    problem, env = parsed(items=2, outside_value=[0.2, 0.3], objective={"revenue": 1, "profit": 1, "welfare": 1}).problem.build(Path())
    draw = problem.draw(env, jax.random.key(0), 4)
    decision = problem.decide(env, Rule.of(Nothing()), None, draw.types)
    outcome = problem.score(env, draw, decision, draw.types)
    for name, worth in (("revenue", 0.0), ("profit", 0.5), ("welfare", 0.5)):
        np.testing.assert_allclose(outcome.objectives[name], worth, rtol=1e-6)  # float32


def test_a_floor_grows_dearer_by_what_is_missing_of_it_step_by_step():
    """A fresh network earns less than is asked for in each of ten steps: ρ · rate = .1 of that is added to the multiplier each time."""
    read = config.parse({"problem": {"kind": "auction", "bidders": 1, "items": 1, "prior": UNIFORM, "objective": "welfare",
                                     "constraints": [{**FLOOR, "value": 0.24}]},
                         "rule": {"kind": "regretnet", "hidden": [8]},
                         "training": {"steps": 10, "batch": 64}})  # fmt: skip
    problem, env = posed(read)
    trainer = Trainer.of(problem, read.training)
    state, metrics = run(trainer, env, initial_state(read, trainer, problem, env), 10)
    assert metrics["dual"].shape == metrics["averages"].shape == (1, 1)
    missing = float(metrics["averages"][0, 0])
    assert missing > 0
    assert float(member(state, 0).duals.multiplier[0]) == pytest.approx(10 * 0.1 * missing, rel=1e-4)  # float32


@pytest.mark.parametrize(("problem", "sentence"), [
    ({"outside_value": [0.1, 0.2]}, "outside_value = .* has shape .2.; it should be a number or .1."),
    ({"constraints": [FLOOR, FLOOR]}, "constraints.1 = .* asks for the same as constraint 0"),
    ({"constraints": [{**FLOOR, "objective": "profits"}]}, "is not a known objective; did you mean 'profit'"),
    ({"constraints": [{"kind": "at_lest", "objective": "revenue", "value": 1}]}, "did you mean 'at_least'"),
])
def test_mistakes_in_what_is_wanted_are_sentences(problem, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parsed(**problem)


def test_what_a_floor_is_missed_by_is_told_by_profiles_that_have_nothing_in_common():
    """The price of a floor moves with a batch's average. Over many steps that spreads as the mean of 256 independent profiles does, and
    not as that of the few rivals whom an exchange's reports share."""
    read = config.parse({"problem": {"kind": "auction", "bidders": 2, "items": 1, "prior": UNIFORM, "objective": "welfare",
                                     "constraints": [FLOOR]},
                         "rule": {"kind": "regretnet", "hidden": [8]},
                         "training": {"batch": 256, "response": {"kind": "exchange", "reports": 64}}})  # fmt: skip
    problem, env = posed(read)
    rule, response = read.rule.build(problem, env, jax.random.key(1)), read.training.response.build()
    play = jax.jit(lambda key: response.play(problem, env, rule, (), key, 0, 256, {"step_size": 0.1}).averages[0])
    averages = np.array([play(jax.random.key(step)) for step in range(400)])
    draw = problem.draw(env, jax.random.key(2), 20_000)
    missed = problem.score(env, draw, problem.decide(env, rule, None, draw.types), draw.types).averages["at_least revenue"]
    assert averages.std() == pytest.approx(float(missed.std()) / 16, rel=0.2)  # four standard errors of a spread over 400
    assert averages.mean() == pytest.approx(float(missed.mean()), abs=float(missed.std()) * 4 * (1 / 20_000 + 1 / 102_400) ** 0.5)
