"""Seconds from the command to the first metrics of a 2×2 run, in a new process: with an empty compilation cache, then with it full.

    python experiments/benchmarks/start_up.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from icsap_jax import runtime

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results" / "start_up.json"
COMMAND = ["-m", "icsap_jax", "train", "configs/auctions/additive_2x2_uniform.yaml", "training.chunk=10"]


def first_metrics(scratch: Path, name: str) -> float:
    """Seconds until the first line of metrics.jsonl is there; the run is then killed."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, *COMMAND, "--out", str(scratch / name)], cwd=ROOT,
                               env={**os.environ, "XDG_CACHE_HOME": str(scratch)}, stderr=subprocess.DEVNULL)  # fmt: skip
    metrics = scratch / name / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size):
        if process.poll() is not None:
            raise SystemExit(f"the run ended with status {process.returncode} before its first metrics")
        time.sleep(0.02)
    seconds = time.monotonic() - started
    process.kill()
    process.wait()
    return round(seconds, 2)


def main() -> None:
    """Measure a cold and a warm start and write both down."""
    with tempfile.TemporaryDirectory() as scratch:
        found = {f"{name}_seconds": first_metrics(Path(scratch), name) for name in ("cold", "warm")}
    command = "python experiments/benchmarks/start_up.py"
    record = {"command": command, "run": " ".join(["icsap", *COMMAND[2:]]), "device": runtime.device_name(),
              "versions": runtime.versions(), **found}  # fmt: skip
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")
    print(found)


if __name__ == "__main__":
    main()
