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


def newton(
    misfit: Callable[[Array, Array], Array], start: Array, most_steps: int, near: Callable[[Array], Array], stages: int = 0
) -> Array:
    """Where misfit(x [n], stage []) → [n] vanishes at the last of the `stages`, sought from `start` [n]: at each earlier one until it is
    below `near`(stage), at the last until nothing but rounding is left or `most_steps` are over."""
    eps = float(jnp.finfo(start.dtype).eps)
    lengths = jnp.asarray(LENGTHS, start.dtype)
    dense = start.size <= implicit.MOST_DENSE

    def size(left: Array) -> Array:
        return jnp.where(jnp.isfinite(left).all(-1), jnp.abs(left).max(-1), jnp.inf)

    def go(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        at, left, pushes, stage, steps, _ = carry
        product = jax.linearize(lambda x: misfit(x, stage), at)[1]
        if dense:
            matrix = jax.vmap(product, out_axes=1)(jnp.eye(at.size, dtype=at.dtype))
            heavier = jnp.abs(jnp.diagonal(matrix)) * pushes / PUSHES
            step = jnp.linalg.solve(matrix + jnp.diag(heavier), left)
        else:
            step = implicit.krylov(product, left)
        tried = at[None] - lengths[:, None] * step[None]
        leaves = jax.vmap(lambda x: misfit(x, stage))(tried)
        sizes = size(leaves)
        best = jnp.argmin(sizes)
        better = sizes[best] < BETTER * size(left)
        pushed = pushes > 0
        place = jnp.where(pushed, 0, best)
        taken = jnp.isfinite(sizes[place]) & (pushed | (sizes[best] < size(left)))
        at, left = jnp.where(taken, tried[place], at), jnp.where(taken, leaves[place], left)
        rounding = 4 * eps * (1 + jnp.abs(product(at)).max())
        done = size(left) <= rounding
        pushes = jnp.where(pushed, pushes - 1, jnp.where(better | done, 0, PUSHES if dense else 0))
        cools = (stage < stages) & (size(left) <= near(stage))
        stage = stage + cools
        left = jnp.where(cools, misfit(at, stage), left)
        stuck = ~taken & ~cools & (pushes == 0)
        return at, left, jnp.where(cools, 0, pushes), stage, steps + 1, ((done & ~cools) | stuck) & (stage == stages)

    def goes_on(carry: tuple[Array, ...]) -> Array:
        return ~carry[5] & (carry[4] < most_steps)

    none = jnp.zeros((), jnp.int32)
    return jax.lax.while_loop(goes_on, go, (start, misfit(start, none), none, none, none, jnp.zeros((), bool)))[0]


def settled(problem: Problem, env: Tree, draw: Draw, decision: Tree, start: Tree, temperature: Array, most_steps: int = STEPS) -> Response:
    """The smoothed equilibrium near `start` at a temperature, differentiable in `env`, `decision` and the temperature."""
    given = (env, draw, decision, temperature)
    frozen = jax.lax.stop_gradient(given)
    # What is remembered from training may be less exact than what is asked now.
    exact = jnp.result_type(*(leaf for leaf in jax.tree.leaves(decision) if jnp.issubdtype(leaf.dtype, jnp.floating)))
    flat, rebuild = ravel_pytree(jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf).astype(exact), start))

    def misfit(given: Tree, at: Tree) -> Tree:
        env, draw, decision, temperature = given
        return problem.misfit(env, draw, decision, at, temperature)

    found = newton(lambda at, stage: ravel_pytree(misfit(frozen, rebuild(at)))[0], flat, most_steps, lambda stage: jnp.zeros(()))
    return implicit.attach(misfit, given, rebuild(found))


def cooled(
    problem: Problem, env: Tree, draw: Draw, decision: Tree, temperature: Array, hot: Array, stages: int = STAGES, most_steps: int = COOLING
) -> Response:
    """The smoothed equilibrium that is reached from `hot`, where it is the only one, by cooling geometrically to `temperature`: on the
    principal branch of McKelvey & Palfrey (1995), and where that turns back, on the next. Differentiable like `settled`."""
    frozen = jax.lax.stop_gradient((env, draw, decision))
    last, first = jax.lax.stop_gradient((temperature, hot))
    begin = problem.begin(env, draw)
    flat, rebuild = ravel_pytree(jax.lax.stop_gradient(begin))

    def heat(stage: Array) -> Array:
        return first * (last / first) ** (stage / stages)

    def misfit(at: Array, stage: Array) -> Array:
        return ravel_pytree(problem.misfit(*frozen, rebuild(at), heat(stage)))[0]

    found = newton(misfit, flat, most_steps, lambda stage: LOOSE * heat(stage), stages)
    return settled(problem, env, draw, decision, rebuild(found), temperature, 2)


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
