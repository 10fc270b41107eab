"""Wages and incentives, asked and listed: what a file of measurements is answered with is what the agent was promised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import pytest

from icsap_jax import artifact
from icsap_jax.config import Config, ConfigError, load

RESULT = {"objective": None, "incentive_gap": None, "optimum": None}


def kept(config: Config, folder: Path) -> Path:
    """An artifact of the rule as it is first built: what a rule is worth plays no part here."""
    problem, env = config.problem.build(config.folder)
    rule = config.rule.build(problem, env, jax.random.key(0))
    return artifact.save(folder / "artifact", config, problem, env, rule, RESULT, pytest.fail)


def answered(place: Path, rows: str) -> list[float]:
    """The last column of what `apply` writes for these rows."""
    (place.parent / "in.csv").write_text(rows)
    artifact.apply(place, place.parent / "in.csv", place.parent / "out.csv")
    return [float(line.split(",")[-1]) for line in (place.parent / "out.csv").read_text().splitlines()[1:]]


def listed(place: Path) -> list[dict[str, Any]]:
    """The rows of the exported JSON."""
    return json.loads(artifact.export(place, "json", place.parent / "list.json").read_text())


def test_a_wage_is_its_fixed_part_and_the_slope_of_each_task(root, tmp_path: Path) -> None:
    """Two tasks of which the second cannot be measured: it is not paid for."""
    place = kept(load(root / "configs" / "contracts" / "multitask_unmeasured.yaml"), tmp_path)
    fixed, first, second = (row["wage"] for row in listed(place))
    assert second == 0.0 != first
    # float32 slopes
    assert answered(place, "x1,x2\n0,0\n1,0\n2,5\n") == pytest.approx([fixed, fixed + first, fixed + 2 * first], rel=1e-5)


def test_an_incentive_is_read_by_state_and_action(root, tmp_path: Path) -> None:
    """What is listed for a state and an action is what a row with their numbers is answered with."""
    config = load(root / "configs" / "contracts" / "reputation_hidden_types.yaml")
    place = kept(config, tmp_path)
    rows = listed(place)
    states, actions = config.problem.states, config.problem.actions
    asked = "state,action\n" + "".join(f"{s},{a}\n" for s in range(len(states)) for a in range(len(actions)))
    assert [(row["state"], row["action"]) for row in rows] == [(s, a) for s in states for a in actions]
    assert answered(place, asked) == pytest.approx([row["incentive"] for row in rows], rel=1e-5)
    with pytest.raises(ConfigError, match=rf"row 2, column state: {len(states)} should be a whole number from 0 to {len(states) - 1}"):
        answered(place, f"state,action\n{len(states)},0\n")
