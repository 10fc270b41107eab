"""The pictures of a run show the numbers that were measured, mark how gaps were searched, and are never half on disk."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from icsap_jax import figures, pictures
from icsap_jax.config import ConfigError

STEPS = [500, 1000, 1500, 2000]


@pytest.fixture
def result() -> dict[str, Any]:
    """The parts of a result that pictures look at: two agents, member 1 kept."""
    return {
        "member": 1,
        "objective": {"name": "revenue", "value": 0.85},
        "optimum": {"value": 0.87},
        "incentive_gap": {"mean": 4e-4, "max": 0.003, "method": "grid 201×201 + 16 refined starts"},
        "details": {"gap_profiles": 60, "gap_histogram": {"edges": [0.0, 0.001, 0.002, 0.003], "counts": [100, 0, 20]}},
    }


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """Three members over four chunks; one number was not finite, and agent 2 of member 1 ends at a gap of 0."""
    lines = [
        {"step": step, "seconds": 5 + step / 500, "member": member, "objective": 0.8 + 0.01 * member + 1e-5 * step,
         "gap": [0.01 / step, 0.0 if (step, member) == (2000, 1) else 0.02 / step], "multiplier": [5.0, 6.0]}
        for step in STEPS for member in range(3)
    ]  # fmt: skip
    lines[3]["objective"] = None
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Figure, np.ndarray]]:
    """Each page that is drawn, as its figure and axes."""
    pages: list[tuple[Figure, np.ndarray]] = []

    @contextmanager
    def page(*inputs: Any, **settings: Any) -> Iterator[tuple[Figure, np.ndarray]]:
        with figures.page(*inputs, **settings) as (figure, axes):
            yield figure, axes
            pages.append((figure, axes))

    monkeypatch.setattr(pictures, "page", page)
    return pages


def levels(axis: Any) -> list[float]:
    """The heights of the lines that run across the whole axes."""
    return [float(line.get_ydata()[0]) for line in axis.get_lines() if len(line.get_xdata()) == 2]


def test_training_curves_draw_every_member_and_agent(metrics: Path, result: dict[str, Any], drawn: list, tmp_path: Path) -> None:
    """What was streamed is what is drawn: a gap where a number was not finite, nothing on the log axis where the gap was 0, the
    kept member thickest, and the strong evaluation and the exact optimum at their heights."""
    pictures.training_curves(metrics, result, tmp_path / "training.png")
    objective, gap, _ = drawn[0][1][:, 0]
    curves = [line for line in objective.get_lines() if len(line.get_xdata()) == len(STEPS)]
    assert len(curves) == 3
    kept = max(curves, key=lambda line: line.get_linewidth())
    np.testing.assert_allclose(kept.get_ydata(), [0.81 + 1e-5 * step for step in STEPS])
    assert sum(np.isnan(line.get_ydata()).sum() for line in curves) == 1
    gaps = [line for line in gap.get_lines() if len(line.get_xdata()) == len(STEPS)]
    assert len(gaps) == 6
    assert sum(np.isnan(line.get_ydata()).sum() for line in gaps) == 1
    assert gap.get_yscale() == "log"
    assert levels(objective) == [0.85, 0.87]
    assert levels(gap) == [4e-4]
    low, high = objective.get_ylim()
    assert low < 0.805 < 0.87 < high  # the lowest number drawn, and the optimum


def test_seconds_stand_above_the_steps_they_took(metrics: Path, result: dict[str, Any], drawn: list, tmp_path: Path) -> None:
    """The member's own clock: the chunk that ended at step 1500 took until second 8."""
    pictures.training_curves(metrics, result, tmp_path / "training.png")
    (above,) = drawn[0][1][0, 0].child_axes
    named = above.get_xticks()
    assert len(named) >= 2
    assert all(0 < second <= 9 for second in named)
    assert above._functions[0](1500) == pytest.approx(8.0)


def test_a_run_of_no_steps_still_has_a_picture(result: dict[str, Any], tmp_path: Path) -> None:
    """`training.steps=0` evaluates a random rule; its metrics are an empty file."""
    empty = tmp_path / "metrics.jsonl"
    empty.write_text("", encoding="utf-8")
    pictures.training_curves(empty, result, tmp_path / "training.png")
    assert matplotlib.image.imread(tmp_path / "training.png").shape == (1152, 1280, 4)


def test_the_histogram_keeps_every_count_and_says_how_it_was_searched(result: dict[str, Any], drawn: list, tmp_path: Path) -> None:
    """Bars reach the counts, empty bins have none, and the mean and the largest gap are where they were measured."""
    pictures.gap_histogram(result, tmp_path / "gap.png")
    figure, axes = drawn[0]
    bars = axes[0, 0].patches
    assert [(bar.get_x(), bar.get_y() + bar.get_height()) for bar in bars] == [(0.0, 100.0), (0.002, 20.0)]
    marked = [float(line.get_xdata()[0]) for line in axes[0, 0].get_lines()]
    assert marked == [4e-4, 0.003]
    assert "201×201 + 16 refined" in axes[0, 0].get_title("left")
    assert "60 fresh profiles" in figure.get_suptitle()


def test_where_agents_do_their_best_the_objective_stands_alone(result: dict[str, Any], drawn: list, tmp_path: Path) -> None:
    """No gap was ever priced: no empty axes for it, and the title says why and how much is left."""
    lines = [{"step": step, "seconds": step / 10, "member": 0, "objective": step, "gap": [0.0], "multiplier": [5.0]} for step in (10, 20)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pictures.training_curves(tmp_path / "metrics.jsonl", result, tmp_path / "training.png")
    figure, axes = drawn[-1]
    assert axes.shape == (1, 1)
    assert "doing what is best for them" in figure.get_suptitle()
    np.testing.assert_array_equal(axes[0, 0].get_lines()[0].get_ydata(), [10, 20])


def test_gaps_that_are_all_zero_can_be_drawn(result: dict[str, Any], tmp_path: Path) -> None:
    """An exact second-price auction has no gap at all."""
    result["incentive_gap"].update(mean=0.0, max=0.0)
    result["details"]["gap_histogram"] = {"edges": [0.0, 5e-10, 1e-9], "counts": [120, 0]}
    pictures.gap_histogram(result, tmp_path / "gap.png")
    assert (tmp_path / "gap.png").stat().st_size > 0


def test_pictures_are_pngs_of_their_size_with_something_on_them(metrics: Path, result: dict[str, Any], tmp_path: Path) -> None:
    """160 dots an inch, and a folder is made where there is none."""
    plots = tmp_path / "plots"
    pictures.training_curves(metrics, result, plots / "training.png")
    pictures.gap_histogram(result, plots / "gap.png")
    for name, shape in (("training.png", (1152, 1280, 4)), ("gap.png", (704, 1152, 4))):
        assert (plots / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        pixels = matplotlib.image.imread(plots / name)
        assert pixels.shape == shape
        # Lines and letters cover between a hundredth and half of the page.
        assert 0.01 < (pixels[..., :3] < 0.95).any(-1).mean() < 0.5
    assert sorted(path.name for path in plots.iterdir()) == ["gap.png", "training.png"]


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(("fault", "raised"), [(FULL, ConfigError), (ValueError("x"), ValueError)])
def test_a_picture_that_fails_leaves_the_old_one(
    fault: Exception, raised: type[Exception], result: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the middle of writing is one sentence; the picture that was there stays, and no partial file is left."""
    old = tmp_path / "gap.png"
    pictures.gap_histogram(result, old)
    before = old.read_bytes()

    def fail(figure: Figure, path: Path, **settings: Any) -> None:
        path.write_bytes(b"half")
        raise fault

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(raised):
        pictures.gap_histogram(result, old)
    assert old.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["gap.png"]


@pytest.mark.parametrize("heights", [[0.5, 0.505], [0.2, 0.9], [0.4, 0.1, 0.45, 0.41], [0.3, 0.3, 0.3], []])
def test_names_beside_levels_never_meet(heights: list[float]) -> None:
    """They keep their order and their middle, stand apart, and do not move where there is room."""
    placed = figures.spread(heights, 0.1)
    assert placed.shape == (len(heights),)
    order = np.argsort(heights, kind="stable")
    assert np.all(np.diff(placed[order]) >= 0.1 - 1e-12)
    assert placed.mean() == pytest.approx(np.mean(heights)) if heights else True
    if len(heights) == 2 and heights[1] - heights[0] > 0.1:
        np.testing.assert_array_equal(placed, heights)
