"""From a `sweep:` section to members: combinations, ranges, draws, names, and every way to write it wrong. No jax."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icsap_jax.config import ConfigError, parse
from icsap_jax.sweep import folder
from icsap_jax.sweep.expand import Sweep, expand

BASE: dict[str, Any] = {
    "problem": {"kind": "auction", "bidders": 1, "items": 2, "prior": {"kind": "uniform", "low": 0, "high": 1}},
    "rule": {"kind": "regretnet", "hidden": [4]},
}


def swept(**section: Any) -> Sweep:
    """The sweep of BASE with this section; "__" in a name stands for a dot."""
    return expand(parse({**BASE, "sweep": {key.replace("__", "."): value for key, value in section.items()}}, source="mine.yaml"))


def test_every_combination_is_a_member_once() -> None:
    """Three rates, two widths and two seeds are 12 members; each says what it sets, and its problem file says the same."""
    found = swept(training__learning_rate=[1e-3, 1e-2, 1e-1], rule__hidden=[[4], [8, 8]], seeds=2)
    assert len(found.members) == 12
    assert len({member.id for member in found.members}) == 12
    for member in found.members:
        assert member.config.training.learning_rate == member.set["training.learning_rate"]
        assert list(member.config.rule.hidden) == member.set["rule.hidden"]
        assert member.config.seed == member.set["seed"]
    assert Counter(member.set["seed"] for member in found.members) == {0: 6, 1: 6}


def test_what_is_zipped_moves_together() -> None:
    """Two pairs crossed with three seeds are 6, not 12."""
    found = swept(zip=[{"rule.hidden": [[4], [8]], "training.batch": [32, 64]}], seeds=[5, 6, 7])
    assert [(member.set["rule.hidden"], member.set["training.batch"]) for member in found.members] == [([4], 32)] * 3 + [([8], 64)] * 3
    assert [member.set["seed"] for member in found.members] == [5, 6, 7] * 2


def test_ranges_have_both_ends() -> None:
    """Linear ones are evenly spaced, logarithmic ones in the logarithm, by count or by step, and written as a person would."""
    def values(spaced: dict[str, Any]) -> list[Any]:
        return [member.set["training.learning_rate"] for member in swept(training__learning_rate=spaced).members]

    assert values({"from": 0.1, "to": 0.4, "count": 4}) == [0.1, 0.2, 0.3, 0.4]
    assert values({"from": 0.1, "to": 0.4, "step": 0.1}) == [0.1, 0.2, 0.3, 0.4]
    assert values({"from": 1e-4, "to": 1e-1, "count": 4, "scale": "log"}) == [1e-4, 1e-3, 1e-2, 1e-1]
    whole = swept(training__batch={"from": 32, "to": 256, "count": 4, "scale": "log", "whole": True})
    assert [member.config.training.batch for member in whole.members] == [32, 64, 128, 256]


def test_draws_fill_the_interval_and_stay_what_they_were() -> None:
    """Within the ends, about evenly in the logarithm; asked for more, the first ones are the same; another seed gives others."""
    def rates(draws: int, seed: int = 0) -> list[float]:
        interval = {"from": 1e-4, "to": 1e-2, "scale": "log"}
        section = {"training.learning_rate": interval, "training.batch": [16, 32], "draws": draws, "draw_seed": seed}
        return [member.set["training.learning_rate"] for member in expand(parse({**BASE, "sweep": section})).members]

    many = rates(60)
    assert min(many) >= 1e-4 and max(many) <= 1e-2
    low = sum(math.log10(rate) < -3 for rate in many)
    assert 15 < low < 45  # half of them, give or take four standard errors
    assert rates(10) == many[:10]
    assert rates(10, seed=1) != many[:10]


def test_a_member_is_what_train_makes_of_the_same_overrides() -> None:
    """Another kind of rule is trained by the defaults of its own, not by those of the base."""
    (member,) = [each for each in swept(rule__kind=["regretnet", "rochetnet"]).members if each.set["rule.kind"] == "rochetnet"]
    alone = parse(BASE, overrides=["rule.kind=rochetnet"])
    assert member.config.sha256() == alone.sha256()
    assert member.config.training.response.kind_name() == "truthful"


def test_ids_are_short_safe_names() -> None:
    """Keys that end alike are told whole; what is long ends in a hash."""
    found = swept(problem__prior__low=[0, 0.25], problem__prior__high=[1, 2])
    assert found.members[1].id == "low=0_high=2"
    both = swept(training__lagrangian__multiplier=[1.0], zip=[{"training.response.steps": [1], "training.steps": [5]}])
    assert both.members[0].id == "multiplier=1.0_training.response.steps=1_training.steps=5"
    long = swept(rule__hidden=[[4] * 40, [4] * 41])
    assert all(len(member.id) <= 80 for member in long.members) and long.members[0].id != long.members[1].id


@pytest.mark.parametrize(("section", "says"), [
    ({"training.learning_rate": []}, "sweep.training.learning_rate: is an empty list; give at least one value, or leave the key out."),
    ({"training.learnin_rate": [1e-3]}, "training.learnin_rate = 0.001 is not a key here; did you mean 'learning_rate'?"),
    ({"trainin.learning_rate": [1e-3]}, "trainin.learning_rate is not a key of a problem file; did you mean 'training'?"),
    ({"sweep.seeds": [1]}, "sweep.seeds is not a key of a problem file"),
    ({"training.learning_rate": [1e-3, 1e-3]}, "the members 1 and 2 are both 'learning_rate=0.001'"),
    ({"seeds": [3, 3]}, "are both 'seed=3'"),
    ({"seeds": 1001}, "has 1,001 members, more than 1,000; add --yes if that is meant"),
    ({"training.learning_rate": 0.1}, "sweep.training.learning_rate = 0.1 should be a list, or a range"),
    ({"training.learning_rate": {"from": 1, "to": 2}}, "a range should say how many numbers (count) or how far apart (step)"),
    ({"training.learning_rate": {"from": 2, "to": 1, "count": 2}}, "to = 1.0 should be at least from, 2"),
    ({"training.learning_rate": {"from": 0, "to": 1, "count": 2, "scale": "log"}}, "should be above 0 where the scale is log"),
    ({"training.learning_rate": {"from": 1, "too": 2}}, "too = 2 is not a key of a range; those are from, to, count"),
    ({"zip": [{"training.batch": [1, 2], "rule.hidden": [[4]]}]}, "sweep.zip.0: should have lists of one length"),
    ({"zip": [{"training.batch": [1, 2]}], "training.batch": [3]}, "sweep names training.batch twice"),
    ({"sede": 3}, "sede = 3 is not a key here; did you mean 'seeds'?"),
    ({"select": {"gap": -1}}, "select.gap = -1 should be greater than or equal to 0"),
    ({}, "sweep is missing; list there what to vary"),
    ({"select": {"gap": 1}}, "sweep varies nothing"),
    ({"problem.items": [2, -1]}, "member items=-1: problem.items = -1 should be greater than or equal to 1"),
])  # fmt: skip
def test_mistakes_are_named(section: dict[str, Any], says: str) -> None:
    """Where it is, what is wrong, what would be right; every sentence begins with the file."""
    with pytest.raises(ConfigError) as caught:
        expand(parse({**BASE, "sweep": section}, source="mine.yaml"))
    assert says in str(caught.value)
    assert str(caught.value).startswith("mine.yaml: sweep")


def test_a_mistake_leaves_nothing_and_is_answered_without_jax(tmp_path: Path, root: Path) -> None:
    """Status 2, one line, no folder; and what reads a sweep never loads jax."""
    (tmp_path / "mine.yaml").write_text("problem: {kind: auction, bidders: 1, items: 2, prior: {kind: uniform}}\n"
                                        "sweep: {training.batch: []}\n")
    script = ("import sys\nfrom icsap_jax.cli import app\n"
              "try:\n    app(['sweep', 'mine.yaml', '--out', 'out'])\nexcept SystemExit as left:\n"
              "    assert 'jax' not in sys.modules\n    raise")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"})
    assert done.returncode == 2, done.stderr
    assert "sweep.training.batch: is an empty list" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("together", [False, True], ids=["alone", "zipped"])
def test_data_files_that_are_listed_come_along(tmp_path: Path, together: bool) -> None:
    """The folder of a sweep has all it needs: where the files it was made from are gone, its members mean what they did."""
    given = tmp_path / "given"
    given.mkdir()
    names = ["first.npy", "second.npy"]
    for place, name in enumerate(names):
        np.save(given / name, np.full((8, 1, 2), 0.5 + place))
    listed = {"problem.prior.file": names}
    problem = {"kind": "auction", "bidders": 1, "items": 2, "prior": {"kind": "empirical", "file": names[0]}}
    section = {"zip": [{**listed, "training.batch": [16, 32]}]} if together else listed
    wanted = expand(parse({**BASE, "problem": problem, "sweep": section}, given))
    folder.open_for(wanted, [0] * len(wanted.members), tmp_path / "out")
    meant = [(member.id, member.config.sha256()) for member in wanted.members]
    shutil.rmtree(given)
    assert [(member.id, member.config.sha256()) for member in folder.reopened(tmp_path / "out").members] == meant


def test_who_trains_a_file_alone_does_not_need_what_its_sweep_lists(tmp_path: Path) -> None:
    """A run of it stands in a folder of its own though a data file of the sweep is not there."""
    config = parse({**BASE, "sweep": {"problem.prior.file": ["absent.npy"]}}, tmp_path)
    assert config.gather(tmp_path / "run").sha256() == config.sha256()
