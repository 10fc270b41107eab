"""Writing so that a reader finds the old thing or the new one, never half of either, and hashes to know a file by.

Everything is written under another name beside its place, flushed to the disk, and renamed: a rename inside one folder happens
wholly or not at all, even when the machine stops. A full disk becomes a sentence for the person.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from icsap_jax.config import ConfigError

MANIFEST = "manifest.json"
FULL = (errno.ENOSPC, errno.EDQUOT)


def sha256(path: Path) -> str:
    """The hash of a file's content, as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """The hash of every file under `folder` by its relative name, sorted; its own manifest is left out."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name: sha256(folder / name) for name in names if name != MANIFEST}


def damaged(folder: Path, files: dict[str, str]) -> list[str]:
    """The names in a manifest's `files` that are missing from `folder` or whose content is not what it was."""
    return [name for name, digest in files.items() if not (folder / name).is_file() or sha256(folder / name) != digest]


def as_json(content: Any) -> str:
    """JSON as it is written everywhere here: indented, and NaN refused."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def number_or_none(value: float) -> float | None:
    """A number as JSON can hold it: None for NaN and infinity."""
    return float(value) if math.isfinite(value) else None


def write_text(path: Path, text: str) -> None:
    """Replace the file at `path` by `text`, wholly or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Replace the file at `path` by `content` as JSON, wholly or not at all."""
    write_text(path, as_json(content))


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """`content` with a hash of all of it at the end."""
    return {**content, "seal": hashlib.sha256(as_json(content).encode()).hexdigest()}


def read_sealed(path: Path) -> dict[str, Any]:
    """What was written as JSON, sealed. Raises ValueError where the file is not, to the byte, what was written, and OSError."""
    text = path.read_bytes()
    content = json.loads(text)
    if not isinstance(content, dict) or as_json(sealed({key: value for key, value in content.items() if key != "seal"})).encode() != text:
        raise ValueError("it is not what was written")
    return content


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name in the same folder to write to: it becomes `path` when the block ends well, and is removed when it does not.
    Raises ConfigError when the disk is full or the folder cannot be written to."""
    partial = _beside(path)
    with disk_faults(path):
        try:
            yield partial
            _flush(partial)
            os.replace(partial, path)
            _flush(path.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As `replacing`, for a folder and all that is in it. A folder already at `path` is removed once the new one is complete."""
    partial, old = _beside(path), _beside(path)
    with disk_faults(path):
        try:
            partial.mkdir(parents=True)
            yield partial
            for file in sorted(partial.rglob("*")):
                _flush(file)
            _flush(partial)
            if path.exists():
                os.rename(path, old)
            os.rename(partial, path)
            _flush(path.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            if path.exists():
                shutil.rmtree(old, ignore_errors=True)
            elif old.exists():
                os.rename(old, path)


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Faults of the disk become sentences about `path`: no space, no permission, no such folder."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        text = disk_fault(error, path)
        if text is not None:
            raise ConfigError(text) from error
        if isinstance(error, FileExistsError):
            raise ConfigError(f"{path}: a file is where a folder should be; move it, or choose another place.") from error
        if isinstance(error, (FileNotFoundError, NotADirectoryError)) and not path.parent.is_dir():
            raise ConfigError(f"{path}: there is no folder {path.parent} to write to.") from error
        raise


def disk_fault(error: Exception, path: Path) -> str | None:
    """The sentence for an error that means no space or no permission at `path`; None for any other. Libraries that write for us
    report a full disk as errors of their own, so their text is looked at too."""
    if getattr(error, "errno", None) in FULL or any(os.strerror(code) in str(error) for code in FULL):
        return f"{path}: there is no space left on this disk; make room, or choose another place. What was there before is unharmed."
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path}: this place cannot be written to ({error.strerror}); choose another."
    return None


def remove_partial(folder: Path) -> None:
    """Remove what a writer that was stopped in the middle left in `folder`."""
    for path in folder.glob(".*.partial-*"):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial-{uuid.uuid4().hex[:8]}")


def _flush(path: Path) -> None:
    """To the disk, not only to the system's memory. Windows cannot open folders; there the rename alone must do."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
