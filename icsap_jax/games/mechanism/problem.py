"""A mechanism over a Markov game as a learning problem: agents report their types, the best joint policy for the reports is run, and the
rule says who pays what.

    u_i(θ_i; r) = V_i(θ_i; π(r)) − p_i(r),     V_i linear in θ_i

Profiles of types are enumerated with their mass, each an information set; an action is a distribution over reports, one-hot when pure,
and the truth is recommended. The gap is ex post: no agent gains by a misreport whatever the others' types. Deficits and participation are
signed constraints. The rules are in `rules.py`, what is exact in `optimum.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax import objectives
from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.gap import gap_and_decision
from icsap_jax.bilevel.judgement import Judgement
from icsap_jax.bilevel.responses import pure_actions
from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule, Tree
from icsap_jax.config.objectives import weights_of
from icsap_jax.games.mechanism.optimum import gap, outcomes, truth


@register_dataclass
@dataclass(frozen=True)
class MechanismEnv:
    """The numbers, for P profiles in lexicographic order: their `mass` [P], the types in them (`profiles` [P, N]), the `policy` run for
    each [P, N, S], what it is worth to each agent of type θ, `fixed` + θ·`scaled` [P, N], and `clarke`'s payments [P, N]; the
    `reservation` []; the `weights` of the objectives. numpy float64."""

    mass: Array
    profiles: Array
    policy: Array
    fixed: Array
    scaled: Array
    clarke: Array
    reservation: Array
    weights: tuple[Array, ...]


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """What the policy is worth to each agent of type θ, `fixed` + θ·`scaled` […, N], and each one's `payment` […, N]."""

    fixed: Array
    scaled: Array
    payment: Array


@dataclass(frozen=True)
class MarkovMechanism:
    """N agents with T `types` each."""

    agents: int
    types: int
    objective: tuple[str, ...]
    margin: float = 0.0
    rowwise: bool = True
    constraints: ClassVar[tuple[str, ...]] = ("deficit", "participation")

    @property
    def profiles(self) -> int:
        """P = T^N."""
        return self.types**self.agents

    def draw(self, env: MechanismEnv, key: Array, count: int) -> Draw:
        """Every profile with its mass."""
        return Draw(weight=jnp.asarray(env.mass), types=jnp.asarray(env.profiles))

    def space(self, env: MechanismEnv, draw: Draw) -> Finite:
        """Every report, [1, N, T]."""
        return Finite(mask=jnp.ones((1, self.agents, self.types), bool))

    def recommended(self, env: MechanismEnv, draw: Draw) -> Array:
        """The truth, [P, N, T]."""
        places = jnp.stack(jnp.unravel_index(jnp.arange(self.profiles), (self.types,) * self.agents), -1)
        return jax.nn.one_hot(places, self.types, dtype=draw.weight.dtype)

    def decide(self, env: MechanismEnv, rule: Rule, seen: Tree, action: Array) -> Decision:
        """What reports […, N, T] lead to, on average where they are not pure."""
        chance = jnp.ones((*action.shape[:-2], 1), action.dtype)
        for agent in range(self.agents):
            chance = (chance[..., :, None] * action[..., agent, None, :]).reshape(*action.shape[:-2], -1)
        return Decision(chance @ jnp.asarray(env.fixed), chance @ jnp.asarray(env.scaled), chance @ payments(env, rule))

    def utility(self, env: MechanismEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """[…, P, N]."""
        types = draw.types.reshape((1,) * (decision.fixed.ndim - draw.types.ndim) + draw.types.shape)
        return decision.fixed + types * decision.scaled - decision.payment

    def export_inputs(self, env: MechanismEnv) -> None:
        """A rule is not asked profile by profile: it is the whole table, which `listing` writes."""
        return None

    def weight(self, env: MechanismEnv, draw: Draw, decision: Decision) -> Array:
        """Each profile's mass, [P, 1]."""
        return draw.weight[:, None]

    def reservation(self, env: MechanismEnv, draw: Draw) -> Array:
        """[P, N]."""
        return jnp.broadcast_to(env.reservation, draw.types.shape)

    def score(self, env: MechanismEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """Welfare, the money the mechanism keeps, and whatever else the objective names; `utility`, what agents keep, always."""
        received = decision.fixed + draw.types * decision.scaled
        account = objectives.Account(value=received, transfer=decision.payment)
        value, parts = objectives.total(self.objective, env.weights, account)
        welfare, revenue = received.sum(-1), decision.payment.sum(-1)
        constraints = {"deficit": -revenue, "participation": env.reservation - received + decision.payment}
        return Outcome(value, {**parts, "welfare": welfare, "revenue": revenue, "utility": welfare - revenue}, constraints)


def judge(problem: Any, env: MechanismEnv, model: Any, rule: Rule, settings: Any) -> Judgement:
    """Every misreport at every profile, exactly. What a mechanism is worth is what it is worth when all tell the truth, its gap beside."""
    mass, found, outcome = _judged(problem, env, rule)
    return Judgement(
        value=float(mass @ outcome.value), gap=np.asarray(found), weight=np.asarray(mass)[:, None],
        method="every misreport at every profile, exact", participation=max(float(outcome.constraints["participation"].max()), 0.0),
        constraints={name: max(float(each.max()), 0.0) for name, each in outcome.constraints.items()},
        objectives={name: float(mass @ each) for name, each in outcome.objectives.items()},
    )  # fmt: skip


@partial(jax.jit, static_argnames=("problem",))
def _judged(problem: Any, env: MechanismEnv, rule: Rule) -> tuple[Array, Array, Outcome]:
    """The mass of profiles [P], the gap [P, N] and the outcome when all tell the truth."""
    draw = problem.draw(env, None, 0)
    honest = problem.recommended(env, draw)
    found, decision = gap_and_decision(problem, env, rule, draw, honest, pure_actions(problem, env, draw).astype(honest.dtype))
    return draw.weight, found, problem.score(env, draw, decision, honest)


def payments(env: MechanismEnv, rule: Rule) -> Array:
    """What a rule charges for each profile of reports, [P, N]."""
    return rule(jnp.asarray(env.profiles), jnp.asarray(env.clarke))


def exact_payments(env: MechanismEnv, rule: Rule) -> np.ndarray:
    """The same in float64."""
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jnp.asarray, (double(env), double(rule)))
        return np.asarray(jax.jit(payments)(env, rule))


def details(problem: Any, env: MechanismEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """For every profile of reports the policy, what each agent has of it, and what it pays; the money that is left over, here and under
    Clarke's payments; the most that anyone gains by a lie, here and without payments."""
    given, payment = model.tables(), exact_payments(env, rule)
    left, clarke = payment.sum(1), env.clarke.sum(1)
    return {
        "table": [
            {"reports": types.tolist(),
             "policy": {name: [given.actions[agent][action] for action in policy[agent]] for agent, name in enumerate(given.agents)},
             "value": value.tolist(), "payment": paid.tolist()}
            for types, policy, value, paid in zip(env.profiles, env.policy, truth(env), payment, strict=True)
        ],
        "budget_surplus": {"mean": float(env.mass @ left), "least": float(left.min()), "largest": float(left.max()),
                           "mean_of_clarke": float(env.mass @ clarke)},
        "largest_gap_without_payments": float(gap(env, np.zeros_like(payment)).max()),
        "payments_less_clarke": float(np.abs(payment - env.clarke).max()),
    }  # fmt: skip


def listing(problem: Any, env: MechanismEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The payments as rows: what each agent reports, and what each pays."""
    names = model.tables().agents
    return [
        {f"report of {name}": float(each) for name, each in zip(names, types, strict=True)}
        | {f"payment of {name}": float(each) for name, each in zip(names, paid, strict=True)}
        for types, paid in zip(env.profiles, exact_payments(env, rule), strict=True)
    ]


def build(model: Any, folder: Path) -> tuple[MarkovMechanism, MechanismEnv]:
    """The problem a file describes and its numbers."""
    types, prior = model.of_each(model.types), model.of_each(model.prior)
    prior = prior / prior.sum(1, keepdims=True)
    agents, kinds = types.shape
    mass = np.ones(1)
    for each in prior:
        mass = (mass[:, None] * each).ravel()
    weights = weights_of(model.objective)
    env = MechanismEnv(
        mass=mass, **outcomes(model), reservation=np.float64(model.reservation),
        weights=tuple(np.float64(weight) for weight in weights.values()),
    )  # fmt: skip
    return MarkovMechanism(agents=agents, types=kinds, objective=tuple(weights)), env
