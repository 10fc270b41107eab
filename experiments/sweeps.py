"""Three sweeps by the command a user types: the price of fairness, a search by successive halving, and the same search without it.

    python experiments/sweeps.py
    python experiments/sweeps.py price_of_fairness

Writes experiments/results/sweeps/NAME.json: every row of the table, what was selected and by which rule, the steps that all members took
together and the seconds of the whole process; and the scatter that `icsap report` draws, NAME.png.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from time_to_quality import RESULTS, ROOT, machine

# Of each: the file, and what differs from it.
SWEEPS = {
    "price_of_fairness": ("configs/sweeps/price_of_fairness.yaml", []),
    "halving": ("configs/sweeps/regretnet_1x2_halving.yaml", []),
    "without_halving": ("configs/sweeps/regretnet_1x2_halving.yaml", ["sweep.halving=null"]),
}


def icsap(*arguments: str) -> str:
    """What the command prints."""
    return subprocess.run([sys.executable, "-m", "icsap_jax", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Run those named, or all, one after the other."""
    for name in sys.argv[1:] or SWEEPS:
        file, changes = SWEEPS[name]
        with tempfile.TemporaryDirectory() as scratch:
            started = time.monotonic()
            found = json.loads(icsap("sweep", file, *changes, "--out", f"{scratch}/sweep", "--json"))
            seconds = time.monotonic() - started
            icsap("report", f"{scratch}/sweep", "--pictures", "0")
            best = json.loads(Path(scratch, "sweep", "best", "result.json").read_text())
            (RESULTS / "sweeps").mkdir(exist_ok=True)
            shutil.copyfile(Path(scratch, "sweep", "plots", "scatter.png"), RESULTS / "sweeps" / f"{name}.png")
        record = {
            "command": " ".join(["icsap sweep", file, *changes]), "machine": machine(), "device": best["device"],
            "versions": best["versions"], "process_seconds": round(seconds, 1), "members": found["members"],
            "member_steps": sum(row["steps"] for row in found["rows"]), "best": found["best"], "rule": found["rule"], "rows": found["rows"],
        }  # fmt: skip
        (RESULTS / "sweeps" / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
        row = next(row for row in found["rows"] if row["id"] == found["best"])
        print(f"{name}: {row['id']} {row['objective']:.4f} at a mean gap of {row['gap_mean']:.2g}, {seconds:.0f} s")


if __name__ == "__main__":
    main()
