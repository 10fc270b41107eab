"""One table, trained and judged row by row; each row has a run folder of its own, so that what was stopped goes on.

Beside the strong search every row is judged by the weak one too, ascent from one random misreport, which is what published gaps come
from: so that it can be seen how much of a published number the search is. A published mean has a sampling error of its own, the spread
of what the rule earns from profile to profile over the root of their number; ours stands in for the authors' where they print none.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from icsap_jax import artifact, evaluation, files, profiles, run, runtime
from icsap_jax.bilevel.deviations import weak_gap
from icsap_jax.evaluation import Say
from icsap_jax.reproduce.rows import Budget, Row, Table, chosen, table

ROW, TABLE = "row.json", "table.json"
PROFILES = 10_000  # on which the spread of revenue is measured


def reproduce(name: str, budget: Budget, out: Path, say: Say = print, only: list[str] | None = None) -> dict[str, Any]:
    """Train and judge the rows of a table, all or those named in `only`, in folders under `out`; the table as a dict with every row that
    is done there, by this call or before it, which is also written to out/table.json. Raises ConfigError for a name that is no table or
    no row of it, before anything is written."""
    runtime.prepare()
    whole, wanted = table(name, budget), chosen(name, budget, only or [])
    for row in wanted.rows:
        say(f"{name}: {row.name}")
        if _kept(row, out / row.name) is None:
            _measure(whole, row, out / row.name, say)
    found = [kept for row in whole.rows if (kept := _kept(row, out / row.name)) is not None]
    result = {
        "schema": 1, "table": name, "budget": budget.value, "paper": whole.paper, "search": whole.search, "rows": found,
        "device": runtime.device_name(), "versions": runtime.versions(),
        "wall_seconds": round(sum(row["seconds"] for row in found), 1),
    }  # fmt: skip
    files.write_json(out / TABLE, result)
    return result


def _kept(row: Row, folder: Path) -> dict[str, Any] | None:
    """What a row was worth when it was measured with the same configuration, with what its table notes of it today; None: it was not."""
    if not (folder / ROW).exists():
        return None
    before = json.loads((folder / ROW).read_text(encoding="utf-8"))
    return {**before, "note": row.note} if before["config_sha256"] == row.config.sha256() else None


def _measure(wanted: Table, row: Row, folder: Path, say: Say) -> None:
    """Train and judge a row, and write what it is worth to its file."""
    started = time.monotonic()
    result = run.train(row.config, folder, say)
    learned = artifact.load(folder / "artifact")
    weak = _weak(learned, say)
    spread = _spread(learned)
    told = _told(wanted, row, result, weak, spread)
    told["seconds"] = round(time.monotonic() - started, 1)
    files.write_json(folder / ROW, told)


def _told(wanted: Table, row: Row, result: dict[str, Any], weak: np.ndarray, spread: float) -> dict[str, Any]:
    """A row as a mapping; numbers it does not have are null."""
    value, error = result["objective"]["value"], result["objective"]["std_error"]
    published, optimum = row.published.get("revenue"), result["optimum"]
    baselines = {name: worth for name, worth in result["baselines"].items() if worth is not None}
    best = max(baselines, key=lambda name: baselines[name], default=None)
    difference = None if published is None else (value - published) / math.hypot(error, spread / math.sqrt(wanted.profiles))
    return {
        "name": row.name, "rule": result["rule"], "objective": result["objective"]["name"], "config_sha256": row.config.sha256(),
        "statements": list(type(row.config.rule).statements), "strategyproof": type(row.config.rule).strategyproof,
        "value": value, "std_error": error, "published": published, "published_gap": row.published.get("gap"),
        "standard_errors_apart": difference, "optimum": optimum["value"], "optimum_upper_bound": optimum["upper_bound"],
        "classical": None if best is None else {"name": best, "value": baselines[best]},
        "gap": {"strong": result["incentive_gap"]["mean"], "strong_max": result["incentive_gap"]["max"], "weak": float(weak.mean()),
                "per_agent": result["incentive_gap"]["per_agent"], "method": result["incentive_gap"]["method"]},
        "participation_violation": result["participation_violation"], "steps": result["steps"], "note": row.note,
    }  # fmt: skip


def _weak(learned: Any, say: Say) -> np.ndarray:
    """The gap [B, N] by the weak search on the profiles of the strong one."""
    settings = learned.config.evaluation
    say(f"the weak search on {settings.gap_profiles} profiles")
    with jax.enable_x64(True):
        env, rule = evaluation.as_judged(learned.problem, learned.env, learned.rule)
        key = jax.random.key(settings.seed)
        draw = learned.problem.draw(env, jax.random.fold_in(key, 0), settings.gap_profiles)
        return weak_gap(learned.problem, env, rule, draw, jax.random.fold_in(key, 3))


def _spread(learned: Any) -> float:
    """The standard deviation of the objective from profile to profile."""
    with jax.enable_x64(True):
        env, rule = evaluation.as_judged(learned.problem, learned.env, learned.rule)
        key = jax.random.fold_in(jax.random.key(learned.config.evaluation.seed), 4)
        values = profiles.objective_sample(learned.problem, env, rule, key, PROFILES).values
    return float(values.std())
