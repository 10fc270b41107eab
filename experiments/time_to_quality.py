"""Time to quality: seconds from the start of a cold process to an evaluated rule, compilation included.

Each setting is trained by the command a user types, in a process of its own with an empty compilation cache; the wall time is the
whole process's. Its `result.json`, with the command, the machine and the time, goes to experiments/results/time_to_quality/.

    python experiments/time_to_quality.py additive_1x2_uniform additive_2x2_uniform
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results" / "time_to_quality"


def measure(name: str, overrides: list[str]) -> dict:
    """Train one setting in a cold process; its result with what made it."""
    config = f"configs/auctions/{name}.yaml"
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "icsap_jax", "train", config, *overrides, "--out", f"{scratch}/run"]
        started = time.monotonic()
        subprocess.run(command, cwd=ROOT, env={**os.environ, "XDG_CACHE_HOME": scratch}, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - started
        result = json.loads(Path(scratch, "run", "result.json").read_text())
    return {"command": " ".join(["icsap train", config, *overrides]), "process_seconds": round(seconds, 1), "machine": machine(), **result}


def machine() -> str:
    """The processor and how many cores of it a process may use."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else 'unknown processor'}, {len(os.sched_getaffinity(0))} cores"


def main() -> None:
    """Measure the settings named on the command line, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="+", help="names under configs/auctions/")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", help="an override, passed on")
    arguments = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in arguments.settings:
        result = measure(name, arguments.set)
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        gap, value = result["incentive_gap"], result["objective"]
        agents = ", ".join(f"{each:.5f}" for each in gap["per_agent"])
        print(f"{name}: {value['value']:.4f} ± {value['std_error']:.4f}, gap {agents}, {result['process_seconds']} s")


if __name__ == "__main__":
    main()
