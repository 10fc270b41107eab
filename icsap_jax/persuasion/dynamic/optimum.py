"""The exact best of a sender over time, twice and in float64: by a linear programme over the tree of histories, and for two states by a
dynamic programme whose values are concave functions of one belief.

The programme's variables x(h,ω,a) are the joint probabilities of history, current state and recommendation. What flows into a history is
what was recommended on the way there, moved by the transitions, and at each (h, a) obedience is linear:

    maximise Σ x v   subject to   Σ_a x(∅,ω,a) = μ₀(ω),   Σ_a x(h·a′,ω,a) = Σ_ω′ x(h,ω′,a′) P(ω′,ω),
                                  Σ_ω x(h,ω,a) (u(ω,a) − u(ω,b) − margin) ≥ 0

With two states a belief is a number q. What can be had from period t on, V_t(q), is the concave envelope of what each action brings where
the receiver takes it, v_t(q, a) + V_{t+1}(q P), all of them piecewise linear, so that a list of corners is exact (Kamenica & Gentzkow
2011 period by period; Ely 2017; Renault, Solan & Vieille 2017).

Any multipliers λ ≥ 0 prove an upper bound, from the last period back:

    UB(ω,h) = max_a [v + Σ_b λ_hab (u_a − u_b) + Σ_ω′ P(ω,ω′) UB(ω′,h·a)]
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from icsap_jax.config import ConfigError
from icsap_jax.exact.lp import Infeasible, solve
from icsap_jax.persuasion.dynamic.problem import Tree, tables

LARGEST = 20_000  # variables of a programme over histories that is solved in seconds
FLAT = 1e-12  # by how much a corner must stand out, as a share of the values' size


@dataclass(frozen=True)
class Game:
    """The tables of a problem file: `prior` [S], `transitions` [S, S], `sender` and `receiver` [T, S, A]."""

    prior: np.ndarray
    transitions: np.ndarray
    sender: np.ndarray
    receiver: np.ndarray

    @cached_property
    def tree(self) -> Tree:
        """The histories."""
        return Tree(self.receiver.shape[2], len(self.receiver))

    @property
    def variables(self) -> int:
        """H·S·A."""
        return self.tree.size * self.receiver.shape[1] * self.receiver.shape[2]

    @property
    def advantage(self) -> np.ndarray:
        """u_t(ω,a) − u_t(ω,b), [T, A, A, S] by (a, b)."""
        by_action = np.swapaxes(self.receiver, 1, 2)
        return by_action[:, :, None] - by_action[:, None]


@dataclass(frozen=True)
class History:
    """A scheme for the whole tree: its `value`; the `joint` probabilities [H, S, A]; `obedience` [H, A, A], the multipliers on
    (recommended, deviation) after each history."""

    value: float
    joint: np.ndarray
    obedience: np.ndarray


def game(model: Any) -> Game:
    """The tables of a problem file."""
    return Game(*tables(model))


def best_history(given: Game, margin: float = 0.0) -> History:
    """The best of all schemes that are obeyed with at least `margin` to spare at every information set, by HiGHS. Raises
    `exact.lp.Infeasible` where none leaves that margin."""
    tree = given.tree
    _, states, actions = given.receiver.shape
    number = np.arange(given.variables).reshape(tree.size, states, actions)
    flow = sparse.lil_matrix((tree.size * states, given.variables))
    for history in range(tree.size):
        rows = history * states + np.arange(states)
        flow[rows[:, None], number[history]] = 1.0
        if history:
            parent, action = divmod(history - 1, actions)
            flow[rows[:, None], number[parent, :, action][None]] = -given.transitions.T
    inflow = np.concatenate([given.prior, np.zeros((tree.size - 1) * states)])
    pairs = [(a, b) for a in range(actions) for b in range(actions) if a != b]
    sets = [(history, a, b) for history in range(tree.size) for a, b in pairs]
    advantage = given.advantage
    rows = np.repeat(np.arange(len(sets)), states)
    columns = np.concatenate([number[history, :, a] for history, a, _ in sets]) if sets else np.zeros(0, int)
    gains = [margin - advantage[tree.period[history], a, b] for history, a, b in sets]
    disobedience = sparse.csr_matrix((np.concatenate(gains) if sets else np.zeros(0), (rows, columns)), (len(sets), given.variables))
    found = solve(
        given.sender.reshape(len(given.sender), -1)[tree.period].ravel(), at_most=(disobedience, np.zeros(len(sets))) if sets else None,
        equal=(flow.tocsr(), inflow), maximise=True,
    )  # fmt: skip
    obedience = np.zeros((tree.size, actions, actions))
    for place, dual in zip(sets, found.duals_at_most, strict=True):
        obedience[place] = max(dual, 0.0)
    return History(found.value, found.x.reshape(tree.size, states, actions), obedience)


def best_alone(prior: np.ndarray, sender: np.ndarray, receiver: np.ndarray, margin: float = 0.0) -> History:
    """The same for one period of a prior [S] and utilities [S, A]: joint [1, S, A]. Raises `exact.lp.Infeasible`."""
    return best_history(Game(prior, np.eye(len(prior)), sender[None], receiver[None]), margin)


def upper_bound(given: Game, obedience: np.ndarray) -> float:
    """What no obedient scheme exceeds, whatever the multipliers [H, A, A] ≥ 0 are, by going back through the tree."""
    tree, horizon = given.tree, len(given.receiver)
    _, states, actions = given.receiver.shape
    ahead = np.zeros((actions**horizon, states))
    for number in reversed(range(horizon)):
        period = tree.periods[number]
        charged = np.einsum("hab,abs->has", np.maximum(obedience[period], 0.0), given.advantage[number])
        later = (ahead @ given.transitions.T).reshape(-1, actions, states)
        ahead = (given.sender[number].T[None] + charged + later).max(1)
    return float(ahead[0] @ given.prior)


@dataclass(frozen=True)
class Envelope:
    """A concave piecewise linear function of the belief in the second of two states, by its corners `beliefs` and `values` [C]."""

    beliefs: np.ndarray
    values: np.ndarray

    def __call__(self, belief: Any) -> np.ndarray:
        return np.interp(belief, self.beliefs, self.values)


def envelopes(given: Game) -> list[Envelope]:
    """What the sender can have from each period on, T functions of the receivers' belief at its beginning; two states only."""
    found: list[Envelope] = []
    for number in reversed(range(len(given.receiver))):
        following = found[0] if found else Envelope(np.array([0.0, 1.0]), np.zeros(2))
        points = corners(given, number, following)
        found.insert(0, upper_hull(*points))
    return found


def corners(given: Game, number: int, following: Envelope) -> tuple[np.ndarray, np.ndarray]:
    """(beliefs, values): the corners of what each action brings in period `number` where the receiver takes it, ties for the sender,
    when `following` is to be had afterwards."""
    stay, come = given.transitions[1, 1], given.transitions[0, 1]
    drift = stay - come  # a belief q becomes come + drift·q
    inner = (following.beliefs - come) / drift if drift else np.zeros(0)
    beliefs, values = [], []
    for action in range(given.receiver.shape[2]):
        low, high = obeyed_between(given.advantage[number, action])
        if low > high:
            continue
        at = np.concatenate([[low, high], inner[(inner > low) & (inner < high)]])
        beliefs.append(at)
        now = (1 - at) * given.sender[number, 0, action] + at * given.sender[number, 1, action]
        values.append(now + following(come + drift * at))
    return np.concatenate(beliefs), np.concatenate(values)


def obeyed_between(advantage: np.ndarray) -> tuple[float, float]:
    """The beliefs in [low, high] at which an action with these advantages [A, 2] over the others is a best reply; low > high: none."""
    low, high = 0.0, 1.0
    for first, second in advantage:
        if first < 0 and second < 0:
            return 1.0, 0.0
        if first < 0:
            low = max(low, first / (first - second))
        elif second < 0:
            high = min(high, first / (first - second))
    return low, high


def upper_hull(beliefs: np.ndarray, values: np.ndarray) -> Envelope:
    """The least concave function above points, by their corners from the left (Andrew's monotone chain)."""
    order = np.lexsort((-values, beliefs))
    size = FLAT * max(1.0, np.abs(values).max())
    kept: list[tuple[float, float]] = []
    for belief, value in zip(beliefs[order], values[order], strict=True):
        if kept and belief <= kept[-1][0]:
            continue
        while len(kept) > 1:
            (x0, y0), (x1, y1) = kept[-2:]
            if (y1 - y0) * (belief - x0) > (value - y0) * (x1 - x0) + size * (belief - x0):
                break
            kept.pop()
        kept.append((belief, value))
    return Envelope(*(np.array(each) for each in zip(*kept, strict=True)))


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any] | None:
    """{"value", "method", "source", "upper_bound"}: the sender's expected utility over all periods without any margin, and the bound that
    the programme's multipliers prove. Two states need no programme, and a tree too large for one leaves them without that bound; more
    states in such a tree: None."""
    given = game(model)
    two, small = len(given.prior) == 2, given.variables <= LARGEST
    if not two and not small:
        return None
    history = best_history(given) if small else None
    methods = [*(["dynamic programme by concave envelopes over beliefs"] if two else []), *(["programme over histories"] if small else [])]
    return {
        "value": float(envelopes(given)[0](given.prior[1])) if two else history.value,
        "method": " and ".join(methods),
        "source": "Kamenica & Gentzkow 2011; Ely 2017; Renault, Solan & Vieille 2017",
        "upper_bound": upper_bound(given, history.obedience) if history else None,
    }


def check(problem: Any, env: Any, config: Any) -> None:
    """Raise ConfigError where no scheme can be obeyed with the margin asked for."""
    given, margin = game(config.problem), config.problem.obedience_margin
    if margin == 0.0 or given.variables > LARGEST:
        return
    try:
        best_history(given, margin)
    except Infeasible:
        raise ConfigError(
            f"{config.source}: problem.obedience_margin = {margin:g}: whatever the sender says, after some history no action is "
            "better than every other by that much; ask for less."
        ) from None
