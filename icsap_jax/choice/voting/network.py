"""A network that makes a lottery of votes, alike for voters and for alternatives where orders are drawn so.

Averaged over all ways to rename alternatives, and over all ways to rename voters, a rule is worth as much where the law of orders is the
same for all, and nobody gains more by lying to it: expected utility is linear in lotteries. So nothing is lost by a network that is alike
by construction: it sees how often each order was cast, and its answers on the M! renamed profiles are named back and averaged.
"""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.choice.voting.problem import Voting, VotingEnv, rankings


def renamings(alternatives: int) -> tuple[np.ndarray, np.ndarray]:
    """Every way to rename alternatives, [G, M]: a becomes `names[g, a]`; and which order each becomes, [G, M!]."""
    names, listed = np.array(list(permutations(range(alternatives)))), rankings(alternatives)
    place = {tuple(order): number for number, order in enumerate(listed.tolist())}
    return names, np.array([[place[tuple(name[order].tolist())] for order in listed] for name in names])


class VotingNet(nnx.Module):
    """Ballots […, N, M!] to a lottery […, M]."""

    def __init__(self, problem: Voting, hidden: list[int], anonymous: bool, neutral: bool, rngs: nnx.Rngs):
        self.alternatives, self.anonymous, self.neutral = problem.alternatives, anonymous, neutral
        sizes = [problem.orders * (1 if anonymous else problem.agents), *hidden, problem.alternatives]
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairwise(sizes)])

    def __call__(self, ballots: Array) -> Array:
        lead, (voters, orders) = ballots.shape[:-2], ballots.shape[-2:]
        cast = ballots.reshape(-1, voters, orders)
        if self.anonymous:
            cast = cast.sum(1, keepdims=True)  # how often each order was cast: a number of size one, whoever many there are
        if not self.neutral:
            return self._asked(cast.reshape(cast.shape[0], -1)).reshape(*lead, self.alternatives)
        names, becomes = renamings(self.alternatives)
        renamed = cast[..., np.argsort(becomes, -1)]  # [R, V, G, M!]: order j of a renamed profile was the one that becomes it
        rows = jnp.moveaxis(renamed, 2, 1).reshape(cast.shape[0] * len(names), -1)
        answers = self._asked(rows).reshape(cast.shape[0], len(names), self.alternatives)
        named_back = jnp.take_along_axis(answers, jnp.asarray(names)[None], -1)
        return named_back.mean(1).reshape(*lead, self.alternatives)

    def _asked(self, rows: Array) -> Array:
        for layer in self.layers[:-1]:
            rows = jax.nn.tanh(layer(rows))
        return jax.nn.softmax(self.layers[-1](rows), -1)


def votingnet(model: Any, problem: Voting, env: VotingEnv, key: Array) -> Rule:
    """A freshly initialised network."""
    anonymous = problem.alike if model.anonymous is None else model.anonymous
    neutral = problem.impartial if model.neutral is None else model.neutral
    return Rule.of(VotingNet(problem, list(model.hidden), anonymous, neutral, nnx.Rngs(key)))
