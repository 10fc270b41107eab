"""Facilities on a line as a learning problem (Moulin 1980; Procaccia & Tennenholtz 2009; Golowich, Narasimhan & Parkes 2018).

    u_i = worth − Σ_c p_c·min_k |x_i − y_ck|,        (p, y) = f(x̂_1, …, x̂_N)

An agent's type is its peak x_i, one number; reports are types, and the recommended report is the truth. A decision is where the K
facilities stand, or a lottery over C placements of them: agents count expected distances, in the units of the line, and the designer
expects what it values of each placement, where an agent counts `importance` times. Nobody pays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax import constraints, objectives
from icsap_jax.bilevel.ties import smallest
from icsap_jax.bilevel.types import Array, Draw, Outcome, Rule, Tree
from icsap_jax.choice.one_number import OneNumber
from icsap_jax.config import ConfigError
from icsap_jax.config.objectives import weights_of


@register_dataclass
@dataclass(frozen=True)
class FacilityEnv:
    """The numbers: the `prior` of peaks, [B, N, 1] a sample; the `weights` of objectives in their order; the `importance` [N] of agents to
    the designer; the `worth` [] of a facility at one's peak; and those of each of `Facility.limits`."""

    prior: Any
    weights: Array
    importance: Array
    worth: Array
    limits: tuple[Any, ...] = ()


@register_dataclass
@dataclass(frozen=True)
class Placement:
    """C placements of K facilities, `places` […, C, K], and the `chance` of each, […, C]."""

    places: Array
    chance: Array


def surely(places: Array) -> Placement:
    """The one placement […, K] that is certain."""
    return Placement(places=places[..., None, :], chance=jnp.ones_like(places[..., :1]))


@dataclass(frozen=True)
class Facility(constraints.Limited, OneNumber):
    """N agents, K facilities; `objective` names what the designer maximises, `limits` is what rules have to keep besides; `alike`: whether
    all agents are as important."""

    agents: int
    facilities: int
    objective: tuple[str, ...] = ("welfare",)
    limits: tuple[Any, ...] = ()
    alike: bool = True
    margin: float = 0.0
    rowwise: bool = True

    def scale(self, env: FacilityEnv) -> Array:
        """The length of the line, []."""
        low, high = env.prior.support()
        return (high - low).max()

    def decide(self, env: FacilityEnv, rule: Rule, seen: Tree, action: Array) -> Placement:
        """The placement on reports […, N, 1]. Raises ConfigError where the rule gives other shapes."""
        decision = rule(action)
        count = getattr(getattr(decision, "chance", None), "shape", (1,))[-1]
        for name, wanted in (("places", (*action.shape[:-2], count, self.facilities)), ("chance", (*action.shape[:-2], count))):
            found = getattr(getattr(decision, name, None), "shape", None)
            if found != wanted:
                gives = "is no array" if found is None else f"has shape {list(found)}"
                raise ConfigError(f"rule: on reports of shape {list(action.shape)} its {name} {gives}; it should have {list(wanted)}.")
        return decision

    def reservation(self, env: FacilityEnv, draw: Draw) -> None:
        """Nobody is asked whether to take part."""
        return None

    def infeasibility(self, env: FacilityEnv, decision: Placement) -> Array:
        """How far a facility stands beyond the ends of the line, or by how much chances miss being some that add up to 1, []."""
        (low, high), chance = env.prior.support(), decision.chance
        beyond = [low.min() - decision.places.min(), decision.places.max() - high.max(), -chance.min(), jnp.abs(chance.sum(-1) - 1.0).max()]
        return jax.nn.relu(jnp.stack(beyond)).max()

    def distances(self, types: Array, places: Array) -> Array:
        """How far each agent has to go: peaks [I, N, 1] and places […, I, C, K] give […, I, C, N]."""
        axes = max(types.ndim, places.ndim)  # of both, once peaks have an axis for placements
        peaks = types[..., 0].reshape((1,) * (axes - types.ndim) + types.shape[:-1])
        places = places.reshape((1,) * (axes - places.ndim) + places.shape)
        return smallest(jnp.abs(peaks[..., None, :, None] - places[..., :, None, :]))

    def utility(self, env: FacilityEnv, draw: Draw, decision: Placement, action: Array) -> Array:
        """What everybody expects at its true peak, […, I, N]."""
        return env.worth - jnp.einsum("...cn,...c->...n", self.distances(draw.types, decision.places), decision.chance)

    def score(self, env: FacilityEnv, draw: Draw, decision: Placement, action: Array) -> Outcome:
        """The designer's value, its named parts, and the signed constraints profile by profile."""
        return self.scored(env, env.worth - self.distances(draw.types, decision.places), decision.chance)

    def scored(self, env: FacilityEnv, utility: Array, chance: Array) -> Outcome:
        """The same of utilities […, C, N] in each placement, and their chances […, C]."""
        found = self.outcome(env, accounted(utility, env.importance))
        return jax.tree.map(lambda each: (each * chance).sum(-1), found)



def accounted(utility: Array, importance: Array) -> objectives.Account:
    """What the designer counts of utilities […, N]."""
    value = utility * importance.reshape((1,) * (utility.ndim - 1) + importance.shape)
    return objectives.Account(value=value, transfer=jnp.zeros_like(value))


def worth(problem: Facility, env: FacilityEnv, peaks: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The designer's value [B] of places [B, K] for peaks [B, N], in float64."""
    utility = float(env.worth) - np.abs(peaks[..., :, None] - places[..., None, :]).min(-1)
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        exact = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), replace(env, prior=None))
        return np.asarray(problem.scored(exact, jnp.asarray(utility)[:, None], jnp.ones((len(peaks), 1))).value)


def peaks_drawn(problem: Facility, env: FacilityEnv, count: int) -> np.ndarray:
    """The same `count` profiles of peaks [count, N] every time, those kept from training where there are such; float64, and a constant
    also where a rule is being built under jit."""
    with jax.ensure_compile_time_eval():
        types = problem.held_out(env).prior.sample(jax.random.key(20_130), count)
        return np.asarray(types, np.float64)[..., 0]


def ends(problem: Facility, env: FacilityEnv) -> tuple[float, float]:
    """The ends of the line, constants."""
    with jax.ensure_compile_time_eval():
        low, high = env.prior.support()
        return float(np.min(np.asarray(low))), float(np.max(np.asarray(high)))


def build(model: Any, folder: Any) -> tuple[Facility, FacilityEnv]:
    """The problem a file describes and its numbers; `folder` is where relative data files are looked up."""
    weights = weights_of(model.objective)
    limits, numbers = constraints.build(model.constraints)
    env = FacilityEnv(
        prior=model.prior.build(model.agents, 1, folder), weights=jnp.asarray(list(weights.values()), jnp.float32),
        importance=jnp.asarray(model.importance, jnp.float32), worth=jnp.asarray(model.worth, jnp.float32), limits=numbers,
    )  # fmt: skip
    return Facility(model.agents, model.facilities, objective=tuple(weights), limits=limits, alike=model.alike), env
