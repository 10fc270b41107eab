"""Incentives through reputation exactly, in float64 (Zhang et al. 2024, equations 13–18, corrected as in docs/equations.md).

r_t = λ r_{t−1} + (1−λ) g_t is a weighted sum of incentives, so that over T periods the agent's Σ δ^{t−1} (u_t + r_t) is

    Σ_s δ^{s−1} (u_s + w_s g_s) + r₀ Σ_t δ^{t−1} λ^t,      w_s = (1−λ) (1 − (δλ)^{T−s+1}) / (1 − δλ)

and where reputation never ends anything it maximises u + w_s g in each period s by itself, whatever came before. For ever: w =
(1−λ)/(1−δλ). Letters: P periods told apart (1 for ever), S states, T types, A actions; tables of situations are [P, S, T, …].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.deviations import double

TIE = 1e-6  # as in bilevel.replies: actions this near to the best, as a share of the range of payoffs, are ties


@dataclass(frozen=True)
class Exact:
    """`utility` u and `value` v [S, T, A]; `seen` [S, A], v's mean over types, which is what the human can pay by; `mass` [P, S, T]
    of situations, discounted and summing to one, and `scale`, the sum of discounts; `period` w [P]; `cost` κ; `least` incentive or
    None; r₀ as `initial`; the rest as in the problem file, `horizon` None for ever."""

    utility: np.ndarray
    value: np.ndarray
    seen: np.ndarray
    mass: np.ndarray
    scale: float
    period: np.ndarray
    cost: float
    least: float | None
    initial: float
    decay: float
    discount: float
    horizon: int | None
    state_prior: np.ndarray
    type_prior: np.ndarray
    suspend_below: float | None
    counts: bool

    def total(self, incentive: np.ndarray) -> np.ndarray:
        """u + w g, [P, S, T, A], of incentives [S, A]."""
        return self.utility + self.period[:, None, None, None] * incentive[:, None]

    def net(self, incentive: np.ndarray) -> np.ndarray:
        """v − κ g, [S, T, A]."""
        return self.value - self.cost * incentive[:, None]

    def reply(self, incentive: np.ndarray) -> np.ndarray:
        """What the agent does, [P, S, T], ties broken for the human."""
        total = self.total(incentive)
        tied = total >= total.max(-1, keepdims=True) - TIE * np.ptp(total)
        return np.where(tied, self.net(incentive), -np.inf).argmax(-1)

    def expected(self, table: np.ndarray, actions: np.ndarray) -> float:
        """Σ_t δ^{t−1} E of a table [S, T, A] under actions [P, S, T]."""
        taken = np.take_along_axis(np.broadcast_to(table, (*actions.shape, table.shape[-1])), actions[..., None], -1)[..., 0]
        return float(self.scale * (self.mass * taken).sum())

    def worth(self, incentive: np.ndarray) -> float:
        """F of incentives [S, A]: Σ_t δ^{t−1} E[v − κ g], the agent doing what is best for it."""
        return self.expected(self.net(incentive), self.reply(incentive))


def of_model(model: Any) -> Exact:
    """From a checked problem file."""
    types, states, actions = model.shape
    state_prior, type_prior = (np.ones(1) if prior is None else prior.values / prior.values.sum()
                               for prior in (model.state_prior, model.type_prior))  # fmt: skip
    utility, value = (table.values.reshape(types, states, actions).swapaxes(0, 1) for table in (model.agent_utility, model.human_value))
    decay, discount, horizon = float(model.decay), float(model.discount), model.horizon
    period = effective_weights(decay, discount, horizon)
    shares = np.power(discount, np.arange(len(period)))
    scale = 1 / (1 - discount) if horizon is None else shares.sum()
    return Exact(
        utility=utility, value=value, seen=np.einsum("sta,t->sa", value, type_prior),
        mass=np.einsum("p,s,t->pst", shares / shares.sum(), state_prior, type_prior), scale=float(scale), period=period,
        cost=float(model.payment_cost), least=model.least_incentive, initial=float(model.initial), decay=decay, discount=discount,
        horizon=horizon, state_prior=state_prior, type_prior=type_prior, suspend_below=model.suspend_below, counts=model.reputation_counts,
    )  # fmt: skip


@dataclass(frozen=True)
class Terms:
    """What a rule must know before it is built: the `least` incentive or None, the `unit` incentives are of the order of, the `values`
    there are to pay for, rising, and what the human expects of the `best` and of the `worst` action in every state."""

    least: float | None
    unit: float
    values: tuple[float, ...]
    best: float
    worst: float

    @classmethod
    def of(cls, exact: Exact) -> Terms:
        """The unit is the range of the agent's own utility, in a period of median weight."""
        spread = float(np.ptp(exact.utility)) or 1.0
        return cls(
            least=exact.least, unit=spread / float(np.median(exact.period)), values=tuple(np.unique(exact.seen).tolist()),
            best=float(exact.state_prior @ exact.seen.max(1)), worst=float(exact.state_prior @ exact.seen.min(1)),
        )  # fmt: skip


def effective_weights(decay: float, discount: float, horizon: int | None) -> np.ndarray:
    """w [P]: what a unit of incentive in each period is worth to the agent in that period's money; one number for ever."""
    lasting = discount * decay
    if horizon is None:
        return np.array([(1 - decay) / (1 - lasting)])
    return (1 - decay) * (1 - np.power(lasting, np.arange(horizon, 0, -1.0))) / (1 - lasting)


def slope_thresholds(exact: Exact) -> np.ndarray:
    """[P] the least k at which g = k·v makes the agent do what the human values most, in every state and for every type; ∞ where no k
    does."""
    best = exact.seen.argmax(-1)
    lost = exact.utility - np.take_along_axis(exact.utility, best[:, None, None], -1)  # [S, T, A], what the agent would give up
    gained = np.take_along_axis(exact.seen, best[:, None], -1) - exact.seen  # [S, A]
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(lost > 0, lost / gained[:, None], 0.0)
    return np.max(needed) / exact.period


def final_reputation(exact: Exact, incentive: np.ndarray, actions: np.ndarray) -> float:
    """E r_T after the last period of a finite horizon, by the recursion."""
    reputation = exact.initial
    chances = exact.state_prior[:, None] * exact.type_prior
    for taken in actions:
        paid = np.take_along_axis(np.broadcast_to(incentive[:, None], exact.utility.shape), taken[..., None], -1)[..., 0]
        reputation = exact.decay * reputation + (1 - exact.decay) * float((chances * paid).sum())
    return float(reputation)


def agent_value(exact: Exact, incentive: np.ndarray, actions: np.ndarray) -> float:
    """E Σ δ^{t−1} (u_t + r_t) under actions [P, S, T]."""
    lasting = exact.discount * exact.decay
    kept = exact.decay / (1 - lasting)
    if exact.horizon is not None:
        kept *= 1 - lasting**exact.horizon
    total = exact.total(incentive)
    taken = np.take_along_axis(total, actions[..., None], -1)[..., 0]
    return float(exact.scale * (exact.mass * taken).sum() + exact.initial * kept)


def as_written(rule_model: Any, rule: Any, exact: Exact) -> np.ndarray:
    """The incentives [S, A] of a rule, in float64 where they are numbers of the problem file."""
    fixed = getattr(rule_model, "fixed", None)
    if fixed is not None:
        return np.broadcast_to(fixed.values, exact.seen.shape).copy()
    slope = getattr(rule_model, "slope", None)
    if slope is not None:
        return proportional(exact, slope)
    with jax.enable_x64(True):
        return np.asarray(jax.tree.map(jnp.asarray, double(rule))(exact.seen), np.float64)


def proportional(exact: Exact, slope: float) -> np.ndarray:
    """g = slope·v, never below the least, [S, A]."""
    return slope * exact.seen if exact.least is None else np.maximum(slope * exact.seen, exact.least)
