"""The tragedy of the commons, and that the right tax or quota mends it: a pool used once, and fish that grow for ever."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from icsap_jax.bilevel.stationary import stationary_reply
from icsap_jax.config import ConfigError, parse
from icsap_jax.games.commons.exact import FishExact, PoolExact, exact_of
from icsap_jax.games.commons.optimum import best_quota, best_tax, optimum, worth
from icsap_jax.games.commons.problem import Regulation

QUICK = {"xla_backend_optimization_level": 0}  # compiling is most of what these tests cost
C20 = {"kind": "commons", "agents": 2, "stock": {"kind": "static", "returns": 12.0, "crowding": 1.0, "endowment": 12.0}}
UNLIKE = {"kind": "commons", "agents": 3,
          "stock": {"kind": "static", "returns": [14, 12, 10], "crowding": 1, "outside": 1, "endowment": [5, 4, 6]}}  # fmt: skip
FISH = {"kind": "commons", "agents": 2, "stock": {"kind": "fish_war", "growth": 0.4, "discount": 0.9}}


def posed(given):
    """(problem, its numbers, the exact answers)."""
    problem, env = parse({"problem": given}).problem.build(None)
    return problem, env, exact_of(env)


def fishing(row):
    """The exact fish war of a row of the case."""
    return FishExact(row["alpha"], row["beta"], 1.0, np.ones(row["n"]))


def random_pool(seed, agents=4):
    """A pool of unlike agents, some of whom put in all they have or nothing."""
    rng = np.random.default_rng(seed)
    return PoolExact(rng.uniform(4, 14, agents), 0.7, rng.uniform(0, 3, agents), rng.uniform(1, 6, agents))


def test_the_laboratory_pool_has_the_published_harvests_and_tax(case) -> None:
    """Ostrom, Gardner & Walker: all of the case's columns; the rent leaves out what the endowments are worth anyway."""
    row = case("common_pool_static")["cases"][0]
    exact = PoolExact(np.full(row["n"], row["a"]), row["b"], np.full(row["n"], row["w"]), np.full(row["n"], 10.0))
    idle = row["w"] * exact.high.sum()
    nash, planned = exact.nash(), exact.planned()
    found = [nash.sum(), planned.sum(), worth(exact, nash) - idle, worth(exact, planned) - idle]
    np.testing.assert_allclose(found, [row["X_nash"], row["X_opt"], row["rent_nash"], row["rent_opt"]], rtol=1e-12)
    np.testing.assert_allclose(exact.supporting_tax(), row["pigou_tax_per_unit"], rtol=1e-12)
    assert found[2] / found[3] == pytest.approx(row["efficiency"])


def test_the_fish_war_has_the_published_shares_stocks_values_and_tax(case) -> None:
    """Levhari & Mirman: all of the case's columns."""
    for row in case("fish_war")["cases"]:
        exact = fishing(row)
        for harvest, name in ((exact.planned(), "coop"), (exact.nash(), "mpe")):
            np.testing.assert_allclose(harvest, row[f"share_{name}"], rtol=1e-12)
            np.testing.assert_allclose(exact.payoff(harvest), row[f"V_{name}_s1"], rtol=1e-12)
            assert exact.steady(harvest) == pytest.approx(row[f"steady_{name}"], rel=1e-12)
        np.testing.assert_allclose(exact.supporting_tax(), row["pigou_tax_on_share"], rtol=1e-12)
        np.testing.assert_allclose(exact.nash(exact.supporting_tax()), exact.planned(), rtol=1e-12)


def test_values_of_constant_shares_are_what_running_the_stock_adds_up_to() -> None:
    """Two thousand periods of unlike shares, period by period."""
    exact = FishExact(0.4, 0.9, 1.7, np.ones(3))
    shares, stock, total = np.array([0.1, 0.2, 0.3]), 1.7, np.zeros(3)
    for period in range(2000):
        total += 0.9**period * np.log(shares * stock)
        stock = (stock * (1 - shares.sum())) ** 0.4
    np.testing.assert_allclose(exact.payoff(shares), total, rtol=1e-12)


@pytest.mark.parametrize("tax", [0.0, 1.5625])
def test_no_fisher_gains_by_another_share_in_one_period_at_any_stock(tax) -> None:
    """So that none gains by any strategy (one-shot deviations), though agents here choose among constant shares."""
    for stock in (0.01, 0.5, 3.0):
        exact = FishExact(0.4, 0.9, stock, np.ones(2))
        shares = exact.nash(tax)
        stays = exact.payoff(shares)[0] - tax * shares[0] / 0.1
        tried = np.linspace(0.001, 1 - shares[1] - 0.001, 2000)
        after = np.array([fished_on(exact, shares, each) for each in tried])
        gained = np.log(tried * stock) - tax * tried + 0.9 * (after - tax * shares[0] / 0.1) - stays
        assert gained.max() <= 1e-12
        assert abs(tried[gained.argmax()] - shares[0]) < 1e-3  # the grid


def fished_on(exact, shares, first):
    """What agent 0 has from the second period on when it takes `first` in the first, and all then keep to their shares."""
    left = exact.stock * (1 - first - shares[1:].sum())
    return FishExact(exact.growth, exact.discount, left**exact.growth, exact.high).payoff(shares)[0]


def test_nash_harvests_of_unlike_agents_are_where_best_replies_lead() -> None:
    """Replying to each other in turn, which takes no account of how the root was found."""
    for seed in range(8):
        pool, tax = random_pool(seed), np.random.default_rng(seed).uniform(-1, 2, 4)
        harvest = np.zeros(4)
        for _ in range(400):
            for i in range(4):
                others = harvest.sum() - harvest[i]
                free = (pool.returns[i] - pool.outside[i] - tax[i] - pool.crowding * others) / (2 * pool.crowding)
                harvest[i] = np.clip(free, 0.0, 0.8 * pool.high[i])
        np.testing.assert_allclose(pool.nash(tax, 0.8), harvest, atol=1e-10)


def test_each_agents_own_tax_makes_the_planners_harvests_nash() -> None:
    """Whatever agents are like, at corners too; and nothing that anybody could harvest is worth more."""
    rng = np.random.default_rng(0)
    for seed in range(8):
        pool = random_pool(seed)
        np.testing.assert_allclose(pool.nash(pool.supporting_tax()), pool.planned(), atol=1e-10)
        best = worth(pool, pool.planned())
        assert best >= max(worth(pool, rng.uniform(size=4) * pool.high) for _ in range(300))


def test_one_tax_for_unlike_agents_does_less_than_a_tax_for_each() -> None:
    """And one quota less than a tax here: both between no rule and the planner."""
    problem, env, exact = posed(UNLIKE)
    alike, own = SimpleNamespace(individual=False), SimpleNamespace(individual=True)
    best = optimum(problem, env, None)["value"]
    taxed, rationed = best_tax(problem, env, None, alike)["value"], best_quota(problem, env, None, alike)["value"]
    assert worth(exact, exact.nash()) <= rationed + 1e-9 < taxed < best
    assert best_tax(problem, env, None, own)["value"] == pytest.approx(best, rel=1e-12)
    assert best_quota(problem, env, None, own)["value"] == pytest.approx(best, rel=1e-12)


def test_harvests_fall_by_a_third_of_the_tax_and_welfare_rises_at_eight_thirds(case) -> None:
    """Through the implicit derivative of the first-order conditions solved together, and through the formula: in float64 to rounding. The
    best tax is where the slope of welfare, so found, vanishes."""
    wanted = case("C20")["solution"]
    problem, env, _ = posed(C20)

    def followed(tax, reply):
        decision = Regulation(tax=tax[None], quota=jnp.ones((1,)), kept=jnp.ones(()))
        draw = problem.draw(env, None, 1)
        action = reply(decision, draw)
        found = jnp.stack([problem.harvest(env, decision, action)[0, 0], problem.score(env, draw, decision, action).value[0]])
        return found, found

    with jax.enable_x64(True):
        for reply in (lambda decision, draw: stationary_reply(problem, env, draw, decision)[0].action,
                      lambda decision, draw: problem.reply(env, draw, decision)):  # fmt: skip
            both = jax.jit(jax.jacrev(lambda tax, reply=reply: followed(tax, reply), has_aux=True), compiler_options=QUICK)
            slopes, found = both(np.float64(0.0))
            np.testing.assert_allclose(found, [wanted["nash_x"], wanted["nash_welfare"]], atol=1e-9)
            np.testing.assert_allclose(slopes, [wanted["dx_dtau"], wanted["hypergradient_at_tau0"]["dW_dtau"]], atol=1e-8)
            best = brentq(lambda tax, both=both: float(both(np.float64(tax))[0][1]), 0.0, 8.0)
            np.testing.assert_allclose([best, *both(np.float64(best))[1]], [wanted["tau"], wanted["x"], wanted["welfare"]], atol=1e-6)


def test_the_formula_for_harvests_finds_agents_at_their_bounds() -> None:
    """Random taxes and quotas on unlike agents, all at once in float64, against a bracketed root; so for the fish where all pay alike."""
    problem, env, exact = posed(UNLIKE)
    fish, stock, fished = posed(FISH)
    rng = np.random.default_rng(1)
    taxes, quotas = rng.uniform(-4, 12, (40, 3)), rng.uniform(0.05, 1, (40, 3))
    same, share = rng.uniform(-3, 8, (40, 1)), rng.uniform(0.1, 1, (40, 1))
    with jax.enable_x64(True):
        def reply(problem, env, tax, quota):
            return problem.reply(env, None, Regulation(tax=tax, quota=quota, kept=jnp.ones(())))[0, :, 0]

        def both(taxes, quotas, same, share):
            return (jax.vmap(lambda tax, quota: reply(problem, env, tax, quota))(taxes, quotas),
                    jax.vmap(lambda tax, quota: reply(fish, stock, tax, quota))(same, share))  # fmt: skip

        harvests, shares = jax.jit(both, compiler_options=QUICK)(taxes, quotas, same, share)
        wanted = [exact.nash(*each) for each in zip(taxes, quotas, strict=True)]
        np.testing.assert_allclose(np.asarray(harvests) * quotas * env.high, wanted, atol=1e-9)
        wanted = [fished.nash(*each) for each in zip(same, share, strict=True)]
        np.testing.assert_allclose(np.asarray(shares) * share, wanted, atol=1e-9)
        with pytest.raises(ConfigError, match="individual: false"):
            reply(fish, stock, jnp.zeros(2), jnp.ones(1))


def test_a_tax_in_proportion_to_payoffs_leaves_every_harvest_as_it_is() -> None:
    """At untaxed Nash shares nobody's own slope is anything but zero, whatever share of log-catches is taken; a tax on shares is felt."""
    problem, env, exact = posed(FISH)
    with jax.enable_x64(True):
        def slope(tax, kept, action):
            decision = Regulation(tax=tax[None], quota=jnp.ones((1,)), kept=kept)
            return jax.grad(lambda at: problem.utility(env, None, decision, at)[0, 0])(action)[0, 0, 0]

        slopes = jax.jit(jax.vmap(slope, (0, 0, None)), compiler_options=QUICK)(
            np.array([0.0, 0.0, 0.1]), np.array([1.0, 0.3, 1.0]), exact.nash()[None, :, None])  # fmt: skip
        np.testing.assert_allclose(slopes, [0.0, 0.0, -1.0], atol=1e-9)  # a tenth in each of 1/(1 − β) = 10 periods


@pytest.mark.parametrize(("given", "said"), [
    ({**C20, "agents": 1}, r"agents = 1"),
    ({**C20, "stock": {**C20["stock"], "returns": [1, 2, 3]}}, r"stock\.returns.* has shape \[3\]; with 2 agents .* \[2\]"),
    ({**C20, "stock": {**C20["stock"], "endowment": [0, 1]}}, r"stock\.endowment.* above 0"),
    ({**C20, "stock": {**C20["stock"], "outside": 12}}, r"stock\.returns.* above outside"),
    ({**C20, "stock": {**C20["stock"], "crowding": 0}}, r"stock\.crowding = 0"),
    ({**FISH, "stock": {"kind": "fish_war", "growth": 1.0, "discount": 0.9}}, r"stock\.growth = 1\.0"),
    ({**FISH, "stock": {"kind": "fish_war", "growth": 0.4, "discount": 1.0}}, r"stock\.discount = 1\.0"),
    ({**FISH, "stock": {"kind": "forest"}}, r"stock\.kind.*fish_war"),
])  # fmt: skip
def test_a_wrong_commons_is_refused_with_its_key(given, said) -> None:
    """Each mistake in one sentence."""
    with pytest.raises(ConfigError, match=said):
        parse({"problem": given})
