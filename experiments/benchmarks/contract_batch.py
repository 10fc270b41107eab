"""4096 hidden-action problems of 10 actions and 10 outcomes by the contract network, in one compiled call, against 4096 × 10 least-pay
linear programmes by HiGHS in the same run.

    python experiments/benchmarks/contract_batch.py                    trains configs/contracts/family_10x10.yaml first
    python experiments/benchmarks/contract_batch.py runs/family_10x10  uses a run of it
    python experiments/benchmarks/contract_batch.py --full             every programme; else 256 problems' are timed, and multiplied

The network's contracts are judged in float64 by the agent's exact best reply, ties against the principal. The programmes run one after
the other on one core, as HiGHS solves programmes this small; beside their time stands what it would be if all cores shared them without
loss. The network's time is the median of several calls, data on the device, compilation apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from icsap_jax import artifact, runtime
from icsap_jax.config import load
from icsap_jax.contracts.classical import best_linear, value_of
from icsap_jax.contracts.family.evaluation import tables_of
from icsap_jax.contracts.tables import Tables
from icsap_jax.exact import lp
from icsap_jax.files import write_json
from icsap_jax.run import train

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results" / "contract_batch.json"
CONFIG = ROOT / "configs" / "contracts" / "family_10x10.yaml"
SEED = 4096_1010  # of the problems, never used in training


def main() -> None:
    """Measure, print and write down."""
    arguments = _arguments()
    runtime.prepare()
    with tempfile.TemporaryDirectory() as scratch:
        folder, trained = arguments.run, None
        if folder is None:
            folder = Path(scratch) / "run"
            trained = train(load(CONFIG), folder, say=lambda line: print(line, file=sys.stderr))["details"]["seconds"]["training"]
        loaded = artifact.load(folder)
    seen = loaded.problem.draw(loaded.env, jax.random.key(SEED), arguments.count).seen
    every = tables_of(seen)
    network, payments = by_network(loaded.rule, seen, arguments.calls)
    values = np.array([value_of(tables, paid, ties="against").value for tables, paid in zip(every, payments, strict=True)])
    solved = len(every) if arguments.full else min(arguments.sample, len(every))
    seconds, optima = by_programmes(every[:solved])
    programmes = seconds * len(every) / solved
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    linear = np.array([best_linear(tables).value for tables in every[:solved]])
    share = values[:solved] / optima
    record: dict[str, Any] = {
        "command": " ".join(["python", "experiments/benchmarks/contract_batch.py", *sys.argv[1:]]),
        "device": runtime.device_name(), "cores": cores, "versions": runtime.versions(),
        "problems": len(every), "actions": every[0].actions, "outcomes": every[0].outcomes, "training_seconds": trained,
        "network_seconds": network["seconds"], "network_slowest_seconds": network["slowest"],
        "network_compile_seconds": network["compile"],
        "programmes_timed_on": solved, "programmes_seconds_one_core": programmes, "extrapolated": solved < len(every),
        "times_faster_than_one_core": programmes / network["seconds"],
        "times_faster_than_all_cores": programmes / cores / network["seconds"],
        "ratio_of_values": float(values[:solved].sum() / optima.sum()),
        "mean_ratio": float(share.mean()), "worst_ratio": float(share.min()),
        "ratio_of_best_linear": float(linear.sum() / optima.sum()),
    }  # fmt: skip
    for name, told in record.items():
        print(f"{name}: {told}")
    write_json(arguments.out, record)


def by_network(rule: Any, seen: Any, calls: int) -> tuple[dict[str, float], np.ndarray]:
    """Seconds of a call on all problems (median and slowest of several, and to compile it), and the payments [B, K]."""
    tables = jax.tree.leaves(seen)
    started = time.perf_counter()
    solve = jax.jit(lambda *tables: rule(*tables)).lower(*tables).compile()
    compiling = time.perf_counter() - started
    seconds = []
    for call in range(calls + 1):
        started = time.perf_counter()
        answer = jax.block_until_ready(solve(*tables))
        if call:  # the first warms up
            seconds.append(time.perf_counter() - started)
    return {"seconds": statistics.median(seconds), "slowest": max(seconds), "compile": compiling}, np.asarray(answer.payments)


def by_programmes(every: list[Tables]) -> tuple[float, np.ndarray]:
    """Seconds spent in the solver for the least pay of every action of every problem, and the optima [B]."""
    seconds, optima = 0.0, []
    for tables in every:
        F, costs, best = tables.outcome_probabilities[0], tables.costs[0], -np.inf
        for action in range(tables.actions):
            rows, right = np.delete(F, action, 0) - F[action], np.delete(costs, action) - costs[action]
            started = time.perf_counter()
            try:
                pay = lp.solve(F[action], at_most=(rows, right)).value
            except lp.Infeasible:
                pay = np.inf
            seconds += time.perf_counter() - started
            best = max(best, float(F[action] @ tables.rewards) - pay)
        optima.append(best)
    return seconds, np.array(optima)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The contract network against linear programmes, on thousands of problems.")
    parser.add_argument("run", nargs="?", type=Path, help="a run folder or an artifact; left out: trained now")
    parser.add_argument("--count", type=int, default=4096, help="problems")
    parser.add_argument("--sample", type=int, default=256, help="of them whose programmes are solved")
    parser.add_argument("--full", action="store_true", help="solve the programmes of all")
    parser.add_argument("--calls", type=int, default=5, help="of the network that are timed")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
