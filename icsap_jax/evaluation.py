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

from icsap_jax.bilevel.deviations import Search, box_gap, double, reaction, sharing
from icsap_jax.bilevel.judgement import Judgement, standing
from icsap_jax.bilevel.reports import report_gap
from icsap_jax.bilevel.responses import missing
from icsap_jax.bilevel.robust import worst_case
from icsap_jax.bilevel.stationary import stationary_reply
from icsap_jax.bilevel.types import Array, Box, Draw, Outcome, Problem, Reports, Rule, Tree, expectation
from icsap_jax.config import Config
from icsap_jax.files import number_or_none
from icsap_jax.objectives import weighed
from icsap_jax.profiles import Sample, judged_on, objective_sample

Say = Callable[[str], None]


def evaluate(config: Config, problem: Problem, env: Tree, rule: Rule, say: Say = lambda line: None) -> dict[str, Any]:
    """`objective`, `optimum`, `ratio_to_optimum`, `shortfall`, `incentive_gap`, `participation_violation`, `baselines`, `details`
    of `result.json` for one rule (not a stack of members)."""
    settings = config.evaluation
    problem = judged(config, problem)
    with jax.enable_x64(True):
        env64, rule64 = as_judged(problem, env, rule)
        key = jax.random.key(settings.seed)
        judge = config.problem.hook("judge")
        if judge is not None:
            measured = _told(judge(problem, env64, config.problem, rule64, settings), say)
        else:
            if hasattr(problem, "scenarios"):
                pairs = list(zip(problem.scenarios(env), problem.scenarios(env64), strict=True))
            else:
                pairs = [(env, env64)]
            found = [_measured(config, problem, *each, rule64, key, say) for each in pairs]
            measured = found[0] if len(found) == 1 else worst_case(found)
    say("the exact optimum and the baselines")
    optimum = known_optimum(config, problem, env)
    baselines = _hook(config, "baselines", problem, env) or {}
    value = measured["objective"]["value"]
    best = optimum["value"]
    at_worst = " at worst" if "scenarios" in measured["details"] else ""
    measured["objective"]["name"] = objective_name(config, problem) + at_worst
    prove = config.problem.hook("bound")
    measured["objective"]["upper_bound"] = prove(problem, env, config.problem, rule) if prove else None
    tell = config.problem.hook("details")
    if tell is not None:
        measured["details"].update(tell(problem, env, config.problem, config.rule, rule))
    return {
        **measured,
        "optimum": optimum,
        "ratio_to_optimum": value / best if best is not None and best > 0 else None,
        "shortfall": best - value if best is not None else None,
        "baselines": baselines,
    }


def _measured(config: Config, problem: Problem, env: Tree, env64: Tree, rule: Rule, key: Array, say: Say) -> dict[str, Any]:
    """What the strong search finds where `env`, and `env64` for the profiles it is judged on, is what is true."""
    settings = config.evaluation
    draw = problem.draw(env64, jax.random.fold_in(key, 0), settings.gap_profiles)
    if not isinstance(problem.space(env64, draw), Box | Reports):
        return _enumerated(problem, env64, rule, draw, say)
    say(f"searching for deviations on {settings.gap_profiles} fresh profiles")
    control = _hook(config, "control", problem, env)
    return _sampled(settings, problem, env64, rule, key, draw, control, say)


def as_judged(problem: Problem, env: Tree, rule: Rule) -> tuple[Tree, Rule]:
    """The numbers that rules are judged with, kept aside from training where there are such, and the rule, in float64; call under
    enable_x64."""
    held_out = problem.held_out(env) if hasattr(problem, "held_out") else env
    return jax.tree.map(jnp.asarray, (double(held_out), double(rule)))


def known_optimum(config: Config, problem: Problem, env: Tree) -> dict[str, Any]:
    """The exact answer or bound of a problem, as `icsap optimum` prints it; every value null where nothing is known."""
    unknown = {"value": None, "method": None, "source": None, "upper_bound": None}
    within, problem = config.rule.hook("optimum"), judged(config, problem)
    found = within(problem, env, config.problem, config.rule) if within else _hook(config, "optimum", problem, env)
    return {**unknown, **(found or {})}


def judged(config: Config, problem: Problem) -> Problem:
    """The problem told on which draws rules for it are judged, where it wants to know."""
    settings = config.evaluation
    return problem.judged_on(settings.seed, settings.gap_profiles) if hasattr(problem, "judged_on") else problem


def objective_name(config: Config, problem: Problem) -> str:
    """What the designer maximises, in words: revenue + 0.2 welfare."""
    weights = getattr(config.problem, "objective", None)
    return weighed(weights) if isinstance(weights, dict) else " + ".join(problem.objective)


def _hook(config: Config, name: str, problem: Problem, env: Tree) -> Any:
    """What a hook of the problem's domain answers, None where there is none."""
    hook = config.problem.hook(name)
    return hook(problem, env, config.problem) if hook else None


def _sampled(
    settings: Any, problem: Problem, env: Tree, rule: Rule, key: Array, draw: Draw, control: Any, say: Say
) -> dict[str, Any]:
    """Objective and gap where agents' actions fill a box: sampled profiles, or every one; the truth against the strongest misreport
    found, or where nothing is recommended the action that solves the agent's first-order condition against the strongest other."""
    search = Search(joint=settings.joint_grid, single=settings.item_grid, starts=settings.starts, steps=settings.steps)
    chosen, settled = _chosen(problem, env, rule, draw)
    space = problem.space(env, draw)
    finite = isinstance(space, Reports)
    gap = report_gap(problem, env, rule, draw) if finite else box_gap(problem, search, env, rule, draw, chosen)
    weight = np.asarray(draw.weight)
    details: dict[str, Any] = {}
    if settled is not None:
        details["unconverged"] = float((~settled).mean())
        if details["unconverged"]:
            say(f"the agent's first-order condition was not solved in {details['unconverged']:.2%} of its information sets: "
                "the objective there is at the best action found, and the gap says how far that is from its best")
    count, every = gap.shape[0], getattr(problem, "enumerated", False)
    per_agent = weight @ gap
    mean = per_agent.mean()
    errors = np.zeros(gap.shape[1]) if every else gap.std(0) / np.sqrt(count)
    error = 0.0 if every else gap.mean(1).std() / np.sqrt(count)
    if every:
        judged = judged_on(problem, env, rule, draw, chosen)
        averages = {name: (float(weight @ np.asarray(each)), 0.0) for name, each in judged.averages.items()}
        missed = {name: (float(weight @ np.asarray(each)), float(each.max())) for name, each in judged.missed.items()}
        parts = {name: float(weight @ np.asarray(each)) for name, each in judged.parts.items()}
        sample = Sample(np.asarray(judged.value), parts, judged.worst, averages, missed)
        value, value_error = float(weight @ sample.values), 0.0
    else:
        say(f"the objective on {settings.profiles} fresh profiles")
        sample = objective_sample(problem, env, rule, jax.random.fold_in(key, 1), settings.profiles, control)
        value, value_error = float(sample.values.mean()), float(sample.values.std() / np.sqrt(len(sample.values)))
    if len(sample.parts) > 1:
        details["objectives"] = sample.parts
    if "feasibility" in sample.worst:
        details["feasibility_violation"] = float(sample.worst["feasibility"])
    if sample.missed:
        details["constraints"] = {name: worst for name, (_, worst) in sample.missed.items()}
        details["constraint_means"] = {name: mean for name, (mean, _) in sample.missed.items()}
    if sample.averages:
        details["averages"] = {name: {"value": mean, "std_error": error} for name, (mean, error) in sample.averages.items()}
    action = problem.recommended(env, draw) if chosen is None else chosen
    method = f"every one of {space.count} reports" if finite else search.method(sharing(space, action), int(action.shape[-1]))
    total = float(per_agent.sum())
    estimator = "every type with its weight" if every else "sample mean"
    if control is not None:
        estimator += ", the exact optimum on the same profiles as control variate"
    return {
        "objective": {"value": value, "std_error": value_error, "profiles": len(sample.values), "adversarial_ties": None,
                      "upper_bound": None},
        "incentive_gap": {"per_agent": per_agent.tolist(), "mean": float(mean), "max": float(gap.max()),
                          "ci95": [float(max(mean - 1.96 * error, 0.0)), float(mean + 1.96 * error)],
                          "method": method, "upper_bound": None},
        "participation_violation": float(sample.worst["participation"]) if "participation" in sample.worst else None,
        "details": {
            "estimator": estimator,
            "gap_profiles": count,
            "gap_std_error_per_agent": errors.tolist(),
            "gap_quantiles": {str(q): float(np.quantile(gap, q)) for q in (0.5, 0.9, 0.99)},
            "gap_histogram": histogram(gap),
            "corrected_objective": corrected(value, total),
            **details,
        },
    }  # fmt: skip


def corrected(value: float, gaps: float) -> float:
    """What is surely left of an objective P once the agents' gaps, R in all, are paid for: (√P − √R)², proved for the revenue from one
    bidder, and for the Bayesian gap of several (Rahme, Jelassi & Weinberg 2021)."""
    return float(max(np.sqrt(max(value, 0.0)) - np.sqrt(gaps), 0.0) ** 2)


@partial(jax.jit, static_argnames=("problem",))
def _chosen(problem: Problem, env: Tree, rule: Rule, draw: Draw) -> tuple[Array | None, Array | None]:
    """Where nothing is recommended: the action [I, N, T] that is best for the agents, and where [I, N] it could be settled."""
    if problem.recommended(env, draw) is not None:
        return None, None
    return _settled(problem, env, rule, draw)


@partial(jax.jit, static_argnames=("problem",))
def _settled(problem: Problem, env: Tree, rule: Rule, draw: Draw) -> tuple[Array, Array]:
    found, settled = stationary_reply(problem, env, draw, problem.decide(env, rule, draw.seen, None))
    return found.action, settled


@partial(jax.jit, static_argnames=("problem",))
def _scored(problem: Problem, env: Tree, draw: Draw, decision: Tree, action: Array) -> Outcome:
    return problem.score(env, draw, decision, action)


def _enumerated(problem: Problem, env: Tree, rule: Rule, draw: Draw, say: Say) -> dict[str, Any]:
    """Objective and gap where actions are finite: exact, with the hard best response and ties for and against the designer; or the
    quantal response of agents who are like that, whose gap is what their mistakes cost them."""
    found = reaction(problem, env, rule, draw)
    gap, weight, reply = np.asarray(found.gap), np.asarray(found.weight), found.reply
    reached = np.where(weight > 0, gap, 0.0)
    per_agent = (weight * gap).sum(0)
    values, count = np.asarray(reply.values), int(draw.weight.shape[0])
    error = float(values.std() / np.sqrt(count)) if getattr(problem, "sampled", False) else 0.0
    excess: dict[str, Any] = {}
    if hasattr(problem, "infeasibility"):
        excess["feasibility_violation"] = float(problem.infeasibility(env, found.decision))
    outcome = _scored(problem, env, draw, found.decision, reply.action)
    if outcome.constraints:
        excess["constraints"] = {name: float(missing(each).max()) for name, each in outcome.constraints.items()}
    if outcome.averages:
        means = {name: float(expectation(draw.weight, each)) for name, each in outcome.averages.items()}
        excess["averages"] = {name: {"value": mean, "std_error": 0.0} for name, mean in means.items()}
    participation = None
    elsewhere = problem.reservation(env, draw) if hasattr(problem, "reservation") else None
    if elsewhere is not None:
        participation = float(jax.nn.relu(elsewhere - reply.utility).max())
    if not bool(reply.settled):
        excess["unsettled"] = True
        say("the agents' replies to each other did not settle: the objective is at the last of them, and the gap says how far that is "
            "from an equilibrium")
    quantal = getattr(problem, "temperature", None) is not None
    return {
        "objective": {"value": float(reply.value), "std_error": error, "profiles": count,
                      "adversarial_ties": None if quantal else float(reply.adversarial_value), "upper_bound": None},
        "incentive_gap": {"per_agent": per_agent.tolist(), "mean": float(per_agent.mean()), "max": float(reached.max()),
                          "ci95": [float(per_agent.mean())] * 2, "method": "every action, exact", "upper_bound": None},
        "participation_violation": participation,
        "details": {"gap_profiles": int(gap.shape[0]), "gap_histogram": histogram(reached), **excess},
    }  # fmt: skip


def _told(judged: Judgement, say: Say) -> dict[str, Any]:
    """What a domain's own judge found, in the form of all results."""
    weight = np.broadcast_to(judged.weight, judged.gap.shape)
    reached = np.where(weight > 0, judged.gap, 0.0)
    per_agent = (weight * judged.gap).sum(0)
    details: dict[str, Any] = {"gap_profiles": int(judged.gap.shape[0]), "gap_histogram": histogram(reached)}
    if len(judged.objectives) > 1:
        details["objectives"] = judged.objectives
    if judged.constraints:
        details["constraints"] = judged.constraints
    if not judged.settled:
        details["unsettled"] = True
        say("the agents did not come to rest: the objective is at the last of what they did, and the gap says how far that is from an "
            "equilibrium")
    mean = float(per_agent.mean())
    return {
        "objective": {"value": judged.value, "std_error": 0.0, "profiles": int(judged.gap.shape[0]),
                      "adversarial_ties": judged.adversarial, "upper_bound": None},
        "incentive_gap": {"per_agent": per_agent.tolist(), "mean": mean, "max": float(reached.max()), "ci95": [mean, mean],
                          "method": judged.method, "upper_bound": None},
        "participation_violation": judged.participation,
        "details": {**details, **judged.details},
    }  # fmt: skip


def best_start(
    config: Config, problem: Problem, env: Tree, rules: Rule, rank: Callable[[Judgement], float] = standing
) -> tuple[Rule, dict[str, Any]]:
    """Of rules side by side, leaves [starts, …], the one worth most under the agents' exact response, with ties against the designer
    where the problem asks for a margin, or by the `rank` of what its domain's own judge says; and what each is worth, where there are
    several."""
    if jax.tree.leaves(rules)[0].shape[0] == 1:
        return jax.tree.map(lambda leaf: leaf[0], rules), {}
    judge = config.problem.hook("judge")
    with jax.enable_x64(True):
        env64, rules64 = jax.tree.map(jnp.asarray, (double(env), double(rules)))
        if judge is not None:
            alone = [jax.tree.map(lambda leaf, at=at: leaf[at], rules64) for at in range(jax.tree.leaves(rules64)[0].shape[0])]
            values = np.array([rank(judge(problem, env64, config.problem, rule, config.evaluation)) for rule in alone])
        else:
            draw = problem.draw(env64, jax.random.fold_in(jax.random.key(config.evaluation.seed), 2), config.evaluation.gap_profiles)
            values = np.asarray(_worth(problem, env64, rules64, draw))
    best = int(np.argmax(np.where(np.isfinite(values), values, -np.inf)))
    told = {"start": best, "start_values": [number_or_none(value) for value in values]}
    return jax.tree.map(lambda leaf: leaf[best], rules), told


@partial(jax.jit, static_argnames=("problem",))
def _worth(problem: Problem, env: Tree, rules: Rule, draw: Draw) -> Array:
    if isinstance(problem.space(env, draw), Box | Reports):
        return jax.lax.map(lambda rule: expectation(draw.weight, judged_on(problem, env, rule, draw).value), rules)

    def worth(rule: Rule) -> Array:
        found = reaction(problem, env, rule, draw).reply
        return found.adversarial_value if problem.margin else found.value

    return jax.lax.map(worth, rules)


def rehearse(problem: Problem, env: Tree, rule: Rule) -> None:
    """Go through the judgement of a rule on a few profiles for the shapes alone; whatever is wrong with them is raised."""

    def judged(env: Tree, rule: Rule, key: Array) -> Tree:
        draw = problem.draw(env, key, 2)
        return (judged_on if isinstance(problem.space(env, draw), Box | Reports) else reaction)(problem, env, rule, draw)

    with jax.enable_x64(True):
        jax.eval_shape(judged, *jax.tree.map(jnp.asarray, (double(env), double(rule))), jax.random.key(0))


def histogram(gap: np.ndarray) -> dict[str, list[float]]:
    """Counts of gaps over all agents in 40 even bins from 0, enough to draw them again; what is not finite is not counted."""
    gap = gap[np.isfinite(gap)]
    counts, edges = np.histogram(gap, bins=40, range=(0.0, float(gap.max(initial=1e-9))))
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def with_effort(config: Config, profiles: int | None = None, starts: int | None = None) -> Config:
    """The same config with another evaluation effort: gap profiles and refined starts."""
    changes = {name: value for name, value in (("gap_profiles", profiles), ("starts", starts)) if value is not None}
    return replace(config, evaluation=config.evaluation.model_copy(update=changes)) if changes else config
