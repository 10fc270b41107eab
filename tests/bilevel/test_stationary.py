"""Agents who choose a number: their choice by its first-order condition, its derivative, and the search that checks it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from icsap_jax import evaluation
from icsap_jax.bilevel.deviations import Search, box_gap
from icsap_jax.bilevel.responses import Enumerate
from icsap_jax.bilevel.stationary import Stationary, stationary_reply
from icsap_jax.bilevel.types import Box, Draw, Outcome, Rule
from icsap_jax.config import ConfigError, parse

SEARCH = Search(joint=41, single=41, starts=4, steps=20)
SKILLS = (0.5, 2.0, -1.0)  # of three types: at a rate of .8 one does .4, one more than the 1 there is, one less than the 0


class Rate(nnx.Module):
    """One number."""

    def __init__(self, rate):
        self.rate = nnx.Param(jnp.asarray(rate))

    def __call__(self, seen):
        return self.rate[...]


@dataclass(frozen=True)
class Piecework:
    """Types do a ∈ [0, 1] at a rate: utility rate·skill·a − a²/2, or with a `dip` another hill near a = 1 that is higher."""

    dip: float = 0.0
    agents: int = 1
    margin: float = 0.0
    rowwise: bool = False
    objective: tuple[str, ...] = ("output",)

    def draw(self, env, key, count):
        return Draw(weight=jnp.full((3,), 1 / 3), types=jnp.asarray(SKILLS))

    def space(self, env, draw):
        return Box(low=jnp.zeros(1), high=jnp.ones(1))

    def start(self, env, draw):
        return jnp.full((draw.weight.shape[0], 1, 1), 0.1)

    def recommended(self, env, draw):
        return None

    def decide(self, env, rule, seen, action):
        return rule(seen)

    def utility(self, env, draw, decision, action):
        effort = action[..., 0]
        skills = draw.types.reshape(*[1] * (effort.ndim - 2), -1, 1)
        return decision * skills * effort - 0.5 * effort**2 + self.dip * jnp.exp(-200.0 * (effort - 0.95) ** 2)

    def weight(self, env, draw, decision):
        return draw.weight[:, None]

    def score(self, env, draw, decision, action):
        return Outcome(value=action[:, 0, 0], objectives={"output": action[:, 0, 0]}, constraints={})


def test_inside_the_box_the_choice_moves_and_at_its_bounds_it_rests() -> None:
    """a = clip(rate·skill), with derivative the skill inside and 0 outside."""
    problem = Piecework()
    with jax.enable_x64(True):
        draw = problem.draw((), None, 3)

        def chosen(rate):
            return stationary_reply(problem, (), draw, rate)[0].action[:, 0, 0]

        rate = jnp.asarray(0.8)
        np.testing.assert_allclose(jax.jit(chosen)(rate), [0.4, 1.0, 0.0], atol=1e-12)  # float64
        np.testing.assert_allclose(jax.jit(jax.jacrev(chosen))(rate), [0.5, 0.0, 0.0], atol=1e-12)
        assert np.asarray(jax.jit(lambda rate: stationary_reply(problem, (), draw, rate)[1])(rate)).all()


def test_the_search_finds_what_another_choice_would_gain() -> None:
    """Nothing over the best; over .2 less than it (rate·skill − a)²/2 = .02 for the first type, to rounding of the grid's best."""
    problem, rule = Piecework(), Rule.of(Rate(0.8))
    with jax.enable_x64(True):
        draw, rule = problem.draw((), None, 3), rule.astype(jnp.float64)
        best = jnp.asarray([0.4, 1.0, 0.0]).reshape(3, 1, 1)
        assert box_gap(problem, SEARCH, (), rule, draw, best).max() < 1e-7  # .8 is a float32 number here
        worse = box_gap(problem, SEARCH, (), rule, draw, best.at[0].set(0.2))
        np.testing.assert_allclose(worse[:, 0], [0.02, 0.0, 0.0], atol=1e-6)


def test_a_first_order_condition_is_not_the_best_and_the_gap_says_so() -> None:
    """A second, higher hill that the ascent does not see: the choice is settled, and reported with what it loses."""
    config = parse({"problem": {"kind": "persuasion", "prior": [1.0], "sender": [[1]], "receiver": [[1]]},
                    "evaluation": {"joint_grid": 201, "gap_profiles": 3, "profiles": 3}})  # fmt: skip
    problem = Piecework(dip=0.5)
    with jax.enable_x64(True):
        draw = problem.draw((), None, 3)
        measured = evaluation._sampled(config.evaluation, problem, (), Rule.of(Rate(0.1)), jax.random.key(0), draw, None, lambda line: None)
    assert measured["details"]["unconverged"] == 0
    # For the first type: .05²/2 at its own hill, about .05·.95 − .95²/2 + .5 at the other; never more than the truth.
    assert measured["incentive_gap"]["max"] > 0.05


def test_a_play_tells_how_well_the_choice_is_settled() -> None:
    """The mean output of the three types, no gap, and the two parts."""
    response = Stationary(steps=40, closed_form=False)
    play = jax.jit(lambda rule: response.play(Piecework(), (), rule, (), jax.random.key(0), 0, 3, {}))(Rule.of(Rate(0.8)))
    assert float(play.value) == pytest.approx(1.4 / 3, abs=1e-6)  # float32
    assert float(play.gap.sum()) == 0
    assert float(play.parts["unconverged"]) == 0
    assert float(play.parts["residual"]) < 1e-5


def test_it_answers_for_free_choices_of_a_number_only() -> None:
    """An auction's reports are recommended; a receiver's actions are finite."""
    auction = {"kind": "auction", "bidders": 1, "items": 1, "prior": {"kind": "uniform", "low": 0, "high": 1}}
    persuasion = {"kind": "persuasion", "prior": [1.0], "sender": [[1]], "receiver": [[1]]}
    for data, words in ((auction, "reports are recommended"), (persuasion, "does not fit this problem's actions")):
        problem, env = parse({"problem": data}).problem.build(Path())
        with pytest.raises(ConfigError, match=words):
            Stationary(steps=40, closed_form=False).init(problem, env, {}, jax.random.key(0), 4)
    with pytest.raises(ConfigError):
        Enumerate().init(Piecework(), (), {}, jax.random.key(0), 4)
