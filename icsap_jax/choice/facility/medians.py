"""Generalised medians with learned phantoms (Moulin 1980; Golowich, Narasimhan & Parkes 2018, "MoulinNet").

    f_k(x) = min_{S ⊆ N} max(a_kS, max_{i ∈ S} x_i),        a_kS ≥ a_kT wherever S ⊆ T,   a max over nobody being −∞

Of all coalitions with the same largest peak the largest has the smallest phantom, so that only the N + 1 coalitions of the lowest peaks
have to be looked at. Whatever phantoms are, those used fall as coalitions grow: of a table each is made the smallest of those of its
parts (N passes over the table); a network is the negative of a min-max of linear functions with weights ≥ 0 (Sill 1998).

What is true. K = 1: these are all the strategyproof rules whose place depends on peaks alone (Moulin 1980, proposition 3). The first best
of weighted distances is one of them: the weighted median, where a_S is at the lower end if S weighs half of all at least, else at the
upper.
K ≥ 1: a rule made of K of them is strategyproof where agents go to the nearest facility. Proof: as a function of agent i's report x′ alone,
f_k = min(A_k, max(B_k, x′)) with B_k ≤ A_k of the others, since phantoms fall. If x is between the two, f_k(x) = x; if x < B_k, then
f_k(x) = B_k and no report brings it below; if x > A_k, none above. So |x − f_k| is least at the truth for every k at once, and with them
the least of them. The converse fails for K > 1: with one facility at agent 1's peak, agent 1's report may also decide whether the other
stands at agent 2's or at agent 3's, which is strategyproof and not of this form. The best of this form need not be the best there is.

The objective is continuous and piecewise smooth in phantoms; its slope on a sample is an unbiased estimate, and nothing has to be
softened. It has many local optima. So training begins from several rules side by side, the best on a sample of many random committees:
a_S falls where weights of its members, drawn by chance, pass a quota drawn by chance. Percentiles and dictators are among them.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.ties import largest, smallest
from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.choice.facility.problem import Facility, FacilityEnv, Placement, ends, peaks_drawn, surely

TRIED_ON = 2_000  # profiles on which committees are compared
NEAR_THE_END = 0.03  # of the line: where phantoms begin that are to be at an end, as none has a slope beyond it
STEEP = 4.0  # how fast phantoms of a network fall at first, in lines for all of the weight


class Coalitions(nnx.Module):
    """A phantom for each coalition, [K, 2^N], as shares of the line; coalition Σ_{i ∈ S} 2^i."""

    def __init__(self, committee: Array):
        self.phantoms = nnx.Param(committee)

    def of(self, order: Array) -> Array:
        """Phantoms of the coalitions of the 0, 1, … N lowest reports, [R, K, N + 1], where `order` [R, N] sorts them."""
        chain = jnp.cumsum(2**order, -1)
        chain = jnp.concatenate([jnp.zeros_like(chain[:, :1]), chain], -1)
        return jnp.moveaxis(falling(self.phantoms[...])[:, chain], 0, 1)


class Sizes(nnx.Module):
    """A phantom for each size of a coalition, [K, N + 1], as shares of the line."""

    def __init__(self, committee: Array):
        self.phantoms = nnx.Param(committee)

    def of(self, order: Array) -> Array:
        """As above; the same for all reports."""
        listed = self.phantoms[...]
        held = [listed[:, 0]]
        for size in range(1, listed.shape[1]):
            held.append(smaller(held[-1], listed[:, size]))
        return jnp.broadcast_to(jnp.stack(held, -1), (order.shape[0], listed.shape[0], listed.shape[1]))


class Falling(nnx.Module):
    """a_S = −max_g min_u (Σ_{i ∈ S} w²_i + b) for each facility: weights' roots [K, G, U, N], offsets [K, G, U]."""

    def __init__(self, roots: Array, offsets: Array):
        self.roots, self.offsets = nnx.Param(roots), nnx.Param(offsets)

    def of(self, order: Array) -> Array:
        """As above: members join in the order of their reports, so that sums are running ones."""
        weights = self.roots[...] ** 2
        joined = jnp.cumsum(jnp.moveaxis(weights[..., order], -2, 0), -1)  # [R, K, G, U, N]
        sums = jnp.concatenate([jnp.zeros_like(joined[..., :1]), joined], -1) + self.offsets[...][None, ..., None]
        return -largest(smallest(sums, -2), -2)


class Medians(nnx.Module):
    """K generalised medians of reports […, N, 1] on the line from `low` to `high`."""

    def __init__(self, phantoms: nnx.Module, low: float, high: float):
        self.phantoms, self.low, self.high = phantoms, low, high

    def __call__(self, reports: Array, temperature: Array | None = None) -> Placement:
        lead, agents = reports.shape[:-2], reports.shape[-2]
        said = reports.reshape(-1, agents)
        order = jnp.argsort(said, -1)
        said = jnp.take_along_axis(said, order, -1)
        said = jnp.concatenate([jnp.full_like(said[:, :1], self.low), said], -1)[:, None]  # nobody's largest report: as low as can be
        phantoms = self.low + (self.high - self.low) * self.phantoms.of(order)
        places = smallest(jnp.where(said > phantoms, said, phantoms))
        return surely(jnp.clip(places, self.low, self.high).reshape(*lead, -1))


def smaller(one: Array, other: Array) -> Array:
    """The smaller of two, whose slope is that of one of them alone."""
    return jnp.where(other < one, other, one)


def falling(phantoms: Array) -> Array:
    """The largest phantoms [K, 2^N] that are no larger than those given and fall as coalitions grow."""
    count, listed = phantoms.shape
    for agent in range(listed.bit_length() - 1):
        without, joined = jnp.moveaxis(phantoms.reshape(count, -1, 2, 2**agent), 2, 0)
        phantoms = jnp.stack([without, smaller(without, joined)], 2).reshape(count, listed)
    return phantoms


def members(agents: int) -> np.ndarray:
    """Who is in each coalition, [2^N, N] of 0 and 1."""
    return np.arange(2**agents)[:, None] >> np.arange(agents) & 1


def committees(model: Any, problem: Facility, key: Array) -> tuple[Array, Array]:
    """`starts_tried` committees by chance for each facility: shares of weight [T, K, N], which add up to 1, and quotas [T, K]. A third
    give all agents the same weight, a third make one of them nearly a dictator; quotas are in order."""
    alike, one, quota, bent = jax.random.split(key, 4)
    tried, facilities, agents = model.starts_tried, problem.facilities, problem.agents
    power = 3.0 * jax.random.uniform(bent, (tried, 1, 1))
    drawn = jax.random.exponential(one, (tried, facilities, agents)) ** power
    drawn = drawn / drawn.sum(-1, keepdims=True)
    if model.phantoms == "size":
        drawn = jnp.full_like(drawn, 1.0 / agents)
    level = jax.random.uniform(alike, (tried, 1, 1)) < 1 / 3
    shares = jnp.where(level, 1.0 / agents, drawn)
    return shares, jnp.sort(jax.random.uniform(quota, (tried, facilities), minval=0.02, maxval=0.98), -1)


def starts(model: Any, problem: Facility, env: FacilityEnv, key: Array) -> Rule:
    """The best committees of those tried, leaves [starts, …], a little shaken."""
    choose, shake = jax.random.split(key)
    shares, quotas = committees(model, problem, choose)
    peaks = peaks_drawn(problem, env, TRIED_ON).astype(np.float32)
    order, low, high = np.argsort(peaks, -1), *ends(problem, env)

    def value(shares: Array, quotas: Array) -> Array:
        placed = surely(voted(peaks, order, shares, quotas))
        utility = env.worth - problem.distances(jnp.asarray(peaks)[..., None], placed.places)
        return jnp.mean(problem.scored(env, utility, placed.chance).value)

    best = jax.lax.top_k(jax.lax.map(lambda each: value(*each), (shares, quotas)), min(model.starts_kept, model.starts_tried))[1]
    return jax.vmap(lambda shares, quotas, key: begun(model, problem, shares, quotas, key, low, high))(
        shares[best], quotas[best], jax.random.split(shake, len(best)))


def voted(peaks: np.ndarray, order: np.ndarray, shares: Array, quotas: Array) -> Array:
    """Where committees place facilities for peaks [B, N], which `order` sorts: the lowest place at or below which the quota [K] of the
    weight [K, N] lives."""
    gathered = jnp.cumsum(jnp.moveaxis(shares[:, order], 0, 1), -1)  # [B, K, N]
    place = jnp.argmax(gathered >= jnp.minimum(quotas, gathered[..., -1].min())[None, :, None], -1)
    return jnp.take_along_axis(jnp.asarray(np.take_along_axis(peaks, order, -1)), place, -1)


def begun(model: Any, problem: Facility, shares: Array, quotas: Array, key: Array, low: float, high: float) -> Rule:
    """The rule that begins as a committee."""
    agents, facilities = problem.agents, problem.facilities
    if model.phantoms == "network":
        shape = (facilities, model.groups, model.units)
        shaken = jnp.exp(0.1 * jax.random.normal(key, (*shape, agents)))
        roots = jnp.sqrt(STEEP * shares[:, None, None] * shaken)
        offsets = (-0.5 - STEEP * quotas)[:, None, None] + 0.05 * jax.random.normal(jax.random.fold_in(key, 1), shape)
        return Rule.of(Medians(Falling(roots, offsets), low, high))
    if model.phantoms == "size":
        weight = jnp.broadcast_to(jnp.arange(agents + 1) / agents, (facilities, agents + 1))
    else:
        weight = shares @ jnp.asarray(members(agents).T, shares.dtype)
    ended = jnp.where(weight >= quotas[:, None] - 1e-6, NEAR_THE_END, 1.0 - NEAR_THE_END)
    table = ended + 0.2 * NEAR_THE_END * jax.random.normal(key, ended.shape)
    return Rule.of(Medians((Sizes if model.phantoms == "size" else Coalitions)(table), low, high))


def generalised_median(model: Any, problem: Facility, env: FacilityEnv, key: Array) -> Rule:
    """One rule, the best committee of those tried."""
    return jax.tree.map(lambda leaf: leaf[0], starts(model, problem, env, key))


def listing(problem: Facility, env: FacilityEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The phantoms as rows: a facility and a coalition of agents, both counted from 1, or the size of one, and the phantom on the line."""
    low, high = ends(problem, env)
    if rule_model.phantoms == "size":
        held = np.minimum.accumulate(np.asarray(rule.params["phantoms"]["phantoms"][...], np.float64), -1)
        named: list[tuple[str, Any]] = [("agents", size) for size in range(problem.agents + 1)]
    else:
        who = members(problem.agents) if problem.agents <= 12 else None
        if who is None:
            return []
        if rule_model.phantoms == "network":
            roots, offsets = (np.asarray(rule.params["phantoms"][name][...], np.float64) for name in ("roots", "offsets"))
            held = -(np.einsum("kgun,sn->kgus", roots**2, who) + offsets[..., None]).min(2).max(1)
        else:
            held = np.asarray(falling(jnp.asarray(np.asarray(rule.params["phantoms"]["phantoms"][...]))), np.float64)
        named = [("coalition", "+".join(str(agent + 1) for agent in np.flatnonzero(row)) or "nobody") for row in who]
    places = low + (high - low) * np.clip(held, 0.0, 1.0)
    return [{"facility": facility, what: which, "phantom": float(place)}
            for facility, row in enumerate(places, 1) for (what, which), place in zip(named, row, strict=True)]  # fmt: skip
