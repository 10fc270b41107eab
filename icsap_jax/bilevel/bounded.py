"""A population of boundedly rational agents: the objective under what they report, differentiated through the chances of their choices.

Each agent is, with probability s and independently of the others, one that does not reason its lie out: it thinks of K random reports
besides the truth and picks among these by logit, with probabilities in proportion to exp(β·u), u being what it would get if the others
told the truth (McKelvey & Palfrey 1995's choice, level-1 in the words of Stahl & Wilson 1995). The rest tell the truth, and their gap is
what it is for any rule; `inner` searches for it.

Report k of agent i is then made with probability π_i(k), the truth's including 1 − s, and the designer has F = Σ_r Π_i π_i(r_i)·f(r). With
one profile of reports r drawn, each agent's own choice is enumerated in turn against the others' reports:

    F   ≈ 1/N Σ_i Σ_k π_i(k)·f(k, r_−i)
    ∇F  ≈ 1/N Σ_i Σ_k π_i(k)·∇f(k, r_−i)  +  Σ_i Σ_k ∇π_i(k)·f(k, r_−i)

Both are unbiased for any share and any number of agents, since ∇Π π_i = Σ_i ∇π_i·Π_{j≠i} π_j, and exact given the K reports where an agent
is alone; the second needs no baseline, as Σ_k ∇π_i(k) = 0. What is coded is a number with this value and this slope: with several agents
finite differences of the value, on reports drawn anew, are not its slope.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.gap import unilateral
from icsap_jax.bilevel.lagrangian import handed_on
from icsap_jax.bilevel.responses import Play, deviated_utility, play_of, uniform_in
from icsap_jax.bilevel.truthful import Truthful, softened
from icsap_jax.bilevel.types import Array, Draw, Outcome, Problem, Rule, Tree
from icsap_jax.config import ConfigError


@register_dataclass
@dataclass(frozen=True)
class Population:
    """`share` [] of agents that are boundedly rational; `precision` [] of their choices, one over a payoff; how many random `reports` they
    think of."""

    share: Array
    precision: Array
    reports: int = field(metadata={"static": True})


def thought_of(problem: Problem, env: Tree, draw: Draw, key: Array, count: int) -> Array:
    """The truth and `count` random reports for each agent, [1 + count, I, N, T]."""
    truth = problem.recommended(env, draw)
    return jnp.concatenate([truth[None], uniform_in(problem.space(env, draw), key, (count, *truth.shape), truth.dtype)])


def chances(problem: Problem, env: Tree, rule: Rule, draw: Draw, options: Array, population: Population) -> Array:
    """The probability [K, I, N] of each of an agent's options [K, I, N, T], the first of which is the truth."""
    utility = deviated_utility(problem, env, rule, draw, problem.recommended(env, draw), options)
    truth = (jnp.arange(options.shape[0]) == 0).astype(utility.dtype)[:, None, None]
    return population.share * jax.nn.softmax(population.precision * utility, axis=0) + (1 - population.share) * truth


def played(problem: Any, env: Tree, rule: Rule, draw: Draw, key: Array, population: Population) -> Outcome:
    """What results on each profile of a draw, [I] each, with the value and the slope told above; constraints by how far they are missed."""
    options_key, choice_key = jax.random.split(key)
    options = thought_of(problem, env, draw, options_key, population.reports)
    likely = chances(problem, env, rule, draw, options, population)
    picked = jax.random.categorical(choice_key, jnp.log(jax.lax.stop_gradient(likely)), axis=0)
    return resulting(problem, env, rule, draw, options, likely, picked)


def resulting(problem: Any, env: Tree, rule: Rule, draw: Draw, options: Array, likely: Array, picked: Array) -> Outcome:
    """As above, where agents have `options` [K, I, N, T] with the chances `likely` [K, I, N] and `picked` [I, N] among them."""
    held = jax.lax.stop_gradient(likely)
    reports = jnp.take_along_axis(options, picked[None, ..., None], axis=0)[0]
    moved = unilateral(reports, options)  # [N′, K, I, N, T]
    found = problem.score(env, draw, problem.decide(env, rule, draw.seen, moved), moved)
    likely, held = (jnp.moveaxis(each, -1, 0) for each in (likely, held))  # [N′, K, I]

    def expected(values: Array) -> Array:
        return (held * values).sum(1).mean(0) + ((likely - held) * jax.lax.stop_gradient(values)).sum((0, 1))

    return Outcome(
        value=expected(found.value),
        objectives=jax.tree.map(expected, found.objectives),
        constraints={name: expected(jax.nn.relu(each)) for name, each in found.constraints.items()},
        averages=jax.tree.map(expected, found.averages),
    )  # fmt: skip


def population_of(problem: Any, env: Tree) -> Population | None:
    """The population a problem tells of; None where all agents are rational."""
    return problem.population(env) if hasattr(problem, "population") else None


@dataclass(frozen=True)
class Bounded:
    """The gap by `inner`, on profiles of its own; the objective on `profiles` others, under the population."""

    inner: Any
    profiles: int

    @property
    def constraints(self) -> tuple[str, ...]:
        """What the inner response adds to the problem's."""
        return getattr(self.inner, "constraints", ())

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """What `inner` remembers. Raises ConfigError where all agents are rational."""
        if population_of(problem, env) is None:
            raise ConfigError("training.response.kind = bounded: is for agents some of whom are boundedly rational, and here all are "
                              "rational; in an auction write problem.population, or the response that stands under inner alone.")
        return self.inner.init(problem, env, handed_on(numbers), key, batch)

    def play(self, problem: Any, env: Tree, rule: Rule, memory: Tree, key: Array, step: Array, batch: int, numbers: Any) -> Play:
        """See the module."""
        inner_key, draw_key, choice_key = jax.random.split(key, 3)
        given = handed_on(numbers)
        honest = self.inner.play(problem, env, rule, memory, inner_key, step, batch, given)
        if isinstance(self.inner, Truthful):  # then the rule may pick from a list, and while it is trained picks softly
            rule = softened(problem, env, rule, given)
        draw = problem.draw(env, draw_key, self.profiles)
        outcome = played(problem, env, rule, draw, choice_key, problem.population(env))
        found = play_of(draw.weight, outcome, honest.gap, honest.memory)
        # Behind the problem's constraints come those that the inner response adds.
        return replace(found, excess=jnp.concatenate([found.excess, honest.excess[found.excess.size:]]))


def bounded(model: Any) -> Bounded:
    """From its model in a problem file."""
    return Bounded(inner=model.inner.build(), profiles=model.profiles)
