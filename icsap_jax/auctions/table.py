"""Auctions as tables: a row of bids in, allocation and payments out.

A bid column is `bidder1_item2`: bidder 1's value for item 2, both counted from 1. Combinatorial auctions over two items have a third
for each bidder, `bidder1_bundle12`, the value of the pair, from which the synergy C = pair − v₁ − v₂ of the rule's type follows. For
each bidder come back the probability of each item (or bundle) and the payment, and for the row the revenue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from icsap_jax.auctions.problem import Auction, AuctionEnv

BUNDLES = ("bundle1", "bundle2", "bundle12")
# row, column, what is wrong → the error to raise
Refuse = Callable[[int, str, str], Exception]


class Table:
    """The columns of an auction and what they mean. Bids must lie in the misreport box: elsewhere the rule was never trained and
    its incentive gap never measured."""

    def __init__(self, problem: Auction, env: AuctionEnv):
        box = problem.space(env, None)
        self.problem = problem
        self.low, self.high = np.asarray(box.low), np.asarray(box.high)
        items = [f"item{item + 1}" for item in range(problem.items)]
        combinatorial = problem.valuation == "combinatorial"
        bids = [*items, BUNDLES[2]] if combinatorial else items
        goods = BUNDLES if combinatorial else items
        bidders = [f"bidder{bidder + 1}" for bidder in range(problem.agents)]
        self.columns = [f"{bidder}_{bid}" for bidder in bidders for bid in bids]
        answers = [*(f"{good}_probability" for good in goods), "payment"]
        self.output_columns = [*(f"{bidder}_{answer}" for bidder in bidders for answer in answers), "revenue"]

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray]:
        """Reports [R, N, T] float32 from finite numbers [R, columns]. Raises `refuse(row, column, text)` for the first bid outside
        the support."""
        bids = numbers.reshape(len(numbers), self.problem.agents, -1)
        reports = bids
        if self.problem.valuation == "combinatorial":
            reports = np.concatenate([bids[..., :2], bids[..., 2:] - bids[..., :2].sum(-1, keepdims=True)], -1)
        # Compared as float32, like the support: 0.1 is then within a support that begins at 0.1.
        reports = reports.astype(np.float32)
        wrong = np.argwhere((reports < self.low) | (reports > self.high))
        if len(wrong):
            row, bidder, place = (int(each) for each in wrong[0])
            column = self.columns[bidder * bids.shape[-1] + place]
            raise refuse(row, column, self._outside(bids[row, bidder], bidder, place))
        return (reports,)

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """The output columns [R, …], float64, of a decision's `allocation` [R, N, M] and `payment` [R, N]."""
        payment = answers["payment"].astype(np.float64)
        by_bidder = np.concatenate([answers["allocation"], payment[..., None]], -1)
        return np.concatenate([by_bidder.reshape(len(numbers), -1), payment.sum(1, keepdims=True)], -1)

    def _outside(self, bids: np.ndarray, bidder: int, place: int) -> str:
        """Why a bid is refused."""
        low, high = float(self.low[bidder, place]), float(self.high[bidder, place])
        never = "the rule was never trained or measured outside"
        if self.problem.valuation == "combinatorial" and place == 2:
            alone = float(bids[:2].sum())
            pair = f"[{_short(alone + low)}, {_short(alone + high)}]"
            return (f"the pair's value {_short(bids[2])} is outside the support {pair} of the prior for these item values, "
                    f"as the synergy is in [{_short(low)}, {_short(high)}]; {never}")
        negative = " is negative, and" if bids[place] < 0 <= low else " is"
        return f"the bid {_short(bids[place])}{negative} outside the support [{_short(low)}, {_short(high)}] of the prior; {never}"


def _short(value: Any) -> str:
    return f"{float(value):.6g}"
