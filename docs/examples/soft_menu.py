"""A rule of your own: one bidder faces a learned menu of lotteries with prices and picks from it by a softmax.

A bidder who picked the best entry exactly could gain nothing by lying. The softmax makes the price differentiable and costs at
most log(entries + 1)/sharpness of that, in the units of the values; so much the bidder may also lose by taking part.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from pydantic import Field

from icsap_jax import ConfigError, Rule, RuleModel
from icsap_jax.auctions.problem import Decision


class SoftMenu(nnx.Module):
    """Reports […, 1, M] to a Decision; lotteries [K, M], prices [K], and always the entry nothing at 0."""

    def __init__(self, entries, items, sharpness, rngs):
        self.lottery = nnx.Param(jax.random.normal(rngs.params(), (entries, items)))
        self.price = nnx.Param(jax.random.uniform(rngs.params(), (entries,), maxval=items))
        self.sharpness = sharpness

    def __call__(self, reports):
        lottery = jax.nn.sigmoid(self.lottery[...])
        worth = jnp.einsum("...m,km->...k", reports, lottery)
        gain = worth - jnp.broadcast_to(self.price[...], worth.shape)
        gain = jnp.concatenate([gain, jnp.zeros_like(gain[..., :1])], -1)
        picked = jax.nn.softmax(self.sharpness * gain)[..., :-1]
        return Decision(allocation=picked @ lottery, payment=picked @ self.price[...])


def build(model, problem, env, key):
    """A fresh menu for the auction."""
    if problem.agents != 1 or problem.valuation != "additive":
        raise ConfigError("rule.kind = soft_menu: is for one additive bidder; use regretnet.")
    return Rule.of(SoftMenu(model.entries, problem.items, model.sharpness, nnx.Rngs(key)))


class SoftMenuRule(RuleModel):
    """What a problem file may say: `rule: {kind: soft_menu, entries: 16}`."""

    kind: Literal["soft_menu"] = "soft_menu"
    builder = build
    problems = ("auction",)
    statements = ("feasible allocations by construction",)
    entries: int = Field(16, ge=1, description="lotteries on the menu")
    sharpness: float = Field(200.0, gt=0, description="of the choice, per unit of value")
