"""A network that places facilities by lot, trained with a price on lies that pay (after RegretNet-nm, Golowich, Narasimhan & Parkes 2018).

    chance of placement c = softmax_c(h_c(x̂) + β·F_c(x̂)),        placement c: facilities at the points c of the reports

In print the network gives places. Then percentiles are a trap: where each facility serves a group of neighbours, moving it a little away
from their median costs, and only a leap to other groups gains. Here the chances of all placements at K of some points are given: the
reports from the lowest to the highest, where agents are not alike also the reports one by one, and where more counts than the sum of
distances also the middles between two reports. Expected distances are linear in chances. The designer's value F_c of each placement, were
reports true, stands beside what the network h adds, so that training begins near the first best (β large, h small), which lies pay under,
and learns what to give up of it; from the other side, near percentiles, chances soon leave no slope to learn by.
"""

from __future__ import annotations

from itertools import combinations, combinations_with_replacement, pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax import objectives
from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.choice.facility.problem import Facility, FacilityEnv, Placement, accounted, ends

SMALL = 0.1  # the last layer begins so much smaller, so that at first what is best where reports are true decides
Places = tuple[tuple[int, ...], ...]


class FacilityNet(nnx.Module):
    """Reports […, N, 1] to a lottery over placements. `middles`: which two sorted reports each point lies between; `chosen` [C, K]: the
    points of each placement; `weights`, `importance`: of the objectives and the agents; `keenness`: β at first, in values over the line."""

    def __init__(self, problem: Facility, middles: Places, chosen: Places, weights: tuple[float, ...], importance: tuple[float, ...],
                 hidden: list[int], activation: str, anonymous: bool, line: tuple[float, float], keenness: float,
                 rngs: nnx.Rngs):  # fmt: skip
        sizes = [problem.agents * (1 if anonymous else 2), *hidden, len(chosen)]
        glorot = nnx.initializers.glorot_uniform()
        self.layers = nnx.List([nnx.Linear(a, b, kernel_init=glorot, rngs=rngs) for a, b in pairwise(sizes)])
        last = self.layers[-1]
        last.kernel = nnx.Param(SMALL * last.kernel[...])
        self.keenness = nnx.Param(jnp.log(jnp.asarray(keenness, jnp.float32)))
        self.problem, self.weights, self.importance, self.middles, self.chosen = problem, weights, importance, middles, chosen
        self.activation, self.anonymous, self.low, self.high = activation, anonymous, *line

    def __call__(self, reports: Array) -> Placement:
        lead, agents = reports.shape[:-2], reports.shape[-2]
        said = reports.reshape(-1, agents)
        ordered = jnp.sort(said, -1)
        known = ordered if self.anonymous else jnp.concatenate([ordered, said], -1)
        one, other = np.array(self.middles).T
        points = jnp.where(one == other, ordered[:, one], (ordered[:, one] + ordered[:, other]) / 2)  # a report itself, to the last bit
        points = points if self.anonymous else jnp.concatenate([points, said], -1)
        places = points[:, np.array(self.chosen)]
        rows = 2.0 * (known - self.low) / (self.high - self.low) - 1.0
        for layer in self.layers[:-1]:
            rows = getattr(jax.nn, self.activation)(layer(rows))
        length = self.high - self.low
        chance = jax.nn.softmax(self.layers[-1](rows) + jnp.exp(self.keenness[...]) / length * self._worth(said, places), -1)
        return Placement(places=places.reshape(*lead, *places.shape[1:]), chance=chance.reshape(*lead, -1))

    def _worth(self, said: Array, places: Array) -> Array:
        """The designer's value of each placement [R, C, K] of facilities, were reports [R, N] true: [R, C]."""
        distances = self.problem.distances(said[..., None], places)
        found = objectives.evaluate(self.problem.objective, accounted(-distances, jnp.asarray(self.importance, distances.dtype)))
        return sum(weight * found[name] for weight, name in zip(self.weights, self.problem.objective, strict=True))


def facilitynet(model: Any, problem: Facility, env: FacilityEnv, key: Array) -> Rule:
    """A network that begins near the first best."""
    anonymous = problem.alike if model.anonymous is None else model.anonymous
    between = problem.objective != ("welfare",) if model.between is None else model.between
    middles = tuple(combinations_with_replacement(range(problem.agents), 2)) if between else tuple((at, at) for at in range(problem.agents))
    chosen = tuple(combinations(range(len(middles) + (0 if anonymous else problem.agents)), problem.facilities))
    with jax.ensure_compile_time_eval():
        weights, importance = (tuple(np.asarray(each, np.float64).tolist()) for each in (env.weights, env.importance))
    return Rule.of(FacilityNet(problem, middles, chosen, weights, importance, list(model.hidden), model.activation, anonymous,
                               ends(problem, env), model.keenness, nnx.Rngs(key)))  # fmt: skip
