"""Applying a rule to a CSV is calling the rule, row by row; a wrong cell is named and nothing is written."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import artifact
from icsap_jax.artifact import tables
from icsap_jax.config import ConfigError, parse

COLUMNS = ["bidder1_item1", "bidder1_item2", "bidder2_item1", "bidder2_item2"]
# Answers are printed to 9 digits and computed as float32; batches of other sizes may sum in another order.
DIGITS = 1e-6


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """An untrained rule for two additive bidders with values on [0, 1], and [0.2, 3] for the second bidder."""
    prior = {"kind": "uniform", "low": [[0, 0], [0.2, 0.2]], "high": [[1, 1], [3, 3]]}
    config = parse({"problem": {"kind": "auction", "bidders": 2, "items": 2, "prior": prior}, "rule": {"kind": "regretnet", "hidden": [8]}})
    problem, env = config.problem.build(config.folder)
    rule = jax.jit(lambda key: config.rule.build(problem, env, key))(jax.random.key(3))
    return artifact.save(tmp_path_factory.mktemp("run") / "artifact", config, problem, env, rule, {}, print), rule


@pytest.fixture(scope="module")
def bids() -> np.ndarray:
    """Nine profiles of bids [R, N·M] in the support, to three digits."""
    draws = np.random.default_rng(4).random((9, 4))
    return np.round(draws * [1, 1, 2.8, 2.8] + [0, 0, 0.2, 0.2], 3)


def write(path: Path, header: list[str], rows: Any) -> Path:
    """A CSV of these cells."""
    path.write_text("\n".join(",".join(map(str, row)) for row in [header, *rows]) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> dict[str, np.ndarray]:
    """The columns of a CSV as numbers."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return {name: np.array([float(row[place]) for row in rows]) for place, name in enumerate(header) if name != "id"}


def test_applying_the_artifact_is_calling_the_rule(made: tuple[Path, Any], bids: np.ndarray, tmp_path: Path) -> None:
    """Every probability and payment, by name; and what holds of every row: no item is given twice, and nobody pays more than the
    bid says it gets."""
    folder, rule = made
    output = tmp_path / "out.csv"
    assert artifact.apply(folder.parent, write(tmp_path / "in.csv", COLUMNS, bids), output) == len(bids)
    found = read(output)
    decision = rule(jnp.asarray(bids, jnp.float32).reshape(-1, 2, 2))
    for bidder in range(2):
        received = 0.0
        for item in range(2):
            probability = found[f"bidder{bidder + 1}_item{item + 1}_probability"]
            np.testing.assert_allclose(probability, decision.allocation[:, bidder, item], rtol=DIGITS)
            received = received + probability * bids[:, 2 * bidder + item]
        payment = found[f"bidder{bidder + 1}_payment"]
        np.testing.assert_allclose(payment, decision.payment[:, bidder], rtol=DIGITS)
        assert (payment <= received * (1 + DIGITS)).all()
    for item in (1, 2):
        assert (found[f"bidder1_item{item}_probability"] + found[f"bidder2_item{item}_probability"] <= 1 + DIGITS).all()
    np.testing.assert_allclose(found["revenue"], found["bidder1_payment"] + found["bidder2_payment"], rtol=DIGITS)


def test_the_order_of_columns_rows_and_batches_changes_no_answer(
    made: tuple[Path, Any], bids: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns go by their names and rows by themselves: shuffled, in batches of four, with ids, blank lines and a spreadsheet's
    byte-order mark, the same bids get the same answers."""
    plain, shuffled = tmp_path / "plain.csv", tmp_path / "shuffled.csv"
    artifact.apply(made[0], write(tmp_path / "in.csv", COLUMNS, bids), plain)
    columns, rows = np.array([2, 0, 3, 1]), np.random.default_rng(1).permutation(len(bids))
    labelled = [["é,1".replace(",", ";") + str(row), *bids[row, columns]] for row in rows]
    source = write(tmp_path / "in2.csv", ["id", *np.array(COLUMNS)[columns]], labelled)
    source.write_bytes(b"\xef\xbb\xbf" + source.read_bytes().replace(b"\n", b"\r\n", 3) + b"\n\n")
    monkeypatch.setattr(tables, "BATCH", 4)
    assert artifact.apply(made[0], source, shuffled) == len(bids)
    expected, found = read(plain), read(shuffled)
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values[rows], rtol=DIGITS)
    assert [line.split(",")[0] for line in shuffled.read_text(encoding="utf-8").splitlines()] == ["id", *(row[0] for row in labelled)]


def test_without_a_name_the_answers_go_to_standard_output(
    made: tuple[Path, Any], bids: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same text that would be in the file."""
    source = write(tmp_path / "in.csv", COLUMNS, bids)
    artifact.apply(made[0], source, tmp_path / "out.csv")
    artifact.apply(made[0], source)
    assert capsys.readouterr().out == (tmp_path / "out.csv").read_text()


def test_the_shipped_bids_fit_the_shipped_problem(root: Path, tmp_path: Path) -> None:
    """Twelve rows for one bidder and two items on [0, 1], with ids."""
    config = parse({"problem": {"kind": "auction", "bidders": 1, "items": 2, "prior": {"kind": "uniform"}},
                    "rule": {"kind": "regretnet", "hidden": [4]}})  # fmt: skip
    problem, env = config.problem.build(config.folder)
    rule = jax.jit(lambda key: config.rule.build(problem, env, key))(jax.random.key(3))
    folder = artifact.save(tmp_path / "artifact", config, problem, env, rule, {}, print)
    assert artifact.apply(folder, root / "configs" / "auctions" / "bids_1x2.csv", tmp_path / "out.csv") == 12


GOOD = ["0.5", "0.5", "0.5", "0.5"]
BAD_CELLS = [
    ("n/a", "'n/a' should be a finite number"),
    ("", "is empty"),
    ("nan", "'nan' should be a finite number"),
    ("1e999", "'1e999' should be a finite number"),
    ("-0.5", r"the bid -0\.5 is negative, and outside the support \[0\.2, 3\] of the prior; the rule was never trained or measured"),
    ("0.1", r"the bid 0\.1 is outside the support \[0\.2, 3\]"),
    ("3.01", r"the bid 3\.01 is outside the support \[0\.2, 3\]"),
]


@pytest.mark.parametrize(("cell", "message"), BAD_CELLS, ids=[cell or "empty" for cell, _ in BAD_CELLS])
def test_a_wrong_bid_is_named_by_row_and_column(
    made: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cell: str, message: str
) -> None:
    """Found in the second batch, when the first was already answered: still nothing is written, to the file or to the screen."""
    monkeypatch.setattr(tables, "BATCH", 2)
    source = write(tmp_path / "in.csv", COLUMNS, [GOOD, GOOD, [*GOOD[:3], cell]])
    for output in (tmp_path / "out.csv", None):
        with pytest.raises(ConfigError, match=rf"in\.csv, row 4, column bidder2_item2: .*{message}"):
            artifact.apply(made[0], source, output)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]
    assert not capsys.readouterr().out


BAD_FILES = [
    ("", "is empty; its first row should name the columns: bidder1_item1"),
    (",".join(COLUMNS), "a header and no rows"),
    (",".join(COLUMNS[:3]) + "\n1,1,1", "column bidder2_item2 is missing"),
    (",".join([*COLUMNS[:3], "bidder2_itm"]) + "\n1,1,1,1", r"'bidder2_itm' is not a column here; did you mean bidder2_item2\? The col"),
    (",".join([*COLUMNS, "bidder1_item1"]) + "\n1,1,1,1,1", "column bidder1_item1 is there twice"),
    (",".join(COLUMNS) + "\n1,1,1,1\n1,1,1", "row 3: has 3 cells, and the header has 4"),
    ("0.5,0.5,0.5,0.5\n0.5,0.5,0.5,0.5", "holds numbers only; the first row should name the columns: bidder1_item1"),
    (";".join(COLUMNS) + "\n1;1;1;1", "row 1: the cells are separated by semicolons; separate them by commas"),
    (",".join(COLUMNS) + ",price\n1,1,1,1,1", "'price' is not a column here; the columns are bidder1_item1"),
    (",".join(COLUMNS) + '\n"1,1,1,1', "not a CSV text file"),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES, ids=[message[:24] for _, message in BAD_FILES])
def test_a_wrong_file_is_named(made: tuple[Path, Any], tmp_path: Path, text: str, message: str) -> None:
    """Each mistake of the file's shape has its sentence, and the output of an earlier run stays as it was."""
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(text)
    output.write_text("earlier")
    with pytest.raises(ConfigError, match=rf"in\.csv.*{message}"):
        artifact.apply(made[0], source, output)
    assert output.read_text() == "earlier"
    assert len(list(tmp_path.iterdir())) == 2


def test_places_that_cannot_be_used_are_named(made: tuple[Path, Any], bids: np.ndarray, tmp_path: Path) -> None:
    """No input, an input in no text encoding, no folder for the output, and the input given as output."""
    source = write(tmp_path / "in.csv", COLUMNS, bids)
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    for wrong, output, message in [
        (tmp_path / "none.csv", tmp_path / "out.csv", "cannot be read"),
        (tmp_path, tmp_path / "out.csv", "cannot be read"),
        (binary, tmp_path / "out.csv", "UTF-8"),
        (source, tmp_path / "no" / "out.csv", "no folder"),
        (source, source, "is the input too"),
    ]:
        with pytest.raises(ConfigError, match=message):
            artifact.apply(made[0], wrong, output)
    assert not (tmp_path / "out.csv").exists()


def test_a_run_that_was_stopped_says_how_to_go_on(tmp_path: Path) -> None:
    """It has its configuration and its metrics, and no artifact yet."""
    for name in ("config.yaml", "metrics.jsonl"):
        (tmp_path / name).write_text("")
    with pytest.raises(ConfigError, match="not finished; run the same train command to resume"):
        artifact.apply(tmp_path, tmp_path / "in.csv")
    with pytest.raises(ConfigError, match="train first"):
        artifact.apply(tmp_path / "elsewhere", tmp_path / "in.csv")


def test_a_problem_without_a_table_says_so(tmp_path: Path) -> None:
    """A signalling scheme answers no questions row by row."""
    config = parse({"problem": {"kind": "persuasion", "prior": [0.7, 0.3], "sender": [[0, 1], [0, 1]], "receiver": [[1, 0], [0, 1]]}})
    if config.problem.table is not None:
        pytest.skip("this domain has a table now")
    problem, env = config.problem.build(config.folder)
    rule = config.rule.build(problem, env, jax.random.key(0))
    folder = artifact.save(tmp_path / "artifact", config, problem, env, rule, {}, print)
    with pytest.raises(ConfigError, match="kind 'persuasion' cannot be applied"):
        artifact.apply(folder, tmp_path / "in.csv", tmp_path / "out.csv")
