"""How deviations are found in training, against loops and brute force over the very reports that were drawn.

The rule is a RegretNet with three times its first weights: a fresh one hardly depends on reports, this one leaves much to gain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.auctions.problem import Auction
from icsap_jax.bilevel import responses
from icsap_jax.bilevel.deviations import Search, box_gap, double
from icsap_jax.bilevel.responses import Ascent, Candidates, Exchange
from icsap_jax.config import ConfigError, parse

ROUNDING = 1e-5  # float32 sums of a few numbers of size one
DRAWN: list = []  # what `Watched` drew and what was drawn evenly from the box, while a play is traced
ANYWHERE: list = []
# Compiling is most of what these tests cost, and unoptimised code compiles three times sooner.
quickly = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@dataclass(frozen=True)
class Watched(Auction):
    """An auction that remembers the profiles it drew."""

    def draw(self, env, key, count):
        DRAWN.append(super().draw(env, key, count))
        return DRAWN[-1]


def parts(bidders: int, items: int, prior: dict | None = None):
    """(problem, env, rule) of additive bidders with values U[0, 1]."""
    problem = {"kind": "auction", "bidders": bidders, "items": items, "prior": prior or {"kind": "uniform", "low": 0, "high": 1}}
    config = parse({"problem": problem, "rule": {"kind": "regretnet", "hidden": [8, 8]}})
    problem, env = config.problem.build(config.folder)
    rule = quickly(lambda key: config.rule.build(problem, env, key))(jax.random.key(5))
    return Watched(problem.agents, problem.items, problem.valuation), env, replace(rule, params=jax.tree.map(lambda p: 3 * p, rule.params))


def watch(search, problem, env, rule, seed: int, batch: int):
    """One play of a search that remembers nothing; the profiles it drew, and what it drew from the box, as numpy."""
    draw = responses.uniform_in

    def remembered(*args):
        ANYWHERE.append(draw(*args))
        return ANYWHERE[-1]

    @quickly
    def play(env, rule):
        DRAWN.clear()
        ANYWHERE.clear()
        done = search.play(problem, env, rule, (), jax.random.key(seed), 0, batch, {"step_size": 0.1})
        return done, DRAWN[-1], list(ANYWHERE)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(responses, "uniform_in", remembered)
        return jax.tree.map(np.asarray, play(env, rule))


@quickly
def decide(rule, reports):
    """(allocations, payments) on reports [R, N, T]."""
    decision = rule(reports)
    return decision.allocation, decision.payment


def test_a_lone_bidder_exchanges_reports_with_its_whole_batch() -> None:
    """One group: the gap is the mean over the batch of the best of all its reports less the truth; the value is the mean payment
    at the truth."""
    problem, env, rule = parts(1, 2)
    play, drawn, _ = watch(Exchange(reports=24, anywhere=0, steps=0), problem, env, rule, 0, 24)
    types = drawn.types[:, 0]  # [B, 2]
    allocation, payment = (np.asarray(part)[:, 0] for part in decide(rule, types[:, None]))
    utility = types @ allocation.T - payment  # [type, report]
    gain = utility.max(1) - np.diag(utility)
    assert gain.mean() > 0.01
    np.testing.assert_allclose(play.gap, [gain.mean()], atol=ROUNDING)
    np.testing.assert_allclose(play.value, payment.mean(), atol=ROUNDING)


def test_exchange_among_bidders_is_a_loop_over_groups_bidders_types_and_reports() -> None:
    """Two bidders, two groups of four types each: a type may report any other of its group, or any of three from anywhere, its
    rival reporting its first. Revenue is the mean over every profile of true types that was made."""
    problem, env, rule = parts(2, 2)
    play, drawn, anywhere = watch(Exchange(reports=4, anywhere=3, steps=0), problem, env, rule, 1, 16)
    types = drawn.types.reshape(4, 2, 2, 2)  # [R, G, N, T]
    tried = np.concatenate([types, *anywhere])
    assert len(tried) == 4 + 3
    gaps, revenue = np.zeros((2, 2, 4)), []
    for bidder in range(2):
        for group in range(2):
            profiles = []
            for report in tried[:, group, bidder]:
                profile = types[0, group].copy()
                profile[bidder] = report
                profiles.append(profile)
            allocation, payment = (np.asarray(part) for part in decide(rule, np.stack(profiles)))
            revenue.extend(payment[:4].sum(1))
            for place in range(4):
                utilities = [types[place, group, bidder] @ allocation[k, bidder] - payment[k, bidder] for k in range(len(tried))]
                gaps[bidder, group, place] = max(utilities) - utilities[place]
    assert gaps.max() > 0.01
    np.testing.assert_allclose(play.gap, gaps.mean((1, 2)), atol=ROUNDING)
    np.testing.assert_allclose(play.value, np.mean(revenue), atol=ROUNDING)


@pytest.mark.parametrize(("count", "steps"), [(16, 3), (100, 0)], ids=["refined by gradients", "sampled alone"])
def test_what_candidates_find_the_strong_search_finds(count, steps) -> None:
    """On the same profiles no more, up to float32; and a good part of it, so that training is not blind."""
    problem, env, rule = parts(1, 2)
    play, draw, _ = watch(Candidates(count=count, steps=steps), problem, env, rule, 2, 40)
    with jax.enable_x64(True):
        env, rule, draw = jax.tree.map(jnp.asarray, (double(env), double(rule), double(draw)))
        strong = box_gap(problem, Search(joint=51, single=51, starts=4, steps=20), env, rule, draw).mean(0)
    assert 0.5 * strong[0] < float(play.gap[0]) <= strong[0] + ROUNDING


POOL, BATCH = 3, 16


@partial(quickly, static_argnames=("problem", "search"))
def visit(problem, search, env, rule, memory, key, step):
    """One play of the ascent on a rule that stays as it is."""
    numbers = {"step_size": 0.02, "pool_key": jax.random.key(7)}
    return search.play(problem, env, rule, memory, key, step, BATCH, numbers)


def test_ascent_goes_on_where_it_stopped_for_these_profiles() -> None:
    """Step s looks at batch s mod 3 and changes that row of what is remembered alone. The rule held still, each visit to a batch
    finds at least as much as the one before, and ten visits find more than one."""
    problem, env, rule = parts(1, 2)
    search = Ascent(steps=2, pool=POOL)
    memory = search.init(problem, env, {}, jax.random.key(3), BATCH)
    assert memory.shape == (POOL, BATCH, 1, 2)
    gaps, values = [], []
    for step in range(10 * POOL):
        play = visit(problem, search, env, rule, memory, jax.random.key(step), step)
        changed = [not np.array_equal(before, after) for before, after in zip(memory, play.memory, strict=True)]
        assert changed == [place == step % POOL for place in range(POOL)]
        memory = play.memory
        gaps.append(float(play.gap[0]))
        values.append(float(play.value))
    gaps = np.reshape(gaps, (10, POOL))
    # Adam starts anew at each visit with steps of .02: near the top of a profile it may overshoot by what such a step changes.
    assert (np.diff(gaps, axis=0) > -2e-3).all()
    assert (gaps[-1] > gaps[0] + 0.01).all()
    np.testing.assert_array_equal(np.reshape(values, (10, POOL)), np.tile(values[:POOL], (10, 1)))  # the same profiles, to the bit
    assert len(set(values[:POOL])) == POOL


def test_exchange_refuses_bidders_that_depend_on_each_other() -> None:
    """Redrawing one bidder's type alone would make profiles that the prior never draws. Correlated items of one bidder are fine."""
    across = np.eye(4) + 0.5 * np.eye(4)[[2, 3, 0, 1]]  # each item correlated between the two bidders
    marginals = {"kind": "uniform", "low": 0, "high": 1}
    problem, env, _ = parts(2, 2, {"kind": "copula", "correlation": across.tolist(), "marginals": marginals})
    search = Exchange(reports=4, anywhere=0, steps=0)
    with pytest.raises(ConfigError, match=r"exchange.*depend on each other.*candidates"):
        search.init(problem, env, {}, jax.random.key(0), 16)
    problem, env, _ = parts(2, 2, {"kind": "copula", "correlation": 0.5, "marginals": marginals})
    assert search.init(problem, env, {}, jax.random.key(0), 16) == ()
