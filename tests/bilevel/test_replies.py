"""Replies of agents to each other, in games of two that everybody knows, and of quantal agents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.bilevel.replies import ROUNDS, hard_reply, reply
from icsap_jax.bilevel.types import Draw, Finite, Outcome

DILEMMA = np.array([[[2.0, 0.0], [3.0, 1.0]], [[2.0, 3.0], [0.0, 1.0]]])  # agents × own, other: cooperate, defect
PENNIES = np.array([[[1.0, -1.0], [-1.0, 1.0]], [[-1.0, 1.0], [1.0, -1.0]]])
TIED = np.array([[[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]])


@dataclass(frozen=True)
class Bimatrix:
    """Two agents with payoffs [2, A, A]; the designer gets the sum, and recommends both their first action."""

    agents: int = 2
    margin: float = 0.0
    objective: tuple[str, ...] = ("welfare",)
    rowwise: bool = False

    def draw(self, env: Any, key: Any, count: int) -> Draw:
        return Draw(weight=jnp.ones(1), types=None)

    def space(self, env: Any, draw: Draw) -> Finite:
        return Finite(mask=jnp.ones((1, 2, 2), bool))

    def recommended(self, env: Any, draw: Draw) -> Any:
        return jnp.broadcast_to(jnp.array([1.0, 0.0]), (1, 2, 2))

    def utility(self, env: Any, draw: Draw, decision: Any, action: Any) -> Any:
        return jnp.einsum("nab,...a,...b->...n", env, action[..., 0, :], action[..., 1, :])

    def score(self, env: Any, draw: Draw, decision: Any, action: Any) -> Outcome:
        value = self.utility(env, draw, decision, action).sum(-1)
        return Outcome(value=value, objectives={"welfare": value}, constraints={})


@dataclass(frozen=True)
class Mistaken(Bimatrix):
    """The same, of agents who make mistakes, each against an even opponent."""

    def payoffs(self, env: Any, draw: Draw, decision: Any) -> Any:
        return jnp.stack([env[0].mean(1), env[1].mean(0)])[None]

    def temperature(self, env: Any) -> Any:
        return jnp.asarray(0.5)


def replied(payoffs):
    """What two agents do who were told to take their first action."""
    problem = Bimatrix()
    return hard_reply(problem, jnp.asarray(payoffs), problem.draw(None, None, 1), None)


def test_who_is_told_to_cooperate_defects_and_then_nobody_moves() -> None:
    """The only equilibrium of the dilemma, from the profile that is recommended; nobody loses by it, welfare 2 and not 4."""
    found = replied(DILEMMA)
    np.testing.assert_array_equal(found.action[0].argmax(-1), [1, 1])
    assert bool(found.settled)
    assert float(found.value) == 2.0
    np.testing.assert_array_equal(found.loss, 0.0)


def test_replies_that_chase_each_other_are_said_not_to_settle() -> None:
    """Matching pennies has no pure equilibrium: somebody always wants to move, and the loss says so."""
    found = replied(PENNIES)
    assert not bool(found.settled)
    assert float(found.loss.max()) == 2.0
    assert ROUNDS > 1


def test_who_is_indifferent_does_as_recommended_unless_ties_go_against_the_designer() -> None:
    """Where nothing matters to them both obey; against a designer who wants their first actions they would both not."""
    problem, wanted = Bimatrix(), np.array([[[5.0, 1.0], [1.0, 0.0]]] * 2)

    class Wanting(Bimatrix):
        def score(self, env: Any, draw: Draw, decision: Any, action: Any) -> Outcome:
            value = Bimatrix.utility(self, jnp.asarray(wanted), draw, decision, action).sum(-1)
            return Outcome(value=value, objectives={"welfare": value}, constraints={})

    found = hard_reply(Wanting(), jnp.asarray(TIED), problem.draw(None, None, 1), None)
    assert (float(found.value), float(found.adversarial_value)) == (10.0, 0.0)
    assert bool(found.settled)


def test_a_problem_s_temperature_makes_its_agents_quantal() -> None:
    """Each action with odds exp(lead / temperature), at a loss of the probability of the worse times its lead."""
    problem = Mistaken()
    found = reply(problem, jnp.asarray(DILEMMA), problem.draw(None, None, 1), None)
    odds = np.exp(1.0 / 0.5)  # defecting leads by one against an even opponent
    np.testing.assert_allclose(found.action[0, :, 1], odds / (1 + odds), rtol=1e-6)
    np.testing.assert_allclose(found.loss, 1 / (1 + odds), rtol=1e-5)
    assert float(found.value) == pytest.approx(float(found.adversarial_value))
