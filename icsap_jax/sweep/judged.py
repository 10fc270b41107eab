"""A member that is done: judged by the strong evaluation as any run is, and written as a run folder, whole or not at all."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from icsap_jax import artifact, evaluation, files, run, runtime
from icsap_jax.bilevel import fit
from icsap_jax.bilevel.fit import TrainState
from icsap_jax.config import ConfigError
from icsap_jax.evaluation import Say
from icsap_jax.loop import METRICS, finite_mean
from icsap_jax.sweep.folder import DIGESTS, DONE, member_yaml, seal
from icsap_jax.sweep.programs import Posed

FINISHED, BROKEN, DROPPED = "finished", "not finite", "dropped"
Lines = Sequence[dict[str, Any]]


def judge(posed: Posed, state: TrainState, lines: Lines, seconds: float, group: int, out: Path, say: Say) -> dict[str, Any]:
    """Measure a member whose seeds' last states are `state`, leaves [M, …], and write it down under `out`: its `result.json` as a dict.
    `lines`: its metrics; `seconds`: its share of the training."""
    config, started = posed.member.config, time.monotonic()
    state = jax.device_put(state, jax.local_devices()[0])
    broken = np.asarray(state.bad_step) >= 0
    try:
        result, rule = run.finish(config, posed.problem, posed.env, state, out, run.unsettled(lines, lambda line: None), say)
    except ConfigError:
        if not broken.any():
            raise
        result, rule = unmeasured(posed, config.training.steps, lines), fit.member(state, 0).rule
    took = {"training": round(seconds, 3), "evaluation": round(time.monotonic() - started, 3)}
    result["details"]["seconds"] = took
    result["wall_seconds"] = round(sum(took.values()), 3)
    bad = int(state.bad_step[result["member"]])
    told = {"status": FINISHED if bad < 0 else BROKEN, "bad_step": bad if bad >= 0 else None}
    return written(posed, result, rule, lines, group, out, told)


def dropped(posed: Posed, state: TrainState, steps: int, lines: Lines, seconds: float, group: int, out: Path) -> dict[str, Any]:
    """Write down a member that was stopped after `steps`: what training said of it, and nothing that was not measured."""
    state = jax.device_put(state, jax.local_devices()[0])
    result = unmeasured(posed, steps, lines)
    result["details"]["seconds"] = {"training": round(seconds, 3), "evaluation": 0.0}
    result["wall_seconds"] = round(seconds, 3)
    return written(posed, result, fit.member(state, 0).rule, lines, group, out, {"status": DROPPED, "bad_step": None})


def written(
    posed: Posed, result: dict[str, Any], rule: Any, lines: Lines, group: int, out: Path, told: dict[str, Any]
) -> dict[str, Any]:
    """The run folder of a member, and its result."""
    member, place = posed.member, out / DONE / posed.member.id
    seconds = result["details"]["seconds"]["training"]
    result["sweep"] = {"id": member.id, "group": group, "set": member.set, **told, "seconds_training": seconds}
    with files.disk_faults(place):
        place.parent.mkdir(exist_ok=True)
    with files.replacing_folder(place) as partial:
        (partial / "config.yaml").write_text(member_yaml(member.config, out, place), encoding="utf-8")
        (partial / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        artifact.keep(partial / "artifact", member.config, rule, result)
        files.write_json(partial / "result.json", result)
        seal(partial)
    return result


def unmeasured(posed: Posed, steps: int, lines: Lines) -> dict[str, Any]:
    """A result in which nothing is claimed of the rule: the exact optimum, and what the last chunk of training said."""
    config, last = posed.member.config, lines[-1] if lines else {}
    nothing = dict.fromkeys(("value", "std_error", "profiles", "adversarial_ties", "upper_bound"))
    gap = last.get("gap")
    mean = finite_mean(np.array([np.nan if each is None else each for each in gap], float)) if gap else float("nan")
    return {
        "schema": 1, "problem": config.problem.kind_name(), "rule": config.rule.kind_name(), "seed": config.seed, "member": 0,
        "steps": steps, "device": runtime.device_name(), "precision": "float32", "versions": runtime.versions(),
        "config_sha256": config.sha256(),
        "objective": {"name": evaluation.objective_name(config, posed.problem), **nothing},
        "optimum": evaluation.known_optimum(config, posed.problem, posed.env), "ratio_to_optimum": None, "shortfall": None,
        "incentive_gap": {"per_agent": [], "mean": None, "max": None, "ci95": None, "method": None, "upper_bound": None},
        "participation_violation": None, "baselines": {},
        "details": {"training": {"objective": last.get("objective"), "gap": files.number_or_none(mean)}},
    }  # fmt: skip


def full_run(posed: Posed, out: Path, place: Path, say: Say) -> None:
    """Copy a member's folder to `place` and add what a run has beside: pictures, and an artifact that other programs can run."""
    with files.replacing_folder(place) as partial:
        shutil.copytree(out / DONE / posed.member.id, partial, dirs_exist_ok=True)
        (partial / DIGESTS).unlink()  # of files that are about to change; its artifact has hashes of its own
        result = json.loads((partial / "result.json").read_text(encoding="utf-8"))
        rule = artifact.load(partial / "artifact").rule
        (partial / "config.yaml").write_text(member_yaml(posed.member.config, out, place), encoding="utf-8")
        artifact.save(partial / "artifact", posed.member.config, posed.problem, posed.env, rule, result, say)
        run.draw_pictures(posed.member.config, posed.problem, posed.env, rule, partial, result, say)
