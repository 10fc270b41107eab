"""A scheme for a Markov process told: what is said in every state, what that makes the receiver believe and do, and how often the process
is there."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.deviations import double, reaction
from icsap_jax.bilevel.types import Rule
from icsap_jax.persuasion.dynamic.details import called
from icsap_jax.persuasion.markov.optimum import followed
from icsap_jax.persuasion.markov.problem import Decision, MarkovEnv, MarkovPersuasion

TOUCHED = 1e-9  # what is less likely is not told of
MOST = 200  # rows of `result.json`; a list of all is exported


def decided(problem: MarkovPersuasion, env: MarkovEnv, rule: Rule) -> tuple[Decision, np.ndarray]:
    """(what is said and believed, exactly; what the receiver does at each information set, ties for the sender, [L, S, A])."""
    with jax.enable_x64(True):
        env, rule = jax.tree.map(np.asarray, (double(env), double(rule)))
        found = reaction(problem, env, rule, problem.draw(env, None, 1))
        done = np.asarray(found.reply.action)[:, 0].argmax(-1)
    return jax.tree.map(np.asarray, found.decision), done.reshape(problem.layers, problem.states, problem.actions)


def details(problem: MarkovPersuasion, env: MarkovEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """What the process is worth from each state on; how often each state is reached when all obey, discounted, as a share of all steps;
    and the scheme as rows, the likeliest of a long one."""
    decision, done = decided(problem, env, rule)
    taken = np.einsum("lsoz,lsza->lsoa", decision.signal, np.eye(problem.actions)[done])
    names = called(model.states, problem.states)
    rows = listing(problem, env, model, rule_model, rule)
    kept = sorted(sorted(range(len(rows)), key=lambda place: -rows[place]["reached"])[:MOST])
    return {
        "worth": dict(zip(names, followed(env, problem.horizon, taken, env.sender).tolist(), strict=True)),
        "occupancy": dict(zip(names, decision.occupancy.sum(0).tolist(), strict=True)),
        "scheme": [rows[place] for place in kept],
        "obedience_margin": problem.margin,
    }


def listing(problem: MarkovPersuasion, env: MarkovEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The scheme as rows, one for each recommendation that is made in a state (and step): how likely it is there, how often that is
    reached, by outcome how likely it is made and the receiver's belief after it, and what the receiver does."""
    decision, done = decided(problem, env, rule)
    rows = []
    states, outcomes, actions = (called(getattr(model, axis), getattr(problem, axis)) for axis in ("states", "outcomes", "actions"))
    for layer, state, action in np.argwhere(decision.mass > TOUCHED):
        mass = float(decision.mass[layer, state, action])
        rows.append({
            **({"step": int(layer) + 1} if problem.horizon else {}),
            "state": states[state],
            "recommendation": actions[action],
            "probability": mass,
            "reached": mass * float(decision.occupancy[layer, state]),
            **{f"said of {name}": float(decision.signal[layer, state, o, action]) for o, name in enumerate(outcomes)},
            **{f"belief in {name}": float(decision.posterior[layer, state, action, o]) for o, name in enumerate(outcomes)},
            "action": actions[done[layer, state, action]],
        })  # fmt: skip
    return rows
