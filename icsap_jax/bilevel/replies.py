"""Agents whose reaction F itself depends on: nobody recommends an action, each agent does what is best for itself.

With finitely many actions the best reply jumps where an agent is indifferent, and the designer's optimum lies on the jump. So
training smooths it: a logit (quantal) agent plays softmax(utility / temperature), and the temperature falls geometrically over
training. What is reported is the exact best reply, `hard_reply`, with ties broken for the designer and against it.

One agent at a time: its utilities must not depend on what others do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.responses import Play, play_of, pure_actions, require
from icsap_jax.bilevel.types import Array, Draw, Finite, Problem, Rule, Tree, expectation
from icsap_jax.config import ConfigError

TIE = 1e-6  # actions this near to the best, as a share of the size of payoffs, are ties


def pure_utilities(problem: Problem, env: Tree, draw: Draw, decision: Tree) -> Array:
    """What the agent gets from each pure action, [I, N, A]; −inf where the action is not legal."""
    legal = problem.space(env, draw).mask
    if hasattr(problem, "payoffs"):
        return jnp.where(legal, problem.payoffs(env, draw, decision), -jnp.inf)
    actions = pure_actions(problem, env, draw).astype(draw.weight.dtype)
    utilities = jnp.moveaxis(problem.utility(env, draw, decision, actions), 0, -1)
    return jnp.where(legal, utilities, -jnp.inf)


def logit_reply(problem: Problem, env: Tree, draw: Draw, decision: Tree, temperature: Array) -> Array:
    """The quantal reply [I, N, A]: softmax of the utilities of pure actions, divided by a temperature in the agent's payoffs."""
    return jax.nn.softmax(pure_utilities(problem, env, draw, decision) / temperature, axis=-1)


@register_dataclass
@dataclass(frozen=True)
class HardReply:
    """What exact best replies do. `action`, `adversarial` [I, N, A], one-hot: ties broken for and against the designer; `loss` and
    `utility` [I, N]: what the former loses against the best (≤ the tolerance) and gets; `value` and `adversarial_value` []: the
    designer's F under each; `values` [B]: the former, profile by profile."""

    action: Array
    adversarial: Array
    utility: Array
    loss: Array
    values: Array
    value: Array
    adversarial_value: Array


def hard_reply(problem: Problem, env: Tree, draw: Draw, decision: Tree, tolerance: float = TIE) -> HardReply:
    """The agent's exact best reply to a decision. Actions within `tolerance` of the best, as a share of the problem's `scale`, or
    where it has none of the range of what the agent can choose among, are ties. F is linear in a finite action, so that its slope
    there is what each action is worth to the designer."""
    utilities = pure_utilities(problem, env, draw, decision)
    legal = jnp.isfinite(utilities)
    best = utilities.max(-1, keepdims=True)
    size = problem.scale(env) if hasattr(problem, "scale") else best.max() - jnp.where(legal, utilities, jnp.inf).min()
    tied = utilities >= best - tolerance * size
    even = jnp.where(legal, 1.0, 0.0) / legal.sum(-1, keepdims=True)

    def designer(action: Array) -> Array:
        return expectation(draw.weight, problem.score(env, draw, decision, action).value)

    worth = jax.grad(designer)(even.astype(utilities.dtype))

    def pure(preferred: Array) -> Array:
        return jax.nn.one_hot(jnp.argmax(preferred, -1), utilities.shape[-1], dtype=utilities.dtype)

    action, adversarial = pure(jnp.where(tied, worth, -jnp.inf)), pure(jnp.where(tied, -worth, -jnp.inf))
    utility = jnp.where(action > 0, utilities, 0.0).sum(-1)
    values = problem.score(env, draw, decision, action).value
    return HardReply(
        action=action, adversarial=adversarial, utility=utility, loss=best[..., 0] - utility, values=values,
        value=expectation(draw.weight, values), adversarial_value=designer(adversarial),
    )  # fmt: skip


@dataclass(frozen=True)
class Logit:
    """The agent plays softmax(utility / temperature), the temperature falling geometrically from `temperature` to
    `temperature_end` over the first `share` of training, in units of the problem's `scale(env)` where it has one. The gap is zero:
    the agent recommends its action to itself. Where a rule has several starts, the last begins at `spread` times the temperature of
    the first: heat finds the way to other optima, and forgets which one a start was made for."""

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """Nothing is remembered. Raises ConfigError where actions are not finite or agents are many."""
        require_free_agent(problem, env, "logit")
        return ()

    def play(self, problem: Problem, env: Tree, rule: Rule, memory: Tree, key: Array, step: Array, batch: int, numbers: Any) -> Play:
        """See the module."""
        end = numbers["temperature_end"]
        start = numbers["temperature"] * numbers["spread"] ** numbers["place"]
        temperature = start * (end / start) ** jnp.minimum(1.0, numbers["fraction"] / numbers["share"])
        if hasattr(problem, "scale"):
            temperature = temperature * problem.scale(env)
        draw = problem.draw(env, key, batch)
        decision = problem.decide(env, rule, draw.seen, None)
        outcome = problem.score(env, draw, decision, logit_reply(problem, env, draw, decision, temperature))
        return play_of(draw.weight, outcome, jnp.zeros((problem.agents,)), memory)


def require_free_agent(problem: Problem, env: Tree, name: str) -> None:
    """Refuse, for a response named `name`, actions that are not finite, and more agents than one."""
    require(Finite, problem, env, name, "exchange, candidates or ascent")
    if problem.agents > 1:
        raise ConfigError(f"training.response.kind = {name}: answers for one agent, whose payoffs depend on nobody else's action.")


def logit(model: Any) -> Logit:
    """From its model in a problem file."""
    return Logit()
