"""The demonstration: what it prints of a table, and what it says when there is nothing to demonstrate."""

from __future__ import annotations

from pathlib import Path

import pytest

from icsap_jax import demo


def test_without_a_run_it_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 and one sentence with the command."""
    assert demo.main([str(tmp_path / "runs")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "icsap train" in said.err
    assert str(tmp_path / "runs") in said.err


def test_a_run_that_did_not_finish_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A result without its artifact: the run was stopped in between."""
    (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    assert demo.main([str(tmp_path)]) == 2
    assert "manifest.json" in capsys.readouterr().err


def test_rows_are_aligned_and_rounded(tmp_path: Path) -> None:
    """Names stay as they are, numbers get four decimals, and no more rows are shown than asked for."""
    table = tmp_path / "allocations.csv"
    table.write_text("id,payment\nauction-01,0.123456\nv1.2e,7e-05\nauction-03,1\n", encoding="utf-8")
    assert demo.first_rows(table, 2).splitlines() == ["        id  payment", "auction-01   0.1235", "     v1.2e   0.0001"]
