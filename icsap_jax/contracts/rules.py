"""Contracts a principal may offer: payments for each report and outcome.

What is trained is a `Sketch`, one of the shapes by its free numbers; the problem's tables turn it into payments that every type
accepts. What is kept is a `Schedule`, the plain table of payments, which the polish fills. Either is called with a report and an
outcome, whole numbers of any shapes that broadcast.

The principal's value has local optima around the actions it may induce, so that a sketch starts at each: it pays where the outcome
speaks for the wanted action more than for any other.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.contracts.problem import Contract, ContractEnv, participating

FLOOR = 0.02  # of what a start pays: an outcome paid nothing at all has no slope
COPIES = 3  # of each start, at temperatures of their own
AIMING, SPARE = 500, 0.002  # subgradient steps towards a start's actions, and by what share of the scale they should be best
PEAK, SHARP = 2.0, 5.0  # the number of the rank a threshold starts at, and what turns such numbers into logits


class Schedule(nnx.Module):
    """A table of payments [C, K]; C is 1 for a single contract, else one for each report."""

    def __init__(self, contracts: int, outcomes: int):
        self.payments = nnx.Param(jnp.zeros((contracts, outcomes)))

    def __call__(self, report: Array, outcome: Array) -> Array:
        table = jnp.asarray(self.payments[...])
        return table[jnp.zeros_like(report) if table.shape[0] == 1 else report, outcome]


@register_dataclass
@dataclass(frozen=True)
class Draft:
    """What a sketch answers: its free numbers [C, P], whatever was asked; `settled` makes payments of them."""

    raw: Array
    shape: str = field(metadata={"static": True})
    budget: float | None = field(metadata={"static": True})

    def settled(self, problem: Contract, env: ContractEnv) -> Array:
        """Payments [T, K] that every type accepts. A square keeps an amount ≥ 0 and lets it reach 0."""
        payments = participating(problem, env, self._shaped(problem, env))
        if self.budget is not None:  # cut, but the slope stays, or an amount over the budget would never come down
            payments = payments - jax.lax.stop_gradient(jax.nn.relu(payments - self.budget))
        return jnp.broadcast_to(payments, (problem.types, problem.outcomes))

    def _shaped(self, problem: Contract, env: ContractEnv) -> Array:
        raw, scale = self.raw, problem.scale(env)
        amounts = scale * raw**2
        if self.shape == "any":
            return amounts if problem.limited_liability else scale * raw
        if self.shape == "linear":
            return raw**2 * jnp.asarray(env.rewards)[None]
        ranks = jnp.argsort(jnp.argsort(env.rewards))
        if self.shape == "threshold":
            return (jnp.cumsum(jax.nn.softmax(SHARP * raw[:, :-1], axis=-1), -1) * amounts[:, -1:])[:, ranks]
        return jnp.cumsum(amounts, -1)[:, ranks]  # monotone; without limited liability the first amount cancels in `participating`


class Sketch(nnx.Module):
    """The free numbers [C, P] of contracts of one shape, in training."""

    def __init__(self, raw: Array, shape: str, budget: float | None):
        self.raw, self.shape, self.budget = nnx.Param(raw), shape, budget

    def __call__(self, report: Array, outcome: Array) -> Draft:
        return Draft(self.raw[...], self.shape, self.budget)


def schedule(model: Any, problem: Contract, env: ContractEnv, key: Array) -> Rule:
    """The table that will be filled, paying nothing yet."""
    return Rule.of(Schedule(1 if model.menu == "single" else problem.types, problem.outcomes))


def sketches(model: Any, problem: Contract, env: ContractEnv, key: Array) -> Rule:
    """Sketches side by side, leaves [S, C, P]: for each profile of the types' actions, or as many as `model.start_count` of them,
    picked evenly, `COPIES`, which the response begins at temperatures of their own."""
    profiles = np.array(list(itertools.islice(itertools.product(range(problem.actions), repeat=problem.types), 100_000)))  # [P, T]
    profiles = profiles[np.unique(np.linspace(0, len(profiles) - 1, min(model.start_count, len(profiles))).astype(int))]
    types = np.arange(problem.types)
    wanted, aims = speaking(problem, env)[types, profiles], jnp.asarray(env.outcome_probabilities)[types, profiles]  # [P, T, K]
    if model.menu == "single":
        wanted, aims = wanted.mean(1, keepdims=True), aims.mean(1, keepdims=True)
    raw = inverse(model.shape, problem, env, wanted, aims)
    raw = jax.vmap(lambda numbers, actions: aimed(problem, env, Draft(numbers, model.shape, model.budget), actions))(raw, profiles)
    graph = Rule.of(Sketch(raw[0], model.shape, model.budget)).graph
    return jax.vmap(lambda numbers: Rule(params=Rule.of(Sketch(numbers, model.shape, model.budget)).params, graph=graph))(
        jnp.concatenate([raw] * COPIES)
    )


def speaking(problem: Contract, env: ContractEnv) -> Array:
    """For each type and action [T, A] the contract [K] that pays outcomes by how much they speak for this action against any other
    of the type, scaled so that in expectation it covers the action's cost and a little more."""
    F = env.outcome_probabilities
    others = jnp.where(jnp.eye(problem.actions, dtype=bool)[..., None], 0.0, F[:, None]).max(2)  # [T, A, K]
    ratio = F / jnp.maximum(others, 1e-6 * F.max())
    third = jnp.sort(ratio, -1)[..., -min(3, problem.outcomes)][..., None]
    pays = jax.nn.relu(ratio - third) + FLOOR
    least = env.costs + env.reservation[:, None] + 0.1 * problem.scale(env)
    return pays * (jnp.maximum(least, 0.1 * problem.scale(env)) / (F * pays).sum(-1))[..., None]


def aimed(problem: Contract, env: ContractEnv, start: Draft, actions: Array) -> Array:
    """Free numbers [C, P] under which each type k reports itself and takes actions[k], with a little to spare and at little pay: a few
    hundred subgradient steps from `start`. Where no contract does that, some others."""
    scale, optimiser, types = problem.scale(env), optax.adam(optax.cosine_decay_schedule(0.05, AIMING)), jnp.arange(problem.types)
    own = jax.nn.one_hot(types * problem.actions + actions, problem.types * problem.actions)  # [T, T·A]
    # A single contract reads the same under every report.
    alike = own if start.raw.shape[0] > 1 else jnp.tile(jax.nn.one_hot(actions, problem.actions), (1, problem.types))

    def cost(raw: Array) -> Array:
        payments = Draft(raw, start.shape, start.budget).settled(problem, env)
        gets = problem.payoffs(env, None, payments)[:, 0]
        paid = jnp.einsum("tak,ck->tca", env.outcome_probabilities, payments).reshape(problem.types, -1)
        lead = (gets * own).sum(-1) - jnp.where(alike > 0, -jnp.inf, gets).max(-1)
        return (env.type_prior * (env.payment_cost * (paid * own).sum(-1) + 100.0 * jax.nn.relu(SPARE * scale - lead))).sum() / scale

    def step(carry: Any, _: None) -> tuple[Any, None]:
        raw, memory = carry
        updates, memory = optimiser.update(jax.grad(cost)(raw), memory)
        return (optax.apply_updates(raw, updates), memory), None

    return jax.lax.scan(step, (start.raw, optimiser.init(start.raw)), length=AIMING)[0][0]


def inverse(shape: str, problem: Contract, env: ContractEnv, contracts: Array, aims: Array) -> Array:
    """Free numbers [S, C, P] whose payments are about `contracts` [S, C, K], or the nearest of their shape; `aims` [S, C, K] are the
    outcome probabilities of the action wanted."""
    scale = problem.scale(env)
    if shape == "any":
        return jnp.sqrt(contracts / scale) if problem.limited_liability else contracts / scale
    if shape == "linear":
        share = (aims * contracts).sum(-1) / jnp.maximum(aims @ jnp.asarray(env.rewards), 1e-6 * scale)
        return jnp.sqrt(jnp.clip(share, FLOOR, 1.0))[..., None]
    ordered = contracts[..., jnp.argsort(env.rewards)]
    if shape == "threshold":
        start = jax.nn.one_hot(jnp.argmax(ordered, -1), problem.outcomes) * PEAK
        return jnp.concatenate([start, jnp.sqrt(ordered.max(-1, keepdims=True) / scale)], -1)
    rising = jax.lax.cummax(ordered, axis=ordered.ndim - 1)
    steps = jnp.diff(rising, axis=-1, prepend=0.0 * rising[..., :1])
    return jnp.sqrt(steps / scale + FLOOR**2)
