"""Persuading again and again: what re-optimising, repeating and having few signals come to, against exact fractions."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from icsap_jax.persuasion.iterated import iterate, reoptimised, repeated
from icsap_jax.persuasion.tables import Game

TIGHT = 1e-9


@pytest.fixture(scope="module")
def known(root):
    """The exact iterations of the case file."""
    return json.loads((root / "tests" / "cases" / "persuasion.json").read_text(encoding="utf-8"))["iterated"]


@pytest.fixture
def prosecutor():
    """Prior .3 guilty."""
    return Game.single(np.array([0.7, 0.3]), np.array([[0.0, 1.0], [0.0, 1.0]]), np.eye(2))


def test_re_optimised_persuasion_settles_after_one_round(prosecutor, known) -> None:
    """The second round finds nothing to move and is the last; values and beliefs are those of the first."""
    rounds = iterate(prosecutor, reoptimised(prosecutor, TIGHT), 5, TIGHT)
    assert len(rounds) == 2
    assert rounds[1].moved == 0
    for told, exact in zip(rounds, known["reoptimised"][:2], strict=True):
        assert told.value == pytest.approx(float(Fraction(exact["Ev"])), abs=TIGHT)
        beliefs = dict(zip(np.round(told.beliefs[:, 1], 9), told.masses, strict=True))
        assert beliefs == pytest.approx({float(Fraction(belief)): float(Fraction(mass)) for belief, mass in exact["dist"].items()})


def test_one_signal_sent_again_and_again_drifts_to_full_disclosure(prosecutor, known) -> None:
    """Round by round the exact fractions, down towards the .3 of telling all."""
    rounds = iterate(prosecutor, repeated(np.array([[4 / 7, 3 / 7], [0.0, 1.0]])), 60, TIGHT)
    for told, exact in zip(rounds, known["fixed_signal"], strict=False):
        assert told.value == pytest.approx(exact["Ev"], abs=TIGHT)
        assert told.beliefs[:, 1].max() == pytest.approx(float(Fraction(exact["top_belief"])), abs=TIGHT)
    assert rounds[-1].value == pytest.approx(0.3, abs=1e-6)
    assert rounds[-1].moved <= TIGHT


def test_beliefs_are_a_martingale_whatever_is_said(known) -> None:
    """Bayes plausibility in every round, of two greedy signals and of a random signal repeated."""
    rng = np.random.default_rng(0)
    game = four_by_four(6)
    for design in (reoptimised(game, TIGHT, 2), repeated(rng.dirichlet(np.ones(3), size=4))):
        for told in iterate(game, design, 4, TIGHT):
            np.testing.assert_allclose(told.mean, game.prior, atol=1e-12)


def four_by_four(seed):
    """The game of the family `uniform` of the case file."""
    rng = np.random.default_rng(seed)
    receiver, sender = rng.random((4, 4)), rng.random((4, 4))
    return Game.single(rng.dirichlet(np.ones(4)), sender, receiver)


def test_two_signals_at_a_time_may_stop_short_of_the_optimum(known) -> None:
    """Greedy rounds of the best two signals: the exact values of every round; in some games they reach the optimum, in others stop."""
    short = 0
    for exact in known["binary_signal_greedy"][:8]:
        rounds = iterate(four_by_four(exact["seed"]), reoptimised(four_by_four(exact["seed"]), TIGHT, 2), 8, TIGHT)
        values = [told.value for told in rounds]
        np.testing.assert_allclose(values, exact["values_by_step"][1:], atol=1e-6)  # six digits are given
        short += values[-1] < exact["lp_value"] - 1e-4
    assert 0 < short < 8


def test_without_a_tolerance_rounding_leaks_value(prosecutor, known) -> None:
    """A posterior that rounding leaves short of indifference by δ is split again, and again: 1 − 2δ of the value is left each time.
    With a tolerance above δ it stays."""
    error = 1e-3

    def blurred(design):
        def short(belief):
            joint = design(belief)
            if joint.shape[1] == 1:
                return joint
            after = joint / joint.sum(0)
            top = after[1].argmax()
            after[:, top] += np.array([error, -error]) if after[1, top] < 0.9 else 0.0
            return after * joint.sum(0)

        return short

    leaking = iterate(prosecutor, blurred(reoptimised(prosecutor, 0.0)), 10, 0.0)
    masses = [told.masses[told.beliefs[:, 1].argmax()] for told in leaking]
    assert masses[-1] / masses[0] == pytest.approx(known["float_leak"]["0.001"][1] / 0.6, abs=1e-6)
    tolerant = iterate(prosecutor, blurred(reoptimised(prosecutor, 1.1)), 10, 0.0)
    assert len(tolerant) == 1  # nobody is offered more than 1.1 times the range: all rests
