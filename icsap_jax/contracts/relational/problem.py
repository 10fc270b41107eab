"""Self-enforcing contracts as a learning problem: bonuses that the future makes credible, and an agent who chooses its effort.

The decision is a wage and a bonus for each outcome; the agent's actions are its A efforts, and nobody recommends one. A bonus is
believed where the spread of bonuses is within what the effort taken makes enforceable (see `relational_optimum`); where it is not, the
parties part, and the principal gets the outside surplus. The agent gets nothing outside, so that the wage leaves it nothing at the
effort agreed on and the principal has the joint surplus.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.deviations import double, reaction
from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule, Tree
from icsap_jax.contracts.relational.optimum import relationship
from icsap_jax.files import number_or_none

# Rounding of the spread against its limit, as a share of the largest surplus.
ROUNDING = 1e-6


@register_dataclass
@dataclass(frozen=True)
class RelationalEnv:
    """The numbers: `outcome_probabilities` [A, K], `surplus`, `cost` and `limits` [A], the spread of bonuses that each effort makes
    enforceable; `outside` surplus []. numpy float64."""

    outcome_probabilities: Array
    surplus: Array
    cost: Array
    limits: Array
    outside: Array


@register_dataclass
@dataclass(frozen=True)
class Offer:
    """What a contract says before the numbers of the problem are known: the effort `agreed` on, one-hot [A], and each outcome's bonus as a
    share [K] of the most that the agreement makes enforceable."""

    agreed: Array
    shares: Array


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`wage` [] and `bonus` [K]."""

    wage: Array
    bonus: Array


@dataclass(frozen=True)
class Relational:
    """A efforts, K outcomes."""

    efforts: int
    outcomes: int
    margin: float = 0.0
    agents: int = 1
    rowwise: bool = False
    objective: tuple[str, ...] = ("principal",)

    def draw(self, env: RelationalEnv, key: Array, count: int) -> Draw:
        """One agent with nothing to hide, [1]. `key` and `count` are not needed."""
        return Draw(weight=jnp.ones(1), types=None)

    def space(self, env: RelationalEnv, draw: Draw) -> Finite:
        """Every effort, [1, 1, A]."""
        return Finite(mask=jnp.ones((1, 1, self.efforts), bool))

    def recommended(self, env: RelationalEnv, draw: Draw) -> None:
        """Nothing: the agent does what is best for it."""
        return None

    def scale(self, env: RelationalEnv) -> Array:
        """The size of payoffs, in which temperatures are measured."""
        return jnp.maximum(jnp.abs(env.surplus).max(), jnp.maximum(env.cost.max(), 1e-6))

    def decide(self, env: RelationalEnv, rule: Rule, seen: Tree, action: Any) -> Decision:
        """Bonuses that are enforceable at the effort agreed on, and the wage that then leaves the agent nothing."""
        offer = rule()
        bonus = offer.shares * jax.nn.relu(offer.agreed @ env.limits)
        expected = offer.agreed @ (env.outcome_probabilities @ bonus)
        return Decision(wage=offer.agreed @ env.cost - expected, bonus=bonus)

    def gets(self, env: RelationalEnv, decision: Decision) -> Array:
        """What each effort brings the agent, [A]."""
        return decision.wage + env.outcome_probabilities @ decision.bonus - env.cost

    def utility(self, env: RelationalEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """What the agent gets, […, 1, 1], from efforts […, 1, 1, A]."""
        return (action * self.gets(env, decision).reshape(*[1] * (action.ndim - 1), -1)).sum(-1)

    def weight(self, env: RelationalEnv, draw: Draw, decision: Decision) -> Array:
        """One, [1, 1]."""
        return draw.weight[:, None]

    def reservation(self, env: RelationalEnv, draw: Draw) -> Array:
        """Nothing, [1, 1]: the outside surplus is the principal's."""
        return jnp.zeros_like(draw.weight)[:, None]

    def credible(self, env: RelationalEnv, decision: Decision) -> Array:
        """Whether the bonuses are believed when each effort is taken, [A]."""
        spread = decision.bonus.max() - decision.bonus.min()
        return spread <= env.limits + ROUNDING * self.scale(env)

    def score(self, env: RelationalEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What the principal gets, and what both get together, [1]."""
        credible = self.credible(env, decision)
        principal = jnp.where(credible, env.surplus - env.cost - self.gets(env, decision), env.outside)
        joint = jnp.where(credible, env.surplus - env.cost, env.outside)
        chosen = action[:, 0]
        return Outcome(value=chosen @ principal, objectives={"principal": chosen @ principal, "joint": chosen @ joint}, constraints={})


class Contract(nnx.Module):
    """The effort agreed on, which training leaves as it is, and an angle for each outcome: sin² keeps a share between 0 and 1 and
    reaches both."""

    def __init__(self, agreed: Array, angles: Array):
        self.agreed, self.angles = nnx.Param(agreed), nnx.Param(angles)

    def __call__(self) -> Offer:
        weights = self.agreed[...]
        agreed = jax.nn.one_hot(jnp.argmax(weights), weights.shape[0], dtype=weights.dtype)
        return Offer(agreed=agreed, shares=jnp.sin(self.angles[...]) ** 2)


def contract(model: Any, problem: Relational, env: RelationalEnv, key: Array) -> Rule:
    """An agreement on the effort of the largest surplus, with half of the enforceable bonus on every outcome."""
    agreed = jax.nn.one_hot(jnp.argmax(jnp.asarray(env.limits)), problem.efforts)
    return Rule.of(Contract(agreed, jnp.full((problem.outcomes,), jnp.pi / 4)))


def contracts(model: Any, problem: Relational, env: RelationalEnv, key: Array) -> Rule:
    """Contracts side by side, one for each effort to agree on, angles [A, K], each a little off by chance."""
    angles = jnp.pi / 4 + 0.1 * jax.random.normal(key, (problem.efforts, problem.outcomes))
    graph = contract(model, problem, env, key).graph
    return jax.vmap(lambda agreed, each: Rule(Rule.of(Contract(agreed, each)).params, graph))(jnp.eye(problem.efforts), angles)


def induced(problem: Relational, env: RelationalEnv, rule: Rule) -> tuple[float, np.ndarray, int, bool, float]:
    """(wage, bonuses [K], the effort taken, whether the bonuses are believed, the principal's value), ties in its favour."""
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jnp.asarray, (double(env), double(rule)))
        found = reaction(problem, env, rule, problem.draw(env, None, 1))
        effort = int(np.asarray(found.reply.action)[0, 0].argmax())
        believed = bool(problem.credible(env, found.decision)[effort])
        return float(found.decision.wage), np.asarray(found.decision.bonus), effort, believed, float(found.reply.value)


def polish(problem: Relational, env: RelationalEnv, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The bonuses of least spread for the effort that `rule` induces, agreed on, with the principal's value before and after; the
    contract as it was learned where that effort is not enforceable."""
    given = relationship(model)
    *_, effort, _, before = induced(problem, env, rule)
    told = {"value_before_polish": before, "value_after_polish": before}
    bonus = given.bonuses[effort]
    if bonus is None or not given.enforceable[effort]:
        return rule, {**told, "not_polished": "the effort induced is not enforceable"}
    shares = np.clip(bonus / given.limits[effort], 0.0, 1.0) if given.limits[effort] > 0 else np.zeros_like(bonus)
    with jax.enable_x64(True):
        params = Rule.of(Contract(jnp.eye(problem.efforts)[effort], jnp.asarray(np.arcsin(np.sqrt(shares))))).params
    exact = Rule(params=jax.tree.map(np.asarray, params), graph=rule.graph)
    after = induced(problem, env, exact)[-1]
    return (exact, {**told, "value_after_polish": after}) if after >= before else (rule, told)


def listing(problem: Relational, env: RelationalEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The contract as rows: outcome, wage, bonus."""
    wage, bonus, *_ = induced(problem, env, rule)
    names = model.names("outcomes", len(bonus))
    return [{"outcome": name, "wage": wage, "bonus": each} for name, each in zip(names, bonus.tolist(), strict=True)]


def details(problem: Relational, env: RelationalEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """The contract, the effort it induces, and for each effort its joint surplus, the least spread of bonuses that induces it, the spread
    it makes enforceable, and the least discount factor at which it is enforceable; null where there is none."""
    given = relationship(model)
    wage, bonus, effort, believed, _ = induced(problem, env, rule)
    names = model.names("efforts", problem.efforts)
    columns = zip(names, given.joint, given.spreads, given.limits, given.critical, given.enforceable, strict=True)
    return {
        "contract": {"wage": wage, "bonuses": dict(zip(model.names("outcomes", len(bonus)), bonus.tolist(), strict=True))},
        "effort": names[effort] if believed else None,
        "efforts": [
            {"effort": name, "joint_surplus": float(joint), "least_spread": number_or_none(spread), "enforceable_spread": float(limit),
             "critical_discount": number_or_none(critical), "enforceable": bool(enforceable)}
            for name, joint, spread, limit, critical, enforceable in columns
        ],
    }  # fmt: skip


def build(model: Any, folder: Path) -> tuple[Relational, RelationalEnv]:
    """The problem a file describes and its numbers."""
    given = relationship(model)
    efforts, outcomes = given.outcome_probabilities.shape
    env = RelationalEnv(given.outcome_probabilities, given.surplus, given.cost, given.limits, np.float64(given.outside))
    return Relational(efforts=efforts, outcomes=outcomes), env
