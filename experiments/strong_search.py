"""How much of the worst deviation the strong search finds, against brute force.

On 200 fresh profiles of a trained rule the standard search (grid and 16 refined starts) is compared with 1000 random starts
climbed 2000 steps each, for every agent: the share of the brute-force mean gap that it finds, and the time of both.

    python experiments/strong_search.py runs/additive_1x2_uniform runs/additive_2x2_uniform
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax import artifact, runtime
from icsap_jax.bilevel.deviations import Search, box_gap, double, judge, single
from icsap_jax.bilevel.responses import deviated_utility, refine, uniform_in

RESULTS = Path(__file__).resolve().parent / "results" / "strong_search"
TILE = 10  # profiles climbed at once: 1000 starts each


@partial(jax.jit, static_argnames=("problem", "starts", "steps"))
def climb_all(problem, starts, steps, env, rule, draw, key):
    """The best [1, I, N, T] of `starts` random reports climbed `steps` steps, step sizes falling from a tenth of the box."""
    truth, box = problem.recommended(env, draw), problem.space(env, draw)

    def utility(deviations):
        return deviated_utility(problem, env, rule, draw, truth, deviations)

    found = refine(utility, uniform_in(box, key, (starts, *truth.shape), truth.dtype), box, 0.1, steps)
    return jnp.take_along_axis(found, jnp.argmax(utility(found), 0)[None, ..., None], axis=0)


def brute_force(problem, env, rule, draw, starts, steps):
    """The gap [I, N] by brute force, judged in float64."""
    env32, rule32, gaps = single(env), single(rule), []
    for start in range(0, draw.weight.shape[0], TILE):
        tile = jax.tree.map(lambda leaf, at=start: leaf[at : at + TILE], draw)
        with jax.enable_x64(False):
            found = climb_all(problem, starts, steps, env32, rule32, single(tile), jax.random.key(start))
        gaps.append(np.asarray(judge(problem, env, rule, tile, found.astype(jnp.float64))))
    return np.concatenate(gaps)


def timed(function):
    """What `function` returns on its second call, and how long that took: the first compiles."""
    function()
    started = time.monotonic()
    return function(), time.monotonic() - started


def compare(folder: Path, profiles: int, starts: int, steps: int) -> dict:
    """Both searches on the same profiles of one trained rule."""
    loaded = artifact.load(folder / "artifact" if (folder / "artifact").is_dir() else folder)
    problem, settings = loaded.problem, loaded.config.evaluation
    search = Search(joint=settings.joint_grid, single=settings.item_grid, starts=settings.starts, steps=settings.steps)
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jnp.asarray, (double(loaded.env), double(loaded.rule)))
        draw = problem.draw(env, jax.random.key(20_260_101), profiles)
        ours, ours_seconds = timed(lambda: box_gap(problem, search, env, rule, draw))
        started = time.monotonic()
        brute = brute_force(problem, env, rule, draw, starts, steps)
        brute_seconds = time.monotonic() - started
    return {
        "profiles": profiles, "method": search.method(problem.agents, draw.types.shape[-1]),
        "brute_force": f"{starts} random starts × {steps} steps",
        "mean_gap": float(ours.mean()), "brute_force_mean_gap": float(brute.mean()), "share_found": float(ours.mean() / brute.mean()),
        "largest_gap": float(ours.max()), "brute_force_largest_gap": float(brute.max()),
        "seconds": round(ours_seconds, 2), "brute_force_seconds": round(brute_seconds, 1),
        "time_share": round(ours_seconds / brute_seconds, 4),
    }  # fmt: skip


def main() -> None:
    """Compare on each run folder named and commit what was found to experiments/results/strong_search/."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--profiles", type=int, default=200)
    parser.add_argument("--starts", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    runtime.prepare()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for folder in arguments.runs:
        found = compare(folder, arguments.profiles, arguments.starts, arguments.steps)
        command = f"python experiments/strong_search.py {folder.name}"
        record = {"command": command, "device": runtime.device_name(), "versions": runtime.versions(), **found}
        (RESULTS / f"{folder.name}.json").write_text(json.dumps(record, indent=1) + "\n")
        print(f"{folder.name}: {found['share_found']:.1%} of brute force in {found['time_share']:.2%} of its time ({found['seconds']} s)")


if __name__ == "__main__":
    main()
