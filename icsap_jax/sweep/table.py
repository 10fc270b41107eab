"""The table of a sweep, one row a member, read from the members' folders; and which of them is the best. No jax here."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from icsap_jax import files
from icsap_jax.config import ConfigError
from icsap_jax.sweep import folder
from icsap_jax.sweep.schema import Select

PARQUET, CSV = "sweep.parquet", "sweep.csv"
Row = dict[str, Any]


def rows(out: Path) -> list[Row]:
    """Every finished member in the order of the sweep, flat but for `set`; what there is not is None. Raises ConfigError where `out` is not
    the folder of a sweep."""
    there = [each["id"] for each in folder.plan(out)["members"] if folder.done(out, each["id"])]
    chosen = selected(out)
    return [row(_result(out / folder.DONE / name / "result.json"), name == chosen) for name in there]


def _result(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: is damaged ({error}); give the same sweep command again, which trains this member again.") from error


def row(result: dict[str, Any], chosen: bool) -> Row:
    """One row, of a member's `result.json`."""
    about, objective, gap, optimum = result["sweep"], result["objective"], result["incentive_gap"], result.get("optimum") or {}
    details = result.get("details") or {}
    training, seconds = details.get("training") or {}, details.get("seconds") or {}
    return {
        "id": about["id"], "group": about["group"], "status": about["status"], "bad_step": about["bad_step"], "steps": result["steps"],
        "seed": result["seed"], "set": about["set"], "objective_name": objective["name"], "objective": objective["value"],
        "objective_std_error": objective["std_error"], "gap_mean": gap["mean"], "gap_max": gap["max"], "gap_method": gap["method"],
        "optimum": optimum.get("value"), "optimum_upper_bound": optimum.get("upper_bound"),
        "ratio_to_optimum": result["ratio_to_optimum"], "shortfall": result["shortfall"],
        "participation_violation": result["participation_violation"], "training_objective": training.get("objective"),
        "training_gap": training.get("gap"), "seconds_training": seconds.get("training"), "seconds_evaluation": seconds.get("evaluation"),
        "device": result["device"], "config_sha256": result["config_sha256"], "selected": chosen,
    }  # fmt: skip


def selected(out: Path) -> str | None:
    """The id of the member that was selected, None before there is one."""
    try:
        return json.loads((out / folder.BEST_RULE).read_text(encoding="utf-8"))["id"]
    except (OSError, ValueError, KeyError):
        return None


def best(table: Sequence[Row], rule: Select) -> tuple[Row | None, str]:
    """The member with the highest objective among those whose mean gap is at most the rule's, and the rule in words; where none is within
    it, the one with the smallest gap, which the words then say. None where nothing was measured."""
    measured = [each for each in table if each["objective"] is not None and each["gap_mean"] is not None]
    if not measured:
        return None, "no member has a finite result"
    within = [each for each in measured if each["gap_mean"] <= rule.gap]
    name = measured[0]["objective_name"]
    if within:
        return max(within, key=lambda each: each["objective"]), f"highest {name} subject to a mean gap ≤ {rule.gap:g}"
    return min(measured, key=lambda each: each["gap_mean"]), f"smallest mean gap, as no member's is ≤ {rule.gap:g}"


def write(out: Path, table: Sequence[Row]) -> Path:
    """The table as `sweep.parquet`, or as `sweep.csv` where pyarrow is missing, replaced as a whole."""
    flat = [_flat(each, out) for each in table]
    if find_spec("pyarrow") is None:
        return _write_csv(flat, out / CSV)
    import pyarrow
    import pyarrow.parquet

    names = list(dict.fromkeys(name for each in flat for name in each))
    columns = {name: _column([each.get(name) for each in flat]) for name in names}
    with files.replacing(out / PARQUET) as partial:
        pyarrow.parquet.write_table(pyarrow.table(columns), partial)
    return out / PARQUET


def _flat(each: Row, out: Path) -> Row:
    """A row with a column for each key that varies, and the member's problem file as text."""
    plain = {name: value for name, value in each.items() if name != "set"}
    varied = {f"set.{key}": value for key, value in each["set"].items()}
    config = (out / folder.DONE / each["id"] / "config.yaml").read_text(encoding="utf-8")
    return {"id": plain.pop("id"), **varied, **plain, "config": config}


def _column(values: list[Any]) -> list[Any]:
    """Values of one type: numbers are floats where one is, and lists, or what is of several types, are written as JSON."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and float in kinds:
        return [None if value is None else float(value) for value in values]
    if len(kinds) > 1 or kinds & {list, dict}:
        return [None if value is None else json.dumps(value) for value in values]
    return values


def _write_csv(flat: Sequence[Row], path: Path) -> Path:
    names = list(dict.fromkeys(name for each in flat for name in each))
    with files.replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for each in flat:
            writer.writerow({name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in each.items()})
    return path


def printed(table: Sequence[Row], count: int, best_row: Row | None, rule: str, out: Path) -> str:
    """The lines a person reads when a sweep is done: how many members, and the best few, each objective with its gap."""
    measured = sorted((each for each in table if each["objective"] is not None), key=lambda each: -each["objective"])
    states = {state: sum(each["status"] == state for each in table) for state in dict.fromkeys(each["status"] for each in table)}
    lines = [f"{count} members: " + ", ".join(f"{number} {state}" for state, number in states.items())]
    if best_row is not None:
        shown = [best_row, *[each for each in measured if each["id"] != best_row["id"]][:4]]
        width = max(len(each["id"]) for each in shown)
        for each in shown:
            optimum = "" if each["ratio_to_optimum"] is None else f"  {100 * each['ratio_to_optimum']:.1f} % of the optimum"
            mark = "best" if each is best_row else "    "
            told = f"{each['objective_name']} {each['objective']:.4f}  mean gap {each['gap_mean']:.2g}  largest {each['gap_max']:.2g}"
            lines.append(f"{mark}  {each['id']:<{width}}  {told}{optimum}")
    lines.append(f"selected: {rule}")
    table_file = next((out / name for name in (PARQUET, CSV) if (out / name).exists()), out)
    lines += [f"table  {table_file}", f"best   {out / folder.BEST}", f"page   icsap report {out}"]
    return "\n".join(lines)
