"""A learned menu as a list that a person can read: the entries that bidders pick, the cheapest first, and nothing at 0."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.auctions.problem import Auction, AuctionEnv
from icsap_jax.bilevel.types import Rule

ASKED = 100_000  # types from the prior; what fewer than one in so many picks is as likely as not left out
SEED = 20_190_618


def listing(problem: Auction, env: AuctionEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, float]]:
    """Rows: the probability of each good, the price, and the share of types that pick it. The menu is known by what it gives: of a
    symmetric one each permutation that is picked is a row."""
    goods = ["item_1_alone", "item_2_alone", "both_items"] if problem.valuation == "combinatorial" else [
        f"item_{j}" for j in range(1, problem.items + 1)
    ]  # fmt: skip
    found, counts = picked(problem, env, rule)
    return [
        {**dict(zip(goods, map(float, lottery), strict=True)), "price": float(price), "share_of_types": float(count / ASKED)}
        for *lottery, price, count in np.column_stack([found, counts])
    ]  # fmt: skip


def picked(problem: Auction, env: AuctionEnv, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """Entries [E, G + 1], lottery then price, that any of `ASKED` types picks, by price, and by how many [E]; nothing at 0 is among them
    even where all buy."""
    draw = problem.draw(env, jax.random.key(SEED), ASKED)
    decision = jax.lax.map(lambda types: problem.decide(env, rule, None, types[None]), draw.types, batch_size=2_000)
    taken = jnp.concatenate([decision.allocation[:, 0, 0], decision.payment[:, 0]], 1)
    rows = np.concatenate([np.zeros((1, problem.goods + 1), np.float32), np.asarray(taken)])
    found, counts = np.unique(rows, axis=0, return_counts=True)
    counts[~found.any(1)] -= 1  # the row that was put there
    order = np.argsort(found[:, -1], kind="stable")
    return found[order], counts[order]
