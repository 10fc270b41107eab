"""What is told of a voting rule besides its worth: on how many profiles somebody gains by another vote than its own."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.deviations import double, reaction
from icsap_jax.bilevel.types import Rule
from icsap_jax.choice.voting.problem import Voting, VotingEnv

GAINS = 1e-9  # as a share of what a first choice is better than a last one: more than rounding
MATTERS = 1e-3  # as such a share: what is left by learning is less
PROFILES = 1_000  # where not all are gone through


def most_gained(problem: Voting, env: VotingEnv, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """The most anybody gains on each profile, [B], by the exact gap, as a share of what a first choice is better than a last one; and the
    profiles' probabilities [B]."""
    with jax.enable_x64(True):
        exact, rule = double(env), double(rule)
        draw = problem.draw(exact, jax.random.key(20_130), PROFILES)
        found = reaction(problem, exact, rule, draw)
        return np.asarray(found.gap.max(-1)) / float(problem.scale(exact)), np.asarray(draw.weight)


def details(problem: Voting, env: VotingEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """How many profiles can be manipulated, at all and for more than a thousandth, of how many; and with what probability one of them comes
    up."""
    gained, weight = most_gained(problem, env, rule)
    return {"manipulable_profiles": int((gained > GAINS).sum()), "manipulable_beyond_a_thousandth": int((gained > MATTERS).sum()),
            "profiles": len(gained), "manipulable_probability": float(weight @ (gained > GAINS))}  # fmt: skip
