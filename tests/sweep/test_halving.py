"""Successive halving: who goes on and who is stopped is a function of the scores; and a real one, stopped in the middle, ends the same."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icsap_jax.config import ConfigError, parse
from icsap_jax.sweep import halving, start
from icsap_jax.sweep.expand import expand
from icsap_jax.sweep.halving import Ledger, Stage
from icsap_jax.sweep.schema import Halving

FILE: dict[str, Any] = {
    "problem": {"kind": "auction", "bidders": 1, "items": 1, "prior": {"kind": "uniform", "low": 0, "high": 1}},
    "rule": {"kind": "regretnet", "hidden": [4]},
    "training": {"steps": 40, "batch": 16, "chunk": 10, "checkpoint_every": 0,
                 "response": {"kind": "exchange", "reports": 16, "anywhere": 0}},
    "evaluation": {"profiles": 200, "gap_profiles": 10, "starts": 1, "steps": 1, "item_grid": 5},
    "sweep": {"draws": 5, "training.learning_rate": {"from": 1e-5, "to": 1e-1, "scale": "log"}, "select": {"gap": 10},
              "halving": {"first": 10, "places": 3}},
}  # fmt: skip


def play(count: int, places: int, worth: Any, keep: float = 0.5) -> tuple[Ledger, dict[int, int]]:
    """A whole game without training: members score `worth(number)` whenever asked; the ledger and how far each came."""
    ledger = Ledger(Halving(first=10, keep=keep, places=places), 80, count)
    reached: dict[int, int] = {}
    while (stage := ledger.following(1)) is not None:
        ledger.stages.append(stage)
        stage.scores = [worth(member) for member in stage.members]
        reached |= {member: taken + 10 for member, taken in zip(stage.members, stage.taken, strict=True)}
    return ledger, reached


def test_rungs_are_each_twice_as_far() -> None:
    """With half kept: 10, 20 and 40 of 80 steps; with a third kept 10 and 30 of 80, and 90 is beyond."""
    assert Ledger(Halving(first=10), 80, 1).rungs == [10, 20, 40]
    assert Ledger(Halving(first=10, keep=1 / 3), 80, 1).rungs == [10, 30]


def test_side_by_side_half_of_them_go_on_from_every_rung() -> None:
    """Eight members in eight places: four come to 20 steps, two to 40, one to the end, and it is the best."""
    _, reached = play(8, 8, float)
    assert reached == {0: 10, 1: 10, 2: 10, 3: 10, 4: 20, 5: 20, 6: 40, 7: 80}


def test_places_are_filled_from_the_line_and_everybody_is_trained_once() -> None:
    """Twenty members in four places: no place is empty while somebody waits, nobody is begun twice, and the best is never stopped."""
    worths = np.random.default_rng(0).permutation(20)
    ledger, reached = play(20, 4, lambda member: float(worths[member]))
    begun = [member for stage in ledger.stages for member, taken in zip(stage.members, stage.taken, strict=True) if taken == 0]
    assert sorted(begun) == list(range(20))
    waiting = [max(stage.members) < 19 for stage in ledger.stages]
    assert all(len(stage.members) == 4 for stage, more in zip(ledger.stages, waiting, strict=True) if more)
    assert reached[int(np.argmax(worths))] == 80
    assert sum(reached.values()) < 0.6 * 20 * 80  # what it is for


def test_what_is_not_finite_never_goes_on() -> None:
    """Not even as the only one at its rung."""
    _, reached = play(2, 2, lambda member: -math.inf)
    assert reached == {0: 10, 1: 10}


def test_gaps_are_paid_for_and_giving_nothing_away_does_not_pay() -> None:
    """An objective of .5 with gaps of .05 in all, as early in training, is worth more than nothing sold at no gap; of two alike the smaller
    gap wins; where gaps are larger than the objective, the difference; and what is not finite is worth less than anything."""
    def scored(objective: float | None, *gaps: float) -> float:
        return halving.score([{"step": 10, "objective": objective, "gap": list(gaps)}])

    assert scored(0.5, 0.02, 0.03) == pytest.approx((0.5**0.5 - 0.05**0.5) ** 2)
    assert scored(0.5, 0.01) > scored(0.5, 0.02, 0.03) > scored(0.0, 0.0) == 0.0
    assert scored(0.1, 0.3) == pytest.approx(-0.2) and scored(-2.0, 0.0) == -2.0
    assert scored(None, 0.1) == -math.inf
    assert halving.score([]) == -math.inf


def test_the_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Also infinite scores and a stage that is still trained."""
    ledger = Ledger(Halving(first=10), 80, 4, [Stage([0, 1], [0, 0], 2, [0.5, -math.inf]), Stage([0, 2], [10, 0], 2)])
    halving.write(tmp_path / "ledger.json", ledger)
    assert halving.read(tmp_path / "ledger.json", ledger.rule, 80, 4) == ledger


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[start.Done, list[str]]:
    """Five members in three places, to the end."""
    said = list[str]()
    return start.sweep(expand(parse(FILE)), tmp_path_factory.mktemp("halving") / "out", say=said.append), said


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "seconds_training": None, "seconds_evaluation": None} for row in rows]


def test_a_sweep_by_halving_tells_of_everybody(straight: tuple[start.Done, list[str]]) -> None:
    """Those that were stopped have what training said and claim nothing more; those that finished are judged, and one of them is best."""
    done, said = straight
    assert len(done.rows) == 5
    stopped = [row for row in done.rows if row["status"] == "dropped"]
    assert stopped and all(row["objective"] is None and row["gap_mean"] is None and row["steps"] < 40 for row in stopped)
    assert all(row["training_objective"] is not None for row in stopped)
    finished = [row for row in done.rows if row["status"] == "finished"]
    assert finished and all(row["steps"] == 40 and row["gap_mean"] is not None for row in finished)
    assert done.best["id"] in {row["id"] for row in finished}
    assert sum("behind others" in line for line in said) == len(stopped)


def test_stopped_between_and_inside_stages_it_ends_the_same(
    straight: tuple[start.Done, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after every stage's training, before it is decided who goes on: the rows are those of the sweep that was not."""
    calls = []
    leave = halving.leave

    def interrupted(*args: Any) -> None:
        calls.append(1)
        if len(calls) % 2:
            raise KeyboardInterrupt
        leave(*args)

    monkeypatch.setattr(halving, "leave", interrupted)
    for _ in range(20):
        try:
            again = start.sweep(expand(parse(FILE)), tmp_path / "out", say=lambda line: None)
            break
        except KeyboardInterrupt:
            continue
    assert len(calls) > 4
    assert without_times(again.rows) == without_times(straight[0].rows)
    shutil.rmtree(tmp_path / "out")


def test_stages_that_do_not_fit_the_steps_are_refused(tmp_path: Path) -> None:
    """Said before anything is written."""
    wrong = {**FILE, "sweep": {**FILE["sweep"], "halving": {"first": 15}}}
    with pytest.raises(ConfigError, match=r"sweep.halving.first = 15 should divide training.steps, which is 40"):
        start.sweep(expand(parse(wrong)), tmp_path / "out", say=lambda line: None)
    assert not (tmp_path / "out").exists()
