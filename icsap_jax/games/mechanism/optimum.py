"""Mechanisms over a Markov game exactly, in float64: the best joint policy for every profile of reports, the externality payments of
Clarke (1971), and the best payments there are, by linear programming.

Let V_i(θ_i; π) be the discounted value of a policy π to agent i of type θ_i, and π(r) the policy that is best for the reports r. Then

    Clarke         p_i(r) = max_π Σ_{j≠i} V_j(r_j; π) − Σ_{j≠i} V_j(r_j; π(r))                                            ≥ 0
    Groves         p_i(r) = Clarke's − h_i(r_{−i})

make the truth dominant whatever h is (Groves 1973). With payments for finitely many profiles the following are linear in them,

    truth          V_i(θ_i; π(θ)) − p_i(θ)  ≥  V_i(θ_i; π(r_i, θ_{−i})) − p_i(r_i, θ_{−i})      all θ, i, r_i
    participation  V_i(θ_i; π(θ)) − p_i(θ)  ≥  reservation                no deficit      Σ_i p_i(θ)  ≥  0

and so is what agents keep, welfare less the money taken. The policy is given, hence welfare; what payments can do is leave less money
with the mechanism than Clarke's (rebates: Bailey 1997, Cavallo 2006), or more.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from icsap_jax.config import Config, ConfigError
from icsap_jax.exact.lp import Infeasible, solve
from icsap_jax.exact.markov import evaluate, planner

SOURCE = "Vickrey 1961, Clarke 1971, Groves 1973 over a Markov decision process"
# What a unit of welfare and of money taken is worth to each objective that is linear in payments.
LINEAR = {"welfare": (1.0, 0.0), "revenue": (0.0, 1.0), "utility": (1.0, -1.0)}


def outcomes(model: Any) -> dict[str, np.ndarray]:
    """For every profile of types, P of them in lexicographic order: the types (`profiles` [P, N]), the `policy` run for them [P, N, S] as
    places of actions, what it is worth to each agent of any type θ, `fixed` + θ·`scaled` [P, N] each, and `clarke`'s payments [P, N]."""
    given, types, parts = model.tables(), model.of_each(model.types), model.parts()
    agents, kinds = types.shape

    def best(thetas: np.ndarray, weights: np.ndarray) -> np.ndarray:
        rewards = parts[0] + thetas.reshape(-1, *[1] * (agents + 1)) * parts[1]
        return planner(rewards, given.transitions, given.start, given.discount, weights=weights)[0]

    def values(policy: np.ndarray) -> list[np.ndarray]:
        return [evaluate(part, given.transitions, given.discount, policy) @ given.start for part in parts]

    profiles = types[np.arange(agents), np.array(list(product(range(kinds), repeat=agents)))]
    found = [best(thetas, np.ones(agents)) for thetas in profiles]
    fixed, scaled = (np.stack(each) for each in zip(*map(values, found), strict=True))
    had = fixed + profiles * scaled
    clarke = np.empty_like(had)
    for agent in range(agents):
        others = (np.arange(agents) != agent).astype(float)
        without: dict[tuple[float, ...], float] = {}  # the same for all of the agent's own types
        for place, thetas in enumerate(profiles):
            key = tuple(np.delete(thetas, agent))
            if key not in without:
                alone = values(best(thetas, others))
                without[key] = float(others @ (alone[0] + thetas * alone[1]))
            clarke[place, agent] = without[key] - others @ had[place]
    policy = np.stack([each.argmax(-1) for each in found])
    return {"profiles": profiles, "policy": policy, "fixed": fixed, "scaled": scaled, "clarke": clarke}


def truth(env: Any) -> np.ndarray:
    """What each agent has of the policy run for its true type, [P, N]."""
    return env.fixed + env.profiles * env.scaled


def lies(env: Any) -> tuple[np.ndarray, np.ndarray]:
    """What each agent has of each misreport, [P, N, T], and the profile it leads to, as places [P, N, T]."""
    moved, _ = reports(*env.fixed.shape)
    agents = np.arange(env.fixed.shape[1])[:, None]
    return env.fixed[moved, agents] + env.profiles[..., None] * env.scaled[moved, agents], moved


def reports(profiles: int, agents: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each agent's misreports lead, [P, N, T] places of profiles; and which profiles look alike to it but for its own report,
    [P, N], counted from 0 to T^(N−1) − 1."""
    kinds = round(profiles ** (1.0 / agents))
    places = np.arange(profiles).reshape((kinds,) * agents)
    moved, others = np.empty((profiles, agents, kinds), int), np.empty((profiles, agents), int)
    for agent in range(agents):
        rows = np.moveaxis(places, agent, -1).reshape(-1, kinds)  # [T^(N−1), T]
        for number, row in enumerate(rows):
            moved[row, agent], others[row, agent] = row, number
    return moved, others


def gap(env: Any, payment: np.ndarray) -> np.ndarray:
    """The most each agent gains by misreporting, [P, N], under payments [P, N]."""
    had, moved = lies(env)
    agents = np.arange(payment.shape[1])[:, None]
    return np.maximum((had - payment[moved, agents]).max(-1) - (truth(env) - payment), 0.0)


def best_payments(problem: Any, env: Any, base: np.ndarray, moves: np.ndarray) -> tuple[float, np.ndarray] | None:
    """The objective's best value and payments [P, N] among base + moves @ x, x free, `base` [P, N] and `moves` [P·N, X]; None where the
    objective is not linear in payments. Raises Infeasible."""
    weights = dict(zip(problem.objective, np.asarray(env.weights), strict=True))
    if not set(weights) <= set(LINEAR):
        return None
    of_welfare, of_money = (sum(weight * LINEAR[name][part] for name, weight in weights.items()) for part in (0, 1))
    honest_value, (lying_value, moved) = truth(env), lies(env)
    size, (profiles, agents) = honest_value.size, honest_value.shape
    own, kept = np.arange(size).reshape(profiles, agents), np.eye(size)
    other = own[moved, np.arange(agents)[:, None]]  # [P, N, T]: the payment a misreport leads to
    differs = other != own[..., None]
    honest = np.broadcast_to(own[..., None], other.shape)[differs]
    rows = np.vstack([kept[honest] - kept[other[differs]], kept, -kept.reshape(profiles, agents, size).sum(1)])
    right = np.concatenate([(honest_value[..., None] - lying_value)[differs], (honest_value - float(env.reservation)).ravel(),
                            np.zeros(profiles)])  # fmt: skip
    cost = of_money * np.repeat(env.mass, agents)
    found = solve(cost @ moves, at_most=(rows @ moves, right - rows @ base.ravel()), bounds=(None, None), maximise=True, tolerance=1e-9)
    payment = base + (moves @ found.x).reshape(base.shape)
    return float(env.mass @ (of_welfare * honest_value.sum(1) + of_money * payment.sum(1))), payment


def best_table(problem: Any, env: Any) -> tuple[float, np.ndarray] | None:
    """The best of all payments: (value, payments [P, N])."""
    return best_payments(problem, env, np.zeros_like(env.clarke), np.eye(env.clarke.size))


def best_groves(problem: Any, env: Any) -> tuple[float, np.ndarray] | None:
    """The best of Clarke's payments less rebates: (value, payments [P, N])."""
    _, others = reports(*env.clarke.shape)
    agents = env.clarke.shape[1]
    names = others * agents + np.arange(agents)
    return best_payments(problem, env, env.clarke, -np.eye(int(names.max()) + 1)[names.ravel()])


def check(problem: Any, env: Any, config: Config) -> None:
    """Raises ConfigError where no payments make the truth, participation and a balanced budget possible."""
    try:
        best_table(problem, env)
    except Infeasible:
        raise ConfigError(f"{config.source}: problem.reservation = {float(env.reservation):g}: no payments leave every agent that much, "
                          "make the truth best for it and cost nothing; lower it.") from None


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: of all payments that make the truth best, everyone take part and no deficit."""
    return _answer(best_table(problem, env), "linear programme over all payments")


def groves_optimum(problem: Any, env: Any, model: Any, rule_model: Any) -> dict[str, Any]:
    """The same within Groves' payments."""
    return _answer(best_groves(problem, env), "linear programme over rebates")


def _answer(found: tuple[float, np.ndarray] | None, method: str) -> dict[str, Any]:
    if found is None:
        return {"value": None, "method": None, "source": None, "upper_bound": None}
    return {"value": found[0], "method": method, "source": SOURCE, "upper_bound": None}


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The objective under Clarke's payments, and under them less the best rebates."""
    weights = dict(zip(problem.objective, np.asarray(env.weights), strict=True))
    if not set(weights) <= set(LINEAR):
        return {}
    welfare, money = env.mass @ truth(env).sum(1), env.mass @ env.clarke.sum(1)
    told = {"clarke": sum(weight * (LINEAR[name][0] * welfare + LINEAR[name][1] * money) for name, weight in weights.items())}
    try:
        rebated = best_groves(problem, env)
    except Infeasible:
        return {name: float(value) for name, value in told.items()}
    return {name: float(value) for name, value in {**told, "best_rebates": rebated[0]}.items()}
