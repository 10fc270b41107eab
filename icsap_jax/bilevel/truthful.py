"""The response to a rule that leaves nothing to gain by lying, whatever its parameters: menus, affine maximisers, monotone virtual values.

Agents tell the truth; the gap is zero, and the strong search confirms it when the rule is judged. What is left to train is the
objective, which jumps where the rule picks another entry of its list. While it is trained the rule picks by softmax, at a temperature
that falls geometrically (`Rule.temperature`); in use, and whenever it is judged, it picks the best.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from icsap_jax.bilevel.equilibrium import annealed
from icsap_jax.bilevel.responses import Play, as_recommended, require_recommended
from icsap_jax.bilevel.types import Array, Box, Problem, Rule, Tree


def softened(problem: Problem, env: Tree, rule: Rule, numbers: dict[str, Array]) -> Rule:
    """The rule as it picks at this moment of training: by softmax, in units of the problem's payoffs where it tells them."""
    temperature = annealed(numbers)
    return replace(rule, temperature=temperature * problem.scale(env) if hasattr(problem, "scale") else temperature)


@dataclass(frozen=True)
class Truthful:
    """Fresh profiles, the truth, and a rule that picks softly."""

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """Nothing is remembered. Raises ConfigError where agents report nothing."""
        require_recommended(Box, problem, env, "truthful", "enumerate")
        return ()

    def play(self, problem: Problem, env: Tree, rule: Rule, memory: Tree, key: Array, step: Array, batch: int, numbers: Any) -> Play:
        """See the module."""
        return as_recommended(problem, env, softened(problem, env, rule, numbers), key, batch)[0]


def truthful(model: Any) -> Truthful:
    """From its model in a problem file."""
    return Truthful()
