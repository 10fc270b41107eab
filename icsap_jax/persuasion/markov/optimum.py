"""The exact best of a sender in a Markov persuasion process, twice and in float64: by Bellman's equation, whose every state is a linear
programme of one game, and by one programme over occupancies.

Receivers live for one step, so that a step is a game of its own in which the sender's utility is v + γ E[V′]: backwards from the last
step, or by policy iteration (Howard 1960) until nothing changes. The programme's variables y(t,s,o,a) say how often, discounted,
outcome o is met in state s and action a recommended: Σ_a y(t,s,o,a) = μ(o|s) d_t(s), where d_t is where the step before leads.

Any multipliers λ ≥ 0 prove an upper bound: UB(s) = Σ_o μ(o|s) max_a [v + Σ_b λ_sab (u_a − u_b) + γ Σ P UB(s′)], backwards, or its fixed
point; where that is only nearly met, by r, r/(1 − γ) on top makes it safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse

from icsap_jax.bilevel.replies import TIE
from icsap_jax.config import ConfigError
from icsap_jax.exact.lp import Infeasible, solve
from icsap_jax.persuasion.dynamic.optimum import best_alone
from icsap_jax.persuasion.markov.problem import MarkovEnv, tables

ROUNDS = 200  # policy iterations; a handful are needed
STILL = 1e-13  # the change of values, as a share of their size, at which policy iteration has ended
LARGEST = 20_000  # variables of a programme over occupancies that is solved in seconds


@dataclass(frozen=True)
class Scheme:
    """A scheme for every layer: its `value`; the probability `signal` [L, S, O, A] of each recommendation; the `worth` [S] of starting in
    each state; `obedience` [L, S, A, A], the multipliers on (recommended, deviation) in each state's own game, with μ(·|s) as prior."""

    value: float
    signal: np.ndarray
    worth: np.ndarray
    obedience: np.ndarray


def stage(given: MarkovEnv, ahead: np.ndarray, margin: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every state's game when `ahead` [S] is the worth of the next state: its value [S], the best signal [S, O, A] and its multipliers
    [S, A, A]. Raises `exact.lp.Infeasible`."""
    worth = given.sender + given.discount * given.transitions @ ahead
    found = [best_alone(*games, margin) for games in zip(given.state_prior, worth, given.receiver, strict=True)]
    signal = np.stack([each.joint[0] for each in found]) / given.state_prior[..., None]
    return np.array([each.value for each in found]), signal, np.stack([each.obedience[0] for each in found])


def bellman(given: MarkovEnv, horizon: int | None, margin: float = 0.0) -> Scheme:
    """The best scheme that is obeyed with `margin` to spare everywhere. Raises `exact.lp.Infeasible` where none is."""
    ahead = np.zeros(len(given.start))
    if horizon is not None:
        layers = []
        for _ in range(horizon):
            ahead, *rest = stage(given, ahead, margin)
            layers.insert(0, rest)
        signal, obedience = (np.stack(each) for each in zip(*layers, strict=True))
        return Scheme(float(given.start @ ahead), signal, ahead, obedience)
    for _ in range(ROUNDS):
        _, signal, obedience = stage(given, ahead, margin)
        before, ahead = ahead, followed(given, None, signal[None], given.sender)
        if np.abs(ahead - before).max() <= STILL * max(1.0, np.abs(ahead).max()):
            break
    return Scheme(float(given.start @ ahead), signal[None], ahead, obedience[None])


def followed(given: MarkovEnv, horizon: int | None, done: np.ndarray, utility: np.ndarray) -> np.ndarray:
    """What `utility` [S, O, A] adds up to from each state on, [S], when in layer l actions are taken with probabilities `done`
    [L, S, O, A]."""
    joint = given.state_prior[None, :, :, None] * done
    now, moves = np.einsum("lsoa,soa->ls", joint, utility), np.einsum("lsoa,soaq->lsq", joint, given.transitions)
    if horizon is None:
        return np.linalg.solve(np.eye(len(given.start)) - given.discount * moves[0], now[0])
    ahead = np.zeros(len(given.start))
    for layer in reversed(range(horizon)):
        ahead = now[layer] + moves[layer] @ ahead
    return ahead


def replied(given: MarkovEnv, horizon: int | None, signal: np.ndarray, ties: Literal["for", "against"], tolerance: float = TIE) -> float:
    """The value of a scheme [L, S, O, Z] of any signals when receivers best-reply to each: what is within `tolerance` of the best, as a
    share of the range of their payoffs, is broken for or against the sender, who cares for what follows too."""
    joint = given.state_prior[None, :, :, None] * signal
    mass = joint.sum(2)
    gets = np.einsum("lsoz,soa->lsza", joint, given.receiver) / np.where(mass > 0, mass, 1.0)[..., None]
    tied = gets >= gets.max(-1, keepdims=True) - tolerance * np.ptp(given.receiver)
    sign = 1.0 if ties == "for" else -1.0

    def chosen(layer: int, ahead: np.ndarray) -> np.ndarray:
        """The action after each signal, [S, Z], when `ahead` is the worth of the next state."""
        worth = np.einsum("soz,soa->sza", joint[layer], given.sender + given.discount * given.transitions @ ahead)
        return np.where(tied[layer], sign * worth, -np.inf).argmax(-1)

    def taken(layer: int, action: np.ndarray) -> np.ndarray:
        return np.einsum("soz,sza->soa", signal[layer], np.eye(gets.shape[-1])[action])

    ahead = np.zeros(len(given.start))
    if horizon is not None:
        for layer in reversed(range(horizon)):
            done = taken(layer, chosen(layer, ahead))
            joined = given.state_prior[..., None] * done
            ahead = (joined * (given.sender + given.transitions @ ahead)).sum((1, 2))
        return float(given.start @ ahead)
    for _ in range(ROUNDS):
        before, ahead = ahead, followed(given, None, taken(0, chosen(0, ahead))[None], given.sender)
        if np.abs(ahead - before).max() <= STILL * max(1.0, np.abs(ahead).max()):
            break
    return float(given.start @ ahead)


def occupancies(given: MarkovEnv, horizon: int | None, margin: float = 0.0) -> float:
    """The value of the best scheme by one programme over occupancies. Raises `exact.lp.Infeasible`."""
    states, outcomes, actions = given.receiver.shape
    layers, size = horizon or 1, states * outcomes * actions
    prior = sparse.csr_matrix((given.state_prior.ravel(), (np.arange(states * outcomes), np.repeat(np.arange(states), outcomes))))
    says = sparse.kron(sparse.eye(states * outcomes), np.ones((1, actions)))
    leads = prior @ sparse.csr_matrix(given.transitions.reshape(size, states).T)  # what flows into each (s, o) of the next step
    if horizon is None:
        flow = says - given.discount * leads
    else:
        flow = sparse.kron(sparse.eye(layers), says) - sparse.kron(sparse.eye(layers, k=-1), leads)
    inflow = np.zeros(layers * states * outcomes)
    inflow[: states * outcomes] = prior @ given.start
    number = np.arange(size).reshape(states, outcomes, actions)
    sets = [(s, a, b) for s in range(states) for a in range(actions) for b in range(actions) if a != b]
    rows = np.repeat(np.arange(len(sets)), outcomes)
    entries = [given.receiver[s, :, b] - given.receiver[s, :, a] + margin for s, a, b in sets]
    columns = [number[s, :, a] for s, a, _ in sets]
    disobeys = sparse.csr_matrix((np.concatenate(entries), (rows, np.concatenate(columns))), (len(sets), size)) if sets else None
    limits = None if disobeys is None else (sparse.kron(sparse.eye(layers), disobeys).tocsr(), np.zeros(layers * len(sets)))
    worth = np.tile(given.sender.ravel(), layers)
    return solve(worth, at_most=limits, equal=(flow.tocsr(), inflow), maximise=True, tolerance=1e-9).value


def upper_bound(given: MarkovEnv, horizon: int | None, obedience: np.ndarray) -> float:
    """What no obedient scheme exceeds, whatever the multipliers [L, S, A, A] ≥ 0 are."""
    obedience = np.maximum(obedience, 0.0)
    charged = np.einsum("lsab,soa->lsoa", obedience, given.receiver) - np.einsum("lsab,sob->lsoa", obedience, given.receiver)

    def backed(layer: int, ahead: np.ndarray) -> np.ndarray:
        """What each action is worth, [S, O, A]."""
        return given.sender + charged[layer] + given.discount * given.transitions @ ahead

    ahead = np.zeros(len(given.start))
    if horizon is not None:
        for layer in reversed(range(horizon)):
            ahead = (given.state_prior * backed(layer, ahead).max(-1)).sum(-1)
        return float(given.start @ ahead)
    for _ in range(ROUNDS):
        best = np.eye(given.receiver.shape[-1])[backed(0, ahead).argmax(-1)]
        before, ahead = ahead, followed(given, None, best[None], given.sender + charged[0])
        if np.abs(ahead - before).max() <= STILL * max(1.0, np.abs(ahead).max()):
            break
    short = ((given.state_prior * backed(0, ahead).max(-1)).sum(-1) - ahead).max()
    return float(given.start @ ahead + max(short, 0.0) / (1.0 - given.discount))


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: the sender's expected, discounted utility without any margin, and the bound that the
    programmes' multipliers prove."""
    given = tables(model)
    found = bellman(given, model.horizon)
    method = "Bellman's equation, a linear programme in every state"
    return {"value": found.value, "method": method + (" and step" if model.horizon else "; policy iteration"),
            "source": "Wu et al. 2022; Gan et al. 2022", "upper_bound": upper_bound(given, model.horizon, found.obedience)}  # fmt: skip


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The sender's expected utility over all steps when it says nothing, says all it knows, and sends in each step the best scheme for
    that step alone; ties for the sender."""
    given, layers = tables(model), model.horizon or 1
    states, outcomes, _ = given.receiver.shape
    silent, open_ = np.ones((states, outcomes, 1)), np.broadcast_to(np.eye(outcomes), (states, outcomes, outcomes))
    now = stage(given, np.zeros(states))[1]
    schemes = {"no_disclosure": silent, "full_disclosure": open_, "myopic_sender": now}
    return {name: replied(given, model.horizon, np.broadcast_to(each, (layers, *each.shape)), "for") for name, each in schemes.items()}


def check(problem: Any, env: Any, config: Any) -> None:
    """Raise ConfigError where in some state no scheme can be obeyed with the margin asked for."""
    given, margin = tables(config.problem), config.problem.obedience_margin
    for number, (prior, sender, receiver) in enumerate(zip(given.state_prior, given.sender, given.receiver, strict=True)):
        try:
            if margin:
                best_alone(prior, sender, receiver, margin)
        except Infeasible:
            name = config.problem.states[number] if config.problem.states else f"{number} (counted from 0)"
            raise ConfigError(
                f"{config.source}: problem.obedience_margin = {margin:g}: in state {name}, whatever the sender says, after some "
                "recommendation no action is better than every other by that much; ask for less."
            ) from None
