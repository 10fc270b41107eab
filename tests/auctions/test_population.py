"""Auctions among boundedly rational bidders: what is expected of them, its slope, and how rules for them are judged."""

from __future__ import annotations

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import integrate, stats

from icsap_jax import config
from icsap_jax.auctions.problem import Decision
from icsap_jax.bilevel.bounded import chances, played, resulting, thought_of
from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.types import Draw, Rule
from icsap_jax.config import ConfigError
from icsap_jax.evaluation import evaluate

SOME = {"share": 0.6, "precision": 3.0, "reports": 2}


def parsed(population=SOME, bidders=2, **more) -> config.Config:
    problem = {"kind": "auction", "bidders": bidders, "items": 1, "prior": {"kind": "uniform"}, "population": population}
    return config.parse({"problem": problem, **more})


class Smooth(nnx.Module):
    """Shares that rise with one's own report and fall with the others', at two learned numbers; a rule that invites lies."""

    def __init__(self):
        self.numbers = nnx.Param(jnp.array([0.5, 0.6]))

    def __call__(self, reports):
        start, price = self.numbers[...]
        others = reports.sum(-2, keepdims=True) - reports
        given = jax.nn.sigmoid(8 * (reports - start)) * (1 - 0.4 * others) / 2
        return Decision(given, (given * reports * price)[..., 0])


class Posted(nnx.Module):
    """The item at a price of .7."""

    def __init__(self):
        self.nothing = nnx.Param(jnp.zeros(()))

    def __call__(self, reports):
        given = (reports > 0.7).astype(reports.dtype)
        return Decision(given, 0.7 * given[..., 0])


def in_float64(bidders, module):
    """(problem, env, rule, draw), of one profile: call under enable_x64."""
    problem, env = parsed(bidders=bidders).problem.build(Path())
    env, rule = jax.tree.map(jnp.asarray, (double(env), double(Rule.of(module))))
    return problem, env, rule, problem.draw(env, jax.random.key(1), 1)


def test_value_and_slope_are_those_of_all_that_two_bidders_may_report():
    """Averaged over what is picked, by its chance, what is coded is Σ π₁π₂·f and its slope, exactly: 3 × 3 pairs of reports, each beside
    the others as if it were a profile of its own."""
    with jax.enable_x64(True):
        problem, env, rule, draw = in_float64(2, Smooth())
        pairs = np.array(list(itertools.product(range(3), repeat=2)))
        options = jnp.repeat(thought_of(problem, env, draw, jax.random.key(2), 2), 9, axis=1)
        draw = Draw(weight=jnp.full(9, 1 / 9), types=jnp.repeat(draw.types, 9, axis=0))
        numbers, rebuild = jax.flatten_util.ravel_pytree(rule)

        def both(numbers):
            rule = rebuild(numbers)
            likely = chances(problem, env, rule, draw, options, problem.population(env))
            reports = jnp.stack([options[pairs[:, n], np.arange(9), n] for n in range(2)], 1)
            odds = jnp.prod(jnp.stack([likely[pairs[:, n], np.arange(9), n] for n in range(2)], 1), 1)
            worth = problem.score(env, draw, problem.decide(env, rule, None, reports), reports).value
            coded = resulting(problem, env, rule, draw, options, likely, jnp.asarray(pairs)).value
            return jnp.stack([odds @ worth, jax.lax.stop_gradient(odds) @ coded])

        (exact, coded), slopes = jax.jit(lambda numbers: (both(numbers), jax.jacrev(both)(numbers)))(numbers)
        assert float(coded) == pytest.approx(float(exact), rel=1e-12)
        exact, coded = slopes
        np.testing.assert_allclose(coded, exact, rtol=1e-10)
        assert (np.abs(exact) > 1e-3).all()


def test_alone_a_bidder_s_slope_is_that_of_finite_differences():
    with jax.enable_x64(True):
        problem, env, rule, draw = in_float64(1, Smooth())
        numbers, rebuild = jax.flatten_util.ravel_pytree(rule)
        value = jax.jit(lambda numbers: played(problem, env, rebuild(numbers), draw, jax.random.key(3), problem.population(env)).value[0])
        slope = np.asarray(jax.grad(value)(numbers))
        for place, step in enumerate(np.eye(2) * 1e-6):
            assert (value(numbers + step) - value(numbers - step)) / 2e-6 == pytest.approx(slope[place], rel=1e-6)


def test_a_posted_price_sells_to_a_boundedly_rational_bidder_as_often_as_the_formula_says():
    """Of K random reports J ~ B(K, 1 − p) buy at p, and the truth where v > p, each in proportion to exp(β(v − p)), β over the mean
    value ½; the rational buy where v > p."""
    share, beta, count, price = 0.8, 2.0, 3, 0.7
    population = {"share": share, "precision": beta, "reports": count}
    buyers, odds = np.arange(count + 1), stats.binom.pmf(np.arange(count + 1), count, 1 - price)

    def buys(value):
        weight, honest = np.exp(beta / 0.5 * (value - price)), value > price
        return odds @ ((buyers + honest) * weight / ((buyers + honest) * weight + count + 1 - buyers - honest))

    bounded = sum(integrate.quad(buys, *ends)[0] for ends in ((0, price), (price, 1)))
    read = parsed(population, bidders=1, evaluation={"profiles": 4000, "gap_profiles": 20, "joint_grid": 41, "starts": 2, "steps": 4})
    problem, env = read.problem.build(Path())
    found = evaluate(read, problem, env, Rule.of(Posted()))
    wanted = price * (share * bounded + (1 - share) * (1 - price))
    assert found["objective"]["value"] == pytest.approx(wanted, abs=4 * found["objective"]["std_error"])
    assert abs(wanted - price * (1 - price)) > 8 * found["objective"]["std_error"]  # it is another number than among the rational
    assert found["incentive_gap"]["max"] < 1e-9  # who is rational has no reason to lie
    assert found["optimum"]["value"] is None and found["participation_violation"] == 0.0


def test_the_response_follows_from_the_problem_and_the_rule():
    assert parsed().training.response.inner.kind == "exchange"
    assert parsed(bidders=1, rule={"kind": "rochetnet"}).training.response.inner.kind == "truthful"


@pytest.mark.parametrize(("data", "said"), [
    ({"population": {**SOME, "share": 1.2}}, "problem.population.share"),
    ({"population": {**SOME, "reports": 0}}, "problem.population.reports"),
    ({"population": {"share": 0.1}}, "problem.population.precision"),
    ({"training": {"response": {"kind": "bounded", "inner": {"kind": "robust"}}}}, "robust outside"),
])  # fmt: skip
def test_what_does_not_fit_is_said(data, said):
    with pytest.raises(ConfigError, match=said):
        parsed(**data)


def test_among_the_rational_there_is_nothing_to_draw():
    read = parsed(None, training={"response": {"kind": "bounded"}})
    problem, env = read.problem.build(Path())
    with pytest.raises(ConfigError, match="all are rational"):
        read.training.response.build().init(problem, env, {"inner": {}}, jax.random.key(0), 8)
