"""What is told of a rule besides its objective and gap: how many it serves, and how its budget balances; and a rule as a table of reports
and payments."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.types import Rule
from icsap_jax.choice.columns import Columns
from icsap_jax.choice.cost_sharing.problem import CostEnv, CostSharing, expected_cost
from icsap_jax.choice.profiles import spread


def details(problem: CostSharing, env: CostEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """`cost_sharing`: on average, how many are served, their welfare, the cost, and what is collected beyond it; by how much the two differ
    on average and at most, on profiles that fill the prior; and, where shares were learned, what each agent pays if all are served."""
    values = spread(env.prior, model.prior.kind)
    with jax.enable_x64(True):
        rule64, costs = jax.tree.map(jnp.asarray, (double(rule), np.array(model.costs())))
        decision = rule64(jnp.asarray(values[..., None]))
        served = np.asarray(decision.allocation[..., 0])
        cost = np.asarray(expected_cost(costs, decision.allocation[..., 0]))
        beyond = np.asarray(decision.payment).sum(-1) - cost
        shares = _shares(rule64, problem.agents) if rule_model.kind_name() == "unanimous" else None
    found = {
        "served": served.sum(1).mean(), "welfare": ((served * values).sum(1) - cost).mean(), "cost": cost.mean(),
        "collected_beyond_cost": beyond.mean(), "imbalance": np.abs(beyond).mean(), "worst_imbalance": np.abs(beyond).max(),
    }  # fmt: skip
    told: dict[str, Any] = {name: float(each) for name, each in found.items()}
    return {"cost_sharing": told if shares is None else {**told, "shares_of_all": shares}}


def _shares(rule: Rule, agents: int) -> list[float]:
    """What each pays where everybody is served: nobody leaves who has more than enough."""
    return np.asarray(rule(jnp.full((1, agents, 1), 1e9)).payment)[0].tolist()


class Table(Columns):
    """A row of values in, `agent1_value` …; with which probability each is served and what it pays out, and for the row the expected cost
    and what is collected beyond it."""

    def __init__(self, problem: CostSharing, env: CostEnv):
        super().__init__(problem, env, "value")
        self.costs = np.asarray(env.costs).astype(str).astype(np.float64)
        self.output_columns = [*(f"{agent}_{what}" for agent in self.agents for what in ("served", "payment")), "cost", "left_over"]

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """The output columns [R, 2N + 2], float64, of a decision."""
        served, payment = answers["allocation"][..., 0].astype(np.float64), answers["payment"].astype(np.float64)
        cost = -np.sort(-served, axis=1) @ np.diff(self.costs, prepend=0.0)
        each = np.stack([served, payment], -1).reshape(len(numbers), -1)
        return np.concatenate([each, cost[:, None], (payment.sum(1) - cost)[:, None]], -1)
