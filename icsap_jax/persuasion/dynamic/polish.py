"""A learned scheme over time made exactly obedient, and the bound that proves how good any can be, both by the primal-dual method on the
tree of histories: with the margin for the scheme, without one for the multipliers, whose bound holds however they were found."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.deviations import double, reaction
from icsap_jax.bilevel.types import Rule
from icsap_jax.persuasion.dynamic.interior import solve
from icsap_jax.persuasion.dynamic.optimum import Game, game, upper_bound
from icsap_jax.persuasion.dynamic.problem import DynamicEnv, DynamicPersuasion
from icsap_jax.persuasion.rules import saying

NEVER = 1e-9  # a smaller share of a history's mass is rounding, and is not said at all


def polish(problem: DynamicPersuasion, env: DynamicEnv, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The scheme of the primal-dual method where it is worth more than the learned one under ties against the sender, and the two values;
    without the margin, what the method's scheme is worth under ties for and against."""
    given = game(model)
    learned = values(problem, env, rule)
    exact = scheme(rule, given, problem.margin)
    polished = values(problem, env, exact)
    kept, worth = (exact, polished) if polished[1] >= learned[1] else (rule, learned)
    free = values(problem, env, scheme(rule, given, 0.0))
    told = {"value_before_polish": learned[0], "value_after_polish": worth[0], "adversarial_ties_before_polish": learned[1],
            "without_margin": {"value": free[0], "adversarial_ties": free[1]}}  # fmt: skip
    return kept, told


def scheme(rule: Rule, given: Game, margin: float) -> Rule:
    """A rule like `rule` that is the best obeyed with `margin` to spare."""
    return saying(rule, recommendations(solve(given, margin)[0]))


def recommendations(joint: np.ndarray) -> np.ndarray:
    """Of joint probabilities [H, S, A] the probability of each recommendation after each history in each state; what is as rare as
    rounding is never said, nor is anything after it of consequence."""
    made, came = joint.sum(1, keepdims=True), joint.sum(2, keepdims=True)  # of a recommendation, of a history and state
    rare = (made <= NEVER * joint.sum((1, 2), keepdims=True)) | ((joint <= NEVER * made) & (joint <= NEVER * came))
    said = np.where(rare, 0.0, joint)
    total = said.sum(2, keepdims=True)
    even = np.full_like(joint, 1.0 / joint.shape[2])
    return np.where(total > 0, said / np.where(total > 0, total, 1.0), even)


def values(problem: DynamicPersuasion, env: DynamicEnv, rule: Rule) -> tuple[float, float]:
    """What the sender gets under exact best replies, ties for it and against it, in float64."""
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jax.numpy.asarray, (double(env), double(rule)))
        reply = reaction(problem, env, rule, problem.draw(env, None, 1)).reply
        return float(reply.value), float(reply.adversarial_value)


def bound(problem: DynamicPersuasion, env: DynamicEnv, model: Any, rule: Any = None) -> float | None:
    """What no obedient scheme exceeds, proved by the multipliers of the primal-dual method: no other number of its enters."""
    given = game(model)
    return upper_bound(given, solve(given)[1])
