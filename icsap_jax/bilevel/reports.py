"""Agents who say which of finitely many types they are of: every report, while training and when judged.

`EveryReport` is the finite sibling of `exchange`. G profiles are drawn; in each, one agent of every group of agents who are alike makes
each of its A reports while the others tell the truth. Each of these rows is a
profile of the prior in its own right once it is weighed by how
likely that type is given the others' (Bayes' rule, so that types may depend on each other), *and* a misreport of every other type: A rows
give all A × A comparisons and the exact expectation over the agent's type.

`report_gap` judges: every report of every agent on every profile, found in float32 and judged in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.deviations import judge, single
from icsap_jax.bilevel.gap import gains
from icsap_jax.bilevel.responses import Play, play_of, require_recommended
from icsap_jax.bilevel.ties import largest
from icsap_jax.bilevel.types import Array, Draw, Problem, Reports, Rule, Tree

ROWS = 2**12  # decided at once while judging, about


@dataclass(frozen=True)
class EveryReport:
    """See the module."""

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """Nothing is remembered."""
        require_recommended(Reports, problem, env, "every_report", "candidates or enumerate")
        return ()

    def play(self, problem, env, rule, memory, key, step, batch, numbers) -> Play:
        """See the module. `batch` rows become max(1, batch / (S·A)) profiles, S being the groups of agents who are alike."""
        draw_key, who_key = jax.random.split(key)
        count, kinds = problem.space(env, None).count, len(problem.alike)
        groups = max(1, batch // (kinds * count))
        draw = problem.draw(env, draw_key, groups)
        keys = jax.random.split(who_key, kinds)
        who = jnp.stack([jax.random.choice(each, jnp.asarray(agents), (groups,)) for each, agents in zip(keys, problem.alike, strict=True)])
        told = jnp.arange(count, dtype=draw.types.dtype)[None, :, None, None, None]
        mine = jax.nn.one_hot(who, problem.agents, dtype=bool)[:, None, :, :, None]
        rows = jnp.where(mine, told, problem.recommended(env, draw)[None, None])  # [S, A, G, N, 1]
        decision = problem.decide(env, rule, None, rows)
        chances = problem.chances(env, draw, who)  # [S, A, G]
        weight = chances / chances.sum(1).sum()
        gap = (weight * jnp.moveaxis(temptation(problem.menu(env, decision, who), problem), -1, 1)).sum((1, 2)) * kinds
        each = jnp.zeros((problem.agents,), gap.dtype)
        for place, agents in enumerate(problem.alike):
            each = each.at[jnp.asarray(agents)].set(gap[place])
        outcome = problem.score(env, Draw(weight=weight, types=rows), decision, rows)
        return play_of(weight, outcome, each, memory)


def temptation(menu: Array, problem: Problem) -> Array:
    """What each type gains [S, G, A] by the best report in the place of its own, of the worth of each report to each type, [S, K = A, G, A,
    (C)]."""
    honest = jnp.diagonal(menu, axis1=1, axis2=3)  # [S, G, (C), A]
    if problem.margin:
        others = 1.0 - jnp.eye(menu.shape[1], dtype=menu.dtype)
        menu = menu + problem.margin * others.reshape(1, menu.shape[1], 1, menu.shape[3], *[1] * (menu.ndim - 4))
    gain = largest(menu, 1) - jnp.moveaxis(honest, -1, 2)
    return jax.nn.relu(largest(gain) if menu.ndim == 5 else gain)


def report_gap(problem: Problem, env: Tree, rule: Rule, draw: Draw) -> np.ndarray:
    """The gap [B, N] of every profile of a float64 draw over every report, tile by tile; call under enable_x64. The best report is found in
    float32, and what it gains is judged in float64."""
    count = problem.space(env, draw).count
    size = max(1, ROWS // (problem.agents * count))
    total, found = draw.weight.shape[0], []
    env32, rule32 = single(env), single(rule)
    for start in range(0, total, size):
        places = np.minimum(np.arange(start, start + size), total - 1)
        tile = jax.tree.map(lambda leaf, at=places: leaf[at], draw)
        with jax.enable_x64(False):
            best = np.asarray(best_reports(problem, env32, rule32, single(tile)))
        found.append(np.asarray(judge(problem, env, rule, tile, best)))
    return np.concatenate(found)[:total]


@partial(jax.jit, static_argnames=("problem",))
def best_reports(problem: Problem, env: Tree, rule: Rule, draw: Draw) -> Array:
    """Each agent's best report on each profile, [1, I, N, 1]."""
    truth = problem.recommended(env, draw)
    count = problem.space(env, draw).count
    every = jnp.broadcast_to(jnp.arange(count, dtype=truth.dtype).reshape(-1, *[1] * truth.ndim), (count, *truth.shape))
    gain, _ = gains(problem, env, rule, draw, truth, every)
    return jnp.argmax(gain, 0).astype(truth.dtype)[None, ..., None]


def every_report(model: Any) -> EveryReport:
    """From its model in a problem file."""
    return EveryReport()
