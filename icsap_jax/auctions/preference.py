"""What people like of an auction's decisions, after Peri, Curry, Dooley & Dickerson (2021): ground truths by which allocations are
labelled, random allocations to ask about, and what is told of a rule in the end, the share of test bids whose allocation is liked.

All labels by a formula are bands of an objective: what is worth no less than `low` and no more than `high` in one of them is liked.
A threshold and a quota are one band; a ranking is the band above a quantile of random allocations, and a pass band lies between two.
Labels that people gave hold for what they were given for, and for whatever else is nearest to that.

Random allocations give each item by softmax(s·U) over bidders and nobody, U even on [0, 1]. At s = 1, where each has between .16 and .58 of
an item among two bidders, they are those that rankings go by, as published; asked about are also sharper ones, s up to 20, which are more
like what auctions do. Who wants one thing only is given the less of a share of the item and a share of its own demand; bundles are what
comes of giving each item by its own lot. Bidders pay an even share of what they get is worth to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax import objectives
from icsap_jax.auctions.data import read_labelled
from icsap_jax.bilevel.preferred import Preference, another_opinion
from icsap_jax.bilevel.responses import as_recommended
from icsap_jax.bilevel.types import Array, Draw, Rule, Tree
from icsap_jax.config import Config, ConfigError
from icsap_jax.objectives import weighed

SHARPEST = 20.0  # of random allocations: nearly all of an item for one bidder
SEED = 20_210_604  # of the random allocations that rankings go by
ASKED = 4_096  # random allocations on which labels must differ
JUDGED, TILE = 100_000, 2_000  # test bids, as many as the authors', and how many at once


@register_dataclass
@dataclass(frozen=True)
class Taste(Preference):
    """Besides what the network needs: `weights` of the objectives that decide, in the order of `objective`; `bands` [K, 2] of their sum
    that are liked. Where people have labelled allocations, `objective` is empty. Whether people see the `whole` account, or the
    allocation alone."""

    weights: Array
    bands: Array
    objective: tuple[str, ...] = field(metadata={"static": True})
    whole: bool = field(metadata={"static": True})


def shown(taste: Taste, account: objectives.Account, unit: Array | float) -> Array:
    """What people see of an account, [B, F]: each share as 2z − 1; and of a whole one what everybody received and paid, in `unit`s."""
    count = account.transfer.shape[0]
    shares = 2 * account.allocation.reshape(count, -1) - 1
    return jnp.concatenate([shares, account.value / unit, account.transfer / unit], -1) if taste.whole else shares


def liked(taste: Taste, account: objectives.Account) -> Array:
    """Which accounts are liked, [B], 1 or 0."""
    if not taste.objective:
        return taste.said[nearest(taste.shown, shown(taste, account, 1.0))]
    worth = measured(taste, account)[:, None]
    within = (worth >= taste.bands[None, :, 0]) & (worth <= taste.bands[None, :, 1])
    return within.any(1).astype(account.transfer.dtype)


def measured(taste: Taste, account: objectives.Account) -> Array:
    """What decides, [B]."""
    return objectives.total(taste.objective, taste.weights, account)[0]


def nearest(rows: Array, asked: Array) -> Array:
    """Which of the rows [K, F] is nearest to each that is asked about [B, F], [B]."""
    # |r − a|² less |a|², which is the same for all rows
    return jnp.argmin((rows**2).sum(1)[None] - 2 * asked @ rows.T, axis=1)


def random_shares(key: Array, count: int, agents: int, items: int, valuation: str, sharpest: float) -> Array:
    """Random feasible allocations [count, N, goods]; s of each is between 1 and `sharpest`, even in its logarithm."""
    first, second, sharp = jax.random.split(key, 3)
    sharpness = sharpest ** jax.random.uniform(sharp, (count, 1, 1))
    drawn = jax.nn.softmax(sharpness * jax.random.uniform(first, (count, agents + 1, items + (valuation == "unit_demand"))), axis=1)
    given = drawn[:, :-1, :items]
    if valuation == "unit_demand":
        wanted = jax.nn.softmax(sharpness * jax.random.uniform(second, (count, agents + 1, items + 1)), axis=2)
        return jnp.minimum(given, wanted[:, :-1, :items])
    if valuation == "combinatorial":
        one, other = given[..., 0], given[..., 1]
        return jnp.stack([one * (1 - other), other * (1 - one), one * other], -1)
    return given


def build(model: Any, problem: Any, env: Tree, folder: Any) -> Taste:
    """The taste that a problem file tells of, from its model; `folder` is where relative data files are looked up."""
    features = problem.agents * (problem.items + 2 * (model.shown == "account"))
    bands, shares, said = model.labels.build(problem, env, Path(folder))
    weights = model.labels.worth()
    return Taste(
        weight=jnp.asarray(model.weight, jnp.float32), weights=jnp.asarray(list(weights.values()), jnp.float32),
        shown=jnp.asarray(2 * shares - 1 if len(shares) else np.zeros((0, features)), jnp.float32), said=jnp.asarray(said, jnp.float32),
        bands=jnp.asarray(bands, jnp.float32), objective=tuple(weights), whole=model.shown == "account",
    )  # fmt: skip


Found = tuple[Any, np.ndarray, np.ndarray]  # bands, and what people were shown and said
NOBODY = np.zeros((0, 0)), np.zeros(0)


def threshold(model: Any, problem: Any, env: Tree, folder: Path) -> Found:
    """From the least to the most."""
    return [(-np.inf if model.at_least is None else model.at_least, np.inf if model.at_most is None else model.at_most)], *NOBODY


def quota(model: Any, problem: Any, env: Tree, folder: Path) -> Found:
    """A share of an even part, or more."""
    return [(model.share / problem.agents, np.inf)], *NOBODY


def ranking(model: Any, problem: Any, env: Tree, folder: Path) -> Found:
    """Who wins more than all but a share of its comparisons is above that quantile of those it is compared with."""
    return [(float(np.quantile(compared(model, problem, env), 1 - model.share)), np.inf)], *NOBODY


def pass_band(model: Any, problem: Any, env: Tree, folder: Path) -> Found:
    """Between quantiles; above the last there is no end, nor below the first."""
    among = compared(model, problem, env)
    ends = np.quantile(among, np.asarray(model.bands))
    return np.where(np.asarray(model.bands) == [0, 1], [-np.inf, np.inf], ends), *NOBODY


def from_file(model: Any, problem: Any, env: Tree, folder: Path) -> Found:
    """What people said."""
    return np.zeros((0, 2)), *read_labelled(folder / model.file, problem.agents, problem.items)


def compared(model: Any, problem: Any, env: Tree) -> np.ndarray:
    """What random allocations are worth, by the objectives of the model, [comparisons]."""
    weights = model.worth()
    taste = Taste(
        weight=jnp.ones(()), shown=jnp.zeros((0, 1)), said=jnp.zeros((0,)), weights=jnp.asarray(list(weights.values()), jnp.float32),
        bands=jnp.zeros((0, 2)), objective=tuple(weights), whole=False,
    )  # fmt: skip
    return np.asarray(_compared(problem, env, taste, model.comparisons))


@partial(jax.jit, static_argnames=("problem", "count"))
def _compared(problem: Any, env: Tree, taste: Taste, count: int) -> Array:
    draw, decision = problem.imagined(env, jax.random.key(SEED), count, 1.0)
    return measured(taste, problem.account(env, draw, decision))


def refuse_unlearnable(problem: Any, env: Tree, config: Config) -> None:
    """Raise ConfigError where all random allocations have one label: from such a network learns nothing."""
    taste = env.preference
    found, worth = (np.asarray(each) for each in _asked(problem, env))
    if 0 < found.mean() < 1:
        return
    said = f"{config.source}: problem.preference.labels: {'every' if found.all() else 'none'} of {ASKED} random allocations is liked, from "
    said += "which nothing can be learned"
    if not taste.objective:
        raise ConfigError(f"{said}; label some allocations that auctions of this kind may make.")
    name = weighed(dict(zip(taste.objective, np.asarray(taste.weights).tolist(), strict=True)))
    raise ConfigError(f"{said}; {name} is between {worth.min():.3g} and {worth.max():.3g} of them: draw the line in between.")


@partial(jax.jit, static_argnames="problem")
def _asked(problem: Any, env: Tree) -> tuple[Array, Array]:
    draw, decision = problem.imagined(env, jax.random.key(SEED), ASKED)
    account = problem.account(env, draw, decision)
    worth = measured(env.preference, account) if env.preference.objective else jnp.zeros(ASKED)
    return liked(env.preference, account), worth


def details(problem: Any, env: Tree, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """`preference` of a result: the share of test bids whose allocation is liked (the authors' preference classification accuracy) with its
    standard error, what that is worth, the share of random allocations that is liked; and what a network thinks that has learned anew."""
    if env.preference is None:
        return {}
    env, key = problem.held_out(env), jax.random.key(SEED + 1)
    accuracy = float(np.mean([_accuracy(problem, env, rule, jax.random.fold_in(key, tile)) for tile in range(JUDGED // TILE)]))
    opinion = {name: float(value) for name, value in another_opinion(problem, env, rule, jax.random.fold_in(key, JUDGED)).items()}
    return {"preference": {
        "accuracy": accuracy, "std_error": float(np.sqrt(accuracy * (1 - accuracy) / JUDGED)), "bids": JUDGED,
        "worth": float(env.preference.weight) * accuracy,
        "share_of_random_allocations": float(_asked(problem, env)[0].mean()), **opinion}}  # fmt: skip


@partial(jax.jit, static_argnames="problem")
def _accuracy(problem: Any, env: Tree, rule: Rule, key: Array) -> Array:
    _, draw, decision = as_recommended(problem, env, rule, key, TILE)
    return problem.liked(env, draw, decision).mean()


def imagined(problem: Any, draw: Draw, key: Array, sharpest: float) -> tuple[Array, Array]:
    """Random allocations [B, N, goods] on a draw, and payments [B, N]: an even share of what each bidder gets is worth to it."""
    shares_key, payment_key = jax.random.split(key)
    count = draw.weight.shape[0]
    given = random_shares(shares_key, count, problem.agents, problem.items, problem.valuation, sharpest)
    received = jnp.einsum("...nm,...nm->...n", given, problem.values(draw.types))
    return given, received * jax.random.uniform(payment_key, received.shape)
