"""What is known of the best revenue where items have to be given away alike (Kuo et al. 2020): Σ_{i ∈ C_k} |z_ij − z_ij′| ≤ d_k.

At limits of 0 for everybody no bidder can be given one item likelier than another, so that only the sum of its values matters: what is
sold is the bundle, and the best auction of it is Myerson's. A limit that the best auction keeps by itself asks for nothing. In between
a lone bidder of finitely many types has a linear programme; otherwise the best revenue lies between the chord of the two and what is best
where nothing is asked, since it is concave in d: an auction drawn by lot from two keeps the limit drawn alike from theirs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from icsap_jax.auctions import discrete
from icsap_jax.auctions.baselines import bundle_myerson, independent_items, is_revenue, myerson_payments
from icsap_jax.auctions.menus import Menu
from icsap_jax.auctions.myerson import optimal_revenue, revenue_curves
from icsap_jax.auctions.priors.base import decimal
from icsap_jax.auctions.sums import distribution_of_sum
from icsap_jax.constraints import Variation


def only_even(problem: Any, env: Any) -> bool:
    """Whether revenue is all that is wanted, and even lots all that is asked, of rational bidders with additive values who can pay."""
    plain = without(problem, env)
    return (bool(problem.limits) and all(isinstance(limit, Variation) for limit in problem.limits) and is_revenue(*plain)
            and problem.valuation == "additive" and problem.items > 1 and env.contexts is None)  # fmt: skip


def without(problem: Any, env: Any) -> tuple[Any, Any]:
    """The same auction with nothing asked of it."""
    return replace(problem, limits=()), replace(env, limits=())


def strictest(problem: Any, env: Any) -> np.ndarray:
    """The least limit [N] that each bidder's own lot has to keep, whatever the others'; infinite where it is in no category."""
    least = np.full(problem.agents, np.inf)
    for limit, numbers in zip(problem.limits, env.limits, strict=True):
        for members, most in zip(limit.categories or (tuple(range(problem.agents)),), decimal(numbers["limit"]), strict=True):
            least[list(members)] = np.minimum(least[list(members)], most)
    return least


def control(env: Any, model: Any) -> tuple[Any, float] | None:
    """What Myerson's auction of the bundle charges each profile [B, N, M], as a function to [B], and its exact expectation: a control
    variate for any auction that gives items away alike. None where bidders' sums are not known in law."""
    if not independent_items(env, model):
        return None
    curves = revenue_curves([distribution_of_sum(bidder) for bidder in env.prior.marginals()])
    return lambda types, seen=None: myerson_payments(curves, np.asarray(types, np.float64).sum(-1)), optimal_revenue(curves)


def optimum(problem: Any, env: Any, model: Any, unlimited: dict[str, Any], menu: Menu | None) -> dict[str, Any]:
    """As `optimum.optimum`, whose answer is `unlimited` where nothing is asked, and the best menu `menu` where it is known; `only_even` is
    true."""
    least = strictest(problem, env)
    bundle = bundle_myerson(problem, env, model)
    if least.max() == 0.0 and bundle.std_error == 0.0:
        return {"value": bundle.value, "method": "only the bundle can be sold: ironed virtual values of sums, by quadrature",
                "source": "Myerson 1981; Kuo et al. 2020", "upper_bound": bundle.value}  # fmt: skip
    unknown = {"value": None, "method": "not known; between Myerson's auction of the bundle and the best where nothing is asked",
               "source": None, "upper_bound": unlimited["upper_bound"], "lower_bound": bundle.value}  # fmt: skip
    if problem.agents > 1:
        return unknown
    apart = float(least[0])
    kept = menu is not None and float(np.ptp(menu.allocations, 1).max()) <= apart
    if apart >= 1.0 or kept:
        return unlimited
    types = discrete.product_types(env.prior.marginals()[0]) if independent_items(env, model) else None
    if types is not None:
        value = discrete.optimal_revenue(*types, unit_demand=False, apart=apart)
        return {"value": value, "method": "linear programme over all types", "source": "HiGHS", "upper_bound": value}
    if unlimited["value"] is not None:
        unknown["method"] = "not known; between the chord of its concave curve and the best where nothing is asked"
        unknown["lower_bound"] = (1 - apart) * bundle.value + apart * unlimited["value"]
    return unknown
