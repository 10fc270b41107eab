"""An artifact is the rule that was saved, or it is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
import types
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from icsap_jax import artifact, evaluation, runtime
from icsap_jax.artifact import checks, compiled, replay, store
from icsap_jax.artifact.checks import REPLAY_TOLERANCE
from icsap_jax.config import ConfigError, parse

PROBLEM = {
    "problem": {"kind": "auction", "bidders": 1, "items": 2, "valuation": "additive", "prior": {"kind": "uniform", "low": 0, "high": 1}},
    "rule": {"kind": "regretnet", "hidden": [8, 8]},
    "evaluation": {"profiles": 500, "gap_profiles": 20, "starts": 2, "steps": 3, "joint_grid": 5, "item_grid": 5},
}


def quiet(line: str) -> None:
    """Nobody listens."""


def untrained(config: Any, problem: Any, env: Any) -> Any:
    """A freshly initialised rule; compiled, because op by op takes longer."""
    return jax.jit(lambda key: config.rule.build(problem, env, key))(jax.random.key(5))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """An untrained RegretNet, evaluated and saved, with the rule as it was in memory."""
    config = parse(PROBLEM)
    problem, env = config.problem.build(config.folder)
    rule = untrained(config, problem, env)
    result = {"device": runtime.device_name(), "versions": runtime.versions(), **evaluation.evaluate(config, problem, env, rule)}
    heard: list[str] = []
    folder = artifact.save(tmp_path_factory.mktemp("run") / "artifact", config, problem, env, rule, result, heard.append)
    assert not heard
    return folder, rule


@pytest.fixture
def copy(made: tuple[Path, Any], tmp_path: Path) -> Path:
    """A copy of the artifact to spoil."""
    return Path(shutil.copytree(made[0], tmp_path / "copy"))


def test_a_restored_rule_gives_the_same_bits(made: tuple[Path, Any]) -> None:
    """Same parameters, same programme, same decision."""
    folder, rule = made
    loaded = artifact.load(folder.parent)  # a run folder is as good
    draw = loaded.problem.draw(loaded.env, jax.random.key(2), 64)
    then, now = rule(draw.types), loaded.rule(draw.types)
    np.testing.assert_array_equal(then.allocation, now.allocation)
    np.testing.assert_array_equal(then.payment, now.payment)
    assert loaded.config.sha256() == parse(PROBLEM).sha256()


def test_the_compiled_rule_takes_any_number_of_rows(made: tuple[Path, Any]) -> None:
    """One file answers 1 bid profile and 37, as the rule does up to the order of summation."""
    folder, rule = made
    blob = (folder / store.STABLEHLO).read_bytes()
    for count in (1, 37):
        reports = np.random.default_rng(count).random((count, 1, 2), np.float32)
        found, wanted = compiled.run(blob, (reports,)), rule(jnp.asarray(reports))
        np.testing.assert_allclose(found["allocation"], wanted.allocation, rtol=REPLAY_TOLERANCE)
        np.testing.assert_allclose(found["payment"], wanted.payment, rtol=REPLAY_TOLERANCE)


def test_every_check_passes_on_what_was_just_written(made: tuple[Path, Any]) -> None:
    """Hashes, the fresh process, the compiled rule and the evidence; and each says what it compared."""
    checks = artifact.verify(made[0])
    assert [check.name for check in checks] == ["files", "replay", "compiled rule", "objective", "incentive gap"]
    assert all(check.passed for check in checks), checks
    assert all("differ" in check.detail for check in checks[1:])


def test_a_compiled_rule_this_jax_cannot_load_is_a_note(made: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer jax may have written it; the parameters are the truth and are still compared."""

    def unreadable(blob: bytes, inputs: Any) -> None:
        raise ValueError("calling convention version 99 is not supported")

    monkeypatch.setattr(compiled, "run", unreadable)
    found = replay.replay(artifact.load(made[0]))
    assert found["parameters"] <= REPLAY_TOLERANCE
    assert found["stablehlo"] is None and "version 99" in found["note"]


def test_answers_and_evidence_that_do_not_hold_are_caught(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever seals other parameters, or a better gap than was measured, is found out by replay and by measuring again. That the replay
    has a process of its own is seen above; here this one serves."""

    def in_this_process(command: list[str], **_: Any) -> types.SimpleNamespace:
        assert command[-2] == "icsap_jax.artifact.replay"
        return types.SimpleNamespace(returncode=0, stdout=json.dumps(replay.replay(artifact.load(Path(command[-1])))))

    monkeypatch.setattr(checks, "subprocess", types.SimpleNamespace(run=in_this_process))
    with np.load(copy / store.PARAMETERS) as file:
        changed = {name: value * np.float32(1.05) for name, value in file.items()}
    np.savez(copy / store.PARAMETERS, **changed)
    result = json.loads((copy / store.RESULT).read_text())
    result["incentive_gap"]["mean"] /= 2
    (copy / store.RESULT).write_text(json.dumps(result))
    reseal(copy, evidence={name: result[name] for name in ("objective", "incentive_gap", "optimum")})
    passed = {check.name: check.passed for check in artifact.verify(copy)}
    assert passed == {"files": True, "replay": False, "compiled rule": True, "objective": False, "incentive gap": False}


def reseal(folder: Path, **changes: Any) -> None:
    """What a forger with our source code would do."""
    manifest = {**json.loads((folder / "manifest.json").read_text()), **changes, "files": store.digests(folder)}
    manifest.pop("seal")
    (folder / "manifest.json").write_bytes(store._sealed(manifest))


def test_a_flipped_byte_in_any_file_is_found(copy: Path) -> None:
    """Each file of the artifact, the manifest too: `load` refuses it, and `verify` names it or refuses."""
    names = [path for path in sorted(copy.rglob("*")) if path.is_file()]
    assert {path.name for path in names} == {
        "parameters.npz", "config.yaml", "result.json", "replay.npz", "rule.stablehlo", "manifest.json"}  # fmt: skip
    for path in names:
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(ConfigError, match=path.name):
                artifact.load(copy)
            if path.name != "manifest.json":
                (check,) = artifact.verify(copy)
                assert not check.passed and path.name in check.detail
        path.write_bytes(whole)
    artifact.load(copy)


def test_a_missing_file_is_found(copy: Path) -> None:
    """Nothing of an artifact is optional once it was written."""
    (copy / store.REPLAY).unlink()
    with pytest.raises(ConfigError, match=r"replay\.npz"):
        artifact.load(copy)


@pytest.mark.parametrize(("key", "readable"), [("schema", 1), ("format", 4)])
def test_an_artifact_of_the_future_is_refused(copy: Path, key: str, readable: int) -> None:
    """It names the file, what was found and what can be read."""
    reseal(copy, **{key: readable + 1})
    with pytest.raises(ConfigError, match=rf"manifest\.json: .* {key} {readable + 1}, .* reads {key} {readable} only"):
        artifact.load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("payment/layers/0/bias"), "payment/layers/0/bias is missing"),
        (lambda arrays: arrays.update(extra=np.zeros(2, np.float32)), "extra is not one"),
        (lambda arrays: arrays.update({"payment/layers/0/bias": np.zeros(9, np.float32)}), r"float32 \[9\].*float32 \[8\]"),
        (lambda arrays: arrays.update({"payment/layers/0/bias": np.zeros(8, np.float16)}), "float16"),
    ],
)  # fmt: skip
def test_parameters_must_fit_the_configuration(copy: Path, change: Any, message: str) -> None:
    """A rule of another shape is not silently broadcast into this one."""
    with np.load(copy / store.PARAMETERS) as file:
        arrays = dict(file.items())
    change(arrays)
    np.savez(copy / store.PARAMETERS, **arrays)
    reseal(copy)
    with pytest.raises(ConfigError, match=message):
        artifact.load(copy)


def test_what_is_no_artifact_is_said(tmp_path: Path) -> None:
    """An empty folder, and a name that is not there."""
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ConfigError, match="neither an artifact"):
            artifact.load(path)


def test_an_artifact_stands_alone(tmp_path: Path) -> None:
    """The data file a prior was estimated from travels with it; the original may go."""
    data = tmp_path / "values.csv"
    data.write_text("0.1,0.2\n0.5,0.9\n0.7,0.3\n0.4,0.6\n0.8,0.1\n")
    prior = {"kind": "empirical", "file": "values.csv"}
    config = parse({**PROBLEM, "problem": {"kind": "auction", "bidders": 1, "items": 2, "prior": prior}}, tmp_path)
    problem, env = config.problem.build(config.folder)
    rule = untrained(config, problem, env)
    folder = artifact.save(tmp_path / "artifact", config, problem, env, rule, {}, quiet)
    data.unlink()
    moved = folder.rename(tmp_path / "elsewhere")
    np.testing.assert_array_equal(artifact.load(moved).env.prior.support()[1], env.prior.support()[1])


def test_a_failed_save_leaves_the_old_artifact(made: tuple[Path, Any], copy: Path) -> None:
    """A result that cannot be written as JSON stops the save after half of the files: the old folder is untouched, no trace stays."""
    loaded = artifact.load(made[0])
    before = store.read_manifest(copy)
    with pytest.raises(ValueError, match="JSON"):
        artifact.save(copy, loaded.config, loaded.problem, loaded.env, loaded.rule, {"objective": float("nan")}, quiet)
    assert store.read_manifest(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]
    artifact.save(copy, loaded.config, loaded.problem, loaded.env, loaded.rule, {"seed": 9}, quiet)
    assert json.loads((copy / store.RESULT).read_text()) == {"seed": 9}
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_rule_that_is_not_asked_by_rows_is_saved_without_a_compiled_one(tmp_path: Path) -> None:
    """Everything else of the artifact is there, and replay says why there is nothing to compare."""
    config = parse(PROBLEM)
    problem, env = config.problem.build(config.folder)
    problem = dataclasses.replace(problem, rowwise=False)
    rule = untrained(config, problem, env)
    folder = artifact.save(tmp_path / "artifact", config, problem, env, rule, {}, quiet)
    assert not (folder / store.STABLEHLO).exists()
    assert store.read_manifest(folder)["platforms"] == []
    with pytest.raises(ConfigError, match="choose npz"):
        artifact.export(folder, "stablehlo")


def test_the_manifest_says_what_is_inside(made: tuple[Path, Any]) -> None:
    """For people and programs that never load the rule; the evidence is the result's, gap and all."""
    folder = made[0]
    manifest, result = store.read_manifest(folder), json.loads((folder / store.RESULT).read_text())
    assert (manifest["domain"], manifest["rule"]) == ("auction", "regretnet")
    assert manifest["evidence"] == {name: result[name] for name in ("objective", "incentive_gap", "optimum")}
    assert manifest["versions"]["jax"] == jax.__version__
    assert set(manifest["platforms"]) >= {"cpu", "cuda", "tpu"}
    assert yaml.safe_load((folder / store.CONFIG).read_text())["rule"]["hidden"] == [8, 8]


@pytest.mark.parametrize("format", ["stablehlo", "npz"])
def test_exports_are_the_artifact_s_own_files(made: tuple[Path, Any], tmp_path: Path, format: str) -> None:
    """What was verified is what is handed out."""
    place = artifact.export(made[0], format, tmp_path / f"rule.{format}")
    source = {"stablehlo": store.STABLEHLO, "npz": store.PARAMETERS}[format]
    assert place.read_bytes() == (made[0] / source).read_bytes()


@pytest.mark.parametrize("format", ["csv", "json"])
def test_a_network_is_not_a_table(made: tuple[Path, Any], format: str) -> None:
    """The sentence names the formats there are."""
    with pytest.raises(ConfigError, match="stablehlo, npz, onnx"):
        artifact.export(made[0], format)


def test_onnx_without_its_extra_is_said(made: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the extra, and no file is left."""
    monkeypatch.setattr("icsap_jax.artifact.formats.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"icsap-jax\[export\]"):
        artifact.export(made[0], "onnx", tmp_path / "rule.onnx")
    assert not list(tmp_path.iterdir())


def test_onnx_answers_as_the_rule_does(made: tuple[Path, Any], tmp_path: Path) -> None:
    """For another number of rows than it was converted with; float32 in another order of summation."""
    pytest.importorskip("jax2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(artifact.export(made[0], "onnx", tmp_path / "rule.onnx").read_bytes())
    reports = np.random.default_rng(1).random((5, 1, 2), np.float32)
    allocation, payment = session.run(["allocation", "payment"], {"input0": reports})
    wanted = made[1](jnp.asarray(reports))
    np.testing.assert_allclose(allocation, wanted.allocation, rtol=REPLAY_TOLERANCE)
    np.testing.assert_allclose(payment, wanted.payment, rtol=REPLAY_TOLERANCE)
