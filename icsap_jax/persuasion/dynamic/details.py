"""A scheme over time told: what is said after every history that occurs, what that makes the receiver believe, and what comes of it in
each period."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.deviations import double, reaction
from icsap_jax.bilevel.types import Rule
from icsap_jax.persuasion.dynamic.problem import Decision, DynamicEnv, DynamicPersuasion

TOUCHED = 1e-9  # what is less likely is not told of
MOST = 200  # rows of `result.json`; a list of all is exported


def decided(problem: DynamicPersuasion, env: DynamicEnv, rule: Rule) -> tuple[Decision, np.ndarray]:
    """(what is said and believed, exactly; what the receiver does at each information set, ties for the sender, [H, A])."""
    with jax.enable_x64(True):
        env, rule = jax.tree.map(np.asarray, (double(env), double(rule)))
        found = reaction(problem, env, rule, problem.draw(env, None, 1))
        done = np.asarray(found.reply.action)[:, 0].argmax(-1)
    return jax.tree.map(np.asarray, found.decision), done.reshape(-1, problem.actions)


def details(problem: DynamicPersuasion, env: DynamicEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """The scheme as rows, the likeliest of a long one; what the sender expects of each period; and how likely each action is in it."""
    decision, done = decided(problem, env, rule)
    names = called(model.actions, problem.actions)
    periods = []
    for number, period in enumerate(problem.tree.periods):
        played = np.zeros((problem.states, problem.actions))
        for action in range(problem.actions):
            np.add.at(played.T, done[period, action], decision.joint[period, :, action])
        periods.append({"period": number + 1, "sender": float((played * env.sender[number]).sum()),
                        "actions": dict(zip(names, played.sum(0).tolist(), strict=True))})  # fmt: skip
    rows = listing(problem, env, model, rule_model, rule)
    kept = sorted(sorted(range(len(rows)), key=lambda place: -rows[place]["probability"])[:MOST])
    return {"periods": periods, "scheme": [rows[place] for place in kept], "obedience_margin": problem.margin}


def listing(problem: DynamicPersuasion, env: DynamicEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The scheme as rows, one for each recommendation after each history that occurs: its probability, by state how likely it is made
    there and the receiver's belief after it, and what the receiver does."""
    decision, done = decided(problem, env, rule)
    tree, rows = problem.tree, []
    states, actions = called(model.states, problem.states), called(model.actions, problem.actions)
    for history, action in np.argwhere(decision.joint.sum(1) > TOUCHED):
        joint = decision.joint[history, :, action]
        rows.append({
            "period": int(tree.period[history]) + 1,
            "history": " ".join(actions[past] for past in tree.said(int(history))),
            "recommendation": actions[action],
            "probability": float(joint.sum()),
            **{f"said in {name}": float(decision.signal[history, s, action]) for s, name in enumerate(states)},
            **{f"belief in {name}": float(decision.posterior[history, action, s]) for s, name in enumerate(states)},
            "action": actions[done[history, action]],
        })  # fmt: skip
    return rows


def called(names: list[str] | None, count: int) -> list[str]:
    """What the members of an axis are called: the names given, or their numbers from 0."""
    return names or [str(place) for place in range(count)]
