"""A run in its folder: what it leaves behind, and that stopping, damage or a broken member change nothing else.

One run goes straight through; the others are stopped, damaged or resumed, and must end where it ended, to the bit. All share its
compiled programs.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icsap_jax import checkpoints, evaluation, run
from icsap_jax.bilevel import fit
from icsap_jax.config import Config, ConfigError, load, parse

STEPS, CHUNK, MEMBERS = 60, 20, 2
FILE: dict[str, Any] = {
    "problem": {"kind": "auction", "bidders": 1, "items": 2, "prior": {"kind": "uniform", "low": 0, "high": 1}},
    "rule": {"kind": "regretnet", "hidden": [8, 8]},
    "training": {
        "steps": STEPS, "batch": 32, "chunk": CHUNK, "members": MEMBERS, "learning_rate": 0.01, "checkpoint_every": 0,
        "response": {"kind": "exchange", "reports": 32, "anywhere": 0},
    },
    "evaluation": {"profiles": 2000, "gap_profiles": 50, "starts": 4, "steps": 8, "joint_grid": 21, "item_grid": 11},
}  # fmt: skip
KEYS = {
    "schema", "problem", "rule", "seed", "member", "steps", "wall_seconds", "device", "precision", "versions", "config_sha256",
    "objective", "optimum", "ratio_to_optimum", "shortfall", "incentive_gap", "participation_violation", "baselines", "details",
}  # fmt: skip


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[str]]:
    """A run that nothing disturbs, with its gradients checked first: its folder, its result, and all it said."""
    folder = tmp_path_factory.mktemp("runs") / "straight"
    said: list[str] = []
    return folder, run.train(parse(FILE), folder, said.append, check_gradients=True), said


@pytest.fixture
def copy(straight: tuple[Path, Any, Any], tmp_path: Path) -> Path:
    """A copy of the finished run's folder, to disturb."""
    return Path(shutil.copytree(straight[0], tmp_path / "copy"))


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are looked at once, in the straight run; they take longer than these runs."""
    monkeypatch.setattr(run, "draw_pictures", lambda *_: None)


@pytest.fixture
def default_signals() -> Any:
    """SIGINT raises KeyboardInterrupt even where the tests run in the background, in which case the shell has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def final(folder: Path) -> dict[str, bytes]:
    """Every number of the last checkpoint (rules, moments, prices, keys, of all members), to the bit."""
    (path,) = (folder / "checkpoints").glob(f"step_{STEPS}")
    return {name: np.asarray(value).tobytes() for name, value in checkpoints._read(path / "state").items()}


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def without_times(tree: Any) -> Any:
    """The same without what no two runs share: seconds, and the gradient check that only one of them made."""
    if isinstance(tree, dict):
        return {key: without_times(value) for key, value in tree.items() if key not in ("seconds", "wall_seconds", "gradient_error")}
    return [without_times(part) for part in tree] if isinstance(tree, list) else tree


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file under a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def same_run(folder: Path, other: Path) -> None:
    """Both ended in the same numbers, and each has one line of the same metrics for every chunk and member, in order."""
    assert final(folder) == final(other)
    assert [(line["step"], line["member"]) for line in lines(folder)] == [
        (step, member) for step in range(CHUNK, STEPS + 1, CHUNK) for member in range(MEMBERS)
    ]
    assert without_times(lines(folder)) == without_times(lines(other))
    seconds = [line["seconds"] for line in lines(folder)]
    assert seconds == sorted(seconds)  # the clock goes on where the first part stopped


def stop_in_chunk(monkeypatch: pytest.MonkeyPatch, number: int, kind: signal.Signals = signal.SIGINT) -> None:
    """The signal arrives while the chunk of this number, from 1, is being computed."""
    compute, begun = fit.run, []

    def interrupted(*args: Any) -> Any:
        begun.append(1)
        if len(begun) == number:
            signal.raise_signal(kind)
        return compute(*args)

    monkeypatch.setattr(fit, "run", interrupted)


def test_a_run_leaves_everything_in_its_folder(straight: tuple[Path, dict[str, Any], list[str]]) -> None:
    """The files README promises; `result.json` is what was returned, has every key of the schema and no other, and no NaN."""
    folder, result, _ = straight
    there = {path.name for path in folder.iterdir()}
    assert there == {"config.yaml", "metrics.jsonl", "checkpoints", "plots", "artifact", "result.json"}
    assert {path.name for path in (folder / "plots").iterdir()} >= {"training.png", "gap.png", "allocation.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (folder / "plots").iterdir())
    assert (folder / "artifact" / "manifest.json").is_file()
    written = json.loads((folder / "result.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} in result.json"))
    assert written == result
    assert set(result) == KEYS
    assert load(folder / "config.yaml").sha256() == parse(FILE).sha256() == result["config_sha256"]


def test_a_result_says_what_it_is(straight: tuple[Path, dict[str, Any], list[str]]) -> None:
    """The parts of the documented schema; the optimum is Manelli & Vincent's closed form; ratio and shortfall follow from it."""
    _, result, _ = straight
    assert (result["schema"], result["problem"], result["rule"], result["steps"]) == (1, "auction", "regretnet", STEPS)
    assert set(result["objective"]) == {"name", "value", "std_error", "profiles", "adversarial_ties", "upper_bound"}
    assert set(result["optimum"]) == {"value", "method", "source", "upper_bound"}
    assert set(result["incentive_gap"]) == {"per_agent", "mean", "max", "ci95", "method", "upper_bound"}
    best, value = (12 + 2 * math.sqrt(2)) / 27, result["objective"]["value"]
    assert result["optimum"]["value"] == pytest.approx(best, rel=1e-12)  # polygons in float64
    assert result["ratio_to_optimum"] == pytest.approx(value / best, rel=1e-12)
    assert result["shortfall"] == pytest.approx(best - value, rel=1e-12)
    low, high = result["incentive_gap"]["ci95"]
    assert 0 <= low <= result["incentive_gap"]["mean"] <= high
    assert result["incentive_gap"]["mean"] < result["incentive_gap"]["max"]
    assert result["objective"]["profiles"] == FILE["evaluation"]["profiles"]
    assert result["baselines"]["item_myerson"] == pytest.approx(0.5, abs=1e-6)  # quadrature


def test_the_objective_never_stands_without_the_gap(straight: tuple[Path, dict[str, Any], list[str]]) -> None:
    """In the result, for every member, in every line of metrics and of progress."""
    folder, result, said = straight
    assert result["objective"]["value"] is not None and result["incentive_gap"]["mean"] is not None
    assert len(result["details"]["members"]) == MEMBERS
    assert all(member["gap_mean"] is not None for member in result["details"]["members"])
    assert all("gap" in line for line in lines(folder) if "objective" in line)
    progress = [text for text in said if "objective" in text and text.startswith("\r")]
    assert len(progress) == STEPS // CHUNK
    assert all(re.search(r"objective 0\.\d+  gap 0\.\d+", text) for text in progress)


def test_the_chosen_member_is_the_best_by_the_training_loss(straight: tuple[Path, dict[str, Any], list[str]]) -> None:
    """objective − λ·gap at the final price λ, which is in the last metrics lines; the result is that member's."""
    folder, result, _ = straight
    price = np.mean([line["multiplier"] for line in lines(folder)[-MEMBERS:]])
    worth = [member["objective"] - price * member["gap_mean"] for member in result["details"]["members"]]
    chosen = result["details"]["members"][result["member"]]
    assert result["member"] == int(np.argmax(worth))
    assert (result["objective"]["value"], result["incentive_gap"]["mean"]) == (chosen["objective"], chosen["gap_mean"])


def test_checked_gradients_are_right(straight: tuple[Path, dict[str, Any], list[str]]) -> None:
    """Exchanged reports are searched exhaustively, so the envelope theorem is exact: what is left is the error of central
    differences in float64, about width² = 1e-10 and 1e-16/width."""
    _, result, said = straight
    assert 0 < result["details"]["gradient_error"] < 1e-6
    assert "finite differences" in said[0]


@pytest.mark.usefixtures("without_pictures", "default_signals")
def test_a_run_stopped_and_resumed_is_the_run_that_was_not(
    straight: tuple[Path, dict[str, Any], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of the first chunk: the chunk is finished and kept, KeyboardInterrupt comes out. The same call then
    goes on from there, and every parameter, moment, price and key of both members ends the same, to the bit."""
    out, said = tmp_path / "stopped", []
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_in_chunk(patch, 1)
        run.train(parse(FILE), out, said.append)
    assert [path.name for path in (out / "checkpoints").iterdir()] == [f"step_{CHUNK}"]
    assert f"stopped at step {CHUNK} of {STEPS}" in said[-1]
    assert not (out / "result.json").exists()
    # What a power cut leaves: a line cut off in the middle, and lines of steps no checkpoint has.
    with (out / "metrics.jsonl").open("a") as stream:
        stream.write(json.dumps({**lines(out)[0], "step": STEPS}) + '\n{"step": 60, "sec')
    result = run.train(parse(FILE), out, said.append)
    assert any(f"resuming {out} at step {CHUNK} of {STEPS}" in text for text in said)
    same_run(out, straight[0])
    assert without_times(result) == without_times(straight[1])


@pytest.mark.usefixtures("without_pictures", "default_signals")
def test_ctrl_c_in_the_last_chunk_is_heard_too(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps are then taken and kept, but the evaluation, which may take minutes, does not begin."""
    shutil.rmtree(copy / "checkpoints" / f"step_{STEPS}")
    monkeypatch.setattr(evaluation, "evaluate", lambda *_: pytest.fail("the evaluation began"))
    stop_in_chunk(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        run.train(parse(FILE), copy, lambda _: None)
    assert (copy / "checkpoints" / f"step_{STEPS}").is_dir()


@pytest.mark.usefixtures("without_pictures")
def test_a_finished_run_takes_no_further_step(
    straight: tuple[Path, dict[str, Any], list[str]], copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again it only evaluates, to the same result."""
    monkeypatch.setattr(fit, "run", lambda *_: pytest.fail("a step was taken"))
    again = run.train(parse(FILE), copy, lambda _: None)
    assert without_times(again) == without_times(straight[1])
    same_run(copy, straight[0])


@pytest.mark.usefixtures("without_pictures")
def test_a_damaged_checkpoint_costs_only_its_chunk(straight: tuple[Path, dict[str, Any], list[str]], copy: Path) -> None:
    """One byte of the newest is flipped: it is named, the one before is taken, and the run ends as it had ended, to the bit."""
    newest = copy / "checkpoints" / f"step_{STEPS}"
    path = max((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    said: list[str] = []
    run.train(parse(FILE), copy, said.append)
    assert any(f"step {STEPS} is damaged" in text and f"falling back to step {STEPS - CHUNK}" in text for text in said)
    assert any(f"resuming {copy} at step {STEPS - CHUNK}" in text for text in said)
    same_run(copy, straight[0])


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("training.learning_rate", 0.02, "training.learning_rate = 0.01, not 0.02"),
        ("rule.hidden", [8, 9], r"rule.hidden = \[8, 8\], not \[8, 9\]"),
        ("seed", 1, "seed = 0, not 1"),
    ],
)
def test_another_configuration_is_refused(copy: Path, key: str, value: Any, says: str) -> None:
    """The key and both values are named, and nothing in the folder is touched."""
    before = contents(copy)
    with pytest.raises(ConfigError, match=says):
        run.train(parse(FILE, overrides=[f"{key}={value}"]), copy, pytest.fail)
    assert contents(copy) == before


def with_data(folder: Path, rows: str) -> Config:
    """The problem with a prior estimated from a file in `folder`."""
    folder.mkdir()
    (folder / "values.csv").write_text(rows)
    return parse({**FILE, "problem": {**FILE["problem"], "prior": {"kind": "empirical", "file": "values.csv"}}}, folder)


def test_data_files_count_by_content(tmp_path: Path) -> None:
    """The same rows elsewhere are the same run; what is refused is named by what differs, not by where a file lies."""
    rows = "0.1,0.2\n0.5,0.9\n0.7,0.3\n0.4,0.6\n0.8,0.1\n"
    first = with_data(tmp_path / "first", rows)
    run.open_folder(first, tmp_path / "out")
    (tmp_path / "out" / "metrics.jsonl").write_text("{}\n")
    same = with_data(tmp_path / "second", rows)
    assert run.open_folder(same, tmp_path / "out").sha256() == first.sha256()
    with pytest.raises(ConfigError, match=f"training.steps = {STEPS}, not 7;"):
        run.open_folder(replace(same, training=same.training.model_copy(update={"steps": 7})), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"problem\.prior\.file = a file with sha256"):
        run.open_folder(with_data(tmp_path / "third", rows.replace("0.9", "0.8")), tmp_path / "out")


def test_a_folder_in_which_nothing_has_begun_is_free(tmp_path: Path) -> None:
    """A configuration alone is no run: another takes its place. What stands beside a result does not give way."""
    first, second = (parse(FILE, overrides=[f"seed={seed}"]) for seed in (0, 1))
    for config in (first, second):
        run.open_folder(config, tmp_path / "out")
        assert load(tmp_path / "out" / "config.yaml").sha256() == config.sha256()
    (tmp_path / "out" / "result.json").write_text("{}")
    with pytest.raises(ConfigError, match="seed = 1, not 0"):
        run.open_folder(first, tmp_path / "out")


@pytest.mark.parametrize(("overrides", "says"), [
    (["problem.bidders=2", "problem.items=1", "problem.prior={kind: copula, correlation: [[1, .5], [.5, 1]], marginals: {kind: uniform}}"],
     r"auction\.yaml: training\.response\.kind = exchange: .* write training\.response\.kind=candidates\."),
    (["problem.prior.low=-1"], r"auction\.yaml: problem\.prior reaches down to -1; a value should be at least 0"),
    (["problem.valuation=combinatorial"], r"problem\.synergy reaches down to -1, where two items .* are worth -1 together"),
])  # fmt: skip
def test_what_cannot_be_trained_leaves_no_folder(tmp_path: Path, overrides: list[str], says: str) -> None:
    """A response that does not fit, values below 0 (under which a share of the value charged is no protection from loss), and pairs
    worth less than nothing: named by file and key before anything is written."""
    config = parse(FILE, tmp_path, "auction.yaml", overrides)
    with pytest.raises(ConfigError, match=says):
        run.train(config, tmp_path / "out", pytest.fail)
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    """The sentence names the option, and the file is left alone."""
    path = tmp_path / "notes.txt"
    path.write_text("keep me")
    with pytest.raises(ConfigError, match=r"--out .*notes\.txt: is a file"):
        run.train(parse(FILE), path, pytest.fail)
    assert path.read_text() == "keep me"


@pytest.mark.usefixtures("without_pictures")
def test_a_member_that_breaks_is_named_and_the_others_finish(
    straight: tuple[Path, dict[str, Any], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learning rate of 1e38 breaks member 0 at its first step. It is named once, and is not the one kept; member 1 ends where
    it ends beside a healthy neighbour, to the bit."""
    fresh = run.initial_state

    def broken(*args: Any) -> Any:
        state = fresh(*args)
        rates = state.numbers["training"]["learning_rate"].at[0].set(1e38)
        return replace(state, numbers={**state.numbers, "training": {**state.numbers["training"], "learning_rate": rates}})

    monkeypatch.setattr(run, "initial_state", broken)
    said: list[str] = []
    result = run.train(parse(FILE), tmp_path / "broken", said.append)
    assert [text for text in said if "not finite" in text] == [
        "member 0 was not finite at step 0: it keeps its last good state, the others go on"
    ]
    assert [member["bad_step"] for member in result["details"]["members"]] == [0, None]
    assert result["member"] == 1
    assert result["details"]["members"][1] == straight[1]["details"]["members"][1]


def measured(value: float, gap: float) -> dict[str, Any]:
    """What an evaluation finds, as far as choosing a member needs it."""
    names = ("optimum", "ratio_to_optimum", "shortfall", "participation_violation", "baselines")
    return {"objective": {"value": value}, "incentive_gap": {"mean": gap, "max": gap, "per_agent": [gap]}, "details": {},
            **dict.fromkeys(names)}  # fmt: skip


def test_what_is_not_a_number_is_never_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A member whose rule gives NaN loses to any other and stands as null; where no other is left, the user is told what to turn."""
    config = parse(FILE)
    problem, env = config.problem.build(config.folder)
    state = run.initial_state(config, run.Trainer.of(problem, config.training), problem, env)

    def choose(*found: dict[str, Any]) -> dict[str, Any]:
        left = list(found)
        monkeypatch.setattr(evaluation, "evaluate", lambda *_: left.pop(0))
        return run.finish(config, problem, env, state, tmp_path, {}, lambda _: None)[0]

    result = choose(measured(math.nan, math.nan), measured(0.1, 0.5))
    assert result["member"] == 1
    assert [member["objective"] for member in result["details"]["members"]] == [None, 0.1]
    with pytest.raises(ConfigError, match=r"lower training\.learning_rate \(it is 0\.01\)"):
        choose(measured(math.nan, 0.1), measured(0.1, math.nan))
