"""The training loop: members do not touch each other, a run in two pieces is the same run, a broken member stops alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.bilevel import fit
from icsap_jax.config import parse

SHORT, MEMBERS = 50, 3


@pytest.fixture(scope="module")
def run():
    """`start(members)` gives fresh stacked states; `go(state, count)` trains them. The published ascent over a pool of batches is
    used because it has the most to remember."""
    config = parse({
        "problem": {"kind": "auction", "bidders": 2, "items": 1, "prior": {"kind": "uniform", "low": 0, "high": 1}},
        "rule": {"kind": "regretnet", "hidden": [4]},
        "training": {
            "steps": 2 * SHORT, "batch": 8, "learning_rate": 1e-2, "decay": "cosine",
            "response": {"kind": "ascent", "steps": 2, "pool": 3}, "lagrangian": {"kind": "augmented", "multiplier_every": 10},
        },
    })  # fmt: skip
    problem, env = config.problem.build(config.folder)
    trainer = fit.Trainer.of(problem, config.training)

    def start(members):
        keys = [jax.random.fold_in(jax.random.key(0), s) for s in members]
        rules = [config.rule.build(problem, env, jax.random.fold_in(key, 3)) for key in keys]
        return fit.stack([trainer.init(env, rule, key, config.training) for rule, key in zip(rules, keys, strict=True)])

    # Compiling is most of what these tests cost, and unoptimised code compiles three times sooner.
    go = partial(jax.jit, static_argnames="count", compiler_options={"xla_backend_optimization_level": 0})(
        lambda state, count: fit.run(trainer, env, state, count)
    )  # fmt: skip
    return start, go


@pytest.fixture(scope="module")
def company(run):
    """Three members trained side by side for `SHORT` steps, and their mean metrics."""
    start, go = run
    return go(start(range(MEMBERS)), SHORT)


def leaves(state):
    """Every number of a state, as numpy; a key as its words."""
    plain = replace(state, key=jax.random.key_data(state.key), numbers={})
    response = state.numbers["response"]
    return [np.asarray(leaf) for leaf in jax.tree.leaves((plain, jax.random.key_data(response["pool_key"])))]


def test_a_run_in_two_pieces_is_the_same_run(run) -> None:
    """50 steps and 50 more leave every number as 100 steps do, to the bit: that is what resuming relies on."""
    start, go = run
    halves = go(go(start([0]), SHORT)[0], SHORT)[0]
    whole = go(start([0]), 2 * SHORT)[0]
    for one, other in zip(leaves(halves), leaves(whole), strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(whole.step[0]) == 2 * SHORT


def test_a_member_is_the_same_alone_and_in_company(run, company) -> None:
    """Whatever is trained beside it: the same draws and the same rule. Compiled for another number of members, so float32
    rounding may differ, and fifty Adam steps of .01 spread it: 1e-4 is a hundredth of one step."""
    start, go = run
    alone, metrics = go(start([1]), SHORT)
    together = fit.member(company[0], 1)
    for one, other in zip(jax.tree.leaves(fit.member(alone, 0).rule), jax.tree.leaves(together.rule), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    np.testing.assert_allclose(metrics["gap"][0], company[1]["gap"][1], atol=1e-4)


def test_members_are_different_runs(company) -> None:
    """Seeds matter: otherwise the law above would hold for nothing."""
    objective = np.asarray(company[1]["objective"])
    assert len(set(objective.tolist())) == MEMBERS


def test_a_member_that_breaks_stops_alone(run, company) -> None:
    """A learning rate of 1e30 or NaN breaks a member at its first step: it keeps the rule it had and says so, and the other
    trains as if nothing had happened, to the bit."""
    start, go = run
    state, before = start(range(MEMBERS)), start(range(MEMBERS))
    rates = state.numbers["training"]["learning_rate"]
    numbers = {**state.numbers, "training": {**state.numbers["training"], "learning_rate": rates.at[0].set(jnp.nan).at[2].set(1e30)}}
    after, _ = go(replace(state, numbers=numbers), SHORT)
    assert after.bad_step.tolist() == [0, -1, 0]
    assert after.step.tolist() == [SHORT] * MEMBERS
    for kept, first in zip(jax.tree.leaves(after.rule), jax.tree.leaves(before.rule), strict=True):
        np.testing.assert_array_equal(kept[::2], first[::2])
    for one, other in zip(leaves(fit.member(after, 1)), leaves(fit.member(company[0], 1)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_member_that_breaks_later_names_the_step(run, company) -> None:
    """Broken after `SHORT` good steps, it is bad from step `SHORT` on, and keeps what those steps taught it."""
    start, go = run
    state, _ = go(start(range(MEMBERS)), SHORT)
    numbers = {**state.numbers, "training": {**state.numbers["training"], "learning_rate": jnp.full((MEMBERS,), jnp.nan)}}
    after, _ = go(replace(state, numbers=numbers), SHORT)
    assert after.bad_step.tolist() == [SHORT] * MEMBERS
    for kept, taught in zip(jax.tree.leaves(after.rule), jax.tree.leaves(company[0].rule), strict=True):
        np.testing.assert_array_equal(kept, taught)


def test_the_learning_rate_rises_and_then_falls() -> None:
    """A linear rise over the first tenth, the full rate at its end or a little less for the cosine, and all but nothing at the end."""
    trainer = fit.Trainer(problem=None, response=None, lagrangian=None, steps=100, batch=1, decay="cosine")
    settings = {"learning_rate": 2.0, "warmup": 0.1}
    rates = np.array([trainer.learning_rate(settings, np.float32(step)) for step in range(100)])
    np.testing.assert_allclose(rates[0], 0.2, rtol=1e-6)
    assert rates.argmax() == 9
    assert 0.95 * 2.0 < rates[9] <= 2.0
    assert 0 < rates[-1] < 1e-2 * 2.0
    steady = replace(trainer, decay="constant")
    assert float(steady.learning_rate({"learning_rate": 2.0, "warmup": 0.0}, np.float32(99))) == 2.0


def test_a_second_chunk_is_the_same_program() -> None:
    """Whatever a rule's first parameters come from: a state says of none of its numbers that it would take another's type, as a step's
    results do not, or every run would be compiled twice."""
    config = parse({
        "problem": {"kind": "game", "rewards": [[[[1.0, 0.0], [0.0, 1.0]]]] * 2},
        "rule": {"kind": "payment", "form": "instruments"},
    })  # fmt: skip
    problem, env = config.problem.build(config.folder)
    rule = config.rule.build(problem, env, jax.random.key(0))
    state = fit.Trainer.of(problem, config.training).init(env, rule, jax.random.key(1), config.training)
    assert not [jax.tree_util.keystr(path) for path, leaf in jax.tree_util.tree_leaves_with_path(state)
                if getattr(leaf, "weak_type", False)]
