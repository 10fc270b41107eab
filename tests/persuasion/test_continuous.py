"""Persuasion by the mean: exact answers against each other and against the cases, proofs that hold at any multipliers, and learning."""

from __future__ import annotations

import csv
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import artifact, run
from icsap_jax.bilevel import fit
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import ConfigError, parse
from icsap_jax.config.models import kinds
from icsap_jax.exact.lp import solve
from icsap_jax.persuasion.continuous.baselines import baselines
from icsap_jax.persuasion.continuous.lines import lines_of
from icsap_jax.persuasion.continuous.optimum import columns, optimum, quadratic_value, threshold
from icsap_jax.persuasion.continuous.polish import bound, induced
from icsap_jax.persuasion.continuous.prior_schema import StatePrior
from icsap_jax.persuasion.continuous.problem import check
from icsap_jax.persuasion.continuous.rules import GridSignal, biased
from icsap_jax.persuasion.continuous.told import StateTable, details, listing
from icsap_jax.persuasion.rules import saying

EXACT = 1e-8  # columns stop at 1e-11 of what is at stake; HiGHS meets its constraints to 1e-10
THRESHOLD = {"receiver": {"kind": "threshold", "at": 0.75}}
STEPS = {"receiver": {"kind": "mean_steps", "utilities": [[0, 0], [-0.6, 1], [-1.45, 2]]}, "sender": [0, 1, 2]}
PRIORS = [{"kind": kind, **example} for kind, cls in kinds(StatePrior).items() for example in cls.examples]


def config_of(rule=None, **given):
    """The whole checked problem file."""
    return parse({"problem": {"kind": "persuasion_continuous", **given}, **({"rule": {"kind": rule}} if rule else {})})


def problem_of(**given):
    """The checked problem of a file."""
    return config_of(**given).problem


def lobby(alpha, target=1.2):
    """A lobbyist's problem."""
    return {"receiver": {"kind": "quadratic"}, "sender": {"kind": "lobbying", "alpha": alpha, "target": target}}


def random_game(seed):
    """Some actions whose lines touch one convex curve from below, nearly, and a sender whose values depend on the state."""
    rng = np.random.default_rng(seed)
    actions = int(rng.integers(2, 6))
    at = np.sort(rng.uniform(0, 1, actions))
    utilities = np.stack([-(at**2) + 0.01 * rng.random(actions), 2 * at], axis=1)
    return {"receiver": {"kind": "mean_steps", "utilities": utilities.tolist()}, "sender": rng.uniform(-1, 1, (actions, 2)).tolist(),
            "prior": PRIORS[seed % len(PRIORS)]}  # fmt: skip


def says(problem, probabilities):
    """The table rule with these probabilities [G, Z]."""
    return saying(Rule.of(GridSignal(jnp.zeros(probabilities.shape), problem.low, problem.high)), probabilities)


@pytest.mark.parametrize("given", PRIORS, ids=lambda given: given["kind"])
def test_moments_are_those_of_the_distribution_function(given) -> None:
    """∫ ω dF = x F(x) − ∫ F and ∫ ω² dF = x² F(x) − 2 ∫ ω F, by a trapezium rule of 20 000 panels; cells add up to the whole."""
    prior = problem_of(**THRESHOLD, prior=given).prior.build()
    points = np.linspace(prior.low, prior.high, 20_001)
    mass, first, second = prior.below(points)
    assert mass[0] == pytest.approx(0, abs=1e-15)
    assert mass[-1] == pytest.approx(1, abs=1e-12)
    step = np.diff(points)
    for moment, slope, power in ((first, np.ones_like(points), 1), (second, 2 * points, 2)):
        area = np.append(0.0, (step * ((slope * mass)[:-1] + (slope * mass)[1:]) / 2).cumsum())
        np.testing.assert_allclose(moment, points**power * mass - area, atol=1e-7)  # the rule's error, h² / 12 times a slope
    shares, means, squares = prior.cells(37)
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    assert shares @ means == pytest.approx(prior.mean, abs=1e-12)
    assert shares @ squares == pytest.approx(prior.second, abs=1e-12)
    assert (squares >= means**2).all()


@pytest.mark.parametrize(("name", "given"), [("uniform_threshold_0.75", THRESHOLD), ("uniform_bipooling", STEPS)])
def test_value_bound_and_baselines_are_the_known_ones(case, name, given) -> None:
    """Through the hooks that `icsap optimum` uses, for the continuous state."""
    known, model = case(name), problem_of(**given)
    answer = optimum(None, None, model)
    assert answer["value"] == pytest.approx(known["value"], abs=EXACT)
    assert answer["upper_bound"] == pytest.approx(known["value"], abs=EXACT)
    simple = baselines(None, None, model)
    assert simple["full_disclosure"] == pytest.approx(known["full_info"], abs=EXACT)
    assert simple["no_disclosure"] == pytest.approx(known["no_info"], abs=EXACT)
    assert simple["monotone_partition"] == pytest.approx(known.get("monotone_partition", known["value"]), abs=EXACT)


def test_bi_pooling_beats_every_division_into_intervals() -> None:
    """.845 against .8, and the price of a state is max(0, 4 (ω − .35)): nothing below .35, which may as well be told."""
    lines = lines_of(problem_of(**STEPS))
    prices = columns(lines).prices
    states = np.linspace(0, 1, 201)
    np.testing.assert_allclose(lines.price_at(prices, states), np.maximum(0, 4 * (states - 0.35)), atol=1e-6)  # flat near the optimum
    assert (lines.price_at(prices, states) >= lines.value_at(states) - 1e-6).all()


@pytest.mark.parametrize("given", PRIORS, ids=lambda given: given["kind"])
def test_pooling_the_top_is_what_the_general_method_finds(given) -> None:
    """One threshold: the closed form for any prior, by columns that know nothing of it; upper censorship is as good."""
    model = problem_of(**THRESHOLD, prior=given)
    closed, found = threshold(lines_of(model)), columns(lines_of(model))
    assert closed.value == closed.bound
    assert found.value == pytest.approx(closed.value, abs=EXACT)
    assert found.bound == pytest.approx(closed.value, abs=EXACT)
    assert baselines(None, None, model)["upper_censorship"] == pytest.approx(closed.value, abs=EXACT)


def best_on_cells(lines, cells):
    """The best obedient signal that is the same in each cell, by one linear programme over cells and actions; with every deviation a
    row of its own."""
    mass, mean, _ = lines.prior.cells(cells)
    actions = len(lines.sender)
    gets, worth = (each[:, :1] + each[:, 1:] * mean for each in (lines.receiver, lines.sender))
    rows = np.zeros((actions * actions, actions, cells))
    for a in range(actions):
        for b in range(actions):
            rows[a * actions + b, a] = gets[b] - gets[a]
    return solve(worth.ravel(), at_most=(rows.reshape(len(rows), -1), np.zeros(len(rows))),
                 equal=(np.tile(np.eye(cells), actions), mass), maximise=True).value  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_random_games_keep_the_order_of_things(seed) -> None:
    """Value and bound meet; a grid does no better and hardly worse; no baseline is better; any multipliers prove a bound, whose price is
    never below what the sender gets."""
    model = problem_of(**random_game(seed))
    lines = lines_of(model)
    found = columns(lines)
    assert found.bound - found.value == pytest.approx(0, abs=1e-9)
    assert found.value - 1e-3 <= best_on_cells(lines, 100) <= found.bound + EXACT  # an action's mean may miss the grid by 1/200²
    assert max(baselines(None, None, model).values()) <= found.bound + EXACT
    states = np.linspace(lines.prior.low, lines.prior.high, 401)
    rng = np.random.default_rng(seed)
    for _ in range(5):
        prices = lines.prices(rng.exponential(size=(len(lines.sender), 2)))
        assert lines.bound(prices) >= found.value - 1e-9
        assert (lines.price_at(prices, states) >= lines.value_at(states) - 1e-9).all()


def test_many_thresholds_are_solved_to_the_end() -> None:
    """Twelve types of receiver: value and bound still meet, above the best division into intervals."""
    model = problem_of(receiver={"kind": "threshold", "at": np.sort(np.random.default_rng(0).uniform(0, 1, 12)).tolist()})
    found = optimum(None, None, model)
    assert found["upper_bound"] - found["value"] <= 1e-9
    assert found["value"] >= baselines(None, None, model)["monotone_partition"] - 1e-9


@pytest.mark.parametrize(("alpha", "told"), [(0.25, "no_disclosure"), (0.75, "full_disclosure")])
def test_a_lobbyist_tells_all_or_nothing(alpha, told) -> None:
    """By whether it cares more for the state or for its target; at 1/2 both are the same."""
    model = problem_of(**lobby(alpha))
    assert optimum(None, None, model)["value"] == baselines(None, None, model)[told]
    half = baselines(None, None, problem_of(**lobby(0.5)))
    assert half["no_disclosure"] == pytest.approx(half["full_disclosure"], abs=1e-12)


def test_the_lobbyist_of_the_case(case) -> None:
    """Its value by the closed form, and by the learning problem's own account of a signal that says nothing."""
    known = case("lobby_uniform_alpha0.25")
    model = problem_of(**lobby(known["spec"]["alpha"], known["spec"]["wstar"]))
    assert optimum(None, None, model)["value"] == pytest.approx(known["value"], abs=1e-12)
    problem, env = model.build(None)
    nothing = says(problem, np.eye(16)[np.zeros(200, int)])
    assert induced(problem, env, nothing).value == pytest.approx(known["value"], abs=1e-12)
    assert bound(problem, env, model) == pytest.approx(known["value"], abs=1e-12)


@pytest.mark.parametrize("given", [{**STEPS, "prior": PRIORS[1], "grid": 20}, {**lobby(0.6), "prior": PRIORS[2], "signals": 3, "grid": 20}])
def test_a_signal_on_cells_is_worth_what_sampled_states_say(given) -> None:
    """No error of the grid: 400 000 states from the continuous prior, a message drawn for each, and each side's mean computed from them
    alone. Four standard errors."""
    model = problem_of(**given)
    problem, env = model.build(None)
    rng = np.random.default_rng(0)
    signal = rng.dirichlet(np.ones(problem.messages), problem.cells)
    prior, fine = model.prior.build(), np.linspace(0, 1, 20_001)
    states = np.interp(rng.random(400_000), prior.below(fine)[0], fine)
    rows = signal[np.minimum((states * problem.cells).astype(int), problem.cells - 1)]
    said = (rng.random(len(states))[:, None] >= rows.cumsum(1)[:, :-1]).sum(1)
    means = np.array([states[said == z].mean() for z in range(problem.messages)])
    if model.receiver.lines is None:
        a, alpha = means[said], 0.6
        values = -((a - alpha * states - (1 - alpha) * 1.2) ** 2)
        assert quadratic_value(model.sender.coefficients, prior, (means**2)[said].mean()) == pytest.approx(values.mean(), abs=2e-3)
    else:
        values = np.argmax(model.receiver.lines @ np.stack([np.ones_like(means), means]), axis=0).astype(float)[said]
    error = 4 * values.std() / np.sqrt(len(values)) + 1e-4
    assert induced(problem, env, says(problem, signal)).value == pytest.approx(values.mean(), abs=error)


@pytest.fixture(scope="module")
def table_run(tmp_path_factory):
    """(result, folder) of bi-pooling by a table on 40 cells, of which .35 is an end, from the problem file to the pictures."""
    folder = tmp_path_factory.mktemp("run") / "out"
    config = parse({"problem": {"kind": "persuasion_continuous", **STEPS, "grid": 40}, "training": {"steps": 1500}})
    return run.train(config, folder, lambda line: None), folder


def learned(config):
    """(problem, env, the rule as it was learned), without an evaluation."""
    problem, env = config.problem.build(Path())
    trainer = fit.Trainer.of(problem, config.training)
    state, _ = fit.run(trainer, env, run.initial_state(config, trainer, problem, env), config.training.steps)
    return problem, env, fit.member(state, 0).rule


@pytest.fixture(scope="module")
def network():
    """(config, problem, env, the finished rule, what the polish told) of the same by a network."""
    config = parse({"problem": {"kind": "persuasion_continuous", **STEPS, "grid": 40}, "rule": {"kind": "state_network"},
                    "training": {"steps": 1500}})  # fmt: skip
    problem, env, rough = learned(config)
    return config, problem, env, *run.settle(config, problem, env, rough)


def test_bi_pooling_is_learned_by_a_table(table_run, case) -> None:
    """Within 1e-3 of the exact value, whichever way ties are broken, with nothing gained by disobeying; gradients alone come within 1 %,
    above any division into intervals. The bound is proven by learned multipliers: never below the exact value, within 1e-3 of it."""
    (result, folder), known = table_run, case("uniform_bipooling")
    exact, told = known["value"], result["details"]
    assert exact - 1e-3 <= result["objective"]["value"] <= exact
    assert result["objective"]["adversarial_ties"] == result["objective"]["value"]
    assert result["objective"]["value"] == pytest.approx(told["value_after_polish"], abs=1e-12)
    assert result["incentive_gap"]["max"] < 1e-12  # rounding of a utility computed twice
    assert told["value_before_polish"] >= 0.99 * exact > known["monotone_partition"]
    assert exact - 1e-9 <= result["objective"]["upper_bound"] <= exact + 1e-3
    assert (folder / "plots" / "signal.png").stat().st_size > 10_000
    assert (folder / "artifact" / "rule.stablehlo").exists()


def test_a_learned_signal_answers_states(table_run, tmp_path) -> None:
    """Messages are drawn by a seed; low states are told apart from all others; a state outside the interval is refused by its row."""
    _, folder = table_run
    table = tmp_path / "states.csv"
    table.write_text("id,state\n" + "".join(f"{n},{n / 100}\n" for n in range(101)))
    for out in ("one.csv", "same.csv"):
        artifact.apply(folder, table, tmp_path / out, seed=1)
    assert (tmp_path / "one.csv").read_text() == (tmp_path / "same.csv").read_text()
    for row in csv.DictReader((tmp_path / "one.csv").open()):
        assert sum(float(row[f"probability_{z}"]) for z in range(3)) == pytest.approx(1, abs=1e-6)
        low = int(row["id"]) < 35
        assert (row["signal"] == "0") == low
        assert (float(row["posterior_mean"]) < 0.35) == low
    table.write_text("state\n0.5\n1.5\n")
    with pytest.raises(ConfigError, match=r"row 3, column state: 1\.5 should be a number from 0 to 1"):
        artifact.apply(folder, table)


def test_bi_pooling_is_learned_by_a_network(network, case) -> None:
    """Within 1e-3 too, above any division into intervals: messages overlap. Its worth is the same by the core's judgement."""
    _, problem, env, rule, told = network
    value = told["value_after_polish"]
    assert case("uniform_bipooling")["value"] - 1e-3 <= value <= case("uniform_bipooling")["value"]
    with jax.enable_x64(True):
        draw = problem.draw(env, None, 1)
        decision = problem.decide(env, rule, draw.seen, None)
        assert float(problem.score(env, draw, decision, problem.recommended(env, draw)).value @ env.mass) == pytest.approx(value, abs=1e-12)


def test_messages_that_tell_the_same_are_made_one() -> None:
    """Three messages sent by chance, whatever the state, leave a quadratic receiver with the prior mean: the polish makes one of them,
    and keeps apart a fourth that is for low states alone."""
    config = config_of(**lobby(0.25), grid=20, signals=4)
    problem, env = config.problem.build(None)
    chance = np.tile([0.2, 0.3, 0.5, 0.0], (20, 1))
    low = np.where(np.arange(20)[:, None] < 5, [0.0, 0.0, 0.0, 1.0], chance)
    for signal, left in ((chance, 1), (low, 2)):
        finished, told = run.settle(config, problem, env, says(problem, signal))
        assert told["value_after_polish"] == pytest.approx(told["value_before_polish"], abs=1e-12)
        assert len(details(problem, env, config.problem, config.rule, finished)["signals"]) == left


def test_a_disobeyed_network_is_put_right(network) -> None:
    """Biases moved until all means are off by hundredths: the polish brings each back to where its message is obeyed."""
    config, problem, env, finished, _ = network
    shaken = biased(finished, np.array([0.0, 0.1, 0.2]))
    mended, told = run.settle(config, problem, env, shaken)
    assert told["value_before_polish"] < 0.8 < told["value_after_polish"]
    lo, hi = lines_of(config.problem).intervals(problem.margin).T
    means = induced(problem, env, mended).mean
    assert (means >= lo).all()
    assert (means <= hi).all()


def test_what_is_told_is_what_was_learned(network) -> None:
    """Messages average to the prior; the list has a distribution in every cell; without a margin the value is exact and ties decide; the
    network is judged between the grid's states too."""
    config, problem, env, finished, _ = network
    told = details(problem, env, config.problem, config.rule, finished)
    assert sum(each["mass"] * each["posterior_mean"] for each in told["signals"]) == pytest.approx(0.5, abs=1e-9)
    assert [each["action"] for each in told["signals"]] == ["0", "1", "2"]
    assert told["without_margin"]["value"] == pytest.approx(0.845, abs=1e-6)
    assert told["without_margin"]["adversarial_ties"] == pytest.approx(0.195, abs=1e-6)  # each of both takes the next lower action
    assert told["between_cells"]["cells"] == 400
    assert told["between_cells"]["value"] == pytest.approx(0.845, abs=0.05)  # between cells a mean may fall just short
    rows = listing(problem, env, config.problem, config.rule, finished)
    assert len(rows) == 40
    assert rows[-1]["state_to"] == 1.0
    np.testing.assert_allclose([row["0"] + row["1"] + row["2"] for row in rows], 1.0, atol=1e-12)


def test_a_table_draws_messages_in_their_proportions() -> None:
    """10 000 times the same state: frequencies within four standard errors of its probabilities."""
    problem, env = problem_of(**STEPS, grid=4).build(None)
    table = StateTable(problem, env)
    table.seed(3)
    signal = np.array([[0.2, 0.3, 0.5]] * 4)
    drawn = table.outputs(np.full((10_000, 1), 1.0), {"decision": signal})[:, 0].astype(int)
    np.testing.assert_allclose(np.bincount(drawn) / 10_000, signal[0], atol=4 * 0.5 / 100)


def test_a_margin_no_signal_can_leave_is_refused() -> None:
    """At a margin of .2 the third action needs a mean above 1 and the second one above and below .7: what is left is a mean of .4, and
    the prior's is .5. At .1 all three can be obeyed."""
    for margin, refused in ((0.2, True), (0.1, False)):
        config = config_of(**STEPS, obedience_margin=margin, grid=20)
        problem, env = config.problem.build(None)
        if refused:
            with pytest.raises(ConfigError, match=r"obedience_margin = 0\.2: no signal can leave that margin"):
                check(problem, env, config)
        else:
            check(problem, env, config)


def test_a_prior_that_leaves_a_cell_empty_is_refused() -> None:
    """In float64 a normal of standard deviation .005 has nothing at 0."""
    config = config_of(**THRESHOLD, prior={"kind": "truncated_normal", "mean": 0.5, "std": 0.005})
    with pytest.raises(ConfigError, match=r"prior must be interior.* states from 0 to 0\.005"):
        check(*config.problem.build(None), config)


@pytest.mark.parametrize(("given", "said"), [
    ({**THRESHOLD, "prior": {"kind": "uniform", "low": 1, "high": 0}}, r"low = 1\.0 should be below high, which is 0"),
    ({**THRESHOLD, "prior": {"kind": "histogram", "heights": [1, 0, 1, 1]}}, r"heights\.1.*must be interior.* from 0\.25 to 0\.5"),
    ({**THRESHOLD, "prior": {"kind": "beta", "a": 0, "b": 1}}, r"prior\.a = 0"),
    ({"receiver": {"kind": "threshold", "at": [0.5, 0.5]}}, r"at.* in increasing order"),
    ({"receiver": {"kind": "threshold", "at": [0.2, 0.5], "shares": [0.2, 0.2]}}, r"shares.* 2 numbers > 0 that sum to 1"),
    ({**STEPS, "receiver": {"kind": "mean_steps", "utilities": [0, 1]}}, r"utilities has shape \[2\]; it should have a row"),
    ({**STEPS, "sender": None}, r"sender is missing; give 3 numbers"),
    ({**STEPS, "sender": [0, 1]}, r"sender has shape \[2\]; it should be \[3\].* or \[3, 2\]"),
    ({**STEPS, "sender": lobby(0.5)["sender"]}, r"sender.* should be 3 numbers"),
    ({**STEPS, "sender": [0, 1, float("nan")]}, r"sender.*finite"),
    ({**STEPS, "signals": 4}, r"signals = 4 should be left out: there is one message for each of the 3 actions"),
    ({**STEPS, "actions": ["a", "a", "b"]}, r"actions.* 3 different names"),
    ({**STEPS, "obedience_margin": -1}, r"obedience_margin = -1"),
    ({**STEPS, "grid": 1}, r"grid = 1"),
    ({**lobby(0.5), "sender": [0, 1]}, r"sender.* lobbying or quadratic"),
    ({**lobby(1.5)}, r"alpha = 1\.5"),
    ({**lobby(0.5), "signals": 0}, r"signals = 0"),
])  # fmt: skip
def test_a_wrong_problem_is_refused_with_its_key(given, said) -> None:
    """Each mistake in one sentence."""
    with pytest.raises(ConfigError, match=said):
        problem_of(**given)
