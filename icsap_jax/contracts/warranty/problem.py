"""The used car as a learning problem: a buyer's menu of a lump sum and a deferred payment, and sellers who choose for themselves.

The decision is the menu; the actions of each type of seller are three: the lump sum, the deposit with the deferred payment, keeping
the car. Nobody recommends one. Types are enumerated with their probabilities. See `warranty_optimum` for the payoffs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.deviations import double, reaction
from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule, Tree
from icsap_jax.contracts.warranty.optimum import best_for, sale
from icsap_jax.exact.lp import LpError

CHOICES = ("lump_sum", "deferred", "keep")
EASE = 1.02  # a start pays a little more than the type it is for asks
FLOOR = 0.01  # of the size of payments: a square at 0 has no slope


@register_dataclass
@dataclass(frozen=True)
class WarrantyEnv:
    """The numbers: `survive`, `reservation`, `prior` [T]; `value` [] of a car that survives; both discounts []. numpy float64."""

    survive: Array
    reservation: Array
    prior: Array
    value: Array
    seller_discount: Array
    buyer_discount: Array


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """The menu, [] each: `lump_sum` now, or `deposit` now and `deferred` if the car survives."""

    lump_sum: Array
    deposit: Array
    deferred: Array


@dataclass(frozen=True)
class Warranty:
    """T types of seller; `size` of payments, in which temperatures are measured; `min_deposit`, None for none."""

    types: int
    size: float
    min_deposit: float | None
    margin: float = 0.0
    agents: int = 1
    rowwise: bool = False
    objective: tuple[str, ...] = ("buyer",)

    def draw(self, env: WarrantyEnv, key: Array, count: int) -> Draw:
        """Every type [T] with its probability. `key` and `count` are not needed."""
        return Draw(weight=jnp.asarray(env.prior), types=jnp.arange(self.types))

    def space(self, env: WarrantyEnv, draw: Draw) -> Finite:
        """Lump sum, deferred payment or keeping the car, [1, 1, 3]."""
        return Finite(mask=jnp.ones((1, 1, len(CHOICES)), bool))

    def recommended(self, env: WarrantyEnv, draw: Draw) -> None:
        """Nothing: sellers do what is best for them."""
        return None

    def scale(self, env: WarrantyEnv) -> float:
        """The size of payments."""
        return self.size

    def decide(self, env: WarrantyEnv, rule: Rule, seen: Tree, action: Any) -> Decision:
        """The menu, made before anyone chooses."""
        return rule()

    def utility(self, env: WarrantyEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """What each type gets, […, T, 1], from choices […, T|1, 1, 3]."""
        later = decision.deposit + env.seller_discount * decision.deferred * env.survive
        gets = jnp.stack([jnp.broadcast_to(decision.lump_sum, later.shape), later, jnp.asarray(env.reservation, later.dtype)], -1)
        return (action * gets.reshape(*[1] * (action.ndim - 3), self.types, 1, -1)).sum(-1)

    def weight(self, env: WarrantyEnv, draw: Draw, decision: Decision) -> Array:
        """The probability of each type, [T, 1]."""
        return draw.weight[:, None]

    def reservation(self, env: WarrantyEnv, draw: Draw) -> Array:
        """What the car is worth to each type, [T, 1]."""
        return jnp.asarray(env.reservation)[:, None]

    def score(self, env: WarrantyEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """What the buyer gets and pays (in its own present value) on each type, [T]."""
        later = decision.deposit + env.buyer_discount * decision.deferred * env.survive
        chosen = action[:, 0]
        paid = chosen[:, 0] * decision.lump_sum + chosen[:, 1] * later
        buyer = (chosen[:, 0] + chosen[:, 1]) * env.value * env.survive - paid
        return Outcome(value=buyer, objectives={"buyer": buyer, "payment": paid}, constraints={})


class Menu(nnx.Module):
    """A menu by three numbers. A square keeps a payment above its bound and lets it reach it; a deposit without bound is linear."""

    def __init__(self, raw: Array, size: float, min_deposit: float | None):
        self.raw, self.size, self.min_deposit = nnx.Param(raw), size, min_deposit

    def __call__(self) -> Decision:
        raw = self.raw[...]
        above = self.size * raw**2
        deposit = self.size * raw[1] if self.min_deposit is None else self.min_deposit + above[1]
        return Decision(lump_sum=above[0], deposit=deposit, deferred=above[2])


def raw_of(menus: Any, size: float, min_deposit: float | None) -> Any:
    """The numbers […, 3] by which a `Menu` offers these payments […, 3]."""
    shares = menus / size if min_deposit is None else (menus - np.array([0.0, min_deposit, 0.0])) / size
    roots = np.sqrt(np.maximum(shares, 0.0))
    return np.stack([roots[..., 0], shares[..., 1] if min_deposit is None else roots[..., 1], roots[..., 2]], -1)


def menu(model: Any, problem: Warranty, env: WarrantyEnv, key: Array) -> Rule:
    """A menu that pays next to nothing, to be filled."""
    return Rule.of(Menu(jnp.full((3,), FLOOR), problem.size, problem.min_deposit))


def menus(model: Any, problem: Warranty, env: WarrantyEnv, key: Array) -> Rule:
    """Menus side by side, raw [S, 3]: every deferred payment that is just enough for one type or two, each with every lump sum that is
    just enough to be taken by one type; at most `model.start_count` of them, picked evenly, each a little off by chance."""
    with jax.ensure_compile_time_eval():
        survive, reservation = np.asarray(env.survive), np.asarray(env.reservation)
        worth_later = float(env.seller_discount) * survive
    pairs = []
    for deposit, deferred in offers(worth_later, reservation, problem.min_deposit):
        for lump in np.maximum(reservation, deposit + worth_later * deferred):
            pairs.append([EASE * lump, deposit, EASE * deferred])
    picked = np.unique(np.linspace(0, len(pairs) - 1, min(model.start_count, len(pairs))).astype(int))
    raw = jnp.asarray(raw_of(np.array(pairs)[picked], problem.size, problem.min_deposit) + FLOOR, jnp.float32)
    raw = raw * (1.0 + 0.01 * jax.random.normal(key, raw.shape))
    graph = menu(model, problem, env, key).graph
    return jax.vmap(lambda each: Rule(Rule.of(Menu(each, problem.size, problem.min_deposit)).params, graph))(raw)


def offers(worth_later: np.ndarray, reservation: np.ndarray, min_deposit: float | None) -> list[tuple[float, float]]:
    """(deposit, deferred payment): nothing deferred, the least that each type takes alone with the least deposit (none, where there
    is no least), and what leaves two types both indifferent. `worth_later` [T]: of a unit deferred."""
    floor = min_deposit or 0.0
    found = [(floor, 0.0)]
    # A car that hardly ever survives is not bought by a deferred payment.
    found += [(floor, max(r - floor, 0.0) / w) for w, r in zip(worth_later, reservation, strict=True) if w > 0.01]
    for (w, r), (v, s) in combinations(zip(worth_later, reservation, strict=True), 2):
        if abs(w - v) > 0.01:
            deferred = (r - s) / (w - v)
            deposit = r - w * deferred
            if deferred > 0 and (min_deposit is None or deposit >= min_deposit):
                found.append((deposit, deferred))
    return found


def induced(problem: Warranty, env: WarrantyEnv, rule: Rule) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """(menu [3], choices [T], utilities [T], the buyer's value) of the sellers' exact best replies, ties broken for the buyer."""
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jnp.asarray, (double(env), double(rule)))
        found = reaction(problem, env, rule, problem.draw(env, None, 1))
        offered = np.array([found.decision.lump_sum, found.decision.deposit, found.decision.deferred])
        reply = found.reply
        return offered, np.asarray(reply.action)[:, 0].argmax(-1), np.asarray(reply.utility)[:, 0], float(reply.value)


def polish(problem: Warranty, env: WarrantyEnv, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The best menu for the choices that `rule` induces, with the buyer's value before and after; the menu as it was learned where
    these choices hang on a tie that the exact programme does not see."""
    _, choices, _, before = induced(problem, env, rule)
    told: dict[str, Any] = {"value_before_polish": before}
    try:
        best = best_for(sale(model), choices)
    except LpError as error:
        return rule, {**told, "value_after_polish": before, "not_polished": str(error)}
    raw = raw_of(best, problem.size, problem.min_deposit)
    exact = Rule(params=jax.tree.map(lambda _: raw, rule.params), graph=rule.graph)
    after = induced(problem, env, exact)[-1]
    return (exact, {**told, "value_after_polish": after}) if after >= before else (rule, {**told, "value_after_polish": before})


def listing(problem: Warranty, env: WarrantyEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, float]]:
    """The menu as one row: lump_sum, deposit, deferred."""
    offered = induced(problem, env, rule)[0]
    return [dict(zip(("lump_sum", "deposit", "deferred"), offered.tolist(), strict=True))]


def details(problem: Warranty, env: WarrantyEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """The menu, and what each type of seller chooses and gets."""
    _, choices, utilities, _ = induced(problem, env, rule)
    responses = [
        {"type": name, "choice": CHOICES[choice], "agent_utility": float(utility)}
        for name, choice, utility in zip(model.names(), choices, utilities, strict=True)
    ]
    return {"menu": listing(problem, env, model, rule_model, rule)[0], "responses": responses}


def build(model: Any, folder: Path) -> tuple[Warranty, WarrantyEnv]:
    """The problem a file describes and its numbers."""
    given = sale(model)
    numbers = (np.float64(each) for each in (given.value, given.seller_discount, given.buyer_discount))
    env = WarrantyEnv(given.survive, given.reservation, given.prior, *numbers)
    return Warranty(types=len(given.survive), size=given.scale, min_deposit=model.min_deposit), env
