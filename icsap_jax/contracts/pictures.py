"""What a contract pays, and why the agent does what it does: payments beside rewards, and what each action is worth to both sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.contracts.polish import induced
from icsap_jax.contracts.problem import Contract, ContractEnv, posed, tables
from icsap_jax.figures import ACCENT, COLOURS, QUIET, page

MOST = 4  # contracts, or types, that one picture can tell apart


def pictures(problem: Contract, env: ContractEnv, rule: Rule, model: Any, folder: Path) -> None:
    """`contract.png` under `folder`. Raises ConfigError where it cannot be written."""
    given = tables(model)
    payments, reports, actions = induced(*posed(given), rule)
    distinct = list(dict.fromkeys(reports.tolist()))[:MOST]
    with page(folder / "contract.png", 8.0, 6.4, rows=2) as (figure, axes):
        figure.suptitle("What the contract pays, and what that makes the agent do", x=0.02, ha="left")
        _payments(axes[0, 0], given, payments[distinct], model.names("outcomes", given.outcomes))
        _actions(axes[1, 0], given, payments, reports, actions, model)


def _payments(axis: Any, given: Any, contracts: np.ndarray, names: list[str]) -> None:
    """Bars for each outcome: its reward behind, the payments in front."""
    places, width = np.arange(len(names)), 0.7 / len(contracts)
    axis.bar(places, given.rewards, 0.86, color=QUIET, alpha=0.25, label="reward")
    for order, contract in enumerate(contracts):
        label = "payment" if len(contracts) == 1 else f"payment, contract {order + 1}"
        axis.bar(places - 0.35 + width * (order + 0.5), contract, width, color=COLOURS[order], label=label)
    axis.set_xticks(places, names)
    axis.set_xlabel("outcome")
    axis.set_ylabel("money")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _actions(axis: Any, given: Any, payments: np.ndarray, reports: np.ndarray, actions: np.ndarray, model: Any) -> None:
    """What each type gets, and leaves to the principal, by each action under the contract it takes; the one it takes is ringed."""
    names = model.names("actions", given.actions)
    for k in range(min(given.types, MOST)):
        paid = given.outcome_probabilities[k] @ payments[reports[k]]
        gets = given.outcome_probabilities[k] @ given.utility.of(payments[reports[k]]) - given.costs[k]
        keeps = given.expected_rewards[k] - given.payment_cost * paid
        kind = "" if given.types == 1 else f", type {model.names('types', given.types)[k]}"
        axis.plot(gets, "o-", color=COLOURS[k], label=f"agent's utility{kind}")
        axis.plot(keeps, "s--", color=COLOURS[k], alpha=0.55, label=f"principal's{kind}")
        axis.plot(actions[k], gets[actions[k]], "o", markersize=14, fillstyle="none", color=ACCENT)
    axis.set_xticks(np.arange(given.actions), names)
    axis.set_xlabel("action (the ringed one is taken)")
    axis.grid(axis="y")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
