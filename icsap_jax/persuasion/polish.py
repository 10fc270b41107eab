"""A trained scheme made exact, and told: what is said in each state, what that makes the receiver believe, and what it then does.

Training leaves the receiver nearly indifferent, on the wanted side or not. The primal-dual method puts the scheme on the point, with
the margin that is asked for. Where signals are recommendations it may use all of them; where they are few and have no meaning, those
that training gave them. Whichever scheme is worth more when ties go against the sender is kept, and both values are told.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.deviations import double, reaction
from icsap_jax.bilevel.types import Rule
from icsap_jax.persuasion import costly
from icsap_jax.persuasion.iterated import iterate, reoptimised, repeated
from icsap_jax.persuasion.optimum import primal_dual
from icsap_jax.persuasion.problem import Decision, Persuasion, PersuasionEnv
from icsap_jax.persuasion.rules import saying
from icsap_jax.persuasion.tables import Game, game_of, information, scheme_value

TOUCHED = 1e-9  # of the prior: a signal sent less often is not told of
UNUSED, DUST = 1e-7, 1e-11  # what an interior point leaves of a signal it does not want, and of a state that it does not want there


def meaning(problem: Persuasion, env: PersuasionEnv, rule: Rule) -> tuple[Decision, np.ndarray]:
    """(what the sender says, exactly; how often each type [Z, N, A] then takes each action)."""
    with jax.enable_x64(True):
        env, rule = jax.tree.map(np.asarray, (double(env), double(rule)))
        found = reaction(problem, env, rule, problem.draw(env, None, 1))
        return jax.tree.map(np.asarray, found.decision), np.asarray(found.reply.action)


def polish(problem: Persuasion, env: PersuasionEnv, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The better of the learned scheme and the exact one of the same recommendations, and the sender's value before and after, ties
    against it. A quantal receiver's scheme stays as it was learned."""
    game = game_of(model)
    if game.precision is not None:
        return rule, {}
    decision, action = meaning(problem, env, rule)
    learned = np.asarray(decision.joint)
    before = scheme_value(game, learned, "against")
    profiles = game.profiles() if problem.direct else action.argmax(-1)
    exact = scheme_of(game, profiles, problem.margin)
    after = -np.inf if exact is None else scheme_value(game, exact, "against")
    best = exact if exact is not None and after > before else learned
    return saying(rule, best / best.sum(1, keepdims=True)), {"value_before_polish": before, "value_after_polish": max(after, before)}


def scheme_of(game: Game, profiles: np.ndarray, margin: float) -> np.ndarray | None:
    """The best joint probability [S, Z] of state and recommendation of `profiles` [Z, T]; None where it could not be found."""
    if game.cost > 0:
        found = costly.best(game.prior, game.worth(profiles), game.obedience(profiles, margin), game.cost)
        return None if found is None else found.joint
    joint = np.asarray(primal_dual(game, profiles, margin).x).T
    joint = np.where((joint.sum(0) > UNUSED) & (joint > DUST), joint, 0.0)
    return joint * (game.prior / joint.sum(1))[:, None]


def details(problem: Persuasion, env: PersuasionEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """Each signal: how often it is sent, what it makes the receiver believe, and what each type then does; what the best scheme without
    a margin earns with ties for the sender and against it; how much the scheme tells, in nats, of all there is to tell."""
    game, (decision, _) = game_of(model), meaning(problem, env, rule)
    told: dict[str, Any] = {
        "signals": listing(problem, env, model, rule_model, rule),
        "information": information(decision.joint),
        "information_of_full_disclosure": information(np.diag(game.prior)),
    }
    if problem.direct:
        told["obedience_margin"] = problem.margin
        free = scheme_of(game, game.profiles(), 0.0)
        if free is not None:
            told["without_margin"] = {"value": scheme_value(game, free, "for"), "adversarial_ties": scheme_value(game, free, "against")}
    if model.iterate.rounds > 1:
        told["iterations"] = iterations(game, model, decision.signal)
    return told


def iterations(game: Game, model: Any, signal: np.ndarray) -> list[dict[str, Any]]:
    """Round by round what comes of persuading again and again; `signal` [S, Z] is the learned one."""
    asked = model.iterate
    design = repeated(signal) if asked.repeat == "fixed" else reoptimised(game, asked.tolerance, model.signals)
    return [
        {"round": place + 1, "value": each.value, "mean_belief": each.mean.tolist(), "moved": each.moved,
         "beliefs": [{"probability": float(mass), "belief": belief.tolist()}
                     for mass, belief in zip(each.masses, each.beliefs, strict=True)]}
        for place, each in enumerate(iterate(game, design, asked.rounds, asked.tolerance))
    ]  # fmt: skip


def listing(problem: Persuasion, env: PersuasionEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The scheme as rows, one for each signal that is sent: its probability, and by state the probability of saying it there and of the
    state given it; and what each type does."""
    decision, action = meaning(problem, env, rule)
    states, actions = model.names("states", problem.states), model.names("actions", problem.actions)
    rows = []
    for z in np.flatnonzero(decision.joint.sum(0) > TOUCHED):
        row: dict[str, Any] = {"signal": int(z), "probability": float(decision.joint[:, z].sum())}
        row |= {f"said in {name}": float(decision.signal[s, z]) for s, name in enumerate(states)}
        row |= {f"belief in {name}": float(decision.posterior[s, z]) for s, name in enumerate(states)}
        for n in range(problem.agents):
            kind = "action" if problem.agents == 1 else f"action of type {n}"
            if problem.quantal:
                row |= {f"{kind}: {name}": float(action[z, n, a]) for a, name in enumerate(actions)}
            else:
                row[kind] = actions[int(action[z, n].argmax())]
        rows.append(row)
    return rows
