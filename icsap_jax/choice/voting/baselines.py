"""What classical rules are worth where all vote as they think, and the best rule that is strategyproof whatever utilities are.

Plurality, Borda's and Copeland's rules leave something to gain by another vote: their welfare stands beside the optimum of rules that do
not, and may exceed it.
"""

from __future__ import annotations

from typing import Any

import jax

from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.types import Rule, expectation
from icsap_jax.choice.voting.optimum import dominant, programme
from icsap_jax.choice.voting.problem import Voting, VotingEnv
from icsap_jax.choice.voting.rules import Majorities, Points, Tops

PROFILES = 20_000  # where not all are gone through


def classical(problem: Voting) -> dict[str, Rule]:
    """The classical rules by name."""
    count, voters = problem.alternatives, problem.agents
    return {
        "plurality_sincere": Rule.of(Points((1.0, *[0.0] * (count - 1)))),
        "borda_sincere": Rule.of(Points(tuple(float(each) for each in range(count - 1, -1, -1)))),
        "copeland_sincere": Rule.of(Majorities(count)),
        "dictator": Rule.of(Tops(count, (1.0, *[0.0] * (voters - 1)))),
        "random_dictator": Rule.of(Tops(count, (1.0 / voters,) * voters)),
    }


def baselines(problem: Voting, env: VotingEnv, model: Any) -> dict[str, float]:
    """The objective under each, and under the best rule that is strategyproof by stochastic dominance, where that is found."""
    with jax.enable_x64(True):
        exact = double(env)
        draw = problem.draw(exact, jax.random.key(20_130), PROFILES)

        @jax.jit
        def values(rules: dict[str, Rule]) -> dict[str, jax.Array]:
            every = {name: problem.decide(exact, rule, None, draw.types) for name, rule in rules.items()}
            return {name: expectation(draw.weight, problem.score(exact, draw, each, draw.types).value) for name, each in every.items()}

        told = {name: float(value) for name, value in values(classical(problem)).items()}
    found = programme(problem, double(env), model, dominant(problem)) if problem.alternatives > 2 else None
    best = {} if found is None else {"best_whatever_utilities": found.value}
    return {**told, **best}
