"""A Markov game as arrays alone, and what policies are worth in it.

`Game` is a pytree, so jit, vmap and grad run over games. One state and discount 0 is a normal-form game; discount 0 and private
observations is a Bayesian game (a state then holds everyone's types); a repeated game has what happened last for its state. Agents
choose by what they see, not by the state: a policy profile is [N, Z, A], of which the padded or illegal choices have probability zero.

What agents get from the world (`rewards`) and what they are paid or charged (`payments`) are kept apart, because a designer who gives
the proceeds of a tax back counts only the former as welfare. Zhang et al. 2024, equations 1 to 4; payments are made in each period (their
equation 8 prints one for a whole policy, undiscounted).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.implicit import MOST_DENSE, krylov
from icsap_jax.bilevel.types import Array

UNSEEN = 1e-7  # the weight of a state that is never visited, so that beliefs are defined everywhere
LETTERS = "abcdefghijklm"  # one for each agent's actions


@register_dataclass
@dataclass(frozen=True)
class Game:
    """`rewards`, `payments` [N, S, A1, …, AN]; `transitions` [S, A1, …, AN, S]; `start` [S]; `discount` [] below 1; `observation`
    [N, S, Z], the probability that agent n sees z; `legal` [N, Z, A], A the largest of the A_n; `instruments` [K, N, S, A1, …, AN],
    payments that the designer may scale."""

    rewards: Array
    payments: Array
    transitions: Array
    start: Array
    discount: Array
    observation: Array
    legal: Array
    instruments: Array


def policies_of(logits: Array, legal: Array) -> Array:
    """softmax over legal choices, [N, Z, A]."""
    return jax.nn.softmax(jnp.where(legal, logits, -jnp.inf), axis=-1)


def in_states(game: Game, policies: Array) -> Array:
    """What is done in each state, [N, S, A], by policies [N, Z, A]."""
    return jnp.einsum("nsz,nza->nsa", game.observation, policies)


def expected(table: Array, done: Array, but: int | None = None, trailing: int = 0) -> Array:
    """A table [S, A1, …, AN, …] (`trailing` further axes) averaged over what agents do in each state [N, S, A], but for one agent:
    [S, …], or [S, A_but, …]."""
    sizes = table.shape[1 : table.ndim - trailing]
    letters, rest = LETTERS[: len(sizes)], "xyz"[:trailing]
    kept = "" if but is None else letters[but]
    parts = [(f"s{letter}", done[agent, :, : sizes[agent]]) for agent, letter in enumerate(letters) if agent != but]
    inputs = ",".join([f"s{letters}{rest}", *(names for names, _ in parts)])
    return jnp.einsum(f"{inputs}->s{kept}{rest}", table, *(values for _, values in parts))


def moves(game: Game, done: Array) -> Array:
    """The probability [S, S] of going from one state to the next under what agents do in each."""
    return expected(game.transitions, done, trailing=1)


def forward(game: Game, going: Array, flow: Array) -> Array:
    """(I − discount·P)⁻¹ flow, for flows [S, …]: what is had from each state on of what flows there."""
    states = going.shape[0]
    if states <= MOST_DENSE:
        return jnp.linalg.solve(jnp.eye(states, dtype=going.dtype) - game.discount * going, flow)

    def product(value: Array) -> Array:
        return value - game.discount * (going @ value)

    return jax.lax.custom_linear_solve(product, flow, krylov, krylov)


def worth(game: Game, policies: Array, payoffs: Array) -> Array:
    """Discounted payoffs [N, S] from each state on, of tables [N, S, A1, …, AN] under policies [N, Z, A]."""
    done = in_states(game, policies)
    flow = jnp.stack([expected(each, done) for each in payoffs], -1)
    return forward(game, moves(game, done), flow).T


def visits(game: Game, policies: Array) -> Array:
    """How much of discounted time is spent in each state, [S], adding up to 1."""
    going = moves(game, in_states(game, policies))
    return forward(game, going.T, (1 - game.discount) * game.start)


def action_values(game: Game, done: Array, value: Array) -> Array:
    """Q [N, S, A]: what each agent gets from each choice in each state, paid and charged, if from the next period on it has `value` [N, S]
    and the others do as they do in this state; 0 at choices an agent does not have."""
    most = done.shape[-1]
    found = []
    for agent in range(done.shape[0]):
        ahead = game.rewards[agent] + game.payments[agent] + game.discount * (game.transitions @ value[agent])
        own = expected(ahead, done, but=agent)
        found.append(jnp.pad(own, ((0, 0), (0, most - own.shape[-1]))))
    return jnp.stack(found)


def seen_values(game: Game, values: Array, time: Array) -> Array:
    """Q [N, S, A] averaged over the states an agent cannot tell apart, by how likely they are given what it sees and the `time` [S]
    spent in each (Bayes): [N, Z, A]."""
    weight = game.observation * (time + UNSEEN)[None, :, None]
    return jnp.einsum("nsz,nsa->nza", weight, values) / jnp.maximum(weight.sum(1), 1e-30)[:, :, None]


def best_reply(game: Game, policies: Array, agent: int, rounds: int, clear: bool) -> Array:
    """The policy [Z, A], one-hot, that is best for one agent against the others', by policy iteration. Where states are seen (`clear`)
    it is exact once settled, at most after `rounds`; where they are not, each choice is weighed by the visits under the last policy: exact
    at discount 0, else at an equilibrium of the agent with itself."""

    def improve(policies: Array) -> Array:
        done = in_states(game, policies)
        value = worth(game, policies, (game.rewards + game.payments)[agent][None])
        others = jnp.zeros((done.shape[0], done.shape[1]), value.dtype).at[agent].set(value[0])
        values = action_values(game, done, others)[agent]
        if not clear:
            weight = game.observation[agent] * (visits(game, policies) + UNSEEN)[:, None]
            values = jnp.einsum("sz,sa->za", weight, values) / jnp.maximum(weight.sum(0), 1e-30)[:, None]
        values = jnp.where(game.legal[agent], values, -jnp.inf)
        current = (values * policies[agent]).sum(-1, where=policies[agent] > 0)
        # Only what is better by more than rounding is changed, or two equal choices would be exchanged for ever.
        better = values.max(-1) > current + 32 * jnp.finfo(values.dtype).eps * (1 + jnp.abs(current))
        best = jax.nn.one_hot(jnp.argmax(values, -1), values.shape[-1], dtype=policies.dtype)
        return policies.at[agent].set(jnp.where(better[:, None], best, policies[agent]))

    def go(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        policies, _, count = carry
        moved = improve(policies)
        return moved, (moved == policies).all(), count + 1

    begin = (policies, jnp.zeros((), bool), jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(lambda carry: ~carry[1] & (carry[2] < rounds), go, begin)[0][agent]
