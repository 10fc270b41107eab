"""A rebuilt table as text for a terminal, or as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HEAD = ("setting", "rule", "published", "ours", "errors apart", "optimum", "best classical", "gap: weak", "gap: strong", "seconds")
EXACT = 1e-6  # a gap below this is rounding


def cells(row: dict[str, Any]) -> list[str]:
    """A row as the strings under HEAD; what is not known is a dash."""
    gap, classical, apart = row["gap"], row["classical"], row["standard_errors_apart"]
    published = _number(row["published"])
    if row["published_gap"] is not None:
        published += f" (gap {short(row['published_gap'])})"
    optimum = _number(row["optimum"]) if row["optimum"] is not None or row["optimum_upper_bound"] is None else \
        f"≤ {_number(row['optimum_upper_bound'])}"
    return [
        row["name"], row["rule"], published, f"{row['value']:.4f} ± {row['std_error']:.4f}", "—" if apart is None else f"{apart:+.1f}",
        optimum, "—" if classical is None else f"{classical['value']:.4f} ({classical['name'].replace('_', ' ')})",
        short(gap["weak"]), short(gap["strong"]), f"{row['seconds']:.0f}",
    ]  # fmt: skip


def short(gap: float) -> str:
    """A gap to two significant digits."""
    return "0" if gap < EXACT else f"{gap:.5f}" if gap < 1e-3 else f"{gap:.4f}"


def printed(result: dict[str, Any], folder: Path) -> str:
    """The table for a terminal, with whose it is above and its notes below."""
    rows = [list(HEAD), *(cells(row) for row in result["rows"])]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    lines = [f"{result['paper']} ({result['budget']} budget, {result['device']})"]
    lines += ["  ".join([f"{row[0]:<{widths[0]}}", f"{row[1]:<{widths[1]}}",
                         *(f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True))]).rstrip() for row in rows]
    lines += [f"{row['name']}: {row['note']}" for row in result["rows"] if row["note"]]
    lines.append(f"published gaps by {result['search']}; ours: weak = ascent from one random misreport, strong = a grid, refined")
    lines.append(str(folder))
    return "\n".join(lines)


def markdown(result: dict[str, Any]) -> str:
    """The table as Markdown."""
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    return "\n".join([*lines, *(f"| {' | '.join(cells(row))} |" for row in result["rows"])])


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.4f}"
