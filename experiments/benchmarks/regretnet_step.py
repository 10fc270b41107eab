"""How fast one training step of the published algorithm runs: RegretNet as in Dütting et al. 2019, batch 128, 25 Adam ascent steps
on remembered misreports, from configs/auctions/published.

    python experiments/benchmarks/regretnet_step.py --threads 1
    python experiments/benchmarks/regretnet_step.py --threads 2 --settings 1x2 2x2

Steady state: the median of several timed scans after a warm-up. The peak of float32 matrix products is measured in the same process
on the same threads; the operations of a step are those of its matrix products, counted in the program traced (scans by their
length). Each thread count is an entry of its own in the results file, and replaces the one that was there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.extend.core import jaxprs_in_params

from icsap_jax import runtime
from icsap_jax.bilevel.fit import Trainer, run
from icsap_jax.config import load
from icsap_jax.files import write_json
from icsap_jax.gpu_check import matmul_peak
from icsap_jax.run import initial_state

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results" / "regretnet_step_cpu.json"
# Matrix-product MFLOP a step by hand, for the same algorithm as the authors wrote it; steps/s on one thread to reach or beat.
SETTINGS = {"1x2": (302, 190.0), "2x2": (611, 110.0), "3x10": (3762, 17.0), "5x10": (6662, 9.5)}
PINNED = "ICSAP_BENCHMARK_THREADS"  # set in the environment of a process that is already kept to its threads


def main() -> None:
    """Measure, print one line a setting, and write the entry."""
    arguments = _arguments()
    if arguments.threads and os.environ.get(PINNED) != str(arguments.threads):
        _restart_on(arguments.threads)
    runtime.prepare()
    jax.config.update("jax_enable_compilation_cache", False)  # compilation is one of the things timed
    peak = matmul_peak(arguments.side)
    threads = str(arguments.threads or "as many as there are")
    print(f"{_processor()}, threads: {threads}; float32 matrix products {peak:.0f} GFLOP/s")
    print(f"{'setting':>8} {'steps/s':>9} {'to reach':>9} {'compile s':>10} {'MFLOP':>10} {'by hand':>8} {'GFLOP/s':>8} {'of peak':>8}")
    rows = {}
    for name in arguments.settings:
        row = rows[name] = {**measure(name, arguments.steps, arguments.scans), "by_hand_mflop": SETTINGS[name][0]}
        row["gflops"] = row["steps_per_second"] * row["mflop_per_step"] / 1e3
        row["share_of_peak"] = row["gflops"] / peak
        reach = f"{SETTINGS[name][1]:.1f}" if arguments.threads == 1 else ""
        print(f"{name:>8} {row['steps_per_second']:>9.1f} {reach:>9} {row['compile_seconds']:>10.1f} {row['mflop_per_step']:>10.0f} "
              f"{row['by_hand_mflop']:>8} {row['gflops']:>8.1f} {row['share_of_peak']:>8.0%}", flush=True)  # fmt: skip
    entry = {
        "command": " ".join(["python", "experiments/benchmarks/regretnet_step.py", *sys.argv[1:]]),
        "device": runtime.device_name(), "processor": _processor(), "versions": runtime.versions(),
        "matmul_gflops": peak, "steps_a_scan": arguments.steps, "scans": arguments.scans, "settings": rows,
    }  # fmt: skip
    kept = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {}
    write_json(arguments.out, {**kept, f"threads: {threads}": entry})


def measure(name: str, steps: int, scans: int) -> dict[str, float]:
    """Median steps a second of `scans` scans of `steps` steps, their spread, the seconds to trace and compile, and the MFLOP of a
    step's matrix products."""
    config = load(ROOT / "configs" / "auctions" / "published" / f"additive_{name}_uniform.yaml")
    problem, env = config.problem.build(config.folder)
    trainer = Trainer.of(problem, config.training)
    state = initial_state(config, trainer, problem, env)
    started = time.perf_counter()
    traced = run.trace(trainer, env, state, steps)
    compiled = traced.lower().compile()
    compile_seconds = time.perf_counter() - started
    speeds = []
    for scan in range(scans + 1):
        started = time.perf_counter()
        state, metrics = compiled(env, state)
        jax.block_until_ready(state)
        if scan:  # the first warms the caches up
            speeds.append(steps / (time.perf_counter() - started))
    if not np.isfinite(np.asarray(metrics["loss"])).all():
        raise RuntimeError(f"{name}: the loss is not finite, so its speed means nothing")
    return {"steps_per_second": statistics.median(speeds), "slowest": min(speeds), "fastest": max(speeds),
            "compile_seconds": compile_seconds, "mflop_per_step": product_flops(traced.jaxpr.jaxpr) / steps / 1e6}  # fmt: skip


def product_flops(program: Any) -> float:
    """Floating-point operations of all matrix products in a jaxpr, two for each multiplication; what a scan holds counts by its
    length. A while loop, whose length is not known, counts once: the algorithm here has none."""
    total = 0.0
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2.0 * np.prod(equation.outvars[0].aval.shape) * np.prod([left[axis] for axis in contracted])
        repeats = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        total += repeats * sum(product_flops(inner) for inner in jaxprs_in_params(equation.params))
    return total


def _restart_on(threads: int) -> None:
    """Begin again in a process kept to `threads` cores, and with XLA's own pool switched off when that is one."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < threads:
            raise SystemExit(f"--threads {threads}: this machine has {len(cores)}.")
        os.sched_setaffinity(0, cores[-threads:])
    environment = {**os.environ, PINNED: str(threads), "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": str(threads)}
    if threads == 1:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        environment["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)


def _processor() -> str:
    """The name of the processor, or of its family where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Steps a second of the published RegretNet algorithm.")
    parser.add_argument("--threads", type=int, choices=(1, 2), help="left out: whatever jax takes, on whatever device it finds")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--steps", type=int, default=200, help="in one timed scan")
    parser.add_argument("--scans", type=int, default=5, help="timed, after one that is not")
    parser.add_argument("--side", type=int, default=1024, help="of the square matrices whose product gives the peak")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
