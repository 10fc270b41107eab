"""Agents who harvest a common resource, each as much as is best for it, as a problem for the designer.

An agent's action is the share, 0 to 1, that it takes of what it may: x_i = quota_i · high_i · action_i, `high` being the most it could
ever harvest. So a quota shrinks the box of harvests without moving its bounds, and where it binds the harvest follows it one to one.
An agent gets

    u_i = kept · payoff_i(x) − periods · tax_i · x_i + its share of the rebate,

payoffs by the kind of stock (`pool`, `fish`). Nobody moves the rebate by its own harvest, so that it is left out of `utility`; F is the
sum of payoffs, in which taxes and rebate cancel. Nobody recommends a harvest: all first-order conditions are solved together (Nash).
One information set, one profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax.numpy as jnp
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Box, Draw, Outcome, Rule, Tree


@register_dataclass
@dataclass(frozen=True)
class Regulation:
    """What the designer does: `tax` [1 or N] on a unit harvested, `quota` [1 or N] as a share of what an agent could harvest, and the
    share `kept` [] of the payoff. One entry is for everybody."""

    tax: Array
    quota: Array
    kept: Array


@dataclass(frozen=True)
class Commons:
    """N `agents`; a kind of stock adds `payoff(env, harvest)`, `periods(env)`, over which a tax is paid, and `unit(env)`, the size of
    the taxes that matter. Its numbers `env` have `high` [N]."""

    agents: int
    margin: float = 0.0
    rowwise: bool = False
    committed: ClassVar[bool] = True
    objective: tuple[str, ...] = ("welfare",)
    enumerated: ClassVar[bool] = True

    def draw(self, env: Tree, key: Array, count: int) -> Draw:
        """There is nothing to draw: one profile, of weight 1."""
        return Draw(weight=jnp.ones((1,)), types=None)

    def space(self, env: Tree, draw: Draw) -> Box:
        """From nothing to all an agent may take, [N, 1]."""
        return Box(low=jnp.zeros((self.agents, 1)), high=jnp.ones((self.agents, 1)))

    def recommended(self, env: Tree, draw: Draw) -> None:
        """Nobody recommends: agents take what is best for them."""
        return None

    def start(self, env: Tree, draw: Draw) -> Array:
        """Where the search for the equilibrium begins, [1, N, 1]: all together take half of what there is."""
        return jnp.full((1, self.agents, 1), 0.5 / self.agents)

    def reservation(self, env: Tree, draw: Draw) -> None:
        """Nobody is asked whether it wants the rule."""
        return None

    def decide(self, env: Tree, rule: Rule, seen: Tree, action: Array | None) -> Regulation:
        """The rule's, whatever agents do."""
        return rule()

    def harvest(self, env: Tree, decision: Regulation, action: Array) -> Array:
        """x […, I, N] of actions […, I, N, 1]."""
        may = jnp.broadcast_to(decision.quota * env.high, (self.agents,))
        return action[..., 0] * jnp.broadcast_to(may, action.shape[:-1])

    def utility(self, env: Tree, draw: Draw, decision: Regulation, action: Array) -> Array:
        """What agents get, but for the rebate, […, I, N]."""
        harvest = self.harvest(env, decision, action)
        paid = self.periods(env) * jnp.broadcast_to(decision.tax, harvest.shape) * harvest
        return decision.kept * self.payoff(env, harvest) - paid

    def weight(self, env: Tree, draw: Draw, decision: Regulation) -> Array:
        """1, as [1, 1]."""
        return draw.weight[:, None]

    def score(self, env: Tree, draw: Draw, decision: Regulation, action: Array) -> Outcome:
        """The sum of payoffs, what is harvested, and what is raised and handed back, [1] each."""
        harvest = self.harvest(env, decision, action)
        payoffs = self.payoff(env, harvest)
        raised = (payoffs - self.utility(env, draw, decision, action)).sum(-1)
        welfare = payoffs.sum(-1)
        return Outcome(value=welfare, objectives={"welfare": welfare, "harvest": harvest.sum(-1), "revenue": raised}, constraints={})


def build(model: Any, folder: Path) -> tuple[Commons, Tree]:
    """The problem a file describes and its numbers, numpy float64."""
    return model.stock.build(model.agents)
