"""Handing back what an efficient allocation collects: shares of it by quadrature and by theorem, and that learned rules hand back more."""

from __future__ import annotations

from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import beta, uniform

from icsap_jax import evaluation
from icsap_jax.bilevel.deviations import Search, box_gap
from icsap_jax.bilevel.fit import Trainer, member, run, stack
from icsap_jax.choice.redistribution import programmes
from icsap_jax.choice.redistribution.baselines import baselines
from icsap_jax.choice.redistribution.optimum import control, market, optimum
from icsap_jax.choice.redistribution.ranks import at_least, ranked_means
from icsap_jax.choice.redistribution.rules import cavallo_coefficients, ranked_others, worst_case_coefficients
from icsap_jax.choice.redistribution.told import Table, details
from icsap_jax.config import ConfigError, parse

SIZES = [(3, 1), (4, 1), (5, 1), (10, 1), (5, 2), (6, 3), (4, 3)]


def configured(**problem):
    """The checked file of a problem."""
    rule = problem.pop("rule", {"kind": "redistributionnet", "hidden": [8]})
    return parse({"problem": {"kind": "redistribution", "agents": 4, **problem}, "rule": rule})


def built(**problem):
    """(config, problem, env, rule) of one."""
    config = configured(**problem)
    found, env = config.problem.build(config.folder)
    return config, found, env, config.rule.build(found, env, jax.random.key(0))


def uniform_means(agents):
    """Of N values U[0, 1] by rank."""
    return np.arange(agents, 0, -1) / (agents + 1)


def test_expected_values_by_rank_are_those_of_beta_laws() -> None:
    """θ₍ⱼ₎ of N uniform values is Beta(N + 1 − j, j); of unlike agents the mean of all ranks is the mean of all agents."""
    _, _, env, _ = built(prior={"kind": "uniform", "low": 2, "high": 5})
    np.testing.assert_allclose(ranked_means(env.prior, "uniform"), 2 + 3 * uniform_means(4), rtol=1e-12)
    _, _, env, _ = built(agents=3, prior={"kind": "uniform", "low": [0, 1, 2], "high": [3, 2, 4]})
    found = ranked_means(env.prior, "uniform")
    np.testing.assert_allclose(found.mean(), (1.5 + 1.5 + 3) / 3, rtol=1e-12)
    drawn = -np.sort(-np.asarray(env.prior.sample(jax.random.key(0), 100_000))[..., 0], axis=1)
    np.testing.assert_allclose(found, drawn.mean(0), atol=0.01)  # three standard errors


def test_a_number_of_successes_is_counted_as_if_every_outcome_were_listed() -> None:
    """P(at least j of three unlike trials), against the eight outcomes."""
    chances = np.array([0.2, 0.5, 0.9])
    outcomes = np.array(list(np.ndindex(2, 2, 2)))
    mass = np.prod(np.where(outcomes == 1, chances, 1 - chances), axis=1)
    np.testing.assert_allclose(at_least(chances), [mass[outcomes.sum(1) >= j].sum() for j in (1, 2, 3)], rtol=1e-12)


@pytest.mark.parametrize(("agents", "units"), SIZES)
def test_cavallo_returns_the_share_of_its_formula(agents: int, units: int) -> None:
    """(N − 1 − M)(N + 1)/(N(N − M)) of what is collected from uniform values; (N − 2)(N + 1)/(N(N − 1)) for one unit."""
    means = uniform_means(agents)
    returned = programmes.handed_back_on_average(np.append(0.0, cavallo_coefficients(agents, units)), means)
    share = returned / (units * means[units])
    np.testing.assert_allclose(share, (agents - 1 - units) * (agents + 1) / (agents * (agents - units)), atol=1e-12)
    assert (agents, units) != (4, 1) or abs(share - 5 / 6) < 1e-12


@pytest.mark.parametrize(("agents", "units"), SIZES)
def test_the_worst_case_rule_returns_its_share_everywhere_and_never_more_than_there_is(agents: int, units: int) -> None:
    """1 − C(N − 1, M)/Σ_{j ≥ M} C(N − 1, j) on the worst profile (Guo & Conitzer 2009); all is linear, so that vertices suffice."""
    corners = np.tri(agents + 1, agents, -1)  # the first r values 1, the others 0
    coefficients = np.append(0.0, worst_case_coefficients(agents, units))
    handed = np.array([programmes.handed_back_on_average(coefficients, corner) for corner in corners])
    collected = units * corners[:, units]
    worst = 1 - comb(agents - 1, units) / sum(comb(agents - 1, j) for j in range(units, agents))
    assert (handed <= collected + 1e-12).all()
    assert (handed >= worst * collected - 1e-12).all()
    np.testing.assert_allclose((handed[collected > 0] / collected[collected > 0]).min(), worst, atol=1e-12)
    assert (np.tri(agents, agents - 1, -1) @ coefficients[1:] >= -1e-12).all()  # nobody loses


def test_the_best_linear_rule_is_cavallos_for_few_agents_and_better_for_many() -> None:
    """Guo & Conitzer 2010: with four agents Cavallo's 5/6 is the best of linear rules; with ten it is .9778, and .9952 is."""
    few = programmes.best_linear(uniform_means(4), 1, 0.0, 1.0, True)
    np.testing.assert_allclose(few.returned / 0.6, 5 / 6, atol=1e-9)
    many = programmes.best_linear(uniform_means(10), 1, 0.0, 1.0, True)
    assert many.returned / (9 / 11) > 0.995
    drawn = -np.sort(-np.random.default_rng(0).uniform(size=(2000, 10)), axis=1)
    handed = np.array([programmes.handed_back_on_average(many.coefficients, values) for values in drawn])
    assert (handed <= drawn[:, 1] + 1e-9).all()


@pytest.mark.parametrize("participation", [True, False])
def test_what_can_be_returned_lies_between_two_programmes(participation: bool) -> None:
    """The rule of the one is a rule, so that no bound is below it; without participation they meet at 15/16, with four agents."""
    below, above = programmes.from_below(4, 1, 0.0, 1.0, participation), programmes.from_above(uniform(), 4, 1, participation)
    assert below <= above + 1e-9
    assert below > 5 / 6 * 0.6
    if not participation:
        np.testing.assert_allclose(above / 0.6, 15 / 16, atol=1e-9)
    else:
        assert above - below < 0.005


def test_a_bound_for_other_laws_is_above_the_best_linear_rule() -> None:
    """Beta(2, 2), four agents, two units: neither a proof can fail a rule that exists nor exceed all that is collected."""
    law = beta(2, 2)
    _, problem, env, _ = built(units=2, prior={"kind": "beta", "a": 2, "b": 2})
    there = market(problem, env, configured(units=2, prior={"kind": "beta", "a": 2, "b": 2}).problem)
    linear = programmes.best_linear(there.means, 2, 0.0, 1.0, True)
    above = programmes.from_above(law, 4, 2, True)
    assert linear.returned <= above <= there.collected


def test_on_average_everything_is_handed_back() -> None:
    """Where only the expected budget has to balance, agents keep the whole efficient welfare, and that is the optimum."""
    config, problem, env, _ = built(no_deficit="on_average")
    found = optimum(problem, env, config.problem)
    np.testing.assert_allclose(found["value"], 0.8, rtol=1e-12)
    assert "best_linear" not in baselines(problem, env, config.problem)


def test_others_are_ranked_without_oneself() -> None:
    """Each agent's others, falling; ties go to whoever comes first, and change nobody's others."""
    rank, others = ranked_others(jnp.array([0.3, 0.9, 0.3, 0.5]))
    np.testing.assert_array_equal(rank, [2, 0, 3, 1])
    np.testing.assert_allclose(others[0], [0.9, 0.5, 0.3])
    np.testing.assert_allclose(others[1], [0.5, 0.3, 0.3])
    np.testing.assert_allclose(others[2], [0.9, 0.5, 0.3])


@pytest.fixture(scope="module")
def learned():
    """(config, problem, env, rule) of a small network, trained for a few seconds; two hidden layers of 32."""
    config = configured(rule={"kind": "redistributionnet", "hidden": [32, 32]})
    training = config.training.model_copy(update={"steps": 1200, "batch": 256, "learning_rate": 0.01})
    problem, env = config.problem.build(config.folder)
    trainer, rule = Trainer.of(problem, training), config.rule.build(problem, env, jax.random.key(0))
    state, _ = run(trainer, env, stack([trainer.init(env, rule, jax.random.key(1), training)]), training.steps)
    return config, problem, env, member(state, 0).rule


def test_a_learned_rule_returns_more_than_any_linear_rule(learned) -> None:
    """Four agents, one unit: more than 5/6, no more than is possible, at an expected deficit below a thousandth."""
    config, problem, env, rule = learned
    told = details(problem, env, config.problem, config.rule, rule)["redistribution"]
    assert 5 / 6 < told["returned_by_best_known"] <= told["returned_by_none_above"]
    assert 0.86 < told["returned"] <= told["returned_by_none_above"] + 1e-3
    assert told["expected_deficit"] <= 1e-3
    assert told["expected_deficit"] <= told["worst_deficit"]


def test_nobody_gains_by_lying_whatever_was_learned(learned) -> None:
    """The strong search, in float64: a rebate does not know its agent's report."""
    _, problem, env, rule = learned
    with jax.enable_x64(True):
        env64, rule64 = evaluation.as_judged(problem, env, rule)
        draw = problem.draw(env64, jax.random.key(5), 100)
        gap = box_gap(problem, Search(joint=None, single=21, starts=4, steps=8), env64, rule64, draw)
    assert gap.max() < 1e-12


def test_the_control_is_right_on_average_and_moves_with_utility() -> None:
    """The efficient welfare of drawn profiles averages to its expectation: three standard errors."""
    config, problem, env, _ = built(units=2)
    worth, expected = control(problem, env, config.problem)
    found = worth(np.random.default_rng(0).uniform(size=(40_000, 4, 1)), None)
    np.testing.assert_allclose(found.mean(), expected, atol=3 * found.std() / 200)
    np.testing.assert_allclose(expected, 1.4, rtol=1e-12)


def test_a_table_adds_up() -> None:
    """What is left over is what all pay after what was handed back; a value outside the prior is refused by its column."""
    _, problem, env, rule = built(rule={"kind": "cavallo"})
    table = Table(problem, env)
    values = np.array([[0.9, 0.6, 0.4, 0.1]])
    (reports,) = table.inputs(values, lambda *_: AssertionError)
    decision = rule(jnp.asarray(reports))
    row = dict(zip(table.output_columns, table.outputs(values, {name: np.asarray(getattr(decision, name)) for name in (
        "allocation", "payment", "rebate")})[0], strict=True))
    np.testing.assert_allclose([row["agent1_unit"], row["agent1_payment"], row["agent4_rebate"]], [1.0, 0.5, 0.15], atol=1e-6)
    np.testing.assert_allclose(row["left_over"], 0.6 - (0.1 + 0.1 + 0.15 + 0.15), atol=1e-6)
    with pytest.raises(ValueError, match=r"agent3_value .*outside the support"):
        table.inputs(np.array([[0.9, 0.6, 1.4, 0.1]]), lambda row, column, text: ValueError(f"{column} {text}"))


@pytest.mark.parametrize(("problem", "said"), [
    ({"units": 4}, "units .*fewer than the 4 agents.*nothing"),
    ({"agents": 1}, "agents"),
    ({"prior": {"kind": "uniform", "low": [0, 1], "high": 2}}, "prior.low .*shape"),
    ({"prior": {"kind": "any_of", "parts": [{"kind": "uniform"}, {"kind": "beta", "a": 2, "b": 1}]}}, "prior.kind .*one prior"),
    ({"rule": {"kind": "regretnet"}}, "not a rule for a problem of kind 'redistribution'"),
])
def test_what_cannot_be_is_refused_in_a_sentence(problem, said) -> None:
    """Where, what is there, and what would be right."""
    with pytest.raises(ConfigError, match=said):
        configured(**problem)


@pytest.mark.parametrize(("prior", "said"), [
    ({"kind": "uniform", "low": -1, "high": 1}, "reaches down to -1"), ({"kind": "exponential"}, "no upper end")])
def test_values_are_bounded(prior, said) -> None:
    """Before anything is written."""
    config, problem, env, _ = built(prior=prior)
    with pytest.raises(ConfigError, match=said):
        config.problem.hook("check")(problem, env, config)
