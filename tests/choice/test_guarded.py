"""Guarded deferred acceptance: who is suspected, who is heard, and what is left to gain by lying."""

from __future__ import annotations

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.bilevel.reports import report_gap
from icsap_jax.bilevel.types import Rule
from icsap_jax.choice.matching import lists
from icsap_jax.choice.matching.baselines import CONSENTING, GUARDED, classical_rules
from icsap_jax.choice.matching.classical import in_rows
from icsap_jax.choice.matching.guarded import guarded, halves
from icsap_jax.choice.matching.problem import instability
from icsap_jax.choice.matching.rules import MatchingNet
from icsap_jax.config import parse


def made(size, **settings):
    """(problem, env) of a matching."""
    return parse({"problem": {"kind": "matching", "agents": size, **settings}}).problem.build(Path())


def worth(problem, env, draw):
    """p and q [B, n, n]."""
    return (np.asarray(each) for each in problem.preferences(env, draw.types))


def proposed(p, q):
    """The firm of each worker, or None, when workers propose one by one (Gale & Shapley 1962)."""
    free, refused, held = list(range(len(p))), set(), {}
    while free:
        worker = free.pop()
        left = [firm for firm in range(len(p)) if p[worker, firm] > 0 and (worker, firm) not in refused]
        if not left:
            continue
        firm = max(left, key=lambda firm: p[worker, firm])
        other = held.get(firm)
        if q[worker, firm] > 0 and (other is None or q[worker, firm] > q[other, firm]):
            held[firm], worker = worker, other
        if worker is not None:
            refused.add((worker, firm))
            free.append(worker)
    return [next((firm for firm, worker in held.items() if worker == each), None) for each in range(len(p))]


def suspects(p, q):
    """The firms that get more than they would with any list of everybody that begins with theirs."""
    found = set()
    for worker, firm in enumerate(proposed(p, q)):
        if firm is None:
            continue
        out = [other for other in range(len(p)) if q[other, firm] <= 0]
        best = 0.0
        for order in itertools.permutations(out):
            whole = q.copy()
            whole[list(order), firm] = 0.01 * (1 + np.arange(len(order)))
            best = max([best, *(q[got, firm] for got, other in enumerate(proposed(p, whole)) if other == firm)])
        if best < q[worker, firm]:
            found.add(firm)
    return found


def test_those_are_suspected_who_get_more_than_with_any_whole_list_and_nobody_else() -> None:
    """Against every order of those left out, firm by firm, of four on a side; who is suspected is left alone and the others are not."""
    problem, env = made(4, truncation=0.3)
    p, q = worth(problem, env, problem.draw(env, jax.random.key(3), 600))
    left = np.moveaxis(np.asarray(jax.jit(guarded)(*in_rows(jnp.asarray(p), jnp.asarray(q)))[0]), -1, 0)
    counted = 0
    for place in range(len(p)):
        suspected = suspects(p[place], q[place])
        counted += len(suspected)
        for worker, firm in enumerate(proposed(p[place], q[place])):
            assert left[place, worker].any() == (firm is not None and firm not in suspected)
            assert firm is None or left[place, worker, firm] == (firm not in suspected)
    assert counted > 10


def test_the_side_of_which_fewer_are_present_proposes_in_both_halves() -> None:
    """Each in one half if all are there; not if a worker, or a firm, names nobody; nor if it names one who does not want it."""
    cycle = [(1, 2, 3), (2, 3, 1), (3, 1, 2), (2, 3, 1), (3, 1, 2), (1, 2, 3)]
    problem, env = made(3)
    said = jax.jit(halves)

    def both(profile):
        numbers = [lists.number_of(tuple(each - 1 for each in order), 3) for order in profile]
        p, q = problem.preferences(env, jnp.asarray(numbers)[None, :, None])
        return [np.asarray(each[..., 0]) for each in said(*in_rows(p, q))]

    first, second, *_ = both(cycle)
    np.testing.assert_array_equal(first, np.eye(3))
    np.testing.assert_array_equal(second, np.roll(np.eye(3), 1, 0))
    two = [(1, 2), (2, 1), (), (2, 1), (1, 2), (1, 2)]  # workers and firms 1 and 2 each want the other
    for profile, side in ((two, 0), (two[3:] + two[:3], 1)):
        first, second, _, _, workers, firms, *_ = both(profile)
        assert (workers != firms).any()
        np.testing.assert_array_equal(first, (workers, firms)[side])
        np.testing.assert_array_equal(second, first)
    alone = [(1, 2), (2, 1), (1,), (2, 1), (1, 2), (1, 2)]
    first, second, _, _, workers, *_ = both(alone)
    np.testing.assert_array_equal(first, workers)
    np.testing.assert_array_equal(second, first)


@pytest.fixture(scope="module")
def lied_to():
    """Three on a side, 128 profiles, lists short and alike in part: (p, q, what each agent gains by its best lie under deferred acceptance,
    guarded and not; the matching by rule; what a fresh network does)."""
    problem, env = made(3, truncation=0.4, correlation=0.3)
    decided = jax.jit(lambda env, rule, types: problem.decide(env, rule, None, types).probability)
    with jax.enable_x64(True):
        env = jax.tree.map(jnp.asarray, env)
        draw = problem.draw(env, jax.random.key(0), 128)
        rules = classical_rules()
        gaps = {name: report_gap(problem, env, rules[name], draw) for name in ("deferred_acceptance", GUARDED)}
        matched = {name: np.asarray(decided(env, rules[name], draw.types)) for name in (CONSENTING, GUARDED)}
        fresh = np.asarray(decided(env, Rule.of(MatchingNet(4, 1, 0.0, jax.random.key(0))), draw.types))
    return *worth(problem, env, draw), gaps, matched, fresh


def test_guards_take_most_of_what_lies_gain_and_little_stability(lied_to) -> None:
    """Less than half of what is gained under deferred acceptance, and less than a quarter of the instability of dictators who ask."""
    p, q, gaps, matched, _ = lied_to
    unstable = {name: float(instability(each, p, q).mean()) for name, each in matched.items()}
    assert gaps[GUARDED].mean() < 0.5 * gaps["deferred_acceptance"].mean()
    assert 0 < unstable[GUARDED] < 0.25 * unstable[CONSENTING]
    assert not matched[GUARDED][(p <= 0) | (q <= 0)].any()


def test_a_fresh_network_does_nearly_what_guarded_deferred_acceptance_does(lied_to) -> None:
    """Its logits of 6 leave e⁻⁶ of each chance to others, of whom there are at most three."""
    *_, matched, fresh = lied_to
    np.testing.assert_allclose(fresh, matched[GUARDED], atol=3 * np.exp(-6.0))
