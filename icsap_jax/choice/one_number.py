"""Agents who each know one number, drawn from a prior: what a unit is worth to them, or where they would like something to be. It is what
they are asked, and the truth is recommended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from icsap_jax.bilevel.types import Array, Box, Draw, Rule, Tree


class OneNumber:
    """What problems of such agents have in common; their env has the `prior`."""

    def independent(self, env: Any) -> bool:
        """Whether one agent's number may be drawn anew alone."""
        return env.prior.independent_agents

    def held_out(self, env: Any) -> Any:
        """The same with profiles kept from training, where they are data."""
        return replace(env, prior=env.prior.held_out())

    def draw(self, env: Any, key: Array, count: int) -> Draw:
        """`count` profiles of numbers [B, N, 1], each of weight 1/B."""
        types = env.prior.sample(key, count)
        return Draw(weight=jnp.full((count,), 1.0 / count, types.dtype), types=types)

    def space(self, env: Any, draw: Draw | None) -> Box:
        """The support of the numbers, [N, 1]."""
        return Box(*env.prior.support())

    def recommended(self, env: Any, draw: Draw) -> Array:
        """The truth, [B, N, 1]."""
        return draw.types

    def weight(self, env: Any, draw: Draw, decision: Any) -> Array:
        """Every profile is an information set of its own, of the profile's weight: [B, 1]."""
        return draw.weight[..., None]


class PricedNumber(OneNumber):
    """Agents who are given something, their number being what a unit of it is worth to them, and pay: decisions have an `allocation`
    […, N, 1] and a `payment` […, N]."""

    def scale(self, env: Any) -> Array:
        """What a unit is worth on average, []."""
        return env.prior.mean().mean()

    def decide(self, env: Any, rule: Rule, seen: Tree, action: Array) -> Any:
        """On reports […, N, 1]."""
        return rule(action)

    def utility(self, env: Any, draw: Draw, decision: Any, action: Array) -> Array:
        """Value received at the true type less the payment, […, I, N]."""
        return jnp.einsum("...nt,...nt->...n", decision.allocation, draw.types) - decision.payment
