"""A small sweep, whole: what shares a program, that members do not touch each other, the table, the best, and going on.

Six members of two widths, three rates and one that cannot stay finite are trained once and looked at from many sides. What kills and
damage do to a sweep is shown in test_survival, Ray in test_cluster.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from icsap_jax import artifact, cli, run
from icsap_jax.bilevel import fit
from icsap_jax.config import ConfigError, load, parse
from icsap_jax.sweep import folder, groups, start, table
from icsap_jax.sweep.expand import expand
from icsap_jax.sweep.programs import Batch, Posed, Programs, evenly
from icsap_jax.sweep.schema import Select

BASE: dict[str, Any] = {
    "problem": {"kind": "auction", "bidders": 1, "items": 1, "prior": {"kind": "uniform", "low": 0, "high": 1}},
    "rule": {"kind": "regretnet", "hidden": [4]},
    "training": {"steps": 50, "batch": 16, "chunk": 25, "response": {"kind": "exchange", "reports": 16, "anywhere": 0}},
    "evaluation": {"profiles": 500, "gap_profiles": 20, "starts": 1, "steps": 2, "item_grid": 11},
}
SECTION = {"training.learning_rate": [1e-3, 1e-2, 1e30], "rule.hidden": [[4], [6]], "select": {"gap": 0.5}}


def swept(**section: Any) -> dict[str, Any]:
    """BASE with another section; "__" in a name stands for a dot."""
    return {**BASE, "sweep": {key.replace("__", "."): value for key, value in section.items()}}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, start.Done, list[str]]:
    """The folder of the finished sweep, what it returned and what was said."""
    out, said = tmp_path_factory.mktemp("sweep") / "out", list[str]()
    return out, start.sweep(expand(parse({**BASE, "sweep": SECTION})), out, say=said.append), said


def numbers_of(section: dict[str, Any]) -> list[int]:
    """The groups that a sweep of BASE falls into."""
    return groups.grouped(expand(parse({**BASE, "sweep": section})), Programs())


def test_what_changes_no_shape_shares_a_program() -> None:
    """Rates, prices, numbers of the prior and seeds stand on the member axis; widths, batches and chunks do not."""
    assert numbers_of({
        "training.learning_rate": [1e-3, 1e-2], "training.lagrangian.multiplier": [1.0, 5.0], "problem.prior.high": [1, 2], "seeds": 2,
    }) == [0] * 16  # fmt: skip
    assert numbers_of({"training.batch": [16, 32], "seeds": 2}) == [0, 0, 1, 1]
    assert numbers_of({"rule.hidden": [[4], [6]], "training.chunk": [25, 10]}) == [0, 1, 2, 3]
    assert numbers_of({"training.clip": [1.0, 2.0, None]}) == [0, 0, 1]  # without clipping there is a number less


def test_members_alike_in_their_problem_keep_it_once() -> None:
    """Seeds and rates share one problem's numbers; priors that differ are stacked, one for each place on the axis."""
    def posed(section: dict[str, Any]) -> tuple[Posed, ...]:
        return tuple(Posed.of(member) for member in expand(parse({**BASE, "sweep": section})).members)

    env, own = Batch(posed({"seeds": 3}), 3, None).env
    assert not own and env is not None
    same, several = Batch(posed({"problem.prior.high": [1, 2, 3]}), 4, None).env
    assert several
    assert {np.shape(leaf)[0] for leaf in jax.tree.leaves(same)} == {4}


def test_batches_are_even_and_fit_the_devices() -> None:
    """Nine members at most eight at a time are twice five; four devices want multiples of four."""
    assert evenly(9, 8, 1) == 5
    assert evenly(8, 8, 1) == 8
    assert evenly(6, 6, 4) == 8
    assert evenly(512, 100, 8) == 88


def test_a_sweep_ends_in_a_table(done: tuple[Path, start.Done, list[str]]) -> None:
    """One row a member in the order of the file: the optimum beside each objective, no objective without its gap, and the problem file."""
    import pyarrow.parquet

    out, finished, _ = done
    read = pyarrow.parquet.read_table(out / "sweep.parquet").to_pylist()
    assert [row["id"] for row in read] == [member.id for member in expand(parse({**BASE, "sweep": SECTION})).members]
    assert [row["set.training.learning_rate"] for row in read] == [1e-3, 1e-3, 1e-2, 1e-2, 1e30, 1e30]
    for row in read:
        assert row["optimum"] == pytest.approx(0.25)
        assert (row["objective"] is None) == (row["gap_mean"] is None)
        assert yaml.safe_load(row["config"])["training"]["learning_rate"] == row["set.training.learning_rate"]
    assert finished.members == 6 and [row["id"] for row in finished.rows] == [row["id"] for row in read]


def test_a_member_that_breaks_is_named_and_the_others_finish(done: tuple[Path, start.Done, list[str]]) -> None:
    """A rate of 1e30 takes no step: frozen at step 0 and said so; the table holds its last good state as what it is."""
    _, finished, said = done
    status = {row["id"]: (row["status"], row["bad_step"]) for row in finished.rows}
    assert {key: value for key, value in status.items() if "1e+30" in key} == {
        "learning_rate=1e+30_hidden=4": ("not finite", 0), "learning_rate=1e+30_hidden=6": ("not finite", 0)}  # fmt: skip
    assert all(value == ("finished", None) for key, value in status.items() if "1e+30" not in key)
    assert any("member learning_rate=1e+30_hidden=4 was not finite at step 0" in line for line in said)


def test_a_member_is_the_run_that_train_would_have_made(done: tuple[Path, start.Done, list[str]], tmp_path: Path) -> None:
    """Alone, by `train` and its problem file: parameters agree after 50 steps to float32 rounding that Adam spread, and the objective to
    two standard errors; its folder is a run folder, whose artifact loads."""
    out, finished, _ = done
    row = next(row for row in finished.rows if row["id"] == "learning_rate=0.01_hidden=6")
    place = out / "members" / row["id"]
    config = load(place / "config.yaml")
    problem, env = run.posed(config)
    trainer = fit.Trainer.of(problem, config.training)
    state, _ = fit.run(trainer, env, run.initial_state(config, trainer, problem, env), 25)
    state, _ = fit.run(trainer, env, state, 25)
    kept = artifact.load(place)
    for one, other in zip(jax.tree.leaves(kept.rule.params), jax.tree.leaves(fit.member(state, 0).rule.params), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    alone = run.finish(config, problem, env, state, tmp_path, {}, lambda line: None)[0]
    assert abs(alone["objective"]["value"] - row["objective"]) < 2 * row["objective_std_error"]
    lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["member"]) for line in lines] == [(25, 0), (50, 0)]


def test_the_best_member_is_exported_by_the_rule_that_is_stated(done: tuple[Path, start.Done, list[str]]) -> None:
    """The highest objective within the gap allowed, by the strong evaluation, as a whole run with pictures; the rule stands beside it."""
    out, finished, _ = done
    within = [row for row in finished.rows if row["gap_mean"] <= 0.5]
    assert finished.best["id"] == max(within, key=lambda row: row["objective"])["id"]
    told = json.loads((out / "best.json").read_text())
    assert told == {"id": finished.best["id"], "rule": "highest revenue subject to a mean gap ≤ 0.5"}
    assert [row["id"] for row in finished.rows if row["selected"]] == [told["id"]]
    assert (out / "best" / "plots" / "training.png").exists() and (out / "best" / "artifact" / "rule.stablehlo").exists()
    assert artifact.load(out / "best").config.sha256() == load(out / "members" / told["id"] / "config.yaml").sha256()


def test_without_a_member_within_the_gap_the_smallest_gap_is_taken_and_said(done: tuple[Path, start.Done, list[str]]) -> None:
    """Never a high objective with a large gap under the name of the rule; and nothing where nothing was measured."""
    rows = done[1].rows
    best, rule = table.best(rows, Select(gap=0.0))
    if min(row["gap_mean"] for row in rows) > 0:
        assert best["gap_mean"] == min(row["gap_mean"] for row in rows) and rule.startswith("smallest mean gap, as no member's is ≤ 0")
    assert table.best([{**row, "objective": None} for row in rows], Select()) == (None, "no member has a finite result")


def test_asked_again_it_trains_nothing(done: tuple[Path, start.Done, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same file on its own folder: the same rows, and no group is run."""
    out, finished, _ = done
    monkeypatch.setattr(groups, "run_group", lambda *_: pytest.fail("a group was run"))
    assert start.sweep(expand(parse({**BASE, "sweep": SECTION})), out, say=lambda line: None).rows == finished.rows


def test_a_member_that_is_lost_is_trained_again(done: tuple[Path, start.Done, list[str]], tmp_path: Path) -> None:
    """Without one member's folder only its batch is trained, to the same numbers."""
    out, finished, _ = done
    shutil.copytree(out, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "members" / "learning_rate=0.01_hidden=4")
    again = start.sweep(expand(parse({**BASE, "sweep": SECTION})), tmp_path / "copy", say=lambda line: None)
    times = ("seconds_training", "seconds_evaluation")
    assert [{**row, **dict.fromkeys(times)} for row in again.rows] == [{**row, **dict.fromkeys(times)} for row in finished.rows]


def test_another_sweep_or_a_run_in_the_folder_is_refused(done: tuple[Path, start.Done, list[str]], tmp_path: Path) -> None:
    """Neither is touched; and a run is not begun in a sweep."""
    out = done[0]
    before = (out / "members.json").read_bytes()
    with pytest.raises(ConfigError, match=r"holds another sweep, of 6 members, and 'learning_rate=0.001_hidden=4' is not one of these"):
        start.sweep(expand(parse(swept(seeds=2))), out, say=pytest.fail)
    with pytest.raises(ConfigError, match="whose members have the same names and other settings"):
        start.sweep(expand(parse({**BASE, "seed": 3, "sweep": SECTION})), out, say=pytest.fail)
    with pytest.raises(ConfigError, match="holds a single run"):
        start.sweep(expand(parse({**BASE, "sweep": SECTION})), out / "best", say=pytest.fail)
    with pytest.raises(ConfigError, match="holds a sweep"):
        run.train(parse(BASE), out, pytest.fail)
    assert (out / "members.json").read_bytes() == before


def test_a_dry_run_says_what_would_be_done(tmp_path: Path) -> None:
    """Groups, members, what stands on the axis, memory, programs; nothing is written."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**BASE, "sweep": SECTION}))
    done = CliRunner().invoke(cli.app, ["sweep", str(path), "--dry-run", "--json", "--out", str(tmp_path / "out")])
    told = json.loads(done.stdout)
    assert [(each["members"], each["varies"], each["fixed"]) for each in told["groups"]] == [
        (3, ["training.learning_rate"], {"rule.hidden": width}) for width in ([4], [6])]  # fmt: skip
    assert all(each["state_bytes"] > 0 and each["step_bytes"] > 0 and each["programs"] == 1 for each in told["groups"])
    assert not (tmp_path / "out").exists()


def test_members_are_the_same_on_four_devices_and_in_any_order(tmp_path: Path) -> None:
    """In a process that sees four devices, six members, two of the eight places filled up: the same draws to the bit, and parameters as on
    one device and in the other order, to what 50 steps make of rounding."""
    script = f"""
import json, sys
import jax, numpy as np
from icsap_jax.config import parse
from icsap_jax.sweep.expand import expand
from icsap_jax.sweep.programs import Batch, Posed, Programs, devices
from icsap_jax import runtime
runtime.prepare()
base = json.loads({json.dumps(json.dumps({**BASE, "sweep": {"training.learning_rate": [1e-3, 3e-3, 1e-2], "seeds": 2}}))})
posed, programs = [Posed.of(member) for member in expand(parse(base)).members], Programs()
def trained(order, mesh):
    batch = Batch(tuple(posed[place] for place in order), 8 if mesh else 6, mesh)
    state, _ = batch.advance(batch.states(programs), 50)
    assert mesh is None or len(state.step.sharding.device_set) == 4
    keys = np.asarray(jax.random.key_data(state.key))
    return {{place: ([np.asarray(leaf)[at] for leaf in jax.tree.leaves(state.rule.params)], keys[at]) for at, place in enumerate(order)}}
one, four, back = trained(range(6), None), trained(range(6), devices()), trained(range(5, -1, -1), devices())
for place in range(6):
    for other in (four, back):
        assert (one[place][1] == other[place][1]).all()
        for a, b in zip(one[place][0], other[place][0], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
print(len(jax.devices()))
"""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=Path(cli.__file__).parents[1],
                          env={**os.environ, "XLA_FLAGS": flags})  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "4"


def test_the_groups_left_are_those_with_members_left(done: tuple[Path, start.Done, list[str]]) -> None:
    """None when all are done."""
    assert folder.unfinished(done[0]) == []
