"""Persuasion: every named problem learned, and random games, each beside its exact optimum and its proven bound; and one picture.

Trains each file of configs/persuasion/ as `icsap train` does (but the networks for families of games, which
experiments/benchmarks/persuasion_batch.py measures), and the random games of tests/cases/persuasion.json. Prints one table; writes
experiments/results/persuasion.json and docs/pictures/prosecutor_beliefs.png.

    python experiments/persuasion.py [--only NAME ...]
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

from icsap_jax import artifact, evaluation, run, runtime
from icsap_jax.bilevel import fit
from icsap_jax.bilevel.deviations import double, reaction
from icsap_jax.config import load, parse
from icsap_jax.persuasion.family.instances import state_independent, uniform
from icsap_jax.persuasion.pictures import pictures

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs" / "persuasion"
RESULTS = ROOT / "experiments" / "results" / "persuasion.json"
PICTURE = ROOT / "docs" / "pictures" / "prosecutor_beliefs.png"
CASES = ROOT / "tests" / "cases" / "persuasion.json"
DRAWN = "prosecutor_0.3"


def named(name: str) -> dict[str, Any]:
    """What `icsap train configs/persuasion/NAME.yaml` reaches."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        result = run.train(load(CONFIGS / f"{name}.yaml"), Path(scratch) / "run", lambda line: None)
        seconds = time.monotonic() - started
        if name == DRAWN:
            loaded = artifact.load(Path(scratch) / "run" / "artifact")
            pictures(loaded.problem, loaded.env, loaded.rule, loaded.config.problem, Path(scratch))
            PICTURE.write_bytes((Path(scratch) / "beliefs.png").read_bytes())
    details = result["details"]
    return {
        "command": f"icsap train configs/persuasion/{name}.yaml", "problem": result["problem"], "rule": result["rule"],
        "value": result["objective"]["value"], "before_polish": details.get("value_before_polish"),
        "adversarial_ties": result["objective"]["adversarial_ties"], "bound": result["objective"]["upper_bound"],
        "gap": result["incentive_gap"], "optimum": result["optimum"], "ratio": result["ratio_to_optimum"],
        "shortfall": result["shortfall"], "baselines": result["baselines"], "steps": result["steps"], "seconds": round(seconds, 1),
    }  # fmt: skip


GENERATORS = {"uniform": uniform, "state_indep": state_independent}


def learned(prior: np.ndarray, sender: np.ndarray, receiver: np.ndarray) -> tuple[float, float, float]:
    """(ties against the sender before the polish, and after it, the bound)."""
    tables = {"prior": prior.tolist(), "sender": sender.tolist(), "receiver": receiver.tolist()}
    config = parse({"problem": {"kind": "persuasion", **tables}})
    problem, env = config.problem.build(config.folder)
    trainer = fit.Trainer.of(problem, config.training, starts=True)
    state, _ = fit.run(trainer, env, run.initial_state(config, trainer, problem, env), config.training.steps)
    rules = fit.member(state, 0).rule
    first = evaluation.best_start(config, problem, env, rules)[0]
    finished, _ = run.settle(config, problem, env, rules)
    values = []
    with jax.enable_x64(True):
        for rule in (first, finished):
            given = jax.tree.map(np.asarray, (double(env), double(rule)))
            values.append(float(reaction(problem, *given, problem.draw(env, None, 1)).reply.adversarial_value))
    return values[0], values[1], config.problem.hook("bound")(problem, env, config.problem)


def random_games(instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By family and size: shares of the exact optimum, ties against the sender, and how far the bound is above it."""
    rows = []
    for kind, *size in dict.fromkeys((one["kind"], one["n"], one["m"]) for one in instances):
        ones = [one for one in instances if [one["kind"], one["n"], one["m"]] == [kind, *size]]
        started = time.monotonic()
        found = np.array([learned(*GENERATORS[kind](one["n"], one["m"], one["seed"])) for one in ones])
        seconds = time.monotonic() - started
        best = np.array([one["value"] for one in ones])
        shares = found / best[:, None]
        rows.append({
            "family": kind, "size": f"{size[0]}×{size[1]}", "instances": len(ones), "seeds": [one["seed"] for one in ones],
            "before_mean": shares[:, 0].mean(), "before_worst": shares[:, 0].min(), "after_mean": shares[:, 1].mean(),
            "after_worst": shares[:, 1].min(), "bound_above_mean": shares[:, 2].mean() - 1, "bound_above_least": shares[:, 2].min() - 1,
            "full_disclosure_mean": float(np.mean([one["full_info"] for one in ones] / best)),
            "no_disclosure_mean": float(np.mean([one["no_info"] for one in ones] / best)), "seconds_each": round(seconds / len(ones), 2),
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The named problems as text: ours, exact, bound, no information, full disclosure."""
    columns = ("ours", "exact", "bound", "no disclosure", "full disclosure")
    lines = [f"{'problem':<30}" + "".join(f"{name:>17}" for name in columns) + f"{'seconds':>9}"]
    for name, row in rows.items():
        cells = [row["value"], row["optimum"]["value"], row["bound"], *(row["baselines"].get(each) for each in BASELINES)]
        told = "".join(("—" if cell is None else f"{cell:.5f}").rjust(17) for cell in cells)
        lines.append(f"{name:<30}{told}{row['seconds']:>9.1f}")
    return "\n".join(lines)


BASELINES = ("no_disclosure", "full_disclosure")


def main() -> None:
    """Everything, or the named problems given by `--only`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", metavar="NAME", help="names under configs/persuasion/; random games are then left out")
    only = parser.parse_args().only
    runtime.prepare()
    kinds = {path.stem: yaml.safe_load(path.read_text())["problem"]["kind"] for path in sorted(CONFIGS.glob("*.yaml"))}
    rows = {}
    for name in only or [name for name, kind in kinds.items() if kind != "persuasion_family"]:
        rows[name] = named(name)
        print(f"{name}: {rows[name]['value']:.6f}, exact {rows[name]['optimum']['value']}, {rows[name]['seconds']} s", flush=True)
    print(table(rows))
    if only:
        return
    result = {
        "command": "python experiments/persuasion.py", "machine": machine(), "device": runtime.device_name(),
        "versions": runtime.versions(), "named": rows, "random_games": random_games(json.loads(CASES.read_text())["random_family"]),
    }  # fmt: skip
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
