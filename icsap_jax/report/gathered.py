"""What a page tells, read from a folder: the finished members of a sweep, or the one run that a run folder holds. No jax here.

A sweep may still be running: what is finished is gathered, and how many there will be is told beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from icsap_jax.config import ConfigError
from icsap_jax.report import curves
from icsap_jax.report.fronts import Row, dominated_by

FINISHED, NOT_FINITE, DROPPED = "finished", "not finite", "dropped"


@dataclass(frozen=True)
class Member:
    """One finished member: its row of the sweep's table, its `result.json`, its curve, the text of its `config.yaml`, and its folder."""

    row: Row
    result: dict[str, Any]
    curve: curves.Curve
    config: str
    folder: Path

    @property
    def id(self) -> str:
        """Its name in the sweep, or that of its folder."""
        return str(self.row["id"])


@dataclass(frozen=True)
class Gathered:
    """Everything of one folder: the members that are finished, how many there are to be, the rule by which one was selected (None: none
    was yet, or there is but one), and whether it is a sweep."""

    folder: Path
    members: tuple[Member, ...]
    planned: int
    rule: str | None
    is_sweep: bool

    @cached_property
    def rows(self) -> list[Row]:
        """Of the table, in order."""
        return [member.row for member in self.members]

    @cached_property
    def keys(self) -> list[str]:
        """The dotted keys that vary, in the order in which they were listed."""
        return list(dict.fromkeys(key for row in self.rows for key in row["set"]))

    @cached_property
    def dominated(self) -> list[int | None]:
        """For each row by how many it is dominated, 0 on the Pareto front."""
        return dominated_by(self.rows)

    @cached_property
    def selected(self) -> int | None:
        """The place of the selected member."""
        return next((place for place, row in enumerate(self.rows) if row["selected"]), None)


def gather(path: Path) -> Gathered:
    """What is in a run or sweep folder. Raises ConfigError where it is neither, where nothing in it is finished, or where a file of it
    cannot be read."""
    if not path.exists():
        raise ConfigError(f"{path}: there is no such folder; name the folder of a run or of a sweep.")
    if not path.is_dir():
        raise ConfigError(f"{path}: is a file; name the folder of a run or of a sweep.")
    if (path / "members.json").is_file():
        return _sweep(path)
    if (path / "result.json").is_file() and not (path / "manifest.json").exists():
        return Gathered(path, (_member(path, None),), 1, None, False)
    if (path / "config.yaml").is_file() and (path / "metrics.jsonl").is_file():
        raise ConfigError(f"{path}: this run is not finished; run the same train command to resume it, then report.")
    raise ConfigError(f"{path}: neither a run folder (with result.json) nor a sweep's (with members.json); train or sweep first.")


def _sweep(path: Path) -> Gathered:
    from icsap_jax.sweep import folder, table

    planned = folder.plan(path)["members"]
    rows = table.rows(path)
    if not rows:
        raise ConfigError(f"{path}: none of the sweep's {len(planned)} members is finished; run the same sweep command to continue it, "
                          "then report.")
    for row in rows:
        if Path(row["id"]).name != row["id"]:  # an id names folders, and a file from elsewhere may say anything
            raise ConfigError(f"{path / 'members.json'}: the id {row['id']!r} is not the name of a folder.")
    best = path / "best.json"
    rule = _json(best).get("rule") if best.is_file() else None
    return Gathered(path, tuple(_member(path / "members" / row["id"], row) for row in rows), len(planned), rule, True)


def _member(folder: Path, row: Row | None) -> Member:
    result = _json(folder / "result.json")
    try:
        row = row or row_of(result, folder.resolve().name)
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{folder / 'result.json'}: is not the result of a run (it lacks {error}); train again.") from error
    config = folder / "config.yaml"
    curve = curves.read(folder / "metrics.jsonl", int(result.get("member") or 0))
    return Member(row, result, curve, config.read_text(encoding="utf-8") if config.is_file() else "", folder)


def row_of(result: dict[str, Any], name: str) -> Row:
    """A run's result as a row of a sweep's table, of which it is the only and the selected one."""
    from icsap_jax.sweep import table

    members = (result.get("details") or {}).get("members", [])
    bad = next((each["bad_step"] for each in members if each["member"] == result.get("member")), None)
    about = {"id": name, "group": None, "set": {}, "status": FINISHED if bad is None else NOT_FINITE, "bad_step": bad}
    return table.row({**result, "sweep": about}, True)


def _json(path: Path) -> dict[str, Any]:
    """A JSON file that holds a mapping."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: this file cannot be read ({error}).") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: should be a mapping; get a fresh copy.")
    return found
