"""Files of observed valuations: the same table from every format, and every mistake named by file, row and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from icsap_jax.auctions.data import read_valuations
from icsap_jax.config import ConfigError

TABLE = np.array([[1.0, 2.5], [0.0, 1e-3], [3.25, 7.0]])
ROWS = "1,2.5\n0,1e-3\n3.25,7\n"


@pytest.mark.parametrize("text", [ROWS, "book,lamp\n" + ROWS, "\ufeffbook,lamp\n" + ROWS, ROWS.replace("\n", "\r\n"), ROWS + "\n\n"],
                         ids=["bare", "header", "byte-order-mark", "windows", "blank-lines"])
def test_csv_reads_as_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "bids.csv").write_bytes(text.encode())
    table = read_valuations(tmp_path / "bids.csv", agents=1, items=2)
    assert table.dtype == np.float64 and (table == TABLE).all()


def test_npy_holds_rows_of_one_bidder_or_whole_profiles(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", TABLE.astype(np.float32))
    np.save(tmp_path / "profiles.npy", np.arange(12).reshape(2, 3, 2))
    np.save(tmp_path / "single.npy", np.arange(4))
    assert read_valuations(tmp_path / "flat.npy", 3, 2).shape == (3, 2)
    assert read_valuations(tmp_path / "profiles.npy", 3, 2).tolist() == [list(range(6)), list(range(6, 12))]
    assert read_valuations(tmp_path / "single.npy", 3, 1).shape == (4, 1)


def test_parquet_reads_the_same_and_names_a_text_cell(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"book": TABLE[:, 0], "lamp": TABLE[:, 1]}), tmp_path / "bids.parquet")
    assert (read_valuations(tmp_path / "bids.parquet", 1, 2) == TABLE).all()
    parquet.write_table(arrow.table({"book": [1.0, 2.0], "lamp": ["3", "many"]}), tmp_path / "text.parquet")
    with pytest.raises(ConfigError, match=r"text\.parquet, row 2, column 2 \('lamp'\): .* not 'many'"):
        read_valuations(tmp_path / "text.parquet", 1, 2)
    parquet.write_table(arrow.table({"book": [1.0, None], "lamp": [1.0, 2.0]}), tmp_path / "gap.parquet")
    with pytest.raises(ConfigError, match=r"gap\.parquet, row 2, column 1 \('book'\)"):
        read_valuations(tmp_path / "gap.parquet", 1, 2)


@pytest.mark.parametrize(("text", "message"), [
    ("1,2\n3,x\n", r"bids\.csv, row 2, column 2: a valuation must be a finite number of at least 0, not 'x'"),
    ("book,lamp\n1,2\n\n3,\n", r"bids\.csv, row 4, column 2 \('lamp'\): .* not nothing"),
    ("1,two\n3,4\n", r"bids\.csv, row 1, column 2: .* not 'two'"),
    ("1,2\n3,nan\n", r"bids\.csv, row 2, column 2: .* not 'nan'"),
    ("1,2\ninf,1\n", r"bids\.csv, row 2, column 1: .* not 'inf'"),
    ("1,2\n-0.5,1\n", r"bids\.csv, row 2, column 1: .* not '-0\.5'"),
    ("1,2\n3\n", r"bids\.csv, row 2: 1 column, but the first row has 2"),
    ("1,2,3\n", r"bids\.csv: the file has 3 columns, but this auction needs 2 \(one for each item\) or 6 \(bidders × items"),
    ("", r"bids\.csv: the file is empty"),
    ("book,lamp\n", r"bids\.csv: the file is empty"),
])
def test_a_mistake_is_named_by_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bids.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_valuations(tmp_path / "bids.csv", agents=3, items=2)


@pytest.mark.parametrize(("name", "content", "message"), [
    ("bids.xlsx", b"", r"read from \.csv, \.parquet or \.npy files, not from '\.xlsx'"),
    ("bids.npy", b"1,2\n", r"not a \.npy file of numbers"),
    ("bids.npy", b"", r"not a \.npy file of numbers"),
    ("bids.csv", b"\xff\xfe\x00", "not a CSV text file"),
])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_valuations(tmp_path / name, 1, 2)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.csv: there is no such file"):
        read_valuations(tmp_path / "nowhere.csv", 1, 2)


def test_npy_of_text_or_objects_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", np.array([["a", "b"]]))
    with pytest.raises(ConfigError, match="array of real numbers"):
        read_valuations(tmp_path / "text.npy", 1, 2)
    np.save(tmp_path / "objects.npy", np.array([[{}, 1]], dtype=object), allow_pickle=True)
    with pytest.raises(ConfigError, match=r"not a \.npy file of numbers"):
        read_valuations(tmp_path / "objects.npy", 1, 2)
