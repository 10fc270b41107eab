"""The best contract of one agent: the case file's answers, closed forms, and what must hold of any contract problem."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from icsap_jax.contracts.classical import best_linear, first_best, value_of, zero_contract
from icsap_jax.contracts.family.instances import hidden_action, typed
from icsap_jax.contracts.programmes import best_contract, every_action, insured_value, least_pay
from icsap_jax.contracts.shapes import Terms
from icsap_jax.contracts.tables import Cara, Linear, Sqrt, Tables
from icsap_jax.exact.lp import Infeasible

CLOSE = 1e-7  # HiGHS's feasibility tolerance on tables of size one
TIGHT = 1e-8  # the convex programme certifies 1e-9 of values below ten
SHAPES = ("any", "monotone", "linear", "threshold")
UTILITIES = (Linear(), Sqrt(), Cara(0.3))


def tables_of(known) -> Tables:
    """The tables of a case without types."""
    return Tables(known["data"]["F"], known["data"]["c"], known["data"]["v"])


def induced(tables: Tables, contracts: np.ndarray, slack: float) -> np.ndarray:
    """By brute force: [T] the least a type loses, against all contracts and actions, by what is best for the principal among its
    best replies; the value then has to be the promised one."""
    values = []
    for k in range(tables.types):
        utility = np.array([[tables.outcome_probabilities[k, a] @ tables.utility.of(t) - tables.costs[k, a] for t in contracts]
                            for a in range(tables.actions)])  # fmt: skip
        worth = np.array([[tables.outcome_probabilities[k, a] @ (tables.rewards - tables.payment_cost * t) for t in contracts]
                          for a in range(tables.actions)])  # fmt: skip
        assert utility.max() >= tables.reservation[k] - slack
        values.append(worth[utility >= utility.max() - slack].max())
    return tables.type_prior @ np.array(values)


@pytest.mark.parametrize("name", ["C01", "C02", "C04", "C06"])
def test_value_action_and_every_actions_pay_are_the_known_ones(case, name):
    known = case(name)
    tables, solution = tables_of(known), known["solution"]
    best = best_contract(tables)
    assert best.value == pytest.approx(solution["principal_utility"], abs=known["tol"])
    assert best.actions.tolist() == [solution["action"]]
    assert best.expected_payment == pytest.approx(solution["expected_payment"], abs=known["tol"])
    assert best.agent_utility[0] == pytest.approx(solution["agent_utility"], abs=known["tol"])
    assert best.upper_bound == pytest.approx(best.value, abs=known["tol"])
    assert first_best(tables) == pytest.approx(solution["first_best"], abs=known["tol"])
    for found, one in zip(every_action(tables), solution["per_action"], strict=True):
        assert found.implementable == one["implementable"]
        assert found.min_pay == (one["min_pay"] if one["min_pay"] is None else pytest.approx(one["min_pay"], abs=known["tol"]))
        if found.implementable:
            assert found.principal_utility == pytest.approx(one["principal_utility"], abs=known["tol"])


def test_linear_contracts_lose_all_but_the_cheapest_actions_reward(case):
    known = case("C06")["solution"]["best_linear"]
    linear = best_linear(tables_of(case("C06")))
    assert (linear.value, linear.share) == pytest.approx((known["principal_utility"], known["share"]), abs=1e-6)
    assert linear.actions.tolist() == [known["action"]]


def test_a_margin_costs_what_the_closed_form_says(case):
    """C07: U(0) − U(ξ) = p₁ξ / (p₁ − p₀)."""
    known = case("C07")
    for one in known["solution"]["nudged"]:
        best = best_contract(tables_of(known), Terms(margin=one["xi"]))
        assert best.value == pytest.approx(one["principal_utility"], abs=known["tol"])
        np.testing.assert_allclose(best.contracts[0], one["t"], atol=known["tol"])


def test_the_random_family_is_solved_exactly(case):
    """Every instance of C27b with its baselines; the contract's own best response brings the promised value."""
    known = case("C27b")
    for one in known["solution"]["instances"]:
        tables = hidden_action(one["seed"], one["n"], one["m"])
        best, linear = best_contract(tables), best_linear(tables)
        found = best.value, best.expected_payment, best.agent_utility[0], linear.value, linear.share
        names = "principal_utility", "expected_payment", "agent_utility", "best_linear", "best_share"
        assert found == pytest.approx([one[name] for name in names], abs=known["tol"])
        assert best.actions.tolist() == [one["action"]]
        assert induced(tables, best.contracts, 1e-7) == pytest.approx(best.value, abs=CLOSE)


@pytest.mark.parametrize("size", [(5, 5, 10), (10, 10, 10), (25, 25, 10), (50, 50, 5), (10, 100, 5), (100, 10, 5)])
def test_the_random_familys_averages_are_the_known_ones(case, size):
    known = case("C27b")["solution"]["aggregate"][f"{size[0]}x{size[1]}"]
    family = [hidden_action(seed, *size[:2]) for seed in range(size[2])]
    assert np.mean([best_contract(tables).value for tables in family]) == pytest.approx(known["mean_opt"], abs=1e-9)
    assert np.mean([best_linear(tables).value for tables in family]) == pytest.approx(known["mean_linear"], abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_tried_actions_are_as_many_as_can_be_implemented(case, seed):
    """The count of implementable actions in C27b's instances of 100 actions, some of which no contract induces."""
    one = [one for one in case("C27b")["solution"]["instances"] if (one["n"], one["m"]) == (100, 10)][seed]
    priced = every_action(hidden_action(one["seed"], 100, 10))
    assert sum(action.implementable for action in priced) == one["implementable"]
    assert max(action.principal_utility for action in priced if action.implementable) == pytest.approx(one["principal_utility"], abs=CLOSE)


@pytest.mark.parametrize("reservation", [0.0, 0.4])
def test_a_square_root_agent_is_paid_the_closed_form(reservation):
    """Two outcomes, two actions, participation and incentives binding (Grossman & Hart 1983): with w = √t,
    w₁ − w₀ = Δc/Δp and w₀ + p₁(w₁ − w₀) = c₁ + reservation."""
    low, high, cost = 0.2, 0.8, 0.9
    tables = Tables([[1 - low, low], [1 - high, high]], [0.0, cost], [0.0, 10.0], reservation=reservation, utility=Sqrt())
    spread = cost / (high - low)
    bottom = max(cost + reservation - high * spread, 0.0)
    w = np.array([bottom, bottom + spread])
    pay = least_pay(tables, Terms(), [1])
    assert pay.expected_payment == pytest.approx((1 - high) * w[0] ** 2 + high * w[1] ** 2, abs=TIGHT)
    np.testing.assert_allclose(pay.contracts[0], w**2, atol=1e-6)  # flat around the minimum: √ of the certified gap
    assert pay.lower_bound <= pay.expected_payment + 1e-12


def test_a_cara_agent_is_paid_the_closed_form():
    """The same in w = (1 − e^{−rt})/r, without limited liability: both constraints bind, and pay is −log(1 − r w)/r."""
    low, high, cost, r = 0.2, 0.8, 0.3, 1.5
    tables = Tables([[1 - low, low], [1 - high, high]], [0.0, cost], [0.0, 10.0], limited_liability=False, utility=Cara(r))
    w = np.array([cost - high * cost / (high - low), cost + (1 - high) * cost / (high - low)])
    t = -np.log(1 - r * w) / r
    pay = least_pay(tables, Terms(), [1])
    assert pay.expected_payment == pytest.approx((1 - high) * t[0] + high * t[1], abs=TIGHT)
    assert pay.agent_utility[0] == pytest.approx(0.0, abs=TIGHT)


@pytest.mark.parametrize("limited", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_hardly_risk_averse_agent_is_paid_like_a_risk_neutral_one(shape, limited):
    """u(t) − t is −r t²/2: at r = 1e-7 and payments below 20, that moves a value by less than 1e-4 of it."""
    tables = replace(hidden_action(4, 5, 5), limited_liability=limited)
    neutral = best_contract(tables, Terms(shape=shape)).value
    assert best_contract(replace(tables, utility=Cara(1e-7)), Terms(shape=shape)).value == pytest.approx(neutral, abs=1e-4)


@pytest.mark.parametrize("seed", [0, 2, 4])
@pytest.mark.parametrize("utility", UTILITIES, ids=str)
def test_every_limit_on_contracts_costs_and_the_first_best_bounds_all(utility, seed):
    """any ≥ monotone ≥ linear and threshold; a budget, protection and a margin never help; nothing beats the first best."""
    tables = replace(hidden_action(seed, 5, 4, corr=0.1), utility=utility, payment_cost=0.8)
    value = {shape: best_contract(tables, Terms(shape=shape)).value for shape in SHAPES}
    assert first_best(tables) + TIGHT >= value["any"] >= value["monotone"] - TIGHT
    assert value["monotone"] >= max(value["linear"], value["threshold"]) - TIGHT
    for shape in SHAPES:
        terms = Terms(shape=shape)
        assert best_contract(tables, replace(terms, budget=1.0)).value <= value[shape] + TIGHT
        assert best_contract(tables, replace(terms, margin=0.05)).value <= value[shape] + TIGHT
        assert best_contract(replace(tables, limited_liability=False), terms).value >= value[shape] - TIGHT
        assert best_contract(replace(tables, reservation=0.2), terms).value <= value[shape] + TIGHT


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("utility", UTILITIES, ids=str)
def test_a_contract_keeps_its_terms_and_brings_what_it_promises(utility, shape):
    """Shape, budget and protection hold of the payments; the agent's own best reply, by brute force, brings the value."""
    for seed in (0, 4):
        tables = replace(hidden_action(seed, 4, 5, corr=0.1), utility=utility, reservation=0.1)
        best = best_contract(tables, Terms(shape=shape, budget=9.0))
        pay = best.contracts[0]
        assert np.all((pay >= 0.0) & (pay <= 9.0 + TIGHT))
        if shape != "any":
            assert np.all(np.diff(pay) >= -TIGHT)  # the family's rewards are sorted
        if shape == "threshold":
            assert len(np.unique(pay.round(7))) <= 2 and (pay[0] < TIGHT or np.ptp(pay) < TIGHT)
        if shape == "linear":
            np.testing.assert_allclose(pay * tables.rewards[-1], pay[-1] * tables.rewards, atol=1e-6)
        assert induced(tables, best.contracts, 1e-6) == pytest.approx(best.value, abs=1e-5)  # a tie within 1e-6 may pay that little less
        assert best.value <= best.upper_bound + 1e-12


@pytest.mark.parametrize("budget", [None, 7.0])
def test_linear_contracts_of_a_square_root_agent_are_the_programme_in_root_shares(budget):
    """Under limited liability √(s·r) = √s·√r: the smallest root share that meets participation and incentives, by hand; the budget
    rules out the actions that need a larger share."""
    tables, terms = replace(hidden_action(0, 5, 4, corr=0.1), utility=Sqrt(), reservation=0.1), Terms("linear", budget, margin=0.02)
    gain = tables.outcome_probabilities[0] @ np.sqrt(tables.rewards)
    implemented = 0
    for action in range(5):
        others = [b for b in range(5) if b != action]
        steps, needs = gain[action] - gain[others], tables.costs[0, action] - tables.costs[0, others] + terms.margin
        low = max([(tables.costs[0, action] + 0.1) / gain[action], *(needs[steps > 0] / steps[steps > 0])])
        high = min([np.inf if budget is None else np.sqrt(budget / tables.rewards.max()), *(needs[steps < 0] / steps[steps < 0])])
        if max(low, 0.0) > high:
            with pytest.raises(Infeasible):
                least_pay(tables, terms, [action])
        else:
            pay = least_pay(tables, terms, [action]).expected_payment
            # The search accepts rounding of 1e-10 in a constraint, and ends where its cells are that small.
            assert pay == pytest.approx(max(low, 0.0) ** 2 * tables.expected_rewards[0, action], abs=1e-7)
            implemented += 1
    assert implemented == (3 if budget is None else 2)


def test_a_threshold_contract_pays_nothing_below_it():
    """A constant and a bonus would insure: w = √t, spread 0.4/0.8 above w₀ + 0.9·0.5 = 5.4. From nothing, 0.9·w₁ = 5.4."""
    tables = Tables([[0.9, 0.1], [0.1, 0.9]], [0.0, 0.4], [0.0, 9.0], reservation=5.0, utility=Sqrt())
    assert least_pay(tables, Terms(shape="threshold"), [1]).expected_payment == pytest.approx(0.9 * 36.0, abs=1e-7)
    assert least_pay(tables, Terms(shape="any"), [1]).expected_payment == pytest.approx(0.1 * 4.95**2 + 0.9 * 5.45**2, abs=1e-7)


@pytest.mark.parametrize("utility", UTILITIES, ids=str)
def test_without_protection_selling_the_project_is_best_if_nobody_minds_risk(utility):
    """A risk-neutral agent without limited liability gives the first best; a risk-averse one less wherever effort needs incentives."""
    tables = replace(hidden_action(4, 4, 4), utility=utility, limited_liability=False)
    gap = first_best(tables) - best_contract(tables).value
    assert gap == pytest.approx(0.0, abs=CLOSE) if utility.linear else gap > -TIGHT


@pytest.mark.parametrize("seed", range(4))
def test_the_best_linear_contract_is_the_programmes(seed):
    """Kinks of the envelope against one programme for each action, with types and with reservation utilities too."""
    for tables in (hidden_action(seed, 6, 5), typed(seed, 2, 3, 4), replace(typed(seed, 2, 3, 4), reservation=np.array([0.3, 0.6]))):
        assert best_linear(tables).value == pytest.approx(best_contract(tables, Terms(shape="linear")).value, abs=CLOSE)


def test_ties_go_to_the_principal_or_against_it(case):
    """At C01's optimum the agent is indifferent: for it effort, against it none, paid for luck."""
    tables = tables_of(case("C01"))
    best = best_contract(tables)
    assert value_of(tables, best.contracts).value == pytest.approx(20 / 3, abs=1e-9)
    against = value_of(tables, best.contracts, ties="against")
    assert against.value == pytest.approx(0.2 * (10 - 5 / 3), abs=1e-9) and against.choices.tolist() == [[0, 0]]
    assert value_of(tables, best_contract(tables, Terms(margin=0.01)).contracts, ties="against").choices.tolist() == [[0, 1]]


def test_a_type_below_its_reservation_utility_stays_out():
    tables = Tables([[1.0, 0.0]], [0.0], [4.0, 8.0], reservation=0.5)
    reply = zero_contract(tables)
    assert (reply.value, reply.agent_utility.tolist(), reply.choices.tolist()) == (0.0, [0.5], [[-1, -1]])
    assert best_contract(tables).value == pytest.approx(3.5, abs=CLOSE)


def test_payments_that_cost_more_than_their_face_are_charged_so(case):
    """C01 at two a unit: effort then costs 8/3 of the 8 it brings."""
    tables = replace(tables_of(case("C01")), payment_cost=2.0)
    best = best_contract(tables)
    assert (best.value, best.upper_bound) == pytest.approx((8 - 8 / 3, 8 - 8 / 3), abs=CLOSE)
    assert first_best(tables) == pytest.approx(6.0)
    assert insured_value(tables).tolist() == [[2.0, 6.0]]


@pytest.mark.parametrize(
    ("change", "terms", "sentence"),
    [
        ({"reservation": 5.0}, Terms(budget=2.0), "its reservation utility of 5 .* with limited liability and a budget of 2"),
        ({"reservation": 0.8, "utility": Cara(1.0), "costs": [0.2, 0.4]}, Terms(), "Type 0 cannot be given its reservation utility of 0.8"),
        ({"outcome_probabilities": [[0.5, 0.5], [0.5, 0.5]]}, Terms(margin=2.0), "by a margin of 2 .*: with a lower margin some can"),
        ({"reservation": 1.0, "costs": [9.0, 1.0]}, Terms(shape="threshold", budget=1.0), "Type 0 cannot be given"),
    ],
)
def test_what_cannot_be_implemented_says_which_constraint_is_in_the_way(case, change, terms, sentence):
    with pytest.raises(Infeasible, match=sentence):
        best_contract(replace(tables_of(case("C01")), **change), terms)


def test_the_budget_is_blamed_where_a_margin_needs_more(case):
    """C01: that idling beats effort, whose cost is 1, by 1.7 takes 0.7/0.6 for failure; that effort beats it takes 2.7/0.6 for
    success."""
    tables = tables_of(case("C01"))
    assert best_contract(tables, Terms(budget=1.2, margin=1.7)).contracts[0] == pytest.approx([0.7 / 0.6, 0.0], abs=CLOSE)
    with pytest.raises(Infeasible, match=r"margin of 1\.7 with limited liability and a budget of 1: without the budget some can"):
        best_contract(tables, Terms(budget=1.0, margin=1.7))


@pytest.mark.parametrize("bad", [[1.0], [np.nan, 0.0]])
def test_contracts_that_do_not_fit_are_refused(case, bad):
    with pytest.raises(ValueError, match="finite payments for 2 outcomes"):
        value_of(tables_of(case("C01")), bad)
    with pytest.raises(ValueError, match="as little as -1"):
        value_of(replace(tables_of(case("C01")), utility=Sqrt()), [-1.0, 0.0])


def test_actions_are_priced_one_by_one_only_without_types():
    with pytest.raises(ValueError, match="2 types"):
        every_action(typed(0, 2, 3, 3))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"costs": [0.0]}, "costs is"), ({"rewards": [1.0]}, "rewards is"), ({"type_prior": [0.5, 0.5]}, "type_prior is"),
        ({"costs": [0.0, np.nan]}, "not finite"), ({"outcome_probabilities": [1.0, 0.0]}, "1 axes"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_are_refused(bad, words):
    good = {"outcome_probabilities": [[0.5, 0.5], [0.2, 0.8]], "costs": [0.0, 1.0], "rewards": [0.0, 10.0]}
    with pytest.raises(ValueError, match=words):
        Tables(**good | bad)


@pytest.mark.parametrize("bad", [{"shape": "round"}, {"budget": -1.0}, {"margin": -0.1}, {"budget": np.nan}])
def test_terms_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match="it must be"):
        Terms(**bad)


@pytest.mark.parametrize("actions", [[2], [-1], [0, 0]])
def test_actions_that_do_not_exist_are_refused(case, actions):
    with pytest.raises(ValueError, match="numbers from 0 to 1"):
        least_pay(tables_of(case("C01")), Terms(), actions)


@pytest.mark.parametrize("utility", [Linear(), Sqrt(), Cara(0.7)], ids=str)
def test_a_utility_its_inverse_and_the_inverses_slope_agree(utility):
    t = np.linspace(0.1, 4.0, 9)
    w = utility.of(t)
    np.testing.assert_allclose(utility.pay(w), t, rtol=1e-12)
    step = 1e-6  # a central difference is off by step², and by rounding over step
    np.testing.assert_allclose((utility.pay(w + step) - utility.pay(w - step)) / (2 * step), utility.slope_of_pay(w), rtol=1e-8)


@pytest.mark.parametrize("r", [0.0, -1.0, np.inf])
def test_a_risk_aversion_that_is_not_positive_is_refused(r):
    with pytest.raises(ValueError, match="must be positive"):
        Cara(r)
