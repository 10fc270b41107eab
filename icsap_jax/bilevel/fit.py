"""The training loop: one compiled scan over steps, over a leading member axis of seeds and hyperparameters.

`init → TrainState`, `step(state) → state, metrics`, `run` scans it in chunks. The loss is −F + what the lagrangian asks for the gaps and
for constraints that are missed, and what the duals ask for averages that are. A member whose loss or gradient stops being finite keeps
its last good state and the number of its first bad step, while the others go on. Member s draws from fold_in(seed, s), whatever else
trains beside it. Where there is an accelerator members are vmapped; on a CPU that gains nothing (measured) and they are mapped one
after the other. Several devices share them out.

Where F has many local optima a member's rule may have several *starts*: rules side by side on an axis of their own, each of which
climbs for itself (Adam moves every number for itself too). The best of them is told, and kept when training is over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.lagrangian import Duals, Prices, numbers
from icsap_jax.bilevel.responses import Play
from icsap_jax.bilevel.types import Array, Problem, Rule, Tree

MEMBERS = "members"  # what the axis of a mesh over which members are shared out is called


@register_dataclass
@dataclass(frozen=True)
class TrainState:
    """Everything a run is, at one moment; leaves carry a leading member axis [S] once stacked.

    `rule`; `moments` of the optimiser; `prices` on gaps and `duals` on averages; `memory` of the response; `step` [] taken;
    `bad_step` [], the first non-finite step or −1; `key` of the member; `numbers` of the training and of the response, as arrays."""

    rule: Rule
    moments: Tree
    prices: Prices
    duals: Duals
    memory: Tree
    step: Array
    bad_step: Array
    key: Array
    numbers: dict[str, dict[str, Array]]


@dataclass(frozen=True)
class Trainer:
    """The static part of a run: what is compiled. Two runs with equal trainers share their compiled code."""

    problem: Problem
    response: Any
    lagrangian: Any
    steps: int
    batch: int
    decay: str
    starts: bool = False  # whether a member's rule has leaves [starts, …]

    @classmethod
    def of(cls, problem: Problem, training: Any, starts: bool = False) -> Trainer:
        """From the `training:` section of a problem file."""
        return cls(
            problem=problem, response=training.response.build(), lagrangian=training.lagrangian.build(),
            steps=training.steps, batch=training.batch, decay=training.decay, starts=starts,
        )  # fmt: skip

    def init(self, env: Tree, rule: Rule, key: Array, training: Any) -> TrainState:
        """The state before the first step of one member, by the `training:` section of a problem file."""
        return self.begin(env, rule, key, told(training))

    def begin(self, env: Tree, rule: Rule, key: Array, given: dict[str, dict[str, Array]]) -> TrainState:
        """As `init`, by the numbers that `told` finds in that section."""
        rule = jax.tree.map(as_it_stays, rule)
        response_numbers = {**given["response"], "pool_key": jax.random.fold_in(key, 1)}
        memory = self.response.init(self.problem, env, response_numbers, jax.random.fold_in(key, 2), self.batch)
        if self.starts:
            count = jax.tree.leaves(rule)[0].shape[0]
            memory = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], count, 0), memory)
        memory = jax.tree.map(as_it_stays, memory)
        return TrainState(
            rule=rule, moments=optax.scale_by_adam().init(rule.params),
            prices=self.lagrangian.init(given["lagrangian"], self.problem.agents + self.constraints),
            duals=Duals.of(given["lagrangian"], len(getattr(self.problem, "averages", ()))), memory=memory,
            step=jnp.zeros((), jnp.int32), bad_step=jnp.full((), -1, jnp.int32), key=jax.random.fold_in(key, 0),
            numbers={"training": given["training"], "response": response_numbers},
        )  # fmt: skip

    @property
    def constraints(self) -> int:
        """C, how many signed constraints the problem has, or the response adds; they are priced after the agents' gaps."""
        return len(getattr(self.problem, "constraints", ())) + len(getattr(self.response, "constraints", ()))

    def learning_rate(self, settings: dict[str, Array], step: Array) -> Array:
        """At a step counted from 0: a linear rise over `warmup`, then constant or a cosine to zero."""
        fraction = step / max(self.steps, 1)
        rate = settings["learning_rate"] * jnp.minimum(1.0, (fraction + 1.0 / max(self.steps, 1)) / jnp.maximum(settings["warmup"], 1e-9))
        return rate * 0.5 * (1 + jnp.cos(jnp.pi * fraction)) if self.decay == "cosine" else rate

    def loss(self, rule: Rule, env: Tree, state: TrainState, key: Array) -> tuple[Array, Any]:
        """−F + the price of the gaps, and the play it came from: summed over starts, and the play of the best."""
        numbers = {**state.numbers["response"], "fraction": state.step / max(self.steps, 1)}

        def judged(rule: Rule, memory: Tree, place: Array) -> tuple[Array, Any]:
            given = {**numbers, "place": place}
            play = self.response.play(self.problem, env, rule, memory, key, state.step, self.batch, given)
            loss = self.lagrangian.loss(state.prices, play.value, priced(play))
            return (loss + state.duals.cost(play.averages) if play.averages.size else loss), play

        if not self.starts:
            return judged(rule, state.memory, jnp.zeros(()))
        count = jax.tree.leaves(rule)[0].shape[0]
        losses, plays = jax.vmap(judged)(rule, state.memory, jnp.linspace(0.0, 1.0, count))
        best = jnp.argmin(losses)
        return losses.sum(), replace(jax.tree.map(lambda leaf: leaf[best], plays), memory=plays.memory)

    def step(self, env: Tree, state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        """One gradient step of one member, and its metrics: each a number, the gap [N]."""
        key = jax.random.fold_in(state.key, state.step)
        (loss, play), slope = jax.value_and_grad(self.loss, has_aux=True)(state.rule, env, state, key)
        settings = state.numbers["training"]
        norm = optax.tree.norm(slope.params)
        if "clip" in settings:
            slope = jax.tree.map(lambda leaf: leaf * jnp.minimum(1.0, settings["clip"] / jnp.maximum(norm, 1e-12)), slope)
        updates, moments = optax.scale_by_adam().update(slope.params, state.moments)
        rate = self.learning_rate(settings, state.step)
        params = jax.tree.map(lambda p, u: p - rate * u, state.rule.params, updates)
        taken = state.step + 1
        prices = self.lagrangian.update(state.prices, priced(play), play.value, taken, taken / max(self.steps, 1))
        good = jnp.isfinite(loss) & jnp.isfinite(norm) & jnp.isfinite(optax.tree.norm(params)) & (state.bad_step < 0)
        moved = replace(state, rule=replace(state.rule, params=params), moments=moments, prices=prices,
                        duals=state.duals.update(play.averages), memory=play.memory)  # fmt: skip
        kept = jax.tree.map(lambda new, old: jnp.where(good, new, old), moved, state)
        bad = jnp.where(good | (state.bad_step >= 0), state.bad_step, state.step)
        metrics = {"loss": loss, "objective": play.value, "gap": play.gap, "multiplier": prices.multiplier, "gradient_norm": norm}
        if self.constraints:
            metrics["excess"] = play.excess
        if play.averages.size:
            metrics |= {"averages": play.averages, "dual": state.duals.multiplier}
        return replace(kept, step=taken, bad_step=bad), {**metrics, **play.parts}


def as_it_stays(leaf: Array) -> Array:
    """The same without a weak type, which a step would take from it: the second chunk would be compiled anew."""
    return leaf if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else jax.lax.convert_element_type(leaf, leaf.dtype)


def priced(play: Play) -> Array:
    """All that a play misses, [N + C]: the agents' gaps, then the constraints' excess."""
    return jnp.concatenate([play.gap, play.excess]) if play.excess.size else play.gap


def told(training: Any) -> dict[str, dict[str, Array]]:
    """What the `training:` section of a problem file says in real numbers, in which members of one program may differ."""
    return {"training": numbers(training), "response": numbers(training.response), "lagrangian": numbers(training.lagrangian)}


@partial(jax.jit, static_argnames=("trainer", "count", "mesh"), donate_argnames=("state",))
def run(trainer: Trainer, env: Tree, state: TrainState, count: int, mesh: Mesh | None = None) -> tuple[TrainState, dict[str, Array]]:
    """`count` steps of every member: a state with leaves [S, …] and metrics [S, …] averaged over the chunk. The state given is
    consumed (its buffers are reused). A `mesh` of devices shares the members out: S has to be a multiple of how many there are."""
    return _shared_out(lambda env, state: _members(lambda member: _alone(trainer, env, member, count), state), mesh, P())(env, state)


@partial(jax.jit, static_argnames=("trainer", "count", "mesh"), donate_argnames=("state",))
def run_each(trainer: Trainer, envs: Tree, state: TrainState, count: int, mesh: Mesh | None = None) -> tuple[TrainState, dict[str, Array]]:
    """As `run`, where each member has a problem of its own: `envs` with leaves [S, …]."""
    return _shared_out(lambda *pairs: _members(lambda pair: _alone(trainer, *pair, count), pairs), mesh, P(MEMBERS))(envs, state)


def _shared_out(together: Callable[[Tree, Tree], Tree], mesh: Mesh | None, envs: P) -> Callable[[Tree, Tree], Tree]:
    """What happens to members, done by each device to its share of them; `envs` says whether problems are shared out too."""
    if mesh is None:
        return together
    return jax.shard_map(together, mesh=mesh, in_specs=(envs, P(MEMBERS)), out_specs=P(MEMBERS), check_vma=False)


def placed(tree: Tree, mesh: Mesh | None) -> Tree:
    """Leaves [S, …] where `run` on these devices wants them."""
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, P(MEMBERS)))


def _alone(trainer: Trainer, env: Tree, member: TrainState, count: int) -> tuple[TrainState, dict[str, Array]]:
    member, metrics = jax.lax.scan(lambda state, _: trainer.step(env, state), member, None, length=count)
    return member, jax.tree.map(lambda leaf: leaf.mean(0), metrics)


def _members(alone: Callable[[Tree], Tree], members: Tree) -> Tree:
    """What happens to each member, leaves [S, …]: one after the other on a CPU, and side by side elsewhere."""
    if jax.tree.leaves(members)[0].shape[0] == 1:  # no batching at all: a batch of one still costs layout changes
        return jax.tree.map(lambda leaf: leaf[None], alone(jax.tree.map(lambda leaf: leaf[0], members)))
    if jax.default_backend() == "cpu":
        return jax.lax.map(alone, members)
    return jax.vmap(alone)(members)


def stack(states: list[TrainState]) -> TrainState:
    """Members side by side, leaves [S, …]."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def member(state: TrainState, place: int) -> TrainState:
    """One member of a stacked state."""
    return jax.tree.map(lambda leaf: leaf[place], state)
