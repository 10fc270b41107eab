"""One training run in its folder: start or resume, train in chunks, checkpoint, and leave an evaluated artifact behind.

    config.yaml   metrics.jsonl   checkpoints/   plots/*.png   artifact/   result.json

A run that is stopped, by Ctrl-C or by pulling the plug, goes on from its last checkpoint, and on a CPU ends bit for bit where it
would have ended: chunks have a fixed length, and every draw is a function of the seed, the member and the step alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml

from icsap_jax import artifact, evaluation, files, runtime
from icsap_jax.bilevel import check, fit
from icsap_jax.bilevel.fit import Trainer, TrainState, member, stack
from icsap_jax.bilevel.types import Problem, Rule, Tree
from icsap_jax.config import Config, ConfigError, load
from icsap_jax.config.plugins import faults_named
from icsap_jax.evaluation import Say
from icsap_jax.loop import CHECKPOINTS, METRICS, Stretch, loop, metrics_until, resumed

SWEEP = "members.json"  # what a folder of a sweep holds
AUDIT = "audit.json"  # what a folder holds in which one objective was trained for another (`audit`)
NO_GAP = 1e-9  # what rounding leaves; a histogram of it would show nothing


@faults_named()
def train(config: Config, out: Path, say: Say = print, check_gradients: bool = False) -> dict[str, Any]:
    """Train, evaluate and save under `out`; an existing run there is resumed. Returns `result.json` as a dict.

    Raises ConfigError when `out` holds a run of another configuration, and before anything is written where the problem and what is
    to solve it do not fit. An interrupt finishes the chunk, writes a checkpoint and is then raised again."""
    started = time.monotonic()
    runtime.prepare()
    out = Path(out)
    problem, env = posed(config)
    trainer = Trainer.of(problem, config.training, starts=config.rule.hook("starts") is not None)
    state = initial_state(config, trainer, problem, env)
    if config.plugins:
        with blamed_on(config.source):
            rehearse(trainer, env, member(state, 0), config.problem.hook("judge") is not None)
    if (out / AUDIT).exists():
        raise ConfigError(f"--out {out}: holds an audit, in which something else was maximised; choose another folder for this run.")
    if (out / SWEEP).exists():
        raise ConfigError(f"--out {out}: holds a sweep; choose another folder for this run.")
    config = open_folder(config, out)
    details: dict[str, Any] = {}
    if check_gradients:
        error = check.gradient_error(trainer, env, member(state, 0))
        details["gradient_error"] = files.number_or_none(error)
        say(f"gradient against finite differences: relative error {error:.1e}")
    begun = resumed(state, config.training.steps, out, say)
    state = loop(partial(fit.run, trainer, env), Stretch.of(config.training), begun, out, say)
    trained, before = time.monotonic() - started + begun.seconds, begun.seconds
    details |= unsettled(metrics_until(out / METRICS, sys.maxsize), say)
    result, rule = finish(config, problem, env, state, out, details, say)
    result["details"]["seconds"] = {"training": round(trained, 2), "evaluation": round(time.monotonic() - started + before - trained, 2)}
    result["wall_seconds"] = round(time.monotonic() - started + before, 2)
    files.write_json(out / "result.json", result)
    artifact.save(out / "artifact", config, problem, env, rule, result, say)
    draw_pictures(config, problem, env, rule, out, result, say)
    return result


def posed(config: Config) -> tuple[Problem, Tree]:
    """The problem and its numbers. Raises ConfigError where its domain knows that it has no solution."""
    problem, env = config.problem.build(config.folder)
    check = config.problem.hook("check")
    if check:
        check(problem, env, config)
    return problem, env


def open_folder(config: Config, out: Path) -> Config:
    """The config as the run folder keeps it, data files beside it. Raises ConfigError when another run has begun there."""
    kept = out / "config.yaml"
    if kept.exists():
        there = load(kept)
        if there.sha256() == config.sha256():
            return there
        if begun(out):
            key, old, new = first_difference(there.by_content(), config.by_content())
            raise ConfigError(
                f"{kept}: this run was made with {key} = {old}, not {new}; choose another --out, "
                "or give the same configuration to resume it."
            )
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; name a folder for the run.")
    with files.disk_faults(out):
        out.mkdir(parents=True, exist_ok=True)
        gathered = config.gather(out)
    files.write_text(kept, yaml.safe_dump(gathered.resolved(), sort_keys=False, allow_unicode=True))
    return gathered


def begun(out: Path) -> bool:
    """Whether a run folder holds anything that another configuration would spoil: a checkpoint, a line of metrics, a result."""
    metrics = out / METRICS
    return any((out / CHECKPOINTS).glob("*")) or (out / "result.json").exists() or (metrics.exists() and metrics.stat().st_size > 0)


def first_difference(old: Any, new: Any, key: str = "") -> tuple[str, Any, Any]:
    """The first dotted key at which two nested mappings differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            if old.get(name) != new.get(name):
                return first_difference(old.get(name), new.get(name), f"{key}.{name}".strip("."))
    return key, old, new


def initial_state(config: Config, trainer: Trainer, problem: Problem, env: Tree) -> TrainState:
    """All members before the first step, leaves [S, …]; member s depends on the seed and on s alone. Raises ConfigError where the rule
    or the response is not for this problem."""
    base = jax.random.key(config.seed)
    # Compiled, an initialiser takes a fraction of the time.
    start = jax.jit(partial(begin, config, trainer, problem, env))
    with blamed_on(config.source):
        numbers = fit.told(config.training)
        return stack([start(jax.random.fold_in(base, number), numbers) for number in range(config.training.members)])


def begin(config: Config, trainer: Trainer, problem: Problem, env: Tree, key: jax.Array, numbers: Tree) -> TrainState:
    """One member before the first step, from its key and the numbers its training is told (`fit.told`); traced."""
    starts, build = config.rule.hook("starts"), jax.random.fold_in(key, 3)
    rule = starts(config.rule, problem, env, build) if starts else config.rule.build(problem, env, build)
    return trainer.begin(env, rule, key, numbers)


@contextmanager
def blamed_on(source: str) -> Iterator[None]:
    """Inside, a ConfigError begins with the file that is wrong."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def rehearse(trainer: Trainer, env: Tree, state: TrainState, judged: bool = False) -> None:
    """Go once through a member's loss and, unless it is `judged` by its domain, its judgement, for the shapes alone: a mistake
    in a plugin then shows at once, before a folder is made and not when training is over."""
    jax.eval_shape(trainer.loss, state.rule, env, state, state.key)
    if judged:
        return
    rule = jax.tree.map(lambda leaf: leaf[0], state.rule) if trainer.starts else state.rule
    evaluation.rehearse(trainer.problem, env, rule)


def unsettled(lines: Sequence[dict[str, Any]], say: Say) -> dict[str, Any]:
    """For the details of a result, from a run's metrics: in what share of the last chunk's steps the inner solve failed, the worst
    member's; nothing where there is none."""
    last = max((line["step"] for line in lines), default=0)
    share = max((line.get("unconverged") or 0.0 for line in lines if line["step"] == last), default=0.0)
    if share == 0:
        return {}
    say(f"what agents do was not found in {share:.1%} of the last steps of training, whose gradients left it out; give "
        "training.response more steps, or end at a higher temperature")
    return {"unconverged_in_training": share}


def finish(
    config: Config, problem: Problem, env: Tree, state: TrainState, out: Path, details: dict[str, Any], say: Say
) -> tuple[dict[str, Any], Rule]:
    """Evaluate every member, and the result and the rule of the best of them by its own training loss: objective − λ·gap at common
    prices. Raises ConfigError when no member's rule gives finite numbers."""
    count = config.training.members
    price = float(np.asarray(state.prices.multiplier).mean())
    settled = [settle(config, problem, env, member(state, place).rule) for place in range(count)]
    measured = [evaluation.evaluate(config, problem, env, rule, say) for rule, _ in settled]
    worth = np.array([each["objective"]["value"] + pleased(each) - price * missed(each) for each in measured])
    if not np.isfinite(worth).any():
        raise ConfigError(f"{out}: training went beyond what numbers hold in every member; lower training.learning_rate "
                          f"(it is {config.training.learning_rate:g}) or set training.clip.")
    best = int(np.argmax(np.where(np.isfinite(worth), worth, -np.inf)))
    details["members"] = [
        {"member": place, "objective": files.number_or_none(each["objective"]["value"]),
         "gap_mean": files.number_or_none(each["incentive_gap"]["mean"]), "gap_max": files.number_or_none(each["incentive_gap"]["max"]),
         "bad_step": finite_step(state, place)}
        for place, each in enumerate(measured)
    ]  # fmt: skip
    if averages := sorted(getattr(problem, "averages", ())):
        details["dual"] = dict(zip(averages, np.asarray(state.duals.multiplier[best], np.float64).tolist(), strict=True))
    chosen, (rule, told) = measured[best], settled[best]
    result = {
        "schema": 1,
        "problem": config.problem.kind_name(),
        "rule": config.rule.kind_name(),
        "seed": config.seed,
        "member": best,
        "steps": config.training.steps,
        "device": runtime.device_name(),
        "precision": "float32, evaluated in float64",
        "versions": runtime.versions(),
        "config_sha256": config.sha256(),
        **{name: chosen[name] for name in ("objective", "optimum", "ratio_to_optimum", "shortfall", "incentive_gap",
                                           "participation_violation", "baselines")},
        "details": {**chosen["details"], **told, **details},
    }  # fmt: skip
    return result, rule


def missed(measured: dict[str, Any]) -> float:
    """All that training had a price on: the agents' gaps, and by how much constraints are missed."""
    details = measured["details"]
    averages = sum(max(0.0, each["value"]) for each in details.get("averages", {}).values())
    everywhere = details.get("constraint_means", details.get("constraints", {}))
    return sum(measured["incentive_gap"]["per_agent"]) + sum(everywhere.values()) + averages


def pleased(measured: dict[str, Any]) -> float:
    """What it is worth besides that people like what the rule does; 0 where nobody was asked."""
    return measured["details"].get("preference", {}).get("worth", 0.0)


def settle(config: Config, problem: Problem, env: Tree, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """What a member's training ends with: its best start where it had several, made exact where its domain can; and what was done."""
    told: dict[str, Any] = {}
    if config.rule.hook("starts"):
        rule, told = evaluation.best_start(config, problem, env, rule)
    polish = config.rule.hook("polish") or config.problem.hook("polish")
    if polish:
        rule, done = polish(problem, env, config.problem, config.rule, rule)
        told = {**told, **done}
    return rule, told


def finite_step(state: TrainState, place: int) -> int | None:
    """The first bad step of a member, or None."""
    bad = int(state.bad_step[place])
    return bad if bad >= 0 else None


def draw_pictures(config: Config, problem: Problem, env: Tree, rule: Rule, out: Path, result: dict[str, Any], say: Say) -> None:
    """The pictures of the run and those its domain draws, under plots/."""
    from icsap_jax import pictures

    say("drawing")
    pictures.training_curves(out / METRICS, result, out / "plots" / "training.png")
    if result["incentive_gap"]["max"] > NO_GAP:
        pictures.gap_histogram(result, out / "plots" / "gap.png")
    draw = config.problem.hook("pictures")
    if draw is not None:
        draw(problem, env, rule, config.problem, out / "plots")


@faults_named()
def evaluate(path: Path, profiles: int | None = None, starts: int | None = None, say: Say = print) -> dict[str, Any]:
    """The strong evaluation of a run folder or an artifact, anew, with more effort if asked: its `result.json` as a dict with
    what was measured now in the place of what was measured then."""
    runtime.prepare()
    path = Path(path)
    loaded = artifact.load(path / "artifact" if (path / "artifact").is_dir() else path)
    config = evaluation.with_effort(loaded.config, profiles, starts)
    measured = evaluation.evaluate(config, loaded.problem, loaded.env, loaded.rule, say)
    recorded = json.loads((loaded.folder / "result.json").read_text(encoding="utf-8"))
    return {**recorded, **measured, "device": runtime.device_name(), "versions": runtime.versions(),
            "details": {**recorded["details"], **measured["details"]}}  # fmt: skip
