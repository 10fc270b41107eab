"""Checkpoints of a training run: saved by orbax, kept honest by hashes.

orbax alone can restore a flipped byte without noticing, so every checkpoint carries `manifest.json` with the sha256 of each of its
files, written last. A checkpoint is a folder `step_N`, complete or not there; the newest two whole ones are kept. Restoring takes
the newest whose files are all as they were written, and says which it had to pass over.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.types import Tree
from icsap_jax.config import ConfigError
from icsap_jax.files import MANIFEST, as_json, damaged, digests, disk_faults, remove_partial, replacing_folder
from icsap_jax.trees import named

FORMAT = 1
KEEP = 2


def save(folder: Path, step: int, state: Tree) -> Path:
    """Write `state`, any pytree of arrays (typed PRNG keys too), as the checkpoint of `step`; older ones beyond two go, and so do
    any of a later step, which belong to a future that was given up. Raises ConfigError when the disk is full; the checkpoints
    that were there are then as they were."""
    folder = Path(folder)
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_partial(folder)
    place = folder / f"step_{step}"
    with replacing_folder(place) as partial:
        plain = {name: _plain(leaf) for name, leaf in named(state).items()}
        _write(partial / "state", {name: value for name, value in plain.items() if value.size})  # orbax refuses empty arrays
        manifest = {"format": FORMAT, "step": step, "files": digests(partial)}
        (partial / MANIFEST).write_text(as_json(manifest), encoding="utf-8")
    older = [other for number, other in _found(folder) if number < step]
    keep = [place, *[other for other in older if _fault(other) is None][: KEEP - 1]]
    for _, other in _found(folder):
        if other not in keep:
            shutil.rmtree(other, ignore_errors=True)
    return place


def restore_latest(folder: Path, like: Tree, say: Callable[[str], None]) -> tuple[int, Tree] | None:
    """The step and the state of the newest whole checkpoint in `folder`, bit for bit, with the structure, dtypes and devices of
    `like`; None when there is none. `say` hears of every checkpoint passed over. Raises ConfigError when a whole checkpoint holds
    something else than `like`."""
    found = _found(Path(folder))
    for place, (step, path) in enumerate(found):
        fault = _fault(path)
        if fault is None:
            return step, _fit(_read(path / "state"), like, path)
        after = f"falling back to step {found[place + 1][0]}" if place + 1 < len(found) else "no other is left, so training starts over"
        say(f"{folder}: checkpoint step {step} is damaged ({fault}): {after}.")
    return None


def _found(folder: Path) -> list[tuple[int, Path]]:
    """The checkpoints in `folder`, newest first, whole or not."""
    steps = [(re.fullmatch(r"step_(\d+)", path.name), path) for path in folder.glob("step_*") if path.is_dir()]
    return sorted(((int(match[1]), path) for match, path in steps if match), reverse=True)


def _fault(path: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except OSError:
        return f"it has no {MANIFEST}"
    except ValueError:
        return f"file {MANIFEST}"
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict) or f"step_{manifest.get('step')}" != path.name:
        return f"file {MANIFEST}"
    if manifest.get("format") != FORMAT:
        return f"it has format {manifest.get('format')}, and only {FORMAT} can be read"
    wrong = damaged(path, manifest["files"])
    return f"file {wrong[0]}" if wrong else None


def _plain(leaf: Any) -> np.ndarray:
    """A leaf as numbers; a typed PRNG key as the words it is made of."""
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _fit(plain: dict[str, np.ndarray], like: Tree, path: Path) -> Tree:
    """The saved numbers in the structure of `like`."""
    wanted = {name: _plain(leaf) for name, leaf in named(like).items()}
    plain = {**plain, **{name: value for name, value in wanted.items() if not value.size}}
    shape = {name: (value.shape, str(value.dtype)) for name, value in wanted.items()}
    there = {name: (value.shape, str(value.dtype)) for name, value in plain.items()}
    if shape != there:
        name = sorted(shape.items() ^ there.items())[0][0]
        raise ConfigError(f"{path}: this checkpoint is of another run: its {name} is {there.get(name)}, and {shape.get(name)} is wanted; "
                          "use another run folder, or the configuration it was made with.")
    return jax.tree.unflatten(jax.tree.structure(like), [_like(plain[name], leaf) for name, leaf in named(like).items()])


def _like(value: np.ndarray, leaf: Any) -> Any:
    """`value` as the kind of thing `leaf` is, on its devices. An array that was bound to none stays so: binding it would compile
    the training step anew."""
    if not isinstance(leaf, jax.Array):
        return np.asarray(value)
    array = jax.random.wrap_key_data(value, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else jnp.asarray(value)
    return jax.device_put(array, leaf.sharding) if leaf.committed else array


def _write(path: Path, plain: dict[str, np.ndarray]) -> None:
    import orbax.checkpoint as orbax  # takes half a second to import, so only a run that saves pays for it

    # On a failure orbax logs pages of its own before it raises; what it raises is enough.
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with orbax.StandardCheckpointer() as checkpointer:
            checkpointer.save(path.absolute(), plain)
    finally:
        logger.setLevel(level)


def _read(path: Path) -> dict[str, np.ndarray]:
    import orbax.checkpoint as orbax

    with orbax.StandardCheckpointer() as checkpointer:
        entries = checkpointer.metadata(path.absolute()).item_metadata
        return checkpointer.restore(path.absolute(), {name: np.zeros(entry.shape, entry.dtype) for name, entry in entries.items()})
