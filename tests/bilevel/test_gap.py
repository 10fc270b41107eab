"""Laws of the incentive gap that hold for any problem, shown on auctions whose best deviations are known without search."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from icsap_jax.auctions.problem import Decision
from icsap_jax.bilevel import responses
from icsap_jax.bilevel.gap import gap_and_decision, own, unilateral
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import parse

# Compiling is most of what these tests cost, and unoptimised code compiles three times sooner.
quickly = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
SEARCHES = {
    "exchange": (responses.Exchange(reports=8, anywhere=4, steps=3), {"step_size": 0.1}),
    "candidates": (responses.Candidates(count=8, steps=3), {"step_size": 0.1}),
    "ascent": (responses.Ascent(steps=25, pool=None), {"step_size": 0.1}),
}


class SecondPrice(nnx.Module):
    """One item: the highest bid wins and pays the second highest (Vickrey 1961), plus a `fee` that bidder 0 pays whatever happens."""

    def __init__(self, fee: float = 0.0):
        self.fee = nnx.Param(jnp.asarray(fee))

    def __call__(self, reports):
        bids = reports[..., 0]
        order = jnp.sort(bids, axis=-1)
        wins = (bids == order[..., -1:]).astype(bids.dtype)
        fee = self.fee[...] * jnp.eye(bids.shape[-1], dtype=bids.dtype)[0]
        return Decision(allocation=wins[..., None], payment=wins * order[..., -2:-1] + jnp.broadcast_to(fee, wins.shape))


class PayYourBid(nnx.Module):
    """One bidder gets everything and pays what it bids."""

    def __call__(self, reports):
        return Decision(allocation=jnp.ones_like(reports), payment=reports.sum(-1))


def auction(bidders: int, items: int, rule: dict | None = None):
    """(config, problem, env) of additive bidders with values U[0, 1]."""
    config = parse({
        "problem": {"kind": "auction", "bidders": bidders, "items": items, "prior": {"kind": "uniform", "low": 0, "high": 1}},
        "rule": rule or {"kind": "regretnet", "hidden": [4], "activation": "tanh"},
    })  # fmt: skip
    return config, *config.problem.build(config.folder)


@partial(quickly, static_argnames=("search", "problem", "batch"))
def play(search, problem, env, rule, numbers, key, batch):
    """One play of a search that remembers nothing."""
    return search.play(problem, env, rule, (), key, 0, batch, numbers)


@partial(quickly, static_argnames="problem")
def judged(problem, env, rule, draw, deviations):
    """The gap [B, N] of the truth over these deviations, and the decision on the truth."""
    return gap_and_decision(problem, env, rule, draw, draw.types, deviations)


@pytest.mark.parametrize("name", SEARCHES)
def test_no_bidder_gains_by_lying_in_a_second_price_auction(name) -> None:
    """Exactly: a report that still wins pays the same price, one that loses gains nothing, one that wins too dear loses."""
    search, numbers = SEARCHES[name]
    _, problem, env = auction(2, 1)
    result = play(search, problem, env, Rule.of(SecondPrice()), numbers, jax.random.key(0), 64)
    assert result.gap.tolist() == [0.0, 0.0]
    # 4 standard errors of 64 draws of the lower of two uniforms, mean 1/3, deviation .236.
    assert abs(float(result.value) - 1 / 3) < 4 * 0.236 / 8


@pytest.mark.parametrize("name", SEARCHES)
def test_who_pays_its_bid_gains_by_bidding_less_and_never_more_than_its_values(name) -> None:
    """The gap found is at most the mean of v₁ + v₂, what bidding zero saves, and a good part of it; ascent finds all of it."""
    search, numbers = SEARCHES[name]
    _, problem, env = auction(1, 2)
    result = play(search, problem, env, Rule.of(PayYourBid()), numbers, jax.random.key(1), 64)
    most = float(result.value)  # revenue at the truth is v₁ + v₂ on these very profiles
    assert 0.6 * most < float(result.gap[0]) <= most * (1 + 1e-6)  # float32 means in another order
    if name == "ascent":
        assert float(result.gap[0]) == pytest.approx(most, rel=1e-6)


def test_the_gap_of_paying_your_bid_is_the_value_of_bidding_zero() -> None:
    """Given the deviation to zero, the gap is v₁ + v₂ of each profile, to the bit."""
    _, problem, env = auction(1, 2)
    draw = problem.draw(env, jax.random.key(2), 16)
    gap, _ = judged(problem, env, Rule.of(PayYourBid()), draw, jnp.zeros((1, 16, 1, 2)))
    np.testing.assert_array_equal(gap[:, 0], draw.types.sum(-1)[:, 0])


@pytest.mark.parametrize("agents", [1, 2, 3])
def test_one_agent_deviates_at_a_time(agents) -> None:
    """`unilateral` and `own` against a loop over agents, deviations and profiles, with deviations shared by profiles or not."""
    rng = np.random.default_rng(agents)
    tried, profiles, width = 3, 4, 2
    action = rng.random((profiles, agents, width)).astype(np.float32)
    pull = rng.random((agents, agents)).astype(np.float32)

    def utility(reports):
        """[…, N, T] → […, N]: each agent's depends on everybody's report."""
        return jnp.einsum("...n,mn->...m", reports.sum(-1), pull)

    for shared in (False, True):
        deviations = rng.random((tried, 1 if shared else profiles, agents, width)).astype(np.float32)
        found = np.asarray(own(utility(unilateral(jnp.asarray(action), jnp.asarray(deviations)))))
        for k in range(tried):
            for i in range(profiles):
                for n in range(agents):
                    reports = action[i].copy()
                    reports[n] = deviations[k, 0 if shared else i, n]
                    there = found[k, 0 if shared and agents == 1 else i, n]
                    assert there == pytest.approx(float(utility(reports)[n]), rel=1e-5)  # float32 sums


def test_a_gap_is_never_negative_though_every_deviation_hurts() -> None:
    """Deviations that only lose leave a gap of zero: doing as told is always among the choices."""
    _, problem, env = auction(1, 2)
    draw = problem.draw(env, jax.random.key(3), 16)
    dearer = draw.types[None] + 0.5
    gap, _ = judged(problem, env, Rule.of(PayYourBid()), draw, dearer)
    assert gap.max() == 0.0


def test_a_fee_moves_utility_but_not_the_gap() -> None:
    """What a bidder pays whatever it says lowers its utility by just that and gives no reason to lie."""
    _, problem, env = auction(2, 1)
    draw = problem.draw(env, jax.random.key(4), 32)
    deviations = jax.random.uniform(jax.random.key(5), (6, *draw.types.shape))
    free, _ = judged(problem, env, Rule.of(SecondPrice()), draw, deviations)
    charged, decision = judged(problem, env, Rule.of(SecondPrice(fee=0.25)), draw, deviations)
    plain = problem.utility(env, draw, Rule.of(SecondPrice())(draw.types), draw.types)
    np.testing.assert_allclose(problem.utility(env, draw, decision, draw.types) - plain, np.tile([-0.25, 0.0], (32, 1)), atol=1e-6)
    np.testing.assert_allclose(charged, free, atol=1e-6)  # float32: (u − fee) − (u′ − fee) rounds


def test_the_gradient_of_the_gap_is_that_of_the_best_reply_held_still() -> None:
    """Envelope theorem: through a small RegretNet, in float64, the slope of the gap with deviations held still is the finite
    difference of the whole maximum, searched anew at each point."""
    config, problem, env = auction(2, 2)
    with jax.enable_x64(True):
        env = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), env)
        rule = config.rule.build(problem, env, jax.random.key(6)).astype(jnp.float64)
        key = jax.random.key(7)
        draw = problem.draw(env, key, 6)
        grid = jax.random.uniform(key, (50, *draw.types.shape), jnp.float64)
        direction = jax.tree.map(lambda leaf: jnp.sin(jnp.arange(leaf.size) + 1.0).reshape(leaf.shape), rule.params)

        @quickly
        def exact(rule):
            """The mean gap over the grid, every point of it decided and judged."""
            moved = unilateral(draw.types, grid)
            gain = own(problem.utility(env, draw, rule(moved), moved)) - problem.utility(env, draw, rule(draw.types), draw.types)[None]
            return jax.nn.relu(gain.max(0)).mean()

        def core(rule):
            """The same through the core: the best deviation is found apart, and only it is differentiated."""
            utility = responses.deviated_utility(problem, env, jax.lax.stop_gradient(rule), draw, draw.types, grid)
            return gap_and_decision(problem, env, rule, draw, draw.types, responses.pick(grid, utility))[0].mean()

        def at(step):
            return replace(rule, params=jax.tree.map(lambda p, d: p + step * d, rule.params, direction))

        slope = quickly(jax.grad(core))(rule).params
        along = sum(jnp.vdot(s, d) for s, d in zip(jax.tree.leaves(slope), jax.tree.leaves(direction), strict=True))
        step = 1e-6
        difference = (exact(at(step)) - exact(at(-step))) / (2 * step)
        assert quickly(core)(rule) > 0.01  # there is something to differentiate
        # Central differences in float64: an error of step² and 1e-16 / step, both far below.
        np.testing.assert_allclose(along, difference, rtol=1e-6)
