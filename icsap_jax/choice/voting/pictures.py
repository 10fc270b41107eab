"""Who wins: the learned lottery by an alternative's points and firsts, and where somebody gains by another vote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.choice.voting.problem import Voting, VotingEnv, ranks
from icsap_jax.choice.voting.told import MATTERS, PROFILES, most_gained
from icsap_jax.figures import ACCENT, COLOURS, page


def draw(problem: Voting, env: VotingEnv, rule: Rule, model: Any, folder: Path) -> list[Path]:
    """`winners.png` in `folder`: for every profile and alternative its probability by its points, evenly spaced, and how often it is first.
    Raises ConfigError where it cannot be written."""
    drawn = problem.draw(env, jax.random.key(20_130), PROFILES)
    lottery = np.asarray(jax.jit(lambda ballots: problem.decide(env, rule, None, ballots))(drawn.types))
    at = ranks(problem.alternatives)
    ballots = np.asarray(drawn.types).sum(1)
    points = ballots @ (problem.alternatives - 1.0 - at) / problem.agents
    first = np.round(ballots @ (at == 0)).astype(int)
    gained = most_gained(problem, env, rule)[0] > MATTERS
    shift = 0.6 / (problem.agents + 1) / problem.agents
    output = folder / "winners.png"
    with page(output, 8.0, 4.2) as (figure, axes):
        figure.suptitle("Who wins", x=0.012, ha="left")
        axis = axes[0, 0]
        for count in range(problem.agents + 1):
            of = first == count
            where = points + shift * (count - problem.agents / 2)
            axis.plot(where[of], lottery[of], "o", markersize=4, alpha=0.5, color=COLOURS[count % len(COLOURS)], markeredgewidth=0,
                      label=f"first for {count}")  # fmt: skip
            told = of & gained[:, None]
            axis.plot(where[told], lottery[told], "o", markersize=8, markerfacecolor="none", markeredgecolor=ACCENT, markeredgewidth=0.6)
        axis.set_xlabel("an alternative's points, M − 1 for being first, averaged over voters; set apart by how many have it first")
        axis.set_ylabel("probability of being chosen")
        axis.set_ylim(-0.03, 1.03)
        axis.grid(axis="y")
        axis.legend(frameon=False, loc="upper left")
        count = f"{int(gained.sum())} of {len(gained)}"
        axis.set_title(f"ringed: on profiles where somebody gains more than a thousandth by another vote, {count}", fontsize=9.5)
    return [output]
