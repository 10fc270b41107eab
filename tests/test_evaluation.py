"""What a rule is worth and how far it can be exploited, on hand-written rules of which both are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from icsap_jax import evaluation, profiles
from icsap_jax.auctions import menus
from icsap_jax.auctions.optimum import control
from icsap_jax.auctions.problem import Decision
from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import Config, parse

PROFILES = 20_000
EFFORT = {"profiles": 2000, "gap_profiles": 40, "starts": 1, "steps": 1, "joint_grid": 21, "item_grid": 21}


class Offers(nnx.Module):
    """A lone bidder picks its favourite from a menu: `allocations` [K, M] at `prices` [K], nothing at 0 first."""

    def __init__(self, allocations, prices):
        self.allocations, self.prices = nnx.Param(jnp.asarray(allocations)), nnx.Param(jnp.asarray(prices))

    def __call__(self, reports):
        worth = reports[..., 0, :] @ self.allocations[...].T
        picked = jnp.argmax(worth - jnp.broadcast_to(self.prices[...], worth.shape), -1)
        return Decision(self.allocations[...][picked][..., None, :], self.prices[...][picked][..., None])


class Overcharge(nnx.Module):
    """A lone bidder gets everything for what it says that is worth, and a `fee`: it gains Σv by saying 0, and who tells the truth
    loses the fee."""

    def __init__(self, fee: float):
        self.fee = nnx.Param(jnp.asarray(fee))

    def __call__(self, reports):
        return Decision(jnp.ones_like(reports), reports.sum(-1) + self.fee[...])


class Recognise(nnx.Module):
    """Charges 1, for nothing, whoever reports one of the given `rows` [R, M]."""

    def __init__(self, rows):
        self.rows = nnx.Param(jnp.asarray(rows))

    def __call__(self, reports):
        apart = jnp.abs(reports[..., None, :] - jnp.broadcast_to(self.rows[...], (*reports.shape[:-1], *self.rows[...].shape)))
        known = (apart.max(-1).min(-1) < 1e-6).astype(reports.dtype)
        return Decision(jnp.zeros_like(reports), known)


def additive(prior: dict[str, Any] | None = None, folder: Path | str = ".") -> Config:
    """One additive bidder and two items, U[0, 1] unless another prior is given; little effort."""
    problem = {"kind": "auction", "bidders": 1, "items": 2, "prior": prior or {"kind": "uniform", "low": 0, "high": 1}}
    return parse({"problem": problem, "rule": {"kind": "regretnet", "hidden": [4]}, "evaluation": EFFORT}, folder)


def sampled(rule: Rule, seed: int, controlled: bool) -> np.ndarray:
    """The value of each of PROFILES profiles, as an evaluation takes them."""
    config = additive()
    problem, env = config.problem.build(config.folder)
    helper = control(problem, env, config.problem) if controlled else None
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jnp.asarray, (double(env), double(rule)))
        return profiles.objective_sample(problem, env, rule, jax.random.key(seed), PROFILES, helper).values


def test_the_control_variate_changes_the_error_and_not_the_mean() -> None:
    """The optimal menu with every price 3 % off: its exact revenue is a polygon's area away. Both means are within four standard
    errors of it, the two of each other, on profiles of their own; and the corrected one has less than half the error."""
    best = menus.additive_rectangle(np.zeros(2), np.ones(2))
    near = menus.Menu(best.allocations, 0.97 * best.prices, best.region, "", "")
    rule = Rule.of(Offers(near.allocations, near.prices))
    plain, corrected = sampled(rule, 0, False), sampled(rule, 1, True)
    errors = [values.std() / math.sqrt(PROFILES) for values in (plain, corrected)]
    assert len(plain) == len(corrected) == PROFILES
    assert abs(plain.mean() - near.revenue) < 4 * errors[0]
    assert abs(corrected.mean() - near.revenue) < 4 * errors[1]
    assert abs(plain.mean() - corrected.mean()) < 4 * math.hypot(*errors)
    assert errors[1] < errors[0] / 2


def test_the_optimum_itself_is_measured_without_error() -> None:
    """Corrected by its own luck, every profile earns the exact revenue (12 + 2√2)/27."""
    best = menus.additive_rectangle(np.zeros(2), np.ones(2))
    values = sampled(Rule.of(Offers(best.allocations, best.prices)), 0, True)
    # Prices are kept in float32: each is 2e-8 off, and a type nearer than that to indifference is one in millions.
    assert np.quantile(np.abs(values - (12 + 2 * math.sqrt(2)) / 27), 0.999) < 1e-7


@pytest.fixture(scope="module")
def overcharged() -> dict[str, Any]:
    """The evaluation of who charges all that is reported and .25 more."""
    config = additive()
    return evaluation.evaluate(config, *config.problem.build(config.folder), Rule.of(Overcharge(0.25)))


def test_who_overcharges_violates_participation(overcharged: dict[str, Any]) -> None:
    """Every truthful bidder loses exactly the fee; revenue is 1 + .25, within four standard errors."""
    assert overcharged["participation_violation"] == pytest.approx(0.25, abs=1e-12)  # float64
    objective = overcharged["objective"]
    assert (objective["name"], objective["profiles"]) == ("revenue", EFFORT["profiles"])
    assert abs(objective["value"] - 1.25) < 4 * objective["std_error"]
    assert objective["std_error"] > 0


def test_the_gap_of_who_charges_all_is_all(overcharged: dict[str, Any]) -> None:
    """Saying 0, which is on the grid, saves Σv: mean 1, deviation 1/√6. The interval is centred on the mean."""
    gap = overcharged["incentive_gap"]
    error = math.sqrt(1 / 6 / EFFORT["gap_profiles"])
    assert abs(gap["mean"] - 1) < 4 * error
    assert gap["per_agent"] == [gap["mean"]]
    assert gap["mean"] < gap["max"] < 2
    low, high = gap["ci95"]
    assert low + high == pytest.approx(2 * gap["mean"])
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.5)  # a deviation estimated from 40 profiles
    assert sum(overcharged["details"]["gap_histogram"]["counts"]) == EFFORT["gap_profiles"]


def test_the_corrected_objective_pays_for_the_gap(overcharged: dict[str, Any]) -> None:
    """(√P − √R)², R the sum over bidders of their mean gaps."""
    value, gaps = overcharged["objective"]["value"], overcharged["incentive_gap"]["per_agent"]
    assert overcharged["details"]["corrected_objective"] == pytest.approx((math.sqrt(value) - math.sqrt(sum(gaps))) ** 2, rel=1e-12)


def test_a_gap_above_the_objective_leaves_nothing() -> None:
    """Who pays what it reports, less .5, and so could pay nothing: P < R, and the corrected objective is 0, not positive again."""
    config = additive()
    found = evaluation.evaluate(config, *config.problem.build(config.folder), Rule.of(Overcharge(-0.5)))
    assert 0 < found["objective"]["value"] < found["incentive_gap"]["mean"]
    assert found["details"]["corrected_objective"] == 0.0
    assert found["participation_violation"] == 0.0


def test_no_regretnet_charges_more_than_a_value() -> None:
    """Individual rationality by construction, to the last bit."""
    config = additive()
    problem, env = config.problem.build(config.folder)
    rule = jax.jit(lambda key: config.rule.build(problem, env, key))(jax.random.key(0))
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jnp.asarray, (double(env), double(rule)))
        sample = profiles.objective_sample(problem, env, rule, jax.random.key(1), PROFILES)
    assert sample.worst["participation"] == 0.0
    assert sample.worst["feasibility"] < 1e-12  # softmaxes in float64
    assert sample.values.min() > 0


class Doubled(nnx.Module):
    """Gives every item to everybody, for nothing."""

    def __init__(self, share: float):
        self.share = nnx.Param(jnp.asarray(share))

    def __call__(self, reports):
        return Decision(jnp.full_like(reports, 1.0) * self.share[...], jnp.zeros_like(reports[..., 0]))


@pytest.mark.parametrize(("bidders", "valuation", "share", "excess"), [
    (2, "additive", 1.0, 1.0),  # each item twice
    (2, "additive", 0.5, 0.0),
    (2, "additive", -0.25, 0.25),  # a quarter taken away
    (1, "unit_demand", 0.75, 0.5),  # one and a half things for who wants one
    (2, "combinatorial", 0.375, 0.5),  # each item alone and in the pair, to both; and .125 too much for each
])
def test_what_is_sold_twice_is_told(bidders: int, valuation: str, share: float, excess: float) -> None:
    """The largest excess over what there is, or over what a bidder can use: of a rule that nothing keeps feasible."""
    config = parse(additive().resolved(), overrides=[f"problem.bidders={bidders}", f"problem.valuation={valuation}"])
    problem, env = config.problem.build(config.folder)
    given = jnp.full((3, bidders, problem.goods), share)
    assert float(problem.infeasibility(env, Decision(given, given[..., 0]))) == pytest.approx(excess)


def test_a_violated_feasibility_is_in_the_result() -> None:
    """A rule that gives one and a half of each item says so in its details."""
    config = additive()
    found = evaluation.evaluate(config, *config.problem.build(config.folder), Rule.of(Doubled(1.5)))
    assert found["details"]["feasibility_violation"] == pytest.approx(0.5, abs=1e-12)  # float64


def test_several_objectives_are_told_apart() -> None:
    """Who gets all for Σv + .25: revenue 1.25 and welfare 1 on average, each within four standard errors (σ ≤ .41), and weighed
    together exactly the value; the name tells the weights."""
    config = parse(additive().resolved(), overrides=["problem.objective={revenue: 1, welfare: -.2}"])
    found = evaluation.evaluate(config, *config.problem.build(config.folder), Rule.of(Overcharge(0.25)))
    parts, error = found["details"]["objectives"], 0.41 / math.sqrt(EFFORT["profiles"])
    assert found["objective"]["name"] == "revenue − 0.2 welfare"
    assert abs(parts["revenue"] - 1.25) < 4 * error and abs(parts["welfare"] - 1) < 4 * error
    assert parts["revenue"] - parts["welfare"] == pytest.approx(0.25)
    # Weights are kept in float32.
    assert parts["revenue"] - 0.2 * parts["welfare"] == pytest.approx(found["objective"]["value"], rel=1e-6)


def test_ratio_and_shortfall_are_against_the_exact_optimum(overcharged: dict[str, Any]) -> None:
    """Whatever the rule: charging beyond values may well earn more than any incentive-compatible rule."""
    best, value = (12 + 2 * math.sqrt(2)) / 27, overcharged["objective"]["value"]
    assert overcharged["optimum"]["value"] == pytest.approx(best)
    assert overcharged["ratio_to_optimum"] == pytest.approx(value / best)
    assert overcharged["shortfall"] == pytest.approx(best - value)
    assert overcharged["shortfall"] < 0


def test_observed_valuations_are_judged_on_rows_kept_back(tmp_path: Path) -> None:
    """A rule that recognises the rows it was trained on earns nothing on what it is judged by; one that recognises exactly the
    rows kept back earns 1 from every profile, and every profile gains 1 by reporting something else."""
    rows = np.random.default_rng(0).random((40, 2)).round(4)
    np.savetxt(tmp_path / "values.csv", rows, delimiter=",", fmt="%.4f")
    config = additive({"kind": "empirical", "file": "values.csv", "holdout": 0.25}, tmp_path)
    problem, env = config.problem.build(config.folder)
    assert (len(env.prior.rows), len(env.prior.held)) == (30, 10)
    for known, earned in ((env.prior.rows[:10], 0.0), (env.prior.held, 1.0)):
        found = evaluation.evaluate(config, problem, env, Rule.of(Recognise(known)))
        assert found["objective"]["value"] == earned
        assert found["incentive_gap"]["mean"] == pytest.approx(earned, abs=1e-12)  # float64 weights of 1/count


def test_what_is_not_finite_is_not_counted() -> None:
    """A rule that overflowed still gets its histogram, of what is left."""
    assert sum(evaluation.histogram(np.array([[0.5], [np.nan], [np.inf]]))["counts"]) == 1
    assert sum(evaluation.histogram(np.full((3, 1), np.nan))["counts"]) == 0


def test_effort_changes_the_search_and_nothing_else() -> None:
    """More profiles and starts where asked; a config that asks for nothing is itself."""
    config = additive()
    assert evaluation.with_effort(config) is config
    more = evaluation.with_effort(config, profiles=99, starts=7)
    assert (more.evaluation.gap_profiles, more.evaluation.starts) == (99, 7)
    assert more.problem is config.problem and more.evaluation.profiles == config.evaluation.profiles
