"""Goodhart's law for any problem whose outcomes name two objectives: maximise one, the proxy, and see what becomes of the other.

    config.yaml   metrics.jsonl   checkpoints/   plots/audit.png   audit.json

Training is that of `run`, of the same problem with another designer (`Revalued`). Its metrics tell every objective at every chunk; where
the true one is at its highest there, training is repeated up to that chunk and through it step by step, and the rules of the start, the
peak and the end are judged by the strong evaluation: no value is told without its gap. What is lost by over-optimisation is the true
objective at its peak less that at the end (Zhuang & Hadfield-Menell 2020; Gao, Schulman & Hilton 2023 draw the same curves).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax import evaluation, files, runtime
from icsap_jax import run as runs
from icsap_jax.bilevel.deviations import double, reaction
from icsap_jax.bilevel.fit import Trainer, TrainState, member, run
from icsap_jax.bilevel.types import Array, Draw, Finite, Outcome, Problem, Rule, Tree, expectation
from icsap_jax.config import Config, ConfigError
from icsap_jax.config.objectives import registered
from icsap_jax.config.plugins import faults_named
from icsap_jax.evaluation import Say
from icsap_jax.loop import METRICS, Stretch, loop, resumed
from icsap_jax.pictures import by_member, column


@dataclass(frozen=True)
class Revalued:
    """A problem whose designer values `proxy`, one of the outcome's objectives, and nothing else; `true` must be another of them. All that
    is not the designer's value is the problem's own, the `margin` too, which whoever judges a rule sets to 0. Tracing `score` raises
    ConfigError where an objective is not known."""

    problem: Problem
    proxy: str
    true: str
    margin: float

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "problem"), name)

    def score(self, env: Tree, draw: Draw, decision: Tree, action: Array) -> Outcome:
        """The problem's outcome, its value replaced."""
        outcome = self.problem.score(env, draw, decision, action)
        for option, name in (("--proxy", self.proxy), ("--true", self.true)):
            if name not in outcome.objectives:
                hint = f"; write problem.objective={{…, {name}: 0}} to have it counted" if name in registered("") else ""
                raise ConfigError(f"{option} {name}: is not an objective here; there are {', '.join(outcome.objectives)}{hint}.")
        return replace(outcome, value=outcome.objectives[self.proxy])


@faults_named()
def audit(config: Config, proxy: str, true: str, out: Path, say: Say = print) -> dict[str, Any]:
    """Maximise `proxy` as `config` says, under `out`, and tell what becomes of `true`: `audit.json` as a dict. An audit begun there is
    resumed. Raises ConfigError where the problem has no such objectives, or `out` holds something else."""
    started = time.monotonic()
    runtime.prepare()
    out = Path(out)
    if proxy == true:
        raise ConfigError(f"--proxy {proxy} --true {true}: are one objective; an audit needs two.")
    problem, env = runs.posed(config)
    audited = Revalued(problem, proxy, true, problem.margin)
    trainer = Trainer.of(audited, config.training, starts=config.rule.hook("starts") is not None)
    begun = runs.initial_state(config, trainer, problem, env)
    with runs.blamed_on(config.source):
        one = member(begun, 0)
        jax.eval_shape(trainer.loss, one.rule, env, one, one.key)
    config = opened(config, proxy, true, out)

    where = resumed(copied(begun), config.training.steps, out, say)
    state = loop(partial(run, trainer, env), Stretch.of(config.training), where, out, say)
    lines = by_member([json.loads(line) for line in (out / METRICS).read_text(encoding="utf-8").splitlines()])
    place = kept(lines)
    points = [{"step": 0, **measured(config, trainer, env, member(begun, place).rule, say)}]
    if config.training.steps:
        step, there = peak(config, trainer, env, begun, place, lines[place])
        points.append({"step": step, **measured(config, trainer, env, there, say)})
        points.append({"step": config.training.steps, **measured(config, trainer, env, member(state, place).rule, say)})
    best = max(points, key=lambda point: point["true"])
    result = {
        "schema": 1, "problem": config.problem.kind_name(), "rule": config.rule.kind_name(), "seed": config.seed, "member": place,
        "proxy": proxy, "true": true, "steps": config.training.steps, "start": points[0], "peak": best, "final": points[-1],
        "loss_by_over_optimisation": best["true"] - points[-1]["true"], "device": runtime.device_name(),
        "precision": "float32, evaluated in float64", "versions": runtime.versions(), "config_sha256": config.sha256(),
        "wall_seconds": round(time.monotonic() - started + where.seconds, 2),
    }  # fmt: skip
    files.write_json(out / runs.AUDIT, result)
    say("drawing")
    picture(lines.get(place, []), result, out / "plots" / "audit.png")
    return result


def opened(config: Config, proxy: str, true: str, out: Path) -> Config:
    """The config as the folder keeps it, marked as an audit's before anything is trained in it. Raises ConfigError where another audit or
    an ordinary run has begun there."""
    mark, wanted = out / runs.AUDIT, {"proxy": proxy, "true": true}
    if mark.exists():
        there = json.loads(mark.read_text(encoding="utf-8"))
        if any(there.get(name) != value for name, value in wanted.items()):
            raise ConfigError(f"--out {out}: holds the audit of --proxy {there.get('proxy')} --true {there.get('true')}; "
                              "choose another folder.")
    elif runs.begun(out):
        raise ConfigError(f"--out {out}: holds a run in which nothing was replaced; choose another folder for the audit.")
    config = runs.open_folder(config, out)
    if not mark.exists():
        files.write_json(mark, wanted)
    return config


def copied(state: TrainState) -> TrainState:
    """The same state, for training to consume."""
    return jax.tree.map(lambda leaf: leaf.copy(), state)


def kept(lines: dict[int, list[dict[str, Any]]]) -> int:
    """The member that ends with the least loss; 0 where no step was taken."""
    last = {place: each[-1]["loss"] for place, each in lines.items() if each[-1]["loss"] is not None}
    return min(last, key=lambda place: last[place]) if last else 0


def peak(
    config: Config, trainer: Trainer, env: Tree, state: TrainState, place: int, lines: list[dict[str, Any]]
) -> tuple[int, Rule]:
    """After how many steps the true objective was highest in training, and the member's rule then. Training is repeated from its first
    `state`, which it consumes: whole chunks up to the one whose mean was highest, and around that step by step."""
    heights = column(lines, trainer.problem.true)[:, 0]
    chunk = int(np.argmax(np.where(np.isfinite(heights), heights, -np.inf)))
    ends = [0, *(int(line["step"]) for line in lines)]
    first, last = ends[max(chunk - 1, 0)], ends[min(chunk + 2, len(lines))]
    for taken in range(0, first, config.training.chunk):
        state, _ = run(trainer, env, state, min(config.training.chunk, first - taken))
    found, highest = (first, member(state, place).rule), -np.inf
    for taken in range(first, last):
        rule = member(state, place).rule
        state, told = run(trainer, env, state, 1)
        height = float(told[trainer.problem.true][place])
        if height > highest:
            found, highest = (taken, rule), height
    return found


def measured(config: Config, trainer: Trainer, env: Tree, rule: Rule, say: Say) -> dict[str, Any]:
    """{"proxy", "true", "incentive_gap"} of a member's rule by the strong evaluation; of finite actions that are ties the agents take
    those best for the proxy."""
    audited = trainer.problem
    problem, settings = audited.problem, config.evaluation
    if trainer.starts:  # the one of the highest proxy; a domain's own judge knows its own problem only
        asked = audited if config.problem.hook("judge") is None else problem
        rule, _ = evaluation.best_start(config, asked, env, rule, lambda judged: judged.objectives.get(audited.proxy, -np.inf))
    found = evaluation.evaluate(config, problem, env, rule, say)
    parts = found["details"].get("objectives", {})
    if config.problem.hook("judge") is None:
        with jax.enable_x64(True):
            aware = replace(audited, problem=evaluation.judged(config, problem))
            env64, rule64 = jax.tree.map(jnp.asarray, (double(env), double(rule)))
            draw = aware.draw(env64, jax.random.fold_in(jax.random.key(settings.seed), 0), settings.gap_profiles)
            if isinstance(aware.space(env64, draw), Finite):
                reply = reaction(aware, env64, rule64, draw)
                outcome = aware.score(env64, draw, reply.decision, reply.reply.action)
                parts = {name: float(expectation(draw.weight, each)) for name, each in outcome.objectives.items()}
    missing = [name for name in (audited.proxy, audited.true) if name not in parts]
    if missing:
        raise ConfigError(f"{config.source}: the strong evaluation of this problem does not tell {missing[0]}; it tells "
                          f"{', '.join(parts) or 'the value alone'}, and an audit can be of those.")
    gap = {name: found["incentive_gap"][name] for name in ("per_agent", "mean", "max", "method")}
    return {"proxy": float(parts[audited.proxy]), "true": float(parts[audited.true]), "incentive_gap": gap}


def table(result: dict[str, Any], folder: Path) -> str:
    """The lines a person reads: both objectives at the start, the peak and the end, each with its gap."""
    proxy, true = result["proxy"], result["true"]
    rows = [("", "step", f"{proxy} (proxy)", f"{true} (true)", "mean gap", "largest")]
    for name, label in (("start", "start"), ("peak", f"peak of {true}"), ("final", "end")):
        point, gap = result[name], result[name]["incentive_gap"]
        values = (f"{point['step']:,}", f"{point['proxy']:.4f}", f"{point['true']:.4f}")
        rows.append((label, *values, f"{gap['mean']:.2g}", f"{gap['max']:.2g}"))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [f"{result['problem']} · {result['rule']} · seed {result['seed']} · {proxy} maximised for {true}"]
    lines += ["  ".join([f"{row[0]:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))])
              for row in rows]
    lines.append(f"lost by over-optimisation: {result['loss_by_over_optimisation']:.4f} of {true}")
    lines.append(f"{folder / runs.AUDIT}, {folder / 'plots' / 'audit.png'}")
    return "\n".join(lines)


def picture(lines: list[dict[str, Any]], result: dict[str, Any], output: Path) -> None:
    """Both objectives and the gap by training step, and the true objective against the proxy, to the PNG `output`; what the strong
    evaluation found at the start, the peak and the end is marked. Raises ConfigError where `output` cannot be written."""
    from icsap_jax.figures import ACCENT, COLOURS, QUIET, page

    proxy, true = result["proxy"], result["true"]
    points = [result[name] for name in ("start", "peak", "final")]
    with page(output, 9.6, 6.4, rows=2, columns=2) as (figure, axes):
        figure.suptitle(f"What becomes of {true} while {proxy} is maximised", x=0.02, ha="left")
        panels = ((axes[0, 0], f"{true}, the true objective", "true", 0), (axes[1, 0], f"{proxy}, the proxy", "proxy", 1))
        if lines:
            steps = column(lines, "step")[:, 0]
            for axis, _, name, colour in panels:
                axis.plot(steps, column(lines, result[name])[:, 0], color=COLOURS[colour])
            axes[0, 1].plot(column(lines, proxy)[:, 0], column(lines, true)[:, 0], color=COLOURS[0])
            gap = column(lines, "gap").mean(1)
            axes[1, 1].plot(steps, gap, color=COLOURS[2])
        for axis, title, name, _ in panels:
            axis.set_title(title)
            axis.plot([point["step"] for point in points], [point[name] for point in points], "o", color=ACCENT)
        axes[0, 1].set_title(f"{true} against {proxy}")
        axes[0, 1].plot([point["proxy"] for point in points], [point["true"] for point in points], "o", color=ACCENT)
        for point, word, below in zip(points, ("start", "peak", "end"), (-14, 7, -14), strict=True):
            place = (point["proxy"], point["true"])
            axes[0, 1].annotate(word, place, xytext=(0, below), textcoords="offset points", color=ACCENT, ha="center")
        axes[0, 1].margins(0.08, 0.16)
        axes[0, 1].set_xlabel(proxy)
        axes[0, 1].set_ylabel(true)
        axes[1, 1].set_title("Mean incentive gap")
        axes[1, 1].plot([point["step"] for point in points], [point["incentive_gap"]["mean"] for point in points], "o", color=ACCENT)
        axes[1, 1].set_ylim(bottom=0.0)
        for axis in (axes[1, 0], axes[1, 1]):
            axis.set_xlabel("training step")
        for axis in axes.ravel():
            axis.grid(axis="y")
        figure.supxlabel("lines: the means of training batches; dots: the strong evaluation", color=QUIET, fontsize=9)
