"""Observed valuations on disk → a float64 table: what an `empirical` prior resamples; and allocations that people have labelled.

A file of valuations has one row for each observation and either M columns (one bidder's values for the items) or N·M columns (a whole
profile: bidder 1's items, then bidder 2's …). CSV (a header is optional), Parquet and .npy are read; whatever is wrong is named
by file, row and column. A row's number is its line in a CSV file as an editor shows it, and its position from 1 in the other
formats. numpy only, so that a problem file is checked before jax is imported.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.config import ConfigError

FORMATS = ".csv, .parquet or .npy"
ROUNDED = 1e-3  # by which shares that people have written down may add up to more than 1


def read_valuations(path: Path | str, agents: int, items: int) -> np.ndarray:
    """The valuations in `path`, float64, [R, M] or [R, N·M]. Raises ConfigError naming file, row and column."""
    path = Path(path)
    table, lines, names = _read(path, "valuations", "a valuation")
    if len(table) == 0:
        raise ConfigError(f"{path}: the file is empty; give at least one row of {items} valuations.")
    if table.shape[1] not in (items, agents * items):
        wanted = f"{items} (one for each item)"
        if agents > 1:
            wanted += f" or {agents * items} (bidders × items: whole profiles)"
        raise ConfigError(f"{path}: the file has {_count(table.shape[1], 'column')}, but this auction needs {wanted}.")
    wrong = np.argwhere(~(np.isfinite(table) & (table >= 0)))
    if len(wrong):
        row, column = wrong[0]
        raise ConfigError(_cell(path, lines[row], names[column], table[row, column], "a valuation"))
    return table


def read_labelled(path: Path | str, agents: int, items: int) -> tuple[np.ndarray, np.ndarray]:
    """Allocations that people have labelled: shares [R, N·M], each bidder's behind the last one's, and whether they are liked, [R], 1 or 0;
    float64. Raises ConfigError naming file, row and column."""
    table, lines, names = _read(Path(path), "labelled allocations", "a share")
    if len(table) == 0:
        raise ConfigError(f"{path}: the file is empty; give at least one allocation that is liked and one that is not.")
    if table.shape[1] != agents * items + 1:
        raise ConfigError(f"{path}: the file has {_count(table.shape[1], 'column')}, but this auction needs {agents * items + 1} "
                          "(bidders × items shares, and 1 or 0).")
    shares, said = table[:, :-1], table[:, -1]
    wrong = np.argwhere(~(np.isfinite(shares) & (shares >= 0)))
    if len(wrong):
        row, column = wrong[0]
        raise ConfigError(_cell(path, lines[row], names[column], shares[row, column], "a share"))
    unclear = np.flatnonzero((said != 0) & (said != 1))
    if unclear.size:
        row = int(unclear[0])
        raise ConfigError(f"{path}, row {lines[row]}, column {names[-1]}: a label must be 1, liked, or 0, not '{said[row]:g}'.")
    given = shares.reshape(-1, agents, items).sum(1)
    too_much = np.argwhere(given > 1 + ROUNDED)
    if len(too_much):
        row, item = too_much[0]
        raise ConfigError(f"{path}, row {lines[row]}: gives {given[row, item]:g} of item {item + 1}; an item's shares add up to 1 at most.")
    if said.min() == said.max():
        raise ConfigError(f"{path}: every allocation has the label {said[0]:g}, from which nothing can be learned; give some of both.")
    return shares, said


def columns(path: Path | str) -> int | None:
    """How many columns a file of valuations has, from the head of it; None where it cannot be read, which `read_valuations` explains."""
    path = Path(path)
    try:
        match path.suffix.lower():
            case ".csv":
                with path.open(newline="", encoding="utf-8-sig") as file:
                    return next((len(row) for row in csv.reader(file) if any(cell.strip() for cell in row)), None)
            case ".parquet":
                import pyarrow.parquet

                return len(pyarrow.parquet.read_schema(path).names)
            case ".npy":
                return int(np.prod(np.load(path, mmap_mode="r", allow_pickle=False).shape[1:]))
    except (OSError, ValueError, EOFError, ImportError, csv.Error):  # pyarrow's own errors are ValueErrors or OSErrors
        return None
    return None


def held_rows(rows: int, share: float) -> int | None:
    """How many of the rows the share held out is; None where that leaves no row to train on or none to evaluate on."""
    held = round(rows * share)
    return held if 1 <= held < rows else None


def _read(path: Path, what: str, cell: str) -> tuple[np.ndarray, list[int], list[str]]:
    """The table in a file of any format, each row's number and each column's name; `what` is in the file, and what stands in a `cell`.
    Raises ConfigError."""
    readers = {".csv": _read_csv, ".parquet": _read_parquet, ".npy": _read_npy}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(f"{path}: {what} are read from {FORMATS} files, not from '{path.suffix or path.name}'.")
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; give the path of a {FORMATS} file, relative to the problem file.")
    try:
        return reader(path, cell)
    except OSError as error:
        raise ConfigError(f"{path}: the file cannot be read ({error.strerror or error}).") from error


def _read_csv(path: Path, noun: str) -> tuple[np.ndarray, list[int], list[str]]:
    """The table, each row's line in the file, each column's name. A first row without any number is the header."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: this is not a CSV text file ({error}).") from error
    if not rows:
        return np.zeros((0, 0)), [], []
    names = [str(column + 1) for column in range(len(rows[0][1]))]
    if not any(_is_number(cell) for cell in rows[0][1]):
        names = [f"{column} ('{cell.strip()}')" for column, cell in zip(names, rows[0][1], strict=True)]
        rows = rows[1:]
    for line, row in rows:
        if len(row) != len(names):
            raise ConfigError(f"{path}, row {line}: {_count(len(row), 'column')}, but the first row has {len(names)}.")
    lines = [line for line, _ in rows]
    if not rows:
        return np.zeros((0, len(names))), lines, names
    try:
        return np.array([row for _, row in rows], dtype=str).astype(np.float64), lines, names
    except ValueError:
        line, column, cell = next(
            (line, column, cell) for line, row in rows for column, cell in enumerate(row) if not _is_number(cell))
        raise ConfigError(_cell(path, line, names[column], cell, noun)) from None


def _read_parquet(path: Path, noun: str) -> tuple[np.ndarray, list[int], list[str]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(f"{path}: reading Parquet needs the package pyarrow; install it, or save the table as .csv.") from error
    try:
        source = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise ConfigError(f"{path}: this is not a Parquet file ({error}).") from error
    names = [f"{column + 1} ('{name}')" for column, name in enumerate(source.column_names)]
    columns = []
    for name, column in zip(names, source.columns, strict=True):
        try:
            columns.append(column.cast(pyarrow.float64()).to_numpy())  # a missing value becomes NaN
        except pyarrow.ArrowException:
            values = column.to_pylist()
            row = next((row for row, value in enumerate(values) if not _is_number(value)), 0)
            raise ConfigError(_cell(path, row + 1, name, values[row], noun)) from None
    table = np.stack(columns, axis=1) if columns else np.zeros((0, 0))
    return table.astype(np.float64), list(range(1, len(table) + 1)), names


def _read_npy(path: Path, noun: str) -> tuple[np.ndarray, list[int], list[str]]:
    """[R] is one column; [R, N, M] are whole profiles."""
    try:
        table = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ConfigError(f"{path}: this is not a .npy file of numbers ({error}).") from error
    if not isinstance(table, np.ndarray) or table.dtype.kind not in "fiu" or table.ndim not in (1, 2, 3):
        raise ConfigError(f"{path}: expected an array of real numbers with shape [rows, items] or [rows, bidders, items].")
    table = table.astype(np.float64).reshape(len(table), int(np.prod(table.shape[1:])))
    return table, list(range(1, len(table) + 1)), [str(column + 1) for column in range(table.shape[1])]


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


def _cell(path: Path | str, row: int, column: str, value: object, noun: str) -> str:
    shown = "nothing" if value is None or str(value).strip() == "" else f"'{value}'"
    return f"{path}, row {row}, column {column}: {noun} must be a finite number of at least 0, not {shown}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
