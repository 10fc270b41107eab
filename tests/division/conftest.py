"""Training a division as the command does, once for every test that looks at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from icsap_jax import run
from icsap_jax.config import load


@pytest.fixture(scope="session")
def train(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[dict[str, Any], Path]]:
    """`train("cake_n4_nash")`, a file of configs/division/: the result and the run's folder. Nothing is drawn."""
    done: dict[str, tuple[dict[str, Any], Path]] = {}

    def trained(name: str, *overrides: str) -> tuple[dict[str, Any], Path]:
        key = repr((name, overrides))
        if key not in done:
            folder = tmp_path_factory.mktemp("run") / "out"
            with mock.patch.object(run, "draw_pictures", lambda *_: None):
                done[key] = run.train(load(root / "configs" / "division" / f"{name}.yaml", overrides), folder, lambda line: None), folder
        return done[key]

    return trained
