"""The used car: the exact menu against every profile of choices, and the learned menu against the cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from icsap_jax.config import ConfigError, parse
from icsap_jax.contracts.warranty import schema  # noqa: F401  (its kinds become known)
from icsap_jax.contracts.warranty.optimum import DEFERRED, KEEP, baselines, best_for, best_menu, sale
from icsap_jax.exact.lp import LpError

CAR = {"survive": [0.4, 0.9], "value": 10, "reservation": [2, 6], "prior": [0.5, 0.5], "seller_discount": 0.9}
VARIANTS = {"used_car": "limited_liability", "used_car_bond": "deposit_may_be_negative"}


def problem_of(**given):
    """The checked problem of a file."""
    return parse({"problem": {"kind": "warranty", **given}}).problem


def random_car(seed, types, min_deposit):
    """A car with this many types of seller, better ones with higher reservations."""
    rng = np.random.default_rng(seed)
    return {"survive": np.sort(rng.uniform(0, 1, types)).tolist(), "value": 10.0, "reservation": np.sort(rng.uniform(0, 8, types)).tolist(),
            "prior": rng.dirichlet(np.ones(types)).tolist(), "seller_discount": 0.9, "min_deposit": min_deposit}  # fmt: skip


@pytest.mark.parametrize(("variant", "min_deposit"), [("limited_liability", 0.0), ("deposit_may_be_negative", None)])
def test_the_best_menu_is_the_case_s(case, variant, min_deposit) -> None:
    """Payments and value to rounding, and the baselines of the case."""
    solution = case("C17")["solution"]
    model = problem_of(**CAR, min_deposit=min_deposit)
    menu, value = best_menu(sale(model))
    expected = solution[variant]
    np.testing.assert_allclose(menu, [expected["lump_sum"], expected["deposit"], expected["deferred"]], atol=1e-9)
    assert value == pytest.approx(expected["principal_utility"], abs=1e-9)
    found = baselines(None, None, model)
    assert {name: found[name] for name in ("pooling_lump_sum", "buy_bad_only", "full_information")} == pytest.approx(
        {name: solution[name] for name in ("pooling_lump_sum", "buy_bad_only", "full_information")}, abs=1e-12
    )


@pytest.mark.parametrize("min_deposit", [0.0, -1.0, None])
@pytest.mark.parametrize("seed", range(4))
def test_no_profile_of_choices_has_a_better_menu(seed, min_deposit) -> None:
    """A linear programme for each of the 3^T profiles of four types finds the same value as the corners of the arrangement."""
    given = sale(problem_of(**random_car(seed, 4, min_deposit)))
    best = -np.inf
    for choices in itertools.product(range(3), repeat=4):
        try:
            best = max(best, float(given.values(best_for(given, np.array(choices)))))
        except LpError:
            continue
    assert best_menu(given)[1] == pytest.approx(best, abs=1e-7)  # HiGHS meets constraints to 1e-10, ties are judged to 1e-8


def test_a_bond_never_hurts_the_buyer_and_knowing_the_type_bounds_it() -> None:
    """The lower the least deposit, the larger the buyer's payoff; above the best lump sum, below full information."""
    for seed in range(10):
        given = random_car(seed, 5, None)
        values = [best_menu(sale(problem_of(**{**given, "min_deposit": floor})))[1] for floor in (0.0, -1.0, -2.0, None)]
        assert (np.diff(values) >= -1e-9).all()
        other = baselines(None, None, problem_of(**given))
        assert other["best_lump_sum"] - 1e-9 <= values[0]
        assert values[-1] <= other["full_information"] + 1e-9


@pytest.mark.parametrize(("name", "variant"), VARIANTS.items())
def test_the_buyer_learns_to_separate_good_cars_from_bad(train, case, name, variant) -> None:
    """The case's menu and value to its tolerance, bad sellers for the lump sum and good ones for the deferred payment; no seller gets
    less than the car is worth to it."""
    result, solution, tol = train(name)[0], case("C17")["solution"][variant], case("C17")["tol"]
    assert result["objective"]["value"] == pytest.approx(solution["principal_utility"], abs=tol)
    assert result["participation_violation"] <= tol
    menu = result["details"]["menu"]
    assert menu == pytest.approx({part: solution[part] for part in ("lump_sum", "deposit", "deferred")}, abs=tol)
    assert [row["choice"] for row in result["details"]["responses"]] == ["lump_sum", "deferred"]
    assert result["details"]["value_before_polish"] >= 0.95 * solution["principal_utility"]  # the polish does not do the learning
    assert result["details"]["value_after_polish"] == pytest.approx(result["objective"]["value"], abs=1e-9)


@pytest.mark.parametrize("min_deposit", [0.0, None])
def test_the_learned_menu_for_eight_types_is_the_best(train, min_deposit) -> None:
    """At least .999 of the optimum, pooled and excluded types and all."""
    result, _ = train({"kind": "warranty", **random_car(0, 8, min_deposit)})
    assert result["ratio_to_optimum"] >= 0.999
    assert result["ratio_to_optimum"] <= 1 + 1e-6
    assert len({row["choice"] for row in result["details"]["responses"]}) > 1


def test_a_seller_who_cannot_be_paid_later_is_worth_a_lump_sum_only() -> None:
    """With a discount of 0 a deferred payment is nothing to the seller: the best menu brings what the best lump sum brings."""
    model = problem_of(**{**CAR, "seller_discount": 0.0})
    assert best_menu(sale(model))[1] == pytest.approx(baselines(None, None, model)["best_lump_sum"], abs=1e-9)


def test_the_programme_keeps_the_choices_it_is_given() -> None:
    """Asked that only good cars are bought by a deferred payment, it leaves bad sellers no better off with it than with their cars."""
    given = sale(problem_of(**CAR, min_deposit=None))
    menu = best_for(given, np.array([KEEP, DEFERRED]))
    utilities = given.utilities(menu)
    assert utilities[0, KEEP] >= utilities[0].max() - 1e-8
    assert utilities[1, DEFERRED] >= utilities[1].max() - 1e-8


@pytest.mark.parametrize(("given", "said"), [
    ({"prior": [0.5, 0.6]}, r"prior.* sum to 1\.1"),
    ({"prior": [1.0]}, r"prior.* shape \[1\]; it should be \[2\] like survive"),
    ({"reservation": [2, 6, 7]}, r"reservation.* shape \[3\]; it should be \[2\]"),
    ({"reservation": [-2, 6]}, r"reservation.* ≥ 0"),
    ({"survive": [0.4, 1.2]}, r"survive.* probabilities in \[0, 1\]"),
    ({"seller_discount": 1.0}, r"seller_discount = 1\.0.* less than 1"),
    ({"seller_discount": -0.1}, r"seller_discount = -0\.1.* greater than or equal to 0"),
    ({"buyer_discount": 1.1}, r"buyer_discount = 1\.1"),
    ({"buyer_discount": 0.8, "min_deposit": None}, r"min_deposit should be given where the seller is more patient"),
    ({"value": 0}, r"value = 0"),
    ({"min_deposit": 1}, r"min_deposit = 1.* less than or equal to 0"),
    ({"types": ["bad"]}, r"types.* 2 different names"),
])  # fmt: skip
def test_a_wrong_used_car_is_refused_with_its_key(given, said) -> None:
    """Each mistake in one sentence."""
    with pytest.raises(ConfigError, match=said):
        problem_of(**{**CAR, **given})
