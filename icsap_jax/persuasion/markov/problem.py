"""A Markov persuasion process: everybody sees the state, the sender alone sees what is drawn in it, and recommends an action to a
receiver who lives for one step (Wu et al. 2022; Gan et al. 2022).

The rule is a table of recommendations for every state and outcome, with a horizon one for every step, else one for ever: the layers L.
Nothing is sampled. An information set is a layer, a state and a recommendation; what the receiver then believes of the outcome depends
on this state's table alone, and how often it is reached, on all. What it does decides where the process goes on, so that F is no
linear function of it: F comes backwards from the last step, or out of one linear system, V = r + γ K V. Letters: S states of the
process, O outcomes, A actions, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule
from icsap_jax.persuasion.rules import FAINT
from icsap_jax.persuasion.tables import UNSENT


@register_dataclass
@dataclass(frozen=True)
class MarkovEnv:
    """The numbers: `state_prior` [S, O] of the outcomes; utilities of the `sender` and the `receiver` in a step, [S, O, A];
    `transitions` [S, O, A, S]; `start` [S]; `discount` []. numpy float64."""

    state_prior: Array
    sender: Array
    receiver: Array
    transitions: Array
    start: Array
    discount: Array


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`signal` [L, S, O, A]: the probability of each recommendation for each outcome; `mass` [L, S, A]: given the state;
    `posterior` [L, S, A, O]: the belief over outcomes after each, the prior where it is never made; `occupancy` [L, S]: how often, with
    the weight of its step, a state is reached when all obey; it sums to one."""

    signal: Array
    mass: Array
    posterior: Array
    occupancy: Array


@dataclass(frozen=True)
class MarkovPersuasion:
    """S states, O outcomes, A actions; `horizon` steps, None: for ever; `margin`: by how much obeying must beat every other action at
    each information set."""

    states: int
    outcomes: int
    actions: int
    horizon: int | None
    margin: float = 0.0
    agents: int = 1
    rowwise: bool = False
    objective: tuple[str, ...] = ("sender",)
    committed: ClassVar[bool] = True

    @property
    def layers(self) -> int:
        """L: tables of recommendations."""
        return self.horizon or 1

    @property
    def tables(self) -> tuple[int, int, int]:
        """L, S and O: where a recommendation is made."""
        return self.layers, self.states, self.outcomes

    def draw(self, env: MarkovEnv, key: Array, count: int) -> Draw:
        """Every state the process may start in, [S], with its probability. `key` and `count` are not needed."""
        return Draw(weight=jnp.asarray(env.start), types=None, seen=jnp.arange(self.layers * self.states * self.outcomes))

    def space(self, env: MarkovEnv, draw: Draw) -> Finite:
        """All actions at every information set, [1, 1, A]."""
        return Finite(mask=jnp.ones((1, 1, self.actions), bool))

    def recommended(self, env: MarkovEnv, draw: Draw) -> Array:
        """Obedience everywhere, [L·S·A, 1, A]."""
        return jnp.tile(jnp.eye(self.actions), (self.layers * self.states, 1))[:, None]

    def scale(self, env: MarkovEnv) -> Array:
        """The range of the receiver's payoffs, in which ties are measured."""
        return jnp.ptp(env.receiver)

    def decide(self, env: MarkovEnv, rule: Rule, seen: Array, action: Any) -> Decision:
        """What the sender says of every outcome, what that makes receivers believe, and where it leads when they obey."""
        signal = rule(seen).reshape(*self.tables, self.actions)
        joint = jnp.asarray(env.state_prior)[None, :, :, None] * signal
        mass = joint.sum(2)
        # The inner `where` keeps 0/0 out of the gradient, the outer one out of the value.
        belief = jnp.swapaxes(joint, 2, 3) / jnp.where(mass > UNSENT, mass, 1.0)[..., None]
        prior = jnp.broadcast_to(jnp.asarray(env.state_prior)[None, :, None], belief.shape)
        posterior = jnp.where(mass[..., None] > UNSENT, belief, prior)
        moves = jnp.einsum("lsoa,soaq->lsq", joint, env.transitions)
        return Decision(signal=signal, mass=mass, posterior=posterior, occupancy=self._occupancy(env, moves))

    def _occupancy(self, env: MarkovEnv, moves: Array) -> Array:
        """How often each state is reached [L, S] by `moves` [L, S, S]."""
        start = jnp.asarray(env.start, moves.dtype)
        if self.horizon is None:
            system = jnp.eye(self.states, dtype=moves.dtype) - env.discount * moves[0].T
            return (1.0 - env.discount) * jnp.linalg.solve(system, start)[None]
        reached = [start]
        for layer in range(self.horizon - 1):
            reached.append(reached[-1] @ moves[layer])
        return jnp.stack(reached) / self.horizon

    def utility(self, env: MarkovEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """What the receiver of each information set expects, […, L·S·A, 1], from actions […, L·S·A|1, 1, A]."""
        expected = jnp.einsum("lszo,soa->lsza", decision.posterior, env.receiver)
        return (action * expected.reshape(*[1] * (action.ndim - 3), -1, 1, self.actions)).sum(-1)

    def weight(self, env: MarkovEnv, draw: Draw, decision: Decision) -> Array:
        """How often each information set is reached when all obey, discounted, as a share of all steps, [L·S·A, 1]: they sum to one."""
        return (decision.occupancy[..., None] * decision.mass).reshape(-1, 1)

    def score(self, env: MarkovEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What sender and receivers get over all steps from each state on, discounted, [S] each, when `action` [L·S·A, 1, A] is what
        follows the recommendations."""
        acts = action[:, 0].reshape(self.layers, self.states, self.actions, self.actions)
        done = jnp.asarray(env.state_prior)[None, :, :, None] * jnp.einsum("lsoz,lsza->lsoa", decision.signal, acts)
        utilities = jnp.stack([jnp.asarray(env.sender), jnp.asarray(env.receiver)])
        now = jnp.einsum("lsoa,usoa->lsu", done, utilities)
        moves = jnp.einsum("lsoa,soaq->lsq", done, env.transitions)
        if self.horizon is None:
            value = jnp.linalg.solve(jnp.eye(self.states, dtype=now.dtype) - env.discount * moves[0], now[0])
        else:
            value = jnp.zeros_like(now[0])
            for layer in reversed(range(self.horizon)):
                value = now[layer] + moves[layer] @ value
        return Outcome(value=value[:, 0], objectives={"sender": value[:, 0], "receiver": value[:, 1]}, constraints={})


class MarkovSignal(nnx.Module):
    """Recommendations by their logits [L·S·O, A], row by row; a softmax makes each row a distribution. Asked the numbers of rows [B],
    steps first and outcomes last, it gives their probabilities [B, A]."""

    def __init__(self, logits: Array):
        self.logits = nnx.Param(logits)

    def __call__(self, rows: Array) -> Array:
        return jax.nn.softmax(jnp.asarray(self.logits[...])[rows], axis=-1)


def markov_signal(model: Any, problem: MarkovPersuasion, env: MarkovEnv, key: Array) -> Rule:
    """A scheme that says nearly nothing yet: for every outcome each recommendation is about equally likely."""
    rows = problem.layers * problem.states * problem.outcomes
    return Rule.of(MarkovSignal(FAINT * jax.random.normal(key, (rows, problem.actions))))


def tables(model: Any) -> MarkovEnv:
    """The tables of a problem file, float64, rows of probabilities summing to one; with a horizon the discount is one."""
    prior, moves = (np.asarray(table, np.float64) for table in (model.state_prior, model.transitions))
    start = np.eye(len(prior))[model.start] if isinstance(model.start, int) else np.asarray(model.start, np.float64)
    return MarkovEnv(
        state_prior=prior / prior.sum(-1, keepdims=True), sender=np.asarray(model.sender, np.float64),
        receiver=np.asarray(model.receiver, np.float64), transitions=moves / moves.sum(-1, keepdims=True), start=start / start.sum(),
        discount=np.float64(1.0 if model.discount is None else model.discount),
    )  # fmt: skip


def build(model: Any, folder: Path) -> tuple[MarkovPersuasion, MarkovEnv]:
    """The process a problem file describes and its numbers."""
    env = tables(model)
    return MarkovPersuasion(*env.receiver.shape, model.horizon, float(model.obedience_margin)), env
