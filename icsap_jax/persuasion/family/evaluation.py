"""How near a rule for a family of games comes to the exact optimum of each, and its bound from above: on games it has not seen, one by
one.

The games are those that the evaluation draws, so that objective, optimum and baselines are means over the same games: their difference
has no sampling error but that of the rule's own failures. The optimum solves a linear programme for each game.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.deviations import Reaction, double, reaction
from icsap_jax.bilevel.types import Array, Draw, Rule, Tree
from icsap_jax.persuasion.family.problem import Games, PersuasionFamily, bound
from icsap_jax.persuasion.family.rules import finished
from icsap_jax.persuasion.programme import best_scheme
from icsap_jax.persuasion.tables import best_reply_value

Tables = tuple[np.ndarray, np.ndarray, np.ndarray]  # prior [S], sender and receiver [S, A]


@dataclass(frozen=True)
class Known:
    """What is known exactly of B games, [B] each: the sender's value at the `optimum`, under full and under no disclosure, ties for the
    sender; and the `multiplier` [B, A, A] on obedience at the optimum."""

    optimum: np.ndarray
    full_disclosure: np.ndarray
    no_disclosure: np.ndarray
    multiplier: np.ndarray


def fresh(problem: PersuasionFamily, env: Tree) -> Draw:
    """The games on which rules are judged, in float64."""
    seed, count = problem.fresh
    with jax.enable_x64(True):
        return problem.draw(env, jax.random.fold_in(jax.random.key(seed), 0), count)


def games_of(tables: list[Tables], most: tuple[int, int] | None = None) -> Games:
    """Games given one by one, filled into common tables: of `most` (states, actions), else as large as the largest."""
    states, actions = most or tuple(max(given[2].shape[axis] for given in tables) for axis in (0, 1))
    prior, legal = np.zeros((len(tables), states)), np.zeros((len(tables), actions), bool)
    sender, receiver = (np.zeros((len(tables), states, actions)) for _ in range(2))
    for place, (mass, own, other) in enumerate(tables):
        prior[place, : len(mass)], legal[place, : own.shape[1]] = mass, True
        sender[place, : len(mass), : own.shape[1]], receiver[place, : len(mass), : own.shape[1]] = own, other
    return Games(prior, sender, receiver, legal)


def tables_of(games: Games) -> list[Tables]:
    """Each game by itself, without the rows and columns it does not fill; its prior sums to one."""
    found = []
    for prior, sender, receiver, legal in zip(*(np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(games)), strict=True):
        filled = np.ix_(prior > 0, legal > 0)
        found.append((prior[prior > 0] / prior.sum(), sender[filled], receiver[filled]))
    return found


@lru_cache(maxsize=4)
def known(problem: PersuasionFamily) -> Known:
    """The exact answers for the fresh games of a family."""
    every = tables_of(fresh(problem, ()).seen)
    best = [best_scheme(*tables) for tables in every]
    multiplier = np.zeros((len(every), problem.actions, problem.actions))
    for place, one in enumerate(best):
        multiplier[place, : len(one.multipliers), : len(one.multipliers)] = one.multipliers
    return Known(
        optimum=np.array([one.value for one in best]),
        full_disclosure=np.array([best_reply_value(np.diag(prior), sender, receiver, "for") for prior, sender, receiver in every]),
        no_disclosure=np.array([best_reply_value(prior[:, None], sender, receiver, "for") for prior, sender, receiver in every]),
        multiplier=multiplier,
    )


def optimum(problem: PersuasionFamily, env: Tree, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: the mean of the games' optima, and of what their multipliers prove."""
    with jax.enable_x64(True):
        proven = np.asarray(bound(jax.tree.map(jnp.asarray, fresh(problem, ()).seen), jnp.asarray(known(problem).multiplier)))
    return {
        "value": float(known(problem).optimum.mean()),
        "method": f"linear programme over obedient recommendations in each of the {problem.fresh[1]} games, mean",
        "source": "Kamenica & Gentzkow 2011; Bergemann & Morris 2016",
        "upper_bound": float(proven.mean()),
    }


def baselines(problem: PersuasionFamily, env: Tree, model: Any) -> dict[str, float]:
    """Means over the same games: all is told, nothing is told, and in each game the better of the two."""
    exact = known(problem)
    return {
        "full_disclosure": float(exact.full_disclosure.mean()),
        "no_disclosure": float(exact.no_disclosure.mean()),
        "better_of_the_two": float(np.maximum(exact.full_disclosure, exact.no_disclosure).mean()),
    }


def settle(problem: PersuasionFamily, env: Tree, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The finished rule with the trained network."""
    return finished(rule_model, problem, env, rule), {}


@dataclass(frozen=True)
class Achieved:
    """What a rule reaches in B games, [B] each: the sender's `value` and its `adversarial` one, ties against it, under the exact best
    reply, and the `bound` that the rule's own multipliers prove; float64."""

    value: np.ndarray
    adversarial: np.ndarray
    bound: np.ndarray


def achieved(problem: PersuasionFamily, env: Tree, rule: Rule, draw: Draw) -> Achieved:
    """On drawn games, in float64."""
    with jax.enable_x64(True):
        draw, rule = jax.tree.map(jnp.asarray, (double(draw), double(rule)))
        found = reaction(problem, env, rule, draw)
        return Achieved(np.asarray(found.reply.values), *map(np.asarray, _worst(problem, env, draw, found)))


@partial(jax.jit, static_argnames="problem")
def _worst(problem: PersuasionFamily, env: Tree, draw: Draw, found: Reaction) -> tuple[Array, Array]:
    """The senders' values if ties go against them, and the bounds, [B] each."""
    worst = problem.score(env, draw, found.decision, found.reply.adversarial)
    return worst.value, worst.objectives["bound"]


def proven(problem: PersuasionFamily, env: Tree, model: Any, rule: Rule) -> float:
    """The mean over the games of what the rule's own multipliers prove."""
    return float(achieved(problem, env, rule, fresh(problem, env)).bound.mean())


def details(problem: PersuasionFamily, env: Tree, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """How near the rule comes, game by game, ties against the sender, and the better of full and no disclosure beside it; how near its
    bound. Shares of the game's optimum; a game whose optimum is nothing is left out."""
    exact, reached = known(problem), achieved(problem, env, rule, fresh(problem, env))
    simple = np.maximum(exact.full_disclosure, exact.no_disclosure)
    return {
        "games": len(exact.optimum),
        "ratio": spread(reached.adversarial, exact.optimum),
        "ratio_of_full_or_no_disclosure": spread(simple, exact.optimum),
        "bound": {"value": float(reached.bound.mean()), **above(reached.bound, exact.optimum)},
    }


def above(bounds: np.ndarray, optimum: np.ndarray) -> dict[str, float]:
    """Mean, last percentile and worst of bounds as shares of the optimum, and the least that any is above it."""
    share = bounds[optimum > 0] / optimum[optimum > 0]
    return {"mean_ratio": float(share.mean()), "last_percentile": float(np.quantile(share, 0.99)), "worst_ratio": float(share.max()),
            "least_above_the_optimum": float((bounds - optimum).min())}  # fmt: skip


def spread(values: np.ndarray, optimum: np.ndarray) -> dict[str, float]:
    """Mean, first percentile and worst of the shares of the optimum that are reached."""
    share = values[optimum > 0] / optimum[optimum > 0]
    return {"mean": float(share.mean()), "first_percentile": float(np.quantile(share, 0.01)), "worst": float(share.min())}
