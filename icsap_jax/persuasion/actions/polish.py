"""Learned scores made exactly obedient, and told. An optimal rule is a priority by ξ + λρ, at which two types may tie; steep scores
along it share between those two smoothly, so that one number, λ, is found by halving until obedience has its margin and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.types import Rule
from icsap_jax.persuasion.actions.optimum import HALVINGS, needed
from icsap_jax.persuasion.actions.problem import Actions, ActionsEnv, Scores, tables
from icsap_jax.persuasion.many.polish import judged, obeyed_best

STEEP = 1e6  # scores per unit of the sender's range: all but 2e-5 of it apart is priority


def steep(problem: Actions, env: ActionsEnv, model: Any, margin: float) -> Rule:
    """The rule of steep scores along ξ + λρ at the least λ ≥ 0 that is obeyed by the margin; where none is, at a very large one."""
    probabilities, receiver, sender = tables(model)
    need = needed(probabilities, receiver, problem.count, margin)
    size = max(float(np.ptp(sender)), 1e-9)

    def at(multiplier: float) -> Rule:
        with jax.enable_x64(True):
            return Rule.of(Scores(jnp.asarray(STEEP / size * (sender + multiplier * receiver))))

    def obeyed(multiplier: float) -> bool:
        return float(judged(problem, env, at(multiplier)).decision.recommended @ receiver) >= need

    return at(_least(obeyed, size / max(float(np.ptp(receiver)), 1e-9)))


def _least(holds: Callable[[float], bool], unit: float) -> float:
    """The least number ≥ 0 from which on something holds; a million units where it does not hold before."""
    if holds(0.0):
        return 0.0
    low, high = 0.0, unit
    while not holds(high):
        low, high = high, 2 * high
        if high > 1e6 * unit:
            return high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def polish(problem: Actions, env: ActionsEnv, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The rule that is obeyed by the margin and no more, or the learned one where that is obeyed too and worth more, ties against the
    sender; and what the two are worth like that."""
    found = steep(problem, env, model, problem.margin)
    return obeyed_best(problem, env, rule, Rule(jax.tree.map(np.asarray, found.params), rule.graph))


def listing(problem: Actions, env: ActionsEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The rule as rows: a type, its score, how likely the action recommended is of it, and how likely an action of it is recommended."""
    probabilities, *_ = tables(model)
    recommended = judged(problem, env, rule).decision.recommended
    with jax.enable_x64(True):
        scores = np.asarray(jax.tree.map(jnp.asarray, double(rule))())
    return [
        {"type": name, "score": float(score), "recommended": float(y), "chance_if_of_this_type": float(y / (problem.count * q))}
        for name, score, y, q in zip(model.called(), scores, recommended, probabilities, strict=True)
    ]


def details(problem: Actions, env: ActionsEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """`scheme`: the rule as in `listing`; `posteriors`: what the receiver believes of the action recommended and of any other, by type;
    what following and another action bring it; and what the best rule with no margin is worth, ties for the sender and against it."""
    _, receiver, _ = tables(model)
    decision = judged(problem, env, rule).decision
    beliefs = {"recommended": decision.recommended, "another": decision.another}
    free = judged(problem, env, steep(problem, env, model, 0.0)).reply
    return {
        "scheme": listing(problem, env, model, rule_model, rule),
        "posteriors": {what: dict(zip(model.called(), belief.tolist(), strict=True)) for what, belief in beliefs.items()},
        "receiver_expects": {what: float(belief @ receiver) for what, belief in beliefs.items()},
        "without_margin": {"value": float(free.value), "adversarial_ties": float(free.adversarial_value)},
    }
