"""Learners and imitators: Rogers' paradox, and the subsidy that makes imitation worth something."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize

from icsap_jax.bilevel.equilibrium import settled
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import ConfigError, parse
from icsap_jax.evaluation import evaluate
from icsap_jax.games.population.judge import judge
from icsap_jax.games.population.optimum import Society

QUICK = {"xla_backend_optimization_level": 0}  # compiling is most of what these tests cost
GIVEN = {"kind": "population", "models": 2, "switching": 0.05, "learning_cost": 0.2}


def society_of(row):
    """The exact population of a row of the case, with D = 1 and W₀ = 0."""
    return Society(row["n"], row["gamma"], row["C_over_D"], 1.0, 0.0)


def test_every_published_row_is_reproduced(case) -> None:
    """All columns of all rows: where the population rests and is best off, and the subsidy. A maximum is flat: where the file searched for
    one, its place is known to the root of its precision."""
    for row in case("boyd_richerson")["cases"]:
        exact = society_of(row)
        rest, best = exact.rest(), exact.best()
        found = [rest, exact.right(rest), exact.fitness(rest), exact.fitness(best)]
        np.testing.assert_allclose(found, [row[name] for name in ("q_star", "P_at_q_star", "mean_fitness_star", "mean_fitness_opt")],
                                   rtol=0, atol=1e-12)  # fmt: skip
        np.testing.assert_allclose([best, exact.best_subsidy()], [row["q_opt"], row["pigou_subsidy_over_D"]], atol=2e-7)
        assert exact.rest(exact.best_subsidy()) == pytest.approx(best, abs=1e-12)


def test_an_imitator_is_right_as_often_as_its_line_of_models_says() -> None:
    """P added up over how many imitators stand between it and a learner: the environment must have switched an even number of times."""
    links = np.arange(3000)
    for models, switching, share in ((1, 0.05, 0.9), (2, 0.2, 0.5), (5, 0.01, 0.97)):
        copied = share**models
        chance = (1 - copied) * copied**links
        even = 0.5 * (1 + (1 - 2 * switching) ** links)
        assert Society(models, switching, 0.5, 1.0, 0.0).right(share) == pytest.approx(chance @ even, abs=1e-12)


def test_imitation_alone_makes_nobody_better_off() -> None:
    """Rogers' paradox: at rest all earn what learners earn, however good imitation is. Some other share would be better for all."""
    for models in (1, 3):
        for switching in (0.01, 0.2):
            exact = Society(models, switching, 0.9, 2.0, 5.0)
            assert exact.fitness(exact.rest()) == pytest.approx(5.0 + 2.0 - 0.9, abs=1e-12)
            assert exact.fitness(exact.best()) > exact.fitness(exact.rest()) + 0.05
            grid = np.linspace(0, 1, 2001)
            assert exact.fitness(exact.best()) >= max(exact.fitness(share) for share in grid)


@pytest.mark.parametrize(("subsidy", "imitators"), [(0.25, 0.0), (0.1, None), (-0.9, 1.0)])
def test_nobody_gains_by_being_of_the_other_kind_at_rest(subsidy, imitators) -> None:
    """In between, and where one kind has died out: nobody learns who loses more by it than being wrong half the time."""
    model = parse({"problem": GIVEN}).problem
    problem, env = model.build(None)
    found = judge(problem, env, model, lambda: subsidy, None)
    assert (found.gap * found.weight).max() <= 1e-12
    assert found.value == pytest.approx(found.objectives["mean_fitness"])
    if imitators is not None:
        assert found.objectives["imitators"] == imitators


def test_the_subsidy_is_learned_through_the_point_of_rest(case) -> None:
    """At a temperature of 10⁻⁹, in float64: the share of imitators is ((1 − m)/(1 − (1 − 2γ) m))^{1/n} at m = 1 − C/D + s/D; climbing by
    the implicit slope from no subsidy leads to the file's, by which nobody gains by being of the other kind."""
    row = next(row for row in case("boyd_richerson")["cases"] if (row["n"], row["gamma"], row["C_over_D"]) == (2, 0.05, 0.2))
    config = parse({"problem": GIVEN})
    problem, env = config.problem.build(None)
    draw = problem.draw(env, None, 1)
    rule = config.rule.build(problem, env, jax.random.key(0))
    flat, rebuild = ravel_pytree(rule.params)

    def loss(numbers):
        decision = problem.decide(env, Rule(rebuild(numbers), rule.graph), None, None)
        found = settled(problem, env, draw, decision, problem.begin(env, draw), jnp.asarray(1e-9), 40)
        return -problem.score(env, draw, decision, found.action).value[0], (decision, jax.nn.sigmoid(found.action), found.converged)

    with jax.enable_x64(True):
        both = jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=QUICK)
        (_, (subsidy, share, converged)), _ = both(np.float64([0.3]))
        earned = 0.8 + float(subsidy)
        assert converged
        assert share == pytest.approx(((1.0 - earned) / (1.0 - 0.9 * earned)) ** 0.5, abs=1e-7)
        learned = minimize(lambda at: [np.asarray(each, float) for each in (both(at)[0][0], both(at)[1])], np.zeros(1), jac=True,
                           method="L-BFGS-B").x  # fmt: skip
    result = evaluate(config, problem, env, Rule(rebuild(jnp.asarray(learned, flat.dtype)), rule.graph))
    found = result["details"]["learned"]
    assert found["subsidy"] == pytest.approx(row["pigou_subsidy_over_D"], abs=1e-3)
    assert found["imitators"] == pytest.approx(row["q_opt"], abs=1e-3)
    assert result["objective"]["value"] == pytest.approx(row["mean_fitness_opt"], abs=1e-6)  # flat at its largest
    assert result["optimum"]["value"] == pytest.approx(row["mean_fitness_opt"], abs=1e-9)
    assert result["baselines"]["no_subsidy"] == pytest.approx(row["mean_fitness_star"], abs=1e-9)
    assert result["incentive_gap"]["max"] <= 1e-12


def test_the_replicator_equation_leads_to_the_same_rest() -> None:
    """Two thousand steps of it, under a subsidy of a tenth, against bisection; float32."""
    problem, env = parse({"problem": GIVEN}).problem.build(None)
    walk = jax.jit(lambda x: jax.lax.fori_loop(0, 2000, lambda _, at: problem.learn(env, None, 0.1, at, 0.5), x), compiler_options=QUICK)
    assert jax.nn.sigmoid(walk(jnp.zeros(()))) == pytest.approx(Society(2, 0.05, 0.2, 1.0, 0.0).rest(0.1), abs=1e-5)


@pytest.mark.parametrize(("key", "value"), [("models", 0), ("switching", 0.5), ("switching", 0), ("learning_cost", 0), ("benefit", -1)])
def test_a_wrong_population_is_refused_with_its_key(key, value) -> None:
    """Each mistake in one sentence."""
    with pytest.raises(ConfigError, match=rf"problem\.{key} = {value}"):
        parse({"problem": {**GIVEN, key: value}})
