"""Rules for a society: functions from a game to a game, which compose.

Zhang et al. 2024 name three instruments. A payment rule changes what the agents get (equation 8): here per period, added to the
game's payments. An allocation rule changes what happens (equation 7): which action is carried out when one is chosen, or where the game
goes. Information changes what agents see before they choose: the observation, or what a mediator tells each in private.

Every rule is an nnx module that is given a `Game` and gives one back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.games.game import Game
from icsap_jax.games.problem import Society, SocietyEnv

SPREAD = 0.01  # of fresh parameters, enough that two of them differ
STEEP = 4.0  # of a probability in its parameter, so that one step of training counts as for others


class Payment(nnx.Module):
    """c [N, S, A1, …, AN] from parameters: `cap` bounds every entry smoothly, and where `balanced` what one gets the others pay."""

    def __init__(self, params: Array, form: str, unit: float, cap: float | None, balanced: bool):
        self.params, self.form, self.unit, self.cap, self.balanced = nnx.Param(params), form, unit, cap, balanced

    def table(self, game: Game) -> Array:
        """[N, S, A1, …, AN]."""
        params = self.unit * self.params[...]
        if self.form == "instruments":
            found = jnp.einsum("k,k...->...", params, game.instruments)
        elif self.form == "own_action":
            found = jnp.zeros_like(game.payments)
            for agent, size in enumerate(game.rewards.shape[2:]):
                own = params[agent, :, :size]
                axes = [1] * (game.rewards.ndim - 2)
                axes[agent] = size
                found = found.at[agent].add(own.reshape(own.shape[0], *axes))
        else:
            found = params
        return found if self.cap is None else self.cap * jnp.tanh(found / self.cap)

    def __call__(self, game: Game) -> Game:
        table = self.table(game)
        if self.balanced:
            table = table - table.mean(0, keepdims=True)
        return replace(game, payments=game.payments + table)


class Override(nnx.Module):
    """Whoever chooses one of the actions `limited` has `instead` carried out in its place with a probability of at most `cap`: a quota
    enforced so often. One probability for each thing the designer tells apart, [states] or one for all."""

    def __init__(self, params: Array, limited: tuple[int, ...], instead: int, cap: float):
        self.params, self.limited, self.instead, self.cap = nnx.Param(params), limited, instead, cap

    def shares(self) -> Array:
        """How often it is enforced in each state, [S] or [1]."""
        return self.cap * jax.nn.sigmoid(STEEP * self.params[...])

    def __call__(self, game: Game) -> Game:
        share = jnp.broadcast_to(self.shares(), game.start.shape)
        for agent, size in enumerate(game.rewards.shape[2:]):
            switch = jnp.zeros((size, size)).at[jnp.array(self.limited), self.instead].set(1.0)
            left = 1 - share[:, None] * switch.sum(1)[None]  # [S, chosen]
            carried = jnp.eye(size)[None] * left[:, :, None] + share[:, None, None] * switch[None]  # [S, chosen, carried out]
            game = carry_out(game, carried, agent)
        return game


class Assign(nnx.Module):
    """Whatever is chosen, any action may be carried out instead, with a probability of at most `share`: softmax of [N, S, chosen, carried
    out], an assignment of what agents do by what they ask for."""

    def __init__(self, params: Array, share: float):
        self.params, self.share = nnx.Param(params), share

    def __call__(self, game: Game) -> Game:
        for agent, carried in enumerate(self.carried(game.rewards.shape[2:])):
            game = carry_out(game, carried, agent)
        return game

    def carried(self, sizes: tuple[int, ...]) -> list[Array]:
        """For each agent [S, chosen, carried out]."""
        wanted = [jax.nn.softmax(STEEP * self.params[agent, :, :size, :size], -1) for agent, size in enumerate(sizes)]
        return [(1 - self.share) * jnp.eye(size)[None] + self.share * each for size, each in zip(sizes, wanted, strict=True)]


def carry_out(game: Game, carried: Array, agent: int) -> Game:
    """The game in which what an agent chooses is carried out with the probabilities [S, chosen, carried out]."""

    def executed(table: Array, states: int) -> Array:
        """A table whose axis `states` is the state and whose axis states + 1 + agent is this agent's action."""
        moved = jnp.moveaxis(table, (states, states + 1 + agent), (0, 1))
        done = jnp.einsum("sab,sb...->sa...", carried, moved)
        return jnp.moveaxis(done, (0, 1), (states, states + 1 + agent))

    return replace(
        game, rewards=executed(game.rewards, 1), payments=executed(game.payments, 1), transitions=executed(game.transitions, 0),
        instruments=executed(game.instruments, 2),
    )  # fmt: skip


class Steer(nnx.Module):
    """The designer decides a share of where the game goes next, for each state and what was done in it."""

    def __init__(self, params: Array, share: float):
        self.params, self.share = nnx.Param(params), share

    def __call__(self, game: Game) -> Game:
        wanted = jax.nn.softmax(self.params[...], -1)
        return replace(game, transitions=(1 - self.share) * game.transitions + self.share * wanted)


class Mediator(nnx.Module):
    """What each agent is told, in private, with what probability: the start of a mediated game, [S before, R]."""

    def __init__(self, params: Array):
        self.params = nnx.Param(params)

    def __call__(self, game: Game) -> Game:
        told = jax.nn.softmax(self.params[...], -1)
        before = game.start.reshape(told.shape).sum(-1, keepdims=True)
        return replace(game, start=(before * told).reshape(-1))


class Information(nnx.Module):
    """What agents see in each state: one public signal of Z, or one for each agent, softmax of [1 | N, S, Z]."""

    def __init__(self, params: Array):
        self.params = nnx.Param(params)

    def __call__(self, game: Game) -> Game:
        shown = jax.nn.softmax(self.params[...], -1)
        return replace(game, observation=jnp.broadcast_to(shown, game.observation.shape))


class Composed(nnx.Module):
    """One rule after another."""

    def __init__(self, parts: list[Rule]):
        self.parts = nnx.List([nnx.merge(part.graph, part.params) for part in parts])

    def __call__(self, game: Game) -> Game:
        for part in self.parts:
            game = part(game)
        return game


def payment(model: Any, problem: Society, env: SocietyEnv, key: Array) -> Rule:
    """Payments near `initial` times their unit, the range of rewards."""
    with jax.ensure_compile_time_eval():
        unit = float(jnp.ptp(jnp.asarray(env.game.rewards))) or 1.0
    shapes = {"instruments": env.game.instruments.shape[:1], "own_action": (problem.agents, problem.states, max(problem.sizes))}
    shape = shapes.get(model.form, env.game.rewards.shape)
    params = (model.initial + SPREAD * jax.random.normal(key, shape)) if model.form != "instruments" else jnp.full(shape, model.initial)
    return Rule.of(Payment(params, model.form, unit, model.cap, model.balanced))


def quota(model: Any, problem: Society, env: SocietyEnv, key: Array) -> Rule:
    """A quota that is enforced half of the most it may be."""
    count = problem.states if model.each_state else 1
    return Rule.of(Override(jnp.zeros((count,)), tuple(model.limited), model.instead, model.cap))


def assignment(model: Any, problem: Society, env: SocietyEnv, key: Array) -> Rule:
    """An assignment that mostly lets agents do what they choose."""
    most = max(problem.sizes)
    spread = SPREAD * jax.random.normal(key, (problem.agents, problem.states, most, most))
    return Rule.of(Assign(jnp.eye(most)[None, None] + spread, model.share))


def steer(model: Any, problem: Society, env: SocietyEnv, key: Array) -> Rule:
    """Every next state about as likely."""
    return Rule.of(Steer(SPREAD * jax.random.normal(key, env.game.transitions.shape), model.share))


def mediator(model: Any, problem: Society, env: SocietyEnv, key: Array) -> Rule:
    """Everything about as likely to be told."""
    told = 1
    for size in problem.sizes:
        told *= size
    return Rule.of(Mediator(SPREAD * jax.random.normal(key, (problem.states // told, told))))


def information(model: Any, problem: Society, env: SocietyEnv, key: Array) -> Rule:
    """Signals that say little, or at `initial` > 0 nearly the state."""
    count = 1 if model.public else problem.agents
    telling = model.initial * jnp.eye(problem.states, problem.seen)
    return Rule.of(Information(telling[None] + 0.3 * jax.random.normal(key, (count, problem.states, problem.seen))))


def composed(model: Any, problem: Society, env: SocietyEnv, key: Array) -> Rule:
    """Each part with its own key."""
    keys = jax.random.split(key, len(model.parts))
    return Rule.of(Composed([part.build(problem, env, each) for part, each in zip(model.parts, keys, strict=True)]))


class Unchanged(nnx.Module):
    """The game as it is."""

    def __init__(self) -> None:
        self.nothing = nnx.Param(jnp.zeros(()))

    def __call__(self, game: Game) -> Game:
        return replace(game, payments=game.payments + 0.0 * self.nothing[...])


def unchanged(model: Any, problem: Society, env: SocietyEnv, key: Array) -> Rule:
    """No rule."""
    return Rule.of(Unchanged())
