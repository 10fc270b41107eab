"""The incentive gap: the most an agent gains when it alone deviates from what is recommended to it.

gap = relu(max_k u(unilateral(action, deviation_k)) − u(action) + margin·[deviation_k ≠ action])          [I, N]

Where an agent's order of outcomes is partial (lotteries over a list of preferences, say), u has C criteria, and a deviation gains as much
as it does by the one that it raises most: the gap is 0 if and only if no deviation is better by any of them.

By the envelope theorem (Danskin) the gap is differentiated only through the decision and the utility: the deviations themselves
arrive as constants. Nothing here knows how they were found; that is `responses` (training) and `deviations` (evaluation).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from icsap_jax.bilevel.ties import largest
from icsap_jax.bilevel.types import Array, Draw, Problem, Rule, Tree


def unilateral(action: Array, deviations: Array) -> Array:
    """One agent at a time deviates: action [I, N, …] and deviations [K, I|1, N, …] give [N′, K, I|1, N, …], where in slice n′
    only agent n′ plays its deviation. I may be several axes. A lone agent's deviations pass unchanged (I stays 1)."""
    agents_axis = action.ndim - 2
    agents = action.shape[agents_axis]
    if agents == 1:
        return deviations[None]
    moves = jnp.eye(agents, dtype=bool).reshape(agents, *[1] * agents_axis, 1, agents, 1)
    return jnp.where(moves, deviations[None], action[None, None])


def own(values: Array) -> Array:
    """Of [N′, …, N] the diagonal N′ = N, as […, N]: what each agent gets when it is the one that deviates."""
    return jnp.diagonal(values, axis1=0, axis2=-1)


def decide_together(problem: Problem, env: Tree, rule: Rule, draw: Draw, action: Array, moved: Array) -> tuple[Tree, Tree]:
    """The decisions on `action` [I, N, …] and on `moved` [N′, K, I|1, N, …]. Where a problem is row-wise (a decision on one
    information set never looks at another) both go through the rule as rows of one matrix, which is markedly faster."""
    if getattr(problem, "committed", False):
        decision = problem.decide(env, rule, draw.seen, action)
        return decision, decision
    if not problem.rowwise or draw.seen is not None:
        return problem.decide(env, rule, draw.seen, action), problem.decide(env, rule, draw.seen, moved)
    tail = action.shape[-2:]
    rows = jnp.concatenate([action.reshape(-1, *tail), moved.reshape(-1, *tail)])
    count = action.size // (tail[0] * tail[1])
    together = problem.decide(env, rule, None, rows)
    truth = jax.tree.map(lambda leaf: leaf[:count].reshape(*action.shape[:-2], *leaf.shape[1:]), together)
    deviated = jax.tree.map(lambda leaf: leaf[count:].reshape(*moved.shape[:-2], *leaf.shape[1:]), together)
    return truth, deviated


def gains(problem: Problem, env: Tree, rule: Rule, draw: Draw, action: Array, deviations: Array) -> tuple[Array, Tree]:
    """What each deviation gains [K, I, N] over `action` (plus the problem's margin), and the decision on `action`."""
    moved = unilateral(action, deviations)
    decision, deviated = decide_together(problem, env, rule, draw, action, moved)
    utility, tried = problem.utility(env, draw, decision, action), problem.utility(env, draw, deviated, moved)
    if getattr(problem, "criteria", 0):
        gain = largest(jnp.diagonal(tried, axis1=0, axis2=-2) - utility.swapaxes(-1, -2)[None], -2)  # over C of [K, I, C, N]
    else:
        gain = own(tried) - utility[None]
    if problem.margin:
        different = jnp.any(deviations != action[None], axis=-1)
        gain = gain + problem.margin * different
    return gain, decision


def gap_and_decision(problem: Problem, env: Tree, rule: Rule, draw: Draw, action: Array, deviations: Array) -> tuple[Array, Tree]:
    """The gap [I, N] over the deviations [K, I|1, N, …] tried, and the decision on the recommended action."""
    gain, decision = gains(problem, env, rule, draw, action, jax.lax.stop_gradient(deviations))
    return jax.nn.relu(largest(gain, 0)), decision


def mean_gap(problem: Problem, env: Tree, draw: Draw, decision: Tree, gap: Array) -> Array:
    """Σ_I weight·gap for each agent: [I, N] gives [N]. What the training loss prices and what reports call the mean."""
    weight = problem.weight(env, draw, decision)
    return (weight * gap).reshape(-1, gap.shape[-1]).sum(0)
