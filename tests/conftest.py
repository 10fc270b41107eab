"""What every test runs under: the CPU, one thread for each worker, strict shapes, and compiled programs kept between runs.

All of it is set through the environment before jax is imported, so that tests of jax-free parts pay nothing for jax and a
command started by a test behaves as its parent does. `case` hands out the exact answers kept in tests/cases.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Claims are tested on the CPU even where there is an accelerator: results there depend on its matrix precision.
os.environ["JAX_PLATFORMS"] = "cpu"
# [B] + [B, N] is far more often a forgotten axis than a wish. flax and optax broadcast explicitly and survive this.
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
# Compilation is most of the suite's time, so programs are kept in pytest's own cache folder, which git ignores and `make clean`
# removes. Below a quarter of a second, reading one back gains nothing.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.25")
# Compiling is most of the rest: code that is not optimised compiles three times sooner, and here hardly any runs long.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()
# XLA's older way to write loops for a CPU compiles twice as fast. From 0.11 on it is gone, and a flag that is not known aborts.
if tuple(int(part) for part in version("jaxlib").split(".")[:2]) < (0, 11):
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
# Two workers with two threads each on two cores wait for one another: the workers are the parallelism.
if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()


# Every compiled program is several pieces of mapped memory, of which Linux gives a process 65 530: beyond, compiling aborts it.
MOST_MAPPED = 25_000


@pytest.fixture(autouse=True, scope="module")
def _few_programs_kept() -> Iterator[None]:
    """Forget what was compiled where a worker holds too much of it."""
    yield
    maps = Path("/proc/self/maps")
    if "jax" in sys.modules and maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPPED:
        sys.modules["jax"].clear_caches()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A run in which the report was never opened in a browser says so at its end, where nobody overlooks it."""
    reasons = {str(report.longrepr[2]).removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])
               if isinstance(report.longrepr, tuple)}  # fmt: skip
    for reason in sorted(reason for reason in reasons if reason.endswith("was not tried in a browser")):
        terminalreporter.write_line(f"NOTE: {reason}", yellow=True, bold=True)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def cases() -> dict[str, dict[str, Any]]:
    """Every exact answer in tests/cases/*.json, by its id; an id may stand in one file only."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "tests" / "cases").glob("*.json")):
        for case in json.loads(path.read_text(encoding="utf-8")).get("cases", []):
            if case["id"] in found:
                raise ValueError(f"{path}: the case {case['id']!r} is there twice, or in another file too.")
            found[case["id"]] = case
    return found


@pytest.fixture(scope="session")
def case(cases: dict[str, dict[str, Any]]) -> Callable[[str], dict[str, Any]]:
    """`case("additive_1x2_uniform")` is that exact answer; an unknown id fails the test and names the nearest."""

    def find(name: str) -> dict[str, Any]:
        if name not in cases:
            pytest.fail(f"tests/cases has no case {name!r}; the nearest: {difflib.get_close_matches(name, cases, 3, 0.3)}")
        return cases[name]

    return find
