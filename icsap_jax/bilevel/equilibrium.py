"""What many agents do to each other, at rest: the smoothed equilibrium of a game, the prices of a market, a population's shares.

Such a problem gives `begin(env, draw)`, a pytree x from which to look for the equilibrium, and `misfit(env, draw, decision, x,
temperature)`, a pytree like x that is zero at one. F is scored at x and differentiated through it by the implicit function theorem
(`implicit.attach`): whatever way x was found and however long that took, memory does not grow with it.

Newton's method finds it. Of several lengths of each step the one that leaves least is taken. Where none leaves markedly less, the search
would be stuck between two equilibria that have just met and vanished; it is then pushed along, for some steps, by what the agents
themselves would do: Newton's matrix with its diagonal made heavier is an implicit step of their dynamics, which leave such a place for
another equilibrium. From afar all that may still end where there is no root. So training begins hot, where agents hardly notice their
payoffs and the equilibrium is the only one, and each step's search starts from the last one's end (`Equilibrium`). A single solve cools
as it goes, each problem at its own pace, in one loop (`cooled`): solved for a thousand problems side by side, it takes as many rounds
as the slowest needs in all, not as the slowest at each temperature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from icsap_jax.bilevel import implicit
from icsap_jax.bilevel.implicit import Response
from icsap_jax.bilevel.responses import Play, play_of
from icsap_jax.bilevel.types import Array, Draw, Problem, Rule, Tree
from icsap_jax.config import ConfigError

LENGTHS = (1.0, 0.5, 0.2, 0.05)  # of a Newton step, tried side by side
STEPS = 30  # Newton's, in each step of training; most need two or three
COOLING = 100  # Newton's, on the whole way of a single solve
STAGES = 12  # temperatures on that way
HOT = 2.0  # times the payoffs' range: there, everything is played about as often
BETTER = 0.9  # of what a step must leave at most, or the search is pushed
PUSHES = 6  # heavier steps in a row
LOOSE = 0.05  # of the temperature: a misfit at which to cool on
FEWER = 4  # times fewer than are side by side: so many that are not done yet go on by themselves
FEWEST = 8  # of those; below, nothing is gained


def newton(
    misfit: Callable[[Array, Array], Array], start: Array, most_steps: int, near: Callable[[Array], Array], stages: int = 0
) -> Array:
    """Where misfit(x [n], stage []) → [n] vanishes at the last of the `stages`, sought from `start` [n]: at each earlier one until it is
    below `near`(stage), at the last until nothing but rounding is left or `most_steps` are over."""
    dense = start.size <= implicit.MOST_DENSE

    def beside(_: None, at: Array, stage: Array) -> Array:
        return misfit(at[:, 0], stage[0])[:, None]

    def step(_: None, at: Array, stage: Array, heavier: Array, left: Array) -> Array:
        product = jax.linearize(lambda x: misfit(x, stage[0]), at[:, 0])[1]
        if not dense:
            return implicit.krylov(product, left[:, 0])[:, None]
        matrix = jax.vmap(product, out_axes=1)(jnp.eye(start.size, dtype=start.dtype))
        return jnp.linalg.solve(matrix + jnp.diag(jnp.abs(jnp.diagonal(matrix)) * heavier), left)

    search = Search(beside, step, lambda _, stage: near(stage[0])[None], stages, PUSHES if dense else 0)
    return search(None, start[:, None], most_steps)[:, 0]


@dataclass(frozen=True)
class Search:
    """Newton's method for B problems side by side, each at its own pace. With `given` a pytree of leaves [..., B or 1]: the misfit(given,
    x [n, B], stage [B]) [n, B]; the step(given, x, stage, heavier [B], misfit) [n, B]; and near(given, stage) [B], below which the next
    stage begins. Those that are not done are put together as they become few, so that a slow one does not hold up the others."""

    misfit: Callable[[Tree, Array, Array], Array]
    step: Callable[[Tree, Array, Array, Array, Array], Array]
    near: Callable[[Tree, Array], Array]
    stages: int
    pushes: int

    def __call__(self, given: Tree, start: Array, most_steps: int) -> Array:
        """The roots [n, B] from `start` [n, B]."""
        count = start.shape[1]
        none = jnp.zeros((count,), jnp.int32)
        state = (start, self.misfit(given, start, none), none, none, jnp.zeros((count,), bool))
        steps = jnp.zeros((), jnp.int32)
        pieces = []
        while True:
            fewer = count // FEWER if count >= FEWEST * FEWER else 0
            state, steps = jax.lax.while_loop(
                lambda carry, fewer=fewer: ((~carry[0][4]).sum() > fewer) & (carry[1] < most_steps),
                lambda carry, given=given: (self._go(given, carry[0]), carry[1] + 1), (state, steps),
            )  # fmt: skip
            if not fewer:
                break
            order = jnp.argsort(state[4])
            pieces.append((jnp.argsort(order), pick(state[0], order[fewer:], count)))
            state, given = pick((state, given), order[:fewer], count)
            count = fewer
        found = state[0]
        for back, rest in reversed(pieces):
            found = pick(jnp.concatenate([found, rest], 1), back, back.size)
        return found

    def _go(self, given: Tree, state: tuple[Array, ...]) -> tuple[Array, ...]:
        """One step of those that are not done."""
        at, left, pushes, stage, over = state
        eps = float(jnp.finfo(at.dtype).eps)
        lengths = jnp.asarray(LENGTHS, at.dtype)
        step = self.step(given, at, stage, pushes.astype(at.dtype) / PUSHES, left)
        tried = at[None] - lengths[:, None, None] * step[None]
        leaves = jax.vmap(lambda x: self.misfit(given, x, stage))(tried)
        sizes, before = largest(leaves.swapaxes(0, 1)), largest(left)
        # The shortest way of what is best: among few, written out.
        smallest, best, ahead = sizes[0], tried[0], leaves[0]
        pushed = pushes > 0
        for place in range(1, len(LENGTHS)):
            less = (sizes[place] < smallest) & ~pushed
            smallest = jnp.where(less, sizes[place], smallest)
            best, ahead = jnp.where(less[None], tried[place], best), jnp.where(less[None], leaves[place], ahead)
        taken = (smallest < jnp.inf) & (pushed | (smallest < before)) & ~over
        better = ~pushed & (smallest < BETTER * before)
        at, left = jnp.where(taken[None], best, at), jnp.where(taken[None], ahead, left)
        size = jnp.where(taken, smallest, before)
        # How large the terms are of which the misfit is the difference.
        terms = jax.jvp(lambda x: self.misfit(given, x, stage), (at,), (at,))[1]
        done = size <= 4 * eps * (1 + largest(terms))
        pushes = jnp.where(pushed, pushes - 1, jnp.where(better | done, 0, self.pushes))
        cools = (stage < self.stages) & (size <= self.near(given, stage)) & ~over
        stage = stage + cools
        left = jnp.where(cools[None], self.misfit(given, at, stage), left)
        stuck = ~taken & ~cools & (pushes == 0)
        return at, left, jnp.where(cools, 0, pushes), stage, over | (((done & ~cools) | stuck) & (stage == self.stages))


def largest(left: Array) -> Array:
    """The largest |number| along the first axis, infinite where one is not finite."""
    found = jnp.abs(left)
    while found.shape[0] > 1:
        half = found.shape[0] // 2
        found = jnp.concatenate([jnp.maximum(found[:half], found[half : 2 * half]), found[2 * half :]])
    return jnp.where(found[0] < jnp.inf, found[0], jnp.inf)


def pick(tree: Tree, order: Array, count: int) -> Tree:
    """Those of `count` problems side by side that `order` names; numbers shared by all stay."""
    return jax.tree.map(lambda leaf: jnp.take(leaf, order, -1, mode="clip") if leaf.shape[-1] == count else leaf, tree)


def side_by_side(search: Callable[..., Array], given: Tree) -> Array:
    """search(given) of leaves with a last axis, along which problems lie side by side. Under vmap they lie there too, which a processor
    does several at a time, and not along a first axis."""
    laid = jax.custom_batching.custom_vmap(search)

    def together(size: int, batched: Tree, given: Tree) -> tuple[Array, bool]:
        inner = max(leaf.shape[-1] for leaf in jax.tree.leaves(given))

        def beside(leaf: Array, is_batched: bool) -> Array:
            if not is_batched and leaf.shape[-1] == 1:
                return leaf
            leaf = leaf if is_batched else jnp.broadcast_to(leaf, (size, *leaf.shape))
            leaf = jnp.broadcast_to(jnp.moveaxis(leaf, 0, -2), (*leaf.shape[1:-1], size, inner))
            return leaf.reshape(*leaf.shape[:-2], size * inner)

        found = side_by_side(search, jax.tree.map(beside, given, batched[0]))
        return jnp.moveaxis(found.reshape(*found.shape[:-1], size, -1), -2, 0), True

    laid.def_vmap(together)
    return laid(given)


def flat_of(tree: Tree, last: int = 1) -> tuple[Array, Callable[[Array], Tree]]:
    """(a pytree of leaves [..., B] as [n, B], or with more than one `last` axis; what makes such a pytree of [n, …])."""
    leaves, shape = jax.tree.flatten(tree)
    sizes = [leaf.shape[:-last] for leaf in leaves]
    ends = [0]
    for size in sizes:
        ends.append(ends[-1] + math.prod(size))

    def rebuild(flat: Array) -> Tree:
        return jax.tree.unflatten(shape, [flat[begin:end].reshape(*size, *flat.shape[1:])
                                          for size, begin, end in zip(sizes, ends, ends[1:], strict=False)])  # fmt: skip

    return jnp.concatenate([leaf.reshape(math.prod(size), *leaf.shape[-last:]) for leaf, size in zip(leaves, sizes, strict=True)]), rebuild


def searched(problem: Problem, given: Tree, start: Tree, heats: tuple[Array, Array], stages: int, most_steps: int) -> Tree:
    """A root at the second of the `heats`, by cooling in so many stages from the first. `given`: (env, draw, decision)."""
    heats = jnp.stack([jnp.asarray(each, jax.tree.leaves(start)[0].dtype) for each in heats])

    def heat(heats: Array, stage: Array) -> Array:
        return heats[1] * (heats[0] / heats[1]) ** (1 - stage / max(stages, 1)) if stages else heats[1] + 0.0 * stage

    laid = problem.laid(*given) if hasattr(problem, "laid") else None
    if laid is None:
        flat, rebuild = ravel_pytree(start)

        def misfit(at: Array, stage: Array) -> Array:
            return ravel_pytree(problem.misfit(*given, rebuild(at), heat(heats, stage)))[0]

        return rebuild(newton(misfit, flat, most_steps, lambda stage: LOOSE * heat(heats, stage), stages))

    first, rebuild = flat_of(jax.tree.map(lambda leaf: leaf[..., None], start))

    def beside(given: Tree, at: Array, stage: Array) -> Array:
        laid, heats = given
        return flat_of(laid.misfit(rebuild(at), heat(heats, stage)))[0]

    def step(given: Tree, at: Array, stage: Array, heavier: Array, left: Array) -> Array:
        laid, heats = given
        return flat_of(laid.undo(rebuild(at), heat(heats, stage), heavier)(rebuild(left[:, None])), 2)[0][:, 0]

    search = Search(beside, step, lambda given, stage: LOOSE * heat(given[1], stage), stages, PUSHES)

    def found(given: Tree) -> Array:
        laid, heats, start = given
        places = max(leaf.shape[-1] for leaf in jax.tree.leaves(given))
        return search((laid, heats), jnp.broadcast_to(start, (start.shape[0], places)), most_steps)

    return rebuild(side_by_side(found, (laid, heats[:, None], first))[:, 0])


def settled(problem: Problem, env: Tree, draw: Draw, decision: Tree, start: Tree, temperature: Array, most_steps: int = STEPS) -> Response:
    """The smoothed equilibrium near `start` at a temperature, differentiable in `env`, `decision` and the temperature."""
    given = (env, draw, decision, temperature)
    frozen = jax.lax.stop_gradient(given)
    # What is remembered from training may be less exact than what is asked now.
    exact = jnp.result_type(*(leaf for leaf in jax.tree.leaves(decision) if jnp.issubdtype(leaf.dtype, jnp.floating)))
    start = jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf).astype(exact), start)
    found = searched(problem, frozen[:3], start, (frozen[3], frozen[3]), 0, most_steps)
    return attached(problem, given, found)


def cooled(
    problem: Problem, env: Tree, draw: Draw, decision: Tree, temperature: Array, hot: Array, stages: int = STAGES, most_steps: int = COOLING
) -> Response:
    """The smoothed equilibrium that is reached from `hot`, where it is the only one, by cooling geometrically to `temperature`: on the
    principal branch of McKelvey & Palfrey (1995), and where that turns back, on the next. Differentiable like `settled`."""
    given = (env, draw, decision, temperature)
    frozen, first = jax.lax.stop_gradient((given, hot))
    start = jax.lax.stop_gradient(problem.begin(env, draw))
    found = searched(problem, frozen[:3], start, (first, frozen[3]), stages, most_steps)
    return attached(problem, given, found)


def attached(problem: Problem, given: Tree, found: Tree) -> Response:
    """What was found, with its derivative in what was given: (env, draw, decision, temperature)."""
    frozen, found = jax.lax.stop_gradient((given, found))
    laid = problem.laid(*frozen[:3]) if hasattr(problem, "laid") else None
    inverse = None
    if laid is not None:
        first, rebuild = flat_of(jax.tree.map(lambda leaf: leaf[..., None], found))

        def matrix(given: Tree) -> Array:
            laid, heats, at = given
            eye = jnp.eye(at.shape[0], dtype=at.dtype)[..., None]
            right = jnp.broadcast_to(eye, (*eye.shape[:2], at.shape[1]))
            # A point that is not finite would spoil even a derivative that is thrown away.
            return flat_of(laid.undo(rebuild(at), heats, jnp.zeros_like(heats))(rebuild(right)), 2)[0]

        heats = jnp.asarray(frozen[3], first.dtype)[None]
        inverse = side_by_side(matrix, (laid, heats, jnp.where(jnp.isfinite(first), first, 0.0)))[..., 0]
    return implicit.attach(lambda given, at: problem.misfit(*given[:3], at, given[3]), given, found, inverse)


def annealed(numbers: dict[str, Array]) -> Array:
    """The temperature now: falling geometrically from `temperature` to `temperature_end` over the first `share` of training, and for
    a rule's last start from `spread` times the first start's."""
    end = numbers["temperature_end"]
    start = numbers["temperature"] * numbers["spread"] ** numbers["place"]
    return start * (end / start) ** jnp.minimum(1.0, numbers["fraction"] / numbers["share"])


@dataclass(frozen=True)
class Equilibrium:
    """Agents at rest with each other, smoothed by a temperature that falls while training. `residual` and `unconverged` are among the
    parts: where the solve failed, F's derivative through what agents do is zero in that step, and the search goes on from there."""

    steps: int

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """Where to look first. Raises ConfigError where a problem has no such equilibrium, or where something is recommended."""
        require_rest(problem, env, "equilibrium", "misfit")
        return problem.begin(env, problem.draw(env, key, batch))

    def play(self, problem: Problem, env: Tree, rule: Rule, memory: Tree, key: Array, step: Array, batch: int, numbers: Any) -> Play:
        """See the module."""
        temperature = annealed(numbers)
        draw = problem.draw(env, key, batch)
        decision = problem.decide(env, rule, draw.seen, None)
        found = settled(problem, env, draw, decision, memory, temperature, self.steps)
        play = play_of(draw.weight, problem.score(env, draw, decision, found.action), jnp.zeros((problem.agents,)), found.action)
        play.parts.update(residual=found.residual, unconverged=1.0 - found.converged, temperature=temperature)
        return play


@dataclass(frozen=True)
class Learning:
    """Agents who learn: `rounds` of the problem's `learn(env, draw, decision, x, size)` from where they begin, through all of which F is
    differentiated. The designer so prepares for where learning leads, not for what nobody would want to leave."""

    rounds: int

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """Nothing is remembered: they begin anew under each rule. Raises ConfigError as `Equilibrium` does."""
        require_rest(problem, env, "learning", "learn")
        return ()

    def play(self, problem: Problem, env: Tree, rule: Rule, memory: Tree, key: Array, step: Array, batch: int, numbers: Any) -> Play:
        """See the module."""
        draw = problem.draw(env, key, batch)
        decision = problem.decide(env, rule, draw.seen, None)

        @jax.checkpoint
        def learn(x: Tree, _: None) -> tuple[Tree, None]:
            return problem.learn(env, draw, decision, x, numbers["step_size"]), None

        learned, _ = jax.lax.scan(learn, problem.begin(env, draw), None, length=self.rounds)
        return play_of(draw.weight, problem.score(env, draw, decision, learned), jnp.zeros((problem.agents,)), memory)


def require_rest(problem: Problem, env: Tree, name: str, what: str) -> None:
    """Refuse, for a response named `name`, problems that do not say `what` it needs, and those in which something is recommended."""
    if not hasattr(problem, what):
        raise ConfigError(f"training.response.kind = {name}: is for agents who come to rest with each other in a way the problem knows, "
                          "such as those of a game; write training.response.kind=enumerate, logit, stationary or exchange.")
    if problem.recommended(env, problem.draw(env, jax.random.key(0), 1)) is not None:
        raise ConfigError(f"training.response.kind = {name}: agents do what is best for them, and here a target is recommended to them; "
                          "write training.response.kind=enumerate.")


def equilibrium(model: Any) -> Equilibrium:
    """From its model in a problem file."""
    return Equilibrium(steps=model.newton_steps)


def learning(model: Any) -> Learning:
    """From its model in a problem file."""
    return Learning(rounds=model.rounds)
