"""Agents who choose a number: nobody recommends an action, each agent takes the point of a box that is best for it, and F depends on it.

The action solves the first-order condition inside the box, and F is differentiated through it by the implicit function theorem
(`implicit`). At the box's bounds the condition is that of complementarity, written with the projection on the box as

    −clip(s·∂u/∂x, low − x, high − x) = 0,

which is zero where the slope is, or where the agent would leave the box if it could; there the action no longer moves. s > 0 only
sets the scale. Newton starts from the problem's `start(env, draw)` after a few steps of ascent, since a root may also be a minimum.

Several agents' conditions are solved together: a Nash equilibrium of those who choose a number each. What is done at one information
set must not matter at another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from icsap_jax.bilevel import implicit
from icsap_jax.bilevel.responses import Play, beside, play_of, require
from icsap_jax.bilevel.types import Array, Box, Draw, Problem, Rule, Tree
from icsap_jax.config import ConfigError

ASCENT = 12  # steps of ascent before Newton's, as shares of the box's width
STRIDE = 0.1  # the first of them; the last is a tenth of it


def stationary_reply(
    problem: Problem, env: Tree, draw: Draw, decision: Tree, most_steps: int = implicit.STEPS
) -> tuple[implicit.Response, Array]:
    """What the agents do about a decision: a Response with the action [I, N, T], and whether each information set's is settled
    [I, N]. Differentiable in `decision`. Several agents reply to each other: their actions solve all conditions at once."""
    box = problem.space(env, draw)
    start = problem.start(env, draw)
    low, high = (jnp.broadcast_to(bound, start.shape) for bound in (beside(box, start).low, beside(box, start).high))
    frozen = jax.lax.stop_gradient((env, draw, decision))

    def utility(given: Tree, action: Array) -> Array:
        return problem.utility(given[0], given[1], given[2], action)

    def slope(given: Tree, action: Array) -> Array:
        if problem.agents == 1:
            return jax.grad(lambda at: utility(given, at).sum())(action)
        of_agent = jnp.eye(problem.agents, dtype=action.dtype)
        slopes = jax.vmap(lambda one: jax.grad(lambda at: (utility(given, at) * one[None]).sum())(action))(of_agent)  # [N, I, N, T]
        return jnp.einsum("nint->int", slopes)

    begun = _ascend(lambda at: slope(frozen, at), start, Box(low, high))
    # With this scale no slope reaches across the box, so that Newton does not jump from bound to bound.
    steepest = jnp.stack([jnp.abs(slope(frozen, at)) for at in (low, high, begun)]).max((0, -1), keepdims=True)[0]
    scale = 0.5 * (high - low).max(-1, keepdims=True) / jnp.where(jnp.isfinite(steepest) & (steepest > 0), steepest, 1.0)
    scale = jnp.broadcast_to(scale, start.shape)

    def condition(given: Tree, action: Array) -> Array:
        return -jnp.clip(scale * slope(given, action), low - action, high - action)

    found = implicit.solve(condition, (env, draw, decision), begun, low=low, high=high, most_steps=most_steps)
    left = jnp.abs(condition(frozen, jax.lax.stop_gradient(found.action))).max(-1)
    near = jnp.finfo(start.dtype).eps ** (2 / 3) * (high - low).max(-1)
    return found, found.converged & (left <= near)


def _ascend(slope: Callable[[Array], Array], start: Array, box: Box) -> Array:
    """Some way up everyone's own slope at once, by steps of shrinking shares of the box's width, [I, N, T]."""
    width = box.high - box.low
    sizes = STRIDE * 0.1 ** (jnp.arange(ASCENT) / (ASCENT - 1))

    def step(action: Array, size: Array) -> tuple[Array, None]:
        return jnp.clip(action + size * width * jnp.sign(slope(action)), box.low, box.high), None

    return jax.lax.scan(step, start, sizes.astype(start.dtype))[0]


@dataclass(frozen=True)
class Stationary:
    """The agent's action by its first-order condition, or where `closed_form` by the problem's own formula `reply(env, draw,
    decision)`. The gap is zero: the agent recommends its action to itself. `residual` and `unconverged`, the share of information
    sets without a settled action, are among the parts."""

    steps: int
    closed_form: bool

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """Nothing is remembered. Raises ConfigError where actions are not points of a box, or are recommended."""
        if require(Box, problem, env, "stationary", "logit or enumerate").recommended is not None:
            raise ConfigError("training.response.kind = stationary: nobody chooses freely here, reports are recommended; "
                              "write training.response.kind=candidates.")
        if self.closed_form and not hasattr(problem, "reply"):
            raise ConfigError("training.response.closed_form = true: this problem has no formula for what the agent does; use false.")
        return ()

    def play(self, problem: Problem, env: Tree, rule: Rule, memory: Tree, key: Array, step: Array, batch: int, numbers: Any) -> Play:
        """See the module."""
        draw = problem.draw(env, key, batch)
        decision = problem.decide(env, rule, draw.seen, None)
        if self.closed_form:
            action, residual, unconverged = problem.reply(env, draw, decision), jnp.zeros(()), jnp.zeros(())
        else:
            found, settled = stationary_reply(problem, env, draw, decision, self.steps)
            action, residual, unconverged = found.action, found.residual, (~settled).mean()
        play = play_of(draw.weight, problem.score(env, draw, decision, action), jnp.zeros((problem.agents,)), memory)
        play.parts.update(residual=residual, unconverged=unconverged)
        return play


def stationary(model: Any) -> Stationary:
    """From its model in a problem file."""
    return Stationary(steps=model.newton_steps, closed_form=model.closed_form)
