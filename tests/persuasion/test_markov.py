"""Markov persuasion processes: two exact methods that agree, limits that are known, and that learning finds the best."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import artifact, run
from icsap_jax.bilevel.deviations import double, reaction
from icsap_jax.config import ConfigError, load, parse
from icsap_jax.persuasion.dynamic.optimum import best_alone
from icsap_jax.persuasion.markov.optimum import baselines, bellman, check, followed, occupancies, optimum, replied, upper_bound
from icsap_jax.persuasion.markov.polish import schemes
from icsap_jax.persuasion.markov.problem import MarkovEnv, markov_signal, tables
from icsap_jax.persuasion.markov.table import MarkovTable
from icsap_jax.persuasion.rules import saying

EXACT = 1e-9  # two float64 programmes of a few dozen numbers
CASES = ("mpp_S2O2A2H3", "mpp_discounted_g0.9")
MOVES = [[[[0.5, 0.5], [0.1, 0.9]], [[0.5, 0.5], [0.5, 0.5]]], [[[0.9, 0.1], [0.9, 0.1]], [[0.2, 0.8], [0.2, 0.8]]]]
SMALL = {"kind": "persuasion_markov", "horizon": 2, "state_prior": [[0.7, 0.3], [0.4, 0.6]], "transitions": MOVES,
         "sender": [[[0, 1], [0, 1]], [[0, 2], [0, 2]]], "receiver": [[[1, 0], [0, 1]], [[1, 0], [0, 1]]]}  # fmt: skip


def problem_of(**given):
    """The checked problem of a file."""
    return parse({"problem": {**SMALL, **given}}).problem


def forever(discount, **given):
    """The same without an end."""
    return problem_of(horizon=None, discount=discount, **given)


def random_process(seed, discount=0.9, states=3, outcomes=3, actions=3):
    """Utilities uniform on [0, 1], twice and three times that in later states; transitions that mostly lead to one state, so that what
    is done matters for what follows."""
    rng = np.random.default_rng(seed)
    shape = (states, outcomes, actions)
    sender, receiver = rng.random(shape) * np.arange(1, states + 1)[:, None, None], rng.random(shape)
    return MarkovEnv(rng.dirichlet(np.ones(outcomes), states), sender, receiver, rng.dirichlet(np.full(states, 0.2), shape),
                     np.eye(states)[0], np.float64(discount))  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_known_values_are_exact(root: Path, case, name) -> None:
    """By Bellman's equation, by the programme over occupancies, and by the bound of the former's multipliers."""
    config, known = load(root / "configs" / "persuasion" / f"{name}.yaml"), case(name)
    given, horizon = tables(config.problem), config.problem.horizon
    found = bellman(given, horizon)
    assert found.value == pytest.approx(known["value"], abs=known["tol"])
    assert occupancies(given, horizon) == pytest.approx(known["value"], abs=known["tol"])
    assert upper_bound(given, horizon, found.obedience) == pytest.approx(known["value"], abs=known["tol"])
    assert replied(given, horizon, found.signal, "for") == pytest.approx(known["value"], abs=known["tol"])


def test_the_tables_are_those_of_the_case(root: Path, case) -> None:
    """Number by number."""
    for name in CASES:
        model = load(root / "configs" / "persuasion" / f"{name}.yaml").problem
        for key in ("state_prior", "sender", "receiver", "transitions"):
            np.testing.assert_array_equal(getattr(model, key).values, case(name)["spec"]["tables"][key])


def test_two_exact_methods_agree_with_and_without_an_end() -> None:
    """On random processes, with a margin too."""
    for seed in range(3):
        given = random_process(seed)
        assert bellman(given, None, 0.01).value == pytest.approx(occupancies(given, None, 0.01), abs=1e-6)  # HiGHS, times 1/(1 − γ)
        ends = replace(given, discount=np.float64(1.0), start=np.full(3, 1 / 3))
        assert bellman(ends, 4, 0.01).value == pytest.approx(occupancies(ends, 4, 0.01), abs=1e-7)


def test_a_long_horizon_is_as_good_as_none() -> None:
    """Discounted backwards for 40 steps: what is left out is γ^40 of the rest, under 1e-11."""
    given = random_process(0, discount=0.5)
    assert bellman(given, 40).value == pytest.approx(bellman(given, None).value, abs=EXACT)


def test_without_a_future_the_start_is_a_game_of_its_own() -> None:
    """At a discount of 0, and after one step, the value is that of the game at the start; it comes there continuously."""
    model = forever(0.0)
    given = tables(model)
    alone = best_alone(given.state_prior[0], given.sender[0], given.receiver[0]).value
    assert optimum(None, None, model)["value"] == pytest.approx(alone, abs=EXACT)
    assert optimum(None, None, problem_of(horizon=1))["value"] == pytest.approx(alone, abs=EXACT)
    assert optimum(None, None, forever(1e-4))["value"] == pytest.approx(alone, abs=3e-4)  # the best of a step is 2


def test_a_process_that_stays_where_it_is_repeats_one_game() -> None:
    """Its value is T times, or 1/(1 − γ) times, that of the game; a start at random is worth the mean."""
    stays = np.broadcast_to(np.eye(2)[:, None, None], (2, 2, 2, 2)).tolist()
    given = tables(problem_of())
    alone = [best_alone(*each).value for each in zip(given.state_prior, given.sender, given.receiver, strict=True)]
    assert optimum(None, None, problem_of(transitions=stays, horizon=5, start=1))["value"] == pytest.approx(5 * alone[1], abs=EXACT)
    mean = 0.25 * alone[0] + 0.75 * alone[1]
    assert optimum(None, None, forever(0.8, transitions=stays, start=[0.25, 0.75]))["value"] == pytest.approx(5 * mean, abs=EXACT)


def test_any_multipliers_prove_a_bound_and_the_best_prove_the_optimum() -> None:
    """Random multipliers ≥ 0 are never below the optimum; those of the primal-dual method are on it."""
    for horizon, discount in ((None, 0.9), (3, 1.0)):
        given = random_process(1, discount)
        best = bellman(given, horizon).value
        multipliers = schemes(given, horizon, 0.0)[1]
        # 1e-6: the method stops at 1e-8 of what is at stake in a step, which adds up tenfold.
        assert best - EXACT <= upper_bound(given, horizon, multipliers) <= best + 1e-6
        for scale in (0.0, 0.3, 3.0):
            tried = scale * np.random.default_rng(0).random(multipliers.shape)
            assert upper_bound(given, horizon, tried) >= best - EXACT


def test_the_primal_dual_method_obeys_with_the_margin() -> None:
    """Of its scheme every reply is the recommendation, whoever has the ties; and it is the programme's best with that margin."""
    for seed in range(3):
        given = random_process(seed)
        signal, _ = schemes(given, None, 1e-3)
        obeyed = given.start @ followed(given, None, signal, given.sender)
        assert replied(given, None, signal, "for") == pytest.approx(obeyed, abs=EXACT)
        assert replied(given, None, signal, "against") == pytest.approx(obeyed, abs=EXACT)
        assert obeyed == pytest.approx(bellman(given, None, 1e-3).value, abs=1e-5)  # 1e-7 of each step's mass is not said


def test_looking_ahead_can_be_worth_it() -> None:
    """A sender who takes the most in every step goes where it need not: it never gains, and on some processes loses over 1 %. Neither
    silence nor full disclosure beats the best."""
    losses = []
    for seed in range(5):
        given = random_process(seed)
        written = {key: getattr(given, key).tolist() for key in ("state_prior", "sender", "receiver", "transitions")}
        best, rules = bellman(given, None).value, baselines(None, None, forever(0.9, **written))
        losses.append(1 - rules["myopic_sender"] / best)
        assert max(rules.values()) <= best + 1e-8
    assert max(losses) > 0.01


@pytest.fixture(scope="module", params=["ends", "for ever"])
def any_scheme(request, root: Path):
    """(problem, env, signal, what comes of it, what it is worth to be obeyed): a random scheme."""
    known = load(root / "configs" / "persuasion" / "mpp_discounted_g0.9.yaml").problem  # compiled for other tests too
    problem, env = (problem_of(start=[0.5, 0.5]) if request.param == "ends" else known).build(Path())
    signal = np.random.default_rng(0).dirichlet(np.ones(problem.actions), problem.tables)
    rule = saying(markov_signal(None, problem, env, jax.random.key(0)), signal.reshape(-1, signal.shape[-1]))
    with jax.enable_x64(True):
        env64, rule64 = jax.tree.map(jnp.asarray, (double(env), double(rule)))
        found = jax.tree.map(np.asarray, reaction(problem, env64, rule64, problem.draw(env64, None, 1)))
    return problem, env, signal, found, float(env.start @ followed(env, problem.horizon, signal, env.sender))


def test_the_share_of_steps_adds_up(any_scheme) -> None:
    """The information sets' weights sum to one, and the sender's value is the sum over them of what a step brings, times how many."""
    problem, env, signal, found, obeyed = any_scheme
    assert found.weight.sum() == pytest.approx(1.0, abs=1e-12)
    joint = np.asarray(env.state_prior)[None, :, :, None] * signal
    steps = problem.horizon or 1 / (1 - 0.9)
    brought = np.einsum("ls,lsoa,soa->", found.decision.occupancy, joint, env.sender)
    assert obeyed == pytest.approx(steps * brought, abs=1e-12)


def test_beliefs_average_to_what_the_state_says(any_scheme) -> None:
    """In every state the mean of the posteriors is its prior over outcomes, wherever the process came from."""
    _, env, _, found, _ = any_scheme
    mean = np.einsum("lsa,lsao->lso", found.decision.mass, found.decision.posterior)
    np.testing.assert_allclose(mean, np.broadcast_to(env.state_prior, mean.shape), atol=1e-12)


def test_replies_that_lead_elsewhere_are_followed_there(any_scheme) -> None:
    """The value under exact replies is that of the process the replies lead through, which is not the one obedience would."""
    problem, env, signal, found, obeyed = any_scheme
    assert float(found.reply.value) == pytest.approx(replied(env, problem.horizon, signal, "for"), abs=1e-12)
    assert abs(float(found.reply.value) - obeyed) > 1e-3  # this scheme is disobeyed


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory):
    """The discounted process, trained for too few steps to settle: its result and its run's folder."""
    config = load(root / "configs" / "persuasion" / "mpp_discounted_g0.9.yaml", ["training.steps=300", "training.chunk=300"])
    folder = tmp_path_factory.mktemp("run") / "out"
    with mock.patch.object(run, "draw_pictures", lambda *_: None):
        return run.train(config, folder, lambda line: None), folder


def test_the_known_value_is_learned_and_proved(trained, case) -> None:
    """Within 1e-3 whoever has the ties, by the margin, which must then be obeyed; the bound is on the other side, as near."""
    result, known = trained[0], case("mpp_discounted_g0.9")["value"]
    found = result["objective"]
    assert known - 1e-3 <= found["value"] <= known
    assert found["adversarial_ties"] == pytest.approx(found["value"], abs=EXACT)
    assert known - EXACT <= found["upper_bound"] <= known + 1e-6
    assert result["incentive_gap"]["max"] < 1e-12  # rounding of a utility computed twice
    assert result["details"]["without_margin"]["value"] == pytest.approx(known, abs=1e-6)
    assert result["details"]["without_margin"]["adversarial_ties"] < known - 0.1
    # The polish does not do the learning.
    assert result["details"]["value_before_polish"] > max(result["baselines"][name] for name in ("no_disclosure", "full_disclosure"))


def test_a_list_of_what_was_seen_is_answered_by_the_scheme(trained, tmp_path: Path) -> None:
    """`icsap apply`: recommendations as often as the scheme makes them, the same ones again, and beliefs as they follow."""
    result, folder = trained
    rows = 2000
    source, answers = tmp_path / "seen.csv", tmp_path / "said.csv"
    source.write_text("id,outcome,state\n" + "".join(f"{row},2,1\n" for row in range(rows)))
    assert artifact.apply(folder / "artifact", source, answers) == rows
    found = np.loadtxt(answers, delimiter=",", skiprows=1)  # id, recommendation, probability, belief_0 …
    row = next(each for each in result["details"]["scheme"] if (each["state"], each["recommendation"]) == ("1", "1"))
    share = (found[:, 1] == 1).mean()
    assert share == pytest.approx(row["said of 2"], abs=4 * 0.5 / rows**0.5)  # four standard errors
    told = found[found[:, 1] == 1][0]
    np.testing.assert_allclose(told[2:], [row["said of 2"], *(row[f"belief in {o}"] for o in range(3))], atol=1e-5)  # float32


def test_a_table_has_a_step_where_there_is_an_end() -> None:
    """Its columns follow the problem, and a step is counted from 0."""
    problem, env = problem_of().build(Path())
    table = MarkovTable(problem, env)
    assert table.columns == ["state", "outcome", "step"]
    assert table.sizes == {"state": problem.states, "outcome": problem.outcomes, "step": 2}
    np.testing.assert_array_equal(table.inputs(np.array([[1.0, 0.0, 1.0]]), None)[0], [6, 7])
    assert MarkovTable(*forever(0.5).build(Path())).columns == ["state", "outcome"]


@pytest.mark.parametrize(("given", "said"), [
    ({"discount": 0.5}, r"horizon = 2 excludes a discount; give one of them"),
    ({"horizon": None}, r"horizon is missing; give the number of steps, or a discount"),
    ({"horizon": None, "discount": 1.0}, r"discount = 1\.0.* less than 1"),
    ({"state_prior": [0.5, 0.5]}, r"state_prior.* has 1 axes"),
    ({"state_prior": [[0.7, 0.3], [1.0, 0.0]]}, r"state_prior\.1.* outcome 1 .*no probability; the prior must be interior"),
    ({"state_prior": [[0.7, 0.3], [0.6, 0.6]]}, r"state_prior\.1.* they sum to 1\.2"),
    ({"sender": [[0, 1], [0, 1]]}, r"sender has shape \[2, 2\]; it should be \[2, 2, 2\], states × outcomes × actions"),
    ({"transitions": [[[[1.0]]]]}, r"transitions has shape \[1, 1, 1, 1\]; it should be \[2, 2, 2, 2\]"),
    ({"transitions": [*MOVES[:1], [[[0.9, 0.1], [0.9, 0.2]], *MOVES[1][1:]]]}, r"transitions\.1\.0\.1.* they sum to 1\.1"),
    ({"receiver": [[[1, float("inf")], [0, 1]], [[1, 0], [0, 1]]]}, r"receiver.* finite"),
    ({"start": 2}, r"start = 2 should be a state's number from 0 to 1"),
    ({"start": [1.0]}, r"start.* has shape \[1\]; it should be \[2\]"),
    ({"start": [0.5, 0.6]}, r"start.* they sum to 1\.1"),
    ({"start": "there"}, r"start"),
    ({"outcomes": ["a", "a"]}, r"outcomes.* 2 different names"),
])  # fmt: skip
def test_a_wrong_process_is_refused_with_its_key(given, said) -> None:
    """Each mistake in one sentence."""
    with pytest.raises(ConfigError, match=said):
        problem_of(**given)


def test_a_margin_nobody_can_leave_is_refused() -> None:
    """The state is named in which the receiver cannot be left better off by obeying."""
    config = parse({"problem": {**SMALL, "receiver": [[[1, 0], [0, 1]], [[1, 1], [1, 1]]]}})
    with pytest.raises(ConfigError, match=r"obedience_margin = 0\.0001: in state 1 .* ask for less"):
        check(None, None, config)
    check(None, None, parse({"problem": SMALL}))
