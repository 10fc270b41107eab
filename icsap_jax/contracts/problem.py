"""Finite contracting: what agents of each type get from each contract and action, and what is left to the principal.

The principal offers C = T contracts, one for each type to report (all the same where there is no menu). An agent of type k reports
a type, which picks a contract, and takes an action; nobody sees either the type or the action, so that both are its choice: A′ =
T·A finite actions (report, action), in that order. Types are enumerated with their probabilities, so that nothing is sampled.

    agent  Σ_j F[k, a, j] u(t[c, j]) − c[k, a]        principal  Σ_j F[k, a, j] (rewards[j] − κ t[c, j])

Hidden action: Grossman & Hart 1983; with hidden types: Castiglioni, Marchesi & Gatti 2022; eq. 13–16 of Zhang et al. 2024.
Nobody recommends anything: the agent does what is best for itself, and the principal's value depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.ties import largest, smallest
from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule, Tree
from icsap_jax.contracts.tables import Linear, Tables, Utility


@register_dataclass
@dataclass(frozen=True)
class ContractEnv:
    """The numbers: `outcome_probabilities` F [T, A, K], `costs` [T, A], `rewards` [K], `type_prior` [T], `reservation` [T] (in
    utility), and what a unit paid costs the principal, `payment_cost` []."""

    outcome_probabilities: Array
    costs: Array
    rewards: Array
    type_prior: Array
    reservation: Array
    payment_cost: Array


@dataclass(frozen=True)
class Contract:
    """T types, A actions, K outcomes; `limited_liability`: payments are ≥ 0; the agent's `utility` of money."""

    types: int
    actions: int
    outcomes: int
    limited_liability: bool = True
    money: Utility = Linear()  # noqa: RUF009  (frozen)
    margin: float = 0.0
    agents: int = 1
    rowwise: bool = False
    objective: tuple[str, ...] = ("principal",)

    def draw(self, env: ContractEnv, key: Array, count: int) -> Draw:
        """Every type [T] with its probability; the designer sees nothing. `key` and `count` are not needed."""
        return Draw(weight=jnp.asarray(env.type_prior), types=jnp.arange(self.types))

    def space(self, env: ContractEnv, draw: Draw) -> Finite:
        """Every pair of a report and an action, [1, 1, T·A]."""
        return Finite(mask=jnp.ones((1, 1, self.types * self.actions), bool))

    def recommended(self, env: ContractEnv, draw: Draw) -> None:
        """Nothing: the agent does what is best for it."""
        return None

    def scale(self, env: ContractEnv) -> Array:
        """The range of the rewards, or of the costs where that is larger: what temperatures and ties are measured in."""
        return jnp.maximum(jnp.maximum(jnp.ptp(env.rewards), jnp.ptp(env.costs)), 1e-6)

    def decide(self, env: ContractEnv, rule: Rule, seen: Tree, action: Any) -> Array:
        """The payments [T, K] for each report and outcome. What a rule in training answers is still to be made one that every type
        accepts, by its `settled`."""
        offered = rule(jnp.arange(self.types)[:, None], jnp.arange(self.outcomes)[None, :])
        return offered.settled(self, env) if hasattr(offered, "settled") else offered

    def payoffs(self, env: ContractEnv, draw: Draw, decision: Array) -> Array:
        """What each type gets from each report and action, [T, 1, T·A]."""
        promised = self.money.of(decision, jnp)
        gets = jnp.einsum("tak,ck->tca", env.outcome_probabilities, promised) - env.costs[:, None, :]
        return gets.reshape(self.types, 1, -1)

    def utility(self, env: ContractEnv, draw: Draw, decision: Array, action: Array) -> Array:
        """Expected utility […, T, 1] of actions […, T|1, 1, T·A]."""
        gets = self.payoffs(env, draw, decision)
        return (action * gets.reshape(*[1] * (action.ndim - 3), *gets.shape)).sum(-1)

    def export_inputs(self, env: ContractEnv) -> tuple[np.ndarray, np.ndarray]:
        """Every report with every outcome, [T·K] each, int32."""
        return tuple(each.ravel() for each in np.indices((self.types, self.outcomes), dtype=np.int32))

    def weight(self, env: ContractEnv, draw: Draw, decision: Array) -> Array:
        """The probability of each type, [T, 1]."""
        return draw.weight[:, None]

    def reservation(self, env: ContractEnv, draw: Draw) -> Array:
        """What each type gets elsewhere, [T, 1]."""
        return env.reservation[:, None]

    def score(self, env: ContractEnv, draw: Draw, decision: Array, action: Array) -> Outcome:
        """What the principal keeps and what it pays in expectation, on each type [T]."""
        chosen = action.reshape(self.types, self.types, self.actions)
        reward = jnp.einsum("tca,tak,k->t", chosen, env.outcome_probabilities, env.rewards)
        paid = jnp.einsum("tca,tak,ck->t", chosen, env.outcome_probabilities, decision)
        principal = reward - env.payment_cost * paid
        return Outcome(value=principal, objectives={"principal": principal, "payment": paid}, constraints={})


def participating(problem: Contract, env: ContractEnv, payments: Array) -> Array:
    """The payments, all raised by one sum, or without limited liability also lowered, to the least at which every type finds a report
    and an action as good as going elsewhere. Incentives stay nearly as they are, and exactly so for a risk-neutral agent."""
    expected = jnp.einsum("tak,ck->tca", env.outcome_probabilities, problem.money.of(payments, jnp))
    needed = env.costs[:, None, :] + env.reservation[:, None, None]
    lifts = problem.money.lift(expected, needed, jnp)
    lift = largest(smallest(lifts.reshape(lifts.shape[0], -1)))
    lift = jax.nn.relu(lift) if problem.limited_liability else lift
    return problem.money.lifted(payments, lift, jnp)


def tables(model: Any) -> Tables:
    """The tables of a problem file in float64, probabilities summing to one."""
    probabilities = np.asarray(model.outcome_probabilities, np.float64)
    probabilities = probabilities[None] if probabilities.ndim == 2 else probabilities
    types = probabilities.shape[0]
    prior = np.ones(1) if model.type_prior is None else np.asarray(model.type_prior, np.float64)
    return Tables(
        outcome_probabilities=probabilities / probabilities.sum(-1, keepdims=True),
        costs=np.asarray(model.costs, np.float64).reshape(types, -1), rewards=np.asarray(model.rewards, np.float64),
        type_prior=prior / prior.sum(), reservation=np.broadcast_to(np.asarray(model.reservation_utility, np.float64), types),
        limited_liability=model.limited_liability, utility=model.agent_utility.build(), payment_cost=float(model.payment_cost),
    )  # fmt: skip


def build(model: Any, folder: Path) -> tuple[Contract, ContractEnv]:
    """The problem a file describes and its numbers."""
    return posed(tables(model))


def posed(given: Tables) -> tuple[Contract, ContractEnv]:
    """The problem that float64 tables pose, and its numbers."""
    names = ("outcome_probabilities", "costs", "rewards", "type_prior", "reservation", "payment_cost")
    # float64 until something is compiled: rounded probabilities would decide whether the agent is indifferent.
    env = ContractEnv(**{name: np.asarray(getattr(given, name), np.float64) for name in names})
    problem = Contract(
        types=given.types, actions=given.actions, outcomes=given.outcomes,
        limited_liability=given.limited_liability, money=given.utility,
    )  # fmt: skip
    return problem, env
