"""The best lottery that nobody gains by lying to, by a linear programme, in float64.

    maximise E Σ_a p_a(o)·W_a(o)   subject to   Σ_a U[o_i, a]·(p_a(o) − p_a(o′_i, o_−i)) ≥ 0   for every profile o, voter i, order o′_i

and every p(o) a lottery: incentives are linear in lotteries, so that this is the optimum of all rules, not of a family. Where one law draws
all voters' orders a rule may be averaged over all ways to rename voters, and where all orders are as likely also alternatives, without
losing anything; then only profiles that no renaming makes equal have variables (3 × 3: 10 of 216). Utilities are those of the problem file.
`dominant=True` in place of them asks that the truth be best by first-order stochastic dominance, whatever a voter's utilities are (Gibbard
1977): for every k a lie may not raise the chance of one's first k alternatives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from icsap_jax.choice.voting.network import renamings
from icsap_jax.choice.voting.problem import Voting, VotingEnv, masses, profiles, ranks
from icsap_jax.exact import lp

LARGEST = 60_000  # inequalities that are worth the wait
SEARCHED = 2_000_000  # numbers of profiles under all renamings


def optimum(problem: Voting, env: VotingEnv, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}; null where it is not known or too large."""
    found = programme(problem, env, model, env.tastes[:, None])
    if found is None:
        return {"method": "a linear programme, not solved: too large, with constraints, or for another objective"}
    return {"value": found.value, "method": "linear programme over all rules", "source": "incentives are linear in lotteries",
            "upper_bound": found.value}  # fmt: skip


def dominant(problem: Voting) -> np.ndarray:
    """Whether each order has each alternative among its first k, [M!, M − 1, M]: what a truth that is dominant must not be lower in."""
    at = ranks(problem.alternatives)
    return (at[:, None] < np.arange(1, problem.alternatives)[:, None]).astype(np.float64)


class Classes:
    """Profiles that renaming makes equal. `number` [P]: the class of each profile; `place` [P, M]: which of its class's probabilities each
    alternative's is; `first` [C]: a profile of each class, in which every alternative has its own; `fixed`: pairs (class, place) of
    probabilities that renaming makes equal."""

    def __init__(self, problem: Voting):
        cast = profiles(problem.orders, problem.agents)
        names, becomes = renamings(problem.alternatives)
        if not problem.impartial:
            names, becomes = names[:1], becomes[:1]  # the first leaves everything as it is
        renamed = becomes[:, cast]  # [G, P, N]
        if problem.alike:
            renamed = np.sort(renamed, -1)
        codes = renamed @ problem.orders ** np.arange(problem.agents)[::-1]
        chosen = codes.argmin(0)
        least = codes[chosen, np.arange(len(cast))]
        every, self.number = np.unique(least, return_inverse=True)
        self.place = names[chosen]
        self.first = np.array([np.flatnonzero((least == code) & (codes[0] == code))[0] for code in every])
        self.cast, self.names, self.every = cast, names, every
        self.same = [(number, name) for number, profile in enumerate(self.first)
                     for name in names[1:][codes[1:, profile] == every[number]]]  # fmt: skip


def programme(problem: Voting, env: VotingEnv, model: Any, asked: np.ndarray) -> lp.LpSolution | None:
    """The best lottery of all under which no vote but one's own raises Σ_a asked[o_i, k, a]·p_a for any k; `asked` [M!, K, M]. Also where
    rules are trained on a sample, if all profiles can be listed; None where they cannot, or the objective is another."""
    objective = str(problem.objective[0]) if len(problem.objective) == 1 else None
    weight = float(env.weights[0])
    names = len(renamings(problem.alternatives)[0]) if problem.impartial else 1
    if (problem.limits or objective not in ("welfare", "utility", "maximin") or weight <= 0
            or names * problem.agents * problem.orders**problem.agents > SEARCHED):  # fmt: skip
        return None
    classes = Classes(problem)
    rows = truths_and_lies(problem, classes, asked)
    if rows.shape[0] > LARGEST:
        return None
    tastes, count, alternatives = np.asarray(env.tastes), len(classes.every), problem.alternatives
    mass = np.bincount(classes.number, weights=masses(model), minlength=count)
    mine = tastes[classes.cast[classes.first]]  # [C, N, M]
    lotteries = sparse.kron(sparse.eye(count), np.ones((1, alternatives)))
    level = [sparse.coo_matrix(([1.0, -1.0], ([0, 0], [alternatives * number + a, alternatives * number + name[a]])),
                               shape=(1, count * alternatives))
             for number, name in classes.same for a in range(alternatives) if name[a] != a]  # fmt: skip
    equal = sparse.vstack([lotteries, *level])
    right = np.append(np.ones(count), np.zeros(len(level)))
    if objective != "maximin":
        cost = weight * (mass[:, None] * mine.sum(1)).ravel()
        return lp.solve(cost, at_most=(-rows, np.zeros(rows.shape[0])), equal=(equal, right), bounds=(0.0, 1.0), maximise=True,
                        tolerance=1e-9)  # fmt: skip
    # The least expected utility of each class is a further variable t ≤ Σ_a U·p of every voter.
    least = sparse.kron(sparse.eye(count), np.ones((problem.agents, 1)))
    expected = sparse.block_diag([mine[number] for number in range(count)])
    above = sparse.vstack([sparse.hstack([-rows, sparse.csr_matrix((rows.shape[0], count))]), sparse.hstack([-expected, least])])
    cost = np.append(np.zeros(count * alternatives), weight * mass)
    bounds = [(0.0, 1.0)] * (count * alternatives) + [(None, None)] * count
    return lp.solve(cost, at_most=(above, np.zeros(above.shape[0])), bounds=bounds, maximise=True, tolerance=1e-9,
                    equal=(sparse.hstack([equal, sparse.csr_matrix((equal.shape[0], count))]), right))  # fmt: skip


def truths_and_lies(problem: Voting, classes: Classes, asked: np.ndarray) -> sparse.csr_matrix:
    """What truth gains over every lie, a row each, in the probabilities of classes, [rows, C·M]; each once."""
    voters, orders, alternatives, kept = problem.agents, problem.orders, problem.alternatives, asked.shape[1]
    steps = orders ** np.arange(voters)[::-1]
    told = classes.cast[classes.first]  # [C, N]
    place = (classes.first[:, None, None] + (np.arange(orders) - told[..., None]) * steps[:, None]).reshape(-1)  # after each lie
    liar = np.repeat(told.ravel(), orders)
    honest = np.repeat(np.arange(len(told)), voters * orders)
    lies = np.unique(np.stack([honest, liar, place], -1)[place != np.repeat(classes.first, voters * orders)], axis=0)
    honest, liar, place = lies.T
    values = asked[liar]  # [L, K, M]
    row = np.broadcast_to(np.arange(len(lies) * kept).reshape(-1, kept, 1), values.shape)
    columns = [alternatives * honest[:, None, None] + np.arange(alternatives), alternatives * classes.number[place][:, None, None]
               + classes.place[place][:, None, :]]  # fmt: skip
    columns = [np.broadcast_to(each, values.shape).ravel() for each in columns]
    matrix = sparse.coo_matrix((np.concatenate([values.ravel(), -values.ravel()]), (np.tile(row.ravel(), 2), np.concatenate(columns))),
                               shape=(len(lies) * kept, alternatives * len(classes.every)))  # fmt: skip
    return matrix.tocsr()
