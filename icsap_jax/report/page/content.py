"""What the page tells, as plain data: a heading, a row for each member, curves, configurations, and pictures as data URIs.

Lists that hardly differ from member to member, the steps of their curves and the lines of their problem files, are stored once and
numbered, so that a page with a thousand members stays small.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from icsap_jax.report import overview
from icsap_jax.report.fronts import problem_of
from icsap_jax.report.gathered import Gathered, Member

TOLD = ("id", "group", "set", "status", "bad_step", "steps", "objective", "objective_std_error", "gap_mean", "gap_max", "optimum",
        "optimum_upper_bound", "ratio_to_optimum", "seconds_training", "seconds_evaluation", "training_objective", "training_gap",
        "selected")  # fmt: skip


class Numbered:
    """Things that are met again and again, each kept once."""

    def __init__(self) -> None:
        self.places: dict[Any, int] = {}

    def place(self, thing: Any) -> int:
        """The number of a thing, hashable."""
        return self.places.setdefault(thing, len(self.places))

    def all(self) -> list[Any]:
        """The things by their numbers."""
        return list(self.places)


def of(found: Gathered, pictures: dict[int, list[Path]]) -> dict[str, Any]:
    """Everything the page is made of, as JSON can hold it; `pictures`: PNG files by the place of their member."""
    lines, steps, problems, facts = Numbered(), Numbered(), Numbered(), Numbered()
    members = []
    for place, member in enumerate(found.members):
        row = {name: member.row[name] for name in TOLD}
        row["front"] = found.dominated[place] == 0
        row["problem"] = problems.place(problem_of(member.row))
        row["config"] = [lines.place(line) for line in member.config.splitlines()]
        row["curve"] = [steps.place(tuple(member.curve.steps)), member.curve.objective, member.curve.gap]
        row["facts"] = [facts.place(fact) for fact in told(member)]
        row["pictures"] = [[path.stem.replace("_", " "), embedded(path)] for path in pictures.get(place, [])]
        members.append(row)
    level = overview.optimum(found)
    return {
        "title": title(found), "objective": overview.objective_name(found), "keys": found.keys, "planned": found.planned,
        "sweep": found.is_sweep, "heading": heading(found), "rule": found.rule, "noGap": overview.NO_GAP,
        "optimum": None if level is None else {"value": level[0], "words": level[1]},
        "rows": members, "lines": lines.all(), "steps": steps.all(), "facts": facts.all(),
    }  # fmt: skip


def title(found: Gathered) -> str:
    """What the page is called: the problem and the rule, and the name of the folder."""
    first = found.members[0].result
    return f"{first['problem']} · {first['rule']} · {found.folder.resolve().name}"


def heading(found: Gathered) -> list[tuple[str, str]]:
    """What holds of all members, as (what, how much): what varied, on what it ran, when and how long."""
    results, rows = [member.result for member in found.members], found.rows
    names = (_each(result["problem"] for result in results), _each(result["rule"] for result in results),
             _each(str(row["objective_name"]) for row in rows))  # fmt: skip
    facts = [("problem", f"{names[0]}, rule {names[1]}, objective {names[2]}")]
    if found.is_sweep:
        statuses = [row["status"] for row in rows]
        counts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses) if status != "finished")
        done = f"{len(rows)} of {found.planned} done so far" if len(rows) < found.planned else f"all {found.planned} done"
        facts.append(("members", done + (f", of them {counts}" if counts else "")))
        facts.append(("varied", "; ".join(varied(key, [row["set"].get(key) for row in rows]) for key in found.keys)))
    facts.append(("device", _each(str(row["device"]) for row in rows if row["device"])))
    versions = [result.get("versions") or {} for result in results]
    packages = list(dict.fromkeys(name for each in versions for name in each))
    facts.append(("versions", ", ".join(f"{name} {_each(each[name] for each in versions if name in each)}" for name in packages)))
    spent = [f"{duration(sum(seconds))} of {word}" for word, key in (("training", "seconds_training"), ("evaluation", "seconds_evaluation"))
             if (seconds := [row[key] for row in rows if row[key] is not None])]  # fmt: skip
    times = [(member.folder / "result.json").stat().st_mtime for member in found.members]
    last = datetime.fromtimestamp(max(times), UTC).strftime("%Y-%m-%d %H:%M UTC")
    facts.append(("time", f"{', '.join(spent)}{' over all members' if len(rows) > 1 else ''}; last result {last}".removeprefix("; ")))
    return [(word, text) for word, text in facts if text]


def varied(key: str, values: Sequence[Any]) -> str:
    """What a swept key was set to: each value where they are few, else from where to where."""
    each = list(dict.fromkeys(shown(value) for value in values))
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(each) > 6 and len(numbers) == len(values):
        return f"{key}: {len(each)} values from {shown(min(numbers))} to {shown(max(numbers))}"
    return f"{key}: " + (", ".join(each) if len(each) <= 6 else f"{len(each)} values, {', '.join(each[:3])}, …")


def shown(value: Any) -> str:
    """A value of a problem file as one would write it there."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(shown(each) for each in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {shown(each)}' for name, each in value.items())}}}"
    return str(value)


def told(member: Member) -> list[tuple[str, str]]:
    """What the table has no room for, as (what, how much)."""
    row, result = member.row, member.result
    optimum = result.get("optimum") or {}
    facts = [("exact optimum by", ", ".join(text for text in (optimum.get("source"), optimum.get("method")) if text)),
             ("gap searched by", row["gap_method"] or "")]
    if row["participation_violation"]:
        facts.append(("participation violated by", f"{row['participation_violation']:.2g}"))
    facts += [(name.replace("_", " "), f"{value:.4f}") for name, value in (result.get("baselines") or {}).items() if value is not None]
    facts += [("device", row["device"] or ""), ("sha256 of the problem file", row["config_sha256"] or "")]
    return [(word, text) for word, text in facts if text]


def duration(seconds: float) -> str:
    """Seconds as one says them."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def embedded(picture: Path) -> str:
    """A PNG file as a data URI."""
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode("ascii")


def _each(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))
