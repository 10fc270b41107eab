"""What one training step costs with networks that treat bidders alike and items alike, beside RegretNet as published for five bidders
and ten items (two networks of five layers of 100), all else equal: batch, response, lagrangian.

    python experiments/benchmarks/equivariant_step.py

One thread; the median of several timed scans after a warm-up, in the processor time of the process, so that what else runs on the
machine counts little.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1".strip()
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import numpy as np

from icsap_jax import runtime
from icsap_jax.bilevel.fit import Trainer, run
from icsap_jax.config import parse
from icsap_jax.files import write_json
from icsap_jax.run import initial_state, posed

RESULTS = Path(__file__).resolve().parents[1] / "results" / "equivariant_step.json"
RULES = {
    "regretnet 5×100": {"kind": "regretnet", "hidden": [100] * 5},
    "equivariant 6, 6": {"kind": "equivariant", "hidden": [6, 6]},
    "equivariant 8, 8": {"kind": "equivariant", "hidden": [8, 8]},
    "equivariant 16, 16, 16": {"kind": "equivariant", "hidden": [16] * 3},
    "contest 16, 16, 16": {"kind": "contest"},
}


def measure(rule: dict, response: dict, steps: int, scans: int) -> float:
    """Milliseconds of processor time for a step of batch 512."""
    config = parse({
        "problem": {"kind": "auction", "bidders": 5, "items": 10, "prior": {"kind": "uniform", "low": 0, "high": 1}},
        "rule": rule, "training": {"steps": 1000, "batch": 512, "response": response},
    })  # fmt: skip
    problem, env = posed(config)
    trainer = Trainer.of(problem, config.training)
    state = initial_state(config, trainer, problem, env)
    compiled = run.lower(trainer, env, state, steps).compile()
    took = []
    for scan in range(scans + 1):
        started = time.process_time()
        state, metrics = compiled(env, state)
        jax.block_until_ready(state)
        if scan:  # the first warms the caches up
            took.append((time.process_time() - started) / steps * 1e3)
    if not np.isfinite(np.asarray(metrics["loss"])).all():
        raise RuntimeError(f"{rule}: the loss is not finite, so its speed means nothing")
    return statistics.median(took)


def main() -> None:
    """Measure, print one line a rule, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4, help="in one timed scan")
    parser.add_argument("--scans", type=int, default=5, help="timed, after one that is not")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    runtime.prepare()
    started = time.monotonic()
    responses = {
        "exchange": {"kind": "exchange", "reports": 16, "anywhere": 0, "steps": 0},
        "exchange, 8 refining steps": {"kind": "exchange", "reports": 16, "anywhere": 0, "steps": 8},
    }
    rows = {}
    for name, rule in RULES.items():
        rows[name] = {told: measure(rule, response, arguments.steps, arguments.scans) for told, response in responses.items()}
        print(f"{name:24s} " + "  ".join(f"{told}: {each:7.1f} ms" for told, each in rows[name].items()), flush=True)
    write_json(arguments.out, {
        "command": " ".join(["python", "experiments/benchmarks/equivariant_step.py", *sys.argv[1:]]), "setting": "5×10, batch 512",
        "device": runtime.device_name(), "cores": len(os.sched_getaffinity(0)), "versions": runtime.versions(),
        "milliseconds_per_step": rows, "wall_seconds": round(time.monotonic() - started, 1),
    })  # fmt: skip
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
