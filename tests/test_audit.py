"""The audit: one objective is maximised, another watched, in any domain; and its folder is nobody else's."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from icsap_jax import audit as audits
from icsap_jax import cli, run
from icsap_jax.audit import Revalued, audit, table
from icsap_jax.config import ConfigError, load, parse

MECHANISM = {
    "problem": {"kind": "markov_mechanism", "rewards": [[[[0, 0], [1, 0]]], [[[0, 1], [0, 0]]]], "types": [1, 2]},
    "training": {"steps": 300, "chunk": 100, "learning_rate": 0.05},
}


@pytest.fixture(scope="module")
def goodhart(root, tmp_path_factory):
    """The file's case in a sixth of the steps, each six times as long: its config, folder and audit."""
    config = load(root / "configs" / "games" / "goodhart.yaml", ["training.steps=200", "training.learning_rate=0.012"])
    folder = tmp_path_factory.mktemp("audits") / "goodhart"
    return SimpleNamespace(config=config, folder=folder, result=audit(config, "proxy", "utility", folder, lambda line: None))


def test_the_utility_rises_and_falls_while_the_proxy_only_rises(goodhart, case) -> None:
    """The file's start, peak and end. A step moves the seen attributes by .012, and the utility beside its peak by .2 of that."""
    known, told = case("goodhart"), goodhart.result
    assert told["start"]["true"] == pytest.approx(known["U_start"], abs=1e-6)
    assert told["peak"]["true"] == pytest.approx(known["U_peak"], abs=0.0024)
    assert told["peak"]["true"] <= known["U_peak"] + 1e-6
    assert told["peak"]["proxy"] == pytest.approx(known["proxy_at_peak"], abs=0.01)
    assert told["final"]["true"] == pytest.approx(known["U_final"], abs=1e-4)
    assert told["final"]["proxy"] == pytest.approx(known["proxy_final"], abs=1e-4)
    assert 0 < told["peak"]["step"] < told["steps"] == told["final"]["step"]
    assert told["loss_by_over_optimisation"] == pytest.approx(told["peak"]["true"] - told["final"]["true"])
    lines = [json.loads(line) for line in (goodhart.folder / "metrics.jsonl").read_text().splitlines()]
    assert (np.diff([line["proxy"] for line in lines]) > -1e-4).all()  # along the budget, in float32, the path is not quite straight


def test_no_objective_is_told_without_its_gap(goodhart) -> None:
    """In the file, in the table, and there is a picture."""
    assert json.loads((goodhart.folder / "audit.json").read_text()) == goodhart.result
    assert all("max" in goodhart.result[name]["incentive_gap"] for name in ("start", "peak", "final"))
    text = table(goodhart.result, goodhart.folder)
    assert "mean gap" in text and "peak of utility" in text
    assert (goodhart.folder / "plots" / "audit.png").stat().st_size > 10_000


def test_a_finished_audit_is_told_again_and_others_are_kept_out(goodhart, tmp_path) -> None:
    """The same question gets the same answer; another one, an ordinary run, another configuration are refused, and so is an audit in the
    folder of an ordinary run."""
    again = audit(goodhart.config, "proxy", "utility", goodhart.folder, lambda line: None)
    assert {**again, "wall_seconds": 0} == {**goodhart.result, "wall_seconds": 0}
    with pytest.raises(ConfigError, match="audit of --proxy proxy --true utility"):
        audit(goodhart.config, "utility", "proxy", goodhart.folder)
    with pytest.raises(ConfigError, match="holds an audit"):
        run.train(goodhart.config, goodhart.folder)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(ConfigError, match="holds a run"):
        audit(goodhart.config, "proxy", "utility", tmp_path)


@pytest.mark.parametrize(("proxy", "true", "says"), [("prox", "utility", "there are utility, proxy"), ("proxy", "", "--true: is missing"),
                                                     ("proxy", "proxy", "needs two")])  # fmt: skip
def test_unknown_objectives_are_answered_with_those_there_are(root, tmp_path, proxy, true, says) -> None:
    """One sentence, exit status 2, and no folder."""
    config = str(root / "configs" / "games" / "goodhart.yaml")
    done = CliRunner().invoke(cli.app, ["audit", config, "--proxy", proxy, "--true", true, "--out", str(tmp_path / "a")])
    assert done.exit_code == 2
    assert says in done.stderr
    assert not (tmp_path / "a").exists()


def test_what_a_mechanism_takes_its_agents_miss(tmp_path, monkeypatch) -> None:
    """Another domain, whose judge is its own. One thing for one of two agents of types 1 and 2 is worth 1.75 on average: what revenue
    takes of that, the agents lose."""
    monkeypatch.setattr(audits, "picture", lambda *_: None)
    told = audit(parse(MECHANISM), "revenue", "utility", tmp_path / "a", lambda line: None)
    assert told["final"]["proxy"] > told["start"]["proxy"] + 1
    assert told["loss_by_over_optimisation"] > 1
    assert told["final"]["incentive_gap"]["max"] < 0.01


def test_only_the_designer_is_another(goodhart) -> None:
    """The game is as it was: the same agents, names and what it lacks; equal audits are equal, so that they share compiled code."""
    problem, _ = goodhart.config.problem.build(goodhart.config.folder)
    other, same = (Revalued(problem, "proxy", "utility", problem.margin) for _ in range(2))
    assert other == same and hash(other) == hash(same)
    assert other != Revalued(problem, "utility", "proxy", problem.margin)
    assert (other.agents, other.objective, other.count) == (problem.agents, problem.objective, problem.count)
    assert not hasattr(other, "reservation")
