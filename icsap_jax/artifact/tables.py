"""A learned rule on a CSV: one question a row in, one answer a row out.

This file knows CSV; what the columns mean is the domain's `Table`, which has `columns` and `output_columns`, `inputs(numbers,
refuse)` from the numbers [R, columns] to the rule's inputs, and `outputs(numbers, answers)` back to [R, output_columns]; where its
columns hold numbers of things, `sizes` says how many there are; where it draws lots, `seed(seed)` says by which. Rows are read,
answered and written in batches, and the output appears only when every row was right. A row is called by its line in the file, where
the header is row 1.
"""

from __future__ import annotations

import csv
import difflib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import jax
import numpy as np

from icsap_jax import runtime
from icsap_jax.artifact import compiled
from icsap_jax.artifact.store import load
from icsap_jax.config import ConfigError
from icsap_jax.files import replacing

BATCH = 65_536
LABELS = ("id", "label")  # columns that are handed through
Row = tuple[int, list[str]]


def apply(artifact: Path, input_csv: Path, output_csv: Path | None = None, seed: int = 0) -> int:
    """Answer every row of `input_csv` by the rule of an artifact (or of the run that holds it); write `output_csv`, or standard
    output when None, and return the number of rows. Where the rule draws lots, it does by `seed`. Raises ConfigError naming row and
    column, and then writes nothing."""
    runtime.prepare()
    loaded = load(artifact)
    hook = loaded.config.problem.hook("table")
    if hook is None:
        raise ConfigError(f"{artifact}: a rule for a problem of kind '{loaded.manifest['domain']}' cannot be applied to a table.")
    table, input_csv = hook(loaded.problem, loaded.env), Path(input_csv)
    if hasattr(table, "seed"):
        table.seed(seed)
    if output_csv is None:
        with tempfile.TemporaryFile("w+", newline="", encoding="utf-8") as buffer:
            count = _answer(loaded.rule, table, input_csv, buffer)
            buffer.seek(0)
            shutil.copyfileobj(buffer, sys.stdout)
        return count
    output_csv = Path(output_csv)
    if output_csv.exists() and input_csv.exists() and output_csv.samefile(input_csv):
        raise ConfigError(f"{output_csv}: is the input too; choose another name for the output.")
    with replacing(output_csv) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        return _answer(loaded.rule, table, input_csv, file)


def _answer(rule: Any, table: Any, source: Path, sink: TextIO) -> int:
    """Every row of `source` answered into `sink`; the number of rows."""
    compute = jax.jit(lambda *inputs: compiled.answers(rule, *inputs))
    writer = csv.writer(sink, lineterminator="\n")
    count = 0
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            rows = _rows(file, source)
            header, labels, places = _header(next(rows, None), table.columns, source)
            writer.writerow([*(header[place] for place in labels), *table.output_columns])
            while batch := list(islice(rows, BATCH)):
                numbers = _numbers(batch, header, places, table.columns, source)

                def refuse(row: int, column: str, text: str, batch: list[Row] = batch) -> ConfigError:
                    return _wrong(source, batch[row][0], column, text)

                _whole_numbers(numbers, getattr(table, "sizes", {}), refuse)
                inputs = table.inputs(numbers, refuse)
                outputs = table.outputs(numbers, {name: np.asarray(value) for name, value in compute(*inputs).items()})
                for (_, cells), answer in zip(batch, outputs.tolist(), strict=True):
                    writer.writerow([*(cells[place] for place in labels), *(f"{value:.9g}" for value in answer)])
                count += len(batch)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{source}: this is not a CSV text file in UTF-8 ({error}).") from error
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        if error.filename is None or Path(error.filename) != source:
            raise
        raise ConfigError(f"{source}: this file cannot be read ({error.strerror}).") from error
    if not count:
        raise ConfigError(f"{source}: has a header and no rows under it.")
    return count


def _rows(file: TextIO, source: Path) -> Iterator[Row]:
    """Every row that is not a blank line, with its line in the file. Raises ConfigError for a row of another length than the header."""
    reader = csv.reader(file, strict=True)
    width = None
    for row in reader:
        if not row:
            continue
        width = len(row) if width is None else width
        if len(row) != width:
            raise ConfigError(f"{source}, row {reader.line_num}: has {len(row)} cells, and the header has {width}.")
        yield reader.line_num, row


def _header(first: Row | None, columns: Sequence[str], source: Path) -> tuple[list[str], list[int], list[int]]:
    """The names, the places of the columns handed through, and the place of each of `columns`."""
    if first is None:
        raise ConfigError(f"{source}: is empty; its first row should name the columns: {_list(columns)}.")
    names = [name.strip() for name in first[1]]
    where = f"{source}, row {first[0]}"
    if len(names) == 1 and len(columns) > 1 and (separator := _separator(names[0])):
        raise ConfigError(f"{where}: the cells are separated by {separator}; separate them by commas.")
    if all(np.isfinite(_number(name)) for name in names):
        raise ConfigError(f"{where}: holds numbers only; the first row should name the columns: {_list(columns)}.")
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ConfigError(f"{where}: the column {name} is there twice.")
        if name not in columns and name.lower() not in LABELS:
            near = difflib.get_close_matches(name, columns, n=1, cutoff=0.4)
            offer = f"did you mean {near[0]}? The" if near else "the"
            raise ConfigError(f"{where}: '{name}' is not a column here; {offer} columns are {_list(columns)}, and id.")
    missing = [name for name in columns if name not in names]
    if missing:
        raise ConfigError(f"{where}: the column {missing[0]} is missing; this rule needs {_list(columns)}.")
    return names, [place for place, name in enumerate(names) if name not in columns], [names.index(name) for name in columns]


def _separator(row: str) -> str | None:
    """What separates the cells of a row without commas, in words."""
    return next((name for sign, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")) if sign in row), None)


def _numbers(batch: list[Row], header: list[str], places: list[int], columns: Sequence[str], source: Path) -> np.ndarray:
    """The cells under `columns` as finite numbers [R, columns], float64."""
    try:
        numbers = np.array([[float(cells[place]) for place in places] for _, cells in batch])
    except ValueError:
        numbers = np.array([[_number(cells[place]) for place in places] for _, cells in batch])
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        row, column = (int(each) for each in wrong[0])
        cell = batch[row][1][places[column]].strip()
        raise _wrong(source, batch[row][0], columns[column], f"'{cell}' should be a finite number" if cell else "is empty; give a number")
    return numbers


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _whole_numbers(numbers: np.ndarray, sizes: dict[str, int], refuse: Any) -> None:
    """Raise `refuse(row, column, text)` for the first cell [R, columns] that is no whole number below its column's size."""
    for place, (column, size) in enumerate(sizes.items()):
        cells = numbers[:, place]
        wrong = np.flatnonzero((cells != np.round(cells)) | (cells < 0) | (cells >= size))
        if len(wrong):
            raise refuse(int(wrong[0]), column, f"{cells[wrong[0]]:g} should be a whole number from 0 to {size - 1}")


def _wrong(source: Path, line: int, column: str, text: str) -> ConfigError:
    return ConfigError(f"{source}, row {line}, column {column}: {text}.")


def _list(columns: Sequence[str]) -> str:
    return ", ".join(columns) if len(columns) <= 8 else f"{', '.join(columns[:4])}, … {columns[-1]}"


