"""A network that answers any persuasion game: obeyed whatever its weights, blind to names and units, near the optimum when trained."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import evaluation
from icsap_jax.artifact import compiled
from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.fit import Trainer, member, run
from icsap_jax.bilevel.types import Draw, expectation
from icsap_jax.config import ConfigError, parse
from icsap_jax.persuasion.family import evaluation as judged
from icsap_jax.persuasion.family import instances as families
from icsap_jax.persuasion.family.obedience import completed, measured, obeyed
from icsap_jax.persuasion.family.problem import Games, StateIndependent, Uniform, bound
from icsap_jax.persuasion.family.rules import finished, proposing
from icsap_jax.persuasion.programme import best_scheme
from icsap_jax.persuasion.tables import best_reply_value
from icsap_jax.run import initial_state

SIZES = [[5, 5], [3, 4]]
ROUNDING = 2e-5  # of a probability: float32 through a few rounds
FEW = 60
QUICK = {"xla_backend_optimization_level": 0}  # compiling is most of what these tests cost
LAWS = {"uniform": (families.uniform, Uniform()), "state_indep": (families.state_independent, StateIndependent())}


def config_of(**changes):
    """A small family, with a small network."""
    problem = {"kind": "persuasion_family", "sizes": SIZES, **changes.pop("problem", {})}
    rule = {"kind": "signal_network", "width": 12, "pair_width": 6, "rounds": 2, **changes.pop("rule", {})}
    return parse({"problem": problem, "rule": rule, **changes}, Path())


@pytest.fixture(scope="module")
def cases_file(root):
    """The file of exact answers; its random games have no id."""
    return json.loads((root / "tests" / "cases" / "persuasion.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def drawn():
    """Games of both sizes [FEW], float32."""
    problem, env = config_of().problem.build(Path())
    return jax.jit(problem.draw, static_argnums=2)(env, jax.random.key(1), FEW).seen  # one program costs less than many small ones


@pytest.fixture(scope="module")
def untrained():
    """The finished rule with a fresh network, its weights three times as large so that they matter; (signal, multiplier) of games."""
    config = config_of()
    problem, env = config.problem.build(Path())
    rule = config.rule.build(problem, env, jax.random.key(2))
    rule = replace(rule, params=jax.tree.map(lambda leaf: 3 * leaf, rule.params))
    solve = jax.jit(lambda games: rule(games.prior, games.sender, games.receiver, games.legal), compiler_options=QUICK)

    def ask(games):
        told = solve(games)
        return np.asarray(told.signal), np.asarray(told.multiplier)

    ask.rule = rule
    return ask


@pytest.fixture(scope="module")
def trained():
    """(problem, judged on few games; env; config; the finished rule) after a few hundred steps on 5 × 5 games."""
    config = config_of(problem={"sizes": [[5, 5]]}, training={"steps": 400, "batch": 64, "learning_rate": 0.006},
                       evaluation={"gap_profiles": FEW})  # fmt: skip
    problem, env = config.problem.build(Path())
    trainer = Trainer.of(problem, config.training, starts=True)
    state, _ = run(trainer, env, initial_state(config, trainer, problem, env), 400)
    rule = jax.tree.map(lambda leaf: leaf[0], member(state, 0).rule)
    problem = problem.judged_on(config.evaluation.seed, FEW)
    return problem, env, config, finished(config.rule, problem, env, rule)


def values(games, signal, ties):
    """What each sender gets [B] from receivers that reply their best, ties for or against it."""
    return np.array([
        best_reply_value(prior[:, None] * said[: len(prior), : own.shape[1]], own, other, ties)
        for (prior, own, other), said in zip(judged.tables_of(games), signal.astype(np.float64), strict=True)])  # fmt: skip


def test_the_families_are_the_cases_bit_for_bit(cases_file):
    """Prior, receiver and sender, to twelve digits, of every stored game; and what the best scheme of the small ones is worth."""
    for known in cases_file["random_family"]:
        prior, sender, receiver = LAWS[known["kind"]][0](known["n"], known["m"], known["seed"])
        digest = hashlib.sha256(b"".join(np.round(table, 12).tobytes() for table in (prior, receiver, sender))).hexdigest()
        assert digest.startswith(known["sha"])
        if known["n"] <= 5:
            assert best_scheme(prior, sender, receiver).value == pytest.approx(known["value"], abs=1e-8)


@pytest.mark.parametrize("kind", LAWS)
def test_the_law_is_that_of_the_stored_games(kind):
    """Means over 1 500 games of what makes one easy or hard agree with numpy's draws within four standard errors."""
    generate, law = LAWS[kind]
    ours = judged.tables_of(law.games(jax.random.key(0), jnp.full(1500, 5), jnp.full(1500, 4), (6, 6)))
    theirs = [generate(5, 4, seed) for seed in range(1500)]

    def told(prior, sender, receiver):
        alike = best_reply_value(prior[:, None], sender, receiver, "for"), best_reply_value(np.diag(prior), sender, receiver, "for")
        return [*alike, prior.max(), prior.min(), sender.max(), sender.std(0).mean(), receiver.std()]

    one, other = (np.array([told(*game) for game in each]) for each in (ours, theirs))
    error = np.sqrt((one.var(0) + other.var(0)) / 1500)
    assert (np.abs(one.mean(0) - other.mean(0)) <= 4 * error + 1e-7).all()  # 1e-7: float32's means of what does not vary


def test_drawn_games_are_games_and_what_they_lack_is_zero(drawn):
    prior, sender, receiver, legal = (np.asarray(leaf) for leaf in jax.tree.leaves(drawn))
    np.testing.assert_allclose(prior.sum(-1), 1.0, atol=1e-6)
    there = (prior > 0)[:, :, None] & legal[:, None]
    assert (sender[~there] == 0).all()
    assert (receiver[~there] == 0).all()
    assert set(map(tuple, np.stack([(prior > 0).sum(1), legal.sum(1)], 1))) == set(map(tuple, SIZES))


def test_the_order_of_states_and_actions_does_not_matter(drawn, untrained):
    states, actions = np.random.default_rng(0).permutation(5), np.random.default_rng(1).permutation(5)
    moved = Games(drawn.prior[:, states], drawn.sender[:, states][:, :, actions], drawn.receiver[:, states][:, :, actions],
                  drawn.legal[:, actions])  # fmt: skip
    (signal, multiplier), (moved_signal, moved_multiplier) = untrained(drawn), untrained(moved)
    possible = np.asarray(moved.prior)[..., None] > 0
    np.testing.assert_allclose(moved_signal * possible, (signal[:, states][:, :, actions]) * possible, atol=ROUNDING)
    np.testing.assert_allclose(moved_multiplier, multiplier[:, actions][:, :, actions], atol=ROUNDING, rtol=1e-3)


def test_units_and_what_depends_on_the_state_alone_do_not_matter(drawn, untrained):
    """Whatever the units, and whatever a side gets whatever the receiver does. A multiplier is the sender's utility for the receiver's.
    Numbers of few binary digits: nothing is rounded."""
    prior, sender, receiver, legal = (np.asarray(leaf) for leaf in jax.tree.leaves(drawn))
    sender, receiver = (np.round(each * 1024) / 1024 for each in (sender, receiver))
    there = (prior > 0)[:, :, None] & legal[:, None]
    by_state = np.random.default_rng(0).integers(-3, 4, size=(2, FEW, 5, 1)).astype(np.float32)
    other = Games(prior, 8.0 * np.where(there, sender + by_state[0], 0.0), 0.25 * np.where(there, receiver + by_state[1], 0.0), legal)
    (signal, multiplier), (same, dearer) = untrained(Games(prior, sender, receiver, legal)), untrained(other)
    np.testing.assert_allclose(same, signal, atol=ROUNDING)
    np.testing.assert_allclose(dearer, 32.0 * multiplier, rtol=1e-4)


def test_larger_tables_change_nothing_and_what_is_not_there_is_not_recommended(drawn, untrained):
    utilities = (jnp.pad(each, ((0, 0), (0, 2), (0, 1))) for each in (drawn.sender, drawn.receiver))
    wider = Games(jnp.pad(drawn.prior, ((0, 0), (0, 2))), *utilities, jnp.pad(drawn.legal, ((0, 0), (0, 1))))
    (signal, multiplier), (wide, priced) = untrained(drawn), untrained(wider)
    possible = np.asarray(drawn.prior)[..., None] > 0
    np.testing.assert_allclose(wide[:, :5, :5] * possible, signal * possible, atol=ROUNDING)
    np.testing.assert_allclose(priced[:, :5, :5], multiplier, atol=ROUNDING, rtol=1e-3)
    legal = np.asarray(drawn.legal)
    assert (signal * ~legal[:, None] == 0).all()
    assert (wide[:, :, 5:] == 0).all()
    assert (multiplier * ~legal[:, None] == 0).all()


def test_it_is_obeyed_and_never_worse_than_telling_all_or_nothing_whatever_the_weights(drawn, untrained):
    """Told apart by float64 although computed in float32: the margin covers the rounding, and leaves no tie."""
    signal, _ = untrained(drawn)
    np.testing.assert_allclose(signal.sum(-1), 1.0, atol=1e-6)
    games = double(drawn)
    reached = values(games, signal, "against")
    np.testing.assert_allclose(reached, (games.prior[..., None] * signal * games.sender).sum((1, 2)), atol=1e-6)
    simple = [[best_reply_value(np.diag(prior), own, other, "for"), best_reply_value(prior[:, None], own, other, "for")]
              for prior, own, other in judged.tables_of(games)]  # fmt: skip
    assert (reached >= np.max(simple, 1) - 1e-6).all()


def test_multipliers_prove_a_bound_whatever_the_weights(drawn, untrained):
    _, multiplier = untrained(drawn)
    optima = np.array([best_scheme(*tables).value for tables in judged.tables_of(drawn)])
    with jax.enable_x64(True):
        proven = np.asarray(bound(jax.tree.map(jnp.asarray, double(drawn)), jnp.asarray(multiplier, jnp.float64)))
    assert (proven >= optima - 1e-7).all()  # the priors are float32, and sum to 1 so far


def test_what_is_obeyed_stays_and_the_prosecutor_lets_go_just_enough(case, drawn):
    """Saying 'convict' always is cut back to all of the guilty and 3/7 of the innocent, less the margin; the best schemes that leave a
    margin are not cut at all."""
    spec, margin = case("prosecutor_0.3")["spec"], 1e-4
    prosecutor = [np.array(spec[name], np.float64) for name in ("prior", "v", "u")]
    every = judged.tables_of(drawn)[:10]
    games = judged.games_of([tuple(prosecutor), *every])
    joint = np.zeros(games.sender.shape)
    joint[0, :2, 1] = prosecutor[0]
    with jax.enable_x64(True):
        games = jax.tree.map(jnp.asarray, games)
        game = measured(games)
        for place, given in enumerate(every, 1):
            best = best_scheme(*given, margin=2 * margin * float(game.receiver_unit[place])).joint
            joint[place, : best.shape[0], : best.shape[1]] = best
        kept = jax.jit(obeyed, static_argnums=2, compiler_options=QUICK)(jnp.asarray(joint), game, margin)
        signal = completed(kept, game, games.prior)
    np.testing.assert_allclose(signal[0, :2, :2], [[4 / 7, 3 / 7], [0, 1]], atol=margin)
    np.testing.assert_allclose(kept[1:], joint[1:], atol=1e-12)


def test_training_climbs_the_true_slope(drawn):
    """What the network in training promises of some games, differentiated, against finite differences in float64. Cutting a scheme back
    bends its value here and there, so that a step of 1e-7 is asked to agree to 1e-4."""
    config = config_of(rule={"width": 6, "pair_width": 4})
    problem, env = config.problem.build(Path())
    with jax.enable_x64(True):
        seen = jax.tree.map(jnp.asarray, double(jax.tree.map(lambda leaf: leaf[:8], drawn)))
        rule = jax.jit(lambda key: proposing(config.rule, problem, env, key), compiler_options=QUICK)(jax.random.key(3))
        leaves, tree = jax.tree.flatten(jax.tree.map(lambda leaf: np.asarray(leaf[0], np.float64), rule))
        flat, ends = np.concatenate([leaf.ravel() for leaf in leaves]), np.cumsum([leaf.size for leaf in leaves])[:-1]
        draw = Draw(jnp.full(8, 1 / 8), None, seen)

        def promised(numbers):
            parts = [part.reshape(leaf.shape) for part, leaf in zip(jnp.split(numbers, ends), leaves, strict=True)]
            decision = problem.decide(env, jax.tree.unflatten(tree, parts), seen, None)
            return expectation(draw.weight, problem.score(env, draw, decision, problem.recommended(env, draw)).value)

        both = jax.jit(jax.value_and_grad(promised), compiler_options=QUICK)
        slope = np.asarray(both(flat)[1])
        along = np.random.default_rng(0).normal(size=(3, flat.size)) / np.sqrt(flat.size)
        found = [(float(both(flat + 1e-7 * way)[0]) - float(both(flat - 1e-7 * way)[0])) / 2e-7 for way in along]
    np.testing.assert_allclose(found, along @ slope, atol=1e-4 * np.linalg.norm(slope))


def test_a_little_training_comes_near_the_optimum_of_unseen_games(trained):
    problem, env, config, rule = trained
    told = judged.details(problem, env, config.problem, config.rule, rule)
    assert told["ratio"]["mean"] > max(0.93, 0.05 + told["ratio_of_full_or_no_disclosure"]["mean"])
    assert 1.0 < told["bound"]["mean_ratio"] < 1.1
    assert told["bound"]["least_above_the_optimum"] > -1e-9


def test_the_stored_games_are_answered_too(cases_file, trained):
    """The file's games 5 × 5 of the law it was trained on, and smaller ones, which it has never seen."""
    problem, env, _, rule = trained
    known = [one for one in cases_file["random_family"] if one["kind"] == "uniform" and max(one["n"], one["m"]) <= 5]
    tables = [families.uniform(one["n"], one["m"], one["seed"]) for one in known]
    draw = judged.fresh(problem, env)
    draw = replace(draw, seen=judged.games_of((tables * FEW)[:FEW], (5, 5)))  # as many as have been compiled for
    reached = judged.achieved(problem, env, rule, draw)
    optima = np.array([one["value"] for one in known])
    share = reached.adversarial[: len(known)] / optima
    assert share.mean() > 0.93
    assert share.max() <= 1 + 1e-9
    assert (reached.bound[: len(known)] >= optima - 1e-9).all()


def test_objective_optimum_and_baselines_are_of_the_same_games(trained):
    problem, env, config, rule = trained
    found = evaluation.evaluate(config, problem, env, rule)
    exact = judged.known(problem)
    assert found["objective"]["profiles"] == len(exact.optimum) == FEW
    assert found["optimum"]["value"] == pytest.approx(exact.optimum.mean())
    assert found["optimum"]["upper_bound"] == pytest.approx(exact.optimum.mean(), abs=1e-9)
    assert found["baselines"]["better_of_the_two"] < found["objective"]["value"] < exact.optimum.mean() < found["objective"]["upper_bound"]
    # Nobody gains by disobeying, and the margin leaves no tie to be broken.
    assert found["incentive_gap"]["max"] < 1e-12
    assert found["objective"]["adversarial_ties"] == pytest.approx(found["objective"]["value"], abs=1e-9)


def test_the_compiled_rule_takes_any_number_of_games(drawn, untrained):
    games = jax.tree.leaves(drawn)
    blob = compiled.serialised(untrained.rule, tuple(games))
    found = compiled.run(blob, tuple(np.asarray(each[:3]) for each in games))
    np.testing.assert_allclose(found["signal"], untrained(drawn)[0][:3], atol=ROUNDING)


@pytest.mark.parametrize(("problem", "sentence"), [
    ({"sizes": [[5, 5], [6, 4]], "mask_max": [5, 5]}, r"sizes.*\[6, 4\].*is larger than mask_max, which is \[5, 5\]"),
    ({"sizes": [[5, 0]]}, r"should be \[states, actions\], both at least 2"),
    ({"sizes": [[5, 5, 5]]}, r"should be \[states, actions\]"),
    ({"sizes": []}, "at least one"),
    ({"mask_max": [-5, 5]}, "both positive"),
    ({"generator": {"kind": "uniforn"}}, "did you mean 'uniform'"),
])  # fmt: skip
def test_a_wrong_family_is_answered_by_a_sentence(problem, sentence):
    with pytest.raises(ConfigError, match=sentence):
        config_of(problem=problem)
