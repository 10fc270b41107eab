"""Finite contracts, learned: as good as the exact optimum on every case, and right about what the agent then does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import artifact, run
from icsap_jax.bilevel import fit
from icsap_jax.bilevel.replies import hard_reply
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import Config, ConfigError, load, parse
from icsap_jax.contracts.classical import value_of
from icsap_jax.contracts.family.instances import hidden_action, typed
from icsap_jax.contracts.problem import posed, tables
from icsap_jax.contracts.programmes import best_contract
from icsap_jax.contracts.rules import Schedule, sketches
from icsap_jax.contracts.shapes import Terms
from icsap_jax.contracts.tables import Cara, Tables

REACH = 0.999  # of the optimum, after the polish


def hidden(data: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The `problem:` section of a case's tables."""
    return {"kind": "contract", "outcome_probabilities": data["F"], "costs": data["c"], "rewards": data["v"], **more}


def written(given: Tables) -> dict[str, Any]:
    """The `problem:` section of tables with types."""
    names = ("outcome_probabilities", "costs", "rewards", "type_prior")
    return {"kind": "contract", **{name: getattr(given, name).tolist() for name in names}}


def learned(problem: dict[str, Any], rule: dict[str, Any] | None = None, **training: Any) -> tuple[Config, Rule, dict[str, Any]]:
    """A rule trained, settled and polished as by `icsap train`, and what that told."""
    config = parse({"problem": problem, "rule": {"kind": "contract", **(rule or {})}, "training": training})
    built, env = config.problem.build(config.folder)
    trainer = fit.Trainer.of(built, config.training, starts=True)
    state, _ = fit.run(trainer, env, run.initial_state(config, trainer, built, env), config.training.steps)
    return config, *run.settle(config, built, env, fit.member(state, 0).rule)


def earned(problem: dict[str, Any], rule: dict[str, Any] | None = None) -> float:
    """What the polished contract earns, by the exact best response computed apart from everything trained with."""
    config, settled, _ = learned(problem, rule)
    payments = np.asarray(jax.tree.leaves(settled.params)[0])
    return value_of(tables(config.problem), payments).value


GOOD = hidden({"F": [[0.8, 0.2], [0.2, 0.8]], "c": [0, 1], "v": [0, 10]})
TYPED = {**GOOD, "outcome_probabilities": [GOOD["outcome_probabilities"]] * 2, "costs": [[0, 1]] * 2, "type_prior": [0.5, 0.5]}


@pytest.mark.parametrize("name", ["C01", "C02", "C04", "C06"])
def test_every_finite_case_is_learned(case, name) -> None:
    """Effort that pays and does not pay, an action nobody can induce, and payments near the largest reward."""
    found = case(name)
    best = found["solution"]["principal_utility"]
    value = earned(hidden(found["data"]))
    assert REACH * best <= value <= best * (1 + 1e-6)


@pytest.mark.parametrize("seed", [0, 4, 6])
def test_random_contracts_are_nearly_optimal_before_the_polish_and_exact_after(case, seed) -> None:
    """The family in which contracts matter: well above the best linear contract without any programme."""
    found = next(one for one in case("C27b")["solution"]["instances"] if (one["n"], one["seed"]) == (5, seed))
    given = hidden_action(seed, 5, 5)
    _, _, told = learned({**written(given), "outcome_probabilities": given.outcome_probabilities[0].tolist(),
                          "costs": given.costs[0].tolist(), "type_prior": None})  # fmt: skip
    assert told["value_before_polish"] >= 0.98 * found["principal_utility"]
    assert told["value_before_polish"] > found["best_linear"]
    assert told["value_after_polish"] == pytest.approx(found["principal_utility"], rel=1e-6)


@pytest.mark.parametrize(("types", "seed"), [(2, 192), (2, 42), (3, 4)])
def test_a_menu_earns_what_the_best_menu_does(case, types, seed) -> None:
    """Where screening by a menu helps, and where it does not; nothing beats the menus of lotteries."""
    found = next(one for one in case("C28")["solution"]["instances"] if (one["K"], one["seed"]) == (types, seed))
    given = typed(seed, types, 3, found["m"])
    menu, single = earned(written(given), {"menu": "deterministic"}), earned(written(given))
    assert menu >= REACH * found["menu"]
    assert single >= REACH * found["single"]
    assert single <= menu * (1 + 1e-6) <= found["randomised_sup"] * (1 + 2e-6)


@pytest.mark.parametrize(("shape", "budget"), [("monotone", None), ("linear", None), ("threshold", None), ("any", 1.5)])
def test_a_contract_of_a_shape_is_the_best_of_its_shape(shape, budget) -> None:
    """Payments have the shape and keep to the budget, and earn what the exact programme of that shape does."""
    given = hidden_action(4, 5, 5)
    rule = {"shape": shape, "budget": budget}
    problem = {**written(given), "outcome_probabilities": given.outcome_probabilities[0].tolist(), "costs": given.costs[0].tolist(),
               "type_prior": None}  # fmt: skip
    _, settled, _ = learned(problem, rule)
    paid = np.asarray(jax.tree.leaves(settled.params)[0])[0]
    assert value_of(given, paid).value >= REACH * best_contract(given, Terms(shape, budget)).value
    rounding = 1e-9
    assert paid.min() >= 0 and paid.max() <= (budget or np.inf) + rounding
    if shape in ("monotone", "threshold"):  # rewards are in rising order
        assert (np.diff(paid) >= -rounding).all()
    if shape == "threshold":
        assert len(np.unique(paid.round(9))) <= 2
    if shape == "linear":
        share = paid[-1] / given.rewards[-1]
        np.testing.assert_allclose(paid, share * given.rewards, atol=rounding)


def test_risk_is_shared_as_the_convex_programme_says(root) -> None:
    """A CARA agent without limited liability: the learned contract is the optimum's, participation binds, and insurance is partial."""
    config = load(root / "configs" / "contracts" / "risk_averse.yaml")
    _, settled, told = learned(config.problem.model_dump(mode="json"))
    given = tables(config.problem)
    best = best_contract(given)
    paid = np.asarray(jax.tree.leaves(settled.params)[0])
    assert told["value_after_polish"] >= REACH * best.value
    assert value_of(given, paid).agent_utility[0] == pytest.approx(given.reservation[0], abs=1e-7)
    assert paid[0, 0] < paid[0, 1] < paid[0, 2]


LOG = '''
from typing import Literal
import numpy as np
from icsap_jax.contracts.schema import AgentUtility
from icsap_jax.contracts.tables import Utility


class Logarithm(Utility):
    """u(t) = log(1 + t)."""
    linear, lowest, highest = False, 0.0, np.inf
    def of(self, t, xp=np): return xp.log1p(t)
    def pay(self, w, xp=np): return xp.expm1(w)
    def slope_of_pay(self, w, xp=np): return xp.exp(w)
    def __eq__(self, other): return isinstance(other, Logarithm)
    def __hash__(self): return 0


class LogModel(AgentUtility):
    """The agent's utility is the logarithm of one more than its pay."""
    kind: Literal["log"] = "log"
    builder = staticmethod(lambda model: Logarithm())
'''


def test_a_utility_of_ones_own_is_learned_with_and_solved_for(tmp_path: Path) -> None:
    """Any concave utility from a plugin: two outcomes, two actions, where the binding constraint gives the pay in closed form."""
    (tmp_path / "log.py").write_text(LOG)
    problem = {**GOOD, "costs": [0, 0.5], "agent_utility": {"kind": "log"}}
    config = parse({"plugins": ["log.py"], "problem": problem}, tmp_path)
    built, env = config.problem.build(config.folder)
    trainer = fit.Trainer.of(built, config.training, starts=True)
    state, _ = fit.run(trainer, env, run.initial_state(config, trainer, built, env), config.training.steps)
    settled, told = run.settle(config, built, env, fit.member(state, 0).rule)
    paid = np.asarray(jax.tree.leaves(settled.params)[0])[0]
    # .6·log(1 + t) = .5 where work is just as good as shirking; convex programme: 1e-9.
    np.testing.assert_allclose(paid, [0.0, np.expm1(0.5 / 0.6)], atol=1e-7)
    assert told["value_after_polish"] == pytest.approx(0.8 * (10 - np.expm1(0.5 / 0.6)), rel=1e-7)


@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_quantal_agent_is_paid_what_the_smoothed_optimum_pays(case, place) -> None:
    """At a constant temperature training maximises the smoothed value itself; the case has its optimum from golden section."""
    found = case("C07")
    wanted, scale = found["solution"]["logit"][place], float(np.ptp(found["data"]["v"]))
    temperature = wanted["tau"] / scale
    config = parse({
        "problem": hidden(found["data"]), "training": {"steps": 3000, "learning_rate": 0.01, "response": {
            "kind": "logit", "temperature": temperature, "temperature_end": temperature, "spread": 1.0}},
    })  # fmt: skip
    problem, env = config.problem.build(config.folder)
    trainer = fit.Trainer.of(problem, config.training, starts=True)
    state, metrics = fit.run(trainer, env, run.initial_state(config, trainer, problem, env), config.training.steps)
    _, metrics = fit.run(trainer, env, state, 1)
    # The best start is at its optimum, where the value is flat: errors of 1e-3 in pay cost 1e-6 of value; float32.
    assert float(metrics["objective"][0]) == pytest.approx(wanted["principal_utility"], rel=1e-5)


def test_the_margin_costs_exactly_what_the_closed_form_says(root, case) -> None:
    """p₁ξ / (p₁ − p₀) for a margin ξ; and work is then chosen whoever breaks ties."""
    config = load(root / "configs" / "contracts" / "C07_margin.yaml")
    wanted = next(one for one in case("C07")["solution"]["nudged"] if one["xi"] == config.rule.margin)
    _, settled, told = learned(config.problem.model_dump(mode="json"), {"margin": config.rule.margin})
    assert told["margin_loss"] == pytest.approx(0.8 * config.rule.margin / 0.6, rel=1e-6)
    paid = np.asarray(jax.tree.leaves(settled.params)[0])
    for ties in ("for", "against"):
        assert value_of(tables(config.problem), paid, ties).value == pytest.approx(wanted["principal_utility"], rel=1e-6)


def test_a_margin_that_no_contract_leaves_is_said() -> None:
    """Two actions with the same outcomes cannot be told apart by any pay: refused before anything is written."""
    problem = {"kind": "contract", "outcome_probabilities": [[0.5, 0.5], [0.5, 0.5]], "costs": [1, 1], "rewards": [0, 4],
               "reservation_utility": 0}  # fmt: skip
    config = parse({"problem": problem, "rule": {"kind": "contract", "margin": 0.5}})
    with pytest.raises(ConfigError, match=r"margin of 0\.5"):
        run.posed(config)


def test_a_reservation_utility_out_of_reach_is_refused_and_named(tmp_path: Path) -> None:
    """Limited liability with a budget of 5 cannot give 100: the sentence says whose reservation, and nothing is written."""
    data = {"problem": hidden({"F": [[0.8, 0.2], [0.2, 0.8]], "c": [0, 1], "v": [0, 10]}, reservation_utility=100),
            "rule": {"kind": "contract", "budget": 5}}  # fmt: skip
    with pytest.raises(ConfigError, match=r"reservation utility of 100 .* budget of 5"):
        run.train(parse(data), tmp_path / "run", lambda line: None)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        ({**GOOD, "outcome_probabilities": [[0.8, 0.3], [0.2, 0.8]]}, r"outcome_probabilities\.0 .*sum to 1; they sum to 1\.1"),
        ({**TYPED, "outcome_probabilities": [[[1, 0], [0, 1]], [[1, 0], [0.5, 0.4]]]}, r"outcome_probabilities\.1\.1 .*they sum to 0\.9"),
        ({**GOOD, "outcome_probabilities": [[1.2, -0.2], [0.2, 0.8]]}, r"outcome_probabilities\.0 .*≥ 0"),
        ({**GOOD, "outcome_probabilities": [0.5, 0.5]}, r"has 1 axes; it should be \(types ×\) actions × outcomes"),
        ({**GOOD, "costs": [0, -1]}, r"costs\.1 = -1\.0 should be ≥ 0"),
        ({**GOOD, "costs": [0, 1, 2]}, r"costs has shape \[3\]; it should be \[2\]"),
        ({**GOOD, "rewards": [0, 5, 10]}, r"rewards has shape \[3\]; it should be \[2\], one reward for each outcome"),
        ({**GOOD, "rewards": [0, float("nan")]}, r"rewards"),
        ({**TYPED, "type_prior": [0.5, 0.6]}, r"type_prior .*sum to 1\.1"),
        ({**TYPED, "type_prior": None}, r"type_prior is missing; the 2 types"),
        ({**GOOD, "type_prior": [1.0]}, r"type_prior .*types × actions × outcomes"),
        ({**GOOD, "actions": ["work", "work"]}, r"actions .*2 different names"),
        ({**GOOD, "agent_utility": {"kind": "sqrt"}, "limited_liability": False}, r"limited_liability .*sqrt"),
        ({**GOOD, "agent_utility": {"kind": "cara", "risk_aversion": 0}}, r"risk_aversion"),
        ({**GOOD, "payment_cost": 0}, r"payment_cost"),
    ],
)
def test_a_wrong_table_is_refused_by_name(problem, sentence) -> None:
    """Key, what is wrong, and what would be right."""
    with pytest.raises(ConfigError, match=sentence):
        parse({"problem": problem})


def test_every_type_takes_part_in_a_sketch() -> None:
    """Whatever its free numbers are, the worst-off type gets its reservation utility: exactly, where payments may be negative."""
    given = Tables([[[0.7, 0.3], [0.2, 0.8]], [[0.5, 0.5], [0.4, 0.6]]], [[0.0, 0.4], [0.1, 0.2]], [0.0, 5.0], [0.5, 0.5],
                   reservation=[0.3, 0.6], limited_liability=False, utility=Cara(0.4))  # fmt: skip
    problem, env = posed(given)
    model = parse({"problem": TYPED, "rule": {"kind": "contract"}}).rule
    rules = sketches(model, problem, env, jax.random.key(0))
    payments = jax.vmap(lambda one: problem.decide(env, one, None, None))(rules)
    for table in np.asarray(payments, np.float64):
        reply = value_of(given, table[:1], tolerance=1e-5)  # float32 payments
        assert (reply.choices >= 0).all()
        assert np.min(reply.agent_utility - given.reservation) == pytest.approx(0.0, abs=1e-5)


def test_the_core_and_the_tables_agree_on_what_agents_do() -> None:
    """Random menus: value, choices and agents' utilities of the core's hard reply are those of the independent numpy computation."""
    given = typed(7, 3, 3, 4)
    problem, env = posed(given)
    rng = np.random.default_rng(0)
    for _ in range(5):
        menu = rng.uniform(0, 3, (3, 4))
        with jax.enable_x64(True):
            found = hard_reply(problem, env, problem.draw(env, None, 1), jnp.asarray(menu))
        reply = value_of(given, menu)
        assert float(found.value) == pytest.approx(reply.value, abs=1e-12)
        assert float(found.adversarial_value) == pytest.approx(value_of(given, menu, "against").value, abs=1e-12)
        np.testing.assert_allclose(found.utility[:, 0], reply.agent_utility, atol=1e-12)


@pytest.fixture(scope="module")
def menu_run(root, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    """The whole command on the case of two types, and its result."""
    out = tmp_path_factory.mktemp("runs") / "menu"
    return out, run.train(load(root / "configs" / "contracts" / "C15_menu.yaml"), out, lambda line: None)


def test_a_run_tells_the_contract_and_what_it_leads_to(menu_run, case) -> None:
    """Value, ties, the order of single contract, menu and lotteries, the contracts and each type's choice, in result.json."""
    out, result = menu_run
    solution = case("C15")["solution"]
    assert result["objective"]["value"] == pytest.approx(solution["menu"]["principal_utility"], rel=1e-6)
    assert result["objective"]["adversarial_ties"] < result["objective"]["value"]
    assert result["optimum"]["upper_bound"] == pytest.approx(solution["randomised_menu_sup"]["principal_utility"], rel=1e-6)
    ladder = [result["baselines"][name] for name in ("best_linear", "best_single_contract", "best_menu", "randomised_menu", "first_best")]
    assert ladder == sorted(ladder)
    assert [each["action"] for each in result["details"]["responses"]] == [str(action) for action in solution["menu"]["actions"]]
    assert [each["agent_utility"] for each in result["details"]["responses"]] == pytest.approx(solution["menu"]["agent_utility"], abs=1e-6)
    assert result["incentive_gap"]["max"] <= 1e-9  # ties of a polished contract are ties to rounding
    assert result["participation_violation"] <= 1e-9
    assert json.loads((out / "result.json").read_text())["details"]["value_after_polish"] == pytest.approx(result["objective"]["value"])
    assert {path.name for path in (out / "plots").iterdir()} == {"contract.png", "training.png"}


def test_a_contract_is_listed_and_applied(menu_run, tmp_path: Path) -> None:
    """The exported rows are the payments of the artifact in float64, and `apply` pays the same by report and outcome."""
    out, _ = menu_run
    rows = json.loads(artifact.export(out, "json", tmp_path / "menu.json").read_text())
    kept = np.asarray(jax.tree.leaves(artifact.load(out).rule.params)[0])
    assert kept.dtype == np.float64
    np.testing.assert_array_equal([row["payment"] for row in rows], kept.ravel())
    (tmp_path / "what.csv").write_text("id,report,outcome\na,1,1\nb,0,2\n")
    assert artifact.apply(out, tmp_path / "what.csv", tmp_path / "pay.csv") == 2
    lines = (tmp_path / "pay.csv").read_text().splitlines()
    assert lines[0] == "id,payment"
    assert [float(line.split(",")[1]) for line in lines[1:]] == pytest.approx([kept[1, 1], kept[0, 2]], rel=1e-6)  # compiled in float32
    (tmp_path / "wrong.csv").write_text("report,outcome\n1,1\n1,3\n")
    with pytest.raises(ConfigError, match=r"row 3, column outcome: 3 should be a whole number from 0 to 2"):
        artifact.apply(out, tmp_path / "wrong.csv", tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


def test_without_limited_liability_lotteries_may_be_bets_without_bound() -> None:
    """Two types who believe in different outcomes, and nobody protected: whatever the programme of lotteries says, there is an answer."""
    problem = {**TYPED, "outcome_probabilities": [[[0.8, 0.2], [0.2, 0.8]], [[0.6, 0.4], [0.3, 0.7]]], "limited_liability": False}
    config = parse({"problem": problem, "rule": {"kind": "contract", "menu": "deterministic"}})
    built, env = config.problem.build(config.folder)
    answer = config.rule.hook("optimum")(built, env, config.problem, config.rule)
    told = config.problem.hook("baselines")(built, env, config.problem)
    assert answer["value"] is None or answer["value"] <= told["first_best"] + 1e-9
    assert told["best_single_contract"] <= told["first_best"] + 1e-9


def test_an_empty_schedule_pays_nothing() -> None:
    """One contract is read the same under every report; a menu by the report."""
    single, menu = Rule.of(Schedule(1, 3)), Rule.of(Schedule(2, 3))
    menu = Rule(params=jax.tree.map(lambda leaf: leaf + jnp.arange(6.0).reshape(2, 3), menu.params), graph=menu.graph)
    assert single(jnp.asarray([0, 5]), jnp.asarray([1, 2])).tolist() == [0.0, 0.0]
    assert menu(jnp.asarray([0, 1]), jnp.asarray([1, 2])).tolist() == [1.0, 5.0]
