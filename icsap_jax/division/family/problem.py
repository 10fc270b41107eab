"""Cakes drawn at random, whose agents report their tastes; one rule divides them all.

B cakes of P pieces for N agents. Tastes are in proportion to exponential draws, raised to a power, the contrast. A type is an agent's
tastes, [P], which sum to 1; a report is any point of the box [0, 1]^P, of which the rule takes the proportions. The objectives are those
of a known cake at the true tastes. A rule that only maximises them tempts agents to misreport; by how much is the incentive gap, which
training may price.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.schema import Evaluation
from icsap_jax.bilevel.types import Array, Box, Draw, Outcome, Rule, Tree
from icsap_jax.division.problem import Division, wishes


@register_dataclass
@dataclass(frozen=True)
class FamilyEnv:
    """`contrast` [] of the tastes."""

    contrast: Array


@dataclass(frozen=True)
class CakeFamily:
    """N `agents`, P `pieces`; `wish` is the objective; rules are judged on the cakes of a seed of its own, `fresh` (seed, count)."""

    agents: int
    pieces: int
    wish: str
    objective: tuple[str, ...]
    fresh: tuple[int, int] = (Evaluation().seed, Evaluation().gap_profiles)
    margin: float = 0.0
    rowwise: bool = True

    def independent(self, env: FamilyEnv) -> bool:
        """Whether one agent's tastes may be drawn alone."""
        return True

    def draw(self, env: FamilyEnv, key: Array, count: int) -> Draw:
        """`count` cakes: tastes [B, N, P]."""
        drawn = jax.random.exponential(key, (count, self.agents, self.pieces), jnp.result_type(float))
        tastes = jax.nn.softmax(env.contrast * jnp.log(jnp.maximum(drawn, 1e-30)), axis=-1)
        return Draw(weight=jnp.full((count,), 1.0 / count, tastes.dtype), types=tastes)

    def judged_on(self, seed: int, count: int) -> CakeFamily:
        """The same, whose rules are judged on `count` cakes drawn by another seed."""
        return replace(self, fresh=(seed, count))

    def space(self, env: FamilyEnv, draw: Draw) -> Box:
        """Any report, [N, P]."""
        shape = (self.agents, self.pieces)
        return Box(low=jnp.zeros(shape), high=jnp.ones(shape))

    def recommended(self, env: FamilyEnv, draw: Draw) -> Array:
        """The truth, [B, N, P]."""
        return draw.types

    def decide(self, env: FamilyEnv, rule: Rule, seen: Tree, action: Array) -> Division:
        """Shares […, N, P] on reports […, N, P]."""
        return rule(action)

    def gets(self, draw: Draw, decision: Division) -> Array:
        """What everybody gets at its true tastes, […, I, N]; reports and tastes may each have axes that the other has not."""
        return jnp.einsum("...np,...np->...n", decision.shares, draw.types)

    def utility(self, env: FamilyEnv, draw: Draw, decision: Division, action: Array) -> Array:
        """The same."""
        return self.gets(draw, decision)

    def weight(self, env: FamilyEnv, draw: Draw, decision: Division) -> Array:
        """Every cake is an information set of its own, [B, 1]."""
        return draw.weight[..., None]

    def infeasibility(self, env: FamilyEnv, decision: Division) -> Array:
        """By how much more, or less, is given of a piece than there is, []."""
        return jnp.abs(decision.shares.sum(-2) - 1.0).max()

    def score(self, env: FamilyEnv, draw: Draw, decision: Division, action: Array) -> Outcome:
        """Every objective, [B] each."""
        parts = wishes(self.gets(draw, decision))
        return Outcome(value=parts[self.wish], objectives=parts, constraints={})


def build(model: Any, folder: Path) -> tuple[CakeFamily, FamilyEnv]:
    """The family a file describes and its numbers."""
    return CakeFamily(model.agents, model.pieces, model.objective, (model.objective,)), FamilyEnv(np.float64(model.contrast))
