"""Learning to persuade through the shared core, with nothing of persuasion in it, and what the polish makes of what was learned."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

from icsap_jax import evaluation, run
from icsap_jax.bilevel import fit
from icsap_jax.bilevel.deviations import reaction
from icsap_jax.bilevel.gap import gap_and_decision
from icsap_jax.bilevel.responses import pure_actions
from icsap_jax.config import load, parse
from icsap_jax.persuasion.programme import best_scheme


def learned(config):
    """(problem, env, the best start as it was learned, the finished rule, what the polish told)."""
    problem, env = config.problem.build(config.folder)
    trainer = fit.Trainer.of(problem, config.training, starts=True)
    state, _ = fit.run(trainer, env, run.initial_state(config, trainer, problem, env), config.training.steps)
    rules = fit.member(state, 0).rule
    finished, told = run.settle(config, problem, env, rules)
    return problem, env, evaluation.best_start(config, problem, env, rules)[0], finished, told


@pytest.fixture(scope="module")
def prosecutor(root):
    """The prosecutor's game as its problem file trains it, with the margin of .003 that gradients alone can keep."""
    return learned(load(root / "configs" / "persuasion" / "prosecutor_0.3.yaml", ["problem.obedience_margin=.003"]))


def test_gradients_alone_convict_almost_as_often_as_can_be(prosecutor) -> None:
    """Value within 1 % of the exact .6, ties for or against him: the margin in training buys certainty. Never above what that
    margin allows, .6 / 1.003, by more than the little of it that is left unmet."""
    problem, env, rule, _, _ = prosecutor
    reply = reaction(problem, env, rule, problem.draw(env, None, 1)).reply
    value = float(reply.value)
    assert value >= 0.594
    assert float(reply.adversarial_value) == value
    assert value <= best_scheme(env.prior, env.sender, env.receiver[0], problem.margin).value + 1e-4


def test_the_judge_has_no_reason_to_disobey(prosecutor) -> None:
    """The true gap, without margin, is exactly 0 after every signal; with the margin it is all but met."""
    problem, env, rule, _, _ = prosecutor
    for margin, allowed in ((0.0, 0.0), (problem.margin, 1e-3)):
        judged = replace(problem, margin=margin)
        draw = judged.draw(env, None, 1)
        gap, _ = gap_and_decision(judged, env, rule, draw, judged.recommended(env, draw), pure_actions(judged, env, draw))
        assert float(gap.max()) <= allowed


def test_the_guilty_are_always_convicted(prosecutor) -> None:
    """What is learned is the scheme of the closed form: convict every guilty and 3/7 of the innocent."""
    problem, env, rule, _, _ = prosecutor
    decision = problem.decide(env, rule, problem.draw(env, None, 1).seen, None)
    # 0.004: the margin .003 moves the innocent's share by (.3/.7)·2·.003/(1 + .003) ≈ .0026.
    np.testing.assert_allclose(decision.signal[:, 1], [3 / 7, 1.0], atol=0.004)


def test_the_polish_earns_all_that_the_margin_leaves(prosecutor) -> None:
    """.6 / 1.003 exactly, ties for or against: the polished scheme keeps the margin in float64."""
    problem, env, _, rule, told = prosecutor
    assert told["value_before_polish"] <= told["value_after_polish"] == pytest.approx(0.6 / 1.003, abs=1e-8)
    with jax.enable_x64(True):
        reply = reaction(problem, env, rule, problem.draw(env, None, 1)).reply
    assert float(reply.value) == float(reply.adversarial_value) == pytest.approx(0.6 / 1.003, abs=1e-8)


def test_quantal_receivers_are_learned_to_the_tangent(case) -> None:
    """No programme exists; gradients from several starts come within 1e-3 of the concave envelope, at a rate of mistakes that makes the
    rational scheme worth .30."""
    known = case("prosecutor_logit_b10")
    spec = known["spec"]
    config = parse({"problem": {"kind": "persuasion", "prior": spec["prior"], "sender": spec["v"], "receiver": spec["u"],
                                "receiver_response": {"kind": "logit", "precision": spec["beta"]}},
                    "rule": {"kind": "signal", "start_count": 8}, "training": {"steps": 800}})  # fmt: skip
    problem, env, _, rule, _ = learned(config)
    result = evaluation.evaluate(config, problem, env, rule)
    assert result["objective"]["value"] == pytest.approx(known["value"], abs=1e-3)
    assert result["objective"]["value"] <= known["value"] + 1e-7  # the optimum's grid
    assert result["objective"]["adversarial_ties"] is None
    assert result["objective"]["upper_bound"] is None
    assert result["incentive_gap"]["max"] > 0  # what its mistakes cost the receiver


def test_signals_without_a_meaning_find_one(case) -> None:
    """Two free signals, an exact receiver: the prosecutor's scheme again, though nothing was recommended."""
    spec = case("prosecutor_0.3")["spec"]
    config = parse({"problem": {"kind": "persuasion", "prior": spec["prior"], "sender": spec["v"], "receiver": spec["u"], "signals": 2},
                    "rule": {"kind": "signal", "start_count": 8}, "training": {"steps": 800}})  # fmt: skip
    problem, env, _, _, told = learned(config)
    assert told["value_before_polish"] >= 0.58  # at the last temperature the receiver still hesitates within about 1 % of indifference
    assert told["value_after_polish"] == pytest.approx(0.6, abs=1e-3)
    assert problem.recommended(env, None) is None
