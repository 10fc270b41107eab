"""The numbers of a finite game as float64 arrays with names, and what a game must be; numpy alone.

`Tables` is what a problem file comes down to, whether its arrays are written out or made from a named game. Letters as in
`bilevel.types`: N agents, S states, A actions, Z things to be seen, K instruments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

NEAR = 1e-9  # what probabilities that were written out may miss of one


@dataclass(frozen=True)
class Tables:
    """`rewards` [N, S, A1, …, AN], `transitions` [S, A1, …, AN, S], `start` [S], `discount`, `observation` [N, S, Z], `legal` [N, Z, A];
    `instruments` [K, N, S, A1, …, AN], payments the designer may scale, by `instrument_names`; names of `states`, of each agent's
    `actions`, of what is `seen`, and of the `agents`; `target` [N, Z], the wanted choices where the game itself says which."""

    rewards: np.ndarray
    transitions: np.ndarray
    start: np.ndarray
    discount: float
    observation: np.ndarray
    legal: np.ndarray
    instruments: np.ndarray
    instrument_names: tuple[str, ...]
    agents: tuple[str, ...]
    states: tuple[str, ...]
    actions: tuple[tuple[str, ...], ...]
    seen: tuple[str, ...]
    target: np.ndarray | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """A1, …, AN."""
        return self.rewards.shape[2:]

    @property
    def clear(self) -> bool:
        """Whether everybody sees the state."""
        states = len(self.states)
        return self.observation.shape[-1] == states and bool((self.observation == np.eye(states)).all())


def numbered(word: str, count: int) -> tuple[str, ...]:
    """Names for what has none: state 1, state 2."""
    return tuple(f"{word} {place + 1}" for place in range(count))


def tables(
    rewards: np.ndarray, transitions: np.ndarray | None = None, start: np.ndarray | None = None, discount: float = 0.0, *,
    observation: np.ndarray | None = None, legal: np.ndarray | None = None, instruments: dict[str, np.ndarray] | None = None,
    agents: tuple[str, ...] | None = None, states: tuple[str, ...] | None = None, actions: tuple[tuple[str, ...], ...] | None = None,
    seen: tuple[str, ...] | None = None, target: np.ndarray | None = None,
) -> Tables:  # fmt: skip
    """Everything a game needs from what is not as usual: without transitions a state stays for ever, the first is where it starts, the
    state is seen and every action is legal. A public observation [S, Z] is everybody's."""
    rewards = np.asarray(rewards, np.float64)
    count, places, sizes = rewards.shape[0], rewards.shape[1], rewards.shape[2:]
    if transitions is None:
        transitions = np.broadcast_to(np.eye(places).reshape(places, *[1] * count, places), (places, *sizes, places))
    if start is None:
        start = np.eye(places)[0]
    observation = np.eye(places) if observation is None else np.asarray(observation, np.float64)
    if observation.ndim == 2:
        observation = np.broadcast_to(observation, (count, *observation.shape))
    things = observation.shape[-1]
    own = np.arange(max(sizes)) < np.asarray(sizes)[:, None]
    allowed = np.broadcast_to(own[:, None, :], (count, things, max(sizes)))
    if legal is not None:
        allowed = allowed & (np.asarray(legal) > 0)
    named = instruments or {}
    scaled = np.stack(list(named.values())) if named else np.zeros((0, *rewards.shape))
    if states is None:
        states = numbered("state", places)
    if seen is None:
        seen = states if things == places and (observation == np.eye(places)).all() else numbered("signal", things)
    return Tables(
        rewards=rewards, transitions=np.asarray(transitions, np.float64), start=np.asarray(start, np.float64), discount=float(discount),
        observation=observation, legal=allowed, instruments=np.asarray(scaled, np.float64), instrument_names=tuple(named),
        agents=agents or numbered("agent", count), states=states, actions=actions or tuple(numbered("action", size) for size in sizes),
        seen=seen, target=target,
    )  # fmt: skip


def faults(given: Tables) -> Iterator[tuple[list[str], str]]:
    """What is wrong with a game, as (key, sentence), the first thing of each table."""
    for place in np.argwhere(np.abs(given.transitions.sum(-1) - 1) > NEAR)[:1]:
        total = given.transitions[tuple(place)].sum()
        yield ["transitions"], f"{_where(given, place)} the probabilities of the next state sum to {total:g}; they should sum to 1"
    for place in np.argwhere(given.transitions < 0)[:1]:
        yield ["transitions"], f"{_where(given, place[:-1])} the probability of {given.states[place[-1]]} is below 0"
    if (given.start < 0).any() or abs(given.start.sum() - 1) > NEAR:
        yield ["start"], f"sums to {given.start.sum():g}, with {given.start.min():g} the least; it should be a distribution over the states"
    for agent, state in np.argwhere(np.abs(given.observation.sum(-1) - 1) > NEAR)[:1]:
        yield ["observation"], (f"what {given.agents[agent]} may see in {given.states[state]} has probabilities that sum to "
                                f"{given.observation[agent, state].sum():g}; they should sum to 1")
    for agent, state, thing in np.argwhere(given.observation < 0)[:1]:
        yield ["observation"], f"{given.agents[agent]} sees {given.seen[thing]} in {given.states[state]} with a probability below 0"
    for agent, thing in np.argwhere(~given.legal.any(-1))[:1]:
        yield ["legal"], f"{given.agents[agent]} has no legal action at {given.seen[thing]}; it needs at least one"


def _where(given: Tables, place: np.ndarray) -> str:
    done = ", ".join(names[index] for names, index in zip(given.actions, place[1:], strict=True))
    return f"after ({done}) in {given.states[place[0]]}"


def legal_in_states(given: Any) -> np.ndarray:
    """What may be chosen in each state, [N, S, A]: what is legal at everything that may be seen there. Of `Tables`, or of a `Game`."""
    return ~np.einsum("nsz,nza->nsa", np.asarray(given.observation) > 0, ~np.asarray(given.legal))


def mediated(given: Tables) -> Tables:
    """The one-period game in which a mediator first tells each agent, in private, what to do: a state is one of the states before and
    what everybody is told, and an agent sees its own part alone. All that may be told is equally likely; a rule changes that. States
    that agents saw before they see still."""
    count, places, sizes = given.rewards.shape[0], given.rewards.shape[1], given.sizes
    told = np.stack([each.ravel() for each in np.indices(sizes)], -1)  # [R, N]
    repeats = len(told)
    widest, things = max(sizes), given.observation.shape[-1]
    observation = np.zeros((count, places, repeats, things, widest))
    for agent in range(count):
        observation[agent, :, np.arange(repeats), :, told[:, agent]] = given.observation[agent][None]
    rewards = np.repeat(given.rewards, repeats, 1)
    transitions = np.repeat(np.eye(places * repeats)[:, None], int(np.prod(sizes)), 1).reshape(places * repeats, *sizes, -1)
    first = given.seen if things > 1 else ("",)
    labels = [max((names for names in given.actions), key=len)[action] for action in range(widest)]
    spoken = tuple(f"{thing} told {label}".strip() for thing in first for label in labels)
    obey = np.stack([np.tile(np.minimum(np.arange(widest), size - 1), things) for size in sizes])
    names = tuple(
        " ".join([*([state] if places > 1 else []), "told", ", ".join(given.actions[agent][told[row, agent]] for agent in range(count))])
        for state in given.states for row in range(repeats)
    )  # fmt: skip
    return replace(
        given, rewards=rewards, transitions=transitions, start=np.repeat(given.start / repeats, repeats),
        observation=observation.reshape(count, places * repeats, things * widest), legal=np.repeat(given.legal, widest, 1), states=names,
        seen=spoken, instruments=np.repeat(given.instruments, repeats, 2), target=obey,
    )  # fmt: skip


def signalled(given: Tables, signals: int, names: tuple[str, ...] | None) -> Tables:
    """The game in which everybody sees one of so many signals instead, always the first; an action is legal where it is in every state."""
    count, places = given.rewards.shape[:2]
    observation = np.zeros((count, places, signals))
    observation[..., 0] = 1
    legal = np.repeat(given.legal.all(1, keepdims=True), signals, 1)
    return replace(given, observation=observation, legal=legal, seen=names or numbered("signal", signals), target=None)
