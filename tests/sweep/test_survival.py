"""A sweep that is killed, and whose files are damaged, ends in the table of one left alone.

Real kills of real processes, by the harness of `experiments/disturbed.py`: three and a flipped bit on one small sweep, one after the other.
Twenty more, every kind of damage, a full disk and signals, each on a sweep of its own, are the slow tests; what came of them once is
committed in experiments/results/survival.json.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from icsap_jax import files, loop
from icsap_jax.config import ConfigError, parse
from icsap_jax.sweep import folder, table
from icsap_jax.sweep.expand import Sweep, expand

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments"))
import disturbed
import survival

# One group of two batches: what is compiled for a second group would take as long again.
SHORT = {**disturbed.SMALL, "sweep": {"training.learning_rate": [1e-3, 1e-2], "seeds": 2, "together": 2}}

PROMISED: dict[str, Callable[[dict[str, Any]], bool]] = {
    "kills": lambda report: report["killed"],
    "damage": lambda report: any("damaged" in line for line in report["said"]),
    "disk": lambda report: report["status_when_full"] == 2 and "no space left" in report["said_when_full"][-1],
    "signals": lambda report: report["status_when_stopped"] == report["status_wanted"],
    "two": lambda report: 0 in report["statuses"],
}


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> disturbed.Place:
    """The sweep, undisturbed."""
    scratch = tmp_path_factory.mktemp("survival")
    (scratch / "short.yaml").write_text(yaml.safe_dump(SHORT))
    place = disturbed.Place(scratch / "short.yaml", scratch / "left-alone")
    assert place.ended() == 0, place.told()
    return place


def test_three_kills_and_a_flipped_bit_change_nothing(left_alone: disturbed.Place, tmp_path: Path) -> None:
    """Killed while it saves its third checkpoint; a bit of the newest whole one flipped; killed between the two members of a batch, while
    it judges; killed at a moment of the second batch that a seed draws. Each time the same command goes on, and what it ends in is the
    table, and every parameter, of the sweep left alone, with nothing half-written left."""
    place, generator = disturbed.Place(left_alone.config, tmp_path / "out"), np.random.default_rng(0)
    checkpoints = place.out / "groups/0/0/checkpoints"

    saving = disturbed.killed(place, disturbed.appears(place.out, disturbed.CHECKPOINT, 3))
    assert saving["killed"] and saving["checkpoints"] == [f"groups/0/0/checkpoints/step_{step}" for step in (10, 20)]
    assert [Path(name).name for name in saving["partial"] if ".step_30.partial-" in name], "not inside a save"

    whole = [path for path in sorted((checkpoints / "step_20" / "state").rglob("*")) if path.is_file() and path.stat().st_size]
    disturbed.flip(max(whole, key=lambda path: path.stat().st_size), generator)

    judging = disturbed.killed(place, disturbed.appears(place.out, "members/[!.]*"))
    assert judging["killed"] and judging["members"] == 1
    assert any("checkpoint step 20 is damaged" in line and "falling back to step 10" in line for line in place.told()), place.told()
    assert "resuming OUT/groups/0/0 at step 10 of 40" in place.told()

    second = disturbed.appears(place.out, "groups/0/1")
    anywhere = disturbed.killed(place, second, generator.uniform(0.0, 1.0))
    assert anywhere["killed"]

    assert place.ended() == 0, place.told()
    assert disturbed.difference(disturbed.record(place.out), disturbed.record(left_alone.out)) is None
    assert disturbed.curves(place.out) == disturbed.curves(left_alone.out)
    assert disturbed.leftovers(place.out) == []


def test_what_a_kill_at_the_very_end_leaves_is_cleared_away(left_alone: disturbed.Place, tmp_path: Path) -> None:
    """A group half cleared when all its members were done, a table half written: asked again, nothing is trained, and nothing is left."""
    place = disturbed.Place(left_alone.config, tmp_path / "out")
    shutil.copytree(left_alone.out, place.out)
    for name in ("groups/0/1/checkpoints/step_30/state", "members/.seed=0.partial-1", ".best.partial-2"):
        (place.out / name).mkdir(parents=True)
    (place.out / ".sweep.parquet.partial-3").write_bytes(b"PAR1")
    assert place.ended() == 0
    assert disturbed.leftovers(place.out) == []
    assert disturbed.difference(disturbed.record(place.out), disturbed.record(left_alone.out)) is None


def planned(out: Path) -> Sweep:
    """The sweep with its folder opened, and nothing trained."""
    sweep = expand(parse(SHORT))
    folder.open_for(sweep, [0] * len(sweep.members), out)
    return sweep


def member(out: Path, sweep: Sweep, number: int) -> Path:
    """A finished member, written by hand."""
    place = out / "members" / sweep.members[number].id
    (place / "artifact").mkdir(parents=True)
    files.write_json(place / "result.json", {"config_sha256": sweep.members[number].config.sha256(), "objective": {"value": 0.25}})
    (place / "metrics.jsonl").write_text('{"step": 10, "seconds": 0.1, "member": 0}\n')
    (place / "artifact" / "parameters.npz").write_bytes(bytes(range(64)))
    folder.seal(place)
    return place


def test_any_flipped_bit_in_the_list_of_members_is_noticed(tmp_path: Path) -> None:
    """Also one that leaves a list, with another learning rate in it; the sentence says what to do."""
    planned(tmp_path)
    path, generator = tmp_path / "members.json", np.random.default_rng(0)
    whole = path.read_bytes()
    for _ in range(50):
        disturbed.flip(path, generator)
        with pytest.raises(ConfigError, match=r"is damaged .*; remove it and give the same sweep command again"):
            folder.plan(tmp_path)
        path.write_bytes(whole)
    path.write_bytes(whole.replace(b"0.001", b"0.003", 1))
    with pytest.raises(ConfigError, match="is damaged"):
        folder.plan(tmp_path)


@pytest.mark.parametrize("change", [("batch: 16", "batch: 18"), ("auction", "auktion"), ("sweep:", "sweep"), ("seeds: 2", "seeds: 3")])
def test_a_problem_file_that_is_damaged_is_never_trained(tmp_path: Path, change: tuple[str, str]) -> None:
    """Whether it can be read or not: opening it is refused, and the same command writes it anew."""
    sweep, said = planned(tmp_path), list[str]()
    path = tmp_path / "sweep.yaml"
    whole = path.read_text()
    path.write_text(whole.replace(*change, 1))
    assert path.read_text() != whole
    with pytest.raises(ConfigError, match=r"sweep\.yaml"):
        folder.reopened(tmp_path)
    folder.look_over(sweep, tmp_path, said.append)
    assert path.read_text() == whole
    assert said == [f"{path} is damaged: it is written anew"]


@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl", "artifact/parameters.npz", "digests.json"])
def test_a_finished_member_that_is_damaged_is_trained_again(tmp_path: Path, name: str) -> None:
    """It is named with the file and counts as done no more; its neighbour stays, and one that is whole is not spoken of."""
    sweep, said = planned(tmp_path), list[str]()
    first, second = member(tmp_path, sweep, 0), member(tmp_path, sweep, 1)
    folder.look_over(sweep, tmp_path, pytest.fail)
    disturbed.flip(second / name, np.random.default_rng(1))
    folder.look_over(sweep, tmp_path, said.append)
    assert said == [f"{second} is damaged (file {name}): this member is trained again"]
    assert folder.done(tmp_path, first.name) and not folder.done(tmp_path, second.name) and not second.exists()


def test_a_member_of_another_sweep_is_not_taken_for_one_of_this(tmp_path: Path) -> None:
    """Where the list of members was removed and another sweep of the same names is given."""
    sweep, said = planned(tmp_path), list[str]()
    place = member(tmp_path, sweep, 0)
    (tmp_path / "members.json").unlink()
    other = expand(parse({**SHORT, "training": {**SHORT["training"], "batch": 18}}))
    folder.open_for(other, [0] * len(other.members), tmp_path)
    folder.look_over(other, tmp_path, said.append)
    assert said == [f"{place} is damaged (it is of another problem file): this member is trained again"] and not place.exists()


def test_a_result_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    """For whoever reads the table of a folder, as the page does."""
    sweep = planned(tmp_path)
    (member(tmp_path, sweep, 2) / "result.json").write_text("{")
    with pytest.raises(ConfigError, match=r"result\.json: is damaged .*; give the same sweep command again"):
        table.rows(tmp_path)


def test_how_many_train_together_is_not_believed_when_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints of four do not fit six: the group starts over, and says so."""
    from icsap_jax.sweep import groups

    place, said = tmp_path / "groups" / "0", list[str]()
    monkeypatch.setattr(groups, "size_for", lambda *_: 4)
    assert groups.planned([], None, place, None, pytest.fail) == 4
    assert groups.planned([], 3, place, None, pytest.fail) == 4
    (place / "0" / "checkpoints").mkdir(parents=True)
    (place / "plan.json").write_text((place / "plan.json").read_text().replace("4", "6", 1))
    assert groups.planned([], None, place, None, said.append) == 4
    assert said == [f"{place / 'plan.json'} is damaged: the group starts over"] and not (place / "0").exists()


def test_a_stage_of_halving_begins_with_the_end_of_the_one_before_or_not_at_all(tmp_path: Path) -> None:
    """Where that checkpoint is damaged there is an earlier one, of fewer steps: going on from it would be another sweep."""
    from icsap_jax.sweep import halving
    from icsap_jax.sweep.programs import Batch

    ledger = halving.Ledger(halving.Halving(first=10), 40, 2, [halving.Stage([0, 1], [0, 0], 2, [0.5, 0.4]),
                                                               halving.Stage([0], [10], 2)])  # fmt: skip
    posed = SimpleNamespace(member=SimpleNamespace(config=SimpleNamespace(training=SimpleNamespace(members=1))))
    batch, state, said = Batch((posed,), 2, None), {"a": np.zeros((1, 2), np.float32)}, list[str]()
    programs = SimpleNamespace(begin=lambda _: state)
    for step in (5, 10):
        loop.checkpoints.save(tmp_path / "0" / "checkpoints", step, {"a": np.full((2, 2), step, np.float32)})
    begun = halving.begin(ledger, batch, tmp_path, programs, said.append)
    assert begun.taken == 0 and np.asarray(begun.state["a"]).tolist() == [[10, 10], [10, 10]]
    (tmp_path / "0" / "checkpoints" / "step_10" / "manifest.json").unlink()
    assert halving.begin(ledger, batch, tmp_path, programs, said.append) is None
    assert "falling back to step 5" in said[-1]


def test_a_ledger_of_halving_that_is_damaged_is_begun_anew(tmp_path: Path) -> None:
    """A score of which a digit changed would stop other members."""
    from icsap_jax.sweep import halving

    ledger = halving.Ledger(halving.Halving(first=10), 40, 2, [halving.Stage([0, 1], [0, 0], 2, [0.5, 0.4])])
    halving.write(tmp_path / "ledger.json", ledger)
    disturbed.flip(tmp_path / "ledger.json", np.random.default_rng(0))
    assert halving.read(tmp_path / "ledger.json", ledger.rule, 40, 2).stages == []


@pytest.mark.parametrize(("spoiled", "left"), [
    (b'{"step": 20, "seconds": 2.0, "mem\xffer": 0}', 1), (b'{"step": 20, "sesonds": 2.0, "member": 0}', 1), (b"20", 1), (b"", 1),
])  # fmt: skip
def test_metrics_that_are_damaged_are_told_of(tmp_path: Path, spoiled: bytes, left: int) -> None:
    """What comes after a line that cannot be read is dropped, and said to be; a last line cut off by a kill is none of that."""
    state, said = {"a": np.zeros(2)}, list[str]()
    line = b'{"step": 10, "seconds": 1.0, "member": 0}\n'
    loop.checkpoints.save(tmp_path / "checkpoints", 20, state)
    (tmp_path / "metrics.jsonl").write_bytes(line + spoiled + b"\n" + line.replace(b"10", b"30"))
    assert loop.resumed(state, 40, tmp_path, said.append).taken == 20
    assert said[0] == f"{tmp_path / 'metrics.jsonl'} is damaged: of what it told of the steps up to 20 only {left} lines are left"
    (tmp_path / "metrics.jsonl").write_bytes(line + line.replace(b"10", b"20") + b'{"step": 30, "sec')
    said.clear()
    loop.resumed(state, 40, tmp_path, said.append)
    assert said == [f"resuming {tmp_path} at step 20 of 40"]


def test_what_is_committed_says_that_nothing_was_lost(root: Path) -> None:
    """Twenty kills and all the rest, each with the table of the sweep left alone."""
    kept = json.loads((root / "experiments" / "results" / "survival.json").read_text(encoding="utf-8"))
    assert set(kept["disturbances"]) == set(survival.KINDS)
    assert sum(report["killed"] for report in kept["disturbances"]["kills"]) >= 20
    assert kept["disturbed"] == kept["identical"] == sum(len(reports) for reports in kept["disturbances"].values())


@pytest.fixture(scope="module")
def disturbances(tmp_path_factory: pytest.TempPathFactory) -> survival.Disturbances:
    """The harness of the experiment, with other moments and other bits than the results that are committed."""
    return survival.Disturbances(tmp_path_factory.mktemp("disturbances"), seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", survival.KINDS)
def test_whatever_disturbs_it_the_table_is_the_same(disturbances: survival.Disturbances, kind: str) -> None:
    """And what it says, and how it ends, is what was promised."""
    reports = list(getattr(disturbances, kind)())
    if "skipped" in reports[0]:
        pytest.skip(reports[0]["skipped"])
    for report in reports:
        assert report["status"] == 0 and report["identical"] and report["left_over"] == [], report
        assert PROMISED[kind](report), report
