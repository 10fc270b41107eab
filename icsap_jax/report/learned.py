"""What members learned, as their domain draws it: heat maps of allocations, contracts, signals. Each is drawn anew from its artifact."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from icsap_jax.config import ConfigError
from icsap_jax.report.fronts import by_interest
from icsap_jax.report.gathered import Gathered, Member

OVERVIEW = ("scatter.png", "curves.png")  # what a report draws of all members
EVERY_RUN = ("gap.png", "training.png")


def draw(found: Gathered, count: int, plots: Path, say: Callable[[str], None]) -> dict[int, list[Path]]:
    """The pictures of at most `count` members by their place, drawn to plots/ID/. An artifact that cannot be loaded is named, and the
    others are drawn; a problem whose domain draws nothing has none."""
    wanted = [place for place in by_interest(found.rows) if (found.members[place].folder / "artifact").is_dir()][:count]
    drawn: dict[int, list[Path]] = {}
    if wanted:
        from icsap_jax import runtime

        # A picture needs no accelerator, on which a sweep may still be running; where jax is there already, its devices are too.
        runtime.prepare(None if "jax" in sys.modules else "cpu")
    for number, place in enumerate(wanted):
        say(f"\rdrawing what was learned: {number + 1} of {len(wanted)}")
        member = found.members[place]
        try:
            drawn[place] = _draw(member, plots / member.id)
        except ConfigError as error:
            say(f"no picture of {member.id}: {error}")
    return {place: pictures for place, pictures in drawn.items() if pictures}


def _draw(member: Member, folder: Path) -> list[Path]:
    from icsap_jax import artifact

    loaded = artifact.load(member.folder / "artifact")
    hook = loaded.config.problem.hook("pictures")
    if hook is None:
        return []
    hook(loaded.problem, loaded.env, loaded.rule, loaded.config.problem, folder)
    return sorted(folder.glob("*.png"))


def there(found: Gathered) -> dict[int, list[Path]]:
    """The pictures that a single run drew when it ended, by the place of the only member: its domain's, then those every run has."""
    pictures = [path for path in sorted((found.folder / "plots").glob("*.png")) if path.name not in OVERVIEW]
    pictures.sort(key=lambda path: path.name in EVERY_RUN)
    return {} if found.is_sweep or not pictures else {0: pictures}
