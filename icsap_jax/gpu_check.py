"""`make gpu-check`: a few minutes that say whether this machine trains auctions correctly, and how fast.

It names the devices, measures the peak of float32 matrix products at the precision we train with, and trains two bidders and two
items for a few hundred steps with 1, 8 and 64 members side by side (with 1 where there is only a CPU). Each training must stay
finite and lower the incentive gap. Exit status 0, or 1 with the reason when a check fails.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax import runtime
from icsap_jax.bilevel.fit import Trainer, run
from icsap_jax.config import Config, ConfigError, parse
from icsap_jax.run import initial_state

SETTING = {
    "problem": {"kind": "auction", "bidders": 2, "items": 2, "prior": {"kind": "uniform", "low": 0, "high": 1}},
    "training": {"batch": 128, "learning_rate": 3e-3, "response": {"kind": "candidates", "count": 16, "steps": 5},
                 "lagrangian": {"kind": "augmented", "multiplier": 20.0}},
}  # fmt: skip
CHUNK = 100  # steps of one timed scan
CHUNKS = 4


@dataclass(frozen=True)
class Timing:
    """One training: `members` side by side, seconds to compile, training steps a second (each step moves every member), and the mean
    incentive gap over the first and the last chunk."""

    members: int
    compile_seconds: float
    steps_per_second: float
    gap_before: float
    gap_after: float
    finite: bool

    @property
    def sound(self) -> bool:
        """Whether nothing overflowed and the gap fell."""
        return self.finite and self.gap_after < self.gap_before


def main() -> int:
    """Print the table; the exit status."""
    try:
        runtime.prepare()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    jax.config.update("jax_enable_compilation_cache", False)  # or a second run would show how fast a file is read
    accelerator = jax.default_backend() != "cpu"
    print("devices   ", ", ".join(f"{each.platform}:{each.id} {each.device_kind}" for each in jax.devices()))
    if not accelerator:
        print("           jax finds only the CPU here; for an accelerator install its jax, for example pip install 'jax[cuda12]'")
    side = 8192 if accelerator else 1024
    print(f"matmul     {matmul_peak(side):,.0f} GFLOP/s, float32 {side}×{side} at precision {jax.config.jax_default_matmul_precision}")
    print(f"\n{'members':>8} {'compile s':>10} {'steps/s':>9} {'member-steps/s':>15} {'gap before':>11} {'gap after':>10}")
    timings = []
    for members in (1, 8, 64) if accelerator else (1,):
        found = timing(members)
        timings.append(found)
        print(f"{members:>8} {found.compile_seconds:>10.1f} {found.steps_per_second:>9.1f} {members * found.steps_per_second:>15.1f} "
              f"{found.gap_before:>11.5f} {found.gap_after:>10.5f}", flush=True)  # fmt: skip
    wrong = [found for found in timings if not found.sound]
    for found in wrong:
        reason = "the incentive gap did not fall" if found.finite else "numbers overflowed"
        print(f"FAILED with {found.members} members: {reason}.", file=sys.stderr)
    if not wrong:
        print("\nTraining is sound here: everything stayed finite and the incentive gap fell.")
    return 1 if wrong else 0


def matmul_peak(side: int, repeats: int = 10) -> float:
    """GFLOP/s of a float32 product of two square matrices at the precision training uses: the best of `repeats`."""
    left, right = (jax.random.normal(jax.random.key(seed), (side, side)) for seed in (0, 1))
    product = jax.jit(jnp.matmul).lower(left, right).compile()
    product(left, right).block_until_ready()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        product(left, right).block_until_ready()
        seconds.append(time.perf_counter() - started)
    return 2.0 * side**3 / min(seconds) / 1e9


def timing(members: int, chunk: int = CHUNK, chunks: int = CHUNKS) -> Timing:
    """Train the setting with `members` side by side for `chunks` × `chunk` steps."""
    config = setting(members, chunk * chunks)
    problem, env = config.problem.build(config.folder)
    trainer = Trainer.of(problem, config.training)
    state = initial_state(config, trainer, problem, env)
    started = time.perf_counter()
    compiled = run.lower(trainer, env, state, chunk).compile()
    compile_seconds = time.perf_counter() - started
    gaps, speeds, finite = [], [], True
    for _ in range(chunks):
        started = time.perf_counter()
        state, metrics = compiled(env, state)
        averages: dict[str, Any] = jax.tree.map(np.asarray, metrics)  # waits for the device
        speeds.append(chunk / (time.perf_counter() - started))
        gaps.append(float(averages["gap"].mean()))
        finite &= all(bool(np.isfinite(values).all()) for values in averages.values())
    finite &= bool((np.asarray(state.bad_step) < 0).all())
    return Timing(members, compile_seconds, statistics.median(speeds), gaps[0], gaps[-1], finite)


def setting(members: int, steps: int) -> Config:
    """Two additive bidders and two items, U[0, 1], trained for `steps` steps."""
    training = {**SETTING["training"], "members": members, "steps": steps, "chunk": CHUNK}
    return parse({**SETTING, "training": training}, Path.cwd(), "gpu_check")


if __name__ == "__main__":
    raise SystemExit(main())
