"""A small sweep to disturb: attempts at it, moments at which to kill them, and whether two sweeps ended alike, bit for bit.

An attempt is a process of its own that runs the command `icsap`. It is forked from one that has imported the package and has not begun to
compute, since importing is most of so short a life. `experiments/survival.py` and the tests of sweeps disturb with it.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SMALL = {
    "problem": {"kind": "auction", "bidders": 1, "items": 1, "prior": {"kind": "uniform", "low": 0, "high": 1}},
    "rule": {"kind": "regretnet", "hidden": [4]},
    "training": {"steps": 40, "batch": 16, "chunk": 10, "checkpoint_every": 0,
                 "response": {"kind": "exchange", "reports": 16, "anywhere": 0}},
    "evaluation": {"profiles": 200, "gap_profiles": 10, "starts": 1, "steps": 2, "joint_grid": 5, "item_grid": 5},
    "sweep": {"rule.hidden": [[4], [5]], "training.learning_rate": [1e-3, 1e-2], "seeds": 2},
}  # fmt: skip
LONG = 600.0  # seconds after which an attempt that neither ends nor comes to its moment is given up
LOOK = 0.003  # seconds between two looks: what is half-written stays so for some ten milliseconds, and looking takes from who writes
CHECKPOINT = "groups/*/*/checkpoints/.step_*.partial-*"
MEMBER, BEST, TABLE = "members/.*.partial-*", ".best.partial-*", ".sweep.parquet.partial-*"
PRELOADED = ["icsap_jax.cli", "icsap_jax.sweep.start", "icsap_jax.pictures", "orbax.checkpoint", "pyarrow.parquet", "scipy.optimize"]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(PRELOADED)
Moment = Callable[[], bool]


@dataclass(frozen=True)
class Place:
    """The folder of one sweep, and the problem file it is made from."""

    config: Path
    out: Path

    @property
    def log(self) -> Path:
        """What its attempts print."""
        return self.out.with_name(f"{self.out.name}.log")

    def begun(self, *options: str) -> multiprocessing.process.BaseProcess:
        """Give the command `icsap sweep`, once."""
        arguments = ["sweep", str(self.config), "--out", str(self.out), *options]
        process = FORKS.Process(target=_icsap, args=(arguments, str(self.log)), daemon=True)
        process.start()
        return process

    def ended(self) -> int:
        """Give the command and wait until it ends: its exit status."""
        return _status(self.begun())

    def told(self, since: int = 0) -> list[str]:
        """The lines that attempts printed, without progress and without what members came to; the folder is called OUT."""
        text = self.log.read_text(encoding="utf-8")[since:].replace(str(self.out), "OUT").replace(sys.base_prefix, "PYTHON")
        lines = [line for line in text.splitlines() if line and not line.startswith(("█", "░", "best ", "    ", "table ", "page "))]
        return [line for line in lines if not re.match(r"[^/\s]+=[^/\s]+: ", line)]

    def said(self) -> int:
        """How much was printed so far."""
        return len(self.log.read_text(encoding="utf-8")) if self.log.exists() else 0

    def stands(self) -> dict[str, Any]:
        """How far it is: members that are done, checkpoints, and what is half written."""
        relative = [path.relative_to(self.out).as_posix() for path in self.out.rglob("*")]
        return {"members": sum(bool(re.fullmatch(r"members/[^.][^/]*/result.json", name)) for name in relative),
                "checkpoints": sorted(name for name in relative if re.fullmatch(r"groups/\d+/\d+/checkpoints/step_\d+", name)),
                "partial": sorted(name for name in relative if re.search(r"\.partial-[^/]*$", name))}  # fmt: skip


def _icsap(arguments: list[str], log: str) -> None:
    """The command, in the process it is alone in."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(handle, stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from icsap_jax import cli

    sys.argv = ["icsap", *arguments]
    cli.main()


def _status(process: multiprocessing.process.BaseProcess) -> int:
    process.join(LONG)
    if process.exitcode is None:
        process.kill()
        raise SystemExit(f"an attempt did not end within {LONG:.0f} s")
    return process.exitcode


def reached(process: multiprocessing.process.BaseProcess, moment: Moment) -> bool:
    """Wait for a moment; False where the process ended before it."""
    limit = time.monotonic() + LONG
    while not moment():
        if process.exitcode is not None or time.monotonic() > limit:
            return False
        time.sleep(LOOK)
    return True


def killed(place: Place, moment: Moment, after: float = 0.0) -> dict[str, Any]:
    """Give the command and kill it so many seconds after a moment: how far the sweep was, and whether it was killed at all."""
    process = place.begun()
    reached(process, moment)
    time.sleep(after)
    process.kill()
    return {"killed": _status(process) == -signal.SIGKILL, **place.stands()}


def seconds(count: float) -> Moment:
    """So many seconds after now."""
    until = time.monotonic() + count
    return lambda: time.monotonic() >= until


def appears(out: Path, pattern: str, number: int = 1) -> Moment:
    """When the so-manyth path of a pattern comes to be under `out`."""
    seen: set[Path] = set()

    def moment() -> bool:
        seen.update(out.glob(pattern))
        return len(seen) >= number

    return moment


def record(out: Path) -> dict[str, Any]:
    """What must be equal: the columns of the table without seconds, and of each member the parameters, as a hash."""
    import pyarrow.parquet

    columns = pyarrow.parquet.read_table(out / "sweep.parquet").to_pydict()
    told = {name: values for name, values in columns.items() if not name.startswith("seconds_")}
    for name in columns["id"]:
        folder = out / "members" / name
        with np.load(folder / "artifact" / "parameters.npz") as parameters:
            told[f"parameters of {name}"] = _hash([[key, str(value.dtype), value.shape, value.tobytes().hex()]
                                                   for key, value in sorted(parameters.items())])  # fmt: skip
    return told


def curves(out: Path) -> dict[str, Any]:
    """The metrics of each member without seconds."""
    files = {path.parent.name: path.read_text(encoding="utf-8").splitlines() for path in sorted(out.glob("members/*/metrics.jsonl"))}
    return {name: [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]
            for name, lines in files.items()}  # fmt: skip


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    """What differs first between two records, in words; None where nothing does. Numbers are compared as they are, bit for bit."""
    names = sorted({*found, *wanted}, key=lambda name: (name != "id", name))
    wrong = next((name for name in names if repr(found.get(name)) != repr(wanted.get(name))), None)
    return wrong and f"{wrong}: {found.get(wrong)} instead of {wanted.get(wrong)}"


def leftovers(out: Path) -> list[str]:
    """What a sweep that has ended should not have: half-written things, and what groups needed while they trained."""
    there = [path.relative_to(out).as_posix() for path in out.rglob("*")]
    return sorted(name for name in there if ".partial-" in name or name.startswith("groups/"))


def flip(path: Path, generator: np.random.Generator) -> int:
    """Flip one bit of a file, as a bad disk does: the place of its byte."""
    content = bytearray(path.read_bytes())
    place = int(generator.integers(len(content)))
    content[place] ^= 1 << int(generator.integers(8))
    path.write_bytes(content)
    return place
