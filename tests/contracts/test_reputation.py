"""Incentives through reputation: what the agent does about them by brute force, what is best, and what is learned."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import evaluation
from icsap_jax.bilevel.replies import logit_reply
from icsap_jax.config import ConfigError, parse
from icsap_jax.contracts.reputation import schema  # noqa: F401  its kinds are known once it is imported
from icsap_jax.contracts.reputation.best import best, best_slope, best_table, slope_candidates, value_form
from icsap_jax.contracts.reputation.details import details
from icsap_jax.contracts.reputation.exact import agent_value, effective_weights, final_reputation, of_model, proportional
from icsap_jax.contracts.reputation.suspension import best_plan

EXACT = 1e-9  # float64 sums, and programmes solved to 1e-10
PLAIN = {"kind": "reputation", "agent_utility": [0.0, 1.0], "human_value": [3.0, -2.0], "decay": 0.5, "discount": 0.9, "horizon": 5,
         "payment_cost": 0.1, "least_incentive": None}  # fmt: skip
SWEEP = range(6)


def evaluated(problem: dict, rule: dict) -> dict:
    """What is reported of a rule that is not learned."""
    config = parse({"problem": problem, "rule": rule})
    built = config.problem.build(Path())
    return evaluation.evaluate(config, *built, config.rule.build(*built, jax.random.key(0)))


def several(seed: int, **changes) -> dict:
    """A random problem with two states, two types, and three actions of which two are worth the same."""
    draw = np.random.default_rng(seed)
    value = draw.uniform(0, 4, (2, 2, 3)).round(1)
    value[:, 1, 0] = value[:, 0, 1]
    return {"kind": "reputation", "state_prior": [0.4, 0.6], "type_prior": [0.7, 0.3],
            "agent_utility": draw.uniform(0, 1, (2, 2, 3)).tolist(), "human_value": value.tolist(),
            "decay": 0.5, "discount": 0.8, "horizon": 1, "payment_cost": 0.6, **changes}  # fmt: skip


@pytest.mark.parametrize("place", SWEEP)
def test_the_agent_does_what_enumeration_of_all_plans_says(case, place) -> None:
    """C23, every slope of the table: actions, the agent's value, its last reputation and what the human values, to 1e-6."""
    data, row = case("C23")["data"], case("C23")["solution"]["sweep"][place]
    problem = {**PLAIN, "agent_utility": data["u"], "human_value": data["v"], "decay": data["lam"], "discount": data["delta"],
               "horizon": data["T"], "initial": data["r0"]}  # fmt: skip
    result = evaluated(problem, {"kind": "incentive_of_value", "form": "linear", "slope": row["k"]})
    told, tolerance = result["details"], case("C23")["tol"]
    assert told["actions"] == row["actions"]
    for name in ("agent_value", "final_reputation", "human_value"):
        assert told[name] == pytest.approx(row[name], abs=tolerance)
    assert result["objective"]["value"] == pytest.approx(row["human_value"] - 0.1 * told["paid"], abs=tolerance)


def test_weights_and_thresholds_are_the_files(case) -> None:
    """C23: w_s, the slope each period needs, and for ever."""
    expected = case("C23")["solution"]
    told = details(None, None, *problem_and_rule(PLAIN))
    assert told["effective_weight_of_incentive"] == pytest.approx(expected["effective_weight_of_g"], abs=EXACT)
    assert told["slope_thresholds"] == pytest.approx(expected["k_threshold_per_period"], abs=EXACT)
    assert max(told["slope_thresholds"]) == pytest.approx(expected["k_min_good_always"], abs=EXACT)
    ever = details(None, None, *problem_and_rule({**PLAIN, "horizon": None}))
    assert ever["effective_weight_of_incentive"] == pytest.approx([expected["infinite_horizon_weight"]], abs=EXACT)
    assert ever["slope_thresholds"] == pytest.approx([expected["infinite_horizon_k"]], abs=EXACT)


def problem_and_rule(problem: dict, slope: float = 0.3):
    """The model of a problem, of a rule with a fixed slope, and no rule: it is not asked."""
    config = parse({"problem": problem, "rule": {"kind": "incentive_of_value", "form": "linear", "slope": slope}})
    return config.problem, config.rule, None


def test_the_least_slope_that_keeps_the_agent_good_is_learned(train, case) -> None:
    """C23 with a payment cost, by the domain's defaults: k = .4, at which it is good in every period; paid no more than that needs."""
    result = train("reputation")[0]
    told = result["details"]
    assert told["incentive"][0] / 3.0 == pytest.approx(case("C23")["solution"]["k_min_good_always"], abs=1e-6)  # float32 parameters
    assert told["actions"] == [0] * 5
    assert result["objective"]["value"] == pytest.approx(result["optimum"]["value"], abs=case("C23")["tol"])
    assert result["optimum"]["value"] == pytest.approx((3 - 0.1 * 1.2) * (1 - 0.9**5) / 0.1, abs=EXACT)
    # Before it was made exact it was already within 1 %: the margin a smoothed agent asks for.
    assert told["value_before_polish"] >= 0.99 * result["optimum"]["value"]


def test_two_types_are_paid_alike_and_what_that_costs(train) -> None:
    """Learned f(v) reaches the best of its kind; a table that may tell the states apart is strictly better there."""
    result = train("reputation_hidden_types")[0]
    assert result["ratio_to_optimum"] >= 0.999
    assert result["objective"]["value"] <= result["optimum"]["value"] + 1e-5  # ties of 1e-6 of the payoffs are the human's
    assert result["baselines"]["best_table"] > result["optimum"]["value"] + 0.1
    assert result["baselines"]["first_best"] >= result["baselines"]["best_table"]


@pytest.mark.parametrize("place", range(5))
def test_suspension_is_planned_around(case, place) -> None:
    """C25, every limit: what the agent gets and how often it is good; its plan is one of the best (the file keeps the first one)."""
    data, row = case("C25")["data"], case("C25")["solution"]["table"][place]
    problem = {"kind": "reputation", "agent_utility": data["u"], "human_value": [1.0, -1.0], "decay": data["lam"], "initial": data["r0"],
               "discount": data["delta"], "horizon": data["T"], "payment_cost": 0.1, "suspend_below": row["r_min"],
               "reputation_counts": False}  # fmt: skip
    result = evaluated(problem, {"kind": "incentive_table", "fixed": data["g"]})
    told = result["details"]
    assert told["agent_value"] == pytest.approx(row["agent_value"], abs=case("C25")["tol"])
    assert told["good_actions"] == row["n_good"]
    assert told["suspended_after"] is None
    played = np.array(told["actions"])
    discounts = 0.9 ** np.arange(8)
    assert discounts @ np.array(data["u"])[played] == pytest.approx(row["agent_value"], abs=EXACT)
    # Human value of that plan, by hand.
    human = discounts @ (np.array([1.0, -1.0]) - 0.1 * np.array(data["g"]))[played]
    assert result["objective"]["value"] == pytest.approx(human, abs=1e-6)
    assert result["incentive_gap"]["max"] == 0.0


def test_suspension_runs_from_the_command(train, case) -> None:
    """C25's configuration, nothing to learn."""
    result = train("reputation_suspension")[0]
    row = next(row for row in case("C25")["solution"]["table"] if row["r_min"] == 0.3)
    assert result["details"]["actions"] == row["actions"]
    assert result["details"]["agent_value"] == pytest.approx(row["agent_value"], abs=case("C25")["tol"])


def test_a_limit_nobody_reaches_changes_nothing() -> None:
    """Two solutions of one problem: period by period, and down the tree of all histories, which knows nothing of weights w_s."""
    problem = several(3, horizon=3, initial=0.2)
    table = np.random.default_rng(1).uniform(0, 1, (2, 3))
    free, tree = (evaluated({**problem, **extra}, {"kind": "incentive_table", "fixed": table.tolist()})
                  for extra in ({}, {"suspend_below": -100.0}))  # fmt: skip
    assert tree["details"]["agent_value"] == pytest.approx(free["details"]["agent_value"], abs=EXACT)
    assert tree["objective"]["value"] == pytest.approx(free["objective"]["value"], abs=EXACT)
    assert tree["details"]["human"] == pytest.approx(free["objective"]["value"], abs=EXACT)
    assert tree["incentive_gap"]["max"] == free["incentive_gap"]["max"] == 0.0


def test_what_reputation_is_worth_can_be_learned_where_it_may_end() -> None:
    """The compiled slope of a smoothed agent's play down the tree is finite for each of eight rules, and agrees with differences: for
    the first, where no reputation of the tree lies within the difference's width of the limit."""
    problem = {**PLAIN, "least_incentive": 0.0, "suspend_below": 0.3, "initial": 0.5}
    config = parse({"problem": problem, "rule": {"kind": "incentive_of_value"}})
    tree, env = config.problem.build(Path())

    @jax.jit
    def value(rule, env):
        draw = tree.draw(env, None, 1)
        decision = tree.decide(env, rule, None, None)
        return tree.score(env, draw, decision, logit_reply(tree, env, draw, decision, 0.3)).value.sum()

    slope = jax.jit(jax.grad(value))
    rules = [config.rule.build(tree, env, jax.random.key(seed)) for seed in range(8)]
    assert all(np.isfinite(leaf).all() for rule in rules for leaf in jax.tree.leaves(slope(rule, env)))
    with jax.enable_x64(True):
        rule = rules[0].astype(jnp.float64)
        ahead, behind = (float(value(jax.tree.map(lambda leaf, s=sign: leaf + s * 1e-6, rule), env)) for sign in (1, -1))
        total = float(sum(leaf.sum() for leaf in jax.tree.leaves(slope(rule, env))))
        assert total == pytest.approx((ahead - behind) / 2e-6, rel=1e-5)


def test_being_switched_off_ends_what_both_get() -> None:
    """A limit no first period can meet: one period's worth each."""
    exact = of_model(parse({"problem": {**PLAIN, "suspend_below": 10.0}}).problem)
    told = best_plan(exact, np.array([[1.0, 0.0]]))
    assert told["actions"] == [1]  # u = 1 and no reputation beats reputation (1 − λ)·1 = .5
    assert told["suspended_after"] == 1
    assert (told["agent_value"], told["human"]) == (1.0, -2.0)


def test_reputation_is_a_weighted_sum_of_incentives() -> None:
    """Σ δ^(t−1) (u_t + r_t) by the recursion, of every plan of three periods, is Σ δ^(s−1) (u_s + w_s g_s) and what r₀ leaves."""
    exact = of_model(parse({"problem": {**PLAIN, "horizon": 3, "initial": 0.7}}).problem)
    incentive = np.array([[0.9, 0.1]])
    for plan in product(range(2), repeat=3):
        reputation, total = 0.7, 0.0
        for period, action in enumerate(plan):
            reputation = 0.5 * reputation + 0.5 * incentive[0, action]
            total += 0.9**period * (exact.utility[0, 0, action] + reputation)
        actions = np.array(plan).reshape(3, 1, 1)
        assert agent_value(exact, incentive, actions) == pytest.approx(total, abs=1e-12)
        assert final_reputation(exact, incentive, actions) == pytest.approx(reputation, abs=1e-12)


def test_in_one_shot_the_agent_gets_utility_old_reputation_and_new() -> None:
    """u + λ r₀ + (1 − λ) g."""
    exact = of_model(parse({"problem": {**PLAIN, "horizon": 1, "initial": 0.4, "decay": 0.3}}).problem)
    incentive = np.array([[2.0, 0.0]])
    actions = exact.reply(incentive)
    assert actions.item() == 0
    assert agent_value(exact, incentive, actions) == pytest.approx(0.0 + 0.3 * 0.4 + 0.7 * 2.0, abs=1e-12)


def test_an_endless_horizon_is_the_limit_of_long_ones() -> None:
    """At 400 periods what is left is .45^400."""
    assert effective_weights(0.5, 0.9, None)[0] == pytest.approx(effective_weights(0.5, 0.9, 400)[0], abs=1e-12)
    long, ever = (of_model(parse({"problem": {**PLAIN, "horizon": horizon, "initial": 0.3}}).problem) for horizon in (400, None))
    for slope in (0.21, 0.23):
        values = [agent_value(each, proportional(each, slope), each.reply(proportional(each, slope))) for each in (long, ever)]
        # The last periods differ, by at most 2 each, after 380 periods of discount .9: 1e-16.
        assert values[0] == pytest.approx(values[1], abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_function_of_value_never_beats_a_table(seed) -> None:
    """Rising f(v) ≤ any f(v) ≤ g(a, ω) ≤ the first best; and no incentive tried at random beats what is called the best."""
    exact = of_model(parse({"problem": several(seed)}).problem)
    rising, free, table = best(exact, value_form(exact, True)), best(exact, value_form(exact, False)), best_table(exact)
    assert rising[0] <= free[0] + EXACT
    assert free[0] <= table[0] + EXACT
    for value, incentive in (rising, free, table):
        # What the agent then does is worth what the programme says; 1e-6: ties are the human's.
        assert exact.worth(incentive) == pytest.approx(value, abs=1e-5)
    draw = np.random.default_rng(seed)
    heights = draw.uniform(0, 2, (400, len(np.unique(exact.seen)))) * draw.uniform(0, 1, (400, 1))
    into = value_form(exact, False).into
    assert max(exact.worth(draw.uniform(0, 2, exact.seen.shape)) for _ in range(400)) <= table[0] + 1e-5
    assert max(exact.worth((into @ each).reshape(exact.seen.shape)) for each in heights) <= free[0] + 1e-5
    assert max(exact.worth((into @ np.sort(each)).reshape(exact.seen.shape)) for each in heights) <= rising[0] + 1e-5


@pytest.mark.parametrize("least", [None, 0.0, -0.3])
def test_no_slope_beats_the_best_of_those_where_the_agent_is_indifferent(least) -> None:
    """Against 2 001 slopes, in one problem with several periods, states and types; fined or not."""
    exact = of_model(parse({"problem": several(5, horizon=3, least_incentive=least)}).problem)
    value, slope = best_slope(exact, True)
    assert slope in slope_candidates(exact, True)
    assert max(exact.worth(proportional(exact, k)) for k in np.linspace(0, 3, 2001)) <= value + 1e-5


@pytest.mark.parametrize("form", ["piecewise", "network", "linear"])
@pytest.mark.parametrize("monotone", [True, False])
def test_incentives_depend_on_value_alone_and_rise_with_it_where_asked(form, monotone) -> None:
    """Never below the least; equal values earn equally; of ten random functions the monotone never fall and others do."""
    rule = {"kind": "incentive_of_value", "form": form, "monotone": monotone}
    config = parse({"problem": several(0, least_incentive=0.25), "rule": rule})
    problem, env = config.problem.build(Path())
    values = jnp.asarray(np.sort(env.seen.ravel()))[None]
    falls = []
    for seed in range(10):
        rule = config.rule.build(problem, env, jax.random.key(seed))
        paid = np.asarray(rule(values))[0]
        assert paid.min() >= 0.25 - 1e-6  # float32
        assert np.ptp(np.asarray(rule(jnp.full((2, 3), 1.7)))) == 0
        falls.append(np.diff(paid).min() < -1e-4)
    assert not (monotone and any(falls))
    if form != "linear":  # a proportion with a floor under it only falls where the slope is negative
        assert monotone or any(falls)


@pytest.mark.parametrize(("change", "words"), [
    ({"decay": 1.0}, "problem.decay = 1.0 should be less than 1"),
    ({"discount": -0.1}, "problem.discount = -0.1 should be greater than or equal to 0"),
    ({"discount": 1.0}, "problem.discount = 1.0 should be less than 1"),
    ({"payment_cost": 0.0}, "problem.payment_cost = 0.0 should be greater than 0"),
    ({"human_value": [1.0, 2.0, 3.0]}, r"problem.human_value has shape \[3\]; it should be \[2\] like agent_utility"),
    ({"state_prior": [0.5, 0.5]}, r"problem.agent_utility has shape \[2\]; it should be 2 states × actions"),
    ({"type_prior": [0.5, 0.6]}, "should be a list of numbers ≥ 0 that sum to 1, one for each of the types"),
    ({"horizon": None, "suspend_below": 0.1}, "problem.horizon should be a number of periods where suspend_below is given"),
    ({"horizon": 30, "suspend_below": 0.1}, "problem.horizon = 30 makes 1.1e.09 situations"),
    ({"reputation_counts": False}, "leaves the agent no reason to mind its reputation; give suspend_below too"),
    ({"actions": ["good"]}, "problem.actions = .'good'. should have 2 names"),
])  # fmt: skip
def test_bad_input_is_a_sentence(change, words) -> None:
    """Which key, what is there, what would be right."""
    with pytest.raises(ConfigError, match=words):
        parse({"problem": {**PLAIN, **change}})


@pytest.mark.parametrize(("problem", "rule", "words"), [
    ({}, {"kind": "incentive_table"}, "problem.least_incentive = null: the human would lower this rule's incentives"),
    ({"human_value": [-1.0, -2.0]}, {"kind": "incentive_of_value", "form": "linear"}, "an ever steeper slope fines the agent"),
    ({}, {"kind": "incentive_table", "fixed": [1.0, 2.0, 3.0]}, r"rule.fixed: has shape \[3\]; it should be \[2\]"),
])  # fmt: skip
def test_a_rule_without_a_best_is_refused(problem, rule, words) -> None:
    """Where lower incentives save money for ever, or the table is another problem's."""
    config = parse({"problem": {**PLAIN, **problem}, "rule": rule})
    with pytest.raises(ConfigError, match=words):
        config.rule.build(*config.problem.build(Path()), jax.random.key(0))
