"""One training run in its folder: start or resume, train in chunks, checkpoint, and leave an evaluated artifact behind.

    config.yaml   metrics.jsonl   checkpoints/   plots/*.png   artifact/   result.json

A run that is stopped, by Ctrl-C or by pulling the plug, goes on from its last checkpoint, and on a CPU ends bit for bit where it
would have ended: chunks have a fixed length, and every draw is a function of the seed, the member and the step alone.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml

from icsap_jax import artifact, checkpoints, evaluation, files, runtime
from icsap_jax.bilevel import check
from icsap_jax.bilevel.fit import Trainer, TrainState, member, run, stack
from icsap_jax.bilevel.types import Problem, Rule, Tree
from icsap_jax.config import Config, ConfigError, load
from icsap_jax.config.plugins import faults_named
from icsap_jax.evaluation import Say

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
    config = open_folder(config, out)
    details: dict[str, Any] = {}
    if check_gradients:
        error = check.gradient_error(trainer, env, member(state, 0))
        details["gradient_error"] = files.number_or_none(error)
        say(f"gradient against finite differences: relative error {error:.1e}")
    state, before = resumed(config, state, out, say)
    state = loop(config, trainer, env, state, out, before, say)
    trained = time.monotonic() - started + before
    restless = restless_share(out / "metrics.jsonl")
    if restless > 0:
        details["unconverged_in_training"] = restless
        say(f"what agents do was not found in {restless:.1%} of the last steps of training, whose gradients left it out; give "
            "training.response more steps, or end at a higher temperature")
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


def resumed(config: Config, state: TrainState, out: Path, say: Say) -> tuple[TrainState, float]:
    """The state of the last checkpoint under `out`, or `state` where there is none, and the seconds trained before it; the metrics there
    end with it."""
    metrics = out / "metrics.jsonl"
    restored = checkpoints.restore_latest(out / "checkpoints", state, say)
    lines: list[dict[str, Any]] = []
    if restored is not None:
        step, state = restored
        lines = metrics_until(metrics, step)
        say(f"resuming {out} at step {step} of {config.training.steps}")
    files.write_text(metrics, "".join(json.dumps(line) + "\n" for line in lines))
    return state, lines[-1]["seconds"] if lines else 0.0


def begun(out: Path) -> bool:
    """Whether a run folder holds anything that another configuration would spoil: a checkpoint, a line of metrics, a result."""
    metrics = out / "metrics.jsonl"
    return any((out / "checkpoints").glob("*")) or (out / "result.json").exists() or (metrics.exists() and metrics.stat().st_size > 0)


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
    starts = config.rule.hook("starts")
    # Compiled, an initialiser takes a fraction of the time.
    build = jax.jit(lambda key: starts(config.rule, problem, env, key) if starts else config.rule.build(problem, env, key))

    def start(number: int) -> TrainState:
        key = jax.random.fold_in(base, number)
        rule = build(jax.random.fold_in(key, 3))
        return trainer.init(env, rule, key, config.training)

    with blamed_on(config.source):
        return stack([start(number) for number in range(config.training.members)])


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


def loop(config: Config, trainer: Trainer, env: Tree, state: TrainState, out: Path, before: float, say: Say) -> TrainState:
    """Train from `state` to the last step, streaming metrics and writing checkpoints."""
    steps, started, saved = config.training.steps, time.monotonic(), time.monotonic()
    taken = first = int(state.step[0])
    named: set[int] = set()
    with postponed_interrupts() as interrupted, (out / "metrics.jsonl").open("a", encoding="utf-8") as stream:
        while taken < steps:
            count = min(config.training.chunk, steps - taken)
            state, averages = run(trainer, env, state, count)
            averages = jax.tree.map(np.asarray, averages)  # waits for the device
            taken += count
            seconds = time.monotonic() - started
            with files.disk_faults(out):
                stream.writelines(json.dumps(line) + "\n" for line in metrics_lines(taken, before + seconds, averages))
                stream.flush()
            report_bad_members(state, named, say)
            say(progress_line(taken, steps, (taken - first) / seconds, averages))
            stopping = bool(interrupted)  # asked once: what arrives later waits for the next chunk, and its checkpoint
            if stopping or taken == steps or time.monotonic() - saved > config.training.checkpoint_every:
                checkpoints.save(out / "checkpoints", taken, state)
                saved = time.monotonic()
            if stopping:
                say(f"stopped at step {taken} of {steps}; the same command resumes it")
                break
    if interrupted:
        signal.raise_signal(interrupted[0])
        raise KeyboardInterrupt  # the handler there was before let it pass, but a run stopped half-way is not to be evaluated
    return state


@contextmanager
def postponed_interrupts() -> Iterator[list[int]]:
    """Inside, SIGINT and SIGTERM only append to the list given; a second one acts at once. What the process was told to ignore
    stays ignored (a job started in the background, by nohup). Outside the main thread: nothing."""
    received: list[int] = []
    try:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        previous = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}

        def note(number: int, frame: Any) -> None:
            received.append(number)
            signal.signal(number, previous[number])

        for number in previous:
            signal.signal(number, note)
    except ValueError:
        previous = {}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def metrics_lines(step: int, seconds: float, averages: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """One line a member: chunk averages at `step`; a number that is not finite is null."""
    for place in range(averages["loss"].shape[0]):
        values = {name: finite_or_none(values[place]) for name, values in averages.items()}
        yield {"step": step, "seconds": round(seconds, 3), "member": place, **values}


def finite_or_none(value: np.ndarray) -> Any:
    """As JSON: numbers to six digits, None for what is not finite."""
    if value.ndim:
        return [finite_or_none(part) for part in value]
    return float(f"{float(value):.6g}") if np.isfinite(value) else None


def metrics_until(path: Path, step: int) -> list[dict[str, Any]]:
    """The lines of a metrics file up to a step; a last line cut off in the middle is dropped."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            kept.append(json.loads(line))
        except ValueError:
            break
    return [line for line in kept if line["step"] <= step]


def restless_share(metrics: Path) -> float:
    """In what share of the last chunk's steps the inner solve failed, the worst member's; 0 where there is none."""
    lines = metrics_until(metrics, sys.maxsize)
    last = max((line["step"] for line in lines), default=0)
    return max((line.get("unconverged") or 0.0 for line in lines if line["step"] == last), default=0.0)


def report_bad_members(state: TrainState, named: set[int], say: Say) -> None:
    """Name, once, each member that stopped being finite."""
    for place, bad in enumerate(np.asarray(state.bad_step)):
        if bad >= 0 and place not in named:
            named.add(place)
            say(f"member {place} was not finite at step {bad}: it keeps its last good state, the others go on")


def progress_line(taken: int, steps: int, speed: float, averages: dict[str, np.ndarray]) -> str:
    """A bar, the speed, the batch's objective with its gap, and the time left."""
    share = taken / steps
    bar = "█" * round(24 * share) + "░" * (24 - round(24 * share))
    objective, gap = (finite_mean(averages[name]) for name in ("objective", "gap"))
    left = (steps - taken) / max(speed, 1e-9)
    return (f"\r{bar} {share:4.0%}  {taken}/{steps} steps  {speed:.0f}/s  "
            f"objective {objective:.4f}  gap {gap:.5f} (training)  {left:.0f} s left")  # fmt: skip


def finite_mean(values: np.ndarray) -> float:
    """The mean over the members that are still finite; NaN where none is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


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
    from icsap_jax.report import pictures

    say("drawing")
    pictures.training_curves(out / "metrics.jsonl", result, out / "plots" / "training.png")
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
