"""Facilities on a line: which rules nobody gains by lying to, what is best where peaks are known, and what a file may not say."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.bilevel.deviations import Search, box_gap, double
from icsap_jax.bilevel.gap import gains
from icsap_jax.bilevel.types import Draw, Rule
from icsap_jax.choice.facility.baselines import best_percentiles, orders_of
from icsap_jax.choice.facility.medians import falling, members
from icsap_jax.choice.facility.optimum import centre_cost, first_bests, grouped, median_cost, optimum
from icsap_jax.choice.facility.problem import peaks_drawn, surely, worth
from icsap_jax.choice.facility.rules import Ordered
from icsap_jax.choice.facility.table import Table
from icsap_jax.config import ConfigError, parse

FIVE = {"kind": "facility", "agents": 5, "facilities": 1}
SMALL = {"starts_kept": 1, "starts_tried": 4}
STRATEGYPROOF = [
    {"kind": "percentile", "percentiles": [0.25, 0.75]}, {"kind": "generalised_median", **SMALL},
    {"kind": "generalised_median", "phantoms": "size", **SMALL}, {"kind": "generalised_median", "phantoms": "network", **SMALL},
]  # fmt: skip


def posed(rule=None, **changes):
    """(model, problem, env, rule) of five agents, with some keys changed."""
    config = parse({"problem": {**FIVE, **changes}, "rule": rule or {"kind": "fixed_places"}})
    problem, env = config.problem.build(config.folder)
    return config.problem, problem, env, jax.jit(lambda key: config.rule.build(problem, env, key))(jax.random.key(1))


def shaken(rule: Rule, seed: int) -> Rule:
    """The rule with other parameters altogether: what holds by construction holds for them."""
    rng = np.random.default_rng(seed)
    return Rule(jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0.4, 0.6, leaf.shape), leaf.dtype), rule.params), rule.graph)


def gap_of(problem, env, rule, types) -> np.ndarray:
    """The strong gap [B, N] in float64."""
    with jax.enable_x64(True):
        draw = Draw(weight=jnp.full((len(types),), 1.0 / len(types)), types=jnp.asarray(types))
        return box_gap(problem, Search(joint=41, single=41, starts=2, steps=4), double(env), double(rule), draw)


@pytest.mark.parametrize("rule", STRATEGYPROOF, ids=lambda rule: rule.get("phantoms", rule["kind"]))
def test_nobody_gains_by_lying_to_generalised_medians(rule) -> None:
    """Two facilities, whatever the parameters: every agent, every lie on a grid; in float64, where a report is what it was."""
    *_, built = posed(rule, facilities=2)
    peaks = np.random.default_rng(0).uniform(size=(60, 5))
    lies = np.broadcast_to(peaks, (5, 41, 60, 5)).copy()
    for agent in range(5):
        lies[agent, ..., agent] = np.linspace(0, 1, 41)[:, None]
    with jax.enable_x64(True):
        given = shaken(built, 3).astype(jnp.float64)
        places = np.asarray(jax.jit(lambda reports: given(reports).places)(np.concatenate([peaks, lies.reshape(-1, 5)])[..., None]))[:, 0]
    truth, lied = places[:60], places[60:].reshape(5, 41, 60, 2)
    for agent in range(5):
        gained = np.abs(peaks[:, agent, None] - truth).min(-1) - np.abs(peaks[:, agent, None] - lied[agent]).min(-1)
        assert gained.max() <= 1e-12


def test_the_regret_meter_shows_none_for_the_median_and_some_for_the_mean() -> None:
    """A rule at the mean of two order statistics is pulled by whoever is one of them: |x_4 − x_2|/2 more or less."""
    _, problem, env, median = posed({"kind": "median"})
    types = np.random.default_rng(1).uniform(size=(60, 5, 1))
    assert gap_of(problem, env, median, types).max() == 0
    with jax.enable_x64(True):
        truth = jnp.asarray(types)
        lies = jnp.broadcast_to(jnp.linspace(0, 1, 11)[:, None, None, None], (11, *truth.shape))
        mean = lambda reports: surely(jnp.mean(reports, -2))  # noqa: E731
        gain, _ = gains(problem, double(env), mean, Draw(weight=jnp.full((60,), 1 / 60), types=truth), truth, lies)
    assert (np.asarray(gain).max(0) > 0.01).mean() > 0.5


def test_there_are_strategyproof_rules_for_two_facilities_that_are_no_generalised_medians() -> None:
    """One facility at agent 1's peak, who also says whether agent 2 or agent 3 has the other: nobody gains, and the second leaps as agent
    1's report moves, which a generalised median, whose slope in a report is 0 or 1, does not."""

    def placed(said: np.ndarray) -> np.ndarray:
        return np.stack([said[:, 0], np.where(said[:, 0] < 0.5, said[:, 1], said[:, 2])], -1)

    peaks = np.random.default_rng(4).uniform(size=(500, 3))
    for agent, lie in itertools.product(range(3), np.linspace(0, 1, 21)):
        lied = np.where(np.arange(3) == agent, lie, peaks)
        near, then = (np.abs(peaks[:, agent, None] - placed(said)).min(-1) for said in (peaks, lied))
        assert (near <= then).all()
    below, above = (placed(np.array([[at, 0.1, 0.9]])) for at in (0.499, 0.501))
    assert above[0, 1] - below[0, 1] > 0.7


def test_a_generalised_median_is_its_formula() -> None:
    """min over all 2^N coalitions of the larger of phantom and largest report, computed over all of them."""
    *_, built = posed({"kind": "generalised_median", **SMALL}, agents=4, facilities=2)
    rule = shaken(built, 5)
    phantoms = np.asarray(falling(rule.params["phantoms"]["phantoms"][...]))
    who = members(4).astype(bool)
    for less, more in itertools.product(range(16), repeat=2):
        if (who[less] <= who[more]).all():
            assert (phantoms[:, less] >= phantoms[:, more]).all()
    reports = np.random.default_rng(2).uniform(size=(30, 4)).astype(np.float32)
    largest = np.where(who, reports[:, None], -np.inf).max(-1)
    wanted = np.clip(np.maximum(phantoms[:, None], largest).min(-1).T, 0, 1)
    np.testing.assert_array_equal(np.asarray(jax.jit(lambda x: rule(x))(reports[..., None]).places)[:, 0], wanted)


def test_the_first_best_of_known_peaks_is_the_best_of_all_assignments() -> None:
    """Whoever goes where, tried one by one: weighted medians, and weighted centres, of every partition of six agents."""
    rng = np.random.default_rng(3)
    peaks, weights = rng.uniform(size=(4, 6)), rng.uniform(0.5, 2.0, 6)
    for facilities in (1, 2, 3):
        for cost, join in ((median_cost, np.add), (centre_cost, np.maximum)):
            found = grouped(peaks, weights, facilities, cost, join)
            tried = np.full(len(peaks), np.inf)
            for served in itertools.product(range(facilities), repeat=6):
                total = np.zeros(len(peaks))
                for facility in set(served):
                    group = [agent for agent in range(6) if served[agent] == facility]
                    total = join(total, _one_place(peaks[:, group], weights[group], cost is median_cost))
                tried = np.minimum(tried, total)
            np.testing.assert_allclose(found, tried, atol=1e-9)


def _one_place(peaks: np.ndarray, weights: np.ndarray, added: bool) -> np.ndarray:
    """The least cost of one place, which is at a peak if distances are added up, else where two lines cross."""
    pairs = (weights[:, None] * peaks[:, :, None] + weights * peaks[:, None]) / (weights[:, None] + weights)
    places = peaks if added else pairs.reshape(len(peaks), -1)
    distance = weights * np.abs(places[:, :, None] - peaks[:, None])
    return (distance.sum(-1) if added else distance.max(-1)).min(-1)


def test_the_optimum_of_one_facility_is_the_weighted_median_s() -> None:
    """Five uniform peaks: E Σ|x_i − median| = 4/6 + 2/6 = 1 exactly; with weights, and a law for each agent, what sampling finds."""
    model, problem, env, _ = posed()
    assert optimum(problem, env, model)["value"] == pytest.approx(-1.0, abs=1e-9)
    model, problem, env, _ = posed(weights=[3, 2, 1, 1, 1], prior={"kind": "uniform", "low": [0, 0, 0.2, 0.2, 0.5], "high": 1})
    sampled = first_bests(problem, env, model)
    assert optimum(problem, env, model)["value"] == pytest.approx(sampled.mean(), abs=4 * sampled.std() / np.sqrt(len(sampled)))


def test_the_best_percentiles_of_five_uniform_peaks_are_what_spacings_say() -> None:
    """Gaps between order statistics are 1/6 each on average: the median costs 1; three facilities at the 1st, 3rd and 5th cost twice the
    smaller of two gaps, 1/6. No rule does better than the first best on any profile."""
    for facilities, orders, cost in ((1, (2,), 1.0), (3, (0, 2, 4), 1 / 6)):
        model, problem, env, _ = posed(facilities=facilities)
        assert best_percentiles(problem, env) == orders
        peaks = peaks_drawn(problem, env, 100_000)
        values = worth(problem, env, peaks, np.sort(peaks, -1)[:, list(orders)])
        assert -values.mean() == pytest.approx(cost, abs=4 * values.std() / np.sqrt(len(values)))
        assert (values <= first_bests(problem, env, model) + 1e-6).all()  # importance is float32


def test_percentiles_are_counted_as_published() -> None:
    """⌊p(N − 1)⌋: the ends, the median, and a third of four others, which is not rounded down to none."""
    assert orders_of([0.0, 0.5, 1.0], 5) == (0, 2, 4)
    assert orders_of([1 / 3], 4) == (1,)


def test_the_objective_is_expected_over_the_lot() -> None:
    """Half here, half there: each agent's distance is the mean of both, and the least utility is the mean of the least in each."""
    _, problem, env, _ = posed(agents=2, objective="maximin", worth=1.0)
    draw = Draw(weight=jnp.ones(1), types=jnp.asarray([[[0.0], [1.0]]]))
    decision = type(surely(jnp.zeros((1, 1))))(places=jnp.asarray([[[0.0], [0.5]]]), chance=jnp.asarray([[0.5, 0.5]]))
    np.testing.assert_allclose(problem.utility(env, draw, decision, draw.types), [[0.75, 0.25]])
    np.testing.assert_allclose(problem.score(env, draw, decision, draw.types).value, [0.25])


def test_a_table_tells_places_and_distances_and_refuses_what_lies_outside() -> None:
    """The median of .1, .4, .9, … and how far everybody goes; a peak beyond the line is refused by name."""
    _, problem, env, _ = posed()
    table, rule = Table(problem, env), Rule.of(Ordered((2,)))
    numbers = np.array([[0.1, 0.9, 0.4, 0.5, 0.2]])
    placed = rule(*table.inputs(numbers, None))
    row = table.outputs(numbers, {"places": np.asarray(placed.places), "chance": np.asarray(placed.chance)})[0]
    np.testing.assert_allclose(row, [0.4, 1.0, 0.3, 0.5, 0.0, 0.1, 0.2], atol=1e-7)
    with pytest.raises(ConfigError, match=r"agent2_peak.*outside the support"):
        table.inputs(np.array([[0.1, 1.9, 0.4, 0.5, 0.2]]), lambda row, column, text: ConfigError(f"{column}: {text}"))


@pytest.mark.parametrize(
    ("problem", "rule", "says"),
    [({"facilities": 6}, {}, "at most 5"), ({"weights": [1, 2]}, {}, r"shape \[2\]"), ({"weights": [1, 1, 0, 1, 1]}, {}, "above 0"),
     ({"facilities": 2}, {"kind": "median"}, "places one facility, not 2"), ({}, {"kind": "dictators", "agents": [5]}, "the last is 4"),
     ({"facilities": 2}, {"kind": "percentile", "percentiles": [0.5]}, "one for each facility, 2"),
     ({"agents": 20}, {"kind": "generalised_median"}, "phantoms=network"), ({"agents": 30, "facilities": 8}, {}, "5,852,925"),
     ({"objective": "envy"}, {}, "problems of kind 'facility' do not tell"),
     ({"prior": {"kind": "any_of", "parts": [{"kind": "uniform"}, {"kind": "uniform"}]}}, {}, "one prior")],
)  # fmt: skip
def test_what_cannot_be_is_said(problem, rule, says) -> None:
    """One sentence that names what is wrong."""
    with pytest.raises(ConfigError, match=says):
        parse({"problem": {**FIVE, **problem}, "rule": rule})
