"""A sweep's folder as the page reads it, made by hand: no training, no jax."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from icsap_jax import files

RESULT: dict[str, Any] = {
    "schema": 1, "problem": "auction", "rule": "regretnet", "seed": 0, "member": 0, "steps": 400, "wall_seconds": 5.0, "device": "cpu",
    "precision": "float32", "versions": {"python": "3.11", "jax": "0.10"}, "config_sha256": "ab",
    "objective": {"name": "revenue", "value": 0.5, "std_error": 0.001, "profiles": 100, "adversarial_ties": None, "upper_bound": None},
    "optimum": {"value": 0.55, "method": "closed form", "source": "Somebody 2006", "upper_bound": 0.55},
    "ratio_to_optimum": 0.9, "shortfall": 0.05,
    "incentive_gap": {"per_agent": [1e-4], "mean": 1e-4, "max": 4e-4, "ci95": [0, 1], "method": "grid", "upper_bound": None},
    "participation_violation": 0.0, "baselines": {"bundle_myerson": 0.544},
    "details": {"seconds": {"training": 4.0, "evaluation": 1.0}},
}  # fmt: skip


def told(identity: str, setting: dict[str, Any], objective: float | None, gap: float | None, status: str = "finished") -> dict[str, Any]:
    """A member's `result.json`."""
    result = copy.deepcopy(RESULT)
    result["objective"]["value"] = objective
    result["incentive_gap"].update(mean=gap, max=None if gap is None else 4 * gap)
    result["ratio_to_optimum"] = None if objective is None else objective / 0.55
    result["sweep"] = {"id": identity, "group": 0, "set": setting, "status": status, "bad_step": 120 if status == "not finite" else None,
                       "seconds_training": 4.0}  # fmt: skip
    if status == "dropped":
        result["details"]["training"] = {"objective": 0.47, "gap": 0.002}
    return result


def write_run(folder: Path, result: dict[str, Any], lines: int = 20, config: str = "problem: {kind: auction}\nseed: 0\n") -> Path:
    """A run folder without artifact and pictures."""
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    metrics = [{"step": 20 * step, "seconds": step, "member": 0, "loss": -0.5, "objective": 0.6 - 0.1 / step, "gap": [0.01 / step]}
               for step in range(1, lines + 1)]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def run_folder() -> Callable[..., Path]:
    """`run_folder(path)` makes a run there; `result=` and `config=` replace what it holds."""
    return lambda path, result=RESULT, **others: write_run(path, result, **others)


@pytest.fixture(scope="session")
def sweep_folder() -> Callable[..., Path]:
    """`sweep_folder(path, members)` makes a sweep of finished members (id, set, objective, gap, and a status where it is another);
    `waiting` more are not finished, `best` is the id that was selected, `config` the problem file of all."""

    def make(path: Path, members: Sequence[tuple], waiting: int = 0, best: str | None = None, config: str = "seed: 0\n") -> Path:
        path.mkdir(parents=True)
        plan = [{"id": each[0], "group": 0, "set": each[1]} for each in members]
        plan += [{"id": f"waiting-{number}", "group": 1, "set": members[0][1] if members else {}} for number in range(waiting)]
        files.write_json(path / "members.json", files.sealed({"sha256": "0", "members": plan}))
        for each in members:
            write_run(path / "members" / each[0], told(*each), config=config)
        if best is not None:
            (path / "best.json").write_text(json.dumps({"id": best, "rule": "highest revenue subject to a mean gap ≤ 0.001"}))
        return path

    return make
