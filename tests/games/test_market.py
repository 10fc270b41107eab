"""An exchange economy: its prices, what its equilibrium maximises, and that transfers reach whatever is efficient."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize, root

from icsap_jax.bilevel.equilibrium import settled
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import ConfigError, parse
from icsap_jax.evaluation import evaluate
from icsap_jax.games.market.exact import Economy
from icsap_jax.games.market.judge import first_welfare_theorem
from icsap_jax.games.market.optimum import best_transfers, check, optimum, value_of

QUICK = {"xla_backend_optimization_level": 0}  # compiling is most of what these tests cost
THREE = {"kind": "market", "exponents": [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]],
         "endowments": [[3, 1, 0], [1, 0, 2], [0, 0.5, 1]], "aim": {"kind": "log_utilities", "weights": [1, 2, 3]}}  # fmt: skip
TWO = {"kind": "market", "exponents": [[0.25, 0.75], [0.75, 0.25]], "endowments": [[1, 0], [0, 1]]}


def random_economy(seed, consumers=4, goods=3):
    """Unlike tastes and endowments, all above zero."""
    rng = np.random.default_rng(seed)
    return Economy(rng.dirichlet(np.ones(goods), consumers), rng.uniform(0.1, 3, (consumers, goods)))


def posed(given, **more):
    """(problem, its numbers, the checked file)."""
    config = parse({"problem": given, **more})
    return (*config.problem.build(None), config)


def test_the_published_equilibria_are_reproduced(case) -> None:
    """Prices, allocations, the sum of log utilities there and at its largest, Negishi's weights, and transfers worth nothing."""
    for row in case("cobb_douglas_ce")["cases"]:
        exact = Economy(np.array([[a, 1 - a] for a in row["alpha"]]), np.array(row["endow"], float))
        prices = exact.prices()
        assert prices[0] / prices[1] == pytest.approx(row["p1_over_p2"], abs=1e-12)
        np.testing.assert_allclose(exact.demand(prices), row["alloc"], atol=1e-12)
        found = first_welfare_theorem(exact)
        assert found["plain_sum"] == pytest.approx(row["sum_log_u_ce"], abs=1e-12)
        assert found["largest_plain_sum"] == pytest.approx(row["sum_log_u_max"], abs=1e-12)
        np.testing.assert_allclose(found["negishi_weights"], row["negishi_weights"], atol=1e-12)
        np.testing.assert_allclose(exact.efficient(np.ones(2)), row["util_opt_alloc"], atol=1e-8)  # the file's was searched for
        np.testing.assert_allclose(exact.supporting(np.ones(2))[1], row["swt_lump_sum_transfers"], atol=1e-8)


def test_the_linear_equilibrium_is_where_excess_demand_vanishes() -> None:
    """Unlike random economies: the least-squares prices against a root of excess demand in log prices, and against an eigenvector."""
    for seed in range(6):
        exact = random_economy(seed)

        def excess(logs, exact=exact):
            prices = np.exp(np.append(logs, 0.0))
            return (exact.demand(prices).sum(0) - exact.total)[:-1]

        prices = exact.prices()
        np.testing.assert_allclose(prices[:-1], np.exp(root(excess, np.zeros(2), tol=1e-13).x), rtol=1e-9)
        values, vectors = np.linalg.eig((exact.exponents.T @ exact.endowments) / exact.total[:, None])
        vector = vectors[:, np.argmin(abs(values - 1.0))].real
        np.testing.assert_allclose(prices, vector / vector[-1], rtol=1e-9)
        np.testing.assert_allclose(exact.demand(prices).sum(0), exact.total, rtol=1e-12)


def test_an_equilibrium_maximises_the_negishi_weighted_sum_and_not_the_plain_one() -> None:
    """First welfare theorem: no other allocation tried is worth more by the wealths as weights; by equal weights many are."""
    rng = np.random.default_rng(0)
    for seed in range(6):
        exact = random_economy(seed)
        found = first_welfare_theorem(exact)
        assert found["weighted_sum"] == pytest.approx(found["largest_weighted_sum"], abs=1e-12)
        assert found["plain_sum"] < found["largest_plain_sum"] - 1e-3
        weights = np.array(found["negishi_weights"])
        for shares in rng.dirichlet(np.ones(4), (200, 3)):
            assert weights @ np.log(exact.utility(shares.T * exact.total)) <= found["weighted_sum"] + 1e-12


def test_transfers_support_every_efficient_allocation() -> None:
    """Second welfare theorem: with each consumer's endowment changed by a transfer in the last good alone the equilibrium is the
    allocation; transfers sum to zero. From the allocation alone the weights are found again, and for a wasteful one there are none."""
    for seed in range(6):
        exact = random_economy(seed)
        weights = np.random.default_rng(seed).dirichlet(np.ones(4))
        wanted = exact.efficient(weights)
        prices, transfers = exact.supporting(weights)
        assert transfers.sum() == pytest.approx(0.0, abs=1e-12)
        moved = Economy(exact.exponents, exact.endowments + np.outer(transfers, [0, 0, 1]))  # a debt in goods is no matter here
        np.testing.assert_allclose(moved.demand(prices), wanted, rtol=1e-12)
        np.testing.assert_allclose(moved.prices(), prices, rtol=1e-9)
        np.testing.assert_allclose(exact.weights_of(wanted), weights, atol=1e-9)
        assert exact.weights_of(exact.endowments) is None


def test_no_affordable_bundle_beats_what_wealth_buys_at_the_cost_of_utility() -> None:
    """The gap's formula: among random ways to spend the same wealth none has more utility, and demand has as much."""
    exact = random_economy(1)
    prices = np.array([0.5, 2.0, 1.0])
    wealth = exact.endowments @ prices
    best = wealth / exact.costs(prices)
    np.testing.assert_allclose(exact.utility(exact.demand(prices)), best, rtol=1e-12)
    for spent in np.random.default_rng(0).dirichlet(np.ones(3), (500, 4)):
        assert (exact.utility(spent * wealth[:, None] / prices) <= best * (1 + 1e-12)).all()


@pytest.mark.parametrize("aim", [{"kind": "utilities"}, {"kind": "utilities", "weights": [1, 1.2, 1.1]}, {"kind": "maximin"}])
def test_the_planners_value_meets_its_bound(aim) -> None:
    """A bound from prices and an allocation that reaches it: neither can then be wrong by more than they differ."""
    problem, env, config = posed({**THREE, "aim": aim})
    found = optimum(problem, env, config.problem)
    assert found["value"] == pytest.approx(found["upper_bound"], rel=1e-6)
    exact, rng = Economy(env.exponents, env.endowments), np.random.default_rng(0)
    for shares in rng.dirichlet(np.ones(3), (300, 3)):
        utility = exact.utility(shares.T * exact.total)
        assert (utility.min() if aim["kind"] == "maximin" else env.aim @ utility) <= found["upper_bound"] + 1e-9


def test_supporting_transfers_are_learned_through_the_equilibrium() -> None:
    """Three unlike consumers and weights, in float64: the follower's prices are the linear problem's, and the slope of the value to the
    designer is its finite difference of 10⁻⁶; climbing by it leads to the planner's value, and to transfers worth what the second
    welfare theorem says."""
    problem, env, config = posed(THREE)
    draw = problem.draw(env, None, 1)
    rule = config.rule.build(problem, env, jax.random.key(0))
    flat, rebuild = ravel_pytree(rule.params)

    def loss(numbers):
        decision = problem.decide(env, Rule(rebuild(numbers), rule.graph), None, None)
        found = settled(problem, env, draw, decision, problem.begin(env, draw), jnp.ones(()), 30)
        return -problem.score(env, draw, decision, found.action).value[0], (decision, found.action, found.converged)

    with jax.enable_x64(True):
        both = jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=QUICK)
        begin, aside = np.asarray(flat, float), np.random.default_rng(0).normal(size=flat.shape)
        (_, (moved, logs, converged)), slope = both(begin)
        assert converged
        np.testing.assert_allclose(logs, np.log(Economy(env.exponents, np.asarray(moved)).prices()[:-1]), atol=1e-12)
        worth = [value_of(env, config.problem, after.demand(after.prices())) for after in
                 (Economy(env.exponents, np.asarray(both(begin + size * aside)[0][1][0])) for size in (1e-6, -1e-6))]  # fmt: skip
        assert -slope @ aside == pytest.approx((worth[0] - worth[1]) / 2e-6, rel=1e-6)
        found = minimize(lambda at: [np.asarray(each, float) for each in (both(at)[0][0], both(at)[1])], begin, jac=True, method="L-BFGS-B")
    result = evaluate(config, problem, env, Rule(rebuild(jnp.asarray(found.x, flat.dtype)), rule.graph))
    details = result["details"]
    assert result["shortfall"] == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(details["learned"]["transfers"], details["planner"]["transfers"], atol=2e-3)  # flat at the best
    assert result["incentive_gap"]["max"] <= 1e-12
    assert details["market_clearing_residual"] <= 1e-12
    assert result["participation_violation"] == 0.0
    assert result["baselines"]["no_transfers"] < result["baselines"]["even_division"] < result["optimum"]["value"]


def test_transfers_of_one_good_are_held_against_what_they_can_do() -> None:
    """The last good is worth enough for the one planner and not for the other, whose value is then not claimed to be reachable."""
    for goods, weights, known in (([2], [3, 1, 1], True), ([0], [1, 2, 3], False)):
        problem, env, config = posed({**THREE, "aim": {"kind": "log_utilities", "weights": weights}})
        rule = parse({"problem": THREE, "rule": {"kind": "lump_sum_transfers", "goods": goods}}).rule
        found = best_transfers(problem, env, config.problem, rule)
        assert (found["value"] is not None) == known
        assert found["upper_bound"] == optimum(problem, env, config.problem)["value"]


def test_a_target_is_the_optimum_where_it_is_efficient_and_else_has_none() -> None:
    """(.25, .75), (.75, .25) is; halves of everything are not."""
    for allocation, value in (([[0.25, 0.75], [0.75, 0.25]], 0.0), ([[0.5, 0.5], [0.5, 0.5]], None)):
        problem, env, config = posed({**TWO, "aim": {"kind": "target", "allocation": allocation}})
        found = optimum(problem, env, config.problem)
        assert found["value"] == (None if value is None else pytest.approx(value, abs=1e-12))
        assert found["upper_bound"] == 0.0


def test_consumers_who_trade_with_nobody_leave_prices_open() -> None:
    """Each likes only what it has: refused before anything is trained. So is a rule that moves goods there are not."""
    with pytest.raises(ConfigError, match="relative prices are not determined"):
        check(*posed({**TWO, "exponents": [[1, 0], [0, 1]]}))
    check(*posed(TWO))
    problem, env, config = posed(TWO, rule={"kind": "lump_sum_transfers", "goods": [2]})
    with pytest.raises(ConfigError, match=r"rule\.goods = \[2\].* from 0 to 1"):
        config.rule.build(problem, env, jax.random.key(0))


@pytest.mark.parametrize(("given", "said"), [
    ({**TWO, "exponents": [[0.25, 0.7], [0.75, 0.25]]}, r"exponents\.0.* they sum to 0\.95"),
    ({**TWO, "exponents": [[1.25, -0.25], [0.75, 0.25]]}, r"exponents\.0.* ≥ 0"),
    ({**TWO, "exponents": [[1.0, 0.0], [1.0, 0.0]]}, r"exponents.* nobody wants good 1"),
    ({**TWO, "exponents": [0.5, 0.5]}, r"exponents has shape \[2\]; it should be consumers × goods"),
    ({**TWO, "endowments": [[1, 0]]}, r"endowments has shape \[1, 2\]; it should be \[2, 2\]"),
    ({**TWO, "endowments": [[1, 0], [1, 0]]}, r"endowments.* nobody has any of good 1"),
    ({**TWO, "endowments": [[1, -1], [0, 2]]}, r"endowments.* ≥ 0"),
    ({**TWO, "aim": {"kind": "log_utilities", "weights": [1, 2, 3]}}, r"aim\.weights has shape \[3\]; it should be \[2\]"),
    ({**TWO, "aim": {"kind": "log_utilities", "weights": [1, 0]}}, r"aim\.weights.* above 0"),
    ({**TWO, "aim": {"kind": "target", "allocation": [[1, 1], [1, 1]]}}, r"aim\.allocation.* add up to what there is"),
])  # fmt: skip
def test_a_wrong_market_is_refused_with_its_key(given, said) -> None:
    """Each mistake in one sentence."""
    with pytest.raises(ConfigError, match=said):
        parse({"problem": given})
