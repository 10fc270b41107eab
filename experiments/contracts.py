"""Contracts: every named problem learned, and the families of random ones, each beside its exact optimum; and one picture.

Trains each file of configs/contracts/ as `icsap train` does, and the random families of tests/cases/contracts.json (C27b: hidden
action; C28: hidden types, single contracts and menus). Prints one table; writes experiments/results/contracts.json and
docs/pictures/contract_jump.png.

    python experiments/contracts.py [--only NAME ...]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml
from time_to_quality import machine

from icsap_jax import run, runtime
from icsap_jax.bilevel import fit
from icsap_jax.config import load, parse
from icsap_jax.contracts.family.instances import hidden_action, typed
from icsap_jax.contracts.tables import Tables
from icsap_jax.figures import ACCENT, COLOURS, INK, QUIET, page

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results" / "contracts.json"
PICTURE = ROOT / "docs" / "pictures" / "contract_jump.png"
CASES = ROOT / "tests" / "cases" / "contracts.json"


def named(name: str) -> dict[str, Any]:
    """What `icsap train configs/contracts/NAME.yaml` reaches."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        result = run.train(load(ROOT / "configs" / "contracts" / f"{name}.yaml"), Path(scratch) / "run", lambda line: None)
    details = result["details"]
    return {
        "command": f"icsap train configs/contracts/{name}.yaml", "problem": result["problem"], "rule": result["rule"],
        "value": result["objective"]["value"], "before_polish": details.get("value_before_polish"),
        "adversarial_ties": result["objective"]["adversarial_ties"], "gap": result["incentive_gap"],
        "optimum": result["optimum"], "ratio": result["ratio_to_optimum"], "shortfall": result["shortfall"],
        "baselines": result["baselines"], "steps": result["steps"], "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip


def learned(given: Tables, menu: str = "single") -> tuple[float, float]:
    """The hard value before and after the polish."""
    names = ("outcome_probabilities", "costs", "rewards", "type_prior")
    config = parse({"problem": {"kind": "contract", **{name: getattr(given, name).tolist() for name in names}},
                    "rule": {"kind": "contract", "menu": menu}})  # fmt: skip
    problem, env = config.problem.build(config.folder)
    trainer = fit.Trainer.of(problem, config.training, starts=True)
    state, _ = fit.run(trainer, env, run.initial_state(config, trainer, problem, env), config.training.steps)
    told = run.settle(config, problem, env, fit.member(state, 0).rule)[1]
    return told["value_before_polish"], told["value_after_polish"]


def hidden_actions(case: dict[str, Any]) -> list[dict[str, Any]]:
    """C27b by size: shares of the optimum, before and after the polish, and what the best linear contract gets."""
    rows = []
    for size in dict.fromkeys((one["n"], one["m"]) for one in case["solution"]["instances"]):
        ones = [one for one in case["solution"]["instances"] if (one["n"], one["m"]) == size]
        started = time.monotonic()
        shares = np.array([learned(hidden_action(one["seed"], *size)) for one in ones])
        seconds = time.monotonic() - started
        best = np.array([one["principal_utility"] for one in ones])
        shares = shares / best[:, None]
        rows.append({
            "size": f"{size[0]}×{size[1]}", "instances": len(ones), "before_mean": shares[:, 0].mean(), "before_worst": shares[:, 0].min(),
            "after_mean": shares[:, 1].mean(), "after_worst": shares[:, 1].min(),
            "best_linear_mean": float(np.mean([one["best_linear"] for one in ones] / best)), "seconds_each": round(seconds / len(ones), 2),
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def menus(case: dict[str, Any]) -> list[dict[str, Any]]:
    """C28: what one contract, a menu, and at most lotteries earn; learned beside exact."""
    rows = []
    for one in case["solution"]["instances"]:
        given = typed(one["seed"], one["K"], one["n"], one["m"])
        single, menu = learned(given), learned(given, "deterministic")
        rows.append({
            "types": one["K"], "actions": one["n"], "outcomes": one["m"], "seed": one["seed"], "single": single[1],
            "single_exact": one["single"], "menu": menu[1], "menu_before_polish": menu[0], "menu_exact": one["menu"],
            "randomised_supremum": one["randomised_sup"],
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The named problems as text: ours, exact, best linear, first best."""
    lines = [f"{'problem':<28}{'ours':>11}{'exact':>11}{'best linear':>13}{'first best':>12}{'seconds':>9}"]
    for name, row in rows.items():
        cells = [row["value"], row["optimum"]["value"], row["baselines"].get("best_linear"), row["baselines"].get("first_best")]
        told = [("—" if cell is None else f"{cell:.5f}").rjust(width) for cell, width in zip(cells, (11, 11, 13, 12), strict=True)]
        lines.append(f"{name:<28}{''.join(told)}{row['seconds']:>9.1f}")
    return "\n".join(lines)


def jump(name: str = "C01_effort_pays") -> None:
    """What a payment on success is worth to both sides, the jump where the agent begins to work, the smoothed values training sees,
    and the way one start goes as the temperature falls."""
    config = load(ROOT / "configs" / "contracts" / f"{name}.yaml")
    problem, env = config.problem.build(config.folder)
    trainer = fit.Trainer.of(problem, config.training, starts=True)
    state, path = run.initial_state(config, trainer, problem, env), []
    for _ in range(60):
        rule = jax.tree.map(lambda leaf: leaf[0], fit.member(state, 0).rule)
        path.append(float(problem.decide(env, rule, None, None)[0, 1]))
        state, _ = fit.run(trainer, env, state, config.training.steps // 60)
    settings = config.training.response
    fractions = np.arange(60) / 60
    heat = settings.temperature * (settings.temperature_end / settings.temperature) ** np.minimum(1.0, fractions / settings.share)
    heat = heat * float(np.ptp(env.rewards))
    pays = np.linspace(0.0, 4.0, 801)
    agent, principal = payoffs(env, pays)
    with page(PICTURE, 8.0, 6.4, rows=2, sharex=True) as (figure, axes):
        figure.suptitle("The principal's best is where the agent is indifferent", x=0.02, ha="left")
        upper, lower = axes[:, 0]
        for action, label in enumerate(config.problem.names("actions", 2)):
            upper.plot(pays, agent[:, action], color=COLOURS[action], label=f"agent's utility if it chooses to {label}")
        upper.set_ylabel("utility")
        for temperature, alpha in ((1.0, 0.35), (0.3, 0.6), (0.1, 0.9)):
            lower.plot(pays, smoothed(agent, principal, temperature), color=QUIET, alpha=alpha, linewidth=1.2,
                       label=f"principal's value, temperature {temperature:g}")  # fmt: skip
        works = agent[:, 1] >= agent[:, 0]
        for side in (works, ~works):
            lower.plot(pays[side], np.where(works, principal[:, 1], principal[:, 0])[side], color=INK, linewidth=2.2)
        lower.plot([], [], color=INK, linewidth=2.2, label="principal's value, the agent's exact best response")
        on_path = [float(smoothed(*payoffs(env, np.array([pay])), at)[0]) for pay, at in zip(path, heat, strict=True)]
        lower.plot(path, on_path, "o-", color=ACCENT, markersize=3, linewidth=0.9, label="training, the temperature falling")
        lower.set_xlabel("payment on success")
        lower.set_ylabel("principal")
        for axis in (upper, lower):
            axis.axvline(pays[works][0], color=ACCENT, linewidth=0.8, linestyle=(0, (4, 3)))
            axis.legend(loc="lower right", fontsize=8.5)


def payoffs(env: Any, pays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(agent, principal) [P, A] under each payment on the second of two outcomes."""
    success = env.outcome_probabilities[0, :, 1]
    return pays[:, None] * success - env.costs[0], success * (env.rewards[1] - pays[:, None])


def smoothed(agent: np.ndarray, principal: np.ndarray, temperature: float) -> np.ndarray:
    """The principal's value [P] against the quantal agent."""
    weights = np.exp((agent - agent.max(1, keepdims=True)) / temperature)
    return (weights / weights.sum(1, keepdims=True) * principal).sum(1)


def main() -> None:
    """Everything, or the named problems given by `--only`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", metavar="NAME", help="names under configs/contracts/; the families are then left out")
    only = parser.parse_args().only
    runtime.prepare()
    jump()
    names = [path.stem for path in sorted((ROOT / "configs" / "contracts").glob("*.yaml"))
             if yaml.safe_load(path.read_text())["problem"]["kind"] != "contract_family"]  # fmt: skip
    rows = {}
    for name in only or names:
        rows[name] = named(name)
        print(f"{name}: {rows[name]['value']:.6f}, exact {rows[name]['optimum']['value']}, {rows[name]['seconds']} s", flush=True)
    print(table(rows))
    if only:
        return
    cases = {case["id"]: case for case in json.loads(CASES.read_text())["cases"]}
    result = {
        "command": "python experiments/contracts.py", "machine": machine(), "device": runtime.device_name(), "versions": runtime.versions(),
        "named": rows, "hidden_action_families": hidden_actions(cases["C27b"]), "menu_families": menus(cases["C28"]),
    }  # fmt: skip
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
