"""What a problem file may say of the one number that each agent of a choice knows alone: its value, its peak. No jax.

Any prior that the package or a plugin knows will do: `prior: OneOf[PriorModel]` in a problem's model, `build(agents, 1, folder)` for its
law, whose draws are [B, N, 1]. A schema is found by looking, so nothing has to be imported for that.
"""

from __future__ import annotations

from pathlib import Path

from icsap_jax.config import PriorModel, fault
from icsap_jax.config.models import under


def check_numbers(prior: PriorModel, agents: int, folder: Path) -> None:
    """Raise `fault` below the key `prior` unless it is one law of one number for each of the agents."""
    with under("prior"):
        if prior.kind_name() == "any_of":
            raise fault((["kind"], "should be one prior; here it is any of several", "any_of"))
        prior.check(agents, 1, folder)
