"""Newton's equations of a logit equilibrium whose states are seen, solved by their structure, for many games side by side.

The misfit is that of `Society.misfit`. Its Jacobian in logits z [N, S, A] and values v [N, S] has few blocks,

    [ A  −E ]   A = diag(t) − K, where K, what others' logits do to payoffs, joins choices of one state and of different agents;
    [ C   F ]   E: how payoffs follow the values of the next state; C: of one state too; F = I − discount·P, the same for each agent

so the logits of each state are eliminated on their own, the first agent's with no work at all, and one system of N·S values is left: a
tenth of the operations of one dense factorisation, and none of them needs LAPACK.

Every array has a last axis B, along which games lie side by side (1 where all share the numbers). Sums are written out along the other
axes, so that a processor takes several games with each instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Tree
from icsap_jax.games.game import Game

MOST_ROWS = 16  # of the systems that are written out step by step; compiling longer ones takes longer than they save


@register_dataclass
@dataclass(frozen=True)
class Laid:
    """Games of two agents or more: `payoffs` [N, S, A1, …, AN, B], paid and charged; `ahead` [S, A1, …, AN, S, B], the transitions,
    discounted; `legal` [N, S, A, B]. Points, misfits and right sides are pytrees like x with `logits` [N, S, A, B] and a `value`
    [N, S, B]; of M right sides, with an axis before the last."""

    payoffs: Array
    ahead: Array
    legal: Array

    def misfit(self, x: Tree, heat: Array) -> Tree:
        """What is missing in logits and values at temperatures [B]."""
        play, logs = self._play(x.logits)
        values = self._values(play, self._pairs(play, x.value))
        left = jnp.where(self.legal, heat[None, None, None] * x.logits - values, x.logits)
        return replace(x, logits=left, value=x.value - self._soft(play, logs, values, heat))

    def undo(self, x: Tree, heat: Array, heavier: Array) -> Callable[[Tree], Tree]:
        """J⁻¹, as a function of M right sides; the diagonal of J is made heavier by a share [B] of itself."""
        agents, states, most = self.legal.shape[:3]
        play, logs = self._play(x.logits)
        pairs = self._pairs(play, x.value)
        values = self._values(play, pairs)
        more = (1.0 + heavier)[None, None, None]
        weight = jnp.where(self.legal, more * heat[None, None, None], more).transpose(0, 2, 1, 3)  # [N, A, S, B]
        ahead = jnp.stack([self._padded(averaged(self.ahead, play, (one,)), 1) for one in range(agents)])
        ahead = jnp.where(self.legal[:, :, :, None], ahead, 0.0)  # [N, S, A, S, B]
        joint = self._joint(play, pairs, values)
        own = play * (values - heat[None, None, None] * logs - self._soft(play, logs, values, heat)[:, :, None])
        # How each soft value follows all logits of its state: [N, N·A, S, B].
        slopes = jnp.stack([
            jnp.concatenate([total(play[one][:, :, None] * joint[one][two], 1) if one != two else own[one] for two in range(agents)], 1)
            for one in range(agents)
        ]).transpose(0, 2, 1, 3)  # fmt: skip
        first, rest = self._within(weight, joint)
        through = self._before(-slopes, weight, first, rest)
        spread = through.reshape(agents, agents, most, states, 1, -1) * ahead.transpose(0, 2, 1, 3, 4)[None]  # [N, N, A, S, S, B]
        coupling = total(spread, 2)
        going = total(play[0][:, :, None] * ahead[0], 1)  # discount·P, [S, S, B]
        eye = jnp.eye(states, dtype=going.dtype)[..., None]
        alone = eye * (1.0 + heavier)[None, None] * (1.0 - going) - (1.0 - eye) * going
        blocks = coupling + jnp.eye(agents, dtype=going.dtype)[..., None, None, None] * alone[None, None]
        matrix = blocks.transpose(0, 2, 1, 3, 4).reshape(agents * states, agents * states, -1)

        def undone(given: Tree) -> Tree:
            count = given.value.shape[2]
            right = given.logits.transpose(0, 2, 3, 1, 4)  # [N, A, M, S, B]
            lower = given.value - product(through, right.reshape(agents * most, count, states, -1)).transpose(0, 2, 1, 3)
            found = eliminate(matrix, lower.reshape(agents * states, count, -1)).reshape(agents, states, count, -1)
            flow = total(ahead[:, :, :, :, None] * found[:, None, None], 3)  # [N, S, A, M, B]
            right = right + flow.transpose(0, 2, 3, 1, 4)
            head = right[0] / weight[0][:, None]
            tail = product(rest[1], right[1:].reshape(-1, count, states, right.shape[-1]) + product(rest[0], head))
            head = head + product(first, tail) / weight[0][:, None]
            whole = jnp.concatenate([head, tail]).reshape(agents, most, count, states, -1)
            return replace(given, logits=whole.transpose(0, 3, 1, 2, 4), value=found)

        return undone

    def _play(self, logits: Array) -> tuple[Array, Array]:
        """Policies and their logarithms, [N, S, A, B]."""
        open_to = jnp.where(self.legal, logits, -jnp.inf)
        highest = open_to[:, :, 0]
        for place in range(1, open_to.shape[2]):
            highest = jnp.maximum(highest, open_to[:, :, place])
        over = open_to - highest[:, :, None]
        odds = jnp.exp(over)
        whole = total(odds, 2)[:, :, None]
        return odds / whole, jnp.where(self.legal, over, 0.0) - jnp.log(whole)

    def _pairs(self, play: Array, value: Array) -> list[list[Array]]:
        """For agents n ≠ m what n gets by its own choice and m's, [S, A, A, B]; nothing to read where n = m."""
        agents, states = value.shape[:2]
        spread = value.reshape(agents, states, *(1,) * (agents + 1), -1)  # [N, S next, 1, 1, …, B]
        table = self.payoffs
        for place in range(states):
            table = table + self.ahead[None, ..., place, :] * spread[:, place]
        found = []
        for one in range(agents):
            row = []
            for two in range(agents):
                kept = averaged(table[one], play, (one, two)) if one != two else table[one, :, :0, :0]
                kept = kept.swapaxes(1, 2) if one > two else kept
                row.append(self._padded(self._padded(kept, 1), 2) if one != two else kept)
            found.append(row)
        return found

    def _padded(self, table: Array, axis: int) -> Array:
        """Zeros for choices an agent does not have."""
        missing = self.legal.shape[2] - table.shape[axis]
        return jnp.pad(table, [(0, missing if place == axis else 0) for place in range(table.ndim)])

    def _values(self, play: Array, pairs: list[list[Array]]) -> Array:
        """What each choice is worth, [N, S, A, B]."""
        other = [1, *[0] * (len(pairs) - 1)]
        return jnp.stack([total(pairs[one][two] * play[two][:, None], 2) for one, two in enumerate(other)])

    def _soft(self, play: Array, logs: Array, values: Array, heat: Array) -> Array:
        """Values of states with the taste for variety, [N, S, B]."""
        return total(play * (values - heat[None, None, None] * logs), 2)

    def _joint(self, play: Array, pairs: list[list[Array]], values: Array) -> list[list[Array]]:
        """How n's values of choices follow m's logits, [S, A, A, B]."""
        agents = len(pairs)
        return [[(pairs[one][two] - values[one][:, :, None]) * play[two][:, None] if one != two else pairs[one][two]
                 for two in range(agents)] for one in range(agents)]  # fmt: skip

    def _within(self, weight: Array, joint: list[list[Array]]) -> tuple[Array, tuple[Array, Array]]:
        """(K from the first agent's row to the others' columns [A, R, S, B], (K from the others' rows to its columns [R, A, S, B], the
        inverse of what is left of the others' block once it is eliminated [R, R, S, B])), R = (N − 1)·A."""
        agents, most, states = weight.shape[:3]
        legal = self.legal.transpose(0, 2, 1, 3)
        nothing = jnp.zeros((most, most, states, weight.shape[-1]), weight.dtype)

        def block(one: int, two: int) -> Array:
            return nothing if one == two else jnp.where(legal[one][:, None], joint[one][two].transpose(1, 2, 0, 3), 0.0)

        others = range(1, agents)
        first = jnp.concatenate([block(0, two) for two in others], 1)
        back = jnp.concatenate([block(one, 0) for one in others])
        among = jnp.concatenate([jnp.concatenate([block(one, two) for two in others], 1) for one in others])
        size = (agents - 1) * most
        eye = jnp.eye(size, dtype=weight.dtype)[..., None, None]
        matrix = eye * weight[1:].reshape(size, 1, states, -1) - among - product(back, first / weight[0][:, None])
        inverse = eliminate(matrix, jnp.broadcast_to(eye, matrix.shape))
        return first, (back, inverse)

    def _before(self, rows: Array, weight: Array, first: Array, rest: tuple[Array, Array]) -> Array:
        """Rows [N, N·A, S, B] times A⁻¹."""
        most = weight.shape[1]
        head = rows[:, :most] / weight[0][None]
        tail = product(rows[:, most:] + product(head, first), rest[1])
        return jnp.concatenate([head + product(tail, rest[0]) / weight[0][None], tail], 1)


def laid(game: Game) -> Laid:
    """Of one game (B = 1) whose states are seen."""
    legal = jnp.asarray(game.legal)
    ahead = jnp.asarray(game.discount) * jnp.asarray(game.transitions)
    return Laid(payoffs=jnp.asarray(game.rewards + game.payments)[..., None], ahead=ahead[..., None], legal=legal[..., None])


def averaged(table: Array, play: Array, kept: tuple[int, ...]) -> Array:
    """A table [S, A1, …, AN, …, B] averaged over what everybody does but the `kept`, whose choices stay axes."""
    for agent in reversed(range(play.shape[0])):
        if agent not in kept:
            size = table.shape[agent + 1]
            shape = (play.shape[1], *(1,) * agent, size, *(1,) * (table.ndim - 3 - agent), play.shape[-1])
            table = total(table * play[agent, :, :size].reshape(shape), agent + 1)
    return table


def total(terms: Array, axis: int) -> Array:
    """The sum along a short axis, term by term."""
    spot: list[Any] = [slice(None)] * axis
    found = terms[(*spot, 0)]
    for place in range(1, terms.shape[axis]):
        found = found + terms[(*spot, place)]
    return found


def product(left: Array, right: Array) -> Array:
    """Matrices [I, K, …] times [K, J, …]. A loop, for the reason given in `eliminate`."""

    def go(place: Array, found: Array) -> Array:
        return found + left[:, place][:, None] * right[place][None]

    shape = jnp.broadcast_shapes(left[:, :1].shape, right[:1].shape)
    return jax.lax.fori_loop(0, right.shape[0], go, jnp.zeros(shape, left.dtype))


def eliminate(matrix: Array, right: Array) -> Array:
    """The solutions [n, M, …] of systems [n, n, …] and right sides [n, M, …] by Gauss and Jordan, with the largest pivot left in each
    column. Rows stay where they are, and are put in order at the end."""
    size = matrix.shape[0]
    places = jnp.arange(size).reshape(size, *(1,) * (matrix.ndim - 2))

    # A loop, and the position of the largest and not a chain of comparisons: what the compiler may write into one formula, it computes
    # anew for every number in which it is used.
    def go(step: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        whole, free, order = carry
        column = whole[:, step]
        taken = jnp.argmax(jnp.where(free, jnp.abs(column), -1.0), 0)[None] == places
        row = jnp.where(taken[:, None], whole, 0.0).sum(0) / jnp.where(taken, column, 0.0).sum(0)[None]
        whole = jnp.where(taken[:, None], row[None], whole - column[:, None] * row[None])
        return whole, free & ~taken, order.at[step].set(taken)

    free = jnp.ones((size, *matrix.shape[2:]), bool)
    begin = (jnp.concatenate([matrix, right], 1), free, jnp.broadcast_to(free[None], (size, *free.shape)))
    whole, _, order = jax.lax.fori_loop(0, size, go, begin)
    return jnp.where(order[:, :, None], whole[None, :, size:], 0.0).sum(1)
