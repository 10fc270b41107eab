"""One rule for all cakes: blind to names and units, judged on unseen cakes against the best division of each, and open to misreports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.bilevel import deviations
from icsap_jax.bilevel.deviations import double
from icsap_jax.config import ConfigError, parse
from icsap_jax.division.family import evaluation
from icsap_jax.division.family.evaluation import baselines, known, optimum
from icsap_jax.division.family.table import DivisionTable
from icsap_jax.division.optimum import best

CAKES = 6


@pytest.fixture(scope="module")
def family():
    """(config, problem judged on a few cakes, env, a fresh rule)."""
    config = parse({"problem": {"kind": "cake_family", "agents": 2, "pieces": 2},
                    "rule": {"kind": "division_rule", "width": 4, "rounds": 2},
                    "evaluation": {"gap_profiles": CAKES, "item_grid": 5, "starts": 2, "steps": 5}})  # fmt: skip
    problem, env = config.problem.build(Path())
    rule = config.rule.build(problem, env, jax.random.key(0))
    return config, problem.judged_on(1, CAKES), env, rule


def with_weights(rule, **scaled):
    """The same rule with some parameters multiplied."""
    params = jax.tree.map(lambda leaf: leaf, rule.params)
    for name, factor in scaled.items():
        params[name].set_value(factor * params[name][...])
    return replace(rule, params=params)


def test_names_and_units_do_not_matter(family) -> None:
    """Agents and pieces in another order get the same in that order, and an agent who counts in tenths what it would have got."""
    rule = with_weights(family[3], correction=50.0)  # a fresh network hardly corrects the first division
    rng = np.random.default_rng(0)
    reports = rng.dirichlet(np.ones(4), (5, 3)).astype(np.float32)
    decide = jax.jit(lambda reports: rule(reports).shares)
    shares = np.asarray(decide(reports))
    assert np.abs(shares - np.asarray(decide(reports[::-1]))).max() > 0.01
    agents, pieces = [2, 0, 1], [3, 1, 0, 2]
    np.testing.assert_allclose(decide(reports[:, agents][:, :, pieces]), shares[:, agents][:, :, pieces], atol=1e-5)  # float32
    tenths = reports * np.float32([[10.0], [1.0], [0.3]])
    np.testing.assert_allclose(decide(tenths), shares, atol=1e-4)  # the millionth that keeps a report of nothing harmless


def test_the_optimum_is_that_of_each_cake(family) -> None:
    """The mean of the linear programmes, one by one, on the cakes that the evaluation draws."""
    config, problem, env, _ = family
    tastes, optima = known(problem, 1.0)
    assert tastes.shape == (CAKES, 2, 2)
    np.testing.assert_allclose(optima, [best(each, "maximin").value for each in tastes])
    assert optimum(problem, env, config.problem)["value"] == pytest.approx(optima.mean())


def on_a_grid(problem, search, env, rule, draw):
    """The gap over 25 reports: to compile the strong search takes longer than all tests here together."""
    points = np.stack(np.meshgrid(*[np.linspace(0, 1, 5)] * 2), -1).reshape(-1, 1, 1, 2)
    return np.asarray(deviations.judge(problem, env, rule, draw, jnp.asarray(np.broadcast_to(points, (25, *draw.types.shape)))))


def test_what_tempts_nobody_and_what_tempts(family) -> None:
    """A rule that ignores tastes gives equal shares, at which no report gains anything; one that divides each piece by taste gives what
    the baseline says; and one that nearly gives each piece to who likes it most tempts agents to say that they like more."""
    config, problem, env, rule = family
    said, found = baselines(problem, env, config.problem), []
    with jax.enable_x64(True), mock.patch.object(evaluation, "box_gap", on_a_grid):
        for taste in (0.0, 1.0, 4.0):
            env64, rule64 = jax.tree.map(jnp.asarray, (double(env), double(with_weights(rule, taste=taste, correction=0.0))))
            found.append(evaluation.judge(problem, env64, config.problem, rule64, config.evaluation))
    equal, by_taste, sharp = found
    assert equal.value == pytest.approx(said["equal_shares"])
    assert equal.gap.max() <= 1e-12
    assert equal.details["largest_envy"]["worst"] <= 1e-12
    assert by_taste.value == pytest.approx(said["by_taste"], abs=2e-3)  # the rule adds a thousandth before it takes logarithms
    assert sharp.gap.mean() > 0.01 > by_taste.gap.mean()
    assert all(each.details["feasibility_violation"] <= 1e-12 for each in found)
    assert all(each.details["ratio"]["worst"] <= 1.0 for each in found)


def test_a_table_takes_tastes_in_any_units(family) -> None:
    """What goes in is divided by its sum; a taste below 0 and an agent who likes nothing are refused by row and column."""
    _, problem, env, _ = family
    table = DivisionTable(problem, env)

    def refuse(row, column, text):
        return ConfigError(f"{row} {column} {text}")

    given = np.array([[1.0, 3.0, 10.0, 10.0]])
    np.testing.assert_allclose(table.inputs(given, refuse)[0], [[[0.25, 0.75], [0.5, 0.5]]])
    with pytest.raises(ConfigError, match="0 agent2_piece1 is -10"):
        table.inputs(given * [[1, 1, -1, 1]], refuse)
    with pytest.raises(ConfigError, match="0 agent1_piece1 and all others"):
        table.inputs(given * [[0, 0, 1, 1]], refuse)
