"""The persuasion game itself: what a signal makes the receiver believe, and what each side then gets."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.bilevel.gap import gap_and_decision, mean_gap
from icsap_jax.bilevel.replies import hard_reply
from icsap_jax.bilevel.responses import Enumerate, pure_actions
from icsap_jax.bilevel.types import Rule
from icsap_jax.persuasion.problem import posed
from icsap_jax.persuasion.rules import Signal, logits_of, signal
from icsap_jax.persuasion.tables import Game, best_reply_value


def game(prior, sender, receiver, margin=0.0):
    """The problem and its numbers, as from a problem file."""
    return posed(Game.single(*(np.asarray(table, float) for table in (prior, sender, receiver))), margin, None)


def says(probabilities) -> Rule:
    """The rule that sends each signal with these probabilities [S, Z]; a zero is a very low logit."""
    table = np.asarray(probabilities, np.float64)
    return Rule.of(Signal(jnp.asarray(logits_of(table))))


@partial(jax.jit, static_argnums=0, static_argnames="tolerance")
def replied(problem, env, draw, decision, **tolerance):
    """The exact reply, compiled whole: call by call costs more."""
    return hard_reply(problem, env, draw, decision, **tolerance)


@partial(jax.jit, static_argnums=0)
def decided(problem, env, rule):
    """The decision on every state."""
    return problem.decide(env, rule, problem.draw(env, None, 1).seen, None)


@pytest.fixture
def prosecutor(case):
    """The prosecutor's game, prior .3 guilty."""
    spec = case("prosecutor_0.3")["spec"]
    return game(spec["prior"], spec["v"], spec["u"])


def test_posteriors_average_to_the_prior(prosecutor) -> None:
    """Bayes plausibility: whatever is said, the mean of the posteriors is the prior (Kamenica & Gentzkow 2011, Proposition 1)."""
    problem, env = prosecutor
    rule = signal(None, problem, env, jax.random.key(0))
    decision = decided(problem, env, rule)
    mass = problem.weight(env, None, decision)[:, 0]
    # 1e-6: float32 has seven digits.
    np.testing.assert_allclose(decision.posterior @ mass, env.prior, atol=1e-6)
    np.testing.assert_allclose(decision.posterior.sum(0), 1.0, atol=1e-6)


def test_the_best_scheme_leaves_the_receiver_indifferent_after_conviction(prosecutor, case) -> None:
    """Convict every guilty and 3/7 of the innocent: no gain from disobeying, belief 1/2 after conviction, and value .6 only if the
    tie is the prosecutor's; if it is the judge's to break against him, nobody is convicted."""
    problem, env = prosecutor
    draw = problem.draw(env, None, 1)
    with jax.enable_x64(True):
        decision = decided(problem, env, says([[4 / 7, 3 / 7], [0, 1]]))
        reply = replied(problem, env, draw, decision)
    np.testing.assert_allclose(np.asarray(decision.posterior)[:, 1], 0.5, atol=1e-7)  # the prior is float32
    assert float(reply.value) == pytest.approx(case("prosecutor_0.3")["value"], abs=1e-6)  # the prior is float32
    assert float(reply.adversarial_value) == 0.0


def test_the_gap_is_what_the_judge_gains_by_thinking_again(prosecutor) -> None:
    """Saying 'convict' always: the judge obeys at a loss of .7 − .3 = .4 after that signal. The other one has no mass."""
    problem, env = prosecutor
    draw = problem.draw(env, None, 1)
    action = problem.recommended(env, draw)
    gap, decision = gap_and_decision(problem, env, says([[0, 1], [0, 1]]), draw, action, pure_actions(problem, env, draw))
    np.testing.assert_allclose(gap[1], 0.4, atol=1e-6)  # float32
    np.testing.assert_allclose(mean_gap(problem, env, draw, decision, gap), [0.4], atol=1e-6)
    outcome = problem.score(env, draw, decision, action)
    np.testing.assert_allclose(outcome.objectives["sender"], [1.0, 1.0])
    np.testing.assert_allclose(draw.weight @ outcome.objectives["receiver"], 0.3, atol=1e-6)


def test_the_margin_is_asked_for_each_recommendation_alone(prosecutor) -> None:
    """Full disclosure leaves 1 to spare after either verdict: a margin of .9 is met, one of 1.25 is missed by .25 after each."""
    draw_rule = says([[1, 0], [0, 1]])
    for margin, missing in ((0.9, 0.0), (1.25, 0.25)):
        problem, env = game([0.7, 0.3], [[0, 1], [0, 1]], [[1, 0], [0, 1]], margin)
        draw = problem.draw(env, None, 1)
        gap, _ = gap_and_decision(problem, env, draw_rule, draw, problem.recommended(env, draw), pure_actions(problem, env, draw))
        np.testing.assert_allclose(gap, [[missing], [missing]], atol=1e-6)  # float32


def test_a_signal_that_is_never_sent_harms_no_number(prosecutor) -> None:
    """A signal of mass exactly zero leaves the belief at the prior, and no NaN in value, gap or gradient."""
    problem, env = prosecutor
    never = says([[0, 1], [0, 1]]).astype(jnp.float32)

    def loss(rule):
        play = Enumerate().play(problem, env, rule, (), jax.random.key(0), 0, 1, {})
        return play.value - play.gap.sum()

    decision = decided(problem, env, never)
    assert float(decision.joint[:, 0].sum()) == 0.0
    np.testing.assert_allclose(decision.posterior[:, 0], env.prior)
    value, slope = jax.jit(jax.value_and_grad(loss))(never)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    assert float(replied(problem, env, problem.draw(env, None, 1), decision).value) == 0.0


def test_ties_are_within_the_tolerance_and_no_wider() -> None:
    """Payoffs apart by 1e-3 of their range are no tie at 1e-6; at 1e-2 they are, and it is broken for or against the sender."""
    problem, env = game([1.0], [[0.0, 5.0, 7.0]], [[1.0, 0.999, 0.0]])
    draw, silent = problem.draw(env, None, 1), says([[1.0, 0.0, 0.0]])
    decision = decided(problem, env, silent)
    assert float(replied(problem, env, draw, decision).value) == 0.0
    tied = replied(problem, env, draw, decision, tolerance=1e-2)
    assert (float(tied.value), float(tied.adversarial_value)) == (5.0, 0.0)
    for ties, value in (("for", 5.0), ("against", 0.0)):
        assert best_reply_value(np.ones((1, 1)), env.sender, env.receiver[0], ties, 1e-2) == value
