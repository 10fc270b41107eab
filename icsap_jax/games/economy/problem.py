"""A taxed economy as a learning problem: the schedule is announced, and each type earns what is best for it.

The types are the profiles of one agent, every one with its share: B of them. The designer sees incomes only. Utility is told before the
rebate, which nobody moves; the score has it. What is scored is a society, so that the value, the same on every profile, is a function of
all types together: of `Conduct`, what each type earns, pays and suffers.

With one rate a type's first-order condition says what it earns (`stationary`), or a formula does. With brackets it does not: incomes bunch
at kinks, and jump from bracket to bracket. The best income in each bracket is a formula nevertheless, so that the smoothed reply
(`equilibrium`) is a logit among brackets, exp(utility/temperature), whose incomes become the exact ones as the temperature falls.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Box, Draw, Outcome, Rule, Tree
from icsap_jax.games.economy import social
from icsap_jax.games.economy.exact import of_model
from icsap_jax.games.economy.social import Account

ROOM = 4.0  # incomes reach this many times as far as without a tax: to where two thirds and more are paid on top of what is earned


@register_dataclass
@dataclass(frozen=True)
class EconomyEnv:
    """The numbers: incomes without a tax, `free` z° [B]; `share` [B] of each type; `exponent` d [] of the cost; public `requirement` [];
    the designer's `social` value. numpy float64."""

    free: Array
    share: Array
    exponent: Array
    requirement: Array
    social: Any


@register_dataclass
@dataclass(frozen=True)
class Schedule:
    """`rates` [K] on the income within each bracket, and where all but the last end, `thresholds` [K − 1]."""

    rates: Array
    thresholds: Array


@register_dataclass
@dataclass(frozen=True)
class Conduct:
    """What each type does, on average where it mixes: `income`, the `tax` on it, and the `cost` of earning it, [B, 1] each."""

    income: Array
    tax: Array
    cost: Array


def powered(base: Array, exponent: Array) -> Array:
    """base^exponent for base ≥ 0, with slopes that are finite at 0."""
    positive = base > 0
    return jnp.where(positive, jnp.where(positive, base, 1.0) ** exponent, 0.0)


def effort(free: Array, income: Array, exponent: Array) -> Array:
    """What it costs types with incomes `free` without a tax to earn `income`, of one shape."""
    return free / exponent * powered(income / free, exponent)


def brackets_of(schedule: Schedule) -> tuple[Array, Array, Array]:
    """Where each bracket begins and ends, and the tax where it begins, [K] each; the last ends at the largest number."""
    zero, most = jnp.zeros_like(schedule.rates[:1]), jnp.full_like(schedule.rates[:1], jnp.finfo(schedule.rates.dtype).max)
    low = jnp.concatenate([zero, schedule.thresholds])
    high = jnp.concatenate([schedule.thresholds, most])
    due = jnp.cumsum(schedule.rates[:-1] * jnp.diff(low))
    return low, high, jnp.concatenate([zero, due])


def tax_on(schedule: Schedule, income: Array) -> Array:
    """The tax on incomes of any shape."""
    low, _, due = brackets_of(schedule)
    place = (income[..., None] >= low[1:].reshape(*[1] * income.ndim, -1)).sum(-1)
    return due[place] + schedule.rates[place] * (income - low[place])


def society(env: EconomyEnv, conduct: Conduct) -> Account:
    """Who earns, pays and consumes what, [B] each, revenue beyond the requirement given back evenly."""
    share = jnp.asarray(env.share, conduct.income.dtype)
    income, tax, cost = (leaf[:, 0] for leaf in (conduct.income, conduct.tax, conduct.cost))
    consumption = income - tax + (tax @ share - env.requirement)
    return Account(share=share, income=income, tax=tax, consumption=consumption, utility=consumption - cost)


def outcome_of(env: EconomyEnv, conduct: Conduct) -> Outcome:
    """What that is worth: the same number on every profile, so that its expectation is itself."""
    account = society(env, conduct)

    def everywhere(value: Array) -> Array:
        return jnp.broadcast_to(value, account.income.shape)

    told = {name: everywhere(value) for name, value in social.parts(account, jnp).items()}
    return Outcome(value=everywhere(env.social.of(account, jnp)), objectives=told, constraints={})


@dataclass(frozen=True)
class IncomeTax:
    """One agent of B types, named by what the designer values."""

    objective: tuple[str, ...]
    agents: int = 1
    margin: float = 0.0
    rowwise: bool = False
    enumerated: ClassVar[bool] = True
    committed: ClassVar[bool] = True

    def draw(self, env: EconomyEnv, key: Array, count: int) -> Draw:
        """Every type, by its income without a tax, types [B, 1]. `key` and `count` are not needed."""
        return Draw(weight=jnp.asarray(env.share), types=jnp.asarray(env.free)[:, None])

    def space(self, env: EconomyEnv, draw: Draw) -> Box:
        """Incomes from 0 on, [B, 1, 1]."""
        return Box(low=jnp.zeros_like(draw.types)[..., None], high=ROOM * draw.types[..., None])

    def start(self, env: EconomyEnv, draw: Draw) -> Array:
        """Half of what is earned without a tax, [B, 1, 1]."""
        return 0.5 * draw.types[..., None]

    def recommended(self, env: EconomyEnv, draw: Draw) -> None:
        """Nobody recommends what to earn."""
        return None

    def decide(self, env: EconomyEnv, rule: Rule, seen: Tree, action: Array | None) -> Schedule:
        """The schedule, the same whatever anybody does."""
        return rule(seen)

    def utility(self, env: EconomyEnv, draw: Draw, decision: Schedule, action: Array) -> Array:
        """What each type keeps of its income less what it cost to earn, before the rebate, […, B, 1] of incomes […, B, 1, 1]."""
        income = action[..., 0]
        return income - tax_on(decision, income) - effort(jnp.broadcast_to(draw.types, income.shape), income, env.exponent)

    def weight(self, env: EconomyEnv, draw: Draw, decision: Schedule) -> Array:
        """Each type's share, [B, 1]."""
        return draw.weight[:, None]

    def conduct(self, env: EconomyEnv, draw: Draw, decision: Schedule, action: Array) -> Conduct:
        """Of incomes [B, 1, 1]."""
        income = action[..., 0]
        return Conduct(income=income, tax=tax_on(decision, income), cost=effort(draw.types, income, env.exponent))

    def score(self, env: EconomyEnv, draw: Draw, decision: Schedule, action: Array | Conduct) -> Outcome:
        """What the designer makes of it; of incomes [B, 1, 1], or of what types do on average."""
        return outcome_of(env, action if isinstance(action, Conduct) else self.conduct(env, draw, decision, action))

    def reply(self, env: EconomyEnv, draw: Draw, decision: Schedule) -> Array:
        """Each type's best income, [B, 1, 1]: z°·(1 − rate)^e of the best bracket, within it."""
        income, _, _, utility = self._by_bracket(env, draw, decision)
        best = jnp.argmax(utility, -1, keepdims=True)
        return jnp.take_along_axis(income, best, -1)[..., None]

    def _by_bracket(self, env: EconomyEnv, draw: Draw, decision: Schedule) -> tuple[Array, Array, Array, Array]:
        """(income, tax, cost, utility) [B, K] of each type's best in each bracket."""
        low, high, due = (each[None, :] for each in brackets_of(decision))
        kept = powered(jax.nn.relu(1.0 - decision.rates), 1.0 / (env.exponent - 1.0))[None, :]
        income = jnp.clip(draw.types * kept, low, high)
        tax = due + decision.rates[None, :] * (income - low)
        cost = effort(jnp.broadcast_to(draw.types, income.shape), income, env.exponent)
        return income, tax, cost, income - tax - cost

    def smoothed(self, env: EconomyEnv, draw: Draw, decision: Schedule, temperature: Array) -> Conduct:
        """A logit among brackets, at a temperature in units of mean utility without a tax."""
        income, tax, cost, utility = self._by_bracket(env, draw, decision)
        unit = (1.0 - 1.0 / env.exponent) * (draw.weight @ draw.types[:, 0])
        share = jax.nn.softmax(utility / (temperature * unit), -1)
        return Conduct(*((share * each).sum(-1, keepdims=True) for each in (income, tax, cost)))

    def begin(self, env: EconomyEnv, draw: Draw) -> Conduct:
        """Nobody does anything."""
        return Conduct(*[jnp.zeros_like(draw.types)] * 3)

    def misfit(self, env: EconomyEnv, draw: Draw, decision: Schedule, x: Conduct, temperature: Array) -> Conduct:
        """How far x is from the smoothed reply, which nobody else's conduct changes: Newton needs one step."""
        return jax.tree.map(lambda at, best: at - best, x, self.smoothed(env, draw, decision, temperature))


def environment(model: Any) -> EconomyEnv:
    """The numbers of an economy: numpy, float64."""
    exact = of_model(model)
    return EconomyEnv(exact.free, exact.share, np.asarray(exact.exponent), np.asarray(exact.requirement), exact.social)


def objective_of(model: Any) -> tuple[str, ...]:
    """What the designer values, in words."""
    aversion = getattr(model.objective, "inequality_aversion", None)
    name = model.objective.kind
    return (name if aversion is None else f"{name}, η = {aversion if isinstance(aversion, str) else f'{aversion:g}'}",)


def build(model: Any, folder: Path) -> tuple[IncomeTax, EconomyEnv]:
    """The economy a problem file describes, and its numbers."""
    return IncomeTax(objective=objective_of(model)), environment(model)
