"""What a rule does on many profiles: the designer's value, its parts, what agents lose, by how much constraints are missed.

It is what `evaluation` reports of an objective; the gap is another search. Call under enable_x64, with everything in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.bounded import played, population_of
from icsap_jax.bilevel.responses import missing
from icsap_jax.bilevel.stationary import stationary_reply
from icsap_jax.bilevel.types import Array, Draw, Problem, Rule, Tree

TILE = 2_000  # profiles decided at once


@dataclass(frozen=True)
class Sample:
    """What a rule does on profiles, all agents truthful: the designer's `values` [B], the mean of their `parts`, the `worst` that agents
    may lose by taking part and that is given beyond what there is, by name; of each constraint on `averages` its mean and standard error,
    and of each other by how much it is `missed`, on average and at worst."""

    values: np.ndarray
    parts: dict[str, float]
    worst: dict[str, Any]
    averages: dict[str, tuple[float, float]]
    missed: dict[str, tuple[float, float]]


def objective_sample(problem: Problem, env: Tree, rule: Rule, key: Array, count: int, control: Any = None) -> Sample:
    """What a rule does on `count` profiles.

    With a `control`, (what the exact optimum earns on given types and what is seen of them, its exact expectation), each value is
    corrected by how lucky the profile was for the optimum, as far as luck of the one has gone with luck of the other (the regression
    coefficient, whose own error is of a smaller order): the same expectation, and near the optimum a far smaller error."""
    tiles, luck = [], []
    for start in range(0, count, TILE):
        judged = jax.tree.map(np.asarray, _tile(problem, env, rule, jax.random.fold_in(key, start), TILE))
        if control is not None:
            earned, expected = control
            luck.append(earned(judged.types, judged.seen) - expected)
        tiles.append(replace(judged, types=None, seen=None))
    found = np.concatenate([tile.value for tile in tiles])[:count]
    parts = {name: float(np.concatenate([tile.parts[name] for tile in tiles])[:count].mean()) for name in tiles[0].parts}
    worst = {name: float(max(tile.worst[name] for tile in tiles)) for name in tiles[0].worst}
    signed = {name: np.concatenate([tile.averages[name] for tile in tiles])[:count] for name in tiles[0].averages}
    averages = {name: (float(each.mean()), float(each.std() / np.sqrt(len(each)))) for name, each in signed.items()}
    short = {name: np.concatenate([tile.missed[name] for tile in tiles])[:count] for name in tiles[0].missed}
    missed = {name: (float(each.mean()), float(each.max())) for name, each in short.items()}
    if control is not None:
        lucky = np.concatenate(luck)[:count]
        spread = lucky.var()
        found = found - (np.cov(found, lucky, bias=True)[0, 1] / spread if spread > 0 else 0.0) * lucky
    return Sample(found, parts, worst, averages, missed)


@register_dataclass
@dataclass(frozen=True)
class Judged:
    """What a rule does on profiles: the designer's `value` [B] and its `parts` by name, [B] each; the `worst` on any of them, [] each:
    `participation`, the most any agent loses by taking part, and where the problem can tell `feasibility`; its constraints on `averages`,
    and by how much each of the others is `missed`, [B] each; the `types`, and what of them is `seen`."""

    value: Array
    parts: dict[str, Array]
    worst: dict[str, Array]
    averages: dict[str, Array]
    missed: dict[str, Array]
    types: Tree
    seen: Tree


@partial(jax.jit, static_argnames=("problem", "count"))
def _tile(problem: Problem, env: Tree, rule: Rule, key: Array, count: int) -> Judged:
    return judged_on(problem, env, rule, problem.draw(env, key, count), key=jax.random.fold_in(key, 1))


@partial(jax.jit, static_argnames=("problem",))
def judged_on(problem: Problem, env: Tree, rule: Rule, draw: Draw, chosen: Array | None = None, key: Array | None = None) -> Judged:
    """On each profile of a draw, all as recommended, or else as they have `chosen` or is best for them. Where some agents are boundedly
    rational, objectives are what results of their reports, drawn by `key`; what agents may lose is told of those who do as recommended."""
    recommended = problem.recommended(env, draw)
    decision = problem.decide(env, rule, draw.seen, recommended)
    action = recommended if recommended is not None else chosen
    if action is None:
        action = stationary_reply(problem, env, draw, decision)[0].action
    utility = problem.utility(env, draw, decision, action)
    elsewhere = problem.reservation(env, draw) if hasattr(problem, "reservation") else jnp.zeros_like(utility)
    worst = {} if elsewhere is None else {"participation": jax.nn.relu(elsewhere - utility).max()}
    if hasattr(problem, "imposed"):
        worst["participation"] = problem.imposed(env, draw, decision).max()
    if hasattr(problem, "infeasibility"):
        worst["feasibility"] = problem.infeasibility(env, decision)
    population = population_of(problem, env)
    if population is None:
        outcome = problem.score(env, draw, decision, action)
    else:
        outcome = played(problem, env, rule, draw, jax.random.key(0) if key is None else key, population)
    missed = {name: missing(each) for name, each in outcome.constraints.items()}
    return Judged(value=outcome.value, parts=outcome.objectives, worst=worst, averages=outcome.averages, missed=missed,
                  types=draw.types, seen=draw.seen)  # fmt: skip
