"""What a trained rule is worth and how far it can be exploited: the strong evaluation behind every reported number.

Fresh profiles (an empirical prior's held-out rows), float64 throughout, the agents' exact best response. The result is the part
of `result.json` that does not depend on how the rule was trained; an objective is never given without its incentive gap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.deviations import Search, box_gap, double, finite_gap
from icsap_jax.bilevel.types import Array, Box, Draw, Problem, Rule, Tree
from icsap_jax.config import Config

TILE = 2_000  # profiles decided at once for the objective
Say = Callable[[str], None]


def evaluate(config: Config, problem: Problem, env: Tree, rule: Rule, say: Say = lambda line: None) -> dict[str, Any]:
    """`objective`, `optimum`, `ratio_to_optimum`, `shortfall`, `incentive_gap`, `participation_violation`, `baselines`, `details`
    of `result.json` for one rule (not a stack of members)."""
    settings = config.evaluation
    with jax.enable_x64(True):
        held_out = problem.held_out(env) if hasattr(problem, "held_out") else env
        env64, rule64 = jax.tree.map(jnp.asarray, (double(held_out), double(rule)))
        key = jax.random.key(settings.seed)
        draw = problem.draw(env64, jax.random.fold_in(key, 0), settings.gap_profiles)
        space = problem.space(env64, draw)
        if isinstance(space, Box):
            say(f"searching for deviations on {settings.gap_profiles} fresh profiles")
            control = _hook(config, "control", problem, env)
            measured = _sampled(settings, problem, env64, rule64, key, draw, control, say)
        else:
            measured = _enumerated(problem, env64, rule64, draw)
    say("the exact optimum and the baselines")
    optimum = known_optimum(config, problem, env)
    baselines = _hook(config, "baselines", problem, env) or {}
    value = measured["objective"]["value"]
    best = optimum["value"]
    measured["objective"]["name"] = objective_name(problem)
    return {
        **measured,
        "optimum": optimum,
        "ratio_to_optimum": value / best if best is not None and best > 0 else None,
        "shortfall": best - value if best is not None else None,
        "baselines": baselines,
    }


def known_optimum(config: Config, problem: Problem, env: Tree) -> dict[str, Any]:
    """The exact answer or bound of a problem, as `icsap optimum` prints it; every value null where nothing is known."""
    unknown = {"value": None, "method": None, "source": None, "upper_bound": None}
    return {**unknown, **(_hook(config, "optimum", problem, env) or {})}


def objective_name(problem: Problem) -> str:
    """What the designer maximises, in words."""
    return " + ".join(problem.objective)


def _hook(config: Config, name: str, problem: Problem, env: Tree) -> Any:
    """What a hook of the problem's domain answers, None where there is none."""
    hook = config.problem.hook(name)
    return hook(problem, env, config.problem) if hook else None


def _sampled(
    settings: Any, problem: Problem, env: Tree, rule: Rule, key: Array, draw: Draw, control: Any, say: Say
) -> dict[str, Any]:
    """Objective and gap where agents' actions are reports: sampled profiles, the truth against the strongest misreport found."""
    search = Search(joint=settings.joint_grid, single=settings.item_grid, starts=settings.starts, steps=settings.steps)
    gap = box_gap(problem, search, env, rule, draw)
    count = gap.shape[0]
    error = gap.mean(1).std() / np.sqrt(count)
    mean = gap.mean()
    say(f"the objective on {settings.profiles} fresh profiles")
    values, violation = objective_sample(problem, env, rule, jax.random.fold_in(key, 1), settings.profiles, control)
    value = float(values.mean())
    width = int(jax.tree.leaves(problem.recommended(env, draw))[0].shape[-1])
    total = float(gap.sum(1).mean())
    return {
        "objective": {"value": value, "std_error": float(values.std() / np.sqrt(len(values))), "profiles": len(values),
                      "adversarial_ties": None, "upper_bound": None},
        "incentive_gap": {"per_agent": gap.mean(0).tolist(), "mean": float(mean), "max": float(gap.max()),
                          "ci95": [float(max(mean - 1.96 * error, 0.0)), float(mean + 1.96 * error)],
                          "method": search.method(problem.agents, width), "upper_bound": None},
        "participation_violation": violation,
        "details": {
            "estimator": "sample mean" if control is None else "sample mean, the exact optimum on the same profiles as control variate",
            "gap_profiles": count,
            "gap_std_error_per_agent": (gap.std(0) / np.sqrt(count)).tolist(),
            "gap_quantiles": {str(q): float(np.quantile(gap, q)) for q in (0.5, 0.9, 0.99)},
            "gap_histogram": histogram(gap),
            # What revenue survives once the gap is paid for (√P − √R)²: proved for one bidder, and for the Bayesian gap of many.
            "corrected_objective": max(np.sqrt(max(value, 0.0)) - np.sqrt(total), 0.0) ** 2,
        },
    }  # fmt: skip


def objective_sample(
    problem: Problem, env: Tree, rule: Rule, key: Array, count: int, control: Any = None
) -> tuple[np.ndarray, float]:
    """The designer's value on each of `count` profiles, all agents truthful, and the most any agent loses by taking part.

    With a `control`, (what the exact optimum earns on given types, its exact expectation), each value is corrected by how lucky
    the profile was for the optimum, as far as luck of the one has gone with luck of the other (the regression coefficient, whose
    own error is of a smaller order): the same expectation, and near the optimum a far smaller error."""
    values, luck, worst = [], [], 0.0
    for start in range(0, count, TILE):
        value, loss, types = _tile(problem, env, rule, jax.random.fold_in(key, start), TILE)
        values.append(np.asarray(value))
        if control is not None:
            earned, expected = control
            luck.append(earned(np.asarray(types)) - expected)
        worst = max(worst, float(loss))
    found = np.concatenate(values)[:count]
    if control is not None:
        lucky = np.concatenate(luck)[:count]
        spread = lucky.var()
        found = found - (np.cov(found, lucky, bias=True)[0, 1] / spread if spread > 0 else 0.0) * lucky
    return found, worst


@partial(jax.jit, static_argnames=("problem", "count"))
def _tile(problem: Problem, env: Tree, rule: Rule, key: Array, count: int) -> tuple[Array, Array, Tree]:
    draw = problem.draw(env, key, count)
    action = problem.recommended(env, draw)
    decision = problem.decide(env, rule, draw.seen, action)
    utility = problem.utility(env, draw, decision, action)
    return problem.score(env, draw, decision, action).value, jax.nn.relu(-utility).max(), draw.types


def _enumerated(problem: Problem, env: Tree, rule: Rule, draw: Draw) -> dict[str, Any]:
    """Objective and gap where actions are finite: exact, with the hard best response and ties for and against the designer."""
    gap, weight = (np.asarray(part) for part in finite_gap(problem, env, rule, draw))
    decision = problem.decide(env, rule, draw.seen, problem.recommended(env, draw))
    reached = np.where(weight > 0, gap, 0.0)
    per_agent = (weight * gap).sum(0)
    return {
        "objective": {"value": problem.hard_value(env, decision, "for"), "std_error": 0.0, "profiles": int(draw.weight.shape[0]),
                      "adversarial_ties": problem.hard_value(env, decision, "against"), "upper_bound": None},
        "incentive_gap": {"per_agent": per_agent.tolist(), "mean": float(per_agent.mean()), "max": float(reached.max()),
                          "ci95": [float(per_agent.mean())] * 2, "method": "every action, exact", "upper_bound": None},
        "participation_violation": None,
        "details": {"gap_profiles": int(gap.shape[0]), "gap_histogram": histogram(reached)},
    }  # fmt: skip


def histogram(gap: np.ndarray) -> dict[str, list[float]]:
    """Counts of gaps over all agents in 40 even bins from 0, enough to draw them again; what is not finite is not counted."""
    gap = gap[np.isfinite(gap)]
    counts, edges = np.histogram(gap, bins=40, range=(0.0, float(gap.max(initial=1e-9))))
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def with_effort(config: Config, profiles: int | None = None, starts: int | None = None) -> Config:
    """The same config with another evaluation effort: gap profiles and refined starts."""
    changes = {name: value for name, value in (("gap_profiles", profiles), ("starts", starts)) if value is not None}
    return replace(config, evaluation=config.evaluation.model_copy(update=changes)) if changes else config
