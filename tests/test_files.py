"""A file is replaced wholly or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from icsap_jax import files
from icsap_jax.config import ConfigError


def test_a_writer_that_fails_leaves_the_old_file_and_no_trace(tmp_path: Path) -> None:
    """Whatever stops it, Ctrl-C among others."""
    place = tmp_path / "table.csv"
    files.write_text(place, "old")
    with pytest.raises(KeyboardInterrupt), files.replacing(place) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert place.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_a_folder_is_replaced_wholly(tmp_path: Path) -> None:
    """Nothing of the old one stays in the new one; a writer that fails, also at the last rename, leaves the old one."""
    place = tmp_path / "artifact"
    for name in ("one", "two"):
        with files.replacing_folder(place) as partial:
            (partial / name).write_text(name)
    assert os.listdir(place) == ["two"]
    with pytest.raises(KeyError), files.replacing_folder(place) as partial:
        (partial / "three").write_text("half")
        raise KeyError
    assert os.listdir(tmp_path) == ["artifact"]
    assert os.listdir(place) == ["two"]


def test_an_old_folder_comes_back_when_the_new_one_cannot_take_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only moment in which neither is in place is between two renames."""
    place = tmp_path / "artifact"
    with files.replacing_folder(place) as partial:
        (partial / "one").write_text("one")
    rename, calls = os.rename, []

    def second_fails(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OSError, match="Input/output"), files.replacing_folder(place) as partial:
        (partial / "two").write_text("two")
    assert os.listdir(tmp_path) == ["artifact"]
    assert os.listdir(place) == ["one"]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [(errno.ENOSPC, "no space left"), (errno.EDQUOT, "no space left"), (errno.EROFS, "cannot be written to"), (errno.EACCES, "cannot be")],
)
def test_faults_of_the_disk_are_sentences(tmp_path: Path, fault: int, sentence: str) -> None:
    """They name the place."""
    with pytest.raises(ConfigError, match=rf"result\.json: .*{sentence}"), files.replacing(tmp_path / "result.json"):
        raise OSError(fault, os.strerror(fault))


def test_other_faults_stay_what_they_are(tmp_path: Path) -> None:
    """A bug must not be called a full disk."""
    with pytest.raises(ValueError, match="shape"), files.replacing(tmp_path / "result.json"):
        raise ValueError("shape (2,) is not (3,)")


def test_nan_is_not_json() -> None:
    """Other programs refuse it, so we do first."""
    with pytest.raises(ValueError, match="JSON"):
        files.as_json({"value": float("nan")})
