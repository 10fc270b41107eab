"""GemNet beside the affine maximisers: two bidders, two items, several seeds, all on the same 2^20 profiles of a Sobol sequence.

    python experiments/gemnet.py

What two rules earn differs by less than the sampling error of the 100 000 profiles a run is judged on; on these the mean of a bounded
function is off by some 1e-5. Writes experiments/results/gemnet.json.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from scipy.stats import qmc
from time_to_quality import RESULTS, machine

from icsap_jax import artifact, config, evaluation, run, runtime

RULES = ("gemnet", "affine_maximiser", "lottery_ama", "vvca")
SEEDS, POWER, AT_ONCE = 3, 20, 2**14
PROBLEM = {"kind": "auction", "bidders": 2, "items": 2, "prior": {"kind": "uniform", "low": 0, "high": 1}}


def revenue(folder: Path, values: np.ndarray) -> float:
    """What a saved rule earns on average on values [B, 2, 2]."""
    learned = artifact.load(folder)
    with jax.enable_x64(True):
        env, rule = evaluation.as_judged(learned.problem, learned.env, learned.rule)
        earned = jax.jit(lambda reports: learned.problem.decide(env, rule, None, reports).payment.sum())
        return float(sum(earned(part) for part in np.split(values, len(values) // AT_ONCE)) / len(values))


def main() -> None:
    """Train, measure, write."""
    runtime.prepare()
    values = qmc.Sobol(4, seed=0).random_base2(POWER).reshape(-1, 2, 2)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for kind in RULES:
            for seed in range(SEEDS):
                started = time.monotonic()
                folder = Path(scratch) / f"{kind}-{seed}"
                result = run.train(config.parse({"problem": PROBLEM, "rule": {"kind": kind}, "seed": seed}), folder)
                rows.append({
                    "rule": kind, "seed": seed, "revenue": revenue(folder / "artifact", values), "gap": result["incentive_gap"]["max"],
                    "seconds": round(time.monotonic() - started, 1),
                })  # fmt: skip
                print(rows[-1])
    told = {"command": "python experiments/gemnet.py", "machine": machine(), "device": runtime.device_name(),
            "versions": runtime.versions(), "profiles": len(values), "rows": rows}  # fmt: skip
    (RESULTS / "gemnet.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
