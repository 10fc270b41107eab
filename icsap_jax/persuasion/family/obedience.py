"""What makes any scheme an obeyed one, at the price of telling more: closed formulas, for thousands of games at once, with a slope.

The joint masses y(·,a) of a recommendation that is obeyed form a cone, and telling a state ω and recommending its best action a*(ω) is
always obeyed. So mass may be taken away from a recommendation until it is obeyed, and the states it came from are told:

    obeyed scheme  =  what is left, each column in its cone,  +  the rest μ₀(ω) − Σ_a y(ω,a), told, to the action a*(ω)

What a scheme earns more than full disclosure is then Σ y(ω,a) w(ω,a), w being the sender's utility less what it gets where the state is
told. Mass is taken first from the states that speak for the deviation that tempts most, in equal shares, a few deviations in turn; and if
some still tempts, from all states in which the recommendation is not the best action, which is enough for all deviations at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.ties import largest
from icsap_jax.bilevel.types import Array
from icsap_jax.persuasion.family.problem import FAR, Games

TINY = 1e-12
SMALL = 1e-9  # of a lead, whose square float32 still holds
RARE = 1e-7  # the probability of a recommendation that is not made at all: its lead would be lost in rounding
DEVIATIONS = 3  # that mass is taken away for, one after the other


@register_dataclass
@dataclass(frozen=True)
class Measured:
    """Games in units of their own, which no constant added to a state's utilities changes and no unit. `regret` [B, S, A] ≤ 0: the
    receiver's utility less its best in that state, its mean loss under an action at random being 1; `gain` [B, S, A]: the sender's less
    what it gets where the state is told, its mean range being 1; `best` [B, S, A]: the action taken where the state is told;
    `receiver_unit`, `sender_unit` [B]; `apart` [B, A, A]: (recommended, deviation), two different actions that there are."""

    regret: Array
    gain: Array
    best: Array
    receiver_unit: Array
    sender_unit: Array
    apart: Array


def measured(games: Games) -> Measured:
    """Games [B] in units of their own; what a game has not stays zero."""
    there = (games.prior > 0)[:, :, None] & games.legal[:, None]
    receiver = jnp.where(there, games.receiver, -FAR)
    best = jax.nn.one_hot(jnp.argmax(receiver, -1), receiver.shape[-1], dtype=receiver.dtype)
    regret = jnp.where(there, games.receiver - (games.receiver * best).sum(-1, keepdims=True), 0.0)
    gain = jnp.where(there, games.sender - (games.sender * best).sum(-1, keepdims=True), 0.0)
    small = jnp.finfo(receiver.dtype).tiny ** 0.5
    receiver_unit = jnp.maximum(-jnp.einsum("bs,bsa->b", games.prior, regret) / games.legal.sum(-1), small)
    sender_unit = jnp.maximum(jnp.einsum("bs,bs->b", games.prior, gain.max(-1) - gain.min(-1)), small)
    apart = games.legal[:, :, None] & games.legal[:, None] & ~jnp.eye(receiver.shape[-1], dtype=bool)[None]
    return Measured(regret / receiver_unit[:, None, None], gain / sender_unit[:, None, None], best, receiver_unit, sender_unit, apart)


def leads(joint: Array, regret: Array) -> Array:
    """Σ_ω joint(ω,a) (u(ω,a) − u(ω,b)), [B, A, A] for (recommended a, deviation b)."""
    return jnp.einsum("bsa,bsa->ba", joint, regret)[..., None] - jnp.einsum("bsa,bsc->bac", joint, regret)


def obeyed(joint: Array, game: Measured, margin: float) -> Array:
    """Of joint masses [B, S, A] what is obeyed when the rest is told: cut back to `margin` for each unit of mass, so that half of it is
    certain to be left, and asked for, after rounding."""
    for _ in range(DEVIATIONS):
        mass = joint.sum(1)
        lead = jnp.where(game.apart, leads(joint, game.regret) / (mass[..., None] + TINY), FAR)
        tempting = jax.nn.one_hot(jnp.argmin(lead, -1), lead.shape[-1], dtype=lead.dtype)
        over = game.regret - jnp.einsum("bsc,bac->bsa", game.regret, tempting) - margin
        against = (joint * jax.nn.relu(-over)).sum(1)
        missing = jax.nn.relu(-(joint * over).sum(1))
        joint = joint * (1.0 - (missing / (against + TINY))[:, None] * (over < 0))
    secure = joint * game.best
    rest = joint - secure
    given = leads(secure, game.regret) - margin / 2 * secure.sum(1)[..., None]
    asked = margin / 2 * rest.sum(1)[..., None] - leads(rest, game.regret)
    short = game.apart & (asked > given)
    joint = secure + rest * -largest(jnp.where(short, -jax.nn.relu(given) / jnp.maximum(asked, SMALL), -1.0))[:, None]
    return jnp.where(joint.sum(1, keepdims=True) > RARE, joint, 0.0)


def completed(joint: Array, game: Measured, prior: Array) -> Array:
    """The signal [B, S, A] of masses that are obeyed: the rest of every state is told. A state without mass is told."""
    share = joint / jnp.where(prior > 0, prior, 1.0)[..., None]
    return share + jax.nn.relu(1.0 - share.sum(-1, keepdims=True)) * game.best
