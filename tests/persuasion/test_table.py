"""Schemes on a table of states, and as a list: what is said by lot is said as often as the scheme says."""

from __future__ import annotations

import numpy as np
import pytest

from icsap_jax import artifact, run
from icsap_jax.config import ConfigError, parse


@pytest.fixture(scope="module")
def trained(tmp_path_factory, root):
    """The folder of a run of the prosecutor's game, and its result; the scheme sent again and again is told too."""
    folder = tmp_path_factory.mktemp("prosecutor") / "run"
    problem = {"kind": "persuasion", "prior": [0.7, 0.3], "sender": [[0, 1], [0, 1]], "receiver": [[1, 0], [0, 1]],
               "states": ["innocent", "guilty"], "actions": ["acquit", "convict"], "iterate": {"rounds": 2, "repeat": "fixed"}}  # fmt: skip
    result = run.train(parse({"problem": problem, "training": {"steps": 50}}), folder, lambda line: None)
    return folder, result


def applied(folder, tmp_path, rows, seed):
    """What `icsap apply` answers to states, as numbers [R, columns]."""
    source, sink = tmp_path / "states.csv", tmp_path / f"signals_{seed}.csv"
    source.write_text("state\n" + "\n".join(map(str, rows)) + "\n")
    artifact.apply(folder / "artifact", source, sink, seed)
    header, *lines = sink.read_text().splitlines()
    assert header == "signal,probability,belief_0,belief_1"
    return np.array([[float(cell) for cell in line.split(",")] for line in lines])


def test_states_are_answered_by_signals_and_beliefs(trained, tmp_path) -> None:
    """Every guilty is convicted, the innocent 3 in 7 times; a seed decides which, and the same one the same."""
    folder, _ = trained
    states = [0] * 4000 + [1] * 100
    answers = applied(folder, tmp_path, states, 0)
    assert (answers[4000:, 0] == 1).all()
    # Five standard errors of a share of 3/7 among 4000, and what the margin takes.
    assert answers[:4000, 0].mean() == pytest.approx(3 / 7, abs=5 * 0.5 / np.sqrt(4000) + 1e-3)
    np.testing.assert_allclose(answers[answers[:, 0] == 1, 3], 0.5, atol=1e-3)
    np.testing.assert_allclose(answers[answers[:, 0] == 0, 3], 0.0, atol=1e-6)
    np.testing.assert_array_equal(applied(folder, tmp_path, states, 0), answers)
    assert (applied(folder, tmp_path, states, 1)[:, 0] != answers[:, 0]).any()


def test_a_state_there_is_not_is_named(trained, tmp_path) -> None:
    """The row, the column and what would be right; nothing is written."""
    source = tmp_path / "states.csv"
    source.write_text("state\n0\n2\n")
    with pytest.raises(ConfigError, match=r"row 3, column state: 2 should be a whole number from 0 to 1"):
        artifact.apply(trained[0] / "artifact", source, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_a_result_tells_the_scheme_its_proof_and_its_price(trained) -> None:
    """Signals in the file's names, the bound at the optimum, what a scheme without a margin would risk, and the second sending."""
    _, result = trained
    signals = {row["action"]: row for row in result["details"]["signals"]}
    assert signals["convict"]["said in innocent"] == pytest.approx(3 / 7, abs=1e-3)
    assert result["objective"]["value"] == result["objective"]["adversarial_ties"] == pytest.approx(0.6 / 1.0005, abs=1e-7)
    assert 0 <= result["objective"]["upper_bound"] - 0.6 < 1e-6
    free = result["details"]["without_margin"]
    assert free["value"] == pytest.approx(0.6, abs=1e-6)
    assert free["adversarial_ties"] < 1e-6
    assert result["details"]["information_of_full_disclosure"] == pytest.approx(-0.7 * np.log(0.7) - 0.3 * np.log(0.3))
    once, twice = result["details"]["iterations"]
    assert once["value"] == pytest.approx(0.6, abs=1e-3)
    assert twice["value"] == pytest.approx(3 / 7, abs=1e-3)
    np.testing.assert_allclose(twice["mean_belief"], [0.7, 0.3], atol=1e-9)


def test_the_scheme_is_exported_as_a_list(trained, tmp_path) -> None:
    """As CSV, a row for each signal."""
    path = artifact.export(trained[0], "csv", tmp_path / "scheme.csv")
    header, *rows = path.read_text().splitlines()
    assert header.startswith("signal,probability,said in innocent")
    assert len(rows) == 2


MISTAKES = [
    ({"prior": [1.0, 0.0], "states": ["innocent", "guilty"]}, r"prior\.1.*state 'guilty' could never occur"),
    ({"prior": [0.7, 0.4]}, r"prior.*sums to 1\.1"),
    ({"prior": [0.7, float("nan")]}, r"prior"),
    ({"receiver": [[1, 0]]}, r"receiver.*2 states × actions"),
    ({"sender": [[0, 1, 2], [0, 1, 2]]}, r"sender.*should be \[2, 2\] like receiver"),
    ({"signals": 0}, r"signals"),
    ({"receiver_types": [0.5, 0.5]}, r"receiver_types.*needs receiver of types"),
    ({"receiver": [[[1, 0], [0, 1]]] * 2}, r"receiver_types.*is missing"),
    ({"receiver": [[[1, 0], [0, 1]]] * 13, "receiver_types": [1 / 13] * 13}, r"make 8192 recommendations"),
    ({"states": ["a", "a"]}, r"states.*2 different names"),
    ({"iterate": {"rounds": 2}, "signal_cost": {"kind": "entropy"}}, r"iterate\.repeat.*should be fixed"),
]


@pytest.mark.parametrize(("change", "sentence"), MISTAKES, ids=lambda value: value[:20] if isinstance(value, str) else "")
def test_a_mistake_is_answered_by_a_sentence(change, sentence) -> None:
    """Before anything is computed: the key, what is there, what would be right."""
    problem = {"kind": "persuasion", "prior": [0.7, 0.3], "sender": [[0, 1], [0, 1]], "receiver": [[1, 0], [0, 1]], **change}
    with pytest.raises(ConfigError, match=sentence):
        parse({"problem": problem})


def test_a_margin_no_scheme_can_meet_is_refused_before_anything_is_written(tmp_path) -> None:
    """Full disclosure leaves the judge 1 to spare, and nothing more; the largest margin is told."""
    problem = {"kind": "persuasion", "prior": [0.7, 0.3], "sender": [[0, 1], [0, 1]], "receiver": [[1, 0], [0, 1]],
               "obedience_margin": 1.2}  # fmt: skip
    with pytest.raises(ConfigError, match=r"obedience_margin = 1\.2: no scheme .* the most any leaves is 1\."):
        run.train(parse({"problem": problem}), tmp_path / "run", lambda line: None)
    assert not (tmp_path / "run").exists()
