"""How near a rule for all cakes comes to the best division of each, and what an agent gains by misreporting to it.

Objective, optimum and baselines are means over the same unseen cakes, so that their difference is the rule's failures alone. The gap is
found on these cakes by the strong search. It says what the rule is worth where tastes must be asked for: the best division itself is no
better there, since the objectives are not what any agent wants.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.deviations import Search, box_gap
from icsap_jax.bilevel.judgement import Judgement
from icsap_jax.bilevel.types import Draw, Rule
from icsap_jax.division.family.problem import CakeFamily, FamilyEnv
from icsap_jax.division.optimum import best
from icsap_jax.division.problem import enjoyed, envy, lacking, wishes


def fresh(problem: CakeFamily, env: FamilyEnv) -> Draw:
    """The cakes on which rules are judged, in float64."""
    seed, count = problem.fresh
    with jax.enable_x64(True):
        return problem.draw(env, jax.random.fold_in(jax.random.key(seed), 0), count)


@lru_cache(maxsize=4)
def known(problem: CakeFamily, contrast: float) -> tuple[np.ndarray, np.ndarray]:
    """The tastes [B, N, P] of the unseen cakes, and the optimum [B] of each."""
    tastes = np.asarray(fresh(problem, FamilyEnv(np.float64(contrast))).types)
    return tastes, np.array([best(each, problem.wish).value for each in tastes])


def judge(problem: CakeFamily, env: FamilyEnv, model: Any, rule: Rule, settings: Any) -> Judgement:
    """The mean objective at the truth, and by the strong search what each agent of each cake gains by misreporting alone."""
    tastes, optima = known(problem, float(model.contrast))
    draw = fresh(problem, env)
    decision = jax.jit(problem.decide)(env, rule, None, draw.types)
    shares = np.asarray(decision.shares)
    gets = enjoyed(tastes, shares)
    worth = wishes(gets)
    reached = worth[problem.wish]
    search = Search(joint=settings.joint_grid, single=settings.item_grid, starts=settings.starts, steps=settings.steps)
    gap = box_gap(problem, search, env, rule, draw)
    envies = np.array([envy(*each).max() for each in zip(tastes, shares, strict=True)])
    short = np.array([lacking(*each).max() for each in zip(tastes, shares, strict=True)])
    details: dict[str, Any] = {"cakes": len(tastes), "std_error": float(reached.std() / np.sqrt(len(reached))),
                               "feasibility_violation": float(np.abs(shares.sum(1) - 1.0).max())}  # fmt: skip
    if problem.wish != "equitable":
        share = reached / optima
        details["ratio"] = {"mean": float(share.mean()), "first_percentile": float(np.quantile(share, 0.01)), "worst": float(share.min())}
    details |= {
        "largest_envy": {"mean": float(np.maximum(envies, 0.0).mean()), "worst": float(max(envies.max(), 0.0))},
        "proportionality_shortfall": {"mean": float(np.maximum(short, 0.0).mean()), "worst": float(max(short.max(), 0.0))},
        "misreporting": {"gains": float(gap.mean()), "of_what_it_gets": float((gap / gets).mean()), "worst": float(gap.max())},
    }
    return Judgement(
        value=float(reached.mean()), gap=gap, weight=np.asarray(draw.weight)[:, None], method=search.method(problem.agents, problem.pieces),
        objectives={name: float(each.mean()) for name, each in worth.items()}, details=details,
    )  # fmt: skip


def optimum(problem: CakeFamily, env: FamilyEnv, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: the mean of the cakes' optima, where nobody misreports."""
    optima = known(problem, float(model.contrast))[1]
    programme = "convex" if problem.wish == "nash_welfare" else "linear"
    return {"value": float(optima.mean()), "method": f"a {programme} programme for each of the {len(optima)} cakes, mean",
            "source": "tastes as they are", "upper_bound": float(optima.mean())}  # fmt: skip


def baselines(problem: CakeFamily, env: FamilyEnv, model: Any) -> dict[str, float]:
    """Means over the same cakes: equal shares, at which nobody has a reason to misreport; of each piece as much as an agent's taste for it
    is of all tastes for it; and each piece to whoever likes it most."""
    tastes = known(problem, float(model.contrast))[0]
    most = tastes == tastes.max(1, keepdims=True)
    ways = {"equal_shares": np.full(tastes.shape, 1.0 / problem.agents), "by_taste": tastes / tastes.sum(1, keepdims=True),
            "to_who_likes_it_most": most / most.sum(1, keepdims=True)}  # fmt: skip
    return {name: float(wishes(enjoyed(tastes, shares))[problem.wish].mean()) for name, shares in ways.items()}
