"""A finite persuasion game as numbers, float64, and the linear programme of its obedient schemes.

Signals are recommendations, one for each profile of what the receiver's types should do: J = Aᵀ profiles of T types, of which every
type takes its own part (the revelation principle of Kamenica & Gentzkow 2011 and Bergemann & Morris 2016). A scheme is the joint
probability x(ω, j) of state and recommendation. It is worth Σ x(ω, j) w(j, ω), its states add up to the prior, and every type obeys:

    Σ_ω x(ω, j) (u_t(ω, j_t) − u_t(ω, b) − margin) ≥ 0     for every j, t and b ≠ j_t

which concerns one recommendation at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from icsap_jax.bilevel.replies import TIE

MOST_SUBSETS = 5000  # choices of recommendations that are tried, where signals are few
UNSENT = 1e-18  # the mass of a signal below which it is never sent: float32 does not hold its square, by which slopes divide


@dataclass(frozen=True)
class Game:
    """`prior` [S], the utility of the `sender` [S, A] and of each type of the `receiver` [T, S, A], `type_prior` [T], the weight `cost`
    of a signal's mutual information with the state, in nats, and the `precision` of a quantal receiver, None of an exact one."""

    prior: np.ndarray
    sender: np.ndarray
    receiver: np.ndarray
    type_prior: np.ndarray
    cost: float = 0.0
    precision: float | None = None

    @classmethod
    def single(cls, prior: np.ndarray, sender: np.ndarray, receiver: np.ndarray) -> Game:
        """One receiver of one type, utilities [S, A], nothing costs."""
        return cls(prior, sender, receiver[None], np.ones(1))

    @property
    def types(self) -> int:
        """T."""
        return len(self.type_prior)

    @property
    def actions(self) -> int:
        """A."""
        return self.sender.shape[1]

    def profiles(self) -> np.ndarray:
        """What each recommendation asks of each type, [J, T]; the last type's action changes first."""
        return profiles_of(self.actions, self.types)

    def worth(self, profiles: np.ndarray) -> np.ndarray:
        """What profiles [J, T] are worth to the sender in each state, [J, S]."""
        return np.einsum("t,sjt->js", self.type_prior, self.sender[:, profiles])

    def obedience(self, profiles: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """u_t(ω, j_t) − u_t(ω, b) − margin for each profile, [J, T·A, S]; 0 where b is what is recommended."""
        types = np.arange(self.types)
        own = self.receiver[types, :, profiles]  # [J, T, S]
        lead = own[:, :, None] - np.swapaxes(self.receiver, 1, 2)[None] - margin  # [J, T, A, S]
        other = profiles[:, :, None] != np.arange(self.actions)
        return np.where(other[..., None], lead, 0.0).reshape(len(profiles), -1, len(self.prior))


def profiles_of(actions: int, types: int) -> np.ndarray:
    """Every profile of T types' actions, [J, T]."""
    return np.array(list(itertools.product(range(actions), repeat=types)))


def game_of(model: Any) -> Game:
    """The numbers of a problem file, the probabilities summing to one."""
    prior, sender, receiver = (np.asarray(table, np.float64) for table in (model.prior, model.sender, model.receiver))
    receiver = receiver if receiver.ndim == 3 else receiver[None]
    types = np.ones(1) if model.receiver_types is None else np.asarray(model.receiver_types, np.float64)
    cost = 0.0 if model.signal_cost is None else float(model.signal_cost.per_nat)
    return Game(prior / prior.sum(), sender, receiver, types / types.sum(), cost, model.receiver_response.quantal)


def best_reply_value(
    joint: np.ndarray, sender: np.ndarray, receiver: np.ndarray, ties: Literal["for", "against"], tolerance: float = TIE
) -> float:
    """What the sender gets when a receiver best-replies to each of the signals with joint probabilities [S, Z] with the states;
    actions within `tolerance` of the best, as a share of the range of its payoffs, are ties, broken `for` or `against` the sender.
    Utilities [S, A]."""
    joint = joint[:, joint.sum(0) > 0]
    expected = joint.T @ receiver / joint.sum(0)[:, None]  # [Z, A], at the posterior
    tied = expected >= expected.max(1, keepdims=True) - tolerance * np.ptp(receiver)
    if ties == "for":
        return float(np.where(tied, joint.T @ sender, -np.inf).max(1).sum())
    return float(np.where(tied, joint.T @ sender, np.inf).min(1).sum())


def scheme_value(game: Game, joint: np.ndarray, ties: Literal["for", "against"]) -> float:
    """What any scheme of signals [S, Z] earns the sender, its cost paid, when all types reply as the game says they do."""
    if game.precision is None:
        earned = sum(
            share * best_reply_value(joint, game.sender, own, ties) for share, own in zip(game.type_prior, game.receiver, strict=True)
        )
    else:
        earned = quantal_value(game, joint)
    return float(earned - game.cost * information(joint))


def quantal_value(game: Game, joint: np.ndarray) -> float:
    """What a scheme [S, Z] earns from receivers who play softmax(precision × expected utility)."""
    mass = joint.sum(0)
    joint = joint[:, mass > 0]
    belief = joint / mass[mass > 0]
    scores = game.precision * np.einsum("sz,tsa->tza", belief, game.receiver)
    play = np.exp(scores - scores.max(-1, keepdims=True))
    play /= play.sum(-1, keepdims=True)
    return float(np.einsum("t,tza,sz,sa->", game.type_prior, play, joint, game.sender))


def information(joint: np.ndarray) -> float:
    """The mutual information of signal and state, nats, of joint probabilities [S, Z]: H(prior) − E H(posterior)."""
    return float(entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint.ravel()))


def entropy(probabilities: np.ndarray) -> float:
    """−Σ p log p, nats."""
    kept = probabilities[probabilities > 0]
    return float(-(kept * np.log(kept)).sum())


def subsets(profiles: int, signals: int) -> Sequence[tuple[int, ...]] | None:
    """Every choice of `signals` of the profiles; None where there are too many."""
    chosen = list(itertools.islice(itertools.combinations(range(profiles), signals), MOST_SUBSETS + 1))
    return None if len(chosen) > MOST_SUBSETS else chosen
