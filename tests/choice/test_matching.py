"""Two-sided matching: what the classical rules are known to do, what the meters measure, and what a problem file may not say."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.bilevel.reports import EveryReport, report_gap
from icsap_jax.bilevel.responses import judge_deviations
from icsap_jax.bilevel.types import Draw, Rule
from icsap_jax.choice.matching import lists
from icsap_jax.choice.matching.baselines import CONSENTING, GUARDED, classical_rules
from icsap_jax.choice.matching.classical import Classical
from icsap_jax.choice.matching.guarded import GuardedDeferredAcceptance
from icsap_jax.choice.matching.optimum import least_violation
from icsap_jax.choice.matching.problem import Matching, instability, unaccepted
from icsap_jax.choice.matching.rules import MatchingNet
from icsap_jax.choice.matching.table import Table
from icsap_jax.config import ConfigError, parse

ROUNDING = 1e-6


def made(size, **settings):
    """(problem, env, model) of a matching."""
    config = parse({"problem": {"kind": "matching", "agents": size, **settings}}, Path())
    return *config.problem.build(Path()), config


@partial(jax.jit, static_argnames="problem")
def decided(problem, env, rule, types):
    """The matching [B, n, n]."""
    return problem.decide(env, rule, None, types).probability


@pytest.fixture(scope="module")
def three():
    """Three on a side, 128 profiles, and what each classical rule does on them: (problem, env, draw, by rule, its gap, its matching)."""
    problem, env, _ = made(3, truncation=0.4, correlation=0.3)
    found = {}
    with jax.enable_x64(True):
        env = jax.tree.map(jnp.asarray, env)
        draw = problem.draw(env, jax.random.key(0), 128)
        for name, rule in classical_rules().items():
            if name == GUARDED:  # test_guarded.py
                continue
            found[name] = report_gap(problem, env, rule, draw), np.asarray(decided(problem, env, rule, draw.types))
    return problem, env, draw, found


def worth(problem, env, draw):
    """p and q [B, n, n]."""
    return (np.asarray(each) for each in problem.preferences(env, draw.types))


def test_deferred_acceptance_is_stable_and_only_those_who_are_proposed_to_gain_by_lying(three) -> None:
    """Gale & Shapley 1962; Dubins & Freedman 1981; Roth 1982."""
    problem, env, draw, found = three
    gap, matched = found["deferred_acceptance"]
    assert float(instability(matched, *worth(problem, env, draw)).max()) == 0
    assert gap[:, :3].max() == 0
    assert gap[:, 3:].max() == 1  # a partner it would else not get, for certain


def test_who_picks_or_trades_gains_nothing_by_lying(three) -> None:
    """Serial dictatorship for everybody, as nobody else is asked, or refusing is of no use; top trading cycles for workers."""
    *_, found = three
    assert found["random_serial_dictatorship"][0].max() < ROUNDING
    assert found[CONSENTING][0].max() < ROUNDING
    assert found["top_trading_cycles"][0][:, :3].max() == 0
    assert found["top_trading_cycles"][0][:, 3:].max() > 0


def test_what_is_strategyproof_is_unstable(three) -> None:
    """And, where nobody is asked, gives partners that are not accepted: who asks first is nearer to a stable matching."""
    problem, env, draw, found = three
    p, q = worth(problem, env, draw)
    violation = {name: float((instability(r, p, q) + unaccepted(r, p, q)).mean()) for name, (_, r) in found.items()}
    for name in ("top_trading_cycles", "random_serial_dictatorship"):
        assert float(instability(found[name][1], p, q).mean()) > 0.001
        assert float(unaccepted(found[name][1], p, q).mean()) > 0.001
    assert float(unaccepted(found[CONSENTING][1], p, q).max()) == 0
    assert 0.001 < violation[CONSENTING] < violation["random_serial_dictatorship"]


@pytest.mark.parametrize("proposing", ["workers", "firms", "both"])
def test_nobody_gains_by_lying_to_dictators_who_ask(proposing) -> None:
    """Of two on a side nobody on any profile, with a whole order or not, whoever picks."""
    problem, env, _ = made(2)
    with jax.enable_x64(True):
        env = jax.tree.map(jnp.asarray, env)
        types = jnp.asarray(every_profile(env)[0])[..., None]
        rule = Rule.of(Classical("random_serial_dictatorship", proposing, consent=True))
        assert report_gap(problem, env, rule, Draw(weight=jnp.full(len(types), 1 / len(types)), types=types)).max() < ROUNDING


def test_cycles_and_dictators_agree_with_the_books_one_by_one(three) -> None:
    """Against plain loops over agents, profile by profile."""
    problem, env, draw, found = three
    for place, (p, q) in enumerate(zip(*worth(problem, env, draw), strict=True)):
        if place == 40:
            break
        np.testing.assert_allclose(found["random_serial_dictatorship"][1][place], dictators(p, np.ones_like(q)), atol=ROUNDING)
        np.testing.assert_allclose(found[CONSENTING][1][place], dictators(p, q), atol=ROUNDING)
        np.testing.assert_allclose(found["top_trading_cycles"][1][place], cycles(p, q), atol=ROUNDING)


def dictators(p, q):
    """Every order of workers, each picking one firm after the other, the best first; who refuses is picked by nobody any more."""
    orders = list(itertools.permutations(range(len(p))))
    matched = np.zeros_like(p)
    for order in orders:
        left = set(range(len(p)))
        for worker in order:
            for firm in sorted(left, key=lambda firm: -p[worker, firm]):
                if p[worker, firm] <= 0:
                    break
                left.remove(firm)
                if q[worker, firm] > 0:
                    matched[worker, firm] += 1 / len(orders)
                    break
    return matched


def cycles(p, q):
    """One cycle after the other, from the first worker who is left."""
    size, matched = len(p), np.zeros_like(p)
    left = set(range(2 * size))

    def points(agent):
        own = p[agent] if agent < size else q[:, agent - size]
        others = [other for other in range(size) if own[other] > 0 and (other + size if agent < size else other) in left]
        if not others:
            return agent
        best = max(others, key=lambda other: own[other])
        return best + size if agent < size else best

    while any(worker in left for worker in range(size)):
        agent = min(left)
        for _ in range(2 * size):
            agent = points(agent)
        cycle = [agent]
        while points(cycle[-1]) != agent:
            cycle.append(points(cycle[-1]))
        if len(cycle) > 1:
            for each in cycle:
                if each < size:
                    matched[each, points(each) - size] = 1
        left -= set(cycle)
    return matched


def number(order):
    """The place of a list of three partners called from 1."""
    return lists.number_of(tuple(each - 1 for each in order), 3)


def test_the_example_of_roth_comes_out_as_it_is_told() -> None:
    """Three workers and firms with two stable matchings (Roth & Sotomayor 1990, example 2.17 for three of a cycle): workers propose and
    each gets its first; firms propose and each gets its first; a firm that names its first alone then has it."""
    problem, env, _ = made(3)
    profile = [number(each) for each in ((1, 2, 3), (2, 3, 1), (3, 1, 2), (2, 3, 1), (3, 1, 2), (1, 2, 3))]
    lying = [*profile[:3], number((2,)), *profile[4:]]

    def matched(told, side):
        rule = Rule.of(Classical("deferred_acceptance", side))
        return np.asarray(decided(problem, env, rule, jnp.asarray(told)[:, None]))

    np.testing.assert_array_equal(matched(profile, "workers"), np.eye(3))
    np.testing.assert_array_equal(matched(profile, "firms"), np.roll(np.eye(3), 1, 0))
    assert matched(lying, "workers")[1, 0] == 1


def test_violations_are_those_of_the_paper_on_a_profile_worked_out_by_hand() -> None:
    """Two on a side, all want firm 1 and worker 1 first: matching them the other way round leaves one pair that blocks, by half of the
    scale each, ½·½/2. If nobody is matched, all four pairs gain what they are worth: (1 + ½ + ½ + ¼)/2."""
    p, q = np.array([[1.0, 0.5], [1.0, 0.5]]), np.array([[1.0, 1.0], [0.5, 0.5]])
    crossed = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert float(instability(crossed, p, q)) == pytest.approx(0.125)
    assert float(instability(np.zeros((2, 2)), p, q)) == pytest.approx((1 + 0.5 + 0.5 + 0.25) / 2)
    assert float(unaccepted(crossed, p - 0.75, q)) == pytest.approx(2 * 0.25 / 2 - 0.125)


def every_profile(env):
    """All 625 profiles of two on a side with their probability, by the definition of the prior: over common lists and who has them."""
    law, correlation = np.asarray(env.chances)[0], float(env.correlation)
    has = correlation * np.eye(len(law)) + (1 - correlation) * law
    pair = np.einsum("m,ma,mb->ab", law, has, has)
    types = np.array(list(itertools.product(range(len(law)), repeat=4)), np.int32)
    return types, pair[types[:, 0], types[:, 1]] * pair[types[:, 2], types[:, 3]]


@pytest.fixture(scope="module")
def every_lie():
    """Two on a side, correlated: (problem, env, every profile, its probability, a function that tries every lie on every profile)."""
    problem, env, _ = made(2, truncation=0.3, correlation=0.6)
    types, weight = every_profile(env)
    every = np.broadcast_to(np.arange(5, dtype=np.int32).reshape(-1, 1, 1, 1), (5, *types.shape, 1))
    draw = Draw(weight=jnp.asarray(weight, jnp.float32), types=jnp.asarray(types)[..., None])
    return problem, env, types, weight, jax.jit(lambda rule: judge_deviations(problem, env, rule, draw, every, ()))


@pytest.fixture(scope="module")
def two(every_lie):
    """A network with some weight: (problem, env, rule, every profile, its probability, what every lie does to it)."""
    problem, env, types, weight, judged = every_lie
    rule = Rule.of(MatchingNet(4, 1, 0.3, jax.random.key(1)))
    noise = jax.tree.map(lambda leaf: 0.2 * jax.random.normal(jax.random.key(2), leaf.shape), rule.params)
    rule = Rule(params=jax.tree.map(jnp.add, rule.params, noise), graph=rule.graph)
    return problem, env, rule, types, weight, judged(rule)


def test_every_report_measures_what_all_profiles_and_all_lies_would(two) -> None:
    """The value and the gaps of the response, drawn often, are those of the whole prior: Bayes' weights are right, correlation and all.
    Within 4 standard errors."""
    problem, env, rule, _, weight, exact = two
    assert weight.sum() == pytest.approx(1.0)
    play = jax.jit(lambda keys: jax.lax.map(lambda key: EveryReport().play(problem, env, rule, (), key, 0, 400, {}), keys))
    found = play(jax.random.split(jax.random.key(0), 400))
    for samples, truth in ((found.value, exact.value), (found.gap[:, 0], exact.gap[:2].mean()), (found.gap[:, 3], exact.gap[2:].mean())):
        assert abs(float(samples.mean() - truth)) < 4 * float(samples.std()) / np.sqrt(400) + 1e-6
    assert float(exact.gap.min()) > 0


def test_the_strong_search_finds_the_same_on_every_profile(two) -> None:
    """Every report, found in float32 and judged in float64."""
    problem, env, rule, types, weight, exact = two
    with jax.enable_x64(True):
        env64, rule64 = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (env, rule))
        gap = report_gap(problem, env64, rule64, Draw(weight=jnp.asarray(weight), types=jnp.asarray(types)[..., None]))
    np.testing.assert_allclose(weight @ gap, exact.gap, atol=1e-5)  # that one is in float32


@pytest.mark.parametrize("learned", [True, False])
def test_it_does_not_matter_what_agents_are_called_and_nobody_gets_whom_it_does_not_accept(two, learned) -> None:
    """Workers and firms in another order are matched alike, by a network and by what it begins with."""
    problem, env, rule, types, *_ = two
    rule = rule if learned else Rule.of(GuardedDeferredAcceptance())
    p, q = problem.preferences(env, jnp.asarray(types)[..., None])
    ask = jax.jit(lambda p, q: rule(p, q))
    matched = np.asarray(ask(p, q))
    np.testing.assert_allclose(matched[:, ::-1], ask(p[:, ::-1], q[:, ::-1]), atol=1e-5)
    np.testing.assert_allclose(matched[:, :, ::-1], ask(p[:, :, ::-1], q[:, :, ::-1]), atol=1e-5)
    assert not matched[np.asarray((p <= 0) | (q <= 0))].any()


def test_the_more_dictators_decide_the_less_is_gained_by_lying_and_the_more_is_unstable(every_lie) -> None:
    """The gap falls at least in proportion, as no lie gains anything from dictators; somebody may gain less by what is lost there."""
    *_, judged = every_lie
    rules = [judged(Rule.of(MatchingNet(4, 1, share, jax.random.key(0)))) for share in (0.0, 0.4, 0.8)]
    gaps = [np.asarray(each.gap) for each in rules]
    assert gaps[0].min() > 0.001
    for share, gap in zip((0.4, 0.8), gaps[1:], strict=True):
        assert (gap <= (1 - share) * gaps[0] + 1e-6).all()
    assert rules[0].value > rules[1].value > rules[2].value


def test_without_lies_two_on_a_side_are_somewhat_unstable_and_less_so_the_more_may_be_gained() -> None:
    """The programme that bounds the violation from below: 0 where lies cost nothing, and it never falls as they cost more."""
    problem, env, _ = made(2)
    bounds = [least_violation(problem, env, price) for price in (0.0, 0.3, 3.0)]
    assert bounds[0] == pytest.approx(0.0, abs=1e-7)
    assert bounds[0] <= bounds[1] <= bounds[2]


def test_lists_are_as_many_and_as_likely_as_they_should_be() -> None:
    """Σ n!/(n − L)!, and the lengths of truncated ones are even."""
    assert [len(lists.every_list(size)) for size in (2, 4, 5)] == [5, 65, 326]
    law = lists.chances(4, 0.2)
    lengths = np.array([len(each) for each in lists.every_list(4)])
    np.testing.assert_allclose([law[lengths == length].sum() for length in range(5)], [0.05, 0.05, 0.05, 0.05, 0.8])
    np.testing.assert_allclose(lists.values(4)[lists.number_of((2, 0), 4)], [0.25, -0.375, 0.5, -0.375])


@pytest.mark.parametrize(("change", "says"), [
    ({"agents": 6}, ["problem.agents", "at most 5", "6"]),
    ({"truncation": 1.2}, ["problem.truncation", "1.2"]),
    ({"correlation": -0.1}, ["problem.correlation"]),
    ({"objective": {"stability": "much"}}, ["objective", "much"]),
    ({"objective": "stabillity"}, ["objective", "stabillity"]),
    ({"preferences": {"file": "absent.csv"}}, ["preferences.file", "absent.csv"]),
    ({"constraints": [{"kind": "total_variation", "limit": 0.1}]}, ["constraints", "things"]),
])
def test_what_cannot_be_is_refused_by_name(change, says) -> None:
    """A sentence that names the key."""
    with pytest.raises(ConfigError) as refused:
        parse({"problem": {"kind": "matching", **change}}, Path())
    assert all(each in str(refused.value) for each in says)


@pytest.mark.parametrize(("content", "says"), [
    ("side,list\nworker,1 2\nfirm,2 2\n", ["row 3", "names 2 twice"]),
    ("side,list\nworker,1 3\nfirm,2\n", ["row 2", "'3'", "1 to 2"]),
    ("side,list\nboss,1\n", ["row 2", "boss", "worker or firm"]),
    ("side,order\nworker,1\n", ["row 1", "list is missing"]),
    ("side,list\nworker,1\n", ["no list of a firm"]),
])
def test_a_bad_file_of_lists_is_named_by_row(tmp_path, content, says) -> None:
    """And nothing is built."""
    (tmp_path / "lists.csv").write_text(content)
    with pytest.raises(ConfigError) as refused:
        parse({"problem": {"kind": "matching", "agents": 2, "preferences": {"file": "lists.csv"}}}, tmp_path)
    assert all(each in str(refused.value) for each in says)


def test_observed_lists_are_drawn_as_often_as_they_were_observed(tmp_path) -> None:
    """Two of three workers' lists name firm 1 alone."""
    (tmp_path / "lists.csv").write_text("side,list\nworker,1\nworker,1\nworker,2 1\nfirm,\n")
    config = parse({"problem": {"kind": "matching", "agents": 2, "preferences": {"file": "lists.csv"}}}, tmp_path)
    _, env = config.problem.build(tmp_path)
    np.testing.assert_allclose(env.chances[0, [lists.number_of((0,), 2), lists.number_of((1, 0), 2)]], [2 / 3, 1 / 3])
    assert env.chances[1, 0] == 1


def test_rows_of_lists_are_read_and_refused() -> None:
    """A choice after the end of a list, or twice in it, is named by its column."""
    table = Table(Matching(2, ("stability",)), None)

    def refuse(row, column, text):
        return ValueError(f"{row} {column} {text}")

    p, q = table.inputs(np.array([[2.0, 1, 1, 0, 1, 2, 0, 0]]), refuse)
    np.testing.assert_allclose(p[0], [[0.5, 1.0], [0.5, -0.5]])
    np.testing.assert_allclose(q[0], [[1.0, -0.75], [0.5, -0.75]])
    for wrong, says in (([2.0, 2, 1, 0, 1, 2, 0, 0], "0 worker1_choice2 2 is named twice"), ([0.0, 2, 1, 0, 1, 2, 0, 0], "after a 0")):
        with pytest.raises(ValueError, match=says):
            table.inputs(np.array([wrong]), refuse)
