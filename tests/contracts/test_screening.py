"""Screening: exact menus against closed forms and convex programmes that know nothing of virtual types; learned menus against them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize

from icsap_jax import artifact
from icsap_jax.bilevel.deviations import judge, reaction
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import ConfigError, parse
from icsap_jax.contracts.screening import schema  # noqa: F401  (its kinds become known)
from icsap_jax.contracts.screening.optimum import first_best, largest_quantity, market, single_contract, solve

SQUARE = {"kind": "power", "scale": 0.5, "exponent": 2}
# Three of these five types have falling virtual types, so that the best menu pools them.
IRONED = {"types": [1, 2, 3, 4, 5], "type_prior": [0.3, 0.05, 0.1, 0.4, 0.15], "principal": {"kind": "power", "scale": 0.25, "exponent": 3}}

REGULATED = {"side": "procure", "prior": {"kind": "uniform", "low": 1, "high": 3}, "agent": {"reservation": 0.5},
             "principal": {"kind": "quadratic", "linear": 4, "curvature": 1}}  # fmt: skip


def problem_of(**given):
    """The checked problem of a file."""
    return parse({"problem": {"kind": "screening", **given}}).problem


def grid(count):
    """C13 with this many evenly spread types."""
    return {"types": np.linspace(1, 2, count).tolist(), "type_prior": [1 / count] * count, "principal": SQUARE}


def menu_by_constraints(model, sign):
    """(the principal's value, quantities) of the best menu by sequential quadratic programming over all (q, m): every incentive and
    participation constraint, nothing about virtual types. Types from worst to best."""
    given = market(model)
    x, p, count = given.strength, given.mass, len(given.mass)

    def split(menu):
        return menu[:count], menu[count:]

    def value(menu):
        q, m = split(menu)
        return p @ (m + given.worth.of(np.maximum(q, 0.0)))

    def slack(menu):
        q, m = split(menu)
        utility = x[:, None] * q - m
        return np.append((np.diag(utility)[:, None] - utility)[~np.eye(count, dtype=bool)], np.diag(utility))

    q = np.linspace(0.3, 0.7, count) * given.most
    m = x * q - np.append(0.0, np.cumsum(np.diff(x) * q[:-1]))
    found = minimize(lambda menu: -value(menu), np.append(q, m), method="SLSQP", bounds=[(0, given.most)] * count + [(None, None)] * count,
                     constraints={"type": "ineq", "fun": slack}, options={"maxiter": 1000, "ftol": 1e-13})  # fmt: skip
    return -found.fun, found.x[:count]


@pytest.mark.parametrize("name", ["C11a", "C11b"])
def test_the_optimum_of_two_types_is_the_case_s(case, name) -> None:
    """Quantities, value and first best to rounding."""
    data, solution = case(name)["data"], case(name)["solution"]
    given = market(problem_of(types=data["theta"], type_prior=data["prob"], principal=SQUARE))
    found = solve(given)
    assert found.value == pytest.approx(solution["principal_utility"], abs=1e-12)
    assert first_best(given) == pytest.approx(solution["first_best"], abs=1e-12)
    np.testing.assert_allclose(found.quantity, solution["q"], atol=1e-12)


def test_the_optimum_of_the_continuum_and_its_grids_is_the_case_s(case) -> None:
    """Grids to rounding; the continuum to the variance of the virtual type in 20 000 cells, (2/20000)²/12/2 < 1e-9."""
    solution = case("C13")["solution"]
    for count, value in solution["discretised_principal_utility"].items():
        assert solve(market(problem_of(**grid(int(count))))).value == pytest.approx(value, abs=1e-12)
    given = market(problem_of(prior={"kind": "uniform", "low": 1, "high": 2}, principal=SQUARE))
    assert solve(given).value == pytest.approx(solution["principal_utility"], abs=1e-9)
    assert solve(given).expected_rent == pytest.approx(solution["agent_expected_rent"], abs=1e-8)
    assert first_best(given) == pytest.approx(solution["first_best"], abs=1e-9)
    assert single_contract(given) == pytest.approx(16 / 27, abs=1e-8)  # (2 − x) x²/2 is largest at x = 4/3


def test_a_truncated_exponential_agrees_with_quadrature_of_its_virtual_type() -> None:
    """φ(x) = x − (1 − exp(−r (h − x)))/r in closed form, integrated by an adaptive rule."""
    rate, high = 2.0, 2.0
    given = market(problem_of(prior={"kind": "truncated_exponential", "rate": rate, "high": high}, principal=SQUARE))

    def worth(x):
        virtual = x + np.expm1(-rate * (high - x)) / rate
        return max(virtual, 0.0) ** 2 / 2 * rate * np.exp(-rate * x) / -np.expm1(-rate * high)

    # 1e-8: the cells of the exact answer.
    assert solve(given).value == pytest.approx(quad(worth, 0, high, points=[0.45], epsabs=1e-12)[0], abs=1e-8)


@pytest.mark.parametrize(("given", "sign"), [
    (IRONED, 1),
    ({**IRONED, "side": "procure", "principal": {"kind": "quadratic", "linear": 9, "curvature": 1}}, -1),
])  # fmt: skip
def test_ironing_gives_what_the_convex_programme_over_all_constraints_gives(given, sign) -> None:
    """Non-monotone virtual types, selling and procuring: the same value, and the same pooled quantities."""
    model = problem_of(**given)
    virtual = market(model).virtual
    assert (np.diff(virtual) < 0).any(), "the virtual types are monotone: nothing is ironed here"
    value, quantity = menu_by_constraints(model, sign)
    found = solve(market(model))
    assert found.value == pytest.approx(value, abs=1e-7)  # SLSQP stops at 1e-13, on a quadratic top
    np.testing.assert_allclose(found.quantity, quantity, atol=1e-3)
    assert len(np.unique(found.quantity.round(9))) < len(quantity)


def test_one_contract_is_never_better_than_a_menu_and_no_menu_than_knowing_the_type() -> None:
    """Random markets on both sides."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        types, prior = np.sort(rng.uniform(0, 3, 6)), rng.dirichlet(np.ones(6))
        for side, principal in (("sell", SQUARE), ("procure", {"kind": "power", "scale": 3, "exponent": 0.5})):
            given = market(problem_of(side=side, types=types.tolist(), type_prior=prior.tolist(), principal=principal, most=4))
            single, menu, known = single_contract(given), solve(given).value, first_best(given)
            assert 0 <= single <= menu + 1e-12
            assert menu <= known + 1e-12


@pytest.mark.parametrize("given", [IRONED, REGULATED])
def test_every_rule_is_incentive_compatible_whatever_its_parameters(given) -> None:
    """Random parameters: no report gains, nobody gets less than its reservation utility, and no quantity is above the efficient one of
    the best type."""
    config = parse({"problem": {"kind": "screening", **given}})
    problem, env = config.problem.build(config.folder)
    rule = config.rule.build(problem, env, jax.random.key(0))
    with jax.enable_x64(True):
        env = jax.tree.map(jnp.asarray, env)
        roots = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(1), leaf.shape, jnp.float64) / 4, rule.params)
        rule, draw = Rule(roots, rule.graph), problem.draw(env, None, 1)
        truth = problem.recommended(env, draw)
        decision = problem.decide(env, rule, None, truth)
        if config.problem.prior is None:
            gap = reaction(problem, env, rule, draw).gap
        else:
            reports = jnp.linspace(1.0, 3.0, 301).reshape(-1, 1, 1, 1)
            gap = judge(problem, env, rule, draw, reports)
        utility = problem.utility(env, draw, decision, truth)
        gap, utility, quantity = (np.asarray(each) for each in (gap, utility, decision.quantity))
    assert gap.max() <= 1e-12
    assert utility.min() >= -1e-12
    assert 0 <= quantity.min() <= quantity.max() <= largest_quantity(config.problem) + 1e-12


@pytest.mark.parametrize(("name", "id"), [("mussa_rosen_two_types", "C11a"), ("mussa_rosen_shutdown", "C11b")])
def test_the_learned_menu_of_two_types_is_the_case_s(train, case, name, id) -> None:
    """Value to the case's tolerance; the principal loses p (q − q*)²/2 by a wrong q, so that q is then known to √(2·tol/p), and a
    transfer, to which a low type's q adds twice, to three times that."""
    result, _ = train(name)
    solution, tol = case(id)["solution"], case(id)["tol"]
    assert result["objective"]["value"] == pytest.approx(solution["principal_utility"], abs=tol)
    assert result["incentive_gap"]["max"] <= 1e-9
    assert result["participation_violation"] <= 1e-9
    allowed = np.sqrt(2 * tol / 0.25)
    menu = result["details"]["menu"]
    np.testing.assert_allclose([row["quantity"] for row in menu], solution["q"], atol=allowed)
    np.testing.assert_allclose([row["transfer"] for row in menu], solution["t"], atol=3 * allowed)
    np.testing.assert_allclose([row["agent_utility"] for row in menu], solution["agent_utility"], atol=3 * allowed)


@pytest.mark.parametrize("count", [5, 201])
def test_the_learned_menus_of_a_grid_of_types_reach_the_case_s_value(train, case, count) -> None:
    """To the case's tolerance, with no gap."""
    result, _ = train({"kind": "screening", **grid(count)})
    expected = case("C13")["solution"]["discretised_principal_utility"][str(count)]
    assert result["objective"]["value"] == pytest.approx(expected, abs=case("C13")["tol"])
    assert result["incentive_gap"]["max"] <= 1e-9
    if count == 5:  # a type's quantity is known to √(2·tol·5), a transfer adds up to three of them
        solution = case("C13")["solution"]
        np.testing.assert_allclose([row["quantity"] for row in result["details"]["menu"]], solution["q_grid5"], atol=0.0032)
        np.testing.assert_allclose([row["transfer"] for row in result["details"]["menu"]], solution["t_grid5"], atol=0.0096)


def test_the_learned_menu_of_a_continuum_is_the_closed_form(train, case) -> None:
    """q = 2θ − 2 and t = θ² − 1. A value within 1e-6 means E (q − q*)² ≤ 2e-6, so q to .0014 in root mean square, taken three times for
    points that are not the nodes; t adds θ ≤ 2 times that and the mean of it."""
    result, _ = train("mussa_rosen_uniform")
    solution, tol = case("C13")["solution"], case("C13")["tol"]
    assert result["objective"]["value"] == pytest.approx(solution["principal_utility"], abs=tol)
    assert result["objective"]["std_error"] == 0
    assert result["incentive_gap"]["max"] <= 1e-9
    menu = {name: np.array([row[name] for row in result["details"]["menu"]]) for name in ("type", "quantity", "transfer")}
    theta = menu["type"]
    assert np.sqrt(np.mean((menu["quantity"] - (2 * theta - 2)) ** 2)) <= 0.0042
    assert np.sqrt(np.mean((menu["transfer"] - (theta**2 - 1)) ** 2)) <= 3 * 0.0042
    assert result["details"]["expected_rent"] == pytest.approx(solution["agent_expected_rent"], abs=0.0014)


def test_the_regulator_learns_baron_and_myerson_s_schedule(train) -> None:
    """Cost uniform on [1, 3], demand 4 − q: q = 5 − 2·cost until it is 0, worth ∫ (5 − 2c)²/2 · 1/2 dc over [1, 5/2] = 9/8."""
    result, _ = train("baron_myerson_uniform")
    assert result["objective"]["value"] == pytest.approx(9 / 8, abs=1e-6)
    assert result["optimum"]["value"] == pytest.approx(9 / 8, abs=1e-8)
    assert result["baselines"]["first_best"] == pytest.approx(13 / 6, abs=1e-8)
    menu = result["details"]["menu"]
    error = [row["quantity"] - max(5 - 2 * row["type"], 0.0) for row in menu]
    assert np.sqrt(np.mean(np.square(error))) <= 0.0042  # as for the continuum above


def test_the_learned_menu_irons(train) -> None:
    """Types whose virtual types fall are pooled: the exact value, and quantities that are equal where the exact ones are."""
    result, _ = train({"kind": "screening", **IRONED})
    exact = solve(market(problem_of(**IRONED)))
    assert result["shortfall"] == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose([row["quantity"] for row in result["details"]["menu"]], exact.quantity, atol=0.005)  # value is flat there


def test_a_table_of_types_is_answered_with_quantities_and_transfers(train, tmp_path) -> None:
    """Finitely many types and a continuum; a type that is not of the problem is refused with its row."""
    for name, types, expected in (("mussa_rosen_two_types", (2, 1), [[2, 10 / 3], [2 / 3, 2 / 3]]),
                                  ("mussa_rosen_uniform", (1.5, 2), [[1, 1.25], [2, 3]])):  # fmt: skip
        given, answer = tmp_path / f"{name}.csv", tmp_path / f"{name}_answer.csv"
        given.write_text("type\n" + "".join(f"{each}\n" for each in types))
        artifact.apply(train(name)[1] / "artifact", given, answer)
        np.testing.assert_allclose(np.loadtxt(answer, delimiter=",", skiprows=1), expected, atol=0.01)  # as learned
        given.write_text("type\n2\n3\n")
        with pytest.raises(ConfigError, match="row 3, column type: the type 3 is not"):
            artifact.apply(train(name)[1] / "artifact", given, answer)


TWO = {"types": [1, 2], "type_prior": [0.5, 0.5], "principal": SQUARE}


@pytest.mark.parametrize(("given", "said"), [
    ({**TWO, "type_prior": [0.5, 0.6]}, r"type_prior.* sum to 1\.1"),
    ({**TWO, "type_prior": [0.0, 1.0]}, r"type_prior.* positive probabilities"),
    ({**TWO, "type_prior": [1.0]}, r"type_prior.* shape \[1\]; it should be \[2\]"),
    ({**TWO, "types": [2, 1]}, r"types.* each larger than the one before"),
    ({**TWO, "types": [-1, 1]}, r"types.* ≥ 0"),
    ({"types": [1, 2], "principal": SQUARE}, r"type_prior is missing"),
    ({"principal": SQUARE}, r"types should be given with type_prior, or else prior"),
    ({**TWO, "prior": {"kind": "uniform"}}, r"types.* or else prior"),
    ({"prior": {"kind": "uniform", "low": 2, "high": 1}, "principal": SQUARE}, r"prior\.low = 2.* below high"),
    ({"prior": {"kind": "truncated_exponential", "rate": 0}, "principal": SQUARE}, r"prior\.rate"),
    ({**TWO, "principal": {"kind": "power", "scale": -1, "exponent": 2}}, r"principal\.scale = -1.* greater than 0"),
    ({**TWO, "principal": {"kind": "power", "exponent": 0.5}}, r"principal\.exponent = 0\.5.* at least 1 for side: sell"),
    ({**TWO, "side": "procure"}, r"principal\.exponent = 2.* at most 1 for side: procure"),
    ({**TWO, "principal": {"kind": "power", "scale": 0.5, "exponent": 1}}, r"most is missing"),
    ({"side": "procure", "prior": {"kind": "uniform"}, "principal": {"kind": "power", "exponent": 0.5}}, r"most is missing"),
])  # fmt: skip
def test_a_wrong_screening_problem_is_refused_with_its_key(given, said) -> None:
    """Each mistake in one sentence."""
    with pytest.raises(ConfigError, match=said):
        problem_of(**given)
