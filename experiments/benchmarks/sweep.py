"""How fast the members of a sweep train side by side: 1, 8, 64 and 512 RegretNets, and how soon a sweep takes its first step.

    python experiments/benchmarks/sweep.py
    python experiments/benchmarks/sweep.py --settings 1x2 --members 1 8

Member-steps a second of the very programs a sweep runs (`icsap_jax.sweep.programs`), members differing in seed and learning rate: the
median of several timed scans after a warm-up. On a CPU members go one after the other; there 8 and 64 are also measured vmapped, which is
why. Then, in new processes, the seconds from the start of `icsap sweep` to the first line of metrics, with an empty compilation cache and
with it full. Each device is an entry of its own in the results file, and replaces the one that was there.
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
SCAN_SECONDS = 4.0  # about how long a timed scan is to take
SCANS = 5


def sweep_of(setting: str, members: int) -> dict[str, Any]:
    """The problem file of a setting with as many members as wanted: eight learning rates where there are eight or more, and seeds."""
    data = yaml.safe_load((ROOT / "configs" / "auctions" / f"additive_{setting}_uniform.yaml").read_text(encoding="utf-8"))
    rates = {"from": 3e-4, "to": 3e-3, "count": min(8, members), "scale": "log"}
    return {**data, "sweep": {"training.learning_rate": rates, "seeds": max(1, members // 8)}}


def batch_of(setting: str, members: int) -> tuple[Batch, Programs]:
    """All members of a sweep side by side."""
    posed = tuple(Posed.of(member) for member in expand(parse(sweep_of(setting, members), ROOT)).members)
    return Batch(posed, members, devices() if members > 1 else None), Programs()


def measure(setting: str, members: int) -> dict[str, Any]:
    """Member-steps a second, their spread, and what compiling took."""
    batch, programs = batch_of(setting, members)
    state = batch.states(programs)
    started = time.perf_counter()
    state, _ = jax.block_until_ready(batch.advance(state, 2))
    compiled = time.perf_counter() - started
    started = time.perf_counter()
    state, _ = jax.block_until_ready(batch.advance(state, 2))
    count = max(2, int(2 * SCAN_SECONDS / (time.perf_counter() - started)))
    speeds, _ = timed(batch.advance, state, count, members)
    return {"members": members, "steps_a_scan": count, "member_steps_per_second": statistics.median(speeds),
            "slowest": min(speeds), "fastest": max(speeds), "compile_seconds": compiled}  # fmt: skip


def timed(advance: Any, state: Any, count: int, members: int) -> tuple[list[float], Any]:
    """Member-steps a second of each scan of `count` steps, after one that is not timed."""
    state, _ = jax.block_until_ready(advance(state, count))
    speeds = []
    for _ in range(SCANS):
        started = time.perf_counter()
        state, _ = jax.block_until_ready(advance(state, count))
        speeds.append(members * count / (time.perf_counter() - started))
    return speeds, state


def vmapped(setting: str, members: int) -> float:
    """Member-steps a second of the same members as one batched computation."""
    batch, programs = batch_of(setting, members)
    env, _ = batch.env

    @partial(jax.jit, static_argnums=1, donate_argnums=0)
    def advance(state: Any, count: int) -> Any:
        return jax.vmap(lambda member: fit._alone(batch.trainer, env, member, count))(state)

    speeds, _ = timed(advance, batch.states(programs), max(2, 400 // members), members)
    return statistics.median(speeds)


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
    while not any(path.stat().st_size for path in (scratch / name).glob("groups/*/*/metrics.jsonl")):
        if process.poll() is not None:
            raise SystemExit(f"the sweep ended with status {process.returncode} before its first metrics")
        time.sleep(0.02)
    seconds = time.monotonic() - started
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
    on_cpu = jax.default_backend() == "cpu"
    entry: dict[str, Any] = {
        "command": " ".join(["python", "experiments/benchmarks/sweep.py", *sys.argv[1:]]), "device": runtime.device_name(),
        "devices": len(jax.local_devices()), "machine": machine(), "versions": runtime.versions(), "matmul_gflops": matmul_peak(2048),
        "settings": {},
    }  # fmt: skip
    for setting in arguments.settings:
        rows = []
        for members in arguments.members:
            row = measure(setting, members)
            alone = rows[0]["member_steps_per_second"] if rows else row["member_steps_per_second"]
            row["cost_of_a_member_step"] = alone / row["member_steps_per_second"]  # 1: as much as alone
            if on_cpu and 1 < members <= 64:
                row["vmapped_member_steps_per_second"] = vmapped(setting, members)
            rows.append(row)
            print(setting, {name: round(value, 3) for name, value in row.items()}, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            starts = {f"{name}_seconds": first_step(Path(scratch), setting, name) for name in ("cold", "warm")}
        print(setting, "first step of a sweep of 8", starts, flush=True)
        entry["settings"][setting] = {"rows": rows, "first_step": starts}
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    write_json(RESULTS, {**kept, entry["device"]: json.loads(json.dumps(entry, default=np.ndarray.item))})


if __name__ == "__main__":
    main()
