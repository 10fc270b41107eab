"""Guarded deferred acceptance: a lottery of two halves, in one of which workers propose and in the other firms, where lists that leave
somebody out hardly pay. Nothing of it is learned; a network begins with it (`rules`).

Under deferred acceptance who is proposed to gains by leaving people out of its list: whom it refuses goes on to others, who then refuse
whom it wants. Such an agent is *suspected*, rightly or not, if it gets more than it would however it went on to name everybody, and in
that half its pair stays apart. So hardly anybody gains by cutting its list short, and as few truly have short lists that gain, little
stability is lost. Whoever would get as much with a whole list is not suspected: that would be of no use, as it could report that one.

Where one side has fewer agents *present*, it proposes in both halves. Of the other side hardly anybody gains by lying then, while of its
own many would if it were proposed to. As who leaves is alone, nobody gains by not being present. That it pays to tell these profiles
apart was read off a table of what to do on each of the 466 662 profiles of three on a side that differ in more than names, learned by
gradient descent.

What is left to gain by is reporting another order of everybody, and naming a suspected partner alone, which clears it.
Profiles stand along the last axis, as in `classical`: p and q are [n, n, R], workers before firms.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.choice.matching.classical import deferred_acceptance, in_rows, out_of_rows


class GuardedDeferredAcceptance(nnx.Module):
    """The rule, without parameters."""

    def __call__(self, p: Array, q: Array) -> Array:
        """The matching […, n, n] on preferences p and q: what either half says, each with probability ½."""
        first, second = halves(*in_rows(p, q))[:2]
        return 0.5 * (out_of_rows(first, p) + out_of_rows(second, p))


def halves(p: Array, q: Array) -> list[Array]:
    """What deferred acceptance says of preferences [n, n, R] in the half of workers and in that of firms, as booleans [n, n, R]: the pairs
    of those who are not suspected, for both halves; what comes about without those who are; the matching if either side proposes; the best
    that agents could have with a whole list; and whom they could have at all. The first two are of the scarcer side, if there is one."""
    both = [guarded(p, q), [each.swapaxes(0, 1) for each in guarded(q.swapaxes(0, 1), p.swapaxes(0, 1))]]
    matched = both[0][2]  # who is matched is so in every stable matching
    present = [presence(p, matched.any(1), 1), presence(q, matched.any(0), 0)]
    fewer = [(present[1 - side] < present[side])[None, None] for side in (0, 1)]  # of the other side
    heard = [jnp.where(fewer[side], both[1 - side][place], both[side][place]) for place in (0, 1) for side in (0, 1)]
    return [*heard, *(side[place] for place in (2, 3, 4) for side in both)]


def presence(p: Array, matched: Array, axis: int) -> Array:
    """A number [R] that is larger the more agents of a side are present, by what the other is worth to them, along `axis` of p [n, n, R]:
    agents who name anybody; where as many do, those who name two or are `matched` [n, R]."""
    named = (p > 0).sum(axis)
    return (named > 0).sum(0) * (p.shape[0] + 1) + ((named > 1) | matched).sum(0)


def guarded(p: Array, q: Array) -> list[Array]:
    """Where workers propose, as booleans [n, n, R]: the pairs of firms that are not suspected; deferred acceptance without the others; with
    them; the best each firm would get if it left nobody out; and who would propose to it if it refused all others, the menu from which a
    firm gets what it likes best if it names that alone."""
    size = p.shape[0]
    p, q = ranks(p, 1), ranks(q, 0)
    # Whoever is left out comes after everybody named: one of them first, each in turn, which does as well as every order of them; then by
    # how much they want the firm, and by how much they are wanted at all: in an order that calls nobody by name.
    wanted = q.astype(jnp.int16).sum(1, keepdims=True)
    completed = jnp.where(q > 0, q + size + 1, ranks(p.astype(jnp.int16) * (size * size + 1) + wanted + 1, 0))
    one = jnp.eye(size, dtype=bool)
    first = one[:, :, None, None] & (q <= 0)[None]  # [first, n, n, R]
    longer = jnp.where(first, size + 1, completed[None])[:, None]
    longer = jnp.where(one[None, :, None, :, None], longer, q[None, None])  # [first, firm, n, n, R]
    refusing = jnp.where(one[:, None, :, None], 0, q[None])
    offers = jnp.concatenate([q[None], longer.reshape(-1, *q.shape), refusing]).astype(jnp.int8)
    together = [jnp.moveaxis(each, 0, 2).reshape(size, size, -1) for each in (jnp.broadcast_to(p[None], offers.shape), offers)]
    found = jnp.moveaxis(deferred_acceptance(*together).reshape(size, size, offers.shape[0], -1), 2, 0)
    matched, refused = found[0], found[1 + size * size :]
    whole = found[1 : 1 + size * size].reshape(size, size, *q.shape)
    worth = jnp.stack([jnp.where(whole[:, firm, :, firm], q[None, :, firm], 0).max(0) for firm in range(size)], 1)  # [n, n, R]
    entitled = (worth > 0) & (worth == worth.max(0, keepdims=True))
    suspected = (jnp.where(matched, q, 0).max(0) > worth.max(0))[None]
    elsewhere = jnp.stack([jnp.where(refused[firm], p, 0).max(1) for firm in range(size)], 1)
    menu = (p > elsewhere) & (q > 0)
    return [matched & ~suspected, deferred_acceptance(p, jnp.where(suspected, 0, q)), matched, entitled, menu]


def ranks(p: Array, axis: int) -> Array:
    """Values as small integers in the same order along an axis, 1 for the least above 0, and 0 for what is not: int8, as a step of deferred
    acceptance compares and does nothing else. Equal values have equal ranks."""
    others = [jax.lax.slice_in_dim(p, place, place + 1, axis=axis) for place in range(p.shape[axis])]
    below = sum((other > 0) & (other < p) for other in others)
    return jnp.where(p > 0, 1 + below, 0).astype(jnp.int8)


def rule(model: Any, problem: Any, env: Any, key: Any) -> Rule:
    """From its model in a problem file."""
    return Rule.of(GuardedDeferredAcceptance())
