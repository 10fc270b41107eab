"""What agents with finitely many actions do of themselves, on which F itself depends.

The best reply jumps where an agent is indifferent, and the designer's optimum lies on the jump. So training smooths it: a logit
(quantal) agent plays softmax(utility / temperature), and the temperature falls geometrically over training. What is reported is the
exact best reply, `hard_reply`, with ties broken for the designer and against it; or the quantal one, where the problem says by its
`temperature` that agents are like that and stay so.

Several agents reply to each other, from what is recommended to them until nobody wants to move. While training, they are one by one:
their utilities must not depend on what others do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.equilibrium import annealed
from icsap_jax.bilevel.gap import own, unilateral
from icsap_jax.bilevel.responses import Play, play_of, pure_actions, require
from icsap_jax.bilevel.types import Array, Draw, Finite, Problem, Rule, Tree, expectation
from icsap_jax.config import ConfigError

TIE = 1e-6  # actions this near to the best, as a share of the size of payoffs, are ties
ROUNDS = 100  # of replies to each other, at most


def pure_utilities(problem: Problem, env: Tree, draw: Draw, decision: Tree, action: Array | None = None) -> Array:
    """What each agent gets from each of its pure actions, [I, N, A], while the others play `action` [I, N, A] (anything where they do
    not matter); −inf where the action is not legal."""
    legal = problem.space(env, draw).mask
    if hasattr(problem, "payoffs"):
        return jnp.where(legal, problem.payoffs(env, draw, decision), -jnp.inf)
    moves = pure_actions(problem, env, draw).astype(draw.weight.dtype)
    if problem.agents > 1:
        base = moves[0] if action is None else action
        moves = unilateral(base, jnp.broadcast_to(moves, (moves.shape[0], *base.shape)))
        utilities = own(problem.utility(env, draw, decision, moves))
    else:
        utilities = problem.utility(env, draw, decision, moves)
    return jnp.where(legal, jnp.moveaxis(utilities, 0, -1), -jnp.inf)


def logit_reply(problem: Problem, env: Tree, draw: Draw, decision: Tree, temperature: Array) -> Array:
    """The quantal reply [I, N, A]: softmax of the utilities of pure actions, divided by a temperature in the agent's payoffs."""
    return jax.nn.softmax(pure_utilities(problem, env, draw, decision) / temperature, axis=-1)


@register_dataclass
@dataclass(frozen=True)
class Reply:
    """What agents do. `action`, `adversarial` [I, N, A]: ties broken for and against the designer; `loss` and `utility` [I, N]: what
    the former loses against the best and gets; `value` and `adversarial_value` []: the designer's F under each; `values` [B]: the
    former, profile by profile; `settled` []: whether nobody wants to move any more."""

    action: Array
    adversarial: Array
    utility: Array
    loss: Array
    values: Array
    value: Array
    adversarial_value: Array
    settled: Array


def reply(problem: Problem, env: Tree, draw: Draw, decision: Tree) -> Reply:
    """What the problem's agents do about a decision: their exact best, or where it gives them a temperature the quantal reply."""
    if getattr(problem, "temperature", None) is None:
        return hard_reply(problem, env, draw, decision)
    utilities = pure_utilities(problem, env, draw, decision)
    action = logit_reply(problem, env, draw, decision, problem.temperature(env))
    utility = jnp.where(action > 0, action * jnp.where(jnp.isfinite(utilities), utilities, 0.0), 0.0).sum(-1)
    values = problem.score(env, draw, decision, action).value
    value = expectation(draw.weight, values)
    return Reply(action, action, utility, utilities.max(-1) - utility, values, value, value, jnp.ones((), bool))


def hard_reply(problem: Problem, env: Tree, draw: Draw, decision: Tree, tolerance: float = TIE) -> Reply:
    """The agents' exact best reply to a decision. Actions within `tolerance` of the best, as a share of the problem's `scale`, or
    where it has none of the range of what the agent can choose among, are ties. What each is worth to the designer is the slope of F,
    which is linear in what is done after one signal, at what is recommended, or where nothing is at even play.

    Several agents begin there; each keeps its action while that is tied for its best, else takes the best, all at
    once, until nobody moves or `ROUNDS` are over. Against the designer, all break their ties at that profile at once."""

    def designer(action: Array) -> Array:
        return expectation(draw.weight, problem.score(env, draw, decision, action).value)

    def ties(utilities: Array) -> Array:
        legal = jnp.isfinite(utilities)
        best = utilities.max(-1, keepdims=True)
        size = problem.scale(env) if hasattr(problem, "scale") else best.max() - jnp.where(legal, utilities, jnp.inf).min()
        return utilities >= best - tolerance * size

    def pure(preferred: Array) -> Array:
        return jax.nn.one_hot(jnp.argmax(preferred, -1), preferred.shape[-1], dtype=preferred.dtype)

    utilities = pure_utilities(problem, env, draw, decision)
    legal = jnp.isfinite(utilities)
    even = jnp.where(legal, 1.0, 0.0).astype(utilities.dtype) / legal.sum(-1, keepdims=True)
    begin = problem.recommended(env, draw)
    begin = even if begin is None else jnp.broadcast_to(begin, even.shape).astype(even.dtype)
    worth = jax.grad(designer)(begin)
    if problem.agents == 1:
        action, settled = pure(jnp.where(ties(utilities), worth, -jnp.inf)), jnp.ones((), bool)
    else:

        def move(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            action, _, rounds = carry
            tied = ties(pure_utilities(problem, env, draw, decision, action))
            contented = (action * tied).sum(-1, keepdims=True) == 1
            moved = jnp.where(contented, action, pure(jnp.where(tied, worth, -jnp.inf)))
            return moved, (moved == action).all(), rounds + 1

        action, settled, _ = jax.lax.while_loop(
            lambda carry: ~carry[1] & (carry[2] < ROUNDS), move, (begin, jnp.zeros((), bool), jnp.zeros((), jnp.int32))
        )
        utilities = pure_utilities(problem, env, draw, decision, action)
        worth = jax.grad(designer)(action)
    adversarial = pure(jnp.where(ties(utilities), -worth, -jnp.inf))
    utility = jnp.where(action > 0, utilities, 0.0).sum(-1)
    values = problem.score(env, draw, decision, action).value
    return Reply(
        action=action, adversarial=adversarial, utility=utility, loss=utilities.max(-1) - utility, values=values,
        value=expectation(draw.weight, values), adversarial_value=designer(adversarial), settled=settled,
    )  # fmt: skip


@dataclass(frozen=True)
class Logit:
    """The agent plays softmax(utility / temperature), the temperature falling geometrically from `temperature` to
    `temperature_end` over the first `share` of training, in units of the problem's `scale(env)` where it has one; never below the
    `temperature` of a problem whose agents are quantal for good. The gap is zero: the agent recommends its action to itself. Where a
    rule has several starts, the last begins at `spread` times the temperature of the first: heat finds the way to other optima, and
    forgets which one a start was made for."""

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """Nothing is remembered. Raises ConfigError where actions are not finite or agents are many."""
        require_free_agent(problem, env, "logit")
        return ()

    def play(self, problem: Problem, env: Tree, rule: Rule, memory: Tree, key: Array, step: Array, batch: int, numbers: Any) -> Play:
        """See the module."""
        temperature = annealed(numbers)
        if hasattr(problem, "scale"):
            temperature = temperature * problem.scale(env)
        if getattr(problem, "temperature", None) is not None:
            temperature = jnp.maximum(temperature, problem.temperature(env))
        draw = problem.draw(env, key, batch)
        decision = problem.decide(env, rule, draw.seen, None)
        outcome = problem.score(env, draw, decision, logit_reply(problem, env, draw, decision, temperature))
        return play_of(draw.weight, outcome, jnp.zeros((problem.agents,)), memory)


def require_free_agent(problem: Problem, env: Tree, name: str) -> None:
    """Refuse, for a response named `name`, actions that are not finite, and agents whose payoffs depend on others' actions."""
    require(Finite, problem, env, name, "exchange, candidates or ascent")
    if problem.agents > 1 and not getattr(problem, "separable", False):
        raise ConfigError(f"training.response.kind = {name}: answers for agents whose payoffs depend on nobody else's action; "
                          "write training.response.kind=enumerate.")


def logit(model: Any) -> Logit:
    """From its model in a problem file."""
    return Logit()
