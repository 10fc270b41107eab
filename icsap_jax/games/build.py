"""From a checked problem file to a society and its numbers."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.config.objectives import weights_of
from icsap_jax.exact.markov import planner, pure_policies
from icsap_jax.games.game import Game
from icsap_jax.games.problem import Society, SocietyEnv
from icsap_jax.games.tables import Tables

MOST_TRIED = 256  # pure policies of an agent, each tried in every step of training


def build(model: Any, folder: Path) -> tuple[Society, SocietyEnv]:
    """The society a problem file describes and its numbers: numpy, float64; jax makes float32 of them where it trains."""
    given = model.tables()
    count, things = given.legal.shape[:2]
    objective = model.objective if model.objective is not None else ("welfare" if model.designer is None else {})
    weights = weights_of(objective)
    asked = model.implementation is not None or model.targets
    target = chosen(model, given) if asked else None
    rows, counts, others = np.zeros((0, count, things * given.legal.shape[-1])), np.zeros((0, count)), None
    if target is not None:
        rows, counts = demands(given, target, model.implementation or "partial")
        others = other_profiles(given, target) if model.implementation == "unique" else None
    game = Game(
        rewards=given.rewards, payments=np.zeros_like(given.rewards), transitions=given.transitions, start=given.start,
        discount=np.asarray(given.discount), observation=given.observation, legal=given.legal, instruments=given.instruments,
    )  # fmt: skip
    blind = asked and not given.clear and given.discount > 0
    designer = np.zeros(given.rewards.shape[1:]) if model.designer is None else model.designer.values
    env = SocietyEnv(
        game=game, asked=rows, counts=counts, others=np.zeros((0, *rows.shape[1:])) if others is None else others,
        pure=each_policy(given) if blind else np.zeros((0, *rows.shape[1:])), designer=designer,
        weights=np.array(list(weights.values()), np.float64), payment_cost=np.asarray(model.payment_cost),
    )  # fmt: skip
    problem = Society(
        agents=count, states=len(given.states), seen=things, sizes=tuple(given.sizes), clear=given.clear, lasting=given.discount > 0,
        asked=asked, objective=tuple(weights), margin=float(model.margin), unique=others is not None,
    )  # fmt: skip
    return problem, env


def chosen(model: Any, given: Tables) -> np.ndarray:
    """The target as a pure profile [N, Z, A]."""
    places = model.choice(given)
    if places is None:
        best, _ = planner(given.rewards, given.transitions, given.start, given.discount, given.legal)
        return best
    return pure(places, given.legal.shape[-1])


def pure(places: np.ndarray, width: int) -> np.ndarray:
    """Action places […] as distributions […, A]."""
    return np.eye(width)[places]


def all_policies(given: Tables) -> list[np.ndarray]:
    """Every pure policy of each agent, [K, Z, A]."""
    return [pure(pure_policies(given.legal[agent]), given.legal.shape[-1]) for agent in range(len(given.agents))]


def demands(given: Tables, target: np.ndarray, implementation: str) -> tuple[np.ndarray, np.ndarray]:
    """The profiles [I, N, Z·A] at which deviations are judged, and whose deviations count there [I, N]. The target comes first; where it
    is to be the only equilibrium, then for each agent its part of the target against all pure policies of the others."""
    count = len(target)
    rows, counts = [target], [np.ones(count)]
    if implementation == "full":
        own = all_policies(given)
        for agent in range(count):
            rest = [other for other in range(count) if other != agent]
            for choice in itertools.product(*(own[other] for other in rest)):
                row = target.copy()
                row[rest] = np.stack(choice) if rest else row[rest]
                rows.append(row)
                counts.append(np.eye(count)[agent])
    return np.stack(rows).reshape(len(rows), count, -1), np.stack(counts)


def other_profiles(given: Tables, target: np.ndarray) -> np.ndarray:
    """Every pure profile but the target, [J, N, Z·A]."""
    found = [np.stack(profile) for profile in itertools.product(*all_policies(given))]
    rows = np.stack([profile for profile in found if not np.array_equal(profile, target)])
    return rows.reshape(len(rows), len(target), -1)


def each_policy(given: Tables) -> np.ndarray:
    """All pure policies of every agent side by side, [K, N, Z·A], the last of an agent who has fewer repeated; none where there are more
    than `MOST_TRIED`."""
    own = all_policies(given)
    most = max(len(policies) for policies in own)
    if most > MOST_TRIED:
        return np.zeros((0, len(own), given.legal[0].size))
    return np.stack([policies[np.minimum(np.arange(most), len(policies) - 1)] for policies in own], 1).reshape(most, len(own), -1)


def society_of(game: Game, objective: tuple[str, ...] = ("welfare",)) -> tuple[Society, SocietyEnv]:
    """A society in which nothing is asked, from a game alone, for whoever solves games by the thousand: under vmap the game changes and
    the society, which is static, does not. States must be seen."""
    count, states, sizes = game.rewards.shape[0], game.rewards.shape[1], game.rewards.shape[2:]
    nothing = np.zeros((0, count, states * max(sizes)))
    env = SocietyEnv(
        game=game, asked=nothing, counts=np.zeros((0, count)), others=nothing, pure=nothing, designer=np.zeros(game.rewards.shape[1:]),
        weights=np.ones(len(objective)), payment_cost=np.zeros(()),
    )  # fmt: skip
    problem = Society(
        agents=count, states=states, seen=states, sizes=tuple(sizes), clear=True, lasting=True, asked=False, objective=objective
    )
    return problem, env
