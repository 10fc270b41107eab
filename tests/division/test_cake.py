"""Cakes whose tastes are known: the best division by each measure, what fairness costs, and that learning finds it."""

from __future__ import annotations

import csv

import jax
import numpy as np
import pytest

from icsap_jax.artifact.formats import export
from icsap_jax.config import ConfigError, load, parse
from icsap_jax.division import schema  # noqa: F401  (its kinds become known)
from icsap_jax.division.optimum import best, optimum, price_of_fairness
from icsap_jax.division.pictures import pictures
from icsap_jax.division.problem import enjoyed, envy, lacking, wishes
from icsap_jax.division.told import NOTHING_REPORTED

WISHES = ("utilitarian", "maximin", "nash_welfare", "equitable")


def problem_of(**given):
    """The checked problem of a file."""
    return parse({"problem": {"kind": "cake", **given}}).problem


def random_tastes(seed, agents=3, pieces=5):
    """Tastes that resemble each other, so that fairness costs something."""
    rng = np.random.default_rng(seed)
    alike = rng.dirichlet(np.ones(pieces))
    return np.stack([rng.dirichlet(8 * alike + 0.05) for _ in range(agents)])


def test_two_agents(case) -> None:
    """The file's largest smaller share, sum, and utilities at the largest product."""
    for said in case("cake_cutting")["heterogeneous"]:
        values = np.array([said["a"], said["b"]])
        assert best(values, "maximin").value == pytest.approx(said["maxmin_equitable"])
        assert best(values, "utilitarian").value == pytest.approx(said["utilitarian"])
        nash = best(values, "nash_welfare")
        assert nash.value**2 == pytest.approx(said["nash_product"], abs=1e-8)
        # A product is flat at its top: 10⁻⁹ off in the product may be the root of that in each factor.
        np.testing.assert_allclose(enjoyed(values, nash.shares), said["nash_welfare_utils"], atol=1e-4)


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("constraints", [(), ("envy_free",), ("proportional",)])
def test_no_division_is_better_than_the_best(wish, constraints) -> None:
    """2 000 divisions at random, some near the best one, of which those that keep the constraints are worth no more; the best keeps them,
    and gives all of the cake away."""
    values, rng = random_tastes(1), np.random.default_rng(0)
    found = best(values, wish, constraints)
    np.testing.assert_allclose(found.shares.sum(0), 1.0, atol=1e-12)
    assert wishes(enjoyed(values, found.shares))[wish] == pytest.approx(found.value, abs=1e-8)
    away = rng.dirichlet(np.ones(3), (2_000, 5)).swapaxes(1, 2)
    step = rng.choice([0.01, 0.1, 1.0], (2_000, 1, 1))
    tried = np.concatenate([(1 - step) * found.shares + step * away, found.shares[None]])
    missed = {"envy_free": envy(values, tried).max((1, 2)), "proportional": lacking(values, tried).max(1)}
    kept = np.all([missed[name] <= 1e-8 for name in constraints], axis=0) if constraints else np.ones(len(tried), bool)
    assert kept[-1]
    assert kept.sum() > 1
    assert wishes(enjoyed(values, tried[kept]))[wish].max() <= found.value + 1e-7


def test_the_bound_on_nash_welfare_is_close_and_above() -> None:
    """By convex programming, to a relative 10⁻⁸; and its division leaves no envy, as a competitive equilibrium from equal incomes does
    (Varian 1974), up to the root of that."""
    for seed in range(3):
        found = best(random_tastes(seed), "nash_welfare")
        assert found.value <= found.bound + 1e-12
        assert found.bound <= found.value * (1 + 1e-8)
        assert envy(random_tastes(seed), found.shares).max() <= 1e-4


def test_fairness_costs_more_the_more_it_asks() -> None:
    """Whoever envies nobody has its proportional part, so that envy-freeness costs at least as much; on these tastes more."""
    price = price_of_fairness(random_tastes(1))
    assert 1.0 < price["proportional"] < price["envy_free"]
    assert price["nash_welfare"] >= price["envy_free"] - 1e-4  # it is envy-free, to the tolerance above
    assert price["maximin"] >= price["proportional"] - 1e-9  # it is proportional where every cake is worth 1


def test_nash_welfare_does_not_depend_on_units() -> None:
    """One agent's values ten times as large: the same division; the smallest share of the maximin one grows."""
    values = random_tastes(2)
    larger = values * np.array([[10.0], [1.0], [1.0]])
    one, other = best(values, "nash_welfare"), best(larger, "nash_welfare")
    assert other.value == pytest.approx(10 ** (1 / 3) * one.value, rel=1e-8)
    assert best(larger, "maximin").value > best(values, "maximin").value + 0.01
    model = problem_of(values=larger.tolist(), objective="maximin")
    assert optimum(*model.build(None), model)["value"] == pytest.approx(best(values, "maximin").value)


def test_a_logarithm_of_nothing_has_a_slope() -> None:
    """Nash welfare where somebody gets nothing is 0, with a derivative that is a number."""
    slope = jax.jit(jax.grad(lambda gets: wishes(gets)["nash_welfare"]))(np.float32([0.0, 0.5]))
    assert np.isfinite(slope).all()
    assert wishes(np.array([0.0, 0.5]))["nash_welfare"] == 0.0


@pytest.mark.parametrize("name", ["cake_n3_maximin", "cake_n4_nash", "cake_n5_envy_free"])
def test_the_best_division_is_learned(train, name) -> None:
    """Within half a percent of the optimum of the same run, constraints kept, and nobody gains by a report that nobody asks for."""
    result, _ = train(name, "training.steps=2500")
    assert result["ratio_to_optimum"] >= 0.995
    assert result["ratio_to_optimum"] <= 1 + 1e-7  # a division that keeps the constraints cannot be better
    assert all(missed <= 1e-9 for missed in result["details"].get("constraints", {}).values())
    assert ("constraints" in result["details"]) == name.endswith("envy_free")
    assert result["incentive_gap"]["max"] == 0.0
    assert result["incentive_gap"]["method"] == NOTHING_REPORTED


def test_a_division_is_a_list_and_a_picture(train, tmp_path) -> None:
    """The export's shares of each piece sum to 1 and are worth to everybody what the result tells."""
    result, folder = train("cake_n5_envy_free", "training.steps=2500")
    with export(folder, "csv", tmp_path / "shares.csv").open() as file:
        shares = np.array([[float(row[f"agent{agent}"]) for agent in range(1, 6)] for row in csv.DictReader(file)])
    np.testing.assert_allclose(shares.sum(1), 1.0)
    values = np.asarray(parse_values(folder))
    np.testing.assert_allclose(enjoyed(values, shares.T), result["details"]["utilities"], atol=1e-9)
    most = best(values, "utilitarian").value
    assert result["details"]["price_of_fairness"]["learned"] == pytest.approx(most / result["objective"]["value"])


def parse_values(folder):
    """The tastes of a run, each agent's divided by their sum."""
    values = np.asarray(load(folder / "config.yaml").problem.values)
    return values / values.sum(1, keepdims=True)


def test_the_division_is_drawn(tmp_path) -> None:
    """With more agents than the look has colours too."""
    config = parse({"problem": {"kind": "cake", "values": random_tastes(0, 6, 4).tolist()}})
    problem, env = config.problem.build(None)
    pictures(problem, env, config.rule.build(problem, env, jax.random.key(0)), config.problem, tmp_path)
    assert (tmp_path / "division.png").stat().st_size > 10_000  # a blank page is smaller


@pytest.mark.parametrize(("given", "said"), [
    ({"values": [[0.5, 0.5]]}, r"values.* shape \[1, 2\].* at least 2 agents"),
    ({"values": [0.5, 0.5]}, r"values.* shape \[2\]"),
    ({"values": [[0.5, 0.5], [0.5]]}, r"values.* equal length"),
    ({"values": [[0.5, 0.5], [0.5, -0.1]]}, r"values\.1\.1 = -0\.1 should be at least 0"),
    ({"values": [[0.5, 0.5], [0, 0]]}, r"values\.1.* worth something"),
    ({"values": [[1, 2], [2, 1]], "objective": "fair"}, r"objective"),
    ({"values": [[1, 2], [2, 1]], "constraints": ["envy_free", "envy_free"]}, r"constraints.* once"),
    ({"values": [[1, 2], [2, 1]], "constraints": ["jealous"]}, r"constraints"),
])  # fmt: skip
def test_a_wrong_cake_is_refused_with_its_key(given, said) -> None:
    """Each mistake in one sentence."""
    with pytest.raises(ConfigError, match=said):
        problem_of(**given)
