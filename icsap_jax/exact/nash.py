"""Normal-form games solved exactly: pure and mixed Nash equilibria, correlated equilibria, and what makes a profile an equilibrium.

Payoffs are [N, A1, …, AN]. Mixed equilibria of two agents by the vertices of their best-reply polyhedra (Mangasarian 1964; Avis,
Rosenberg, Savani and von Stengel 2010), in rational arithmetic; correlated equilibria (Aumann 1974) by a linear programme; least
transfers by the breakpoints of payoffs + τ·basis, in which everything is piecewise linear. Greed and fear are the two reasons to
defect in a social dilemma (Macy and Flache 2002).

    pure_nash(payoffs)                                    # [(1, 1)]
    bimatrix_nash([[3, 1], [4, 0]], [[3, 4], [1, 0]])     # three equilibria, as fractions
    distribution, welfare = correlated(payoffs)           # 16/3 in Chicken
    least_scale(payoffs, basis, (0, 0), "unique")         # the τ above which (0, 0) is alone
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from scipy import sparse

from icsap_jax.exact import lp

_MOST_SYSTEMS = 200_000  # pairs of supports that are tried for one agent's vertices
_ROUNDING = 1e-11  # of the size of payoffs: two that differ by less are equal


class Equilibrium(NamedTuple):
    """A Nash equilibrium of a bimatrix game, as fractions: `x` [rows], `y` [columns], `payoffs` of the two agents."""

    x: tuple[Fraction, ...]
    y: tuple[Fraction, ...]
    payoffs: tuple[Fraction, Fraction]


def pure_nash(payoffs: np.ndarray, tolerance: float = 1e-9) -> list[tuple[int, ...]]:
    """Every pure Nash equilibrium of payoffs [N, A1, …, AN], as actions of all agents in lexicographic order.

    Nobody gains more than `tolerance` by another action, so an indifferent agent is content.
    """
    payoffs = np.asarray(payoffs, dtype=np.float64)
    if payoffs.ndim != len(payoffs) + 1:
        raise ValueError(f"Payoffs of {len(payoffs)} agents must have that many axes of actions after the first, not {payoffs.ndim - 1}.")
    content = np.ones(payoffs.shape[1:], dtype=bool)
    for agent, own in enumerate(payoffs):
        content &= own >= own.max(agent, keepdims=True) - tolerance
    return [tuple(int(a) for a in cell) for cell in np.argwhere(content)]


def bimatrix_nash(first: np.ndarray, second: np.ndarray) -> list[Equilibrium]:
    """Every extreme Nash equilibrium of a game of two agents, payoffs `first` and `second` [rows, columns]; exact.

    In a nondegenerate game these are all equilibria. In a degenerate one there are infinitely many, and the extreme ones are listed:
    every equilibrium is a mixture, agent by agent, of extreme ones that are interchangeable, and welfare, which is bilinear, is
    highest and lowest at extreme ones. Payoffs within rounding of a fraction with a denominator up to a million are taken to be it,
    others as the binary fractions they are. Ordered by the sizes of supports, then by the supports. ValueError where there are too
    many pairs of supports: 10 × 10 actions are about the most.
    """
    rewards = [_rational(first), _rational(second)]
    shape = rewards[0].shape
    if len(shape) != 2 or rewards[1].shape != shape or not all(shape):
        raise ValueError(f"The payoffs of two agents must be two matrices of one shape, not {np.shape(first)} and {np.shape(second)}.")
    if comb(sum(shape), shape[0]) > _MOST_SYSTEMS:
        raise ValueError(f"{shape[0]} × {shape[1]} actions are too many to list all mixed equilibria: {_MOST_SYSTEMS:,} supports at most.")
    xs, best_columns = _vertices(rewards[1])
    ys, best_rows = _vertices(rewards[0].T)
    # Whatever is used must be a best reply: no action used and not best, on either side.
    used_rows, used_columns = (np.array(points, dtype=object) != 0 for points in (xs, ys))
    fits = ~(used_rows.astype(int) @ ~best_rows.T | ~best_columns @ used_columns.astype(int).T).astype(bool)
    found = [Equilibrium(xs[i], ys[j], tuple(np.array(xs[i]) @ own @ np.array(ys[j]) for own in rewards)) for i, j in np.argwhere(fits)]
    supports = {e: tuple([k for k, p in enumerate(own) if p] for own in (e.x, e.y)) for e in found}
    return sorted(found, key=lambda e: (sum(map(len, supports[e])), supports[e], e.x, e.y))


def correlated(payoffs: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """The correlated equilibrium [A1, …, AN] with most welfare Σ_i weights_i u_i (weights of 1 if none are given), and that welfare.

    Nobody who is told its action, and nothing else, gains by taking another: Σ_{a₋ᵢ} p(a) (u_i(a) − u_i(a′, a₋ᵢ)) ≥ 0. By a linear
    programme; where several distributions are best, one of them.
    """
    payoffs = np.asarray(payoffs, dtype=np.float64)
    shape = payoffs.shape[1:]
    cells = np.arange(payoffs[0].size).reshape(shape)
    blocks = []
    for agent, own in enumerate(payoffs):
        count = shape[agent]
        told = np.arange(count).reshape(-1, *[1] * (len(shape) - 1 - agent))
        for other in range(count):
            gain = own.take([other], agent) - own
            row = np.broadcast_to(told, shape)
            blocks.append(sparse.csr_matrix((gain.ravel(), (row.ravel(), cells.ravel())), shape=(count, cells.size)))
    obey = sparse.vstack(blocks).tocsr()
    obey.eliminate_zeros()
    obey = obey[np.diff(obey.indptr) > 0]
    welfare = np.tensordot(np.ones(len(payoffs)) if weights is None else np.asarray(weights, dtype=np.float64), payoffs, 1).ravel()
    solution = lp.solve(
        welfare,
        at_most=(obey, np.zeros(obey.shape[0])) if obey.shape[0] else None,
        equal=(np.ones((1, cells.size)), [1.0]),
        maximise=True,
        tolerance=1e-10,
    )
    distribution = np.maximum(solution.x, 0.0)
    return (distribution / distribution.sum()).reshape(shape), solution.value


def greed_fear(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Greed T − R and fear P − S of a symmetric game with actions cooperate, defect: `first` = [[R, S], [T, P]], `second` its transpose.

    Greed is what defecting gains on a cooperator, fear what it saves against a defector.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != (2, 2) or not np.array_equal(second, first.T):
        raise ValueError("Greed and fear are those of a symmetric game with two actions: the second matrix must be the first transposed.")
    (reward, sucker), (temptation, punishment) = first
    return float(temptation - reward), float(punishment - sucker)


def least_scale(payoffs: np.ndarray, basis: np.ndarray, target: Sequence[int], level: str, owners: Sequence[int] | None = None) -> float:
    """The smallest τ ≥ 0 at which payoffs + τ·basis make the pure profile `target` what `level` says; infinite where none does.

    `payoffs` and `basis` [N, A1, …, AN]. Levels: "nash", a Nash equilibrium; "unique", the only pure Nash equilibrium at every τ just
    above the one returned, at which others may still be tied; "dominant", each agent's own action weakly best whatever the others do.
    At much larger τ all of this may fail again. With `owners`, row r of the tables is a criterion of agent owners[r], and an agent is
    content where no other action raises any of its criteria (its value in every state, say).
    """
    payoffs, basis = np.asarray(payoffs, dtype=np.float64), np.asarray(basis, dtype=np.float64)
    if payoffs.shape != basis.shape:
        raise ValueError(f"The basis must have the shape of the payoffs, {payoffs.shape}, not {basis.shape}.")
    target, owners = tuple(int(a) for a in target), range(len(payoffs)) if owners is None else owners
    if len(target) != payoffs.ndim - 1 or not all(0 <= a < size for a, size in zip(target, payoffs.shape[1:], strict=True)):
        raise ValueError(f"The target must name one action of each agent in payoffs of shape {payoffs.shape}, not {target}.")
    ranges = [_content(own, slope, agent) for own, slope, agent in zip(payoffs, basis, owners, strict=True)]
    if level == "dominant":
        low = max(float(low.take(target[agent], agent).max()) for (low, _), agent in zip(ranges, owners, strict=True))
        high = min(float(high.take(target[agent], agent).min()) for (_, high), agent in zip(ranges, owners, strict=True))
        return low if low <= high + _ROUNDING else np.inf
    lows, highs = np.max([low for low, _ in ranges], 0), np.min([high for _, high in ranges], 0)
    low, high = float(lows[target]), float(highs[target])
    if level == "nash":
        return low if low <= high + _ROUNDING else np.inf
    if level != "unique":
        raise ValueError(f'The level must be "nash", "unique" or "dominant", not {level!r}.')
    highs[target] = -np.inf
    while low < high - _ROUNDING:
        beside = (lows <= low + _ROUNDING) & (highs > low + _ROUNDING)
        if not beside.any():
            return low
        low = float(highs[beside].max())
    return np.inf


def _content(own: np.ndarray, slope: np.ndarray, agent: int) -> tuple[np.ndarray, np.ndarray]:
    """The τ ≥ 0 from `low` to `high`, arrays like `own`, at which own + τ·slope gives `agent` nothing for another action in a profile."""
    size, steep = (_ROUNDING * max(float(np.abs(table).max()), 1e-300) for table in (own, slope))
    low, high = np.zeros(own.shape), np.full(own.shape, np.inf)
    for other in range(own.shape[agent]):
        lead, rise = own - own.take([other], agent), slope - slope.take([other], agent)
        lead, rise = np.where(np.abs(lead) <= size, 0.0, lead), np.where(np.abs(rise) <= steep, 0.0, rise)
        # Adding 0 turns −0 into 0.
        level = -lead / np.where(rise == 0, 1.0, rise) + 0.0
        low = np.where(rise > 0, np.maximum(low, level), low)
        high = np.where(rise < 0, np.minimum(high, level), np.where((rise == 0) & (lead < 0), -np.inf, high))
    return low, high


def _vertices(replies: np.ndarray) -> tuple[list[tuple[Fraction, ...]], np.ndarray]:
    """The vertices x of {(x, v): x ≥ 0, Σ x = 1, x·replies[:, j] ≤ v}, and for each which of the opponent's actions are best replies.

    `replies` [own actions, opponent's actions] holds the opponent's payoffs. At a vertex as many replies are tied as actions are not
    held at 0: a square linear system for each pair of supports of one size.
    """
    own, others = replies.shape
    found: dict[tuple[Fraction, ...], list[bool]] = {}
    for used, tied in _promising(replies):
        k = len(used)
        matrix = [[replies[i, j] for i in used] + [Fraction(-1), Fraction(0)] for j in tied]
        matrix.append([Fraction(1)] * k + [Fraction(0), Fraction(1)])
        solution = _solve(matrix)
        if solution is None or min(solution[:k]) < 0:
            continue
        x = [Fraction(0)] * own
        for i, share in zip(used, solution[:k], strict=True):
            x[i] = share
        worth = [sum((x[i] * replies[i, j] for i in used), Fraction(0)) for j in range(others)]
        if max(worth) == solution[k]:
            found[tuple(x)] = [value == solution[k] for value in worth]
    return list(found), np.array(list(found.values()))


def _promising(replies: np.ndarray) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The pairs of supports of one size whose system is solved by a vertex, or nearly, or is too ill-conditioned to tell, in float64."""
    table = replies.astype(np.float64)
    table = table / (np.abs(table).max() or 1.0)
    own, others = table.shape
    slack = 1e-6  # of the largest payoff: what may be a rounding's doing is left to the fractions
    for k in range(1, min(own, others) + 1):
        tied = np.array(list(combinations(range(others), k)))
        for used in combinations(range(own), k):
            matrix = np.zeros((len(tied), k + 1, k + 1))
            matrix[:, :k, :k] = table[list(used)][:, tied].transpose(1, 2, 0)
            matrix[:, :k, k], matrix[:, k, :k] = -1.0, 1.0
            doubtful = np.abs(np.linalg.det(matrix)) < 1e-9
            matrix[doubtful] = np.eye(k + 1)
            right = np.zeros((len(tied), k + 1, 1))
            right[:, k] = 1.0
            solution = np.linalg.solve(matrix, right)[..., 0]
            near = (solution[:, :k].min(1) > -slack) & ((solution[:, :k] @ table[list(used)]).max(1) < solution[:, k] + slack)
            for row in tied[doubtful | near]:
                yield used, tuple(int(j) for j in row)


def _solve(matrix: list[list[Fraction]]) -> list[Fraction] | None:
    """The solution of the square system whose last column is the right-hand side, by elimination; None where it is singular."""
    size = len(matrix)
    for column in range(size):
        pivot = next((r for r in range(column, size) if matrix[r][column] != 0), None)
        if pivot is None:
            return None
        matrix[column], matrix[pivot] = matrix[pivot], matrix[column]
        head = matrix[column]
        for r in range(size):
            if r != column and matrix[r][column] != 0:
                factor = matrix[r][column] / head[column]
                matrix[r] = [a - factor * b for a, b in zip(matrix[r], head, strict=True)]
    return [row[-1] / row[k] for k, row in enumerate(matrix)]


def _rational(payoffs: np.ndarray) -> np.ndarray:
    """Payoffs as fractions: of a denominator up to a million where that is nearer than rounding, else exactly as they are."""

    def near(value: float | Fraction) -> Fraction:
        exact = Fraction(value)
        simple = exact.limit_denominator(1_000_000)
        return simple if abs(simple - exact) <= Fraction(1, 10**14) * max(1, abs(exact)) else exact

    table = np.array(payoffs, dtype=object)
    return np.array([near(v) for v in table.ravel()], dtype=object).reshape(table.shape)
