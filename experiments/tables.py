"""Published tables, rebuilt in a process of their own and kept with what made them: experiments/results/tables/NAME-BUDGET.json.

    python experiments/tables.py rochetnet myersonnet
    python experiments/tables.py regretnet --budget full --only additive_2x3_uniform

Rows that are already in the file, and are not asked for again, are kept while their configuration is the same: a long table can be made
in parts.
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


def rebuild(name: str, budget: str, only: list[str], runs: Path | None, before: list[dict]) -> dict:
    """One table, by the command a user types, with what made each row; run folders are thrown away unless `runs` is given. Rows that
    were made `before` and are not asked for now are laid into it as finished."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if runs is None else runs / f"{name}-{budget}"
        for row in before:
            kept = folder / row["name"] / "row.json"
            if only and row["name"] not in only and not newer(kept, row):
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(row))
        words = ["reproduce", name, "--budget", budget, *(word for row in only for word in ("--only", row))]
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", "icsap_jax", *words, "--out", str(folder)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "XDG_CACHE_HOME": scratch})  # fmt: skip
        seconds = time.monotonic() - started
        result = json.loads((folder / "table.json").read_text())
    made = {"command": " ".join(["icsap", *words]), "machine": machine(), "device": result["device"], "versions": result["versions"]}
    rows = [{**row, "made_by": row.get("made_by", made)} for row in result["rows"]]
    return {**result, "rows": rows, "process_seconds": round(seconds, 1)}


def newer(kept: Path, row: dict) -> bool:
    """Whether a run folder holds a row of another configuration than the one that was made before."""
    return kept.exists() and json.loads(kept.read_text())["config_sha256"] != row["config_sha256"]


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
        before = json.loads(path.read_text())["rows"] if path.exists() else []
        result = rebuild(name, arguments.budget, arguments.only, arguments.runs, before)
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{name} ({arguments.budget}): {len(result['rows'])} rows, {result['process_seconds']} s")


if __name__ == "__main__":
    main()
