"""How agents' deviations are found while a rule is trained.

A response is a static object: `init(problem, env, numbers, key, batch)` gives what it remembers between steps, and
`play(problem, env, rule, memory, key, step, batch, numbers)` draws profiles, finds deviations and returns a `Play`. The rule
reaches the search with its gradient stopped and the deviations come back as constants; the gap is then differentiated through
`decide` and `utility` alone (envelope theorem). All agents and profiles are searched in one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.gap import gap_and_decision, mean_gap, own, unilateral
from icsap_jax.bilevel.ties import largest
from icsap_jax.bilevel.types import Array, Box, Draw, Finite, Outcome, Policies, Problem, Rule, Tree, expectation
from icsap_jax.config import ConfigError


@register_dataclass
@dataclass(frozen=True)
class Play:
    """One step's experience: the designer's `value` [], the mean `gap` [N] of each agent, the expected `outcome` by name, what
    the response remembers (`memory`), the `excess` [C] by which each of the problem's constraints is missed, and the signed `averages`
    [E] of those that are on the mean."""

    value: Array
    gap: Array
    parts: dict[str, Array]
    memory: Tree
    excess: Array
    averages: Array


def deviated_utility(problem: Problem, env: Tree, rule: Rule, draw: Draw, action: Array, deviations: Array) -> Array:
    """What each agent gets [K, I, N] when it alone plays its deviation [K, I, N, T]."""
    moved = unilateral(action, deviations)
    return own(problem.utility(env, draw, problem.decide(env, rule, draw.seen, moved), moved))


def beside(box: Box, action: Array) -> Box:
    """The same box with leading axes of length one, so that its bounds have as many axes as the actions they bound."""
    return jax.tree.map(lambda bound: bound.reshape((1,) * (action.ndim - bound.ndim) + bound.shape), box)


def climb(utility: Callable[[Array], Array], start: Array, box: Box, optimiser: optax.GradientTransformation, steps: int) -> Array:
    """Projected ascent of all deviations [K, I, N, T] at once, clipped to the box after every step."""
    box = beside(box, start)
    slope = jax.grad(lambda deviations: utility(deviations).sum())

    def ascend(carry, _):
        deviations, memory = carry
        updates, memory = optimiser.update(-slope(deviations), memory)
        return (jnp.clip(deviations + updates, box.low, box.high), memory), None

    (best, _), _ = jax.lax.scan(ascend, (start, optimiser.init(start)), None, length=steps)
    return best


def refine(utility: Callable[[Array], Array], start: Array, box: Box, step_size: Array, steps: int) -> Array:
    """Climb by steps of a given share of the box's width, of which the last is a tenth of the first: the direction is the sign
    of the slope, so the step does not depend on how flat the utility is there."""
    box = beside(box, start)
    width = box.high - box.low
    sizes = step_size * 0.1 ** (jnp.arange(steps) / max(steps - 1, 1))
    slope = jax.grad(lambda deviations: utility(deviations).sum())

    def ascend(deviations, size):
        return jnp.clip(deviations + size * width * jnp.sign(slope(deviations)), box.low, box.high), None

    return jax.lax.scan(ascend, start, sizes.astype(start.dtype))[0]


def uniform_in(box: Box, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """Points drawn evenly from the box; `shape` ends in [N, T]."""
    points = jax.random.uniform(key, shape, dtype)
    box = beside(box, points)
    return box.low + (box.high - box.low) * points


@dataclass(frozen=True)
class Posed:
    """What agents are asked: the kind of their action `space`; what is `recommended` to one profile of them, in shape only, or None; and
    whether the designer has `seen` anything."""

    space: type
    recommended: Any
    seen: bool

    @classmethod
    def of(cls, problem: Problem, env: Tree) -> Posed:
        """By tracing alone: call by call, drawing a profile compiles for seconds."""
        found: dict[str, Any] = {}

        def look() -> Array | None:
            draw = problem.draw(env, jax.random.key(0), 1)
            found.update(space=type(problem.space(env, draw)), seen=draw.seen is not None)
            return problem.recommended(env, draw)

        recommended = jax.eval_shape(look)
        return cls(recommended=recommended, **found)


def require(kind: type | tuple[type, ...], problem: Problem, env: Tree, name: str, instead: str) -> Posed:
    """Refuse a response made for another kind of action space."""
    posed = Posed.of(problem, env)
    if not issubclass(posed.space, kind):
        raise ConfigError(f"training.response.kind = {name}: does not fit this problem's actions; write training.response.kind={instead}.")
    return posed


def require_recommended(kind: type | tuple[type, ...], problem: Problem, env: Tree, name: str, instead: str) -> Posed:
    """Refuse, besides, a search for deviations where there is nothing to deviate from."""
    posed = require(kind, problem, env, name, instead)
    if posed.recommended is None:
        raise ConfigError(f"training.response.kind = {name}: searches for deviations from what is recommended, and here agents simply do "
                          f"what is best for them; write training.response.kind={'stationary' if kind is Box else 'logit or equilibrium'}.")
    return posed


def as_recommended(problem: Problem, env: Tree, rule: Rule, key: Array, batch: int) -> tuple[Play, Draw, Tree]:
    """The play in which all do as recommended on `batch` fresh profiles and no deviation is looked for; the profiles, and the decision."""
    draw = problem.draw(env, key, batch)
    action = problem.recommended(env, draw)
    decision = problem.decide(env, rule, draw.seen, action)
    outcome = problem.score(env, draw, decision, action)
    return play_of(draw.weight, outcome, jnp.zeros((problem.agents,)), ()), draw, decision


def judge_deviations(problem: Problem, env: Tree, rule: Rule, draw: Draw, deviations: Array, memory: Tree) -> Play:
    """The play in which all do as recommended and the gap is measured over the deviations found."""
    action = problem.recommended(env, draw)
    gap, decision = gap_and_decision(problem, env, rule, draw, action, deviations)
    outcome = problem.score(env, draw, decision, action)
    return play_of(draw.weight, outcome, mean_gap(problem, env, draw, decision, gap), memory)


def play_of(weight: Array, outcome: Outcome, gap: Array, memory: Tree) -> Play:
    """A play from what resulted on each profile, weighted, and the gap [N]; constraints in the order of their names."""
    parts = {name: expectation(weight, values) for name, values in outcome.objectives.items()}
    missed = [expectation(weight, missing(outcome.constraints[name], weight.ndim)) for name in sorted(outcome.constraints)]
    averages = [expectation(weight, outcome.averages[name]) for name in sorted(outcome.averages)]
    return Play(
        value=expectation(weight, outcome.value), gap=gap, parts=parts, memory=memory,
        excess=jnp.stack(missed) if missed else jnp.zeros((0,)), averages=jnp.stack(averages) if averages else jnp.zeros((0,)),
    )  # fmt: skip


def missing(constraint: Array, axes: int = 1) -> Array:
    """By how much a signed constraint [B, …] is missed on each profile, [B], which may be several `axes`: its positive parts, added up."""
    return jax.nn.relu(constraint).reshape(*constraint.shape[:axes], -1).sum(-1)


@dataclass(frozen=True)
class Ascent:
    """The published search: Adam ascent, restarted each step, on a misreport that is remembered for each profile of a fixed pool
    of batches (Dütting et al. 2019, section 4.3). Without a pool every step starts from random reports on fresh profiles."""

    steps: int
    pool: int | None

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """Random misreports [pool, B, N, T], or nothing."""
        require_recommended(Box, problem, env, "ascent", "enumerate")
        if self.pool is None:
            return ()
        draw_key, start_key = jax.random.split(key)
        draw = problem.draw(env, draw_key, batch)
        action = problem.recommended(env, draw)
        return uniform_in(problem.space(env, draw), start_key, (self.pool, *action.shape), action.dtype)

    def play(self, problem, env, rule, memory, key, step, batch, numbers) -> Play:
        """See the module."""
        draw_key, start_key = jax.random.split(key)
        if self.pool is None:
            draw = problem.draw(env, draw_key, batch)
        else:
            place = step % self.pool
            draw = problem.draw(env, jax.random.fold_in(numbers["pool_key"], place), batch)
        action, box = problem.recommended(env, draw), problem.space(env, draw)
        start = uniform_in(box, start_key, action.shape, action.dtype) if self.pool is None else memory[place]
        frozen = jax.lax.stop_gradient(rule)
        found = climb(
            lambda deviations: deviated_utility(problem, env, frozen, draw, action, deviations),
            start[None], box, optax.adam(numbers["step_size"]), self.steps,
        )  # fmt: skip
        memory = memory if self.pool is None else memory.at[place].set(found[0])
        return judge_deviations(problem, env, rule, draw, found, memory)


@dataclass(frozen=True)
class Candidates:
    """Score `count` reports for each agent and profile forward only (random ones and scaled-down truths), keep the best, refine it
    by `steps` gradient steps. Global: no memory, fresh profiles every step."""

    count: int
    steps: int

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """Nothing is remembered."""
        require_recommended(Box, problem, env, "candidates", "enumerate")
        return ()

    def play(self, problem, env, rule, memory, key, step, batch, numbers) -> Play:
        """See the module."""
        draw_key, random_key, shrink_key = jax.random.split(key, 3)
        draw = problem.draw(env, draw_key, batch)
        action, box = problem.recommended(env, draw), problem.space(env, draw)
        shrunk = max(self.count // 4, 1)
        anywhere = uniform_in(box, random_key, (self.count - shrunk, *action.shape), action.dtype)
        share = jax.random.uniform(shrink_key, (shrunk, *action.shape), action.dtype)
        low = beside(box, share).low
        candidates = jnp.concatenate([anywhere, low + share * (action[None] - low)])
        frozen = jax.lax.stop_gradient(rule)

        def utility(deviations):
            return deviated_utility(problem, env, frozen, draw, action, deviations)

        best = pick(candidates, utility(candidates))
        if self.steps:
            refined = refine(utility, best, box, numbers["step_size"], self.steps)
            best = jnp.concatenate([best, refined])
        return judge_deviations(problem, env, rule, draw, best, memory)


def pick(deviations: Array, utilities: Array) -> Array:
    """The best of K deviations [K, I, N, T] by utilities [K, I, N], as [1, I, N, T]."""
    return jnp.take_along_axis(deviations, jnp.argmax(utilities, 0)[None, ..., None], axis=0)


@dataclass(frozen=True)
class Exchange:
    """Reports serve as each other's misreports. G groups; in each, every agent draws R types while the others keep their first.
    Each of the N·R·G profiles is decided once; a type's truth is its own row, and its misreports are the rows of its group: a menu
    the agent faces. So the whole gap costs no more rows than the objective does. Needs types independent across agents, since each
    row is then a profile of the prior in its own right.

    `anywhere` further reports of each group are drawn evenly from the box and serve as misreports only: where the prior leaves
    parts of the box empty, nothing else would keep the rule honest there. `steps` > 0 refines the best report by gradient steps."""

    reports: int
    anywhere: int
    steps: int

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """Nothing is remembered. Raises ConfigError where agents' types depend on each other."""
        posed = require_recommended(Box, problem, env, "exchange", "enumerate")
        if problem.agents > 1 and not problem.independent(env):
            raise ConfigError(
                "training.response.kind = exchange: redraws one agent's type alone, and this prior's agents depend on each other; "
                "write training.response.kind=candidates."
            )
        if posed.seen and not hasattr(problem, "redraw"):
            raise ConfigError("training.response.kind = exchange: draws types anew, and this problem cannot for given states that the "
                              "designer sees; write training.response.kind=candidates.")
        if getattr(problem, "enumerated", False):
            raise ConfigError("training.response.kind = exchange: draws types anew, and here every type is weighed; "
                              "write training.response.kind=candidates.")
        return ()

    def play(self, problem, env, rule, memory, key, step, batch, numbers) -> Play:
        """See the module. `batch` profiles become max(1, batch / (N·R)) groups."""
        draw_key, anywhere_key = jax.random.split(key)
        agents, reports = problem.agents, self.reports
        groups = max(1, batch // (agents * reports))
        types, seen = self._drawn(problem, env, draw_key, groups)
        own_types = Draw(weight=jnp.full((reports, groups), 1.0 / (reports * groups)), types=types, seen=seen)
        truth = problem.recommended(env, own_types)  # [R, G, N, T]
        tried = truth
        if self.anywhere:
            box = problem.space(env, own_types)
            tried = jnp.concatenate([truth, uniform_in(box, anywhere_key, (self.anywhere, *truth.shape[1:]), truth.dtype)])
        rows = unilateral(truth[0], tried)  # [N′, K, G, N, T]
        decision = problem.decide(env, rule, seen, rows)
        offered = jax.tree.map(lambda leaf: leaf[:, :, None], decision)  # [N′, K, 1, G, …]: faced by each of R types
        menu = own(problem.utility(env, own_types, offered, rows[:, :, None]))  # [K, R, G, N]
        honest = jnp.moveaxis(jnp.diagonal(menu, axis1=0, axis2=1), -1, 0)  # [R, G, N]
        best = largest(menu, 0)
        if self.steps:
            best = jnp.maximum(best, self._refined(problem, env, rule, own_types, tried, menu, numbers))
        gap = jax.nn.relu(best - honest).mean((0, 1))
        # Each of the first R rows is a profile of the prior: there the objective is measured.
        played = jax.tree.map(lambda leaf: leaf[:, :reports], (rows, decision))
        profiles = Draw(weight=jnp.full((agents, reports, groups), 1.0 / (agents * reports * groups)), types=played[0])
        outcome = problem.score(env, profiles, played[1], played[0])
        play = play_of(profiles.weight, outcome, gap, memory)
        if not play.averages.size:
            return play
        # The profiles of a group share all but one agent's type, and a price that followed their average would follow a few groups' luck.
        apart, *_ = as_recommended(problem, env, rule, jax.random.fold_in(anywhere_key, 0), batch)
        return replace(play, averages=apart.averages)

    def _drawn(self, problem: Problem, env: Tree, key: Array, groups: int) -> tuple[Tree, Tree]:
        """Types with leaves [R, G, …], and what is seen in each group, leaves [G, …]: an agent's types differ, the circumstances do not."""
        drawn = problem.draw(env, key, groups)
        if drawn.seen is not None:
            return problem.redraw(env, jax.random.fold_in(key, 1), drawn.seen, (self.reports, groups)), drawn.seen
        drawn = problem.draw(env, key, self.reports * groups)
        return jax.tree.map(lambda leaf: leaf.reshape(self.reports, groups, *leaf.shape[1:]), drawn.types), None

    def _refined(self, problem, env, rule, draw, tried, menu, numbers) -> Array:
        """Utility [R, G, N] of each type's best report of its group after gradient steps."""
        box, frozen = problem.space(env, draw), jax.lax.stop_gradient(rule)
        chosen = jnp.argmax(jax.lax.stop_gradient(menu), 0)  # [R, G, N]
        start = jnp.take_along_axis(tried[:, None], chosen[None, ..., None], axis=0)
        others = jnp.broadcast_to(tried[:1], start.shape[1:])

        def utility(rule, deviations):
            return deviated_utility(problem, env, rule, draw, others, deviations)

        found = refine(lambda deviations: utility(frozen, deviations), start, box, numbers["step_size"], self.steps)
        return utility(rule, jax.lax.stop_gradient(found))[0]


@dataclass(frozen=True)
class Enumerate:
    """Finite actions: every one is tried, or whatever the problem says is enough."""

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """Nothing is remembered."""
        require_recommended((Finite, Policies), problem, env, "enumerate", "exchange, candidates or ascent")
        return ()

    def play(self, problem, env, rule, memory, key, step, batch, numbers) -> Play:
        """See the module."""
        draw = problem.draw(env, key, batch)
        if hasattr(problem, "deviations"):
            tried = problem.deviations(env, jax.lax.stop_gradient(rule), draw, problem.recommended(env, draw))
        else:
            tried = pure_actions(problem, env, draw)
        return judge_deviations(problem, env, rule, draw, tried, memory)


def pure_actions(problem: Problem, env: Tree, draw: Draw) -> Array:
    """Every pure action as a deviation [K = A, I|1, N, A]; an illegal one is replaced by the agent's first legal one."""
    mask = problem.space(env, draw).mask
    count = mask.shape[-1]
    legal = jnp.where(mask, jnp.arange(count).reshape(1, 1, count), jnp.argmax(mask, -1, keepdims=True))
    return jax.nn.one_hot(jnp.moveaxis(legal, -1, 0), count)


def exchange(model: Any) -> Exchange:
    """From its model in a problem file."""
    return Exchange(reports=model.reports, anywhere=model.anywhere, steps=model.steps)


def ascent(model: Any) -> Ascent:
    """From its model in a problem file."""
    return Ascent(steps=model.steps, pool=model.pool)


def candidates(model: Any) -> Candidates:
    """From its model in a problem file."""
    return Candidates(count=model.count, steps=model.steps)


def enumerate_actions(model: Any) -> Enumerate:
    """From its model in a problem file."""
    return Enumerate()
