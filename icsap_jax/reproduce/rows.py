"""The published tables that can be rebuilt, read from `tables/NAME.yaml`.

A table says whose it is, by which search its gaps were found (`search`) and on how many profiles its means are (`profiles`), and has
rows. A row is what was printed for one setting (`published`) and a problem file in parts: `problem`, `rule` (the table's, unless it has
its own), and under `quick` and `full` the training that each budget affords; a row without `quick` is for the full budget alone. What
a table says for all rows stands once, under `quick` and `full` of its own. A row's `note` is about the row and no part of its problem
file: it may change, and what was measured stands.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from icsap_jax.config import Config, ConfigError, parse
from icsap_jax.config.models import nearest
from icsap_jax.config.reading import merge

FOLDER = Path(__file__).parent / "tables"


class Budget(StrEnum):
    """What may be spent: `quick` trains the small settings, one to some seventeen minutes a table on one core or two; `full` the larger
    settings too, and is meant for an accelerator."""

    quick = "quick"
    full = "full"


@dataclass(frozen=True)
class Row:
    """One setting: its `name`, what was `published` of it (`revenue`, and where printed `gap`; None where nothing was), a `note`, and the
    problem file to train."""

    name: str
    published: Mapping[str, float | None]
    note: str
    config: Config


@dataclass(frozen=True)
class Table:
    """A published table: its `name`, the `paper` it is from, what it calls its `search` for gaps, how many `profiles` its means are over,
    and the rows that a budget affords."""

    name: str
    paper: str
    search: str
    profiles: int
    rows: tuple[Row, ...]


def names() -> list[str]:
    """The tables there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def table(name: str, budget: Budget) -> Table:
    """A table as one budget affords it. Raises ConfigError for a name that is none."""
    if name not in names():
        raise ConfigError(f"'{name}' is no table that can be rebuilt; {nearest(name, names())}.")
    plain = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    common = {key: plain.get(key) or {} for key in Budget}
    rows = [_row(each, plain, common[budget], budget) for each in plain["rows"] if budget in each]
    return Table(name=name, paper=plain["paper"], search=plain["search"], profiles=plain["profiles"], rows=tuple(rows))


def chosen(name: str, budget: Budget, only: Collection[str]) -> Table:
    """A table with the rows named in `only` alone, or with all where none is named. Raises ConfigError for what is no table or no row
    of it within the budget."""
    within = table(name, budget)
    beyond = {row.name: other for other in Budget if other is not budget for row in table(name, other).rows}
    known = [row.name for row in within.rows]
    for each in only:
        if each not in known and each in beyond:
            raise ConfigError(f"--only {each} is a row of the budget {beyond[each]} alone; write --budget {beyond[each]}, "
                              f"or one of {', '.join(known)}.")
        if each not in known:
            raise ConfigError(f"--only {each} is no row of {name}; {nearest(each, known)}.")
    return replace(within, rows=tuple(row for row in within.rows if not only or row.name in only))


def _row(row: Mapping[str, Any], plain: Mapping[str, Any], common: Mapping[str, Any], budget: Budget) -> Row:
    data = {"problem": row["problem"], "rule": row.get("rule", plain.get("rule"))}
    data = merge({key: value for key, value in data.items() if value is not None}, merge(common, row[budget] or {}))
    return Row(name=row["name"], published=row.get("published") or {}, note=row.get("note", ""),
               config=parse(data, Path(), f"{plain['rows'].index(row) + 1}. row of {budget}"))
