"""Gaussian persuasion: the sum of positive eigenvalues, certificates that hold at every step, and learning the statistic to tell."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from scipy.linalg import expm

from icsap_jax import run
from icsap_jax.bilevel import fit
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import ConfigError, parse
from icsap_jax.persuasion.gaussian.optimum import baselines, bound, in_own_units, optimum
from icsap_jax.persuasion.gaussian.problem import logistic
from icsap_jax.persuasion.gaussian.told import StateTable, details, listing, noise, pictures, statistics, told_by

PLANE = {"covariance": [[2.0, 0.5], [0.5, 1.0]], "sender": [[0, 1], [1, 0]]}


def problem_of(**given):
    """The checked problem of a file."""
    return parse({"problem": {"kind": "persuasion_gaussian", **given}}).problem


def random_problem(seed, size):
    """A covariance and a sender's matrix with eigenvalues of both signs, and not symmetric."""
    rng = np.random.default_rng(seed)
    root, sender = rng.normal(size=(2, size, size))
    return {"covariance": (root @ root.T / size + 0.1 * np.eye(size)).tolist(), "sender": sender.tolist()}


def test_the_optimum_of_the_case(case) -> None:
    """Value, bound and baselines."""
    known = case("gaussian_quadratic_2d")
    model = problem_of(covariance=known["spec"]["Sigma"], sender=known["spec"]["V"])
    assert optimum(None, None, model)["value"] == pytest.approx(known["value"], abs=1e-12)
    assert known["value"] - 1e-12 <= bound(None, None, model) <= known["value"] + 1e-9
    simple = baselines(None, None, model)
    assert simple["full_disclosure"] == pytest.approx(known["full_info"])
    assert simple["no_disclosure"] == known["no_info"]


@pytest.mark.parametrize("seed", range(4))
def test_no_signal_is_worth_more_than_the_bound(seed) -> None:
    """Random shares of random directions, and the eigenvectors' own: never above the optimum, which the bound meets from above."""
    model = problem_of(**random_problem(seed, 5))
    worth, best = in_own_units(model), optimum(None, None, model)["value"]
    proven = bound(None, None, model)
    assert best - 1e-10 <= proven <= best + 1e-6 * max(1.0, best)  # Newton's iteration stops at rounding
    rng = np.random.default_rng(seed)
    for _ in range(20):
        directions = np.linalg.qr(rng.normal(size=(5, 5)))[0]
        assert np.trace(worth @ (directions * rng.random(5)) @ directions.T) <= best + 1e-10
    values, vectors = np.linalg.eigh(worth)
    assert np.trace(worth @ (vectors * (values > 0)) @ vectors.T) == pytest.approx(best)
    assert max(baselines(None, None, model).values()) <= best + 1e-10


def test_a_sender_who_loses_by_telling_tells_nothing() -> None:
    """V = −1: the value is 0, proven; with what a sender gains from agreeing with the state, 2 a′ω, all is told."""
    opposed = problem_of(covariance=[[1.0, 0.0], [0.0, 2.0]], sender=[[-1, 0], [0, -1]])
    assert optimum(None, None, opposed)["value"] == 0
    assert bound(None, None, opposed) == pytest.approx(0, abs=1e-8)
    aligned = problem_of(covariance=[[1.0, 0.0], [0.0, 2.0]], sender=[[-1, 0], [0, -1]], cross=[[2, 0], [0, 2]])
    assert optimum(None, None, aligned)["value"] == pytest.approx(3.0)
    assert bound(None, None, problem_of(covariance=[[1.0]], sender=[[0.0]])) == 0


def test_the_logistic_function_of_a_matrix_and_its_slope() -> None:
    """Against 1/(1 + e^−S) by the matrix exponential and central differences; the slope is finite where eigenvalues are equal."""
    rng = np.random.default_rng(0)
    matrix, move = ((each + each.T) / 2 for each in rng.normal(size=(2, 4, 4)))
    with jax.enable_x64(True):
        value, slope = jax.jvp(logistic, (matrix,), (move,))
        np.testing.assert_allclose(value, np.linalg.inv(np.eye(4) + expm(-matrix)), atol=1e-12)
        step = 1e-5
        difference = (logistic(matrix + step * move) - logistic(matrix - step * move)) / (2 * step)
        np.testing.assert_allclose(slope, difference, atol=1e-8)  # the error of the difference, step²
        np.testing.assert_allclose(jax.jvp(logistic, (np.zeros((4, 4)),), (move,))[1], move / 4, atol=1e-12)


@pytest.fixture(scope="module")
def trained():
    """(config, problem, env, finished rule, what the polish told) of the case, without the strong search, which would take longer than
    all the rest."""
    config = parse({"problem": {"kind": "persuasion_gaussian", **PLANE}, "training": {"steps": 1000}})
    problem, env = config.problem.build(Path())
    trainer = fit.Trainer.of(problem, config.training)
    state, _ = fit.run(trainer, env, run.initial_state(config, trainer, problem, env), config.training.steps)
    return config, problem, env, *run.settle(config, problem, env, fit.member(state, 0).rule)


def test_the_best_statistic_is_learned(trained, case) -> None:
    """Within 1e-3 of the exact value by gradients alone, and never above the proven bound: one statistic, which the polish tells without
    noise."""
    known, (config, problem, env, rule, polished) = case("gaussian_quadratic_2d"), trained
    value = float(np.trace(in_own_units(config.problem) @ told_by(rule)))
    assert value == pytest.approx(polished["value_after_polish"], abs=1e-12)
    assert known["value"] - 1e-3 <= polished["value_before_polish"] <= value <= bound(problem, env, config.problem)
    (only,) = details(problem, env, config.problem, config.rule, rule)["signals"]
    assert only["noise_variance"] == pytest.approx(0, abs=1e-9)
    # Where tr(VM) is 2 M₁₂, the best statistic weighs the numbers inversely to their standard deviations: √2 to 1.
    assert only["weights"][1] / only["weights"][0] == pytest.approx(np.sqrt(2.0), abs=0.01)


def test_no_other_linear_answer_serves_the_receiver_better(trained) -> None:
    """Taking what it expects beats any other matrix of answers, near and far, and not listening at all."""
    _, problem, env, rule, _ = trained
    with jax.enable_x64(True):
        draw = problem.draw(env, None, 1)
        decision = problem.decide(env, Rule.of(_Fixed(told_by(rule))), None, None)
        recommended = np.asarray(problem.recommended(env, draw), np.float64)
        rng = np.random.default_rng(0)
        others = np.concatenate([recommended + scale * rng.normal(size=(50, 1, 1, 4)) for scale in (1e-3, 0.1, 2.0)])
        best = float(problem.utility(env, draw, decision, recommended)[0, 0])
        assert (np.asarray(problem.utility(env, draw, decision, others)) <= best + 1e-12).all()
        assert best >= float(problem.reservation(env, draw)[0, 0])


class _Fixed(nnx.Module):
    """A rule that tells W whatever is asked."""

    def __init__(self, told):
        self.told = nnx.Param(told)

    def __call__(self):
        return self.told[...]


def test_the_signal_told_is_the_one_learned(trained) -> None:
    """100 000 states and signals drawn: what the receiver expects by the table is the regression of the state on the signal, and its
    covariance is the one told. The same seed gives the same signals."""
    config, problem, env, rule, _ = trained
    table, told = StateTable(problem, env), told_by(rule)
    states = np.random.default_rng(0).multivariate_normal(np.zeros(2), PLANE["covariance"], 100_000)
    answers = table.outputs(states, {"decision": told})
    signals, means = answers[:, :2], answers[:, 2:]
    given = details(problem, env, config.problem, config.rule, rule)["covariance_of_means"]
    np.testing.assert_allclose(np.cov(means.T), given, atol=0.03)  # four standard errors of a variance
    regressed = signals[:, :1] @ np.linalg.lstsq(signals[:, :1], states, rcond=None)[0]
    assert np.abs(regressed - means).mean() < 0.02
    weights, shares = statistics(env, told)
    np.testing.assert_allclose(weights @ np.asarray(PLANE["covariance"]) @ weights.T, np.eye(len(weights)), atol=1e-6)  # W is float32
    assert (noise(shares) >= 0).all()
    drawn = []
    for _ in range(2):
        table.seed(7)
        drawn.append(table.outputs(states[:10], {"decision": told}))
    np.testing.assert_array_equal(*drawn)


def test_the_list_and_the_picture_are_of_the_same_statistics(trained, tmp_path) -> None:
    """A row for each statistic with a weight for each number of the state; a picture is drawn."""
    config, problem, env, rule, _ = trained
    rows = listing(problem, env, config.problem, config.rule, rule)
    assert list(rows[0]) == ["signal", "state1", "state2", "noise_variance"]
    assert rows[0]["noise_variance"] < 1e-3
    pictures(problem, env, rule, config.problem, tmp_path)
    assert (tmp_path / "signal.png").stat().st_size > 10_000


@pytest.mark.parametrize(("given", "said"), [
    ({**PLANE, "covariance": [[1.0, 2.0], [2.0, 1.0]]}, r"covariance.* positive definite: the prior must be interior"),
    ({**PLANE, "covariance": [[1.0, 0.2], [0.1, 1.0]]}, r"covariance.* symmetric"),
    ({**PLANE, "covariance": [1.0, 2.0]}, r"covariance has shape \[2\]; it should be square"),
    ({**PLANE, "sender": [[1.0]]}, r"sender has shape \[1, 1\]; it should be \[2, 2\] like covariance"),
    ({**PLANE, "cross": [[1.0]]}, r"cross has shape \[1, 1\]"),
    ({**PLANE, "sender": [[0, float("inf")], [1, 0]]}, r"sender.*finite"),
])  # fmt: skip
def test_a_wrong_problem_is_refused_with_its_key(given, said) -> None:
    """Each mistake in one sentence."""
    with pytest.raises(ConfigError, match=said):
        problem_of(**given)
