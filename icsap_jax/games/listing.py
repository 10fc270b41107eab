"""A rule for a society as rows, for `icsap export --format csv` or json: what is paid to whom for what, how often a quota is enforced, what
is told or shown."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from flax import nnx

from icsap_jax.bilevel.types import Rule
from icsap_jax.games.judge import exactly
from icsap_jax.games.problem import Society, SocietyEnv
from icsap_jax.games.rules import Assign, Information, Mediator, Override

NEVER = 1e-9  # probabilities below are left out


def listing(problem: Society, env: SocietyEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """One row for each payment (agent, state, what everybody does), each quota (state), each thing told (state, to each agent), or each
    signal (agent, state). Several rules one after another are listed by the payments that result."""
    given, changed = model.tables(), exactly(problem, env, rule)
    module = nnx.merge(rule.graph, rule.params)
    if isinstance(module, Override):
        shares = np.broadcast_to(np.asarray(module.shares(), np.float64), (len(given.states),))
        return [{"state": state, "enforced": float(share)} for state, share in zip(given.states, shares, strict=True)]
    if isinstance(module, Assign):
        carried = module.carried(tuple(given.sizes))
        return [{"agent": agent, "state": state, "chosen": chosen, "carried out": done, "probability": float(carried[n][s, a, b])}
                for n, agent in enumerate(given.agents) for s, state in enumerate(given.states)
                for a, chosen in enumerate(given.actions[n]) for b, done in enumerate(given.actions[n])]  # fmt: skip
    if isinstance(module, Mediator):
        return [{"told": state, "probability": float(chance)}
                for state, chance in zip(given.states, changed.start, strict=True) if chance > NEVER]  # fmt: skip
    if isinstance(module, Information):
        places = itertools.product(enumerate(given.agents), enumerate(given.states), enumerate(given.seen))
        return [{"agent": agent, "state": state, "signal": signal, "probability": float(changed.observation[n, s, z])}
                for (n, agent), (s, state), (z, signal) in places]  # fmt: skip
    rows = []
    for n, agent in enumerate(given.agents):
        for s, *done in itertools.product(range(len(given.states)), *map(range, given.sizes)):
            acts = {given.agents[other]: given.actions[other][action] for other, action in enumerate(done)}
            rows.append({"paid to": agent, "state": given.states[s], **acts, "payment": float(changed.payments[(n, s, *done)])})
    return rows
