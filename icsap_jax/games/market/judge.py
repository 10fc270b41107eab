"""What transfers are worth, exactly: at the equilibrium they lead to, with what any consumer would gain by another bundle that it could
pay for, from the demand as it is."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.judgement import Judgement
from icsap_jax.bilevel.types import Rule
from icsap_jax.games.market.exact import Economy
from icsap_jax.games.market.optimum import economy, planned_weights, value_of
from icsap_jax.games.market.problem import Market


def traded(env: Any, rule: Rule) -> Economy:
    """The economy once goods have been moved."""
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jnp.asarray, (double(env), double(rule)))
        return Economy(np.asarray(env.exponents), np.asarray(rule(env.endowments)))


def judge(problem: Market, env: Any, model: Any, rule: Rule, settings: Any) -> Judgement:
    """At the equilibrium found as a linear problem. The best affordable bundle has the utility wealth / cost of a unit of it; a bundle that
    costs more than its consumer has would show as `overspent`. Trade is voluntary: `participation` compares with trading nothing."""
    after = traded(env, rule)
    prices = after.prices()
    bundle = after.demand(prices)
    wealth, utility = after.endowments @ prices, after.utility(bundle)
    return Judgement(
        value=value_of(env, model, bundle), gap=np.maximum(wealth / after.costs(prices) - utility, 0.0)[None], weight=np.ones((1, 1)),
        method="the best affordable bundle, exact", participation=float(np.maximum(after.utility(after.endowments) - utility, 0.0).max()),
        objectives={"sum_of_utilities": float(utility.sum()), "sum_of_log_utilities": float(np.log(utility).sum()),
                    "least_utility": float(utility.min())},
        settled=bool(after.determined()),
        details={"market_clearing_residual": float(np.abs(bundle.sum(0) / after.total - 1.0).max()),
                 "overspent": float(np.maximum(bundle @ prices / wealth - 1.0, 0.0).max())},
    )  # fmt: skip


def details(problem: Market, env: Any, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """Prices (the last good's is 1), allocation, utilities, and the value of what each consumer is given: with the learned transfers,
    without any, and the planner's with what supports them. Under `first_welfare_theorem`: the weights for which the equilibrium without
    transfers maximises the sum of log utilities, and the sum with and without weights, there and at its largest."""
    exact, after, weights = economy(env), traded(env, rule), planned_weights(env, model)
    prices = after.prices()
    told: dict[str, Any] = {
        "learned": {**_row(exact, prices, after.demand(prices)), "endowments_after": after.endowments.tolist()},
        "without_transfers": _row(exact, exact.prices(), exact.demand(exact.prices())),
    }
    if weights is not None:
        told["planner"] = {**_row(exact, exact.supporting(weights)[0], exact.efficient(weights)), "log_utility_weights": weights.tolist()}
    return {**told, "first_welfare_theorem": first_welfare_theorem(exact)}


def first_welfare_theorem(exact: Economy) -> dict[str, Any]:
    """An equilibrium maximises the Negishi-weighted sum, with wealths for weights, and not the plain one."""
    prices = exact.prices()
    weights = exact.endowments @ prices / (exact.total @ prices)
    with np.errstate(divide="ignore", invalid="ignore"):
        reached, weighted, plain = (np.log(exact.utility(each)) for each in (
            exact.demand(prices), exact.efficient(weights), exact.efficient(np.ones_like(weights))))
        found = {"weighted_sum": weights @ reached, "largest_weighted_sum": weights @ weighted, "plain_sum": reached.sum(),
                 "largest_plain_sum": plain.sum()}  # fmt: skip
    return {"negishi_weights": weights.tolist(), **{name: float(each) if np.isfinite(each) else None for name, each in found.items()}}


def _row(exact: Economy, prices: np.ndarray, allocation: np.ndarray) -> dict[str, Any]:
    given = (allocation - exact.endowments) @ prices  # what is bought and sold in trade cancels
    return {"prices": prices.tolist(), "allocation": allocation.tolist(), "utilities": exact.utility(allocation).tolist(),
            "transfers": given.tolist()}  # fmt: skip


def listing(problem: Market, env: Any, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The transfers as rows, one for each consumer and good: what it had and what it is given."""
    before, after = economy(env).endowments, traded(env, rule).endowments
    return [
        {"consumer": i, "good": good, "endowment": float(before[i, good]), "transfer": float(after[i, good] - before[i, good])}
        for i in range(problem.agents) for good in range(problem.goods)
    ]  # fmt: skip
