"""A learned misreporter: one network that maps a profile and an agent to the lie that pays best (Rahme, Jelassi & Weinberg 2021).

Where `ascent` remembers a misreport for each profile of a fixed pool and `candidates` searches anew for every fresh one, the misreporter
learns from all profiles at once: in each training step it takes some Adam steps of its own on what the agents get by its lies under the
rule as it stands, and then supplies one deviation for every agent and profile. The paper calls it the second player of a game. It learns as
the rule does, so that it tracks a best response that moves slowly, for a few network passes a step; what it has not learned yet, the
rule is not asked about. The strong search judges what came of it, as always.

It starts as the truth and learns where to leave it: the logit of each number's place in its box, plus what the network says of the
profile and of who is asking. It knows no domain, only that actions are points of a box.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import optax

from icsap_jax.bilevel.responses import Play, beside, deviated_utility, judge_deviations, require_recommended
from icsap_jax.bilevel.types import Array, Box, Problem, Tree

INSIDE = 1e-2  # by which the truth's place is kept from the ends of its box, where a logit has no slope


@dataclass(frozen=True)
class Amortised:
    """`steps` Adam steps of the misreporter, whose network has `hidden` layers, in each step of the rule."""

    steps: int
    hidden: tuple[int, ...]

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """The network and its moments. The last layer starts at zero: at first everybody tells the truth."""
        agents, width = require_recommended(Box, problem, env, "amortised", "enumerate").recommended.shape[-2:]
        sizes = [agents * width + agents, *self.hidden, width]
        glorot = jax.nn.initializers.glorot_uniform()
        layers = [
            {"kernel": glorot(jax.random.fold_in(key, place), shape), "bias": jnp.zeros(shape[1])}
            for place, shape in enumerate(pairwise(sizes))
        ]  # fmt: skip
        layers[-1]["kernel"] = jnp.zeros_like(layers[-1]["kernel"])
        return {"network": layers, "moments": optax.scale_by_adam().init(layers)}

    def play(self, problem, env, rule, memory, key, step, batch, numbers) -> Play:
        """See the module."""
        draw = problem.draw(env, key, batch)
        action, box = problem.recommended(env, draw), problem.space(env, draw)
        frozen = jax.lax.stop_gradient(rule)

        def missed(network: Tree) -> Array:
            return -deviated_utility(problem, env, frozen, draw, action, lies(network, action, box)[None]).mean()

        def learn(learned, _):
            network, moments = learned
            updates, moments = optax.scale_by_adam().update(jax.grad(missed)(network), moments)
            return (jax.tree.map(lambda leaf, update: leaf - numbers["step_size"] * update, network, updates), moments), None

        start = (memory["network"], memory["moments"])
        (network, moments), _ = jax.lax.scan(learn, start, None, length=self.steps)
        found = lies(network, action, box)[None]
        return judge_deviations(problem, env, rule, draw, found, {"network": network, "moments": moments})


def lies(network: Tree, action: Array, box: Box) -> Array:
    """What the misreporter has each agent say, [I, N, T], when all are recommended `action` [I, N, T]."""
    box = beside(box, action)
    width = jnp.where(box.high > box.low, box.high - box.low, 1.0)
    place = (action - box.low) / width
    profiles, agents = place.shape[0], place.shape[1]
    # A layer's product with "the profile beside who is asking" is the sum of two: one for a profile, one for an agent.
    first, *rest = network
    known = agents * place.shape[2]
    profile = (2 * place - 1).reshape(profiles, known) @ first["kernel"][:known]
    hidden = profile[:, None] + (first["kernel"][known:] + first["bias"][None])[None]
    for layer in rest:
        hidden = jnp.tanh(hidden) @ layer["kernel"] + layer["bias"][None, None]
    truth = jnp.clip(place, INSIDE, 1 - INSIDE)
    return box.low + width * jax.nn.sigmoid(jnp.log(truth) - jnp.log1p(-truth) + hidden)


def amortised(model: Any) -> Amortised:
    """From its model in a problem file."""
    return Amortised(steps=model.steps, hidden=tuple(model.hidden))
