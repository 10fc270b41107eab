"""The programme over histories from both sides at once: a scheme for the whole tree and the prices of obedience everywhere in it.

The primal-dual interior-point method of `bilevel.primal_dual` (Mehrotra's predictor and corrector, 1992), for masses that flow: what
comes to a history is what was recommended on the way there, moved by the transitions. Each step's one system in the prices of these
masses has the shape of the tree, and is solved by eliminating periods from the last to the first, so that a step costs H·A small
systems of S equations. numpy, float64. As there, disobedience may be bought at a price no multiplier needs to reach.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from icsap_jax.persuasion.dynamic.optimum import Game

STEPS = 80
CLOSE = 1e-12  # complementarity at which to stop, as a share of what is at stake
TRICKLE = 1e-10  # the mass of a state that cannot be reached
LOST = 1e-9  # mass that a step near the end may lose; after one that loses more, rounding has the word
ELASTIC = 1e4  # the price of a unit of disobedience, as a multiple of the range of what is at stake
PRIMAL, DUAL = ("x", "slack", "bought"), ("short", "multiplier", "spare")  # what goes to zero in pairs
SMALL = 1e-6  # a smaller range of the sender's utility, as a share of its size, is none
SHORT_OF_THE_WALL = 0.9995  # the share of the way to the boundary that a step goes


@dataclass(frozen=True)
class _Point:
    """All that moves: `x` [H, A, S] and what each is `short` of its price; `price` [H, S] of the masses; obedience's `slack` and its
    `multiplier`, the disobedience `bought`, and by how much what that costs exceeds the multiplier, `spare`, [H, A, A − 1] each."""

    x: np.ndarray
    short: np.ndarray
    price: np.ndarray
    slack: np.ndarray
    multiplier: np.ndarray
    bought: np.ndarray
    spare: np.ndarray


@dataclass(frozen=True)
class _Programme:
    """`worth` [H, A, S] and `obedience` [H, A, A − 1, S], both of size one, on the tree of a `game`; `given` [H, S], what comes to each
    history from nowhere: the prior, and a trickle to states that cannot be reached, so that their masses have an interior."""

    worth: np.ndarray
    obedience: np.ndarray
    game: Game
    given: np.ndarray

    def into(self, x: np.ndarray) -> np.ndarray:
        """What comes to each history, [H, S]."""
        inner = (len(x) - 1) // x.shape[1]
        come = self.given.copy()
        come[1:] += x[:inner].reshape(-1, x.shape[2]) @ self.game.transitions
        return come

    def pull(self, price: np.ndarray) -> np.ndarray:
        """What a unit of each variable draws on the masses at these prices [H, S], [H, A, S]."""
        actions = self.worth.shape[1]
        inner = (len(price) - 1) // actions
        drawn = np.repeat(price[:, None], actions, axis=1)
        drawn[:inner] -= (price[1:] @ self.game.transitions.T).reshape(inner, actions, price.shape[1])
        return drawn

    def lacks(self, x: np.ndarray) -> np.ndarray:
        """What is not recommended of what comes, [H, S]."""
        return self.into(x) - x.sum(1)

    def obeys(self, x: np.ndarray) -> np.ndarray:
        """By how much obeying beats each other action, [H, A, A − 1]."""
        return np.einsum("hakn,han->hak", self.obedience, x)


def solve(given: Game, margin: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(joint [H, S, A], multipliers [H, A, A] ≥ 0 on (recommended, deviation)) of the best scheme obeyed with `margin` to spare. What
    comes out solves the programme as far as rounding lets it; nothing is raised."""
    tree, actions = given.tree, given.receiver.shape[2]
    if actions == 1:
        joint = given.prior
        held = []
        for period in tree.periods:
            held.append(np.repeat(joint[None, :, None], period.stop - period.start, axis=0))
            joint = joint @ given.transitions
        return np.concatenate(held), np.zeros((tree.size, 1, 1))
    others = np.array([[b for b in range(actions) if b != a] for a in range(actions)])
    advantage = given.advantage[:, np.arange(actions)[:, None], others] - margin  # [T, A, A − 1, S]
    worth = np.swapaxes(given.sender, 1, 2)
    size, stake = max(np.ptp(worth), SMALL * np.abs(worth).max()) or 1.0, np.abs(advantage).max() or 1.0
    marginal = [given.prior]
    for _ in range(tree.horizon - 1):
        marginal.append(marginal[-1] @ given.transitions)
    comes = np.where(np.stack(marginal) > 0, 0.0, TRICKLE)[tree.period]
    comes[0] = given.prior
    programme = _Programme(worth[tree.period] / size, advantage[tree.period] / stake, given, comes)
    point = _begin(programme)
    for _ in range(STEPS):
        try:
            moved, gap = _step(programme, point)
        except np.linalg.LinAlgError:
            break
        lost = np.abs(programme.lacks(moved.x)).max()
        if not all(np.isfinite(leaf).all() for leaf in vars(moved).values()) or (lost > LOST and gap < LOST):
            break
        point = moved
        if gap < CLOSE:
            break
    multipliers = np.zeros((tree.size, actions, actions))
    np.put_along_axis(multipliers, np.broadcast_to(others, point.multiplier.shape), size / stake * point.multiplier, axis=2)
    return np.swapaxes(point.x, 1, 2), multipliers


def _begin(programme: _Programme) -> _Point:
    """Every recommendation equally likely, and room on all sides."""
    x = np.zeros_like(programme.worth)
    for period in programme.game.tree.periods:
        x[period] = programme.into(x)[period][:, None] / x.shape[1]
    slack = programme.obeys(x)
    bought = np.maximum(-slack, 0.0) + x.mean()
    multiplier = np.ones_like(slack)
    worth = programme.worth + np.einsum("hak,hakn->han", multiplier, programme.obedience)
    left = programme.game.tree.horizon - programme.game.tree.period  # a price for every period still to come
    price = np.repeat((left * (worth.max() + 1.0))[:, None], x.shape[2], axis=1)
    short = np.maximum(programme.pull(price) - worth, 1.0)
    return _Point(x, short, price, np.maximum(slack + bought, x.mean()), multiplier, bought, ELASTIC - multiplier)


def _step(programme: _Programme, at: _Point) -> tuple[_Point, float]:
    """One predictor and corrector, and the mean complementarity it started from."""
    G = programme.obedience
    off_worth = programme.worth + np.einsum("hak,hakn->han", at.multiplier, G) - programme.pull(at.price) + at.short
    off_slack, off_spare, off_mass = programme.obeys(at.x) + at.bought - at.slack, ELASTIC - at.multiplier - at.spare, programme.lacks(at.x)
    room = at.x / at.short
    # The multipliers' own system: eliminated the other way round, a scheme's 1e-12 would be lost beside obedience's 1e12.
    reply = np.linalg.inv(np.einsum("hakn,han,haln->hakl", G, room, G) + _diagonal(at.slack / at.multiplier + at.bought / at.spare))
    moved_by = np.einsum("hakn,han->hakn", G, room)
    system = _Masses(programme, _diagonal(room) - np.einsum("hakn,hakl,halm->hanm", moved_by, reply, moved_by))

    def respond(h: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(dx, dl) where a unit of each variable is worth r more and obedience is h short, at given prices of masses."""
        dl = np.einsum("hakl,hal->hak", reply, h - programme.obeys(room * r))
        return room * (r + np.einsum("hak,hakn->han", dl, G)), dl

    def direction(x_short: Any, slack_multiplier: Any, bought_spare: Any) -> _Point:
        """Newton's step to where the pairs have these products."""
        slack = slack_multiplier / at.multiplier - at.slack
        bought = bought_spare / at.spare - at.bought
        h = slack - bought + at.bought * off_spare / at.spare - off_slack
        r = x_short / at.x - at.short + off_worth
        own, _ = respond(h, r)
        price = system.solve(-(programme.lacks(own) - programme.lacks(np.zeros_like(own))) - off_mass)
        dx, multiplier = respond(h, r - programme.pull(price))
        spare = off_spare - multiplier
        short = x_short / at.x - at.short - at.short / at.x * dx
        slack, bought = slack - at.slack / at.multiplier * multiplier, bought - at.bought / at.spare * spare
        return _Point(dx, short, price, slack, multiplier, bought, spare)

    aim = direction(0.0, 0.0, 0.0)
    primal, dual = _reach(at, aim)
    now = sum((one * other).sum() for one, other in _pairs(at))
    moves = zip(_pairs(at), _pairs(aim), strict=True)
    then = sum(((one + primal * step) * (other + dual * move)).sum() for (one, other), (step, move) in moves)
    pairs = at.x.size + 2 * at.slack.size
    centre = (max(then, 0.0) / now) ** 3 * now / pairs
    step = direction(*(centre - one * other for one, other in _pairs(aim)))
    primal, dual = (SHORT_OF_THE_WALL * length for length in _reach(at, step))
    lengths = {**dict.fromkeys(PRIMAL, primal), **dict.fromkeys(DUAL, dual), "price": dual}
    moved = replace(at, **{name: getattr(at, name) + length * getattr(step, name) for name, length in lengths.items()})
    return moved, now / pairs


def _diagonal(entries: np.ndarray) -> np.ndarray:
    """Matrices with these entries [..., n] on their diagonals."""
    return entries[..., None] * np.eye(entries.shape[-1])


def _pairs(at: _Point) -> list[tuple[np.ndarray, np.ndarray]]:
    """What goes to zero together."""
    return [(getattr(at, one), getattr(at, other)) for one, other in zip(PRIMAL, DUAL, strict=True)]


def _reach(at: _Point, step: _Point) -> tuple[float, float]:
    """The longest steps ≤ 1 of the scheme and of the prices after which all that must be is still ≥ 0."""

    def longest(names: tuple[str, ...]) -> float:
        falling = [(getattr(at, name), getattr(step, name)) for name in names]
        return float(min(np.min(-value[move < 0] / move[move < 0], initial=1.0) for value, move in falling))

    return longest(PRIMAL), longest(DUAL)


class _Masses:
    """The system in the prices of masses, L D Lᵀ with D = `inverse` [H, A, S, S] block by block, factored along the tree."""

    def __init__(self, programme: _Programme, inverse: np.ndarray):
        self.tree, P = programme.game.tree, programme.game.transitions
        actions, states = inverse.shape[1:3]
        inner = (self.tree.size - 1) // actions
        own = inverse.sum(1)
        own[1:] += (P.T @ inverse[:inner] @ P).reshape(-1, states, states)
        self.down = np.zeros_like(own)  # what a unit of price of a history takes from its parent's equation
        self.down[1:] = -(inverse[:inner] @ P).reshape(-1, states, states)
        self.inverse = np.empty_like(own)
        for number in reversed(range(self.tree.horizon)):
            period = self.tree.periods[number]
            self.inverse[period] = np.linalg.inv(0.5 * (own[period] + np.swapaxes(own[period], 1, 2)))
            if number:
                taken = self.down[period] @ self.inverse[period] @ np.swapaxes(self.down[period], 1, 2)
                own[self.tree.periods[number - 1]] -= taken.reshape(-1, actions, states, states).sum(1)

    def solve(self, right: np.ndarray) -> np.ndarray:
        """The prices [H, S] for a right-hand side [H, S]."""
        right, tree = right.copy(), self.tree
        for number in reversed(range(1, tree.horizon)):
            period = tree.periods[number]
            taken = np.einsum("hnm,hmk,hk->hn", self.down[period], self.inverse[period], right[period])
            right[tree.periods[number - 1]] -= taken.reshape(-1, tree.actions, taken.shape[1]).sum(1)
        price = np.empty_like(right)
        price[:1] = np.einsum("hnm,hm->hn", self.inverse[:1], right[:1])
        for number in range(1, tree.horizon):
            period = tree.periods[number]
            above = np.repeat(price[tree.periods[number - 1]], tree.actions, axis=0)
            left = right[period] - np.einsum("hmn,hm->hn", self.down[period], above)
            price[period] = np.einsum("hnm,hm->hn", self.inverse[period], left)
        return price
