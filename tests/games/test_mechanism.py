"""Mechanisms over a Markov game: externality payments, what payments can do beyond them, and that they can be learned."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import evaluation, run
from icsap_jax.bilevel import fit
from icsap_jax.config import ConfigError, load, parse
from icsap_jax.games.mechanism.optimum import best_groves, best_table, check, gap, truth

# One thing for whoever takes it alone: of the joint actions the best gives it to the larger type.
AUCTION = {"kind": "markov_mechanism", "rewards": [[[[0, 0], [1, 0]]], [[[0, 1], [0, 0]]]], "types": [1, 2, 5]}


@pytest.fixture(scope="module")
def commons(root):
    """The two-state commons: its config, problem and numbers."""
    config = load(root / "configs" / "games" / "markov_vcg_learned.yaml", ["training.steps=1200", "training.chunk=1200"])
    problem, env = config.problem.build(config.folder)
    return SimpleNamespace(config=config, problem=problem, env=env)


@pytest.fixture(scope="module")
def learned(commons):
    """The evaluation of payments learned in a third of the steps."""
    trainer = fit.Trainer.of(commons.problem, commons.config.training)
    state = run.initial_state(commons.config, trainer, commons.problem, commons.env)
    state, _ = fit.run(trainer, commons.env, state, commons.config.training.steps)
    return evaluation.evaluate(commons.config, commons.problem, commons.env, fit.member(state, 0).rule)


def test_policies_values_and_payments_are_the_files(commons, case) -> None:
    """For all sixteen profiles of reports; the file tells what is received, which is what is paid with another sign."""
    known, env = case("two_state_commons")["markov_vcg"], commons.env
    assert len(known["table"]) == len(env.profiles)
    for types, policy, value, payment in zip(env.profiles, env.policy, truth(env), env.clarke, strict=True):
        row = known["table"][str(tuple(types.tolist()))]
        assert ["".join("RH"[action] for action in each) for each in policy] == row["policy"]
        np.testing.assert_allclose(value, row["value"], atol=1e-9)
        np.testing.assert_allclose(-payment, row["payment"], atol=1e-9)


def test_nobody_gains_by_a_lie_under_clarke_and_somebody_does_without_payments(commons, case) -> None:
    """Ex post, at every profile."""
    assert gap(commons.env, commons.env.clarke).max() < 1e-9
    free = gap(commons.env, np.zeros_like(commons.env.clarke)).max()
    assert free == pytest.approx(case("two_state_commons")["markov_vcg"]["max_regret_no_payment"], abs=1e-9)


def test_who_wins_pays_what_the_other_would_have() -> None:
    """A one-shot game in which one may take a thing is Vickrey's second-price auction; at a tie the price is one's own type."""
    _, env = parse({"problem": AUCTION}).problem.build(None)
    winner = truth(env) > 0
    assert (winner.sum(1) == 1).all()
    np.testing.assert_allclose(env.clarke, np.where(winner, env.profiles[:, ::-1], 0.0), atol=1e-12)


def test_the_best_payments_are_truthful_and_leave_less_money_over(commons) -> None:
    """Both linear programmes keep every constraint (to their tolerance, 1e-9), and more freedom is worth more."""
    problem, env = commons.problem, commons.env
    found = [best_groves(problem, env), best_table(problem, env)]
    for value, payment in found:
        assert gap(env, payment).max() < 1e-7
        assert payment.sum(1).min() > -1e-7
        assert (truth(env) - payment).min() > -1e-7
        assert value == pytest.approx(env.mass @ (truth(env) - payment).sum(1))
    clarke = env.mass @ (truth(env) - env.clarke).sum(1)
    assert clarke < found[0][0] < found[1][0] <= env.mass @ truth(env).sum(1) + 1e-9


def test_rebates_never_make_a_lie_pay(commons) -> None:
    """Whatever they are, as long as they depend on the others' reports alone; float64 payments of size 100."""
    config = replace(commons.config, rule=parse({"problem": AUCTION, "rule": {"kind": "groves"}}).rule)
    rule = config.rule.build(commons.problem, commons.env, jax.random.key(0))
    with jax.enable_x64(True):
        rebates = jax.tree.map(lambda leaf: 30 * jnp.asarray(np.random.default_rng(0).normal(size=leaf.shape)), rule.params)
        payment = np.asarray(replace(rule, params=rebates)(jnp.asarray(commons.env.profiles), jnp.asarray(commons.env.clarke)))
    assert np.abs(payment).max() > 50
    assert gap(commons.env, payment).max() < 1e-9


def test_learned_payments_do_as_well_as_clarke_and_nearly_as_well_as_the_best(learned, commons) -> None:
    """The policy, and so welfare, is VCG's by construction; regret below 1e-3, less money left over, nobody worse off than outside, no
    deficit. In a third of the usual steps, hence within 1 % of the optimum."""
    told = learned["details"]
    assert learned["incentive_gap"]["max"] < 1e-3
    assert learned["participation_violation"] < 1e-3
    assert told["constraints"]["deficit"] < 1e-3
    assert told["objectives"]["welfare"] == pytest.approx(commons.env.mass @ truth(commons.env).sum(1))
    assert told["budget_surplus"]["mean"] < told["budget_surplus"]["mean_of_clarke"]
    assert learned["ratio_to_optimum"] > 0.99
    assert learned["baselines"]["clarke"] < learned["baselines"]["best_rebates"] < learned["objective"]["value"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"types": [1, 1]}, "different"), ({"types": [[1, 2]]}, r"shape \[1, 2\]"), ({"scaled": [1, 2]}, "scaled"),
     ({"prior": [0.5, 0.6, 0.1]}, "sum to 1"), ({"prior": [0.5, 0.5]}, r"\[3\] like types"), ({"discount": 1}, "less than 1"),
     ({"rewards": [[1, 2]]}, "axis"), ({"start": [0.5]}, "sums to 0.5"), ({"types": list(range(99))}, "9,801 profiles"),
     ({"actions": ["take"]}, "2 different names")],
)  # fmt: skip
def test_what_cannot_be_is_said(changes, says) -> None:
    """One sentence that names what is wrong."""
    with pytest.raises(ConfigError, match=says):
        parse({"problem": {**AUCTION, **changes}})


def test_a_reservation_that_no_payments_leave_is_refused() -> None:
    """Two agents who share at most 5 cannot both have 4."""
    config = parse({"problem": {**AUCTION, "reservation": 4.0}})
    with pytest.raises(ConfigError, match="reservation = 4"):
        check(*config.problem.build(None), config)
