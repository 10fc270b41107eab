"""Training a contracting problem as the command does, once for every test that looks at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from icsap_jax import run
from icsap_jax.config import load, parse


@pytest.fixture(scope="session")
def train(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[dict[str, Any], Path]]:
    """`train("used_car")`, a file of configs/contracts/, or `train({"kind": "warranty", …})`, a problem with its defaults: the
    result and the run's folder. Nothing is drawn, which would take longer than most of these runs."""
    done: dict[str, tuple[dict[str, Any], Path]] = {}

    def trained(given: str | dict[str, Any], *overrides: str) -> tuple[dict[str, Any], Path]:
        key = repr((given, overrides))
        if key not in done:
            config = (load(root / "configs" / "contracts" / f"{given}.yaml", overrides) if isinstance(given, str)
                      else parse({"problem": given}, overrides=overrides))  # fmt: skip
            folder = tmp_path_factory.mktemp("run") / "out"
            with mock.patch.object(run, "draw_pictures", lambda *_: None):
                done[key] = run.train(config, folder, lambda line: None), folder
        return done[key]

    return trained
