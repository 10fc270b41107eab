"""The strong search for profitable deviations, by which every rule is judged.

Box actions: for each agent a grid over its reports (joint; where that would be too large, each number of the report alone plus
a coarse joint grid or, in many dimensions, even random points) and scaled-down truths, then the best point of each of `starts`
regions refined by ascent, the most promising quarter of them to the end. Searching needs no precision and runs in float32; what
was found is judged in float64. So the gap is a true lower bound, never an artefact of rounding. Finite actions: all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.gap import gap_and_decision, own, unilateral
from icsap_jax.bilevel.replies import Reply, reply
from icsap_jax.bilevel.responses import beside, climb, deviated_utility, pure_actions, refine, uniform_in
from icsap_jax.bilevel.tiles import in_tiles
from icsap_jax.bilevel.types import Array, Box, Draw, Problem, Rule, Tree

TILE = 100  # profiles searched at once: tiles that fit the cache are faster than all profiles together
HELD = 2**21  # numbers reported at once while a grid is scored: a network's own, many times as many, then fit in some gigabyte
JOINT_BUDGET = 45_000  # points a joint grid may have; a lone agent's decisions on them serve every profile


@dataclass(frozen=True)
class Search:
    """How hard to look: `joint` points per number in the joint grid, `single` per number alone, `starts` refined by `steps`."""

    joint: int | None
    single: int
    starts: int
    steps: int

    def joint_points(self, agents: int, width: int) -> np.ndarray:
        """Points [K, T] of the unit cube: a grid where one fits, else evenly spread random ones."""
        side = self._side(agents, width)
        if side:
            axes = np.meshgrid(*[np.linspace(0.0, 1.0, side)] * width, indexing="ij")
            return np.stack(axes, -1).reshape(-1, width)
        return np.random.default_rng(0).uniform(size=(512, width))

    def _side(self, agents: int, width: int) -> int:
        """Points along each number of the joint grid, as many as were asked for or as there is room for; 0: none fits."""
        usual = 201 if agents == 1 and width <= 2 else {1: 201, 2: 21, 3: 8}.get(width, 0)
        side = min(usual if self.joint is None else self.joint, int(JOINT_BUDGET ** (1 / width)))
        return side if side > 1 else 0

    def method(self, agents: int, width: int) -> str:
        """One line for `incentive_gap.method`."""
        side = self._side(agents, width)
        joint = "grid " + "×".join([str(side)] * width) if side else f"{len(self.joint_points(agents, width))} random reports"
        alone = "" if self._grid_is_fine(agents, width) else f" + {self.single} per number alone"
        return f"{joint}{alone} + {self.starts} refined starts"

    def _grid_is_fine(self, agents: int, width: int) -> bool:
        return len(self.joint_points(agents, width)) >= self.single**width


def sharing(box: Box, truth: Array) -> int:
    """N, as it decides how fine a grid may be: a lone agent's decisions on it serve every profile, unless each has a box of its own."""
    return max(truth.shape[-2], 2) if np.ndim(box.low) == truth.ndim else truth.shape[-2]


def candidates(search: Search, box: Box, truth: Array) -> Array:
    """All grid reports [K, I|1, N, T]; I is 1 only for a lone agent whose joint grid is fine enough to stand alone."""
    agents, width = sharing(box, truth), truth.shape[-1]
    box = beside(box, truth[None])

    def inside(share):  # low + (high − low) may round to just above high
        return jnp.minimum(box.low + share * (box.high - box.low), box.high)

    joint = inside(jnp.asarray(search.joint_points(agents, width), truth.dtype)[:, None, None, :])
    if agents == 1 and search._grid_is_fine(agents, width):
        return joint
    joint = jnp.broadcast_to(joint, (joint.shape[0], *truth.shape))
    line = inside(jnp.linspace(0.0, 1.0, search.single, dtype=truth.dtype).reshape(-1, 1, 1, 1))  # [single, 1, N, T]
    places = jnp.arange(width).reshape(1, 1, 1, width)
    alone = [jnp.where(places == place, line, truth[None]) for place in range(width)]
    shares = jnp.linspace(0.0, 1.0, 21, dtype=truth.dtype).reshape(-1, 1, 1, 1)
    shrunk = jnp.minimum(box.low + shares * (truth[None] - box.low), box.high)
    return jnp.concatenate([joint, *alone, shrunk])


def _in_pieces(utility: Callable[[Array], Array], grid: Array, truth: Array) -> Array:
    """Utilities of a grid [K, …] of deviations, so many of them at once that no more than `HELD` numbers are reported: of many bidders
    for many items, all of a tile would fill the memory."""
    agents, width = truth.shape[-2:]
    rows = grid.shape[1] if agents == 1 else truth.shape[0]  # a lone agent's grid serves all profiles
    return in_tiles(utility, grid, max(1, HELD // (agents * rows * agents * width)))


@partial(jax.jit, static_argnames=("problem", "search"))
def find(problem: Problem, search: Search, env: Tree, rule: Rule, draw: Draw, action: Array | None = None) -> Array:
    """The best deviations found [P, I, N, T]: the best grid point, the best of each region once refined, and those carried to the end.
    They are from what is recommended; where nothing is, from the `action` [I, N, T] the agents are said to take."""
    truth, box = problem.recommended(env, draw) if action is None else action, problem.space(env, draw)
    grid = candidates(search, box, truth)
    # Nobody was asked before a decision under which agents choose for themselves: it stands, whatever they do.
    standing = None if action is None else problem.decide(env, rule, draw.seen, None)

    def utility(deviations):
        if action is None:
            return deviated_utility(problem, env, rule, draw, truth, deviations)
        return _chosen_utility(problem, env, draw, standing, truth, deviations)

    scored = jnp.broadcast_to(_in_pieces(utility, grid, truth), (grid.shape[0], *truth.shape[:-1]))  # [K, I, N]
    regions = min(search.starts, grid.shape[0])
    size = -(-grid.shape[0] // regions)
    padded = jnp.pad(scored, ((0, regions * size - grid.shape[0]), (0, 0), (0, 0)), constant_values=-jnp.inf)
    padded = padded.reshape(regions, size, *scored.shape[1:])
    place = jnp.argmax(padded, 1) + (size * jnp.arange(regions)).reshape(-1, 1, 1)
    starts = _take(grid, jnp.minimum(place, grid.shape[0] - 1), truth.shape)
    early = refine(utility, starts, box, 0.02, max(search.steps // 4, 1))
    reached = utility(early)
    # The first steps may leap off a peak narrower than they are, and must not lose it.
    early = jnp.where((reached > padded.max(1))[..., None], early, starts)
    order = jnp.argsort(-jnp.maximum(reached, padded.max(1)), axis=0)[: max(regions // 4, 1)]
    late = refine(utility, _take(early, order, truth.shape), box, 0.005, search.steps)
    best = _take(grid, jnp.argmax(scored, 0)[None], truth.shape)
    return jnp.concatenate([best, early, late])


def _take(points: Array, place: Array, shape: tuple[int, ...]) -> Array:
    """Of points [K, I|1, N, T] those at place [P, I, N], as [P, I, N, T]; nothing of size K·I is made when I is 1."""
    if points.shape[1] == 1 and shape[0] != 1:
        return jnp.stack([points[place[..., n], 0, n if points.shape[2] > 1 else 0] for n in range(shape[1])], axis=2)
    return jnp.take_along_axis(jnp.broadcast_to(points, (points.shape[0], *shape)), place[..., None], axis=0)


def _chosen_utility(problem: Problem, env: Tree, draw: Draw, decision: Tree, action: Array, deviations: Array) -> Array:
    """What each agent gets [K, I, N] under a decision that stands when it alone plays its deviation."""
    return own(problem.utility(env, draw, decision, unilateral(action, deviations)))


@partial(jax.jit, static_argnames=("problem",))
def judge(problem: Problem, env: Tree, rule: Rule, draw: Draw, deviations: Array, action: Array | None = None) -> Array:
    """The gap [I, N] over given deviations, from what is recommended or from a given `action`, in the precision of what it is given."""
    if action is None:
        return gap_and_decision(problem, env, rule, draw, problem.recommended(env, draw), deviations)[0]
    tried = jnp.concatenate([jnp.broadcast_to(deviations, (deviations.shape[0], *action.shape)), action[None]])
    utility = _chosen_utility(problem, env, draw, problem.decide(env, rule, draw.seen, None), action, tried)
    return jax.nn.relu(utility[:-1].max(0) - utility[-1])


def box_gap(problem: Problem, search: Search, env: Tree, rule: Rule, draw: Draw, action: Array | None = None) -> np.ndarray:
    """The gap [B, N] of every profile of a float64 draw, tile by tile; of a given `action` [B, N, T] where nothing is recommended.
    `env` and `rule` are float64; call under enable_x64."""
    found = []
    count = draw.weight.shape[0]
    env32, rule32 = single(env), single(rule)
    size = TILE if action is None else min(TILE, count)  # reports are searched in tiles of one shape; choices are often one alone
    for start in range(0, count, TILE):
        places = np.minimum(np.arange(start, start + size), count - 1)
        tile, taken = jax.tree.map(lambda leaf, at=places: leaf[at], (draw, action))
        with jax.enable_x64(False):
            deviations = find(problem, search, env32, rule32, *single((tile, taken)))
        found.append(np.asarray(judge(problem, env, rule, tile, deviations.astype(jnp.float64), taken)))
    return np.concatenate(found)[:count]


WEAK_STEPS, WEAK_SIZE = 1_000, 0.02  # Adam's steps, and their size as a share of the box's width


def weak_gap(problem: Problem, env: Tree, rule: Rule, draw: Draw, key: Array) -> np.ndarray:
    """The gap [B, N] as it is usually published: ascent from one random misreport for each agent and profile (Dütting et al. 2019,
    section 5, and those who follow). It stops at the first local maximum, and on a plateau does not start; it is here to be compared.
    `env`, `rule` and `draw` are float64; call under enable_x64."""
    action, box = problem.recommended(env, draw), problem.space(env, draw)
    start = np.asarray(uniform_in(box, key, action.shape, action.dtype))
    env32, rule32 = single(env), single(rule)
    found = []
    for first in range(0, action.shape[0], TILE):
        places = np.minimum(np.arange(first, first + TILE), action.shape[0] - 1)
        tile, begun = jax.tree.map(lambda leaf, at=places: np.asarray(leaf)[at], (draw, start))
        with jax.enable_x64(False):
            deviations = _ascended(problem, env32, rule32, *single((tile, begun)))
        found.append(np.asarray(judge(problem, env, rule, jax.tree.map(jnp.asarray, tile), deviations.astype(jnp.float64))))
    return np.concatenate(found)[: action.shape[0]]


@partial(jax.jit, static_argnames=("problem",))
def _ascended(problem: Problem, env: Tree, rule: Rule, draw: Draw, start: Array) -> Array:
    """Where ascent from `start` [I, N, T] ends, [1, I, N, T], in a box scaled to the unit cube."""
    action, box = problem.recommended(env, draw), beside(problem.space(env, draw), start[None])
    width = box.high - box.low

    def utility(shares: Array) -> Array:
        return deviated_utility(problem, env, rule, draw, action, jnp.minimum(box.low + shares * width, box.high))

    unit = Box(low=jnp.zeros_like(width), high=jnp.ones_like(width))
    begun = (start[None] - box.low) / jnp.where(width > 0, width, 1.0)
    shares = climb(utility, begun, unit, optax.adam(WEAK_SIZE), WEAK_STEPS)
    return jnp.minimum(box.low + shares * width, box.high)


@register_dataclass
@dataclass(frozen=True)
class Reaction:
    """What finite agents do about a rule, exactly: the `decision`; their `reply`, ties both ways; the `gap` [I, N], what each loses by
    doing as recommended while the others do, or where nothing is recommended by the reply; and the `weight` [I, N|1] of each
    information set."""

    decision: Tree
    reply: Reply
    gap: Array
    weight: Array


@partial(jax.jit, static_argnames=("problem",))
def reaction(problem: Problem, env: Tree, rule: Rule, draw: Draw) -> Reaction:
    """Of a problem with finitely many actions; no margin is asked."""
    action = problem.recommended(env, draw)
    if action is None:
        decision = problem.decide(env, rule, draw.seen, None)
    else:
        deviations = pure_actions(problem, env, draw).astype(draw.weight.dtype)
        gap, decision = gap_and_decision(replace(problem, margin=0.0), env, rule, draw, action, deviations)
    found = reply(problem, env, draw, decision)
    return Reaction(decision, found, found.loss if action is None else gap, problem.weight(env, draw, decision))


def single(tree: Tree) -> Tree:
    """The same pytree with float64 leaves as float32 numpy arrays, ready for use where x64 is off."""
    return jax.tree.map(_cast(np.float32), tree)


def double(tree: Tree) -> Tree:
    """The same pytree with floating leaves as float64 numpy arrays, ready for use under enable_x64."""
    return jax.tree.map(_cast(np.float64), tree)


def _cast(dtype: Any):
    def cast(leaf):
        leaf = np.asarray(leaf)
        return leaf.astype(dtype) if np.issubdtype(leaf.dtype, np.floating) else leaf

    return cast
