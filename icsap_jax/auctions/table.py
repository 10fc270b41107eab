"""Auctions as tables: a row of bids in, allocation and payments out.

A bid column is `bidder1_item2`: bidder 1's value for item 2, both counted from 1. Combinatorial auctions over two items have a third
for each bidder, `bidder1_bundle12`, the value of the pair, from which the synergy C = pair − v₁ − v₂ of the rule's type follows. Where
bidders have budgets, `bidder1_budget` is what bidder 1 says it can pay. Public contexts come first: `bidder1_context1`, …
`item1_context1`, … of vectors, or `bidder1_context` and `item1_context`, the kind of each counted from 0. For each bidder come back the
probability of each item (or bundle) and the payment, and for the row the revenue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from icsap_jax.auctions.problem import Auction, AuctionEnv
from icsap_jax.bilevel.types import Draw

BUNDLES = ("bundle1", "bundle2", "bundle12")
# row, column, what is wrong → the error to raise
Refuse = Callable[[int, str, str], Exception]


class Table:
    """The columns of an auction and what they mean. Bids must lie in the misreport box: elsewhere the rule was never trained and
    its incentive gap never measured."""

    def __init__(self, problem: Auction, env: AuctionEnv):
        self.problem, self.env = problem, env
        items = [f"item{item + 1}" for item in range(problem.items)]
        combinatorial = problem.valuation == "combinatorial"
        bids = [*items, *([BUNDLES[2]] if combinatorial else []), *(["budget"] if problem.budgets else [])]
        goods = BUNDLES if combinatorial else items
        bidders = [f"bidder{bidder + 1}" for bidder in range(problem.agents)]
        self.sizes: dict[str, int] = {}
        public = [] if env.contexts is None else self._of_contexts([bidders, items])
        self.public = len(public)
        self.columns = [*public, *(f"{bidder}_{bid}" for bidder in bidders for bid in bids)]
        answers = [*(f"{good}_probability" for good in goods), "payment"]
        self.output_columns = [*(f"{bidder}_{answer}" for bidder in bidders for answer in answers), "revenue"]

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray, ...]:
        """Reports [R, N, T] float32 from finite numbers [R, columns], and the contexts if there are any. Raises
        `refuse(row, column, text)` for the first bid outside the support, or context that cannot be."""
        seen = None if self.env.contexts is None else self._seen(numbers[:, : self.public], refuse)
        bids = numbers[:, self.public :].reshape(len(numbers), self.problem.agents, -1)
        reports = bids
        if self.problem.valuation == "combinatorial":
            reports = np.concatenate([bids[..., :2], bids[..., 2:3] - bids[..., :2].sum(-1, keepdims=True), bids[..., 3:]], -1)
        # Compared as float32, like the support: 0.1 is then within a support that begins at 0.1.
        reports = reports.astype(np.float32)
        box = self.problem.space(self.env, Draw(weight=None, types=None, seen=seen))
        low, high = (np.broadcast_to(np.asarray(bound), reports.shape) for bound in (box.low, box.high))
        wrong = np.argwhere((reports < low) | (reports > high))
        if len(wrong):
            row, bidder, place = (int(each) for each in wrong[0])
            column = self.columns[self.public + bidder * bids.shape[-1] + place]
            raise refuse(row, column, self._outside(bids[row, bidder], place, *(float(end[row, bidder, place]) for end in (low, high))))
        return (reports, *(seen or ()))

    def _of_contexts(self, named: list[list[str]]) -> list[str]:
        """The columns of contexts of those named; of kinds also how many there are."""
        kinds = self.env.contexts.encoded()
        if kinds is None:
            return [f"{name}_context{place + 1}" for names in named for name in names for place in range(self.env.contexts.dimension)]
        self.sizes = {f"{name}_context": count for names, count in zip(named, kinds, strict=True) for name in names}
        return list(self.sizes)

    def _seen(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray, np.ndarray]:
        """Contexts of bidders and items from their columns."""
        rows, agents, contexts = len(numbers), self.problem.agents, self.env.contexts
        if contexts.encoded() is not None:
            whole = numbers.astype(np.int32)
            return whole[:, :agents], whole[:, agents:]
        vectors, low, high = numbers.astype(np.float32), np.asarray(contexts.low), np.asarray(contexts.high)
        wrong = np.argwhere((vectors < low) | (vectors > high))
        if len(wrong):
            row, place = (int(each) for each in wrong[0])
            raise refuse(row, self.columns[place], f"the context {_short(numbers[row, place])} is outside [{_short(low)}, {_short(high)}], "
                         "from which the rule's were drawn")  # fmt: skip
        vectors = vectors.reshape(rows, -1, contexts.dimension)
        return vectors[:, :agents], vectors[:, agents:]

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """The output columns [R, …], float64, of a decision's `allocation` [R, N, M] and `payment` [R, N]."""
        payment = answers["payment"].astype(np.float64)
        by_bidder = np.concatenate([answers["allocation"], payment[..., None]], -1)
        return np.concatenate([by_bidder.reshape(len(numbers), -1), payment.sum(1, keepdims=True)], -1)

    def _outside(self, bids: np.ndarray, place: int, low: float, high: float) -> str:
        """Why a bid is refused."""
        never = "the rule was never trained or measured outside"
        what = "budget" if self.problem.budgets and place == len(bids) - 1 else "bid"
        if self.problem.valuation == "combinatorial" and place == 2:
            alone = float(bids[:2].sum())
            pair = f"[{_short(alone + low)}, {_short(alone + high)}]"
            return (f"the pair's value {_short(bids[2])} is outside the support {pair} of the prior for these item values, "
                    f"as the synergy is in [{_short(low)}, {_short(high)}]; {never}")
        given = "" if self.env.contexts is None else " given the contexts"
        negative = " is negative, and" if bids[place] < 0 <= low else " is"
        support = f"[{_short(low)}, {_short(high)}] of the prior{given}"
        return f"the {what} {_short(bids[place])}{negative} outside the support {support}; {never}"


def _short(value: Any) -> str:
    return f"{float(value):.6g}"
