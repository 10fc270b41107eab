"""How near a rule for a family of problems comes to the exact optimum of each: on instances it has not seen, one by one.

The instances are those that the evaluation draws, so that objective, optimum and baselines are means over the same problems: their
difference has no sampling error but that of the rule's own failures. The optimum solves a linear programme for each promising action of
each instance (Grossman & Hart 1983); the polish, one for the action that the rule induces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.deviations import double, reaction
from icsap_jax.bilevel.types import Draw, Rule, Tree
from icsap_jax.contracts import classical
from icsap_jax.contracts.family.problem import ContractFamily, Instances
from icsap_jax.contracts.family.rules import finished, points, telling
from icsap_jax.contracts.programmes import best_contract, gross, least_pay
from icsap_jax.contracts.shapes import UNRESTRICTED
from icsap_jax.contracts.tables import Tables
from icsap_jax.exact.lp import LpError


@dataclass(frozen=True)
class Known:
    """What is known exactly of B instances, [B] each: the principal's value at the optimum, under the best share of the reward, the best
    pay for one outcome that tells most of an action, without any pay, and where actions are seen; and the `action` that is optimal."""

    optimum: np.ndarray
    best_linear: np.ndarray
    telling_outcome: np.ndarray
    zero_contract: np.ndarray
    first_best: np.ndarray
    action: np.ndarray


def fresh(problem: ContractFamily, env: Tree) -> Draw:
    """The instances on which rules are judged, in float64."""
    seed, count = problem.fresh
    with jax.enable_x64(True):
        return problem.draw(env, jax.random.fold_in(jax.random.key(seed), 0), count)


def tables_of(instances: Instances) -> list[Tables]:
    """Each instance by itself, without the rows and columns it does not fill."""
    F, costs, rewards, legal = (np.asarray(leaf) for leaf in jax.tree.leaves(instances))
    found = []
    for rows, cost, reward, actions in zip(F.astype(np.float64), costs, rewards, legal, strict=True):
        outcomes = (rows[actions] > 0).any(0)
        own = rows[actions][:, outcomes]
        found.append(Tables(own / own.sum(-1, keepdims=True), cost[actions], reward[outcomes]))
    return found


@lru_cache(maxsize=4)
def known(problem: ContractFamily) -> Known:
    """The exact answers for the fresh instances of a family."""
    seen = fresh(problem, ()).seen
    every = tables_of(seen)
    best = [best_contract(tables) for tables in every]
    return Known(
        optimum=np.array([one.value for one in best]),
        best_linear=np.array([classical.best_linear(tables).value for tables in every]),
        telling_outcome=telling_outcome(seen),
        zero_contract=np.array([classical.zero_contract(tables).value for tables in every]),
        first_best=np.array([classical.first_best(tables) for tables in every]),
        action=np.array([one.actions[0] for one in best]),
    )


def telling_outcome(seen: Instances) -> np.ndarray:
    """The principal's value [B] by the best contract that pays a single outcome, the one that tells most of some action."""
    with jax.enable_x64(True):
        F, costs, rewards, legal = map(jnp.asarray, jax.tree.leaves(seen))
        every = jnp.broadcast_to(jnp.arange(costs.shape[1])[None], costs.shape)
        value, _ = points(F, costs, rewards, legal, telling(F, legal, every), jnp.zeros_like(costs[:, 0]))
        return np.asarray(value).max((1, 2))


def optimum(problem: ContractFamily, env: Tree, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: the mean of the instances' optima."""
    value = float(known(problem).optimum.mean())
    method = f"least-pay linear programmes for each of the {problem.fresh[1]} instances, mean"
    return {"value": value, "method": method, "source": "Grossman & Hart 1983", "upper_bound": value}


def baselines(problem: ContractFamily, env: Tree, model: Any) -> dict[str, float]:
    """Means over the same instances: no pay, the best share of the reward in each, the best pay for one telling outcome, and the first
    best."""
    names = ("zero_contract", "best_linear", "telling_outcome", "first_best")
    return {name: float(getattr(known(problem), name).mean()) for name in names}


def settle(problem: ContractFamily, env: Tree, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The finished rule with the trained network."""
    return finished(rule_model, problem, env, rule), {}


def achieved(problem: ContractFamily, env: Tree, rule: Rule, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
    """(the principal's value [B], the agent's action [B]) on drawn instances, in float64, by the exact best reply."""
    with jax.enable_x64(True):
        draw, rule = jax.tree.map(jnp.asarray, (double(draw), double(rule)))
        found = reaction(problem, env, rule, draw)
        target = np.asarray(found.decision.share).argmax(-1)
        action = np.asarray(found.reply.action).reshape(-1, problem.actions, problem.actions).argmax(-1)
        return np.asarray(found.reply.values), action[np.arange(len(target)), target]


def polished(every: list[Tables], values: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """The values [B] once each contract is replaced by the cheapest for the action it induces, where that is better."""
    found = values.copy()
    for place, (tables, action) in enumerate(zip(every, actions, strict=True)):
        try:
            pay = least_pay(tables, UNRESTRICTED, [action]).expected_payment
        except LpError:
            continue
        found[place] = max(values[place], gross(tables, np.array([action])) - pay)
    return found


def details(problem: ContractFamily, env: Tree, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """How near the rule comes, instance by instance, before and after the polish, and the best linear contracts beside it. Shares of the
    instance's optimum; an instance whose optimum is nothing is left out."""
    draw, exact = fresh(problem, env), known(problem)
    values, actions = achieved(problem, env, rule, draw)
    after = polished(tables_of(draw.seen), values, actions)
    told: dict[str, Any] = {"instances": len(values)}
    told |= {"value_before_polish": float(values.mean()), "value_after_polish": float(after.mean())}
    for name, reached in (("ratio", values), ("ratio_after_polish", after), ("ratio_of_best_linear", exact.best_linear),
                          ("ratio_of_telling_outcome", exact.telling_outcome)):
        told[name] = spread(reached, exact.optimum)
    told["induces_the_optimal_action"] = float((actions == exact.action).mean())
    return told


def spread(values: np.ndarray, optimum: np.ndarray) -> dict[str, float]:
    """Mean, first percentile and worst of the shares of the optimum that are reached."""
    share = values[optimum > 0] / optimum[optimum > 0]
    return {"mean": float(share.mean()), "first_percentile": float(np.quantile(share, 0.01)), "worst": float(share.min())}
