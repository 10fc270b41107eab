"""Learned virtual values: who wins, what it pays, and what the known optimal ones earn."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from icsap_jax.auctions.optimum import control
from icsap_jax.auctions.rules.single.myersonnet import LEAST_SLOPE, MyersonNet
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import ConfigError, parse


def built(problem):
    """(problem, env, fresh rule, its config)."""
    config = parse({"problem": {"kind": "auction", **problem}, "rule": {"kind": "myersonnet", "groups": 2, "lines": 3}})
    problem, env = config.problem.build(Path())
    return problem, env, jax.jit(lambda key: config.rule.build(problem, env, key))(jax.random.key(0)), config


@partial(jax.jit, static_argnames="problem")
def decide(problem, env, rule, reports):
    """The decision, compiled once for a problem and a shape."""
    return problem.decide(env, rule, None, reports)


@jax.jit
def sold_softly(rule, reports, temperature):
    """Shares and payments [R, N] of a soft auction."""
    decision = replace(rule, temperature=temperature)(reports)
    return decision.allocation[..., 0], decision.payment


def auction(case):
    """The case as a problem file has it."""
    return {key: case[key] for key in ("bidders", "items", "prior")}


def with_lines(low, slopes, offsets):
    """A rule with virtual values min_k max_j slope·b + offset, [N, K, J] each."""
    slopes, offsets = (jnp.asarray(each, jnp.float32) for each in (slopes, offsets))
    return Rule.of(MyersonNet(np.asarray(low), 1.0, jnp.log(slopes - LEAST_SLOPE), np.zeros(slopes.shape), offsets))


@pytest.fixture(scope="module")
def asymmetric():
    """Bidders on [0, 1], [0, 2] and [1, 4], a fresh rule, and bids [200, 3]."""
    problem, env, rule, _ = built({"bidders": 3, "items": 1, "prior": {"kind": "uniform", "low": [[0], [0], [1]], "high": [[1], [2], [4]]}})
    return problem, env, rule, problem.draw(env, jax.random.key(1), 200).types


def test_the_winner_pays_the_least_report_that_wins(asymmetric) -> None:
    """A hair more still wins, a hair less does not; where the price is the lowest type there is, nobody reports less."""
    problem, env, rule, bids = asymmetric
    given, paid = (np.asarray(each) for each in jax.tree.leaves(decide(problem, env, rule, bids)))
    assert (paid[given[..., 0] < 0.5] == 0).all()
    winner, sold = given[..., 0].argmax(1), given.sum((1, 2)) > 0.5
    assert sold.sum() > 100
    price, low, hair = paid.sum(1), np.array([0.0, 0.0, 1.0])[winner], 1e-3  # float32 inverses are good to 1e-6
    for shift, wins, told in ((hair, 1, sold), (-hair, 0, sold & (price > low + hair))):
        changed = np.array(bids)
        changed[np.arange(len(changed)), winner, 0] = price + shift
        share = np.asarray(decide(problem, env, rule, changed).allocation)[np.arange(len(changed)), winner, 0]
        assert (share[told] == wins).all()


def test_a_virtual_value_is_undone_by_its_inverse(asymmetric) -> None:
    _, _, rule, bids = asymmetric
    module = nnx.merge(rule.graph, rule.params)
    np.testing.assert_allclose(module.bid_of(module.virtual(bids[..., 0])), bids[..., 0], atol=1e-5)  # float32


def test_nobody_below_the_lowest_type_wins_and_nobody_pays_less(asymmetric) -> None:
    """Bidder 3's least value is 1: what it pays, if anything, is at least that."""
    problem, env, rule, bids = asymmetric
    assert np.asarray(decide(problem, env, rule, jnp.asarray([[[0.0], [0.0], [0.99]]])).allocation).sum() == 0
    paid = np.asarray(decide(problem, env, rule, bids).payment)[:, 2]
    assert paid[paid > 0].min() >= 1


@pytest.mark.parametrize(("name", "tops"), [("single_3_uniform", [1, 1, 1]), ("single_5_asymmetric", [1, 2, 3, 4, 5])])
def test_the_known_virtual_values_earn_the_optimum(case, name, tops) -> None:
    """2v − top, for values uniform on [0, top] (Myerson 1981); measured beside what the exact optimum charges each profile."""
    problem, env, _, config = built(auction(case(name)))
    lines = np.array(tops, np.float64).reshape(-1, 1, 1)
    rule = with_lines(np.zeros(len(tops)), np.full_like(lines, 2.0), -lines)
    types = problem.draw(env, jax.random.key(2), 4000).types
    paid = np.asarray(decide(problem, env, rule, types).payment).sum(1)
    charged, expected = control(problem, env, config.problem)
    assert expected == pytest.approx(case(name)["optimum"], abs=5e-5)  # as printed
    assert paid.mean() == pytest.approx(charged(np.asarray(types)).mean(), rel=1e-4)  # the curve's 24 000 points


def test_a_soft_auction_is_strategyproof_too_and_the_warmer_the_poorer(asymmetric) -> None:
    """On a grid of bidder 3's reports it gains nothing but for the quadrature of its payment, and never loses; the known virtual values
    earn less the more the choice is left to chance."""
    _, _, rule, bids = asymmetric
    reports = np.repeat(np.asarray(bids)[None, :125], 32, 0)
    reports[1:, :, 2, 0] = np.linspace(1, 4, 31)[:, None]
    shares, paid = (np.asarray(each)[:, 2].reshape(32, 125) for each in sold_softly(rule, reports.reshape(-1, 3, 1), 0.2))
    utility = np.asarray(bids)[:125, 2, 0] * shares - paid
    assert (utility[1:] - utility[0]).max() < 0.02  # of prices from 1 to 4, at four quantiles
    assert utility[0].min() > -1e-6  # float32
    optimal = with_lines(np.zeros(3), np.full((3, 1, 1), 2.0), np.full((3, 1, 1), -1.0))
    drawn = np.random.default_rng(0).random((4000, 3, 1)).astype(np.float32)
    earned = [float(sold_softly(optimal, drawn, temperature)[1].sum(1).mean()) for temperature in (0.005, 0.05, 0.5)]
    assert earned[0] > earned[1] > earned[2]


def test_a_bid_beyond_the_priors_box_is_served(case) -> None:
    """Exponential values are drawn from the whole tail, and the box of misreports ends at the .999 quantile."""
    problem, env, rule, _ = built(auction(case("single_3_exponential")))
    decision = decide(problem, env, rule, jnp.asarray([[[1.0], [2.0], [500.0]]]))
    assert decision.allocation[0, 2, 0] == 1
    assert 0 < decision.payment[0, 2] < 500


@pytest.mark.parametrize(("problem", "rule", "said"), [
    ({"bidders": 3, "items": 2}, {}, "sells one item, and here are 2"),
    ({"bidders": 3, "items": 1}, {"lines": 10**9}, "rule.lines"),
    ({"bidders": 3, "items": 1}, {"groups": 0}, "groups"),
])
def test_what_learned_virtual_values_cannot_serve_is_said(problem, rule, said) -> None:
    with pytest.raises(ConfigError, match=said):
        parse({"problem": {"kind": "auction", "prior": {"kind": "uniform", "low": 0, "high": 1}, **problem},
               "rule": {"kind": "myersonnet", **rule}})  # fmt: skip
