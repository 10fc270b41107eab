"""Two-sided matching with truncated preferences (Ravindranath, Feng, Li, Ma, Kominers & Parkes 2021).

n workers and n firms each report a preference list (`lists`); a rule gives r [n, n], the probability that worker w and firm f are matched,
whose rows and columns sum to at most 1 (a lottery over matchings, by Birkhoff and von Neumann). With p_wf and q_wf what f is worth to w and
w to f, everything evenly spaced and staying single 0, two things are measured of a rule, on average over profiles:

    stability violation        Σ_wf  [Σ_w′ r_w′f (q_wf − q_w′f)⁺ + (1 − Σ_w′ r_w′f) q_wf⁺]
                                   · [Σ_f′ r_wf′ (p_wf − p_wf′)⁺ + (1 − Σ_f′ r_wf′) p_wf⁺] / n

how much w and f would like to be with each other rather than with whom they get, both at once (their equations 4 and 5), to which, as in
the authors' code, what agents lose by partners they did not accept is added, Σ_wf r_wf [(−p_wf)⁺ + (−q_wf)⁺] / n, 0 for any rule
that respects lists; and

    strategyproofness violation   the mean over agents of  max over misreports and over k of  [Δ Σ of r over the agent's true best k]⁺

the largest breach of first-order stochastic dominance, k up to the number of acceptable partners (their section 3.2). Nobody gains by
any measure of utility that agrees with its order if and only if it is 0. That is a gap with n criteria, one for each k.

Preferences: each agent's list is a full order with probability 1 − truncation, else of a length from 0 to n − 1; with probability
`correlation` it is the list that is common to its side (drawn anew for each profile).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax import constraints, objectives
from icsap_jax.bilevel.types import Array, Draw, Outcome, Reports, Rule, Tree
from icsap_jax.choice.matching import lists

STABILITY = "stability"


@register_dataclass
@dataclass(frozen=True)
class MatchingEnv:
    """numpy float64: `values` [A, n] of partners by every list; `tops` [A, n, n], which partners are its best k; `chances` [2, A] of
    lists on either side; `correlation` []; `weights` [objectives]; the numbers of each of `Matching.limits`."""

    values: Array
    tops: Array
    chances: Array
    correlation: Array
    weights: Array
    limits: tuple[Any, ...] = ()


@register_dataclass
@dataclass(frozen=True)
class Matched:
    """`probability` r […, n, n] that a worker and a firm are matched."""

    probability: Array


@dataclass(frozen=True)
class Matching(constraints.Limited):
    """`size` n agents on a side, workers before firms; `objective` names what the designer values; `limits`: what the rules have to keep.
    An agent's type and its report are the number of a list, [I, 2n, 1]."""

    size: int
    objective: tuple[str, ...]
    limits: tuple[constraints.Limit, ...] = ()
    margin: float = 0.0
    rowwise: bool = True

    @property
    def agents(self) -> int:
        """Both sides."""
        return 2 * self.size

    @property
    def criteria(self) -> int:
        """One for each k: how likely an agent is to get one of its best k."""
        return self.size

    @property
    def alike(self) -> tuple[tuple[int, ...], ...]:
        """Workers are alike, and so are firms."""
        return tuple(range(self.size)), tuple(range(self.size, 2 * self.size))

    def draw(self, env: MatchingEnv, key: Array, count: int) -> Draw:
        """`count` profiles of lists [B, 2n, 1]."""
        alone, common, whether = jax.random.split(key, 3)
        law = jnp.log(jnp.asarray(env.chances))[:, None]  # [2, 1, A]
        own = jax.random.categorical(alone, law, shape=(count, 2, self.size))
        shared = jax.random.categorical(common, law, shape=(count, 2, 1))
        follows = jax.random.uniform(whether, (count, 2, self.size)) < env.correlation
        types = jnp.where(follows, shared, own).astype(jnp.int32).reshape(count, self.agents, 1)
        dtype = jnp.asarray(env.values).dtype
        return Draw(weight=jnp.full((count,), 1.0 / count, dtype), types=types)

    def space(self, env: MatchingEnv, draw: Draw | None) -> Reports:
        """Any list."""
        return Reports(count=env.values.shape[0])

    def recommended(self, env: MatchingEnv, draw: Draw) -> Array:
        """The truth."""
        return draw.types

    def preferences(self, env: MatchingEnv, action: Array) -> tuple[Array, Array]:
        """What lists […, 2n, 1] say firms are worth to workers, p, and workers to firms, q, both […, n, n], workers before firms."""
        said = jnp.asarray(env.values)[action[..., 0]]
        return said[..., : self.size, :], said[..., self.size :, :].swapaxes(-1, -2)

    def decide(self, env: MatchingEnv, rule: Rule, seen: Tree, action: Array) -> Matched:
        """The matching on lists […, 2n, 1]."""
        return Matched(rule(*self.preferences(env, action)))

    def utility(self, env: MatchingEnv, draw: Draw, decision: Matched, action: Array) -> Array:
        """The probability of getting one of its true best k, […, I, N, k]."""
        return jnp.einsum("...c,...kc->...k", self.shares(decision), jnp.asarray(env.tops)[draw.types[..., 0]])

    def shares(self, decision: Matched) -> Array:
        """Each agent's probability of each partner, […, N, n]."""
        return jnp.concatenate([decision.probability, decision.probability.swapaxes(-1, -2)], -2)

    def weight(self, env: MatchingEnv, draw: Draw, decision: Matched) -> Array:
        """Of each profile, [B, 1]."""
        return draw.weight[..., None]

    def imposed(self, env: MatchingEnv, draw: Draw, decision: Matched) -> Array:
        """How likely each agent is to get a partner it does not accept, […, N]."""
        return self.shares(decision).sum(-1) - self.utility(env, draw, decision, draw.types)[..., -1]

    def infeasibility(self, env: MatchingEnv, decision: Matched) -> Array:
        """By how much anybody is matched more than once."""
        return jax.nn.relu(self.shares(decision).sum(-1) - 1.0).max()

    def chances(self, env: MatchingEnv, draw: Draw, who: Array) -> Array:
        """The probability [S, A, G] of each list being that of agent `who` [S, G], given the others' of G profiles. Given its side's common
        list m, of weight P(m), each of the others has l with probability c·[l = m] + (1 − c)·P(l); so, by Bayes' rule, has it."""
        law, correlation = jnp.asarray(env.chances), jnp.asarray(env.correlation)
        side, place = who // self.size, who % self.size
        profile = draw.types[..., 0].reshape(-1, 2, self.size)
        peers = profile[jnp.arange(profile.shape[0]), side]  # [S, G, n]
        prior = law[side]  # [S, G, A]
        held = jnp.maximum(jnp.take_along_axis(prior, peers, -1), jnp.finfo(prior.dtype).tiny)
        same = peers[..., None] == jnp.arange(law.shape[-1]).reshape(1, 1, 1, -1)
        likely = correlation * same / held[..., None] + (1.0 - correlation)  # [S, G, n, A], over P(l)
        others = jnp.arange(self.size).reshape(1, 1, -1) != place[..., None]
        common = prior * jnp.where(others[..., None], likely, 1.0).prod(-2)
        common = common / common.sum(-1, keepdims=True)
        return jnp.moveaxis(correlation * common + (1.0 - correlation) * prior, -1, 1)

    def menu(self, env: MatchingEnv, decision: Matched, who: Array) -> Array:
        """What decisions [S, K, G] are worth to agent `who` [S, G] if its list is each of A: [S, K, G, A, k]."""
        chosen = jax.nn.one_hot(who, self.agents, dtype=decision.probability.dtype)
        lot = jnp.einsum("skgnc,sgn->skgc", self.shares(decision), chosen)
        tops = jnp.asarray(env.tops)
        return (lot @ tops.reshape(-1, self.size).T).reshape(*lot.shape[:-1], *tops.shape[:2])

    def score(self, env: MatchingEnv, draw: Draw, decision: Matched, action: Array) -> Outcome:
        """Minus the stability violation, and whatever else is valued."""
        p, q = self.preferences(env, draw.types)
        r = decision.probability
        received = jnp.concatenate([(p * r).sum(-1), (q * r).sum(-2)], -1)
        account = objectives.Account(value=received, transfer=jnp.zeros_like(received))
        parts = objectives.evaluate([name for name in self.objective if name != STABILITY], account)
        if STABILITY in self.objective:
            parts[STABILITY] = -(instability(r, p, q) + unaccepted(r, p, q))
        value = sum(env.weights[k] * parts[name] for k, name in enumerate(self.objective))
        every, averages = constraints.signed_by_name(self.limits, env.limits, account)
        return Outcome(value=value, objectives={name: parts[name] for name in self.objective}, constraints=every, averages=averages)

    def export_inputs(self, env: MatchingEnv) -> tuple[np.ndarray, np.ndarray]:
        """Some profiles as the rule is asked."""
        p, q = self.preferences(env, self.draw(env, jax.random.key(0), 16).types)
        return np.asarray(p, np.float32), np.asarray(q, np.float32)


def instability(r: Array, p: Array, q: Array) -> Array:
    """The stability violation […] of r […, n, n], as the module gives it."""
    relu = jax.nn.relu
    envied = relu(q[..., :, None, :] - q[..., None, :, :])  # w, w′, f: how much f likes w better than w′
    firm = jnp.einsum("...jf,...wjf->...wf", r, envied) + (1.0 - r.sum(-2, keepdims=True)) * relu(q)
    longed = relu(p[..., :, None, :] - p[..., :, :, None])  # w, f′, f: how much w likes f better than f′
    worker = jnp.einsum("...wj,...wjf->...wf", r, longed) + (1.0 - r.sum(-1, keepdims=True)) * relu(p)
    return (firm * worker).sum((-1, -2)) / r.shape[-1]


def unaccepted(r: Array, p: Array, q: Array) -> Array:
    """What agents lose by partners they did not accept, […], as the module gives it."""
    return (r * (jax.nn.relu(-p) + jax.nn.relu(-q))).sum((-1, -2)) / r.shape[-1]


def build(model: Any, folder: Path) -> tuple[Matching, MatchingEnv]:
    """The problem a file describes and its numbers; `folder` is where relative data files are looked up."""
    size = model.agents
    law = lists.chances(size, model.truncation)
    limits, numbers = constraints.build(model.constraints)
    env = MatchingEnv(
        values=lists.values(size), tops=lists.tops(size),
        chances=np.stack([law, law]) if model.preferences is None else lists.observed(Path(folder) / model.preferences.file, size),
        correlation=np.float64(model.correlation), weights=np.array(list(model.objective.values())), limits=numbers,
    )  # fmt: skip
    return Matching(size, tuple(model.objective), limits), env
