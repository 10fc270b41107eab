"""What a principal earns with the contracts it would otherwise use, and where the learned one stands: exact, ties in its favour."""

from __future__ import annotations

from typing import Any

from icsap_jax.contracts import classical
from icsap_jax.contracts.menus import randomised_menu
from icsap_jax.contracts.problem import tables
from icsap_jax.contracts.programmes import best_contract
from icsap_jax.exact.lp import LpError
from icsap_jax.files import number_or_none


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float | None]:
    """The principal's value by name: paying nothing, the best share of the reward, the best single contract and the best menu where
    there are types, menus of lotteries over contracts (a supremum), and the first best, in which type and action are seen. None where
    it cannot be had, or would take too long."""
    given = tables(model)
    found: dict[str, float | None] = {}
    if given.limited_liability:
        found["zero_contract"] = classical.zero_contract(given).value
    found["best_linear"] = _worth(lambda: classical.best_linear(given).value)
    if given.types > 1:
        found["best_single_contract"] = _worth(lambda: best_contract(given).value)
        found["best_menu"] = _worth(lambda: best_contract(given, menu=True).value)
        if given.utility.linear:
            found["randomised_menu"] = _worth(lambda: randomised_menu(given))
    found["first_best"] = number_or_none(classical.first_best(given))
    return found


def _worth(compute: Any) -> float | None:
    try:
        return number_or_none(compute())
    except (LpError, ValueError):
        return None
