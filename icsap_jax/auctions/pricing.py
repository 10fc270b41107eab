"""The best item prices for one unit-demand bidder with independent values: the rule of a shop.

The bidder buys the item with the largest v_j − p_j if that is positive, so item j is sold with probability
∫_{v ≥ p_j} Π_{k≠j} F_k(v − p_j + p_k) dF_j(v): one integral an item, over quantiles from F_j(p_j) to 1 at midpoints (an error of
about 1e-6). Prices are searched without derivatives, from a common price and from each item's own best price, raised together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize

from icsap_jax.auctions.myerson import revenue_curves, value_grid

_NODES = 1_000
_EVALUATIONS = 400  # of the revenue; about a millisecond each with ten items, far less with two


def item_pricing(marginals: Sequence[Any]) -> tuple[float, np.ndarray]:
    """The revenue and the prices [M] of the best item prices found, for marginals [M] that have a density."""
    tables = [(grid, np.asarray(marginal.cdf(grid))) for marginal in marginals for grid in [value_grid(marginal)]]
    middles = (np.arange(_NODES) + 0.5) / _NODES

    def revenue(prices: np.ndarray) -> float:
        total = 0.0
        for j, (values, below) in enumerate(tables):
            reach = 1.0 - np.interp(prices[j], values, below)
            if reach <= 0.0:
                continue
            margin = np.interp(1.0 - reach * (1.0 - middles), below, values) - prices[j]
            sold = np.ones(_NODES)
            for k, (others, others_below) in enumerate(tables):
                if k != j:
                    sold = sold * np.interp(margin + prices[k], others, others_below, left=0.0, right=1.0)
            total += prices[j] * reach * sold.mean()
        return float(total)

    alone = np.array([curve.reserve for curve in revenue_curves(marginals)])
    top = max(np.interp(0.999, below, values) for values, below in tables)
    line = np.linspace(0.0, top, 61)[1:]
    starts = [
        max((np.full(len(tables), price) for price in line), key=revenue),
        max((alone * share for share in np.linspace(0.8, 1.8, 41)), key=revenue),
    ]
    best = max(starts, key=revenue)
    for start in [best] if len(tables) > 4 else starts:
        simplex = np.vstack([start, start + 0.05 * np.diag(start)])
        options = {"initial_simplex": simplex, "xatol": 1e-6, "fatol": 1e-10, "maxfev": _EVALUATIONS}
        found = minimize(lambda prices: -revenue(prices), start, method="Nelder-Mead", options=options).x
        best = max(best, found, key=revenue)
    return revenue(best), best
