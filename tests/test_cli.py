"""The command line: what is said, where, and with which exit status. What the commands run is replaced by stand-ins here."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from typer.testing import CliRunner, Result

import icsap_jax
from icsap_jax import cli, command, summary
from icsap_jax import config as files
from icsap_jax.config import ConfigError

ROOT = Path(__file__).resolve().parent.parent
AUCTION = str(ROOT / "configs" / "auctions" / "additive_1x2_uniform.yaml")
RESULT: dict[str, Any] = {
    "schema": 1, "problem": "auction", "rule": "regretnet", "seed": 0, "steps": 20000, "wall_seconds": 61.2, "device": "cpu",
    "objective": {"name": "revenue", "value": 0.5481, "std_error": 0.0004, "profiles": 100000, "upper_bound": None},
    "optimum": {"value": 0.5492, "method": "closed form", "source": "Manelli & Vincent 2006", "upper_bound": None},
    "ratio_to_optimum": 0.998,
    "incentive_gap": {"per_agent": [0.0004], "mean": 0.00041, "max": 0.0031, "method": "grid 201×201 + 16 refined starts"},
    "baselines": {"item_myerson": 0.5, "bundle_myerson": 0.5443},
}


def icsap(*arguments: str) -> Result:
    """The command in this process; its two streams are apart."""
    return CliRunner().invoke(cli.app, list(arguments))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Replaces what trains and what handles artifacts; `calls` records what they were asked."""
    double = types.SimpleNamespace(calls=[], checks=[], failure=None)

    def act(name: str, value: Any) -> Any:
        def called(*args: Any) -> Any:
            double.calls.append((name, *args))
            if double.failure is not None:
                raise double.failure
            return value() if callable(value) else value

        return called

    run, artifact = types.ModuleType("icsap_jax.run"), types.ModuleType("icsap_jax.artifact")
    run.train, run.evaluate = act("train", RESULT), act("evaluate", RESULT)
    artifact.apply, artifact.export = act("apply", 3), act("export", Path("rule.npz"))
    artifact.verify = act("verify", lambda: double.checks)
    for module in (run, artifact):
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(sys.modules["icsap_jax"], module.__name__.rpartition(".")[2], module, raising=False)
    return double


def test_train_prints_the_result_and_only_that(stand_in: types.SimpleNamespace, tmp_path: Path) -> None:
    """`--json` is exactly the result on standard output; the overrides and the folder arrive."""
    done = icsap("train", AUCTION, "training.steps=7", "seed=3", "--out", str(tmp_path / "r"), "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == RESULT
    _, config, out, _, check_gradients = stand_in.calls[0]
    assert (config.training.steps, config.seed, out, check_gradients) == (7, 3, tmp_path / "r", False)


def test_the_objective_never_stands_without_its_gap(tmp_path: Path) -> None:
    """The line that gives revenue gives the gap too; the optimum, the ratio, every baseline and the search are there."""
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "regions.png").touch()
    text = summary.table(RESULT, tmp_path)
    revenue = next(line for line in text.splitlines() if line.startswith("revenue"))
    assert "0.5481 ± 0.0004" in revenue and "0.00041" in revenue
    wanted = ["0.5492", "99.8 %", "Manelli", "0.0031", "grid 201×201", "item myerson", "0.5000", "bundle myerson", "0.5443", "regions.png"]
    assert [part for part in wanted if part not in text] == []


def test_a_result_with_nothing_known_still_prints(tmp_path: Path) -> None:
    """No optimum, no baselines, no standard error."""
    bare = {**RESULT, "optimum": None, "ratio_to_optimum": None, "baselines": None,
            "objective": {"name": "revenue", "value": 0.5, "std_error": None, "profiles": None}}
    text = summary.table(bare, tmp_path)
    assert "optimum" not in text and "None" not in text


def test_what_a_rule_may_not_do_is_in_the_table(tmp_path: Path) -> None:
    """What agents lose by taking part and what is given twice, beyond rounding; a rule that does neither has no such lines."""
    text = summary.table({**RESULT, "participation_violation": 0.25, "details": {"feasibility_violation": 0.5}}, tmp_path)
    assert [line.split()[:3] for line in text.splitlines() if "violated" in line] == [
        ["participation", "violated", "0.25"], ["feasibility", "violated", "0.5"]]
    assert "violated" not in summary.table({**RESULT, "participation_violation": 1e-9, "details": {"feasibility_violation": 0.0}}, tmp_path)


def test_bounds_are_told_where_the_optimum_is_not_known() -> None:
    """The one below too."""
    text = summary.exact_answer({"value": None, "method": "between two rules", "source": None, "upper_bound": 1.25, "lower_bound": 0.75})
    assert [line.split()[:4] for line in text.splitlines()] == [["optimum", "at", "least", "0.7500"], ["optimum", "at", "most", "1.2500"]]
    assert "between two rules" in text


def test_an_evaluation_tells_only_what_it_measured(stand_in: types.SimpleNamespace, tmp_path: Path) -> None:
    """It trained nothing and wrote nothing, also where the run's files lie beside."""
    (tmp_path / "result.json").touch()
    done = icsap("evaluate", str(tmp_path))
    assert "0.00041" in done.stdout and "bundle myerson" in done.stdout
    assert not any(line.startswith(("training", "result", "artifact", "pictures")) for line in done.stdout.splitlines())


def test_the_version_is_told() -> None:
    """The package's own."""
    assert icsap("--version").stdout == f"icsap {icsap_jax.__version__}\n"


@pytest.mark.parametrize(("failure", "status", "says"), [
    (ConfigError("That folder holds another run."), 2, "That folder holds another run."),
    (OSError(errno.ENOSPC, "No space left on device", "runs/x"), 2, "no space left"),
    (PermissionError(errno.EACCES, "Permission denied", "/proc/x"), 2, "/proc/x: this place cannot be written to"),
    (KeyboardInterrupt(), 130, "Interrupted"),
    (command.Terminated(), 143, "Terminated"),
    (RuntimeError("two\nlines"), 1, "RuntimeError: two lines"),
])
def test_an_exit_status_says_whose_fault_it_is(stand_in: types.SimpleNamespace, failure: BaseException, status: int, says: str) -> None:
    """2 the user's, 1 ours, 130 and 143 interrupted; one line on standard error, nothing on standard output."""
    stand_in.failure = failure
    done = icsap("train", AUCTION)
    assert done.exit_code == status
    assert says in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_our_fault_can_be_looked_into(stand_in: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short line says how to get the traceback, and that works."""
    stand_in.failure = RuntimeError("deep down")
    assert "ICSAP_TRACEBACK=1" in icsap("train", AUCTION).stderr
    monkeypatch.setenv("ICSAP_TRACEBACK", "1")
    assert icsap("train", AUCTION).exception is stand_in.failure


def test_sigterm_reaches_a_training_run_like_ctrl_c(tmp_path: Path) -> None:
    """A run interrupted by the cluster's SIGTERM is told so the way Ctrl-C tells it, and the exit status says which it was."""
    script = f"""
import sys, time, types
run = types.ModuleType("icsap_jax.run")
def train(*_):
    try:
        print("training", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("checkpoint written", flush=True)
        raise
run.train = train
sys.modules["icsap_jax.run"] = run
import icsap_jax
icsap_jax.run = run
sys.argv = ["icsap", "train", {AUCTION!r}]
from icsap_jax.cli import main
main()
"""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "training\n"
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, output) == (143, "checkpoint written\n"), errors


def test_dry_run_prints_a_file_that_loads(stand_in: types.SimpleNamespace, tmp_path: Path) -> None:
    """With every default in it, as YAML and as JSON, and nothing is trained."""
    for option, read in (([], yaml.safe_load), (["--json"], json.loads)):
        done = icsap("train", AUCTION, "training.steps=7", "--dry-run", *option)
        assert done.exit_code == 0, done.stderr
        assert files.parse(read(done.stdout)).sha256() == files.load(AUCTION, ["training.steps=7"]).sha256()
    assert stand_in.calls == []


def test_mistakes_are_answered_before_jax_is_loaded() -> None:
    """A wrong key, a wrong plugin path, and an absent file: status 2, one sentence, and no seconds spent on importing jax."""
    script = """
import sys
from icsap_jax.cli import app
for arguments in (["train", CONFIG, "training.stepz=1"], ["optimum", CONFIG, "plugins=[no.py]"], ["train", "absent.yaml"],
                  ["apply", "absent", "bids.csv"], ["schema"], ["train", CONFIG, "--dry-run"]):
    try:
        app(arguments)
    except SystemExit as stop:
        print(stop.code, file=sys.stderr)
assert "jax" not in sys.modules
""".replace("CONFIG", repr(AUCTION))
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    steps, first, plugin, second, file, third, artifact, fourth, *accepted = done.stderr.splitlines()
    assert [first, second, third, fourth, *accepted] == ["2", "2", "2", "2", "0", "0"]
    assert "'steps'" in steps and "no.py" in plugin and "absent.yaml" in file and artifact.startswith("absent")


@pytest.mark.parametrize("device", ["gpu", "tpu"])
def test_an_absent_accelerator_is_said(stand_in: types.SimpleNamespace, device: str) -> None:
    """The tests run on the CPU alone; nothing is trained in its place."""
    done = icsap("train", AUCTION, "--device", device)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"--device {device}: jax sees only cpu on this machine; install")
    assert stand_in.calls == []


@pytest.mark.parametrize(("device", "platforms", "status", "says"), [
    ("tpu", "cpu", 2, "--device tpu: jax sees only cpu on this machine; install"), ("cpu", "cuda", 0, "[CpuDevice(id=0)]")])
def test_a_device_is_chosen_even_when_a_plugin_has_imported_jax(
    tmp_path: Path, device: str, platforms: str, status: int, says: str
) -> None:
    """The plugin is imported with the problem file, and what is put in the environment after that comes too late. An absent
    accelerator is said all the same, and with --device cpu none is opened: the one that the environment asks for is not there."""
    (tmp_path / "mine.py").write_text("import jax\n")
    script = f"""
import sys, types
import icsap_jax
from icsap_jax import cli
run = icsap_jax.run = sys.modules["icsap_jax.run"] = types.ModuleType("icsap_jax.run")
def train(*_):
    print(sys.modules["jax"].devices(), file=sys.stderr)
    sys.exit(0)
run.train = train
cli.app(["train", {AUCTION!r}, "plugins=[{tmp_path / "mine.py"}]", "--device", {device!r}])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "JAX_PLATFORMS": platforms})
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith(says), done.stderr


@pytest.mark.parametrize("arguments", [
    ["train"], ["train", AUCTION, "--device", "abacus"], ["evaluate", str(ROOT), "--profiles", "0"],
    ["evaluate", str(ROOT), "--starts", "x"], ["export", str(ROOT), "--format", "pdf"], ["apply", str(ROOT)], ["schema", "more"]])
def test_wrong_arguments_are_the_users(stand_in: types.SimpleNamespace, arguments: list[str]) -> None:
    """Missing, out of range, of the wrong type, unknown."""
    assert icsap(*arguments).exit_code == 2
    assert stand_in.calls == []


@pytest.mark.parametrize("arguments", [["evaluate", "absent"], ["export", "absent"], ["verify", "absent"], ["apply", "absent", AUCTION],
                                       ["apply", str(ROOT), "absent.csv"], ["demo-table", "absent"]])
def test_a_path_that_is_not_there_is_named(stand_in: types.SimpleNamespace, arguments: list[str]) -> None:
    """Before anything is loaded."""
    done = icsap(*arguments)
    assert done.exit_code == 2 and "absent" in done.stderr
    assert stand_in.calls == []


class Check(NamedTuple):
    """What a verification found."""

    name: str
    passed: bool
    detail: str


def test_verify_fails_when_a_check_fails(stand_in: types.SimpleNamespace) -> None:
    """All passed: 0. One failed: 2, the failed one named; the JSON is printed all the same."""
    stand_in.checks = [Check("hashes", True, "9 files")]
    assert icsap("verify", str(ROOT)).exit_code == 0
    stand_in.checks = [Check("hashes", True, "9 files"), Check("replay", False, "differs by 0.3")]
    done = icsap("verify", str(ROOT), "--json")
    assert done.exit_code == 2 and "replay" in done.stderr
    assert [check["passed"] for check in json.loads(done.stdout)] == [True, False]


def test_optimum_prints_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The domain's own answer in the published shape; nulls where a domain knows none, not an error."""
    config = files.load(AUCTION)
    kind = type(config.problem)
    monkeypatch.setattr(kind, "build", lambda self, folder: ("problem", "env"))
    monkeypatch.setattr(kind, "optimum", lambda problem, env, model: {"value": 0.5, "method": "formula", "source": f"{problem} {env}"})
    assert json.loads(icsap("optimum", AUCTION, "--json").stdout) == {
        "value": 0.5, "method": "formula", "source": "problem env", "upper_bound": None}
    monkeypatch.setattr(kind, "optimum", lambda problem, env, model: None)  # one that knows nothing about this problem
    assert set(json.loads(icsap("optimum", AUCTION, "--json").stdout).values()) == {None}
    monkeypatch.setattr(kind, "optimum", None)
    done = icsap("optimum", AUCTION, "--json")
    assert done.exit_code == 0 and set(json.loads(done.stdout).values()) == {None}
    assert "No exact answer" in icsap("optimum", AUCTION).stdout


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines are kept; of progress lines a log file keeps one every ten seconds, the first among them."""
    progress = command.Progress()
    for text in ("begun", "\r10 %", "\r20 %", "done"):
        progress(text)
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", "begun\n10 %\ndone\n")
