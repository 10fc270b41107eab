"""An objective of your own: how equally the bidders fare (Zhang et al. 2024, equation 5, with the sign that rewards equality)."""

from __future__ import annotations

from icsap_jax import register_objective


def equality(account):
    """Worst-off minus best-off utility, […]: in the units of the values, at most 0, and 0 where all bidders fare alike."""
    utility = account.value - account.transfer
    return utility.min(-1) - utility.max(-1)


register_objective("equality", equality)
