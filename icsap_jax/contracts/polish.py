"""A trained contract made exact, and told: the least-pay programme of the actions that it induces, and no other.

Which actions to induce is what is learned, since trying them all is the optimum's way. A learned contract leaves the agent nearly
indifferent on the wanted side; the programme puts it on the point, with the margin that the rule asks for.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.deviations import double, reaction
from icsap_jax.bilevel.types import Rule
from icsap_jax.contracts.classical import value_of
from icsap_jax.contracts.optimum import terms_of
from icsap_jax.contracts.problem import Contract, ContractEnv, posed, tables
from icsap_jax.contracts.programmes import least_pay
from icsap_jax.contracts.rules import schedule
from icsap_jax.exact.lp import LpError


def induced(problem: Contract, env: ContractEnv, rule: Rule) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(payments [T, K], reports [T], actions [T]): what a rule pays and what each type does, ties in the principal's favour."""
    with jax.enable_x64(True):
        env, rule = jax.tree.map(np.asarray, (double(env), double(rule)))
        found = reaction(problem, env, rule, problem.draw(env, None, 1))
        choice = np.asarray(found.reply.action)[:, 0].argmax(-1)
    return np.asarray(found.decision), choice // problem.actions, choice % problem.actions


def polish(problem: Contract, env: ContractEnv, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The plain schedule of the cheapest contracts for the actions that `rule` induces, and the principal's value before and after.
    Where the margin cannot be had for these actions the contracts stay as they were learned, and the details say so."""
    given = tables(model)
    payments, reports, actions = induced(*posed(given), rule)
    single = rule_model.menu == "single"
    learned = payments[:1] if single else payments[reports]
    told: dict[str, Any] = {"value_before_polish": value_of(given, learned).value}
    try:
        best = least_pay(given, terms_of(rule_model, margin=True), actions, menu=not single).contracts
        if rule_model.margin:
            free = least_pay(given, terms_of(rule_model), actions, menu=not single)
            told["margin_loss"] = value_of(given, free.contracts).value - value_of(given, best).value
    except (LpError, ValueError) as error:
        best, told["not_polished"] = learned, str(error)
    # A threshold in training is soft, and what it promises more than the polished one no threshold can keep.
    if not rule_model.margin and rule_model.shape != "threshold" and value_of(given, best).value < told["value_before_polish"]:
        best = learned
    told["value_after_polish"] = value_of(given, best).value
    blank = schedule(rule_model, problem, env, jax.random.key(0))
    return Rule(params=jax.tree.map(lambda _: np.asarray(best, np.float64), blank.params), graph=blank.graph), told


def details(problem: Contract, env: ContractEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """The contract of each report by outcome, what each type then does and gets, and what the principal pays in expectation."""
    given = tables(model)
    payments, reports, actions = induced(*posed(given), rule)
    payments = payments[:1] if rule_model.menu == "single" else payments
    outcomes, types = model.names("outcomes", given.outcomes), model.names("types", given.types)
    does = model.names("actions", given.actions)
    reply = value_of(given, payments[reports] if len(payments) > 1 else payments)
    return {
        "contracts": [dict(zip(outcomes, row, strict=True)) for row in payments.tolist()],
        "responses": [
            {"type": types[k], **({"contract": types[reports[k]]} if len(payments) > 1 else {}),
             "action": does[actions[k]], "agent_utility": float(reply.agent_utility[k])}
            for k in range(given.types)
        ],
        "expected_payment": reply.expected_payment,
    }  # fmt: skip


def listing(problem: Contract, env: ContractEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The contracts as rows: report (in a menu), outcome, payment."""
    payments = induced(problem, env, rule)[0]
    outcomes, types = model.names("outcomes", problem.outcomes), model.names("types", problem.types)
    menu = rule_model.menu != "single"
    return [
        {**({"report": types[k]} if menu else {}), "outcome": outcomes[j], "payment": float(payments[k, j])}
        for k in range(problem.types if menu else 1) for j in range(problem.outcomes)
    ]  # fmt: skip
