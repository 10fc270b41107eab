"""What rules for a society can reach at best, in float64 and with nothing learned.

Nothing does better than a planner who chooses for everybody (an upper bound, where the objective is welfare). Payments that make a target
an equilibrium, or best whatever others do, are the solutions of linear inequalities: under given policies what an agent gets is linear in
the payments, with the discounted time spent in each state and joint action for its coefficients. The cheapest is a linear programme; with
a single instrument the least scale is found by its breakpoints, for uniqueness too. What a mediator may say is linear in the same way.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.exact import lp, markov, nash
from icsap_jax.games.build import all_policies
from icsap_jax.games.judge import Exact, select, worth
from icsap_jax.games.problem import Society, SocietyEnv, leaves
from icsap_jax.games.rules import Unchanged
from icsap_jax.games.tables import Tables, legal_in_states

MOST_ROWS = 100_000  # inequalities of a linear programme over payments
LINEAR = {"welfare": (1.0, 0.0), "revenue": (0.0, -1.0), "utility": (1.0, 1.0)}  # of rewards and of payments, added over agents


def planned(problem: Society, env: SocietyEnv, model: Any) -> float | None:
    """What a planner who chooses every action reaches; None where the objective is not a weighted sum of what agents get."""
    given = model.tables()
    weights = dict(zip(problem.objective, env.weights, strict=True))
    if any(name != "welfare" for name in weights):
        return None
    gains = np.concatenate([weights.get("welfare", 0.0) * given.rewards, np.asarray(env.designer)[None]])
    legal = legal_in_states(given)
    # The designer's own table comes as that of a further agent, who has one action.
    idle = np.broadcast_to(np.arange(legal.shape[-1]) == 0, legal[:1].shape)
    _, values = markov.planner(
        gains[..., None], given.transitions[..., None, :], given.start, given.discount, np.concatenate([legal, idle]), np.ones(len(gains))
    )
    return float(values.sum(0) @ given.start)


def optimum(problem: Society, env: SocietyEnv, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: with any rule that leaves the transitions alone, no more than a planner who chooses for
    all."""
    return {"value": None, "method": None, "source": None, "upper_bound": planned(problem, env, model)}


def unbounded(problem: Society, env: SocietyEnv, model: Any, rule_model: Any) -> dict[str, Any]:
    """Where a rule decides where the game goes, it may reach what no choice of actions does: then nothing is known. Rules that follow each
    other are bounded if all of them are."""
    parts = getattr(rule_model, "parts", [rule_model])
    if all(part.kind not in ("steering", "composed") for part in parts):
        return optimum(problem, env, model)
    return {"value": None, "method": None, "source": None, "upper_bound": None}


def baselines(problem: Society, env: SocietyEnv, model: Any) -> dict[str, float]:
    """The objective without a rule: what agents come to by themselves, the best and the worst equilibrium, and what a planner reaches."""
    with jax.enable_x64(True):
        env64 = leaves(env)
        changed = problem.decide(env64, Rule.of(Unchanged()), None, None)
        exact = Exact(jax.tree.map(np.asarray, changed), problem.clear)
        found: dict[str, float] = {"no_rule": worth(problem, env64, changed, select(problem, env64, changed, exact)[0])[0]}
        others = exact.equilibria()
        if others:
            values = [worth(problem, env64, changed, each)[0] for each in others]
            found |= {"no_rule_best": max(values), "no_rule_worst": min(values)}
    bound = planned(problem, env, model)
    return found | ({} if bound is None else {"planner": bound})


def basis(form: str, given: Tables, balanced: bool) -> np.ndarray:
    """What each parameter of a payment rule pays, [P, N, S, A1, …, AN]."""
    if form == "instruments":
        found = given.instruments
    else:
        shape = given.rewards.shape
        found = np.eye(math.prod(shape)).reshape(-1, *shape)
        if form == "own_action":
            rows = []
            for agent, state, action in itertools.product(range(shape[0]), range(shape[1]), range(max(given.sizes))):
                if action < given.sizes[agent]:
                    row = np.zeros(shape)
                    row[(agent, state, *[action if other == agent else slice(None) for other in range(shape[0])])] = 1
                    rows.append(row)
            found = np.stack(rows)
    return found - found.mean(1, keepdims=True) if balanced else found


def time_spent(given: Tables, profile: np.ndarray) -> np.ndarray:
    """Discounted time [S, A1, …, AN] spent in each state doing each joint action, not normalised: Σ_t γ^t P(s, a at t)."""
    observation = None if given.clear else given.observation
    share = markov.occupancy(given.transitions, given.start, given.discount, profile, observation) / (1 - given.discount)
    return share.reshape(-1, *[1] * len(given.sizes)) * markov.joint(profile, given.sizes, observation)


def best_payment(problem: Society, env: SocietyEnv, model: Any, rule_model: Any) -> dict[str, Any]:
    """The best that payments of this form reach in implementing the target; where there is no target or the objective is not linear in
    payments only the planner's bound is known."""
    unknown = optimum(problem, env, model)
    names = problem.objective
    if not problem.asked or rule_model.kind != "payment" or any(name not in LINEAR for name in names):
        return unknown
    given = model.tables()
    if rule_model.form == "table" and given.rewards.size > 400:
        return unknown
    paid = basis(rule_model.form, given, rule_model.balanced)
    if not len(paid):
        return unknown
    target = np.asarray(env.asked[0]).reshape(given.legal.shape)
    spent = time_spent(given, target)
    weights = dict(zip(names, np.asarray(env.weights), strict=True))
    fixed = float(sum(weight * LINEAR[name][0] for name, weight in weights.items()) * (given.rewards * spent).sum())
    fixed += float((np.asarray(env.designer) * spent).sum())
    gained = sum(weight * LINEAR[name][1] for name, weight in weights.items()) * (paid * spent).reshape(len(paid), -1).sum(1)
    cost = float(env.payment_cost)
    if model.implementation == "unique" or (len(paid) == 1 and not np.any(gained)):
        return _by_scale(given, model, paid, target, fixed, cost, unknown)
    found = _cheapest(env, model, rule_model, given, paid, target, gained)
    if found is None:
        return unknown
    value = fixed + float(gained @ found) - cost * float(np.abs(np.tensordot(found, paid, 1)).max())
    source = "incentive inequalities at the target, linear in payments"
    return {**unknown, "value": value, "method": "linear programme over payments", "source": source}


def _cheapest(
    env: SocietyEnv, model: Any, rule_model: Any, given: Tables, paid: np.ndarray, target: np.ndarray, gained: np.ndarray
) -> np.ndarray | None:
    """The parameters of the payments that are best of those that do what is asked, [P]; None where none do, or there are too many
    inequalities."""
    cost = float(env.payment_cost)
    rows = _inequalities(given, model, np.asarray(env.asked), np.asarray(env.counts), target)
    if rows is None:
        return None
    differences, needs = rows  # [R, N, S, A…] and [R]: differences · (rewards + payments) ≥ margin
    have = (differences * given.rewards).reshape(len(differences), -1).sum(1)
    matrix = differences.reshape(len(differences), -1) @ paid.reshape(len(paid), -1).T
    entries = np.unique(paid.reshape(len(paid), -1).T, axis=0)
    entries = entries[np.abs(entries).sum(1) > 0]
    ones = np.ones((len(entries), 1))
    over = np.block([[-matrix, np.zeros((len(matrix), 1))], [entries, -ones], [-entries, -ones]])
    limits = np.concatenate([have - needs, np.zeros(2 * len(entries))])
    most = np.inf if rule_model.cap is None else rule_model.cap
    try:
        found = lp.solve(
            np.append(gained, -cost), at_most=(over, limits),
            bounds=[(None, None)] * len(paid) + [(0.0, None if np.isinf(most) else most)], maximise=True, tolerance=1e-9,
        )  # fmt: skip
    except lp.LpError:
        return None
    return found.x[:-1]


def cheapest_instruments(problem: Society, env: SocietyEnv, model: Any, rule_model: Any) -> np.ndarray | None:
    """The scales of several instruments, [K], that do at the best for the designer what is asked; None where that is not linear."""
    names, given = problem.objective, model.tables()
    many = rule_model.kind == "payment" and rule_model.form == "instruments" and len(given.instruments) > 1
    if not many or not problem.asked or model.implementation == "unique" or any(name not in LINEAR for name in names):
        return None
    target = np.asarray(env.asked[0]).reshape(given.legal.shape)
    paid = basis("instruments", given, rule_model.balanced)
    weight = sum(float(each) * LINEAR[name][1] for name, each in zip(names, np.asarray(env.weights), strict=True))
    gained = weight * (paid * time_spent(given, target)).reshape(len(paid), -1).sum(1)
    return _cheapest(env, model, rule_model, given, paid, target, gained)


def _by_scale(
    given: Tables, model: Any, paid: np.ndarray, target: np.ndarray, fixed: float, cost: float, unknown: dict[str, Any]
) -> dict[str, Any]:
    """With one instrument: at the least scale of it that implements the target, of either sign."""
    if len(paid) != 1:
        return unknown
    level = {"partial": "nash", "unique": "unique", "full": "dominant", None: "nash"}[model.implementation]
    scale = least_scale(given, paid[0], target, level)
    if scale is None:
        return unknown
    return {**unknown, "value": fixed - cost * scale * float(np.abs(paid).max()), "method": f"breakpoints of one instrument, {level}",
            "source": f"least scale {scale:.9g}"}  # fmt: skip


def least_scale(given: Tables, paid: np.ndarray, target: np.ndarray, level: str) -> float | None:
    """The least scale of a payment [N, S, A1, …, AN], upwards from 0 or else downwards, at which the target profile [N, Z, A] is a Nash
    equilibrium from the start ("nash"), the only pure one just beyond ("unique"), or made of policies that are best whatever the others'
    ("dominant"); None where no scale does."""
    once = len(given.states) == 1 and not given.discount and given.legal[:, 0].sum(-1).tolist() == list(given.sizes)
    for sign in (1.0, -1.0):
        if once:  # policies are actions, and their table is the game's own
            scale = nash.least_scale(given.rewards[:, 0], sign * paid[:, 0], target[:, 0].argmax(-1).tolist(), level)
        else:
            scale = markov.least_scale(
                given.rewards, sign * paid, given.transitions, given.start, given.discount, target, level, legal_in_states(given),
                None if given.clear else given.observation, perfect=False,
            )  # fmt: skip
        if np.isfinite(scale):
            return float(scale)
    return None


def _inequalities(
    given: Tables, model: Any, asked: np.ndarray, counts: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """(differences [R, N, S, A1, …, AN], needs [R]): time spent under what is asked less under each other pure policy of an agent, in
    that agent's table; None where there are too many."""
    own = all_policies(given)
    many = sum(len(own[agent]) for row in counts for agent in np.flatnonzero(row))
    if many * given.rewards.size > 100 * MOST_ROWS * max(given.rewards.size // 100, 1) or many > MOST_ROWS:
        return None
    rows = []
    for profile, matters in zip(asked.reshape(len(asked), *target.shape), counts, strict=True):
        spent = time_spent(given, profile)
        for agent in np.flatnonzero(matters):
            for other in own[agent]:
                if not np.array_equal(other, profile[agent]):
                    moved = profile.copy()
                    moved[agent] = other
                    row = np.zeros(given.rewards.shape)
                    row[agent] = spent - time_spent(given, moved)
                    rows.append(row)
    return np.stack(rows), np.full(len(rows), float(model.margin))


def best_mediator(problem: Society, env: SocietyEnv, model: Any, rule_model: Any) -> dict[str, Any]:
    """The best that agents can be told and obey: correlated equilibria (Aumann 1974), with states Bayes correlated ones."""
    unknown = optimum(problem, env, model)
    found = telling(problem, env, model, 0.0)
    if found is None:
        return unknown
    source = "Aumann 1974; Bergemann & Morris 2016"
    value = float((found * _gains(env, model)[0].reshape(found.shape) * _before(model)[:, None]).sum())
    return {**unknown, "value": value, "method": "linear programme over what is told", "source": source}


def _before(model: Any) -> np.ndarray:
    """The probability of each state before anything is told."""
    given = model.tables()
    return given.start.reshape(-1, math.prod(given.sizes)).sum(1)


def _gains(env: SocietyEnv, model: Any) -> tuple[np.ndarray, np.ndarray]:
    """What the designer gets in each state [S] when all obey; and what each agent would gain in each, for everything it may be told and
    every other action, [R, S]."""
    given = model.tables()
    target = np.asarray(env.asked[0]).reshape(given.legal.shape)
    done = markov.acting(target, given.observation)
    payoffs = given.rewards

    def at(table: np.ndarray, doing: np.ndarray) -> np.ndarray:
        return np.array([_cell(table[state], doing[:, state]) for state in range(len(given.states))])

    worth = float(np.sum(env.weights)) * sum(at(table, done) for table in payoffs) + at(np.asarray(env.designer), done)
    rows = []
    for agent, thing in itertools.product(range(len(given.agents)), range(len(given.seen))):
        for action in np.flatnonzero(given.legal[agent, thing] & (target[agent, thing] == 0)):
            moved = done.copy()
            moved[agent] = np.eye(done.shape[-1])[action]
            rows.append(given.observation[agent, :, thing] * (at(payoffs[agent], moved) - at(payoffs[agent], done)))
    return worth, np.stack(rows)


def telling(problem: Society, env: SocietyEnv, model: Any, margin: float) -> np.ndarray | None:
    """What to tell in each state before, [S before, R], so that obeying is better by the margin for each thing told; None where the
    objective is not welfare."""
    if any(name != "welfare" for name in problem.objective):
        return None
    given, before = model.tables(), _before(model)
    told = math.prod(given.sizes)
    gains, tempted = _gains(env, model)
    agents, things = len(given.agents), len(given.seen)
    heard = np.concatenate([given.observation[agent, :, thing][None].repeat(int(given.legal[agent, thing].sum()) - 1, 0)
                            for agent in range(agents) for thing in range(things)])  # fmt: skip
    sums = np.kron(np.eye(len(before)), np.ones(told))
    found = lp.solve(gains, at_most=(tempted + margin * heard, np.zeros(len(tempted))), equal=(sums, before), maximise=True, tolerance=1e-9)
    joint = np.maximum(found.x.reshape(len(before), told), 0.0)
    return joint / joint.sum(1, keepdims=True)


def _cell(table: np.ndarray, doing: np.ndarray) -> float:
    """A table [A1, …, AN] averaged over what each agent does, [N, A]."""
    for chances in doing:
        table = np.tensordot(chances[: table.shape[0]], table, 1)
    return float(table)
