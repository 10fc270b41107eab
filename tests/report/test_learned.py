"""What members learned is drawn from their artifacts, of the most interesting first, and one that is damaged stops nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax
import matplotlib.image
import pytest

from icsap_jax.artifact import store
from icsap_jax.config import parse
from icsap_jax.report import gathered, learned

# One good for one bidder: two curves, the cheapest thing that a domain draws.
PROBLEM = {
    "problem": {"kind": "auction", "bidders": 1, "items": 1, "prior": {"kind": "uniform"}},
    "rule": {"kind": "regretnet", "hidden": [3]},
}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, sweep_folder: Callable[..., Path]) -> gathered.Gathered:
    """Five members. The selected one's artifact is damaged, two are not worth a look, and one was given up and has none."""
    members = [("worst", {"seed": 0}, 0.1, 3e-3), ("front", {"seed": 1}, 0.3, 1e-4), ("best", {"seed": 2}, 0.5, 5e-4),
               ("given-up", {"seed": 3}, None, None, "dropped"), ("bad", {"seed": 4}, 0.2, 1e-3)]  # fmt: skip
    folder = sweep_folder(tmp_path_factory.mktemp("learned") / "sweep", members, best="best")
    found = gathered.gather(folder)
    config = parse(PROBLEM)
    problem, env = config.problem.build(config.folder)
    rule = config.rule.build(problem, env, jax.random.key(0))
    for member in found.members:
        if member.id != "given-up":
            store.keep(member.folder / "artifact", config, rule, member.result)
    (folder / "members" / "best" / "artifact" / "parameters.npz").write_bytes(b"")
    return found


def test_the_first_few_are_drawn_and_a_damaged_one_is_named(sweep: gathered.Gathered, tmp_path: Path) -> None:
    """At most as many members as were asked for are looked at; each picture is a PNG with something on it, in a folder of its member's."""
    said: list[str] = []
    drawn = learned.draw(sweep, 2, tmp_path / "plots", said.append)
    assert drawn == {1: [tmp_path / "plots" / "front" / "allocation_slice.png"]}
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["front"]
    pixels = matplotlib.image.imread(drawn[1][0])
    assert 0.01 < (pixels[..., :3] < 0.95).any(-1).mean() < 0.5
    (complaint,) = [text for text in said if not text.startswith("\r")]
    assert complaint.startswith("no picture of best: ")
    assert "parameters.npz is not what it was" in complaint


def test_nothing_is_drawn_where_nothing_was_asked_for(sweep: gathered.Gathered, tmp_path: Path) -> None:
    """And nothing is made for it."""
    assert learned.draw(sweep, 0, tmp_path / "plots", lambda text: None) == {}
    assert not (tmp_path / "plots").exists()
