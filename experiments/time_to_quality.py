"""Time to quality: seconds from the start of a cold process to an evaluated rule, compilation included.

Each setting is trained by the command a user types, in a process of its own with an empty compilation cache; the wall time is the
whole process's. Its `result.json`, with the command, the machine and the time, goes to experiments/results/time_to_quality/, or to
another folder there.

    python experiments/time_to_quality.py additive_1x2_uniform additive_2x2_uniform
    python experiments/time_to_quality.py --domain persuasion --into persuasion_families family_5x5 family_10x10 family_mixed
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
RESULTS = ROOT / "experiments" / "results"


def measure(config: str, overrides: list[str]) -> dict:
    """Train one problem file in a cold process; its result with what made it."""
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
    cores = len(os.sched_getaffinity(0))
    return f"{models[0] if models else 'unknown processor'}, {cores} core{'s' if cores > 1 else ''}"


def main() -> None:
    """Measure the settings named on the command line, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="+", help="names of the domain's problem files")
    parser.add_argument("--domain", default="auctions", help="a folder under configs/")
    parser.add_argument("--into", default="time_to_quality", help="a folder under experiments/results/")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", help="an override, passed on")
    arguments = parser.parse_args()
    results = RESULTS / arguments.into
    results.mkdir(parents=True, exist_ok=True)
    for name in arguments.settings:
        result = measure(f"configs/{arguments.domain}/{name}.yaml", arguments.set)
        (results / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        gap, value = result["incentive_gap"], result["objective"]
        agents = ", ".join(f"{each:.5f}" for each in gap["per_agent"])
        print(f"{name}: {value['value']:.4f} ± {value['std_error']:.4f}, gap {agents}, {result['process_seconds']} s")


if __name__ == "__main__":
    main()
