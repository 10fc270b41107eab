"""What an affine maximiser's step and its decisions cost as its menu grows: time, and the memory that is held at once, beside what holding
every score would take. Three bidders, ten items; lotteries listed up to 65 536, and all 1 048 576 deterministic allocations by counts.

    python experiments/benchmarks/affine_menu.py

One thread; the median of several calls after one that is not counted, in the processor time of the process, so that what else runs on the
machine counts little.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1".strip()
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import jax.numpy as jnp

from icsap_jax import runtime
from icsap_jax.config import parse
from icsap_jax.files import write_json
from icsap_jax.run import posed

RESULTS = Path(__file__).resolve().parents[1] / "results" / "affine_menu.json"
AGENTS, ITEMS, PROFILES = 3, 10, 512
RULES = {
    "lottery_ama, 256": {"kind": "lottery_ama", "menu_size": 256},
    "lottery_ama, 2 048": {"kind": "lottery_ama", "menu_size": 2**11},
    "lottery_ama, 16 384": {"kind": "lottery_ama", "menu_size": 2**14},
    "lottery_ama, 65 536": {"kind": "lottery_ama", "menu_size": 2**16},
    "amenunet, 2 048": {"kind": "amenunet", "menu_size": 2**11},
    "affine_by_count, 1 048 576": {"kind": "affine_by_count"},
}


def timed(call: Callable[..., Any], given: tuple[Any, ...], calls: int) -> dict[str, float]:
    """Milliseconds of processor time for one call, and the gigabytes its program holds beside what goes in and comes out."""
    compiled = jax.jit(call).lower(*given).compile()
    took = []
    for place in range(calls + 1):
        started = time.process_time()
        jax.block_until_ready(compiled(*given))
        if place:  # the first warms the caches up
            took.append((time.process_time() - started) * 1e3)
    return {"milliseconds": statistics.median(took), "gigabytes_held": compiled.memory_analysis().temp_size_in_bytes / 1e9}


def measure(rule: dict[str, Any], calls: int) -> dict[str, Any]:
    """A training step's slope of the revenue, softly chosen, and the decision in use, on the same profiles."""
    problem_of = {"kind": "auction", "bidders": AGENTS, "items": ITEMS, "prior": {"kind": "uniform", "low": 0, "high": 1}}
    config = parse({"problem": problem_of, "rule": rule})
    problem, env = posed(config)
    learned = config.rule.build(problem, env, jax.random.key(0))
    reports = problem.draw(env, jax.random.key(1), PROFILES).types
    temperature = jnp.asarray(0.05)

    def revenue(rule: Any) -> jax.Array:
        return problem.decide(env, replace(rule, temperature=temperature), None, reports).payment.sum(-1).mean()

    return {
        "step": timed(jax.grad(revenue), (learned,), calls),
        "decision": timed(lambda rule: problem.decide(env, rule, None, reports), (learned,), calls),
    }


def main() -> None:
    """Measure, print one line a rule, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=3, help="timed, after one that is not")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    runtime.prepare()
    started = time.monotonic()
    rows = {}
    for name, rule in RULES.items():
        entries = rule.get("menu_size", (AGENTS + 1) ** ITEMS)
        rows[name] = {**measure(rule, arguments.calls), "gigabytes_of_all_scores": 4e-9 * entries * (AGENTS + 1) * PROFILES}
        told = "  ".join(f"{what}: {rows[name][what]['milliseconds']:8.1f} ms, {rows[name][what]['gigabytes_held']:.3f} GB"
                         for what in ("step", "decision"))  # fmt: skip
        print(f"{name:28s} {told}; all scores {rows[name]['gigabytes_of_all_scores']:.3f} GB", flush=True)
    write_json(arguments.out, {
        "command": " ".join(["python", "experiments/benchmarks/affine_menu.py", *sys.argv[1:]]),
        "setting": f"{AGENTS}×{ITEMS}, {PROFILES} profiles", "device": runtime.device_name(), "cores": len(os.sched_getaffinity(0)),
        "versions": runtime.versions(), "rules": rows, "wall_seconds": round(time.monotonic() - started, 1),
    })  # fmt: skip


if __name__ == "__main__":
    main()
