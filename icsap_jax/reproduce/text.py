"""A rebuilt table as text: its rows as cells, what is to be remarked of them, and the whole for a terminal.

A remark that follows from a row's numbers is made here and kept in no file; a file's `note` is what the table says of the row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from icsap_jax.evaluation import corrected

HEAD = ("setting", "rule", "published", "ours", "errors apart", "optimum", "best classical", "gap: weak", "gap: strong", "gap paid for",
        "seconds")  # fmt: skip
EXACT = 1e-6  # a gap below this is rounding
ROUNDING = 1e-6  # of a printed number, relative: an optimum printed whole is not above itself
LEAST = 1e-3  # a gap that papers print as less than this stands in the tables as this
BELOW = (
    "errors apart: (ours − published) / √(our standard error² + our spread² / their number of profiles); + means ours is higher; "
    "the authors print no errors",
    "gap paid for: (√P − √R)² with P our revenue and R the sum of the bidders' strong gaps; proved for one bidder, and for several in "
    "expectation over the others",
)


def cells(row: dict[str, Any]) -> list[str]:
    """A row as the strings under HEAD; what is not known is a dash."""
    gap, classical, apart = row["gap"], row["classical"], row["standard_errors_apart"]
    published = _number(row["published"])
    if row["published_gap"] is not None:
        published += " (gap < .001)" if row["published_gap"] <= LEAST else f" (gap {short(row['published_gap'])})"
    optimum = _number(row["optimum"]) if row["optimum"] is not None or row["optimum_upper_bound"] is None else \
        f"≤ {_number(row['optimum_upper_bound'])}"
    return [
        row["name"], row["rule"], published, f"{row['value']:.4f} ± {row['std_error']:.4f}", "—" if apart is None else f"{apart:+.1f}",
        optimum, "—" if classical is None else f"{classical['value']:.4f} ({classical['name'].replace('_', ' ')})",
        short(gap["weak"]), short(gap["strong"]), _number(paid_for(row)), f"{row['seconds']:.0f}",
    ]  # fmt: skip


def remarks(row: dict[str, Any]) -> str:
    """The row's note, and that what was published is above the most a strategyproof rule earns, with why that may be; empty: neither."""
    bound = row["optimum"] if row["optimum"] is not None else row["optimum_upper_bound"]
    if row["published"] is None or bound is None or row["published"] <= bound * (1 + ROUNDING):
        return row["note"]
    above = f"published {100 * (row['published'] / bound - 1):.2g} % above the most a strategyproof rule earns"
    why = ", as this one is: the sampling error of their test profiles" if row["strategyproof"] else \
        ": its gap, or the sampling error of their test profiles"
    return "; ".join(part for part in (row["note"], above + why) if part)


def paid_for(row: dict[str, Any]) -> float:
    """What is surely left of a row's revenue once its gap is paid for, as `details.corrected_objective` of its run has it."""
    return corrected(row["value"], sum(row["gap"]["per_agent"]))


def short(gap: float) -> str:
    """A gap to two significant digits."""
    return "0" if gap < EXACT else f"{gap:.5f}" if gap < 1e-3 else f"{gap:.4f}"


def printed(result: dict[str, Any], folder: Path) -> str:
    """The table for a terminal, with whose it is above, and below it remarks on rows and what its columns are."""
    rows = [list(HEAD), *(cells(row) for row in result["rows"])]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    lines = [f"{result['paper']} ({result['budget']} budget, {result['device']})"]
    lines += ["  ".join([f"{row[0]:<{widths[0]}}", f"{row[1]:<{widths[1]}}",
                         *(f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True))]).rstrip() for row in rows]
    lines += [f"{row['name']}: {remarks(row)}" for row in result["rows"] if remarks(row)]
    lines.append(f"search for gaps, theirs: {result['search']}; weak: ascent from one random misreport; strong: a grid of reports or many "
                 "random ones, then ascent from the best of each part of them")
    return "\n".join([*lines, *BELOW, str(folder)])


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.4f}"
