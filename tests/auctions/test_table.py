"""The columns of an auction mean what their names say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from icsap_jax.auctions.table import Table
from icsap_jax.config import parse


def refuse(row: int, column: str, text: str) -> Exception:
    """What the reader of CSV files does with a bad bid."""
    return ValueError(f"{row} {column}: {text}")


def table(**problem: Any) -> Table:
    """The table of an auction with values on [1, 2]."""
    prior = {"kind": "uniform", "low": 1, "high": 2}
    config = parse({"problem": {"kind": "auction", "bidders": 2, "items": 2, "prior": prior, **problem}})
    return Table(*config.problem.build(config.folder))


def test_columns_name_bidder_and_item() -> None:
    """In the order bidder by bidder; the answers follow the same names."""
    additive = table(bidders=1, items=3)
    assert additive.columns == ["bidder1_item1", "bidder1_item2", "bidder1_item3"]
    assert additive.output_columns == ["bidder1_item1_probability", "bidder1_item2_probability", "bidder1_item3_probability",
                                       "bidder1_payment", "revenue"]  # fmt: skip
    pair = table(valuation="combinatorial")
    assert pair.columns[3:] == ["bidder2_item1", "bidder2_item2", "bidder2_bundle12"]
    assert pair.output_columns[:4] == ["bidder1_bundle1_probability", "bidder1_bundle2_probability", "bidder1_bundle12_probability",
                                       "bidder1_payment"]  # fmt: skip


def test_a_pair_is_worth_its_items_and_the_synergy() -> None:
    """The rule's own account of what a bundle is worth gives back the pair's value in the file."""
    pair = table(valuation="combinatorial")
    bids = np.array([[1.0, 1.5, 2.0, 1.25, 2.0, 4.25], [2.0, 2.0, 5.0, 1.0, 1.0, 1.0]])
    (reports,) = pair.inputs(bids, refuse)
    np.testing.assert_array_equal(pair.problem.values(reports), bids.reshape(2, 2, 3))
    np.testing.assert_array_equal(reports[..., 2], [[-0.5, 1.0], [1.0, -1.0]])


def test_the_ends_of_the_support_belong_to_it() -> None:
    """Decimals that float32 cannot hold, 0.1 and 0.3, are bids within [0.1, 0.3]; the pair's value may be 0.1 + 0.2 + 1."""
    ends = table(bidders=1, prior={"kind": "uniform", "low": 0.1, "high": 0.3})
    ends.inputs(np.array([[0.1, 0.3]]), refuse)
    pair = table(bidders=1, valuation="combinatorial", prior={"kind": "uniform", "low": 0.1, "high": 0.3})
    pair.inputs(np.array([[0.1, 0.2, 1.3], [0.3, 0.3, -0.4]]), refuse)


@pytest.mark.parametrize(
    ("bids", "message"),
    [
        ([1.5, 1.5, 3, 1.5, 2.5, 4], r"0 bidder2_item2: the bid 2\.5 is outside the support \[1, 2\]"),
        ([1.5, 1.5, 3, 1.5, 1.5, 4.5], r"0 bidder2_bundle12: the pair's value 4\.5 is outside .* \[2, 4\] .* synergy .* \[-1, 1\]"),
        ([-1, 1.5, 3, 1.5, 1.5, 3], r"0 bidder1_item1: the bid -1 is negative, and outside"),
    ],
)  # fmt: skip
def test_bids_outside_the_support_are_refused(bids: list[float], message: str) -> None:
    """With the support, in the terms of the column."""
    with pytest.raises(ValueError, match=message):
        table(valuation="combinatorial").inputs(np.array([bids], np.float64), refuse)


def test_revenue_is_the_sum_of_payments() -> None:
    """And every number stands under its name."""
    two = table()
    answers = {"allocation": np.arange(8.0).reshape(2, 2, 2), "payment": np.array([[10.0, 20.0], [30.0, 40.0]])}
    found = dict(zip(two.output_columns, two.outputs(np.zeros((2, 4)), answers).T.tolist(), strict=True))
    assert found["revenue"] == [30.0, 70.0]
    assert found["bidder2_item1_probability"] == [2.0, 6.0]
    assert found["bidder1_payment"] == [10.0, 30.0]
