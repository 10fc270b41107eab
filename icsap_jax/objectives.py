"""What a designer may value, shared by every domain.

A domain reduces what happened to an `Account`: what each agent received, in its own units of utility, and what it paid. Every
objective is a function of that account, profile by profile, so that one name means the same thing in an auction, a contract or
a market. Each names its units and range. Their names are made known at the end of
`config/objectives.py`; a user makes one known by `register_objective`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jax.tree_util import register_dataclass

from icsap_jax.bilevel.ties import largest, smallest
from icsap_jax.bilevel.types import Array
from icsap_jax.config import ConfigError, resolve
from icsap_jax.config.objectives import function_of


@register_dataclass
@dataclass(frozen=True)
class Account:
    """`value` […, N]: what each agent received, gross; `transfer` […, N]: what it paid the designer; `kept` […]: what stays with the
    designer is worth to it, 0 where nothing does. Same units."""

    value: Array
    transfer: Array
    kept: Array | float = 0.0


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
    return (account.value - account.transfer).sum(-1)


def maximin(account: Account) -> Array:
    """What the agent with least is left with, […]: in the units of the values; any sign (Rawls 1971)."""
    return smallest(account.value - account.transfer)


def equality(account: Account) -> Array:
    """−max_{i,j} |u_i − u_j|, […]: at most 0, in the units of the values. Zhang et al. 2024, equation 5, print the inequality reversed,
    so that maximising it would make agents as unequal as can be."""
    left = account.value - account.transfer
    return smallest(left) - largest(left)


def evaluate(names: Sequence[str], account: Account) -> dict[str, Array]:
    """The named objectives of an account, each […]. Raises ConfigError for one that is not one number a profile."""
    found = {name: resolve(function_of(name))(account) for name in names}
    wanted = account.transfer.shape[:-1]
    for name, value in found.items():
        shape = getattr(value, "shape", None)
        if shape != wanted:
            gives = f"has shape {list(shape)}" if shape is not None else f"is a {type(value).__name__}"
            raise ConfigError(f"problem.objective = '{name}': what it gives {gives} and should have shape {list(wanted)}, one number for "
                              "each profile: add up over the last axis, the agents, and over no other.")
    return found


def weighed(weights: Mapping[str, float]) -> str:
    """Weights by name as people write such a sum: revenue + 0.2 welfare − 3 envy."""
    terms = [("−" if weight < 0 else "+", f"{name}" if abs(weight) == 1 else f"{abs(weight):g} {name}") for name, weight in weights.items()]
    return " ".join(f"{sign} {term}" for sign, term in terms).removeprefix("+ ")
