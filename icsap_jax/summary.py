"""A result as a few lines a person reads: the objective always with the gap beside it, then the exact optimum, the classical
rules, and where the files are."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def table(result: dict[str, Any], folder: Path) -> str:
    """The lines for a `result.json`; `folder` is the run's."""
    objective, gap = result["objective"], result["incentive_gap"]
    name = objective["name"]
    exact = objective.get("std_error") == 0  # every profile was weighed, none drawn
    error = "" if exact or objective.get("std_error") is None else f" ± {objective['std_error']:.4f}"
    kind = "all" if exact else "fresh"
    over = f"on {objective['profiles']:,} {kind} profiles, " if objective.get("profiles") else ""
    agents = ", ".join(_short(each) for each in gap["per_agent"])
    rows = [(name, f"{objective['value']:.4f}{error}", f"{over}at a mean gap of {_short(gap['mean'])}"),
            ("incentive gap (regret)", f"{_short(gap['mean'])}",
             f"largest {_short(gap['max'])}; per agent {agents}; searched by {gap['method']}")]
    rows += _optimum_rows(result.get("optimum"), result.get("ratio_to_optimum"))
    if objective.get("upper_bound") is not None:
        rows.append((f"proven bound on {name}", f"{objective['upper_bound']:.4f}", ""))
    for rule, value in (result.get("baselines") or {}).items():
        rows.append((rule.replace("_", " "), "—" if value is None else f"{value:.4f}", ""))
    seconds = (result.get("details") or {}).get("seconds", {}).get("training", result["wall_seconds"])
    rows.append(("training", f"{seconds:.1f} s", f"{result['steps']:,} steps on {result['device']}, {result['wall_seconds']:.1f} s in all"))
    rows += _places(folder)
    return _aligned(f"{result['problem']} · {result['rule']} · seed {result['seed']}", rows)


def exact_answer(answer: dict[str, Any]) -> str:
    """The lines for what `optimum` found."""
    rows = _optimum_rows(answer, None)
    return _aligned("", rows) if rows else "No exact answer or bound is known for this problem."


def _optimum_rows(answer: dict[str, Any] | None, ratio: float | None) -> list[tuple[str, str, str]]:
    answer = answer or {}
    note = ", ".join(text for text in (answer.get("method"), answer.get("source")) if text)
    rows = []
    if answer.get("value") is not None:
        reached = "" if ratio is None else f"{100 * ratio:.1f} % of it reached; "
        rows.append(("exact optimum", f"{answer['value']:.4f}", f"{reached}{note}"))
    if answer.get("upper_bound") is not None and answer["upper_bound"] != answer.get("value"):
        rows.append(("optimum at most", f"{answer['upper_bound']:.4f}", "" if rows else note))
    return rows


def _places(folder: Path) -> list[tuple[str, str, str]]:
    """What there is to look at in the run folder."""
    rows = [(label, "", str(folder / part)) for label, part in (("result", "result.json"), ("artifact", "artifact"))
            if (folder / part).exists()]
    pictures = sorted((folder / "plots").glob("*.png"))
    return rows + ([("pictures", "", ", ".join(str(picture) for picture in pictures))] if pictures else [])


def _short(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2g}"


def _aligned(title: str, rows: list[tuple[str, str, str]]) -> str:
    widths = [max(len(row[place]) for row in rows) for place in (0, 1)]
    lines = [f"{first:<{widths[0]}}  {second:>{widths[1]}}  {third}".rstrip() for first, second, third in rows]
    return "\n".join(([title] if title else []) + lines)
