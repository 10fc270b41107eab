"""One cuts, the other chooses: where the cutter cuts, which chance of picking first is best, and that it is found from everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from icsap_jax.bilevel.fit import Trainer, member, run, stack
from icsap_jax.config import ConfigError, parse
from icsap_jax.division.cut import schema  # noqa: F401  (its kinds become known)
from icsap_jax.division.cut.optimum import (
    Tastes,
    baselines,
    best_and_worst,
    best_chance,
    given_pieces,
    liked,
    measures,
    tastes_of,
    value,
    worth,
)
from icsap_jax.division.cut.pictures import pictures
from icsap_jax.division.cut.problem import chance_of

ALIKE = Tastes(np.array([0.0, 1.0]), np.ones(1), np.ones(1))
QUARTERS = np.linspace(0.0, 1.0, 5)
STARTS = (1e-4, 0.5, 0.9, 0.999, 1 - 1e-6)


def config_of(problem=(), rule=(), **training):
    """A checked problem file."""
    return parse({"problem": {"kind": "cut_and_choose", **dict(problem)}, "rule": {"kind": "first_pick", **dict(rule)},
                  "training": training})  # fmt: skip


def random_tastes(seed, parts=4):
    """Two tastes on parts of unequal length."""
    rng = np.random.default_rng(seed)
    edges = np.concatenate([[0.0], np.cumsum(rng.dirichlet(np.ones(parts)))[:-1], [1.0]])
    return Tastes(edges, rng.dirichlet(np.ones(parts)), rng.dirichlet(np.ones(parts)))


def test_a_cake_that_both_like_alike(case) -> None:
    """The file's table: below 1/2 the cutter cuts in the middle, above it leaves one piece."""
    for chance, said in case("cake_cutting")["homogeneous"].items():
        plan, worst = best_and_worst(ALIKE, "ex_post_spread", float(chance))
        found = measures(float(chance), plan.first, plan.second)
        assert max(plan.cut, 1 - plan.cut) == pytest.approx(said["best_cut_max_piece"])
        assert plan.cutter(float(chance)) == pytest.approx(said["cutter_expected_share"])
        assert found["ex_post_spread"] == pytest.approx(said["ex_post_spread"])
        assert found["ex_ante_spread"] == pytest.approx(said["ex_ante_spread"])
        assert worst.cutter(float(chance)) == pytest.approx(said["cutter_expected_share"])


def test_unequal_tastes(case) -> None:
    """The file's medians, and what both get from a sincere and from a strategic cutter."""
    for said in case("cake_cutting")["heterogeneous"]:
        tastes = Tastes(QUARTERS, np.array(said["a"]), np.array(said["b"]))
        at = tastes.medians()[0]
        if (np.array(said["a"]) > 0).all():  # the file names another of many medians where the middle is worth nothing
            assert at == pytest.approx(said["cut_at_cutter_median"])
            others = said["sincere_cutter_utils"]
            sincere = given_pieces(tastes, at, not liked(float(tastes.left(at)[1]))[0])
            np.testing.assert_allclose(sincere, others, atol=1e-9)
        assert tastes.medians()[1] == pytest.approx(said["cut_at_chooser_median"], abs=1e-9)
        best, _ = best_and_worst(tastes, "ex_post_spread", 0.0)
        np.testing.assert_allclose(best.expected(0.0), said["strategic_cutter_utils"], atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_no_cut_brings_the_cutter_more(seed) -> None:
    """Against 20 001 cuts, one by one, the cutter's equilibrium is worth as much as the best of them, to what lies between two."""
    tastes, cuts = random_tastes(seed), np.linspace(0.0, 1.0, 20_001)
    own, other = tastes.left(cuts)
    steep = max(tastes.cutter / np.diff(tastes.edges))
    for chance in (0.0, 0.3, 0.7, 1.0):
        tried = chance * np.maximum(own, 1 - own) + (1 - chance) * np.where(other > 0.5, 1 - own, own)
        found = best_and_worst(tastes, "welfare", chance)[0].cutter(chance)
        assert tried.max() <= found + 1e-9
        assert found <= tried.max() + steep / 20_000


@pytest.mark.parametrize("objective", ["ex_post_spread", "ex_ante_spread", "maximin", "welfare"])
def test_no_chance_is_better_than_the_best(objective) -> None:
    """Against 201 chances on random tastes."""
    for seed in range(3):
        tastes = random_tastes(seed, 3)
        chance, found = best_chance(tastes, objective)
        assert worth(tastes, objective, chance)[0] == pytest.approx(found)
        assert max(worth(tastes, objective, each)[0] for each in np.linspace(0, 1, 201)) <= found + 1e-9


def test_the_objective_jumps_at_an_even_chance() -> None:
    """From no spread at all to all of the cake; with an even chance every cut is as good for the cutter, and both can happen."""
    assert worth(ALIKE, "ex_post_spread", 0.5 - 1e-6) == (0.0, 0.0)
    assert worth(ALIKE, "ex_post_spread", 0.5 + 1e-6) == (-1.0, -1.0)
    assert worth(ALIKE, "ex_post_spread", 0.5) == (0.0, -1.0)


def test_ties_are_told_both_ways() -> None:
    """The cutter who likes the ends alone gets 1/2 by any cut between the quarters; at their ends the chooser gets all that it likes."""
    tastes = Tastes(QUARTERS, np.array([0.5, 0, 0, 0.5]), np.array([0, 0.5, 0.5, 0]))
    assert worth(tastes, "ex_post_spread", 0.0) == (0.0, -0.5)


def test_a_chooser_who_does_not_care_may_do_anything() -> None:
    """Its taste is flat between the quarters, where it is indifferent. At best it leaves the cutter 3/4, at worst the cutter is only sure
    of 1/2: both are equilibria."""
    tastes = Tastes(QUARTERS, np.full(4, 0.25), np.array([0.5, 0, 0, 0.5]))
    assert best_and_worst(tastes, "ex_post_spread", 0.0)[0].expected(0.0) == pytest.approx([0.5, 0.5])
    assert best_and_worst(tastes, "ex_post_spread", 0.0)[1].expected(0.0) == pytest.approx([0.75, 0.5])


def chances_after(temperature, end):
    """Where training leads from each of STARTS."""
    states = []
    for initial in STARTS:
        config = config_of(rule={"initial": initial}, steps=800, learning_rate=0.05,
                           response={"kind": "logit", "temperature": temperature, "temperature_end": end})  # fmt: skip
        problem, env = config.problem.build(Path())
        trainer = Trainer.of(problem, config.training)
        states.append(trainer.init(env, config.rule.build(problem, env, jax.random.key(0)), jax.random.key(1), config.training))
    state, _ = run(trainer, env, stack(states), 800)
    return np.array([chance_of(member(state, place).rule) for place in range(len(STARTS))])


def test_cut_and_choose_is_found_from_everywhere() -> None:
    """With a cutter that is quantal at first every start ends below 1/2, where an exact one gives each its half."""
    for chance in chances_after(0.1, 0.01):
        assert chance < 0.1
        plan, worst = best_and_worst(ALIKE, "ex_post_spread", chance)
        assert plan.expected(chance) == pytest.approx([0.5, 0.5], abs=1e-9)
        assert worst.expected(chance) == pytest.approx([0.5, 0.5], abs=1e-9)


def test_a_cutter_too_cold_for_the_grid_gives_no_slope() -> None:
    """At 1/17 of the distance of cuts what it does elsewhere is lost in rounding: who begins at the wrong end stays there."""
    chance = chances_after(3e-4, 3e-4)
    assert chance[0] < 0.01
    assert (chance[3:] > 0.8).all()


def test_the_wrong_end_is_left_and_told(train, tmp_path) -> None:
    """The whole run, from .999: shares of 1/2, the optimum, nobody gains by anything, and a record of the way for the picture."""
    result, folder = train("cut_and_choose_from_the_wrong_end")
    assert result["objective"]["value"] == pytest.approx(0.0, abs=1e-9)
    assert result["objective"]["adversarial_ties"] == pytest.approx(0.0, abs=1e-9)
    assert result["optimum"]["value"] == 0.0
    assert result["incentive_gap"]["max"] == 0.0
    assert result["details"]["equilibrium"]["expected"] == pytest.approx([0.5, 0.5], abs=0.01)
    assert result["baselines"]["cutter_picks_first"] == -1.0
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["cutter_first"] > 0.99
    assert lines[-1]["cutter_first"] < 0.1
    config = config_of()
    problem, env = config.problem.build(Path())
    (tmp_path / "metrics.jsonl").write_text((folder / "metrics.jsonl").read_text())
    pictures(problem, env, config.rule.build(problem, env, jax.random.key(0)), config.problem, tmp_path / "plots")
    assert (tmp_path / "plots" / "path.png").stat().st_size > 10_000  # a blank page is smaller


def test_a_rule_has_several_starts() -> None:
    """The chance that the file begins with, and the others evenly apart."""
    config = config_of(rule={"initial": 0.9, "others": 3})
    problem, env = config.problem.build(Path())
    begun = config.rule.hook("starts")(config.rule, problem, env, jax.random.key(0))
    np.testing.assert_allclose(1 / (1 + np.exp(-begun.params["logarithm"][...])), [0.9, 0.25, 0.5, 0.75], atol=1e-6)


def test_the_baselines_are_those_of_the_tastes(case) -> None:
    """Cut-and-choose leaves the file's difference of strategic utilities, a sincere cutter that of the sincere ones."""
    said = case("cake_cutting")["heterogeneous"][1]
    model = config_of({"cutter": said["a"], "chooser": said["b"]}).problem
    found = baselines(None, None, model)
    assert found["cut_and_choose"] == pytest.approx(-abs(np.diff(said["strategic_cutter_utils"])[0]))
    assert found["sincere_cutter"] == pytest.approx(-abs(np.diff(said["sincere_cutter_utils"])[0]))


def test_spreads_count_against_the_designer() -> None:
    """F = −|f₁ − f₂|: two shares further apart are worth less (the printed equation has it the other way round)."""
    even, uneven = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    worth_of = [value("ex_post_spread", 0.3, *each) for each in ((even, even), (even, uneven), (uneven, uneven))]
    assert worth_of[0] > worth_of[1] > worth_of[2]


def test_parts_need_not_be_of_equal_length() -> None:
    """The same cake in three parts or in ten."""
    coarse = tastes_of(config_of({"cutter": [0.6, 0.1, 0.3], "chooser": [0.1, 0.5, 0.4], "edges": [0, 0.2, 0.7, 1]}).problem)
    fine = tastes_of(config_of({"cutter": [3, 3, *[0.2] * 5, *[1] * 3], "chooser": [0.5, 0.5, *[1] * 5, *[4 / 3] * 3]}).problem)
    for chance in (0.0, 0.4, 0.8):
        assert worth(coarse, "ex_ante_spread", chance) == pytest.approx(worth(fine, "ex_ante_spread", chance), abs=1e-9)


@pytest.mark.parametrize(("given", "said"), [
    ({"cutter": [0.5, -0.5]}, r"cutter\.1 = -0\.5 should be at least 0"),
    ({"cutter": [0.0, 0.0]}, r"cutter.* worth something"),
    ({"cutter": [[0.5], [0.5]]}, r"cutter.* has 2 axes"),
    ({"cutter": [0.5, 0.5], "chooser": [0.2, 0.3, 0.5]}, r"chooser.* has 3 parts, and cutter 2"),
    ({"cutter": [0.5, 0.5], "edges": [0, 1]}, r"edges.* has 2 points; 2 parts have 3"),
    ({"edges": [0, 0.7, 0.3, 1]}, r"edges.* rise from 0 to 1"),
    ({"objective": "spread"}, r"objective"),
])  # fmt: skip
def test_a_wrong_cake_is_refused_with_its_key(given, said) -> None:
    """Each mistake in one sentence."""
    with pytest.raises(ConfigError, match=said):
        config_of(given)


def test_the_chance_is_a_probability() -> None:
    """At 0 or 1 its logarithm is infinite."""
    with pytest.raises(ConfigError, match="initial = 1"):
        config_of(rule={"initial": 1.0})
