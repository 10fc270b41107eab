"""A network that answers any hidden-action problem: exact along a direction, blind to names and units, near the optimum when trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import evaluation
from icsap_jax.artifact import compiled
from icsap_jax.bilevel.check import gradient_error
from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.fit import Trainer, member, run
from icsap_jax.config import ConfigError, parse
from icsap_jax.contracts.classical import best_linear, first_best, value_of, zero_contract
from icsap_jax.contracts.family import evaluation as judged
from icsap_jax.contracts.family.instances import hidden_action
from icsap_jax.contracts.family.problem import Instances, OrderedSoftmax
from icsap_jax.contracts.family.rules import finished, points
from icsap_jax.contracts.programmes import best_contract
from icsap_jax.contracts.tables import Tables
from icsap_jax.run import initial_state

SIZES = [[5, 5], [3, 4]]
ROUNDING = 2e-4  # of the largest payment: float32, and a payment may be many times what it is worth
FEW = 60


def config_of(**changes):
    """A small family, with a small network."""
    problem = {"kind": "contract_family", "sizes": SIZES, **changes.pop("problem", {})}
    rule = {"kind": "contract_network", "width": 12, "rounds": 2, **changes.pop("rule", {})}
    return parse({"problem": problem, "rule": rule, **changes}, Path())


@pytest.fixture(scope="module")
def drawn():
    """Instances of both sizes [FEW], float32."""
    problem, env = config_of().problem.build(Path())
    return jax.jit(problem.draw, static_argnums=2)(env, jax.random.key(1), FEW).seen  # one program costs less than many small ones


@pytest.fixture(scope="module")
def untrained():
    """The finished rule with a fresh network, its weights three times as large so that they matter."""
    config = config_of()
    problem, env = config.problem.build(Path())
    rule = config.rule.build(problem, env, jax.random.key(2))
    rule = replace(rule, params=jax.tree.map(lambda leaf: 3 * leaf, rule.params))
    return jax.jit(lambda *tables: rule(*tables))


@pytest.fixture(scope="module")
def trained():
    """(problem, judged on few instances; env; config; the finished rule) after a few hundred steps on 5 × 5 problems."""
    config = config_of(problem={"sizes": [[5, 5]]}, training={"steps": 400, "batch": 64}, evaluation={"gap_profiles": FEW})
    problem, env = config.problem.build(Path())
    trainer = Trainer.of(problem, config.training, starts=True)
    state, _ = run(trainer, env, initial_state(config, trainer, problem, env), 400)
    rule = jax.tree.map(lambda leaf: leaf[0], member(state, 0).rule)
    problem = problem.judged_on(config.evaluation.seed, FEW)
    return problem, env, config, finished(config.rule, problem, env, rule)


def ask(rule, seen):
    """The rule's answer to instances, as numpy arrays."""
    offered = rule(seen.outcome_probabilities, seen.costs, seen.rewards, seen.legal)
    return np.asarray(offered.payments), np.asarray(offered.action)


def worth(rule, seen, every):
    """What the principal gets in float64 from each instance, of which `every` has the tables, ties in its favour."""
    with jax.enable_x64(True):
        rule, seen = jax.tree.map(jnp.asarray, (double(rule), double(seen)))
        payments, _ = ask(jax.jit(lambda *tables: rule(*tables)), seen)
    return np.array([value_of(tables, paid[: tables.outcomes]).value for tables, paid in zip(every, payments, strict=True)])


def near(found, expected):
    """Payments are the same but for rounding."""
    np.testing.assert_allclose(found, expected, atol=ROUNDING * np.abs(expected).max(), rtol=ROUNDING)


def test_the_law_is_that_of_the_stored_instances():
    """Means over 1 500 problems of what makes one easy or hard agree with numpy's draws within four standard errors."""
    law, size = OrderedSoftmax(2.0, 0.2, True), (5, 4)
    keys = jax.random.split(jax.random.key(0), 1500)
    ours = judged.tables_of(jax.jit(jax.vmap(lambda key: law.instance(key, jnp.asarray(5), jnp.asarray(4), (6, 6))))(keys))
    theirs = [hidden_action(seed, *size) for seed in range(1500)]

    def told(tables: Tables) -> list[float]:
        return [first_best(tables), zero_contract(tables).value, tables.costs.mean(), tables.costs.max(),
                tables.rewards.mean(), tables.outcome_probabilities.max(-1).mean()]  # fmt: skip

    one, other = (np.array([told(tables) for tables in each]) for each in (ours, theirs))
    error = np.sqrt((one.var(0) + other.var(0)) / 1500)
    assert (np.abs(one.mean(0) - other.mean(0)) < 4 * error).all()


def test_instances_are_problems_and_what_they_lack_is_zero(drawn):
    F, costs, rewards, legal = (np.asarray(leaf) for leaf in jax.tree.leaves(drawn))
    np.testing.assert_allclose(F.sum(-1), legal, atol=1e-6)
    assert (costs[~legal] == 0).all()
    assert (costs[:, 0] == 0).all()
    assert set(map(tuple, np.stack([legal.sum(1), (rewards > 0).sum(1) + 1], 1))) == set(map(tuple, SIZES))
    brings = (F * rewards[:, None]).sum(-1)
    assert (np.diff(brings, axis=1)[legal[:, 1:]] >= -1e-5).all()  # sorted, but for float32's sums


def test_the_order_of_actions_and_outcomes_does_not_matter(drawn, untrained):
    actions, outcomes = np.random.default_rng(0).permutation(5), np.random.default_rng(1).permutation(5)
    moved = Instances(drawn.outcome_probabilities[:, actions][:, :, outcomes], drawn.costs[:, actions],
                      drawn.rewards[:, outcomes], drawn.legal[:, actions])  # fmt: skip
    (payments, action), (moved_payments, moved_action) = ask(untrained, drawn), ask(untrained, moved)
    near(moved_payments, payments[:, outcomes])
    np.testing.assert_array_equal(actions[moved_action], action)


def test_larger_tables_change_nothing_and_what_cannot_happen_is_not_paid(drawn, untrained):
    F, costs, rewards, legal = jax.tree.leaves(drawn)
    wider = Instances(jnp.pad(F, ((0, 0), (0, 2), (0, 3))), jnp.pad(costs, ((0, 0), (0, 2))), jnp.pad(rewards, ((0, 0), (0, 3))),
                      jnp.pad(legal, ((0, 0), (0, 2))))  # fmt: skip
    (payments, action), (wide_payments, wide_action) = ask(untrained, drawn), ask(untrained, wider)
    near(wide_payments[:, :5], payments)
    assert (wide_payments[:, 5:] == 0).all()
    np.testing.assert_array_equal(wide_action, action)
    assert np.take_along_axis(np.asarray(legal), action[:, None], 1).all()


def test_the_unit_of_money_does_not_matter(drawn, untrained):
    dearer = replace(drawn, costs=100 * drawn.costs, rewards=100 * drawn.rewards)
    (payments, action), (dear_payments, dear_action) = ask(untrained, drawn), ask(untrained, dearer)
    near(dear_payments, 100 * payments)
    np.testing.assert_array_equal(dear_action, action)


def test_along_a_direction_no_scale_beats_the_points(drawn):
    """2 000 scales of a random direction of payments, the agent's best reply to each: none is worth more than the best point, and one
    comes near. The gap between them is at most a step of the grid, for which the agent is paid more than it need be."""
    with jax.enable_x64(True):
        F, costs, rewards, legal = (np.asarray(leaf, np.float64 if leaf.dtype == np.float32 else bool) for leaf in jax.tree.leaves(drawn))
        direction = np.random.default_rng(0).dirichlet(np.ones(5), size=(FEW, 1))
        value, _ = jax.jit(points)(F, costs, rewards, legal, direction, jnp.zeros(FEW))
    gets, brings = np.einsum("bak,bk->ba", F, direction[:, 0]), np.einsum("bak,bk->ba", F, rewards)
    scales = np.linspace(0.0, 20.0, 2000)
    utility = np.where(legal[:, None], scales[None, :, None] * gets[:, None] - costs[:, None], -np.inf)
    best = np.argmax(utility, -1)
    worth = np.take_along_axis(brings[:, None] - scales[None, :, None] * gets[:, None], best[..., None], -1)[..., 0].max(-1)
    exact = np.asarray(value).max((1, 2))
    assert (exact >= worth - 1e-9).all()
    reached = exact > brings.max(-1) - 20.0 * gets.max(-1)  # the grid goes that far
    assert reached.mean() > 0.5
    assert (exact - worth)[reached].max() < 20.0 / 1999 + 1e-9


def test_never_worse_than_the_best_linear_contract_or_pay_for_one_telling_outcome():
    """Whatever the weights, exactly so without a margin; float64, where ties are the principal's. Twin actions are no exception."""
    config = config_of(rule={"margin": 0.0, "rounds": 1, "targets": 6})
    problem, env = config.problem.build(Path())
    rule = config.rule.build(problem, env, jax.random.key(3))
    rule = replace(rule, params=jax.tree.map(lambda leaf: -3 * leaf, rule.params))
    draw = judged.fresh(problem.judged_on(7, FEW), env)
    F, costs, rewards, legal = (np.asarray(leaf) for leaf in jax.tree.leaves(draw.seen))
    last = [np.concatenate([each, each[:, -1:] * twin], axis=1) for each in (F, costs, legal) for twin in (False, True)]
    seen = Instances(np.concatenate(last[:2]), np.concatenate(last[2:4]), np.concatenate([rewards] * 2), np.concatenate(last[4:]))
    every = judged.tables_of(seen)
    linear = np.array([best_linear(tables).value for tables in every])
    # 1e-6 of the rewards counts as a tie.
    assert (worth(rule, seen, every) >= np.maximum(linear, judged.telling_outcome(seen)) - 1e-5).all()


def test_in_float32_the_margin_holds_even_if_ties_go_against_the_principal(drawn, untrained):
    payments, action = ask(untrained, drawn)
    assert payments.min() >= 0
    for tables, paid, wanted in zip(judged.tables_of(drawn), payments, action, strict=True):
        reply = value_of(tables, paid[: tables.outcomes], ties="against")
        assert reply.choices[0, 1] == wanted


def test_the_margin_costs_next_to_nothing(drawn):
    """A share of 2e-5 of the most an action brings, over by how much the scale sets the target ahead of its nearest rival."""
    config, wide = config_of(rule={"margin": 0.0, "rounds": 1}), config_of(rule={"rounds": 1})
    problem, env = config.problem.build(Path())
    draw = judged.fresh(problem.judged_on(7, FEW), env)
    rules = (each.rule.build(problem, env, jax.random.key(4)) for each in (config, wide))
    every = judged.tables_of(draw.seen)
    without, with_margin = (worth(rule, draw.seen, every) for rule in rules)
    money = np.einsum("bak,bk->ba", draw.seen.outcome_probabilities, draw.seen.rewards).max(-1)
    lost = (without - with_margin) / money
    assert 0 < lost.mean() < 1e-4
    assert lost.max() < 1e-2  # the best point may vanish: then the next best is offered


def test_training_climbs_the_true_slope():
    """Value less the price of gaps, differentiated by the core, against finite differences in float64."""
    config = config_of(rule={"width": 6, "rounds": 1}, training={"steps": 10, "batch": 8})
    problem, env = config.problem.build(Path())
    trainer = Trainer.of(problem, config.training, starts=True)
    assert gradient_error(trainer, env, member(initial_state(config, trainer, problem, env), 0)) < 1e-3


def test_a_little_training_comes_near_the_optimum_of_unseen_problems(trained):
    problem, env, config, rule = trained
    told = judged.details(problem, env, config.problem, config.rule, rule)
    assert told["ratio"]["mean"] > 0.98
    assert told["ratio_after_polish"]["mean"] > 0.995
    assert told["ratio_of_best_linear"]["mean"] < 0.95
    assert told["ratio_after_polish"]["worst"] >= told["ratio"]["worst"]


def test_the_stored_problems_are_solved_too(case, trained):
    """Case C27b, 5 × 5, seeds 0 to 9, of which the best linear contracts earn .86 on average."""
    problem, env, _, rule = trained
    every = [hidden_action(seed, 5, 5, **case("C27b")["data"]["kwargs"]) for seed in range(10)]
    told = [(tables.outcome_probabilities[0], tables.costs[0], tables.rewards, np.ones(5, bool)) for tables in every]
    seen = Instances(*(np.stack(parts * (FEW // 10)) for parts in zip(*told, strict=True)))  # as many as have been compiled for
    values, actions = (each[:10] for each in judged.achieved(problem, env, rule, replace(judged.fresh(problem, env), seen=seen)))
    known = case("C27b")["solution"]["aggregate"]["5x5"]
    assert np.mean([best_contract(tables).value for tables in every]) == pytest.approx(known["mean_opt"], rel=1e-6)
    assert values.mean() > 0.97 * known["mean_opt"] > known["mean_linear"]
    assert judged.polished(every, values, actions).mean() > 0.995 * known["mean_opt"]


def test_objective_optimum_and_baselines_are_of_the_same_instances(trained):
    problem, env, config, rule = trained
    found = evaluation.evaluate(config, problem, env, rule)
    exact = judged.known(problem)
    assert found["objective"]["profiles"] == len(exact.optimum) == FEW
    assert found["objective"]["value"] == pytest.approx(found["details"]["value_before_polish"], abs=1e-9)
    assert found["optimum"]["value"] == pytest.approx(exact.optimum.mean())
    assert (exact.optimum <= exact.first_best + 1e-6).all()
    assert found["baselines"]["zero_contract"] < found["baselines"]["best_linear"] < found["objective"]["value"] < exact.optimum.mean()
    # Nobody gains by another action than the one the contract is for, and the margin leaves no tie to be broken.
    assert found["incentive_gap"]["max"] == 0
    assert found["objective"]["adversarial_ties"] == pytest.approx(found["objective"]["value"], abs=1e-9)


def test_the_compiled_rule_takes_any_number_of_problems(trained):
    problem, env, _, rule = trained
    inputs = problem.export_inputs(env)
    blob, answered = compiled.serialised(rule, inputs), np.asarray(jax.jit(lambda *tables: rule(*tables))(*inputs).payments)
    for rows in (16, 3):
        some = tuple(each[:rows] for each in inputs)
        found = compiled.run(blob, some)
        near(found["payments"], answered[:rows])
        assert found["action"].shape == (rows,)


@pytest.mark.parametrize(("problem", "sentence"), [
    ({"sizes": [[5, 5], [6, 4]], "mask_max": [5, 5]}, r"sizes.*\[6, 4\].*is larger than mask_max, which is \[5, 5\]"),
    ({"sizes": [[5, 0]]}, r"should be \[actions, outcomes\], both at least 2"),
    ({"sizes": [[5, 5, 5]]}, r"should be \[actions, outcomes\]"),
    ({"sizes": []}, "at least one"),
    ({"mask_max": [-5, 5]}, "both positive"),
    ({"generator": {"kind": "softmax"}}, "did you mean 'ordered_softmax'"),
    ({"generator": {"kind": "ordered_softmax", "correlation": 1.5}}, "correlation"),
])  # fmt: skip
def test_a_wrong_family_is_answered_by_a_sentence(problem, sentence):
    with pytest.raises(ConfigError, match=sentence):
        config_of(problem=problem)
