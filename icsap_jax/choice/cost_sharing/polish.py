"""Learned shares made better where that is certain: a climb by chance, judged as the rule is used, with agents who leave or stay.

Which of many starts is best is told on few profiles, and near the best shares all are nearly as good. Here the shares kept, or equal ones
where those are worth more, are moved at random, and each move is kept that is worth more on the same many profiles.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from icsap_jax.bilevel.types import Array, Draw, Rule
from icsap_jax.choice.cost_sharing.problem import CostEnv, CostSharing
from icsap_jax.choice.profiles import spread

TRIES = 400
SIZES = (0.5, 0.15, 0.05, 0.015)  # of moves, one after the other; parameters are logarithms


def polish(problem: CostSharing, env: CostEnv, problem_model: Any, model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The rule moved uphill, and what it was worth before and is after. Constraints that were asked for besides are not looked at here, and
    where there are some the rule is left as it was learned."""
    if problem.limits:
        return rule, {}
    values = jnp.asarray(spread(env.prior, problem_model.prior.kind), jnp.float32)[..., None]
    draw = Draw(weight=jnp.full((len(values),), 1.0 / len(values)), types=values)
    equal = jax.tree.map(jnp.zeros_like, rule)
    before, after, found = _climbed(problem, env, draw, rule, equal)
    return found, {"value_before_polish": float(before), "value_after_polish": float(after)}


def _climbed(problem: CostSharing, env: CostEnv, draw: Draw, learned: Rule, equal: Rule) -> tuple[Array, Array, Rule]:
    """The worth of the learned rule, that of the rule found, and the rule."""

    def worth(rule: Rule) -> Array:
        return problem.score(env, draw, problem.decide(env, rule, None, draw.types), draw.types).value.mean()

    @jax.jit
    def climb(learned: Rule, equal: Rule) -> tuple[Array, Array, Rule]:
        before, level = worth(learned), worth(equal)
        start = jax.tree.map(lambda one, other: jnp.where(before >= level, one, other), learned, equal)

        def attempt(carry: tuple[Rule, Array], place: Array) -> tuple[tuple[Rule, Array], None]:
            rule, best = carry
            leaves, shape = jax.tree.flatten(rule)
            keys = jax.random.split(jax.random.fold_in(jax.random.key(0), place), len(leaves))
            size = jnp.asarray(SIZES)[place % len(SIZES)]
            moved = [leaf + size * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
            tried = jax.tree.unflatten(shape, moved)
            value = worth(tried)
            return (jax.tree.map(lambda new, old: jnp.where(value > best, new, old), tried, rule), jnp.maximum(value, best)), None

        (found, after), _ = jax.lax.scan(attempt, (start, jnp.maximum(before, level)), jnp.arange(TRIES))
        return before, after, found

    return climb(learned, equal)
