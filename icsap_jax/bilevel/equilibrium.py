"""What many agents do to each other, at rest: the smoothed equilibrium of a game, the prices of a market, a population's shares.

Such a problem gives `begin(env, draw)`, a pytree x from which to look for the equilibrium, and `misfit(env, draw, decision, x,
temperature)`, a pytree like x that is zero at one. F is scored at x and differentiated through it by the implicit function theorem
(`implicit.attach`): whatever way x was found and however long that took, memory does not grow with it.

Newton's method finds it (`newton`). From afar it may end where there is no root. So training begins hot, where agents hardly notice their
payoffs and the equilibrium is the only one, and each step's search starts from the last one's end (`Equilibrium`). A single solve cools
as it goes, each problem at its own pace, in one loop (`cooled`): solved for a thousand problems side by side, it takes as many rounds
as the slowest needs in all, not as the slowest at each temperature; and where agents are pushed from an equilibrium that has vanished, it
is by what they themselves would do. A problem whose equations have a structure says so by `laid`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from icsap_jax.bilevel import implicit
from icsap_jax.bilevel.implicit import Response
from icsap_jax.bilevel.newton import PUSHES, RootSearch, flat_of, newton, side_by_side
from icsap_jax.bilevel.responses import Play, Posed, play_of
from icsap_jax.bilevel.types import Array, Draw, Problem, Rule, Tree
from icsap_jax.config import ConfigError

STEPS = 30  # Newton's, in each step of training; most need two or three
COOLING = 100  # Newton's, on the whole way of a single solve
STAGES = 12  # temperatures on that way
HOT = 2.0  # times the payoffs' range: there, everything is played about as often
LOOSE = 0.05  # of the temperature: a misfit at which to cool on


def searched(problem: Problem, given: Tree, start: Tree, heats: tuple[Array, Array], stages: int, most_steps: int) -> Tree:
    """A root at the second of the `heats`, by cooling in so many stages from the first. `given`: (env, draw, decision)."""
    heats = jnp.stack([jnp.asarray(each, jax.tree.leaves(start)[0].dtype) for each in heats])

    def heat(heats: Array, stage: Array) -> Array:
        if not stages:
            return heats[1] + 0.0 * stage
        # A compiler may divide by multiplying, which misses the last temperature by a rounding that the derivative's check would see.
        return jnp.where(stage < stages, heats[1] * (heats[0] / heats[1]) ** (1 - stage / stages), heats[1])

    laid = problem.laid(*given) if hasattr(problem, "laid") else None
    if laid is None:
        flat, rebuild = ravel_pytree(start)

        def misfit(at: Array, stage: Array) -> Array:
            return ravel_pytree(problem.misfit(*given, rebuild(at), heat(heats, stage)))[0]

        solver = by_parts(problem, flat.size, rebuild)
        return rebuild(newton(misfit, flat, most_steps, lambda stage: LOOSE * heat(heats, stage), stages, solver))

    first, rebuild = flat_of(jax.tree.map(lambda leaf: leaf[..., None], start))

    def beside(given: Tree, at: Array, stage: Array) -> Array:
        laid, heats = given
        return flat_of(laid.misfit(rebuild(at), heat(heats, stage)))[0]

    def step(given: Tree, at: Array, stage: Array, heavier: Array, left: Array) -> Array:
        laid, heats = given
        return flat_of(laid.undo(rebuild(at), heat(heats, stage), heavier)(rebuild(left[:, None])), 2)[0][:, 0]

    search = RootSearch(beside, step, lambda given, stage: LOOSE * heat(given[1], stage), stages, PUSHES)

    def found(given: Tree) -> Array:
        laid, heats, start = given
        places = max(leaf.shape[-1] for leaf in jax.tree.leaves(given))
        return search((laid, heats), jnp.broadcast_to(start, (start.shape[0], places)), most_steps)

    return rebuild(side_by_side(found, (laid, heats[:, None], first))[:, 0])


def by_parts(problem: Problem, unknowns: int, rebuild: Callable[[Array], Tree]) -> Callable[..., Array] | None:
    """(product, vector, heavier) → x by a large problem's own `eliminate`; None where it has none, or is small."""
    if unknowns <= implicit.MOST_DENSE or not getattr(problem, "parted", False):
        return None

    def solver(product: Callable[[Array], Array], vector: Array, heavier: Array | float = 0.0) -> Array:
        return ravel_pytree(problem.eliminate(lambda x: rebuild(product(ravel_pytree(x)[0])), rebuild(vector), heavier))[0]

    return solver


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
    flat, rebuild = ravel_pytree(found)
    inverse, solver = None, by_parts(problem, flat.size, rebuild)
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
    return implicit.attach(lambda given, at: problem.misfit(*given[:3], at, given[3]), given, found, inverse, solver)


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
    if Posed.of(problem, env).recommended is not None:
        raise ConfigError(f"training.response.kind = {name}: agents do what is best for them, and here a target is recommended to them; "
                          "write training.response.kind=enumerate.")


def equilibrium(model: Any) -> Equilibrium:
    """From its model in a problem file."""
    return Equilibrium(steps=model.newton_steps)


def learning(model: Any) -> Learning:
    """From its model in a problem file."""
    return Learning(rounds=model.rounds)
