"""The shipped settings train: a guard against a change after which everything still runs and nothing is learned."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

from icsap_jax.bilevel.fit import Trainer, member, run
from icsap_jax.config import load
from icsap_jax.evaluation import evaluate
from icsap_jax.run import initial_state


@pytest.fixture(scope="module")
def learned(root: Path) -> dict:
    """The evaluation of the demo's setting after a fraction of its steps."""
    config = load(root / "configs/auctions/additive_1x2_uniform.yaml", [
        "training.steps=1500", "training.lagrangian.multiplier_end=60",
        "evaluation.profiles=20000", "evaluation.gap_profiles=100",
    ])  # fmt: skip
    problem, env = config.problem.build(config.folder)
    state = initial_state(config, Trainer.of(problem, config.training), problem, env)
    state, _ = run(Trainer.of(problem, config.training), env, state, config.training.steps)
    return evaluate(config, problem, env, member(jax.block_until_ready(state), 0).rule)


def test_the_demo_setting_learns_within_seconds(learned: dict) -> None:
    """Item-wise Myerson earns .5 and the optimum .5492: a short training is between, at a gap that does not pay for it. Seeds 0,
    1 and 2 gave .5426 to .5439 at .00022 to .00027; a rule that merely sells cheaply, or one that pays for lies, is outside."""
    assert 0.52 < learned["objective"]["value"] < 0.57
    assert learned["incentive_gap"]["mean"] < 1e-3


def test_the_learned_rule_beats_every_baseline_it_is_named_beside(learned: dict) -> None:
    """By more than what its own gap could buy would be too much to ask of 1 500 steps; item-wise selling it must beat."""
    assert learned["objective"]["value"] > learned["baselines"]["item_myerson"] + 3 * learned["objective"]["std_error"]
