"""What training wrote is what is drawn: the first and the last point, nothing made up, and not too many of them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from icsap_jax.report.curves import Curve, read, thinned


@pytest.mark.parametrize(("count", "points"), [(0, 200), (1, 200), (199, 200), (200, 200), (201, 200), (1000, 200), (12_345, 200), (7, 3)])
def test_thinning_keeps_both_ends_and_never_repeats(count: int, points: int) -> None:
    """All places where they are few; else exactly as many as are asked for, rising, no two gaps differing by more than rounding."""
    kept = thinned(count, points)
    assert len(kept) == min(count, points)
    assert kept == sorted(set(kept))
    assert kept[:1] == [0][:count] and kept[-1:] == [count - 1][:count]
    apart = [b - a for a, b in itertools.pairwise(kept)]
    assert not apart or max(apart) - min(apart) <= 1


def test_a_curve_is_one_member_s_and_ends_where_the_file_was_cut(tmp_path: Path) -> None:
    """The mean gap over agents; what was not finite is missing, of an agent or of all."""
    lines = [
        {"step": 10, "member": 1, "objective": 9.0, "gap": [9.0, 9.0]},
        {"step": 10, "member": 0, "objective": 0.1234567, "gap": [0.1, 0.3]},
        {"step": 20, "member": 0, "objective": None, "gap": [0.1, None]}, {"step": 30, "objective": 0.3, "gap": 0.5},
    ]  # fmt: skip
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 40, "memb')
    assert read(path) == Curve([10, 20, 30], [0.12346, None, 0.3], [0.2, None, 0.5])
    assert read(path, member=1) == Curve([10], [9.0], [9.0])


def test_no_file_is_an_empty_curve(tmp_path: Path) -> None:
    """Nothing was written where no step was taken."""
    assert read(tmp_path / "metrics.jsonl") == Curve([], [], [])
