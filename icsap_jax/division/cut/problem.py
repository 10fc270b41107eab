"""Cut-and-choose as a learning problem: the chance of picking first, and a cutter who makes the best of them.

The cutter's actions are cuts, on a grid that holds every point where an exact cutter could cut; the chooser, who moves last, is part of
what a cut is worth: it takes the piece it likes best, and where it does not care the one that the cutter likes less, which is what
cutting a hair beside that point would bring about. Its own action is nothing.

With an exact cutter F has no slope that helps: it jumps at the chance where the cutter changes its plan (at 1/2 where tastes are alike)
and tells nothing of the other side before. A quantal cutter also cuts elsewhere now and then, and how much less often it does is a slope:
near certainty that the cutter picks first about 4·T, where tastes are alike and the temperature is T. Adam does not mind that this is
small, so the temperature need not fall slowly, or at all, to find the way; it must only not begin below what the grid can show, since
with cuts h apart the slope falls as exp(−h/T) and is lost in rounding. Measured with h = 1/200, 1 000 steps at .05, begun between 10⁻⁴
and 1 − 10⁻⁶, for tastes alike and three unequal pairs: falling to .01 from 10, 1, .3 or .1, or held at .1 or .01, the optimum from
everywhere; held at .001, one pair stays at .999; held at .0003, equal tastes stay at .9. So training begins at .1, far from both ends,
and falls to .01, which makes its F nearly the exact one.

Heat has its price where the designer does not want spreads to be small: a cutter that cuts anywhere is another problem, in which who
picks first matters for itself. Of five random pairs of tastes, begun at .9, two ended at 1 and not at the optimum with welfare, and one
with maximin. So a rule has several starts, of which the best by the exact cutter is kept; what is said above is of one alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.judgement import Judgement
from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Rule, Tree
from icsap_jax.division.cut.optimum import Plan, Tastes, best_and_worst, best_chance, given_pieces, liked, measures, tastes_of, value


@register_dataclass
@dataclass(frozen=True)
class CutEnv:
    """The A cuts, `cut` [A], and what (cutter, chooser) get from each where the cutter picks `first` and where it picks `second`, [A, 2]
    each. numpy float64."""

    cut: Array
    first: Array
    second: Array


@register_dataclass
@dataclass(frozen=True)
class Lot:
    """`cutter_first` []: the probability with which the cutter picks first."""

    cutter_first: Array


@dataclass(frozen=True)
class CutAndChoose:
    """A `cuts`; agent 0 cuts, agent 1 chooses. `looks_at`: what the designer looks at, by the name that `measures` gives it."""

    cuts: int
    looks_at: str
    objective: tuple[str, ...]
    agents: int = 2
    margin: float = 0.0
    rowwise: bool = False
    separable: ClassVar[bool] = True

    def draw(self, env: CutEnv, key: Array, count: int) -> Draw:
        """There is nothing to draw: one profile, of weight 1."""
        return Draw(weight=jnp.ones(1), types=None)

    def space(self, env: CutEnv, draw: Draw) -> Finite:
        """Every cut for the cutter, one thing alone for the chooser, [1, 2, A]."""
        every = jnp.ones((1, self.cuts), bool)
        return Finite(mask=jnp.stack([every, jnp.arange(self.cuts)[None] == 0], axis=1))

    def recommended(self, env: CutEnv, draw: Draw) -> None:
        """Nothing: the cutter cuts where it likes."""
        return None

    def decide(self, env: CutEnv, rule: Rule, seen: Tree, action: Any) -> Lot:
        """The chance."""
        return Lot(rule())

    def gets(self, env: CutEnv, decision: Lot) -> Array:
        """What (cutter, chooser) expect from each cut, [A, 2]."""
        chance = decision.cutter_first
        return chance * jnp.asarray(env.first) + (1 - chance) * jnp.asarray(env.second)

    def payoffs(self, env: CutEnv, draw: Draw, decision: Lot) -> Array:
        """What each cut brings the cutter, [1, 2, A]; nothing that the chooser does now makes a difference to it."""
        own = self.gets(env, decision)[:, 0]
        return jnp.stack([own, jnp.zeros_like(own)])[None]

    def utility(self, env: CutEnv, draw: Draw, decision: Lot, action: Array) -> Array:
        """What both get, […, 1, 2], of cuts […, 1, 2, A]."""
        return action[..., 0, :] @ self.gets(env, decision)

    def weight(self, env: CutEnv, draw: Draw, decision: Lot) -> Array:
        """One, [1, 1]."""
        return draw.weight[:, None]

    def score(self, env: CutEnv, draw: Draw, decision: Lot, action: Array) -> Outcome:
        """F, what both get, and the chance itself, whose path a picture follows, [1] each."""
        chance, cuts = decision.cutter_first, action[:, 0]
        first, second = jnp.asarray(env.first), jnp.asarray(env.second)
        gets = cuts @ self.gets(env, decision)
        parts = {name: cuts @ each for name, each in measures(chance, first, second).items()}
        parts |= {"cutter": gets[:, 0], "chooser": gets[:, 1], "cutter_first": jnp.broadcast_to(chance, (1,))}
        return Outcome(value=cuts @ value(self.looks_at, chance, first, second), objectives=parts, constraints={})


class Chance(nnx.Module):
    """A probability, by the logarithm of its odds []."""

    def __init__(self, logarithm: Array):
        self.logarithm = nnx.Param(logarithm)

    def __call__(self) -> Array:
        return nnx.sigmoid(self.logarithm[...])


def first_pick(model: Any, problem: CutAndChoose, env: CutEnv, key: Array) -> Rule:
    """The chance that the file begins with."""
    return Rule.of(Chance(jnp.asarray(np.log(model.initial) - np.log1p(-model.initial), jnp.float32)))


def first_picks(model: Any, problem: CutAndChoose, env: CutEnv, key: Array) -> Rule:
    """Starts side by side, [starts]: the chance that the file begins with, and others evenly apart."""
    others = [(place + 1) / (model.others + 1) for place in range(model.others)]
    every = [first_pick(model.model_copy(update={"initial": chance}), problem, env, key) for chance in (model.initial, *others)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *every)


def chance_of(rule: Rule) -> float:
    """The probability with which the cutter picks first."""
    return float(1.0 / (1.0 + np.exp(-np.float64(rule.params["logarithm"][...]))))


def judge(problem: CutAndChoose, env: CutEnv, model: Any, rule: Rule, settings: Any) -> Judgement:
    """What the chance is worth where the cutter cuts at its best of all cuts, and everybody takes the better piece: at the equilibrium that
    is best for the designer, and `adversarial` at the worst. Nobody can gain: plans are compared exactly."""
    tastes, chance = tastes_of(model), chance_of(rule)
    best, worst = best_and_worst(tastes, problem.looks_at, chance)
    wanted, _ = best_chance(tastes, problem.looks_at)
    return Judgement(
        value=float(value(problem.looks_at, chance, best.first, best.second)),
        adversarial=float(value(problem.looks_at, chance, worst.first, worst.second)),
        gap=np.zeros((1, 2)), weight=np.ones((1, 1)),
        method="exact: all cuts, by the points where tastes change or somebody is indifferent; then the better piece",
        objectives={name: float(each) for name, each in measures(chance, best.first, best.second).items()},
        details={"cutter_picks_first": chance, "lowest_best_chance": wanted, "equilibrium": told(best, chance),
                 "worst_equilibrium": told(worst, chance)},
    )  # fmt: skip


def told(plan: Plan, chance: float) -> dict[str, Any]:
    """A plan in plain numbers: the cut, and what (cutter, chooser) get, by who picks first and on average."""
    return {"cut": plan.cut, "expected": plan.expected(chance).tolist(), "where_cutter_picks_first": plan.first.tolist(),
            "where_chooser_picks_first": plan.second.tolist()}  # fmt: skip


def listing(problem: CutAndChoose, env: CutEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """Who picks first with which probability, where the cutter then cuts, and what both get."""
    chance = chance_of(rule)
    best, _ = best_and_worst(tastes_of(model), problem.looks_at, chance)
    ways = (("cutter", chance, best.first), ("chooser", 1 - chance, best.second))
    return [{"picks_first": who, "probability": share, "cut": best.cut, "cutter_gets": float(gets[0]), "chooser_gets": float(gets[1])}
            for who, share, gets in ways]  # fmt: skip


def grid(tastes: Tastes, count: int) -> np.ndarray:
    """About `count` cuts evenly spread, and every point where an exact cutter could cut."""
    return np.unique(np.concatenate([np.round(np.linspace(0.0, 1.0, count + 1), 12), tastes.points]))


def build(model: Any, folder: Path) -> tuple[CutAndChoose, CutEnv]:
    """The problem a file describes and its numbers."""
    tastes = tastes_of(model)
    cuts = grid(tastes, model.cuts)
    first, second = np.zeros((len(cuts), 2)), np.zeros((len(cuts), 2))
    for place, cut in enumerate(cuts):
        own, other = (liked(float(worth)) for worth in tastes.left(cut))
        first[place] = given_pieces(tastes, cut, own[0])
        options = [given_pieces(tastes, cut, not taken) for taken in other]
        second[place] = max(options, key=lambda gets: gets[0])
    spread = model.objective.endswith("spread")
    name = f"− {model.objective}" if spread else model.objective
    return CutAndChoose(cuts=len(cuts), looks_at=model.objective, objective=(name,)), CutEnv(cuts, first, second)
