"""The end of `make demo`: export the auction just learned, run it on a file of bids, and print one table of what it is worth.

    icsap train configs/auctions/additive_1x2_uniform.yaml --out runs/demo
    python -m icsap_jax.demo [RUN [BIDS.csv]]
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

from icsap_jax.config import ConfigError

RUN = Path("runs/demo")
BIDS = Path("configs/auctions/bids_1x2.csv")
TRAIN = "icsap train configs/auctions/additive_1x2_uniform.yaml --out"
SHOWN = 5  # rows of answers printed


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, or 2 with one sentence on standard error when something is missing or damaged."""
    given = [Path(each) for each in (sys.argv[1:] if arguments is None else arguments)]
    try:
        print(demonstrate(*given[:2]))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def demonstrate(run: Path = RUN, bids: Path = BIDS) -> str:
    """Export the rule of `run` as StableHLO, answer `bids` into run/allocations.csv (the files' hashes are checked on the way), and
    the text to print. Raises ConfigError when `run` was not trained or `bids` is not there."""
    for path in (run / "result.json", run / "artifact" / "manifest.json"):
        if not path.is_file():
            raise ConfigError(f"{path}: there is no finished run in {run}; make one by: {TRAIN} {run}")
    if not bids.is_file():
        raise ConfigError(f"{bids}: there is no such table of bids; start from the top folder of the checkout, or name the file.")
    from icsap_jax import artifact, summary

    exported = artifact.export(run, "stablehlo", run / "rule.stablehlo")
    answers = run / "allocations.csv"
    count = artifact.apply(run, bids, answers)
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    files = [("exported rule", exported), ("allocations", answers)]
    width = max(len(label) for label, _ in files)
    return "\n".join([
        "", summary.table(result, run), "",
        f"The rule answered {count} rows of bids from {bids}; the first of them:", "",
        first_rows(answers, SHOWN), "",
        *(f"{label:<{width}}  {path}" for label, path in files),
    ])  # fmt: skip


def first_rows(table: Path, count: int) -> str:
    """The header and the first `count` rows of a CSV file in aligned columns, numbers to four decimals."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = [[_cell(cell) for cell in row] for row, _ in zip(csv.reader(file), range(count + 1), strict=False)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)


def _cell(text: str) -> Any:
    try:
        return f"{float(text):.4f}" if "." in text or "e" in text else text
    except ValueError:
        return text


if __name__ == "__main__":
    raise SystemExit(main())
