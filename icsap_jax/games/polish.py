"""A trained rule made exact where it has to implement a target.

Training leaves payments a little larger than they need be, or agents tempted by a little. Along the direction that was learned, the
payments at which everything asked for holds are an interval of scales, because what agents gain is linear in the scale: its end next
to zero is found by bisection of the exact gains, in float64. What a mediator tells is put on the best point that is obeyed, by the same
linear programme that gives its optimum. What is worth more and holds is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.gap import gap_and_decision
from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.games.judge import TIE, worth
from icsap_jax.games.optimum import cheapest_instruments, telling
from icsap_jax.games.problem import Society, SocietyEnv, leaves
from icsap_jax.games.rules import Mediator, Payment

HALVINGS = 50
GROWTH, MOST_GROWN = 1.1, 60  # upwards, where the learned payments are not enough
NEAR = 1e-7  # what the tolerance of a linear programme may leave an agent to gain
NEVER = -60.0  # the logit of what is never told


def polish(problem: Society, env: SocietyEnv, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The better of the learned rule and the exact one, and the objective before and after; nothing is done where no target is asked."""
    module = nnx.merge(rule.graph, rule.params)
    if not problem.asked or not isinstance(module, (Payment, Mediator)) or getattr(module, "cap", None) is not None:
        return rule, {}
    with jax.enable_x64(True):
        env64 = leaves(env)
        learned = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), rule)
        if isinstance(module, Mediator):
            exact = _told(problem, env, model, learned)
        else:
            exact = _cheapest(problem, env, env64, model, rule_model, learned) or _scaled(problem, env64, learned)
        before = _value(problem, env64, learned)
        after = before if exact is None else _value(problem, env64, exact)
        tempted = _misses(problem, env64, learned) > 0
    if exact is None or (after <= before and not tempted):
        return rule, {"value_before_polish": before, "value_after_polish": before}
    return jax.tree.map(np.asarray, exact), {"value_before_polish": before, "value_after_polish": after}


def _value(problem: Society, env: SocietyEnv, rule: Rule) -> float:
    """The objective at the target."""
    target = np.asarray(problem.policies(env.asked[0]))
    return worth(problem, env, problem.decide(env, rule, None, None), target)[0]


@partial(jax.jit, static_argnames=("problem",))
def _missed(problem: Society, env: SocietyEnv, rule: Rule) -> Array:
    draw = problem.draw(env, None, 1)
    action = problem.recommended(env, draw)
    gap, changed = gap_and_decision(problem, env, rule, draw, action, problem.deviations(env, rule, draw, action))
    asked = (gap * problem.weight(env, draw, changed)).max()
    others = problem.temptation(env, changed) if problem.unique else 0.0
    return jnp.maximum(asked, others)


def _misses(problem: Society, env: SocietyEnv, rule: Rule) -> float:
    """By how much the worst of what is asked for is missed, 0 within rounding."""
    missed = float(_missed(problem, env, rule))
    size = float(jnp.ptp(env.game.rewards) / (1 - env.game.discount)) or 1.0
    return missed if missed > 1e-11 * size else 0.0


def _cheapest(problem: Society, env: SocietyEnv, env64: SocietyEnv, model: Any, rule_model: Any, rule: Rule) -> Rule | None:
    """Several instruments at the scales a linear programme gives; None where there is no such programme, or it is off by more than
    rounding."""
    scales = cheapest_instruments(problem, env, model, rule_model)
    if scales is None:
        return None
    unit = nnx.merge(rule.graph, rule.params).unit
    found = jax.tree.map(lambda leaf: jnp.asarray(scales / unit, leaf.dtype), rule)
    return found if _misses(problem, env64, found) <= NEAR else None


def _scaled(problem: Society, env: SocietyEnv, rule: Rule) -> Rule | None:
    """The learned payments at the least scale at which everything asked for holds; None where no scale was found."""

    def at(scale: float) -> Rule:
        return jax.tree.map(lambda leaf: scale * leaf, rule)

    def holds(scale: float) -> bool:
        return _misses(problem, env, at(scale)) == 0

    high = next((GROWTH**power for power in range(MOST_GROWN) if holds(GROWTH**power)), None)
    return None if high is None else at(0.0 if holds(0.0) else _least(holds, high))


def _least(holds: Callable[[float], bool], high: float) -> float:
    """The least scale below `high` from which on everything holds up to it."""
    low = 0.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _told(problem: Society, env: SocietyEnv, model: Any, rule: Rule) -> Rule | None:
    """A mediator that says the best of what is obeyed by the margin."""
    told = telling(problem, env, model, problem.margin)
    if told is None:
        return None
    logits = np.where(told > TIE**2, np.log(np.maximum(told, TIE**2)), NEVER)
    return jax.tree.map(lambda leaf: jnp.asarray(logits, leaf.dtype).reshape(leaf.shape), rule)
