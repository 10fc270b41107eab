"""A result as a few lines a person reads: the objective always with the gap beside it, then the exact optimum, the classical
rules, and for a run how long it took and where its files are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

VIOLATED = 1e-6  # what is less is rounding


def table(result: dict[str, Any], folder: Path) -> str:
    """The lines for the `result.json` of a run in `folder`."""
    seconds = (result.get("details") or {}).get("seconds", {}).get("training", result["wall_seconds"])
    took = (f"{seconds:.1f} s", f"{result['steps']:,} steps on {result['device']}, {result['wall_seconds']:.1f} s in all")
    return _aligned(_title(result), [*_measured(result), ("training", *took), *_places(folder)])


def measured(result: dict[str, Any]) -> str:
    """The lines for what an evaluation found of a rule; the run that it came from is not told again."""
    return _aligned(_title(result), _measured(result))


def _title(result: dict[str, Any]) -> str:
    return f"{result['problem']} · {result['rule']} · seed {result['seed']}"


def _measured(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    objective, gap = result["objective"], result["incentive_gap"]
    name = objective["name"]
    exact = objective.get("std_error") == 0  # every profile was weighed, none drawn
    error = "" if exact or objective.get("std_error") is None else f" ± {objective['std_error']:.4f}"
    count = objective.get("profiles")
    over = "" if not count else "weighing every profile, " if exact else f"on {count:,} fresh profiles, "
    agents = ", ".join(_short(each) for each in gap["per_agent"])
    rows = [(name, f"{objective['value']:.4f}{error}", f"{over}at a mean gap of {_short(gap['mean'])}"),
            ("incentive gap (regret)", f"{_short(gap['mean'])}",
             f"largest {_short(gap['max'])}; per agent {agents}; searched by {gap['method']}")]
    adversarial = objective.get("adversarial_ties")
    if adversarial is not None:
        others = (result.get("details") or {}).get("equilibria")
        rows.append(("ties against it", f"{adversarial:.4f}", f"{name} where an indifferent agent does what is worst for it")
                    if others is None else ("at worst", f"{adversarial:.4f}", f"{name} at the worst of {others['count']} equilibria found"))
    rows += _violations(result) + _optimum_rows(result.get("optimum"), result.get("ratio_to_optimum"))
    if objective.get("upper_bound") is not None:
        rows.append((f"proven bound on {name}", f"{objective['upper_bound']:.4f}", ""))
    for rule, value in (result.get("baselines") or {}).items():
        rows.append((rule.replace("_", " "), "—" if value is None else f"{value:.4f}", ""))
    return rows


def _violations(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What the rule may not do and does."""
    details = result.get("details") or {}
    missed = [(f"{name} missed", each, "by how much what is asked is not met") for name, each in details.get("constraints", {}).items()]
    missed += [(f"{name} missed", each["value"], f"on average, ± {_short(each['std_error'])}")
               for name, each in details.get("averages", {}).items()]
    found = (("participation violated", result.get("participation_violation"), "the most an agent loses by taking part"),
             ("feasibility violated", details.get("feasibility_violation"), "by how much more is given than there is"), *missed)
    return [(name, _short(value), text) for name, value, text in found if value is not None and value > VIOLATED]


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
    if answer.get("lower_bound") is not None:
        rows.append(("optimum at least", f"{answer['lower_bound']:.4f}", "" if rows else note))
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
