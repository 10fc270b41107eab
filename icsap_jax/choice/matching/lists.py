"""Preference lists: all that an agent of one side may say of the n agents of the other.

A list names acceptable partners, the best first; who is not named is unacceptable, so that a list shorter than n is *truncated*, and the
empty one asks for nobody. There are Σ_L n!/(n − L)! of them: 5 for n = 2, 65 for 4, 326 for 5. Numbers follow Ravindranath et al. (2021),
section 5: n + 1 evenly spaced values a step of 1/n apart for the n partners and for staying single, of which staying single is worth 0.
So the first of L acceptable partners is worth L/n and the last 1/n. The order of unacceptable partners decides nothing of a matching that
respects lists; each is worth the mean of what they are worth, −(n − L + 1)/(2n). numpy alone, float64.
"""

from __future__ import annotations

import csv
import itertools
import math
from functools import cache
from pathlib import Path

import numpy as np

from icsap_jax.config import ConfigError

LARGEST = 5  # agents on a side: 326 lists, 10 agents, 3 260 misreports of each profile; six would have 1 957 and 12


@cache
def every_list(size: int) -> tuple[tuple[int, ...], ...]:
    """All lists over `size` partners, counted from 0, the short ones first."""
    return tuple(order for length in range(size + 1) for order in itertools.permutations(range(size), length))


def values(size: int) -> np.ndarray:
    """What every list [A, n] says each partner is worth."""
    table = np.zeros((len(every_list(size)), size))
    for row, order in zip(table, every_list(size), strict=True):
        row[:] = -(size - len(order) + 1) / (2 * size)
        row[list(order)] = np.arange(len(order), 0, -1) / size
    return table


def tops(size: int) -> np.ndarray:
    """Which partners are among the best k + 1 acceptable ones of every list, [A, k, n] of 0 and 1; of a short list all of them, for k
    beyond its end."""
    table = np.zeros((len(every_list(size)), size, size))
    for rows, order in zip(table, every_list(size), strict=True):
        for place, row in enumerate(rows):
            row[list(order[: place + 1])] = 1.0
    return table


def chances(size: int, truncation: float) -> np.ndarray:
    """The probability [A] of every list: with 1 − truncation any order of all partners, each as likely; otherwise 0 to n − 1 partners,
    each number as likely, in any order."""
    lengths = np.array([len(order) for order in every_list(size)])
    of_length = np.array([math.perm(size, int(length)) for length in lengths], float)
    return np.where(lengths == size, 1.0 - truncation, truncation / size) / of_length


def number_of(order: tuple[int, ...], size: int) -> int:
    """The place of a list among all."""
    return every_list(size).index(order)


COLUMNS = ("side", "list")
SIDES = ("worker", "firm")


def observed(path: Path, size: int) -> np.ndarray:
    """How often each list was observed on either side, [2, A], as shares, from a CSV with the columns `side` (worker or firm) and `list`:
    the numbers of who is acceptable from 1 to n, the best first, with blanks between them. Raises ConfigError naming the row."""
    counts = np.zeros((2, len(every_list(size))))
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigError(f"{path}, row 1: the column {missing[0]} is missing; the columns are {' and '.join(COLUMNS)}.")
            for row in reader:
                where = f"{path}, row {reader.line_num}"
                side = (row["side"] or "").strip()
                if side not in SIDES:
                    raise ConfigError(f"{where}: side = '{side}' should be {' or '.join(SIDES)}.")
                counts[SIDES.index(side), number_of(_order(row["list"] or "", size, where), size)] += 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read as a CSV text file ({getattr(error, 'strerror', None) or error}).") from None
    for side, found in zip(SIDES, counts, strict=True):
        if not found.sum():
            raise ConfigError(f"{path}: has no list of a {side}; give at least one of either side.")
    return counts / counts.sum(1, keepdims=True)


def _order(text: str, size: int, where: str) -> tuple[int, ...]:
    """A list as people write it, counted from 0."""
    names = text.split()
    for place, name in enumerate(names):
        if not (name.isascii() and name.isdigit() and 1 <= int(name) <= size):
            raise ConfigError(f"{where}: '{name}' in the list '{text.strip()}' is nobody here; partners are called 1 to {size}.")
        if int(name) in map(int, names[:place]):
            raise ConfigError(f"{where}: the list '{text.strip()}' names {name} twice.")
    return tuple(int(name) - 1 for name in names)
