"""Published tables, rebuilt in a process of their own and kept with what made them: experiments/results/tables/NAME-BUDGET.json.

    python experiments/tables.py rochetnet myersonnet
    python experiments/tables.py regretnet --budget full --only additive_2x3_uniform

Rows that are already in the file, and are not asked for again, are kept: a long table can be made in parts.
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

from time_to_quality import ROOT, machine

RESULTS = ROOT / "experiments" / "results" / "tables"


def rebuild(name: str, budget: str, only: list[str], runs: Path | None) -> dict:
    """One table, by the command a user types, with what made it; run folders are thrown away unless `runs` is given."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if runs is None else runs / f"{name}-{budget}"
        words = ["reproduce", name, "--budget", budget, *(word for row in only for word in ("--only", row))]
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", "icsap_jax", *words, "--out", str(folder)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "XDG_CACHE_HOME": scratch})  # fmt: skip
        seconds = time.monotonic() - started
        result = json.loads((folder / "table.json").read_text())
    made = {"command": " ".join(["icsap", *words]), "machine": machine(), "device": result["device"], "versions": result["versions"]}
    return {**result, "rows": [{**row, "made_by": made} for row in result["rows"]], "process_seconds": round(seconds, 1)}


def joined(before: dict, now: dict) -> dict:
    """A table with the rows of both, those of now where a row is in both, in the order of the first."""
    rows = {row["name"]: row for row in before.get("rows", [])} | {row["name"]: row for row in now["rows"]}
    return {**now, "rows": list(rows.values()), "wall_seconds": round(sum(row["seconds"] for row in rows.values()), 1)}


def main() -> None:
    """Rebuild the tables named on the command line, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--budget", default="quick", choices=["quick", "full"])
    parser.add_argument("--only", action="append", default=[], metavar="ROW")
    parser.add_argument("--runs", type=Path, help="a folder to keep the runs in, which then go on where they were stopped")
    arguments = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in arguments.tables:
        path = RESULTS / f"{name}-{arguments.budget}.json"
        before = json.loads(path.read_text()) if path.exists() else {}
        result = joined(before, rebuild(name, arguments.budget, arguments.only, arguments.runs))
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{name} ({arguments.budget}): {len(result['rows'])} rows, {result['process_seconds']} s")


if __name__ == "__main__":
    main()
