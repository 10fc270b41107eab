"""What a designer may value, shared by every domain.

A domain reduces what happened to an `Account`: what each agent received, in its own units of utility, what it paid, and where things are
given away who got how much of what. Every objective is a function of that account, profile by profile, so that one name means the same
thing in an auction, a contract or a market. Each names its units and range. Their names, and the options some of them have, are made
known in `config/known_objectives.py`; a user makes one known by `register_objective`. Any of them may also be bounded, on average or on
every profile (`constraints.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass

from icsap_jax import inequality
from icsap_jax.bilevel.ties import largest, smallest
from icsap_jax.bilevel.types import Array
from icsap_jax.config import ConfigError, resolve
from icsap_jax.config.objectives import function_of, options_of

LITTLE = 1e-8  # of everything is added to shares before they are divided by their sum: where nothing is given, all have as much


@register_dataclass
@dataclass(frozen=True)
class Account:
    """`value` […, N]: what each agent received, gross; `transfer` […, N]: what it paid the designer; `kept` […]: what stays with the
    designer is worth to it, 0 where nothing does. Same units.

    Where things are given away, and None elsewhere: `allocation` […, N, M], the probability or share with which each agent gets each thing;
    `elsewhere` […, N, N], what agent i would be left with in the place of agent j, with its lot and at its transfer; `whole` […, N], what
    everything there is would be worth to each agent."""

    value: Array
    transfer: Array
    kept: Array | float = 0.0
    allocation: Array | None = None
    elsewhere: Array | None = None
    whole: Array | None = None

    @property
    def left(self) -> Array:
        """What each agent is left with, […, N]."""
        return self.value - self.transfer

    def told(self, name: str) -> Array:
        """One of the parts that only some problems tell. Raises ConfigError where this one does not."""
        part = getattr(self, name)
        if part is None:
            raise ConfigError(f"an objective of this problem looks at {TOLD[name]}, which the problem does not tell; register it with "
                              f"looks_at=('{name}',), and let the problem's model have '{name}' in `tells`.")
        return part


TOLD = {"allocation": "who gets how much of what", "elsewhere": "what agents would have in each other's place",
        "whole": "what everything would be worth to each agent"}  # fmt: skip


def revenue(account: Account) -> Array:
    """Σ_i payments, […]: in the units of the values; between 0 and the welfare where agents need not take part."""
    return account.transfer.sum(-1)


def profit(account: Account) -> Array:
    """Σ_i payments and what is kept, […]: in the units of the values; revenue, where nothing that is kept is worth anything."""
    return account.transfer.sum(-1) + account.kept


def welfare(account: Account) -> Array:
    """Σ_i values received and what is kept, […]: in the units of the values; payments cancel between the agents and the designer."""
    return account.value.sum(-1) + account.kept


def utility(account: Account) -> Array:
    """Σ_i what each agent is left with, […]: in the units of the values; any sign."""
    return account.left.sum(-1)


def maximin(account: Account) -> Array:
    """What the agent with least is left with, […]: in the units of the values; any sign (Rawls 1971)."""
    return smallest(account.left)


def equality(account: Account) -> Array:
    """−max_{i,j} |u_i − u_j|, […]: at most 0, in the units of the values. Zhang et al. 2024, equation 5, print the inequality reversed,
    so that maximising it would make agents as unequal as can be."""
    return smallest(account.left) - largest(account.left)


def nash_welfare(account: Account) -> Array:
    """The geometric mean of what agents are left with, […]: at least 0, in the units of the values, and 0 where anybody has nothing (Nash
    1950; Kaneko & Nakamura 1979). It orders lots as the product and as the sum of logarithms do."""
    return inequality.geometric_mean(account.left, jnp)


def isoelastic(account: Account, aversion: float) -> Array:
    """What everybody would have to be left with for it to be as good as this, […], at inequality aversion η ≥ 0 (Atkinson 1970): in the
    units of the values, between the least and the mean; the mean at η = 0, the geometric mean at 1, the least as η grows."""
    return inequality.equally_distributed(account.left, _evenly(account.left), aversion, jnp)


def gini(account: Account) -> Array:
    """How unequal is what agents are left with, […]: half the mean difference over the mean, times N/(N − 1), so that it runs from 0, where
    all are left with the same, to 1, where one has everything; no unit. Where nobody has anything it is 0."""
    return inequality.gini(account.left, _evenly(account.left), jnp)


def equality_productivity(account: Account) -> Array:
    """(1 − Gini of what agents are left with) × Σ_i values received, […]: between 0 and the welfare, in the units of the values (Zheng et
    al. 2022)."""
    return (1.0 - gini(account)) * account.value.sum(-1)


def envy(account: Account) -> Array:
    """The most that any agent would gain in the place of another, with its lot and at its transfer, […]: at least 0, in the units of the
    values; 0 where nobody envies anybody (Foley 1967)."""
    wishes = account.told("elsewhere") - account.left[..., None]
    return jax.nn.relu(largest(wishes.reshape(*wishes.shape[:-2], -1)))


def proportionality(account: Account) -> Array:
    """What the worst off by this measure is left with beyond an N-th of what everything is worth to it, […]: any sign, in the units of the
    values; at least 0 where everybody has its proportional part (Steinhaus 1948)."""
    return smallest(account.left - account.told("whole") / account.left.shape[-1])


def differences(allocation: Array, categories: Sequence[Sequence[int]]) -> Array:
    """Σ_{i ∈ C_k} |z_ij − z_ij′| for each category C_k of agents and pair of things j < j′, […, K, pairs], of shares z […, N, M] (Kuo et
    al. 2020, definition 2): probabilities added up, between 0 and the category's size."""
    agents, things = allocation.shape[-2:]
    first, second = jnp.triu_indices(things, 1)
    belongs = jnp.zeros((len(categories), agents), allocation.dtype)
    for place, members in enumerate(categories):
        belongs = belongs.at[place, jnp.asarray(members)].set(1.0)
    return jnp.einsum("kn,...np->...kp", belongs, jnp.abs(allocation[..., first] - allocation[..., second]))


def total_variation(account: Account, categories: Sequence[Sequence[int]] | None) -> Array:
    """How differently two things are given away within a category of agents, […]: the largest Σ_{i ∈ C_k} |z_ij − z_ij′| over categories,
    or over all agents as one, and pairs of things; probabilities added up, between 0 and 2 for lots that can be given (Kuo et al. 2020).
    The less the fairer: weigh it with a minus, or bound it."""
    allocation = account.told("allocation")
    apart = differences(allocation, categories or [range(allocation.shape[-2])])
    return largest(apart.reshape(*apart.shape[:-2], -1))


def entropy(account: Account) -> Array:
    """How evenly each agent's lot is spread over things: Σ_i H(z_i / Σ_j z_ij), […], in nats, between 0, where everybody gets one thing
    only, and N·log M; who gets nothing counts as even (Peri et al. 2021)."""
    share = _normalised(account.told("allocation"), -1)
    return -(share * jnp.log(share)).sum((-2, -1))


def quota(account: Account) -> Array:
    """The smallest share that any agent has of what is given of any thing, min_ij z_ij / Σ_i′ z_i′j, […]: no unit, between 0 and 1/N; a
    thing that nobody gets counts as even (Peri et al. 2021)."""
    share = _normalised(account.told("allocation"), -2)
    return smallest(share.reshape(*share.shape[:-2], -1))


def _normalised(shares: Array, axis: int) -> Array:
    lifted = shares + jnp.asarray(LITTLE, shares.dtype)
    return lifted / lifted.sum(axis, keepdims=True)


def _evenly(values: Array) -> Array:
    return jnp.full((values.shape[-1],), 1.0 / values.shape[-1], values.dtype)


def evaluate(names: Sequence[str], account: Account) -> dict[str, Array]:
    """The named objectives of an account, each […]. Raises ConfigError for one that is not one number a profile."""
    found = {name: resolve(function_of(name))(account, **options_of(name)) for name in names}
    wanted = account.transfer.shape[:-1]
    for name, value in found.items():
        shape = getattr(value, "shape", None)
        if shape != wanted:
            gives = f"has shape {list(shape)}" if shape is not None else f"is a {type(value).__name__}"
            raise ConfigError(f"problem.objective = '{name}': what it gives {gives} and should have shape {list(wanted)}, one number for "
                              "each profile: add up over the last axis, the agents, and over no other.")
    return found


def total(names: Sequence[str], weights: Array, account: Account) -> tuple[Array, dict[str, Array]]:
    """The named objectives' sum by `weights` [objectives], and they themselves, […] each."""
    parts = evaluate(names, account)
    return sum(weights[k] * parts[name] for k, name in enumerate(names)), parts


def weighed(weights: Mapping[str, float]) -> str:
    """Weights by name as people write such a sum: revenue + 0.2 welfare − 3 envy."""
    terms = [("−" if weight < 0 else "+", f"{name}" if abs(weight) == 1 else f"{abs(weight):g} {name}") for name, weight in weights.items()]
    return " ".join(f"{sign} {term}" for sign, term in terms).removeprefix("+ ")
