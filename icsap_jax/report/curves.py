"""How training went, from `metrics.jsonl`, in few enough points to be carried by a page for each of a thousand members."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

POINTS = 200


@dataclass(frozen=True)
class Curve:
    """What one member was worth while it trained, [L] each: the step, the mean objective of the batches since the last, and the mean gap
    over agents by the search of training. None where a number was not finite."""

    steps: list[int]
    objective: list[float | None]
    gap: list[float | None]


def read(metrics: Path, member: int = 0, points: int = POINTS) -> Curve:
    """The curve of a member in at most `points` points; empty where there is no file. A last line that is cut off is left out."""
    lines = []
    for text in metrics.read_text(encoding="utf-8").splitlines() if metrics.is_file() else []:
        try:
            line = json.loads(text)
        except ValueError:
            break
        if line.get("member", 0) == member:
            lines.append(line)
    lines = [lines[place] for place in thinned(len(lines), points)]
    return Curve([int(line["step"]) for line in lines], [_short(line.get("objective")) for line in lines],
                 [_short(_mean(line.get("gap"))) for line in lines])  # fmt: skip


def thinned(count: int, points: int) -> list[int]:
    """At most `points` of the places 0 … count − 1, evenly, the first and the last among them."""
    if count <= points:
        return list(range(count))
    return np.linspace(0, count - 1, points).round().astype(int).tolist()


def _mean(gap: float | Sequence[float | None] | None) -> float | None:
    """Over agents; None where one of them is not a number."""
    each = gap if isinstance(gap, list) else [gap]
    return None if not each or any(value is None for value in each) else float(np.mean(each))


def _short(value: Any) -> float | None:
    """To as many digits as a picture shows; None for what is not finite."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.5g}")
