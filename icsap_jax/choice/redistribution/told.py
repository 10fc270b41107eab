"""What is told of a rule besides its objective and gap, in the literature's unit, the share of what is collected that is handed back; and
a rule as a table of reports and payments."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.responses import refine
from icsap_jax.bilevel.types import Array, Box, Rule
from icsap_jax.choice.columns import Columns
from icsap_jax.choice.profiles import spread
from icsap_jax.choice.redistribution.optimum import is_plain, returned_bounds
from icsap_jax.choice.redistribution.problem import Redistribution, RedistributionEnv

CLIMBED, STEPS = 512, 100  # profiles from which a worse deficit is climbed to, and by how many steps


def details(problem: Redistribution, env: RedistributionEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """`redistribution`: what is collected and which share of it is handed back on average; the deficit on average, and the worst that was
    found on those profiles and by climbing from the worst of them; where they are known the shares between which the best rule's lies."""
    drawn = spread(env.prior, model.prior.kind)[..., None]
    with jax.enable_x64(True):
        prior64, rule64 = jax.tree.map(jnp.asarray, (double(env.prior), double(rule)))
        values, (low, high) = jnp.asarray(drawn), prior64.support()
        handed, collected = (np.asarray(each) for each in _balance(rule64, values))
        deficit = handed - collected
        worst = np.argsort(-deficit)[:CLIMBED]
        climbed = _climbed(rule64, values[worst], Box(low=low, high=high))
    found: dict[str, Any] = {
        "collected": float(collected.mean()), "returned": float(handed.sum() / collected.sum()),
        "expected_deficit": float(np.maximum(deficit, 0.0).mean()),
        "worst_deficit": float(max(deficit.max(), np.asarray(climbed).max(), 0.0)),
    }  # fmt: skip
    if problem.every and is_plain(problem, env):
        reached, bound = returned_bounds(problem, env, model)
        shares = {"returned_by_best_known": reached, "returned_by_none_above": bound}
        found |= {name: share / found["collected"] for name, share in shares.items() if share is not None}
    return {"redistribution": found}


@jax.jit
def _balance(rule: Rule, values: Array) -> tuple[Array, Array]:
    """What is handed back and what was collected, [B] each, on values [B, N, 1]."""
    decision = rule(values)
    handed = decision.rebate.sum(-1)
    return handed, decision.payment.sum(-1) + handed


@jax.jit
def _climbed(rule: Rule, start: Array, box: Box) -> Array:
    """The deficits [K] that are reached from profiles [K, N, 1] by steps uphill in the box."""

    def deficit(values: Array) -> Array:
        return -rule(values).payment.sum(-1)

    return deficit(refine(deficit, start, box, 0.02, STEPS))


class Table(Columns):
    """A row of values in, `agent1_value` …; who gets a unit, what each pays after all and what of it was handed back out, and for the row
    what is left over."""

    def __init__(self, problem: Redistribution, env: RedistributionEnv):
        super().__init__(problem, env, "value")
        self.output_columns = [*(f"{agent}_{what}" for agent in self.agents for what in ("unit", "payment", "rebate")), "left_over"]

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """The output columns [R, 3N + 1], float64, of a decision."""
        payment = answers["payment"].astype(np.float64)
        each = np.stack([answers["allocation"][..., 0].astype(np.float64), payment, answers["rebate"].astype(np.float64)], -1)
        return np.concatenate([each.reshape(len(numbers), -1), payment.sum(1, keepdims=True)], -1)
