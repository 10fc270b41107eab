"""A rule for several receivers in words: what is recommended in each state, and what each receiver believes after what it hears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.types import Rule
from icsap_jax.persuasion.many.games import profiles, tables
from icsap_jax.persuasion.many.polish import without_margin

SEEN = 1e-9  # what is less likely is not told


@dataclass(frozen=True)
class Heard:
    """Something a receiver may hear: `who`, `what`, how likely it is, and the `posterior` [S] it leaves."""

    who: str
    what: str
    probability: float
    posterior: np.ndarray


def sent(problem: Any, env: Any, rule: Rule) -> np.ndarray:
    """The probability of each signal in each state [S, R], in float64."""
    with jax.enable_x64(True):
        return np.asarray(jax.tree.map(jnp.asarray, double(rule))(jnp.arange(problem.states)))


def signal_names(model: Any) -> list[str]:
    """What each signal says: how many act, or each receiver's action in turn."""
    count, actions = model.count
    does = model.called("actions")
    if model.anonymous:
        return [f"{k} of {count}" for k in range(count + 1)]
    return [", ".join(does[a] for a in profile) for profile in profiles(count, actions)]


def heard(model: Any, signal: np.ndarray) -> list[Heard]:
    """All that receivers may hear under a rule [S, R], what has no probability left out."""
    prior, *_ = tables(model)
    joint, does = prior[:, None] * signal, model.called("actions")
    count, actions = model.count
    found: list[tuple[str, str, np.ndarray]]
    if model.channel == "public":
        found = [("all", name, column) for name, column in zip(signal_names(model), joint.T, strict=True)]
    elif model.anonymous:
        acting = joint @ np.arange(count + 1) / count
        found = [("each", does[0], prior - acting), ("each", does[1], acting)]
    else:
        told = profiles(count, actions)
        found = [(name, does[a], joint[:, told[:, n] == a].sum(1)) for n, name in enumerate(model.called("names")) for a in range(actions)]
    return [Heard(who, what, float(mass.sum()), mass / mass.sum()) for who, what, mass in found if mass.sum() > SEEN]


def details(problem: Any, env: Any, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """`scheme`: in each state the probability of each recommendation, `posteriors`: what each receiver believes after each, both by name;
    and what the best rule with no margin is worth, ties for the sender and against it."""
    signal, states = sent(problem, env, rule), model.called("states")
    rows = zip(states, signal, strict=True)
    beliefs: dict[str, dict[str, Any]] = {}
    for each in heard(model, signal):
        posterior = dict(zip(states, each.posterior.tolist(), strict=True))
        beliefs.setdefault(each.who, {})[each.what] = {"probability": each.probability, "posterior": posterior}
    return {
        "scheme": {state: _likely(signal_names(model), row) for state, row in rows},
        "posteriors": beliefs,
        "without_margin": without_margin(problem, env, model, rule),
    }


def listing(problem: Any, env: Any, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The rule as rows: state, recommendation, probability; what is never recommended is left out."""
    rows = zip(model.called("states"), sent(problem, env, rule), strict=True)
    return [
        {"state": state, "recommendation": name, "probability": probability}
        for state, row in rows for name, probability in _likely(signal_names(model), row).items()
    ]  # fmt: skip


def _likely(names: list[str], row: np.ndarray) -> dict[str, float]:
    return {name: value for name, value in zip(names, row.tolist(), strict=True) if value > SEEN}
