"""Seconds the strong search takes for 1 000 fresh profiles of a trained rule, compiled already; the gap it finds beside it.

    python experiments/benchmarks/search_time.py runs/additive_2x2_uniform
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from icsap_jax import artifact, runtime
from icsap_jax.bilevel.deviations import Search, box_gap, double

RESULTS = Path(__file__).resolve().parents[2] / "experiments" / "results" / "search_time.json"
PROFILES = 1000


def main() -> None:
    """Measure the run folder named on the command line, three times, and write the median down."""
    folder = Path(sys.argv[1])
    runtime.prepare()
    loaded = artifact.load(folder / "artifact")
    problem, settings = loaded.problem, loaded.config.evaluation
    search = Search(joint=settings.joint_grid, single=settings.item_grid, starts=settings.starts, steps=settings.steps)
    seconds = []
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jnp.asarray, (double(loaded.env), double(loaded.rule)))
        draw = problem.draw(env, jax.random.key(settings.seed), PROFILES)
        for _ in range(4):  # the first compiles
            started = time.monotonic()
            gap = box_gap(problem, search, env, rule, draw)
            seconds.append(time.monotonic() - started)
    record = {
        "command": f"python experiments/benchmarks/search_time.py {folder.name}", "device": runtime.device_name(),
        "versions": runtime.versions(), "profiles": PROFILES, "method": search.method(problem.agents, draw.types.shape[-1]),
        "seconds": round(sorted(seconds[1:])[1], 2), "first_seconds": round(seconds[0], 2), "mean_gap": float(gap.mean()),
    }  # fmt: skip
    RESULTS.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(record)


if __name__ == "__main__":
    main()
