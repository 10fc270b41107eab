"""1024 random Markov games solved and differentiated in one compiled call, against the same compiled function one game at a time.

    python experiments/benchmarks/game_batch.py
    python experiments/benchmarks/game_batch.py --temperature 0.02 --out /tmp/cold.json

Each game has 2 agents, 4 states and 3 actions, rewards from U[0, 1], transitions from a flat Dirichlet and a discount of .9. Its logit
equilibrium is found by cooling, and the slope of welfare in every reward by the implicit function theorem. In a compiled call all games
of a tile go through one loop, from which the last ones not done are taken to go on by themselves. Tiles follow each other, one sequence
on each core, or on each accelerator. One at a time, the same function runs for a single game, on one core.

What a Newton step should take at least was counted first: for each game about 5 000 sums and products, half for the step by the blocks of
the equations, half for the misfit at four lengths of it; eight at a time, that is half a microsecond. Dense, it would be 55 000.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

# A core is a device of its own and works on games of its own, not on a share of every product. To be said before jax is loaded.
os.environ["XLA_FLAGS"] = (f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false "
                           f"--xla_force_host_platform_device_count={len(os.sched_getaffinity(0))}").strip()  # fmt: skip

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax import runtime
from icsap_jax.bilevel import equilibrium
from icsap_jax.bilevel.types import Draw
from icsap_jax.files import write_json
from icsap_jax.games.build import society_of
from icsap_jax.games.game import Game

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results" / "game_batch.json"
AGENTS, STATES, ACTIONS, DISCOUNT = 2, 4, 3, 0.9
SEED = 1024_243
ALONE = 128  # games that are timed one at a time


def random_games(count: int, seed: int = SEED) -> Game:
    """Leaves [B, …], float32."""
    rng = np.random.default_rng(seed)
    shape = (AGENTS, STATES, ACTIONS, ACTIONS)
    rewards = rng.uniform(size=(count, *shape))
    tables = {
        "rewards": rewards, "payments": np.zeros_like(rewards),
        "transitions": rng.dirichlet(np.ones(STATES), size=(count, STATES, ACTIONS, ACTIONS)),
        "start": np.full((count, STATES), 1 / STATES), "discount": np.full(count, DISCOUNT),
        "observation": np.broadcast_to(np.eye(STATES), (count, AGENTS, STATES, STATES)), "instruments": np.zeros((count, 0, *shape)),
    }  # fmt: skip
    return Game(**{name: jnp.asarray(each, jnp.float32) for name, each in tables.items()},
                legal=jnp.ones((count, AGENTS, STATES, ACTIONS), bool))  # fmt: skip


def solver(arguments: argparse.Namespace) -> Any:
    """game → (welfare, whether it was solved, the slope of welfare in every reward)."""
    draw = Draw(weight=jnp.ones((1,)), types=None)

    def solve(game: Game) -> tuple[jax.Array, jax.Array, jax.Array]:
        problem, env = society_of(game)

        def welfare(rewards: jax.Array) -> tuple[jax.Array, jax.Array]:
            changed = replace(game, rewards=rewards)
            heats = jnp.float32(arguments.temperature), jnp.float32(equilibrium.HOT)
            found = equilibrium.cooled(problem, env, draw, changed, *heats, arguments.stages, arguments.steps)
            return problem.score(env, draw, changed, found.action).value[0], found.converged

        (value, converged), slope = jax.value_and_grad(welfare, has_aux=True)(game.rewards)
        return value, converged, slope

    return solve


def median_seconds(call: Any, inputs: Any, calls: int) -> tuple[float, float, Any]:
    """(median and slowest seconds of several calls after one that warms up, what the last one gave)."""
    seconds = []
    for turn in range(calls + 1):
        started = time.perf_counter()
        found = jax.block_until_ready(call(inputs))
        if turn:
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), max(seconds), found


def main() -> None:
    """Measure, print and write down."""
    arguments = _arguments()
    runtime.prepare()
    games, solve = random_games(arguments.count), solver(arguments)
    tile = arguments.tile if jax.default_backend() == "cpu" else arguments.count // jax.device_count()
    cores = jax.make_mesh((jax.device_count(),), ("cores",), axis_types=(jax.sharding.AxisType.Auto,))
    places = jax.sharding.PartitionSpec("cores")
    tiles = jax.tree.map(lambda leaf: leaf.reshape(arguments.count // tile, tile, *leaf.shape[1:]), games)
    tiles = jax.device_put(tiles, jax.sharding.NamedSharding(cores, places))
    started = time.perf_counter()
    apiece = jax.shard_map(lambda some: jax.lax.map(jax.vmap(solve), some), mesh=cores, in_specs=places, out_specs=places, check_vma=False)
    together = jax.jit(apiece).lower(tiles).compile()
    compiling = time.perf_counter() - started
    seconds, slowest, (welfare, converged, slope) = median_seconds(together, tiles, arguments.calls)
    first = jax.tree.map(lambda leaf: leaf[0], games)
    alone = jax.jit(solve).lower(first).compile()
    singles = [jax.tree.map(lambda leaf, place=place: leaf[place], games) for place in range(ALONE)]
    single, _, found = median_seconds(lambda some: [jax.block_until_ready(alone(each)) for each in some], singles, arguments.calls)
    each = single / ALONE
    slopes, solved = np.asarray(slope).reshape(-1, *slope.shape[2:]), np.asarray(converged).reshape(-1)
    both = [place for place, one in enumerate(found) if one[1] and solved[place]]
    apart = max(float(np.abs(np.asarray(found[place][2]) - slopes[place]).max()) for place in both)
    memory = {
        steps: jax.jit(solver(replace_steps(arguments, steps))).lower(first).compile().memory_analysis().temp_size_in_bytes
        for steps in (arguments.steps, 10 * arguments.steps)
    }  # fmt: skip
    record = {
        "command": " ".join(["python", "experiments/benchmarks/game_batch.py", *sys.argv[1:]]), "device": runtime.device_name(),
        "cores": len(os.sched_getaffinity(0)), "versions": runtime.versions(), "games": arguments.count, "agents": AGENTS, "states": STATES,
        "actions": ACTIONS, "discount": DISCOUNT, "temperature": arguments.temperature, "stages": arguments.stages,
        "most_steps": arguments.steps, "tile": tile, "compile_seconds": compiling, "seconds": seconds, "slowest_seconds": slowest,
        "seconds_one_at_a_time": each * arguments.count, "one_at_a_time_timed_on": ALONE,
        "times_faster": each * arguments.count / seconds, "share_solved": float(converged.mean()),
        "slopes_finite": bool(jnp.isfinite(slope).all()), "largest_slope": float(jnp.abs(slope).max()), "slopes_apart_at_most": apart,
        "solved_alone_or_together_only": sum(bool(one[1]) != bool(solved[place]) for place, one in enumerate(found)),
        "welfare_mean": float(welfare.mean()),
        "temporary_bytes_of_one_solve": {f"{steps} steps at most": size for steps, size in memory.items()},
    }  # fmt: skip
    for name, said in record.items():
        print(f"{name}: {said}")
    write_json(arguments.out, record)


def replace_steps(arguments: argparse.Namespace, steps: int) -> argparse.Namespace:
    """The same arguments with another number of steps."""
    return argparse.Namespace(**{**vars(arguments), "steps": steps})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Random Markov games in one compiled call against one at a time.")
    parser.add_argument("--count", type=int, default=1024, help="games; a multiple of the tile times the devices")
    parser.add_argument("--temperature", type=float, default=0.1, help="of the logit equilibrium; rewards are in [0, 1]")
    parser.add_argument("--stages", type=int, default=8, help="temperatures on the way")
    parser.add_argument("--steps", type=int, default=60, help="Newton's, at most")
    parser.add_argument("--tile", type=int, default=128, help="games in one loop on a CPU; on an accelerator all of them")
    parser.add_argument("--calls", type=int, default=5, help="that are timed")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
