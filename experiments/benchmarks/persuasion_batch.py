"""4096 persuasion games of 10 states and 10 actions in one compiled call, by the primal-dual method and by the signal network, against
4096 linear programmes by HiGHS one by one in the same run.

    python experiments/benchmarks/persuasion_batch.py                    trains configs/persuasion/family_10x10.yaml first
    python experiments/benchmarks/persuasion_batch.py runs/family_10x10  uses a run of it
    python experiments/benchmarks/persuasion_batch.py --sample 256       that many games' programmes are solved, and their time multiplied

Every scheme is judged in float64 by the receiver's exact best reply, ties against the sender. The programmes run one after the other on
one core, as HiGHS solves programmes this small; beside their time stands what it would be if all cores shared them without loss. Only
the solver is timed, and not how its matrices are written down. The compiled calls take the games a tile at a time, so that what is
computed stays in the cache: the network on all cores, which share the games evenly, the primal-dual method on one. Their time is the
median of several calls, compilation apart.

What a call should take at least was counted first: the operations of its matrix products, at the rate at which this machine multiplies
matrices of the network's shape.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A core works on games of its own, and not on a share of every matrix product. To be said before jax is loaded.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from icsap_jax import artifact, runtime
from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.primal_dual import solve
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import load
from icsap_jax.exact import lp
from icsap_jax.files import write_json
from icsap_jax.persuasion.family.evaluation import Tables, above, spread, tables_of
from icsap_jax.persuasion.family.problem import Games, Told, bound
from icsap_jax.persuasion.family.rules import operations
from icsap_jax.persuasion.tables import Game, best_reply_value
from icsap_jax.persuasion.value import programme
from icsap_jax.run import train

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results" / "persuasion_batch.json"
CONFIG = ROOT / "configs" / "persuasion" / "family_10x10.yaml"
SEED = 4096_1010  # of the games, never used in training
MARGIN = 5e-4  # of the primal-dual method's schemes, so that ties do not decide
STEPS = 12  # of the primal-dual method
TILE = 64  # games a core works on at once


def main() -> None:
    """Measure, print and write down."""
    arguments = _arguments()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", cores)
    runtime.prepare()
    with tempfile.TemporaryDirectory() as scratch:
        folder, trained = arguments.run, None
        if folder is None:
            folder = Path(scratch) / "run"
            trained = train(load(CONFIG), folder, say=lambda line: print(line, file=sys.stderr))["details"]["seconds"]["training"]
        loaded = artifact.load(folder)
    games = loaded.problem.draw(loaded.env, jax.random.key(SEED), arguments.count).seen
    every = tables_of(games)
    rate, devices = product_rate(loaded.config.rule.width), len(jax.devices())
    network, told = timed(lambda some: loaded.rule(some.prior, some.sender, some.receiver, some.legal), games, arguments, devices)
    # Of two devices that are cores of one process, each waits for the other's factorisations, for ever.
    alone = 1 if jax.default_backend() == "cpu" else devices
    method, found = timed(lambda some: by_primal_dual(some, arguments.steps), games, arguments, alone)
    solved = min(arguments.sample or len(every), len(every))
    seconds, optima = by_programmes(every[:solved])
    programmes = seconds * len(every) / solved

    def judged(clock: dict[str, Any], operations: int, signal: np.ndarray, multiplier: np.ndarray) -> dict[str, Any]:
        """What a call took and reached, beside what it should have taken."""
        values = against(every[:solved], signal)
        return {
            **clock, "operations_per_game": operations, "predicted_seconds_at_least": operations * len(every) / rate / clock["devices"],
            "times_faster_than_one_core": programmes / clock["seconds"],
            "times_faster_than_all_cores": programmes / cores / clock["seconds"],
            "ratio_of_values": float(values.sum() / optima.sum()), "ratio": spread(values, optima),
            "bound": above(proven(games, multiplier)[:solved], optima),
        }  # fmt: skip

    record: dict[str, Any] = {
        "command": " ".join(["python", "experiments/benchmarks/persuasion_batch.py", *sys.argv[1:]]),
        "device": runtime.device_name(), "cores": cores, "versions": runtime.versions(),
        "games": len(every), "states": len(every[0][0]), "actions": every[0][1].shape[1], "training_seconds": trained,
        "programmes_timed_on": solved, "programmes_seconds_one_core": programmes, "extrapolated": solved < len(every),
        "product_rate_of_a_device": rate, "primal_dual_steps": arguments.steps, "primal_dual_margin": MARGIN,
        "network": judged(network, operations_of(loaded.rule, loaded.problem.states, loaded.problem.actions), *told),
        "primal_dual": judged(method, steps_of(arguments.steps, loaded.problem.states, loaded.problem.actions), *found),
        "ratio_of_full_or_no_disclosure": spread(simple(every[:solved]), optima),
    }  # fmt: skip
    for name, said in record.items():
        print(f"{name}: {said}")
    write_json(arguments.out, record)


def timed(
    answer: Callable[[Games], Any], games: Games, arguments: argparse.Namespace, devices: int
) -> tuple[dict[str, Any], tuple[np.ndarray, ...]]:
    """Seconds of one compiled call on all games (median and slowest of several, and to compile it), and (signal [B, S, A], multipliers
    [B, A, A]). The games are shared out to the devices, and there answered a tile at a time where the device is a core."""
    mesh = jax.make_mesh((devices,), ("games",), devices=jax.devices()[:devices])
    tile = arguments.tile if jax.default_backend() == "cpu" else arguments.count // devices

    def share(some: Games) -> tuple[Any, Any]:
        tiles = jax.tree.map(lambda leaf: leaf.reshape(-1, tile, *leaf.shape[1:]), some)
        said = jax.lax.map(answer, tiles)
        return tuple(leaf.reshape(-1, *leaf.shape[2:]) for leaf in (said.signal, said.multiplier))

    games = jax.device_put(games, jax.NamedSharding(mesh, P("games")))
    started = time.perf_counter()
    call = jax.jit(jax.shard_map(share, mesh=mesh, in_specs=P("games"), out_specs=P("games"), check_vma=False)).lower(games).compile()
    compiling = time.perf_counter() - started
    seconds = []
    for turn in range(arguments.calls + 1):
        started = time.perf_counter()
        found = jax.block_until_ready(call(games))
        if turn:  # the first warms up
            seconds.append(time.perf_counter() - started)
    clock = {"devices": devices, "seconds": statistics.median(seconds), "slowest_seconds": max(seconds), "compile_seconds": compiling}
    return clock, tuple(map(np.asarray, found))


def by_primal_dual(games: Games, steps: int) -> Told:
    """The scheme and the multipliers of the primal-dual method in float32, after so many steps."""

    def one(prior: jax.Array, sender: jax.Array, receiver: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = solve(programme(prior, sender, receiver, MARGIN), steps)
        return found.x.T, found.multiplier

    joint, multiplier = jax.vmap(one)(games.prior, games.sender, games.receiver)
    joint = jax.nn.relu(joint)
    return Told(joint / joint.sum(-1, keepdims=True), jax.nn.relu(multiplier), jnp.zeros(joint.shape[0]))


def by_programmes(every: list[Tables]) -> tuple[float, np.ndarray]:
    """Seconds spent in the solver for all games, and the optima [B]."""
    seconds, optima = 0.0, []
    for prior, sender, receiver in every:
        states, actions = sender.shape
        game = Game.single(prior, sender, receiver)
        obedience = game.obedience(game.profiles())  # [A, A, S]
        rows = np.zeros((actions, actions, actions, states))
        rows[np.arange(actions), :, np.arange(actions)] = -obedience
        rows = rows.reshape(actions * actions, -1)[~np.eye(actions, dtype=bool).ravel()]
        masses = np.tile(np.eye(states), actions)
        started = time.perf_counter()
        found = lp.solve(sender.T.ravel(), at_most=(rows, np.zeros(len(rows))), equal=(masses, prior), maximise=True)
        seconds += time.perf_counter() - started
        optima.append(found.value)
    return seconds, np.array(optima)


def against(every: list[Tables], signal: np.ndarray) -> np.ndarray:
    """What each sender gets [B], by the receiver's exact best reply, ties against the sender, from signals [B, S, A]."""
    return np.array([
        best_reply_value(prior[:, None] * said / said.sum(-1, keepdims=True), sender, receiver, "against")
        for (prior, sender, receiver), said in zip(every, signal.astype(np.float64), strict=False)])  # fmt: skip


def simple(every: list[Tables]) -> np.ndarray:
    """The better of full and no disclosure in each game, [B]."""
    return np.array([
        max(best_reply_value(joint, sender, receiver, "for") for joint in (np.diag(prior), prior[:, None]))
        for prior, sender, receiver in every])  # fmt: skip


def proven(games: Games, multiplier: np.ndarray) -> np.ndarray:
    """What multipliers prove, in float64, [B]."""
    with jax.enable_x64(True):
        return np.asarray(bound(jax.tree.map(jnp.asarray, double(games)), jnp.asarray(multiplier, jnp.float64)))


def operations_of(rule: Rule, states: int, actions: int) -> int:
    """Of the network's matrix products, for one game."""
    network = rule.params["network"]
    width, pair_width = (network[name]["bias"].shape[-1] for name in ("first_cell", "first_pair"))
    rounds = network["rounds"]["cell"]["bias"].shape[0]
    return operations(states, actions, width, pair_width, rounds)


def steps_of(steps: int, states: int, actions: int) -> int:
    """Of the primal-dual method's matrix products, factors and solves, for one game: each step forms and factorises one system of S
    equations for every recommendation and one for the masses, and solves the former for S + 2 right-hand sides."""
    formed, factor, solves = 2 * actions * states**2, states**3 // 3, 2 * states**2 * (states + 2)
    return steps * (actions * (formed + factor + solves + 6 * actions * states) + 2 * actions * states**2 + states**3 // 3)


def product_rate(width: int) -> float:
    """Operations a second of one device that multiplies matrices of the network's shape."""
    rows, times = 6400, 50
    left, right = jnp.ones((rows, width)), jnp.eye(width)
    call = jax.jit(lambda left: jax.lax.fori_loop(0, times, lambda _, some: some @ right, left))
    jax.block_until_ready(call(left))
    started = time.perf_counter()
    jax.block_until_ready(call(left))
    return times * 2 * rows * width**2 / (time.perf_counter() - started)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The signal network and the primal-dual method against linear programmes.")
    parser.add_argument("run", nargs="?", type=Path, help="a run folder or an artifact; left out: trained now")
    parser.add_argument("--count", type=int, default=4096, help="games; a multiple of the tile for every device")
    parser.add_argument("--sample", type=int, help="of them whose programmes are solved; left out: all")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the primal-dual method")
    parser.add_argument("--tile", type=int, default=TILE, help="games a core works on at once")
    parser.add_argument("--calls", type=int, default=5, help="that are timed")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
