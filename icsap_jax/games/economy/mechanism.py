"""The direct mechanism as a learning problem (Mirrlees 1971, with finitely many types): each type reports a skill and gets a bundle, an
income to earn and a consumption; the truth is recommended.

Utility is consumption less (z°_i/d)(z/z°_i)^d, so that a more skilled type earns any income at less cost, the less the larger the income is
(single crossing). With incomes that rise with the report, neighbours' incentives are then all that counts, and they say that utility
rises from i to i + 1 by something between what i's bundle saves the more skilled, and what its own does:

    D_i(z_i) ≤ u_{i+1} − u_i ≤ D_i(z_{i+1}),    D_i(z) = cost_i(z) − cost_{i+1}(z).

The rule chooses the incomes and a place between the two, 0 where the more skilled are just kept from pretending to be less; the level of
utility is what balances the budget. So these are the incentive-compatible mechanisms, all of them and no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.judgement import Judgement
from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule, Tree
from icsap_jax.games.economy.exact import TIE, Exact, of_model
from icsap_jax.games.economy.judging import told
from icsap_jax.games.economy.problem import Conduct, EconomyEnv, effort, environment, objective_of, outcome_of
from icsap_jax.games.economy.social import parts

SPREAD = 0.1  # of the first steps: members start apart
FIRST = 0.25  # angle, whose sin² is the first place of every step of utility: its least is left as easily as it is kept


@register_dataclass
@dataclass(frozen=True)
class Offer:
    """What a menu says before the numbers of the economy are known: each step of income as a share [B] of what it is without a tax, and
    the place [B − 1] of each step of utility between its least and its most."""

    steps: Array
    places: Array


@register_dataclass
@dataclass(frozen=True)
class Bundles:
    """`income` and `consumption` [B] of each report, when all tell the truth."""

    income: Array
    consumption: Array


@dataclass(frozen=True)
class TaxMechanism:
    """One agent of B `types`, whose actions are the B reports."""

    types: int
    objective: tuple[str, ...]
    margin: float
    agents: int = 1
    rowwise: bool = False
    committed: ClassVar[bool] = True

    def draw(self, env: EconomyEnv, key: Array, count: int) -> Draw:
        """Every type, by its income without a tax, types [B]. `key` and `count` are not needed."""
        return Draw(weight=jnp.asarray(env.share), types=jnp.asarray(env.free))

    def space(self, env: EconomyEnv, draw: Draw) -> Finite:
        """Every report, [1, 1, B]."""
        return Finite(mask=jnp.ones((1, 1, self.types), bool))

    def recommended(self, env: EconomyEnv, draw: Draw) -> Array:
        """The truth, [B, 1, B]."""
        return jnp.eye(self.types, dtype=draw.weight.dtype)[:, None]

    def decide(self, env: EconomyEnv, rule: Rule, seen: Tree, action: Array | None) -> Bundles:
        """The bundles, whatever is reported."""
        offer = rule(seen)
        free, share = (jnp.asarray(each, offer.steps.dtype) for each in (env.free, env.share))
        income = jnp.cumsum(offer.steps * jnp.diff(free, prepend=jnp.zeros_like(free[:1])))
        saved = [effort(free[:-1], at, env.exponent) - effort(free[1:], at, env.exponent) for at in (income[:-1], income[1:])]
        rises = saved[0] + offer.places * (saved[1] - saved[0])
        above = jnp.append(jnp.zeros_like(free[:1]), jnp.cumsum(rises))
        cost = effort(free, income, env.exponent)
        lowest = share @ (income - cost - above) - env.requirement
        return Bundles(income=income, consumption=lowest + above + cost)

    def payoffs(self, env: EconomyEnv, draw: Draw, decision: Bundles) -> Array:
        """What each type gets from each bundle, [B, 1, B]."""
        free, income = jnp.broadcast_arrays(draw.types[:, None], decision.income[None, :])
        return (decision.consumption[None, :] - effort(free, income, env.exponent))[:, None]

    def utility(self, env: EconomyEnv, draw: Draw, decision: Bundles, action: Array) -> Array:
        """What each type gets, […, B, 1], from reports […, B|1, 1, B]."""
        gets = self.payoffs(env, draw, decision)
        return (action * gets.reshape(*[1] * (action.ndim - 3), *gets.shape)).sum(-1)

    def weight(self, env: EconomyEnv, draw: Draw, decision: Bundles) -> Array:
        """Each type's share, [B, 1]."""
        return draw.weight[:, None]

    def score(self, env: EconomyEnv, draw: Draw, decision: Bundles, action: Array) -> Outcome:
        """What the designer makes of reports [B, 1, B]; what a lie costs or leaves over is borne by all alike."""
        free, income = jnp.broadcast_arrays(draw.types[:, None], decision.income[None, :])
        cost = (action[:, 0] * effort(free, income, env.exponent)).sum(-1, keepdims=True)
        earned, consumed = (action[:, 0] @ each[:, None] for each in (decision.income, decision.consumption))
        return outcome_of(env, Conduct(income=earned, tax=earned - consumed, cost=cost))


class Menu(nnx.Module):
    """Roots of the steps of income, [B], and angles [B − 1] whose sin² are the places: both reach their ends and leave them."""

    def __init__(self, roots: Array, angles: Array):
        self.roots, self.angles = nnx.Param(roots), nnx.Param(angles)

    def __call__(self, seen: Tree) -> Offer:
        return Offer(steps=self.roots[...] ** 2, places=jnp.sin(self.angles[...]) ** 2)


def menu(model: Any, problem: TaxMechanism, env: EconomyEnv, key: Array) -> Rule:
    """About the incomes there are without a tax, and utilities nearly as even as incentives allow."""
    roots = 1.0 + SPREAD * jax.random.normal(key, (problem.types,))
    return Rule.of(Menu(roots, jnp.full((problem.types - 1,), FIRST)))


def build(model: Any, folder: Path) -> tuple[TaxMechanism, EconomyEnv]:
    """The mechanism's problem that a file describes, and its numbers."""
    margin = model.margin * of_model(model).scale
    return TaxMechanism(types=len(model.skills), objective=objective_of(model), margin=margin), environment(model)


def bundles_of(problem: TaxMechanism, exact: Exact, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """(income, consumption) [B] of a learned menu, float64."""
    env = EconomyEnv(exact.free, exact.share, np.asarray(exact.exponent), np.asarray(exact.requirement), exact.social)
    with jax.enable_x64(True):
        found = _decided(problem, jax.tree.map(jnp.asarray, env), jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), rule))
        return np.asarray(found.income), np.asarray(found.consumption)


@partial(jax.jit, static_argnames=("problem",))
def _decided(problem: TaxMechanism, env: EconomyEnv, rule: Rule) -> Bundles:
    return problem.decide(env, rule, None, None)


def judge(problem: TaxMechanism, env: EconomyEnv, model: Any, rule: Rule, settings: Any) -> Judgement:
    """Everybody tells the truth; the gap [B, 1] is what a type would gain by the best of the others' bundles, and bundles within a
    millionth are ties, broken against the designer in `adversarial`."""
    exact = of_model(model)
    income, consumption = bundles_of(problem, exact, rule)
    gets = consumption[None, :] - exact.free[:, None] / exact.exponent * (income[None, :] / exact.free[:, None]) ** exact.exponent
    truth, tax = np.diagonal(gets), income - consumption
    account = exact.account(income, tax)
    ties = []
    for place, row in enumerate(gets):
        others = [j for j in np.flatnonzero(row >= truth[place] - TIE * exact.scale) if j != place]
        ties.append(np.stack([income[[place, *others]], tax[[place, *others]]]))
    *_, worst = exact.both_ways(ties)
    return Judgement(
        value=float(exact.social.of(account, np)), adversarial=worst, gap=np.maximum(gets.max(1) - truth, 0.0)[:, None],
        weight=exact.share[:, None], method="every other type's bundle, exact",
        objectives={name: float(each) for name, each in parts(account, np).items()},
        details={"budget_surplus": float(exact.share @ tax - exact.requirement)},
    )  # fmt: skip


def details(problem: TaxMechanism, env: EconomyEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """The bundles, and the marginal rate each type's bundle stands for: 1 − (z/z°)^{d−1}, what it would keep less of at the margin."""
    exact = of_model(model)
    income, consumption = bundles_of(problem, exact, rule)
    rates = 1.0 - (income / exact.free) ** (exact.exponent - 1.0)
    return {"marginal_rates": rates.tolist(), **told(exact, model, exact.account(income, income - consumption))}
