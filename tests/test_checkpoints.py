"""A checkpoint is restored bit for bit, or passed over with a word."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import checkpoints
from icsap_jax.bilevel.fit import Trainer, stack
from icsap_jax.config import ConfigError, parse
from icsap_jax.trees import named


@pytest.fixture(scope="module")
def state() -> Any:
    """The state of a small run of two members, with typed PRNG keys in it."""
    config = parse({"problem": {"kind": "auction", "bidders": 1, "items": 2, "prior": {"kind": "uniform"}},
                    "rule": {"kind": "regretnet", "hidden": [4]}, "training": {"members": 2}})  # fmt: skip
    problem, env = config.problem.build(config.folder)
    trainer = Trainer.of(problem, config.training)

    @jax.jit
    def start(key: jax.Array) -> Any:
        return trainer.init(env, config.rule.build(problem, env, key), key, config.training)

    return stack([start(jax.random.key(number)) for number in range(2)])


@pytest.fixture
def saved(tmp_path: Path, state: Any) -> Path:
    """Checkpoints of steps 400 and 500; `multiplier` holds the step."""
    for step in (400, 500):
        checkpoints.save(tmp_path / "checkpoints", step, at(state, step))
    return tmp_path / "checkpoints"


def at(state: Any, step: int) -> Any:
    """The state with a trace of the step in it."""
    return jax.tree.map(lambda leaf: leaf + step if leaf.dtype == jnp.int32 else leaf, state)


def bits(state: Any) -> dict[str, bytes]:
    """Every leaf, to the bit."""
    return {name: np.asarray(jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf).tobytes()
            for name, leaf in named(state).items()}  # fmt: skip


def test_a_state_comes_back_bit_for_bit(saved: Path, state: Any) -> None:
    """Structure, dtypes, bits; keys are keys of the same kind and draw the same numbers."""
    step, found = checkpoints.restore_latest(saved, state, pytest.fail)
    assert step == 500
    assert jax.tree.structure(found) == jax.tree.structure(state)
    assert bits(found) == bits(at(state, 500))
    assert found.key.dtype == state.key.dtype
    np.testing.assert_array_equal(jax.random.bits(found.key[1]), jax.random.bits(state.key[1]))


def test_numbers_that_are_hard_to_write_come_back(tmp_path: Path) -> None:
    """NaN with its payload, −0 alone and among others, infinity, the smallest float, bfloat16, float64, an empty array."""
    payload = np.array([0x7FC00123, 0x80000000, 0x7F800000, 1], np.uint32).view(np.float32)
    hard = {"odd": payload, "minus": np.full(3, -0.0, np.float32), "empty": np.zeros((0, 3), np.float32),
            "half": jnp.asarray([1.5, -2.25], jnp.bfloat16),
            "exact": np.array(np.pi), "yes": np.array([True, False])}  # fmt: skip
    checkpoints.save(tmp_path, 0, hard)
    _, found = checkpoints.restore_latest(tmp_path, hard, pytest.fail)
    for name, value in hard.items():
        assert found[name].dtype == value.dtype
        assert np.asarray(found[name]).tobytes() == np.asarray(value).tobytes(), name


def test_the_newest_two_are_kept(saved: Path, state: Any) -> None:
    """And those of a later step, which an older one was restored over, go."""
    checkpoints.save(saved, 600, state)
    assert {path.name for path in saved.iterdir()} == {"step_500", "step_600"}
    checkpoints.save(saved, 550, state)
    assert {path.name for path in saved.iterdir()} == {"step_500", "step_550"}


def test_a_damaged_checkpoint_does_not_push_out_a_whole_one(saved: Path, state: Any) -> None:
    """Of the older ones the newest whole one is kept."""
    (saved / "step_500" / "manifest.json").unlink()
    checkpoints.save(saved, 600, state)
    assert {path.name for path in saved.iterdir()} == {"step_400", "step_600"}


def test_a_flipped_byte_anywhere_is_found(saved: Path, state: Any) -> None:
    """In every file of the newest, at its beginning, middle and end: its name is said and the older one is used."""
    newest = saved / "step_500"
    files = [path for path in sorted(newest.rglob("*")) if path.is_file() and path.stat().st_size]
    assert len(files) > 3
    for path in files:
        whole = path.read_bytes()
        # Between the manifest's braces a flipped byte could hit white space, which means nothing.
        places = {0, len(whole) // 2, len(whole) - 1} if path.name != "manifest.json" else {0, whole.index(b'"step": 5') + 8}
        for place in places:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            step, said = restored(saved, state)
            assert step == 400
            assert said == [f"{saved}: checkpoint step 500 is damaged (file {path.relative_to(newest)}): falling back to step 400."]
        path.write_bytes(whole)
    assert restored(saved, state) == (500, [])


def restored(folder: Path, state: Any) -> tuple[int | None, list[str]]:
    """The step that was restored, and what was said."""
    said: list[str] = []
    found = checkpoints.restore_latest(folder, state, said.append)
    if found is not None:
        assert bits(found[1]) == bits(at(state, found[0]))
    return (found[0] if found else None), said


def test_a_file_cut_off_or_missing_is_found(saved: Path, state: Any) -> None:
    """The largest file loses its second half, then is gone; then the manifest is."""
    newest = saved / "step_500"
    largest = max((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    assert restored(saved, state)[0] == 400
    largest.unlink()
    step, said = restored(saved, state)
    assert step == 400 and largest.name in said[0]
    (newest / "manifest.json").unlink()
    step, said = restored(saved, state)
    assert step == 400 and "no manifest.json" in said[0]


def test_with_none_left_training_starts_over(saved: Path, state: Any) -> None:
    """Both are named, and the last line says what happens; an empty folder needs no words."""
    for path in saved.glob("*/manifest.json"):
        path.unlink()
    step, said = restored(saved, state)
    assert step is None
    assert len(said) == 2
    assert "step 400 is damaged" in said[1] and "starts over" in said[1]
    assert restored(saved / "none", state) == (None, [])


def test_another_run_s_checkpoint_is_refused(saved: Path) -> None:
    """It is whole, so it is not damage; the leaf that differs is named with both shapes."""
    other = {"weights": jnp.zeros(3)}
    with pytest.raises(ConfigError, match="of another run"):
        checkpoints.restore_latest(saved, other, pytest.fail)


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), ValueError("… No space left on device …")])
def test_a_full_disk_is_said_and_harms_nothing(saved: Path, state: Any, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    """Half of the new checkpoint was written when there was no more room (orbax reports that as an error of its own)."""

    def half(path: Path, plain: dict) -> None:
        path.mkdir()
        (path / "half").write_bytes(b"half")
        raise fault

    monkeypatch.setattr(checkpoints, "_write", half)
    with pytest.raises(ConfigError, match="step_600: there is no space left"):
        checkpoints.save(saved, 600, state)
    assert {path.name for path in saved.iterdir()} == {"step_400", "step_500"}
    assert restored(saved, state) == (500, [])


def test_what_an_interrupted_save_left_is_swept_away(saved: Path, state: Any) -> None:
    """A process killed in the middle leaves a half under a hidden name; it is never restored, and the next save removes it."""
    half = saved / ".step_600.partial-00000000"
    half.mkdir()
    assert restored(saved, state) == (500, [])
    checkpoints.save(saved, 600, at(state, 600))
    assert not half.exists()
    assert restored(saved, state) == (600, [])
