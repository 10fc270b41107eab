"""How fast the members of a sweep train side by side: 1, 8, 64 and 512 RegretNets, and how soon a sweep takes its first step.

    python experiments/benchmarks/sweep.py
    python experiments/benchmarks/sweep.py --settings 1x2 --members 1 8

Member-steps a second of the very programs a sweep runs (`icsap_jax.sweep.programs`), members differing in seed and learning rate: the
median of several timed scans after a warm-up, in turns. On a CPU members go one after the other; there 8 and 64 are also measured vmapped,
which is why. Then, in new processes, the seconds from the start of `icsap sweep` to the first line of metrics, with an empty compilation
cache and with it full. Each device is an entry of its own in the results file, and replaces the one that was there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml

from icsap_jax import runtime
from icsap_jax.bilevel import fit
from icsap_jax.config import parse
from icsap_jax.files import write_json
from icsap_jax.gpu_check import matmul_peak
from icsap_jax.sweep.expand import expand
from icsap_jax.sweep.programs import Batch, Posed, Programs, devices

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "experiments"))
from time_to_quality import machine  # noqa: E402

RESULTS = ROOT / "experiments" / "results" / "sweep.json"
SCAN_SECONDS = 1.5  # about how long a timed scan is to take
ROUNDS = 5


def sweep_of(setting: str, members: int) -> dict[str, Any]:
    """The problem file of a setting with as many members as wanted: eight learning rates where there are eight or more, and seeds."""
    data = yaml.safe_load((ROOT / "configs" / "auctions" / f"additive_{setting}_uniform.yaml").read_text(encoding="utf-8"))
    rates = {"from": 3e-4, "to": 3e-3, "count": min(8, members), "scale": "log"}
    return {**data, "sweep": {"training.learning_rate": rates, "seeds": max(1, members // 8)}}


def batch_of(setting: str, members: int) -> tuple[Batch, Programs]:
    """All members of a sweep side by side."""
    posed = tuple(Posed.of(member) for member in expand(parse(sweep_of(setting, members), ROOT)).members)
    return Batch(posed, members, devices() if members > 1 else None), Programs()


class Measured:
    """Members side by side, ready to be timed: compiled, and the steps of a scan chosen so that it takes some seconds."""

    def __init__(self, setting: str, members: int, wrap: Callable[[Batch], Any] = lambda batch: batch.advance):
        batch, programs = batch_of(setting, members)
        self.members, self.advance, self.state = members, wrap(batch), batch.states(programs)
        self.compile_seconds = self.scan(2)
        self.steps = max(2, int(2 * SCAN_SECONDS / self.scan(2)))
        self.scan(self.steps)
        self.speeds: list[float] = []

    def scan(self, steps: int) -> float:
        """Seconds for so many steps of all."""
        started = time.perf_counter()
        self.state, _ = jax.block_until_ready(self.advance(self.state, steps))
        return time.perf_counter() - started

    def time(self) -> None:
        """One more timed scan: member-steps a second."""
        self.speeds.append(self.members * self.steps / self.scan(self.steps))


def measure(setting: str, sizes: list[int]) -> list[dict[str, Any]]:
    """A row for each number of members. The machine's own speed drifts, so the numbers take turns, and each is compared with the first of
    the same round."""
    ready = {(members, "side by side"): Measured(setting, members) for members in sizes}
    if jax.default_backend() == "cpu":
        ready |= {(members, "vmapped"): Measured(setting, members, vmapped) for members in sizes if 1 < members <= 64}
    for _ in range(ROUNDS):
        for each in ready.values():
            each.time()
    rows = []
    for members in sizes:
        one, first = ready[members, "side by side"], ready[sizes[0], "side by side"]
        costs = [alone / speed for alone, speed in zip(first.speeds, one.speeds, strict=True)]
        row = {"members": members, "steps_a_scan": one.steps, "member_steps_per_second": statistics.median(one.speeds),
               "slowest": min(one.speeds), "fastest": max(one.speeds), "compile_seconds": one.compile_seconds,
               "cost_of_a_member_step": statistics.median(costs)}  # fmt: skip
        if (members, "vmapped") in ready:
            row["vmapped_member_steps_per_second"] = statistics.median(ready[members, "vmapped"].speeds)
        rows.append(row)
    return rows


def vmapped(batch: Batch) -> Any:
    """The same members as one batched computation, which on a CPU a sweep does not do."""
    env, _ = batch.env

    @partial(jax.jit, static_argnums=1, donate_argnums=0)
    def advance(state: Any, count: int) -> Any:
        return jax.vmap(lambda member: fit._alone(batch.trainer, env, member, count))(state)

    return advance


def first_step(scratch: Path, setting: str, name: str) -> float:
    """Seconds from the start of the command until the first line of metrics is there; it is then killed. Python keeps its bytecode, as it
    does unless it is told otherwise."""
    file = scratch / "sweep.yaml"
    data = sweep_of(setting, 8)
    file.write_text(yaml.safe_dump({**data, "training": {**data["training"], "chunk": 1}}))
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "icsap_jax", "sweep", str(file), "--out", str(scratch / name)], cwd=ROOT,
                               env={**os.environ, "XDG_CACHE_HOME": str(scratch), "PYTHONDONTWRITEBYTECODE": "",
                                    "PYTHONPYCACHEPREFIX": str(scratch / "bytecode")}, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        while not any(path.stat().st_size for path in (scratch / name).glob("groups/*/*/metrics.jsonl")):
            if process.poll() is not None:
                raise SystemExit(f"the sweep ended with status {process.returncode} before its first metrics")
            time.sleep(0.02)
        seconds = time.monotonic() - started
    finally:
        process.kill()
        process.wait()
    return round(seconds, 2)


def main() -> None:
    """Measure, print a line each, and write the entry of this device."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", nargs="+", default=["1x2", "2x2"])
    parser.add_argument("--members", nargs="+", type=int, default=[1, 8, 64, 512])
    arguments = parser.parse_args()
    runtime.prepare()
    jax.config.update("jax_enable_compilation_cache", False)  # compilation is one of the things timed
    entry: dict[str, Any] = {
        "command": " ".join(["python", "experiments/benchmarks/sweep.py", *sys.argv[1:]]), "device": runtime.device_name(),
        "devices": len(jax.local_devices()), "machine": machine(), "versions": runtime.versions(), "matmul_gflops": matmul_peak(2048),
        "settings": {},
    }  # fmt: skip
    for setting in arguments.settings:
        rows = measure(setting, arguments.members)
        for row in rows:
            print(setting, {name: round(value, 3) for name, value in row.items()}, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            starts = {f"{name}_seconds": first_step(Path(scratch), setting, name) for name in ("cold", "warm")}
        print(setting, "first step of a sweep of 8", starts, flush=True)
        entry["settings"][setting] = {"rows": rows, "first_step": starts}
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    write_json(RESULTS, {**kept, entry["device"]: json.loads(json.dumps(entry, default=np.ndarray.item))})


if __name__ == "__main__":
    main()
