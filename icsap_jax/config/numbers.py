"""`Numbers`: an array in a problem file, written as a number, nested lists, or `{file: table.npy}` (or .csv).

It reads like an array (`np.asarray(model.low)`, `.shape`), whatever it was written as, and is written back as it was read, so a
resolved problem file stays short. Files are looked up relative to the problem file.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import PydanticCustomError, core_schema

from icsap_jax.config.reading import ConfigError


class Numbers:
    """Finite float64 numbers of any shape; `source` is what to write back: them, or the file they came from."""

    __slots__ = ("source", "values")

    def __init__(self, written: Any, folder: Path = Path()):
        self.values = _read(written, folder)
        self.values.setflags(write=False)
        self.source = dict(written) if isinstance(written, Mapping) else self.values.tolist()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def ndim(self) -> int:
        return self.values.ndim

    def tolist(self) -> Any:
        return self.values.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.values.astype(dtype or self.values.dtype, copy=True)

    def __float__(self) -> float:
        return float(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place: Any) -> Any:
        return self.values[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Numbers) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((self.shape, self.values.tobytes()))

    def __repr__(self) -> str:
        return repr(self.source)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        def validate(value: Any, info: core_schema.ValidationInfo) -> Numbers:
            try:
                return value if isinstance(value, cls) else cls(value, (info.context or {}).get("folder", Path()))
            except ConfigError as error:
                raise PydanticCustomError("table", "names a file that cannot be used: {why}", {"why": str(error)}) from None

        return core_schema.with_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(lambda numbers: numbers.source))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        file = {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"], "additionalProperties": False}
        return {"description": "a number, nested lists of numbers, or a .npy or .csv file of them",
                "anyOf": [{"type": "number"}, {"type": "array"}, file]}


def _read(written: Any, folder: Path) -> np.ndarray:
    if isinstance(written, Mapping):
        if set(written) != {"file"} or not isinstance(written["file"], str):
            raise PydanticCustomError("numbers", "should be a number, lists of numbers, or {{file: table.npy}}")
        return read_array(folder / written["file"]).copy()
    if isinstance(written, np.ndarray):
        written = written.tolist()
    _each_is_a_number(written)
    try:
        return np.array(written, dtype=np.float64)
    except ValueError:
        raise PydanticCustomError("ragged", "should have rows of equal length") from None


def _each_is_a_number(written: Any) -> None:
    if isinstance(written, (list, tuple)):
        if not written:
            raise PydanticCustomError("numbers", "should hold at least one number, but a list in it is empty")
        for part in written:
            _each_is_a_number(part)
        return
    try:
        number = float("no" if isinstance(written, bool) else written)
    except (TypeError, ValueError):
        raise PydanticCustomError("numbers", "should hold numbers, and '{part}' is not one", {"part": str(written)}) from None
    if not np.isfinite(number):
        raise PydanticCustomError("numbers", "should hold finite numbers, not {part}", {"part": str(number)})


def read_array(path: Path) -> np.ndarray:
    """The finite numbers in a .npy or .csv file, float64, read once for each version of the file."""
    try:
        status = path.stat()
    except OSError:
        raise ConfigError(f"{path}: there is no such file; a table's path is relative to the problem file.") from None
    return _read_array(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _read_array(path: Path, changed: int, size: int) -> np.ndarray:
    if path.suffix.lower() == ".npy":
        try:
            table = np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ConfigError(f"{path}: this is not a .npy file of numbers ({error}).") from error
        if table.dtype.kind not in "fiu":
            raise ConfigError(f"{path}: should hold real numbers, not {table.dtype}.")
        table = table.astype(np.float64)
    elif path.suffix.lower() == ".csv":
        table = _read_csv(path)
    else:
        raise ConfigError(f"{path}: tables are read from .npy or .csv files, not '{path.suffix}'.")
    if table.size == 0:
        raise ConfigError(f"{path}: the table is empty.")
    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong):
        raise ConfigError(f"{path}: the entry at {tuple(int(place) + 1 for place in wrong[0])} (counted from 1) is not a finite number.")
    return table


def _read_csv(path: Path) -> np.ndarray:
    """Rows of numbers, [R, C], or [R] when there is one column."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: this is not a CSV text file ({error}).") from error
    table = []
    for line, row in rows:
        if len(row) != len(rows[0][1]):
            raise ConfigError(f"{path}, row {line}: has {len(row)} columns, but the first row has {len(rows[0][1])}.")
        for column, cell in enumerate(row, 1):
            try:
                table.append(float(cell))
            except ValueError:
                raise ConfigError(f"{path}, row {line}, column {column}: '{cell}' should be a number.") from None
    values = np.array(table, dtype=np.float64).reshape(len(rows), -1) if rows else np.zeros((0, 0))
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
