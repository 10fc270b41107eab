"""Linear wages for continuous effort: learned through an implicit response, against closed forms and independent searches."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from icsap_jax import evaluation
from icsap_jax.bilevel.check import gradient_error
from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.fit import Trainer
from icsap_jax.bilevel.stationary import Stationary, stationary_reply
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import ConfigError, parse
from icsap_jax.contracts.effort import schema  # noqa: F401  its kinds are known once it is imported
from icsap_jax.contracts.effort.exact import of_model
from icsap_jax.contracts.effort.problem import Slopes

QUICK = {"xla_backend_optimization_level": 0}  # compiling is most of what these tests cost
ROUNDING = 1e-9  # float64, and Newton's last step
SLOPE = 1e-4  # the profit is flat at the best slopes: float32 steps tell slopes apart to about the root of its rounding
TWO = {"kind": "effort", "gains": [1.0, 1.0], "cost": [[1.0, 0.5], [0.5, 1.0]], "noise": [0.5, 2.0], "risk_aversion": 1.0}
POWER = {"kind": "effort", "gains": 1.0, "cost": {"kind": "power", "scale": 1.3, "exponent": 3.0}, "noise": 0.7, "risk_aversion": 2.0}


def settled(problem: dict, slopes: list[float]):
    """(decision, action [T], the Response) in float64 at given slopes."""
    config = parse({"problem": problem})
    game, env = config.problem.build(Path())

    @partial(jax.jit, compiler_options=QUICK)
    def reply(env, slopes):
        decision = game.decide(env, Rule.of(Slopes(slopes, 1.0)), None, None)
        found = stationary_reply(game, env, game.draw(env, jax.random.key(0), 1), decision)[0]
        return decision, found.action[0, 0], found

    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, reply(jax.tree.map(jnp.asarray, double(env)), jnp.asarray(slopes)))


# A coarser grid of deviations is enough of one or two numbers.
COARSE = ("evaluation.joint_grid=41", "evaluation.item_grid=41")


def test_one_task_is_paid_as_holmstrom_and_milgrom_say(train, case) -> None:
    """C08 through the command's own path: value to the file's tolerance, the wage, the effort, and no gap or loss."""
    expected, result = case("C08")["solution"], train("len", *COARSE)[0]
    assert result["objective"]["value"] == pytest.approx(expected["principal_utility"], abs=case("C08")["tol"])
    assert result["optimum"]["value"] == pytest.approx(expected["principal_utility"], abs=ROUNDING)
    told = result["details"]
    assert told["slopes"] == pytest.approx([expected["beta"]], abs=SLOPE)
    assert told["fixed_wage"] == pytest.approx(expected["alpha"], abs=SLOPE)
    assert told["effort"] == pytest.approx([expected["action"]], abs=2 * SLOPE)  # 1/C = 2 times the slope's
    assert result["baselines"]["first_best"] == pytest.approx(expected["first_best"], abs=ROUNDING)
    assert result["incentive_gap"]["max"] <= ROUNDING
    assert result["participation_violation"] <= ROUNDING
    assert told["unconverged"] == 0


def test_two_tasks_are_paid_together(train, case) -> None:
    """C09, both tasks measured."""
    expected, result = case("C09")["solution"], train("multitask", *COARSE)[0]
    assert result["objective"]["value"] == pytest.approx(expected["principal_utility"], abs=case("C09")["tol"])
    assert result["optimum"]["value"] == pytest.approx(expected["principal_utility"], abs=ROUNDING)
    assert result["details"]["slopes"] == pytest.approx(expected["beta"], abs=SLOPE)
    assert result["details"]["effort"] == pytest.approx(expected["action"], abs=2 * SLOPE)


def test_what_cannot_be_measured_weakens_what_is_paid_for_the_rest(train, case) -> None:
    """C09 with the second task unmeasured: its effort turns negative, and paying for the first as if it were alone overpowers it."""
    solution, result = case("C09")["solution"], train("multitask_unmeasured", *COARSE)[0]
    expected, told = solution["unmeasured_task2"], result["details"]
    assert result["objective"]["value"] == pytest.approx(expected["principal_utility"], abs=case("C09")["tol"])
    assert told["slopes"] == pytest.approx(expected["beta"], abs=SLOPE)
    assert told["slopes"][1] == 0.0
    assert told["effort"] == pytest.approx(expected["action"], abs=2 * SLOPE)
    assert told["single_task_slopes"] == pytest.approx([solution["naive_single_task_beta"], 0.0], abs=ROUNDING)
    assert result["baselines"]["single_task_slopes"] < result["objective"]["value"]


def test_a_cost_that_is_not_quadratic_is_learned_as_well(train) -> None:
    """Against a search over the slope that shares nothing with the package: effort √β at cost a³/3."""
    best = minimize_scalar(lambda b: -(b**0.5 - b**1.5 / 3 - 0.5 * b**2), bounds=(0.01, 1.0), method="bounded", options={"xatol": 1e-12})
    result = train("len_power", *COARSE)[0]
    assert result["objective"]["value"] == pytest.approx(-best.fun, abs=1e-6)
    assert result["optimum"]["value"] == pytest.approx(-best.fun, abs=ROUNDING)
    assert result["details"]["slopes"] == pytest.approx([best.x], abs=SLOPE)


def test_the_implicit_effort_is_the_closed_form_and_so_is_its_derivative() -> None:
    """C⁻¹β, and C⁻¹."""
    slopes, config = [0.6, -0.2], parse({"problem": TWO})
    _, effort, found = settled(TWO, slopes)
    assert bool(found.converged)
    inverse = np.linalg.inv(np.array(TWO["cost"]))
    np.testing.assert_allclose(effort, inverse @ slopes, atol=ROUNDING)
    game, env = config.problem.build(Path())
    with jax.enable_x64(True):
        env = jax.tree.map(jnp.asarray, double(env))
        draw = game.draw(env, jax.random.key(0), 1)

        def chosen(slopes):
            return stationary_reply(game, env, draw, game.decide(env, Rule.of(Slopes(slopes, 1.0)), None, None))[0].action[0, 0]

        slope = jax.jit(jax.jacrev(chosen), compiler_options=QUICK)(jnp.asarray(slopes))
        np.testing.assert_allclose(slope, inverse, atol=ROUNDING)


def test_the_formula_and_the_implicit_response_train_alike() -> None:
    """Value and gradient of one play, by the closed form and by Newton, in float64; a power has no formula and says so."""
    game, env = parse({"problem": TWO}).problem.build(Path())
    with jax.enable_x64(True):
        env = jax.tree.map(jnp.asarray, double(env))

        def value(slopes, closed):
            response, rule = Stationary(steps=40, closed_form=closed), Rule.of(Slopes(slopes, 1.0))
            return response.play(game, env, rule, (), jax.random.key(0), 0, 1, {}).value

        both = jax.jit(jax.value_and_grad(value), static_argnums=1, compiler_options=QUICK)
        one, other = (both(jnp.asarray([0.3, 0.4]), closed) for closed in (True, False))
        np.testing.assert_allclose(one[0], other[0], atol=ROUNDING)
        np.testing.assert_allclose(one[1], other[1], atol=ROUNDING)
    power, numbers = parse({"problem": POWER}).problem.build(Path())
    with pytest.raises(ConfigError, match="closed_form = true"):
        Stationary(steps=40, closed_form=True).init(power, numbers, {}, jax.random.key(0), 1)


def test_the_loss_through_a_power_has_the_slope_of_its_differences() -> None:
    """Of the whole training loss, in float64; 1e-6: the square of the difference's width and the rounding it leaves."""
    config = parse({"problem": POWER})
    game, env = config.problem.build(Path())
    trainer = Trainer.of(game, config.training)
    state = trainer.init(env, config.rule.build(game, env, jax.random.key(1)), jax.random.key(2), config.training)
    assert gradient_error(trainer, env, state) < 1e-6


def test_the_box_stops_effort_and_its_derivative() -> None:
    """With effort at most .1 the agent does .1, whatever a slope of .5 or so: nothing is gained by paying more."""
    short = {**POWER, "effort": [0.0, 0.1]}
    decision, effort, found = settled(short, [0.5])
    assert bool(found.converged)
    assert effort == pytest.approx([0.1], abs=ROUNDING)
    exact = of_model(parse({"problem": short}).problem)
    # Slope at the bound: −r σ² β of the risk alone.
    numeric = (exact.profit(np.array([0.5 + 1e-5])) - exact.profit(np.array([0.5 - 1e-5]))) / 2e-5
    assert numeric == pytest.approx(-2.0 * 0.7 * 0.5, abs=1e-8)
    assert exact.outside == pytest.approx(float(decision.fixed + decision.slopes @ effort) - exact.cost(effort) - 0.5 * 2 * 0.7 * 0.25)


def test_the_agent_gets_what_it_could_elsewhere_and_no_more() -> None:
    """Its certainty equivalent by quadrature of CARA utility over the noise (nothing of the package's formula) is the reservation."""
    problem = {"kind": "effort", "gains": 1.0, "cost": 0.5, "noise": 0.8, "risk_aversion": 1.5, "reservation": 0.3}
    decision, effort, _ = settled(problem, [0.45])
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    money = float(decision.fixed) + 0.45 * (effort[0] + np.sqrt(0.8) * nodes) - 0.25 * effort[0] ** 2
    equivalent = -np.log(weights @ np.exp(-1.5 * money) / weights.sum()) / 1.5
    assert equivalent == pytest.approx(0.3, abs=1e-10)  # 60 nodes integrate this to rounding


def test_an_effort_that_cannot_be_settled_is_said() -> None:
    """Unpaid, with a cost as flat as a⁴/4 at no effort, the first-order condition has a double root: said, and harmless (no gap)."""
    flat = {**POWER, "cost": {"kind": "power", "scale": 1.0, "exponent": 4.0}}
    config = parse({"problem": flat, "evaluation": {"joint_grid": 41, "starts": 2, "steps": 4}})
    said: list[str] = []
    result = evaluation.evaluate(config, *config.problem.build(Path()), Rule.of(Slopes(jnp.zeros(1), 1.0)), said.append)
    assert result["details"]["unconverged"] == 1.0
    assert any("first-order condition was not solved in 100.00%" in line for line in said)
    assert result["incentive_gap"]["max"] < 1e-6


@pytest.mark.parametrize(("change", "words"), [
    ({"gains": 0.0}, "problem.gains = 0.0 should not be zero in every task"),
    ({"cost": [[1.0, 2.0], [2.0, 1.0]]}, "should be symmetric and positive definite"),
    ({"cost": [1.0, 1.0, 1.0]}, r"problem.cost has shape \[3\]; with 2 tasks it should be a number, \[2\] or \[2, 2\]"),
    ({"cost": {"kind": "power", "scale": 0.0, "exponent": 2.0}}, "problem.cost.scale = 0.0 should be above 0"),
    ({"cost": {"kind": "power", "scale": 1.0, "exponent": 1.0}}, "problem.cost.exponent = 1.0 should be greater than 1"),
    ({"noise": [[1.0, 2.0], [2.0, 1.0]]}, "should be a covariance"),
    ({"measured": [True]}, "has 1 entries; there are 2 tasks"),
    ({"risk_aversion": -1.0}, "problem.risk_aversion = -1.0 should be greater than or equal to 0"),
    ({"effort": [1.0, 0.0]}, "should be two numbers, the lowest and then the highest effort"),
])  # fmt: skip
def test_bad_input_is_a_sentence(change, words) -> None:
    """Which key, what is there, what would be right."""
    with pytest.raises(ConfigError, match=words):
        parse({"problem": {**TWO, **change}})
