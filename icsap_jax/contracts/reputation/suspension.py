"""Reputation that can end everything: the AI is switched off for good after the first period that leaves r_t below a limit, and from
then on nobody gets anything. Now what is best in a period depends on the reputation it is entered with, and the agent plans ahead.

Reputations are kept exactly: every history has its own, so the agent's situations are the nodes of a tree, and its utility of an action
at a node is what follows from it when it plans best from there on (backward induction). That no single deviation at any node gains is
then the same as that the plan is optimal. Letters: P periods, S states, T types, A actions; a level t of the tree is [T, H, S, A] with
H = (S·A)^(t−1) histories, and all levels together have I situations [T·ΣH·S].

Reputations jump over the limit or do not, so the incentive has a gradient only through what reputation is worth by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule, Tree
from icsap_jax.contracts.reputation.exact import Exact, Terms

# A reputation this near to the limit, relative to it, keeps the agent on: sums in another order round otherwise.
AT_THE_LIMIT = 1e-9


@register_dataclass
@dataclass(frozen=True)
class SuspensionEnv:
    """The numbers, numpy and float64: `utility` and `value` [T, S, A], `seen` [S, A] (what the human pays by), the priors [S] and [T],
    and λ, δ, r₀, the limit and κ as `decay`, `discount`, `initial`, `limit`, `cost` []."""

    utility: Array
    value: Array
    seen: Array
    state_prior: Array
    type_prior: Array
    decay: Array
    discount: Array
    initial: Array
    limit: Array
    cost: Array

    @classmethod
    def of(cls, exact: Exact) -> SuspensionEnv:
        """From the problem in float64."""
        numbers = (exact.decay, exact.discount, exact.initial, lowest(exact), exact.cost)
        return cls(exact.utility.swapaxes(0, 1), exact.value.swapaxes(0, 1), exact.seen, exact.state_prior, exact.type_prior,
                   *map(np.asarray, numbers))  # fmt: skip


def lowest(exact: Exact) -> float:
    """The lowest reputation that keeps the agent on."""
    return exact.suspend_below - AT_THE_LIMIT * (1 + abs(exact.suspend_below))


@register_dataclass
@dataclass(frozen=True)
class Plan:
    """`incentive` [S, A]; level by level whether the agent is on, `on` [H], and the utility of each action with the best plan after
    it, `utility` [T, H, S, A], 0 where it is off."""

    incentive: Array
    on: list[Array]
    utility: list[Array]


@dataclass(frozen=True)
class WithSuspension:
    """`periods`, `states`, `types`, `actions`; `counts`: whether reputation is part of the agent's utility."""

    periods: int
    states: int
    types: int
    actions: int
    terms: Terms
    counts: bool
    agents: int = 1
    margin: float = 0.0
    rowwise: bool = False
    objective: tuple[str, ...] = ("human",)

    @property
    def situations(self) -> int:
        """I."""
        return self.types * self.states * sum((self.states * self.actions) ** period for period in range(self.periods))

    def draw(self, env: SuspensionEnv, key: Array, count: int) -> Draw:
        """Every type, [T], with its probability; states are summed over along the tree."""
        return Draw(weight=jnp.asarray(env.type_prior), types=None)

    def space(self, env: SuspensionEnv, draw: Draw) -> Finite:
        """All actions in every situation, [1, 1, A]."""
        return Finite(mask=jnp.ones((1, 1, self.actions), bool))

    def recommended(self, env: SuspensionEnv, draw: Draw) -> None:
        """Nobody recommends: the agent does what is best for it."""
        return None

    def decide(self, env: SuspensionEnv, rule: Rule, seen: Tree, action: Array | None) -> Plan:
        """Reputations down the tree, and what the agent gets from each action back up it."""
        incentive = rule(env.seen)
        entered, on, after, kept = jnp.asarray(env.initial)[None], jnp.ones((1,), bool), [], []
        for _ in range(self.periods):
            left = env.decay * entered[:, None] + (1 - env.decay) * incentive.reshape(1, -1)  # [H, S·A]
            after.append(left.reshape(-1, self.states, self.actions))
            kept.append(on)
            on = (on[:, None] & (left >= env.limit)).ravel()
            entered = left.ravel()
        utilities: list[Array] = []
        following = jnp.zeros((self.types, entered.size))
        for reputation, on in zip(reversed(after), reversed(kept), strict=True):
            total = jnp.asarray(env.utility)[:, None] + env.discount * following.reshape(self.types, *reputation.shape)
            total = total + reputation[None] if self.counts else total
            total = jnp.where(on[None, :, None, None], total, 0.0)
            utilities.insert(0, total)
            # By place and not by `max`, whose slope compares numbers that a compiler may round in two ways, and is then 0/0.
            best = jnp.take_along_axis(total, jnp.argmax(total, -1, keepdims=True), -1)[..., 0]
            following = best @ env.state_prior  # [T, H]
        return Plan(incentive=incentive, on=kept, utility=utilities)

    def utility(self, env: SuspensionEnv, draw: Draw, decision: Plan, action: Array) -> Array:
        """With the best plan afterwards, […, I, 1], of actions […, I|1, 1, A]."""
        total = jnp.concatenate([level.reshape(-1, self.actions) for level in decision.utility])
        return (action * total.reshape(*[1] * (action.ndim - 3), -1, 1, self.actions)).sum(-1)

    def weight(self, env: SuspensionEnv, draw: Draw, decision: Plan) -> Array:
        """How likely each situation is under the best plan, [I, 1]; 0 where the agent is off."""
        best = [jax.nn.one_hot(jnp.argmax(level, -1), self.actions, dtype=level.dtype) for level in decision.utility]
        levels = self._reached(env, decision, best)
        return jnp.concatenate([level.ravel() for level in levels])[:, None]

    def score(self, env: SuspensionEnv, draw: Draw, decision: Plan, action: Array) -> Outcome:
        """What the human gets from each type [T]: Σ δ^{t−1} (v − κ g) while the agent is on."""
        sizes = [level.size // self.actions for level in decision.utility]
        cuts = np.cumsum([0, *sizes])
        taken = [action[start:end, 0].reshape(level.shape)
                 for start, end, level in zip(cuts[:-1], cuts[1:], decision.utility, strict=True)]  # fmt: skip
        value = paid = jnp.zeros((self.types,))
        for period, (reached, acts) in enumerate(zip(self._reached(env, decision, taken), taken, strict=True)):
            chances = env.discount**period * reached[..., None] * acts / jnp.asarray(env.type_prior)[:, None, None, None]
            value = value + jnp.einsum("thsa,tsa->t", chances, jnp.asarray(env.value))
            paid = paid + jnp.einsum("thsa,sa->t", chances, decision.incentive)
        human = value - env.cost * paid
        return Outcome(value=human, objectives={"human": human, "value": value, "paid": paid}, constraints={})

    def _reached(self, env: SuspensionEnv, decision: Plan, actions: list[Array]) -> list[Array]:
        """The probability of each situation, level by level [T, H, S], when `actions` [T, H, S, A] are taken."""
        reached = jnp.asarray(env.type_prior)[:, None]
        levels = []
        for on, taken in zip(decision.on, actions, strict=True):
            here = jnp.where(on[None], reached, 0.0)[..., None] * jnp.asarray(env.state_prior)[None, None]
            levels.append(here)
            reached = (here[..., None] * taken).reshape(self.types, -1)
        return levels


def best_plan(exact: Exact, incentive: np.ndarray) -> dict[str, Any]:
    """What follows from incentives [S, A], by recursion over reputations in float64, ties broken for the human: the expected
    `agent_value` (Σ δ^{t−1} u, and r where it counts), `human` (v − κ g), `good_actions` (how many are those the human values most),
    and for each type where there is one state the `actions`, until it is switched off, and the period after which it is."""
    limit, net, good = lowest(exact), exact.net(incentive), exact.seen.argmax(-1)
    states, types, actions = exact.utility.shape
    sums, paths = np.zeros(3), []
    for kind in range(types):
        known: dict[tuple[int, float], tuple[np.ndarray, list[int]]] = {}

        def follow(period: int, entered: float, kind: int = kind, known: dict = known) -> tuple[np.ndarray, list[int]]:
            """(agent's, human's and good actions' sums from here on, the action in each state)."""
            if (period, entered) in known:
                return known[period, entered]
            sums, choice = np.zeros(3), []
            for state in range(states):
                options = []
                for action in range(actions):
                    left = exact.decay * entered + (1 - exact.decay) * incentive[state, action]
                    now = [exact.utility[state, kind, action] + exact.counts * left, net[state, kind, action], action == good[state]]
                    later = np.zeros(3)
                    if period + 1 < exact.horizon and left >= limit:
                        later = follow(period + 1, left)[0] * [exact.discount, exact.discount, 1.0]
                    options.append(now + later)
                table = np.array(options, dtype=np.float64)
                tied = table[:, 0] >= table[:, 0].max() - 1e-9 * (1 + np.abs(table[:, 0]).max())
                choice.append(int(np.where(tied, table[:, 1], -np.inf).argmax()))
                sums = sums + exact.state_prior[state] * table[choice[-1]]
            known[period, entered] = sums, choice
            return known[period, entered]

        sums = sums + exact.type_prior[kind] * follow(0, exact.initial)[0]
        if states == 1:
            taken, entered = [], exact.initial
            while len(taken) < exact.horizon and (not taken or entered >= limit):
                taken.append(follow(len(taken), entered)[1][0])
                entered = exact.decay * entered + (1 - exact.decay) * incentive[0, taken[-1]]
            paths.append(taken)
    told = dict(zip(("agent_value", "human", "good_actions"), sums.tolist(), strict=True))
    ends = [len(path) if len(path) < exact.horizon else None for path in paths]
    if types == 1 and states == 1:
        return {**told, "actions": paths[0], "suspended_after": ends[0]}
    return {**told, "actions": paths or None, "suspended_after": ends or None}
