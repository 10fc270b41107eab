"""The response to a rule that serves every agent by itself, as menus do that depend on the others' reports alone (Wang, Jiang & Parkes
2024): agents tell the truth, as in `truthful`, and what together they are given beyond what there is is priced as a further
constraint, so that the rule learns to keep it near zero. What is left of it has to be removed when training is over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax.numpy as jnp

from icsap_jax.bilevel.responses import Play, as_recommended
from icsap_jax.bilevel.truthful import Truthful, softened
from icsap_jax.bilevel.types import Array, Problem, Rule, Tree, expectation
from icsap_jax.config import ConfigError


@dataclass(frozen=True)
class Compatible(Truthful):
    """Fresh profiles, the truth, a rule that picks softly, and the expectation of the problem's `given_twice`."""

    constraints: ClassVar[tuple[str, ...]] = ("given twice",)

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """Nothing is remembered. Raises ConfigError where nothing can be given twice."""
        if not hasattr(problem, "given_twice"):
            raise ConfigError("training.response.kind = compatible: prices what is given twice, and this problem has nothing to give; "
                              "write another.")
        return super().init(problem, env, numbers, key, batch)

    def play(self, problem: Problem, env: Tree, rule: Rule, memory: Tree, key: Array, step: Array, batch: int, numbers: Any) -> Play:
        """See the module."""
        play, draw, decision = as_recommended(problem, env, softened(problem, env, rule, numbers), key, batch)
        twice = expectation(draw.weight, problem.given_twice(env, decision))  # type: ignore[attr-defined]
        return replace(play, excess=jnp.append(play.excess, twice))


def compatible(model: Any) -> Compatible:
    """From its model in a problem file."""
    return Compatible()
