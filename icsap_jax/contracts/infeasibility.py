"""Why nothing can be implemented: the constraint to blame, found by dropping one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

from icsap_jax.contracts.shapes import Terms, pieces
from icsap_jax.contracts.tables import Tables
from icsap_jax.exact import lp


def why_infeasible(tables: Tables, terms: Terms, implementable: Callable[[Tables, Terms], bool]) -> str:
    """A sentence that says which constraint leaves no profile of actions, and what would be right. `implementable` tells whether other
    tables and terms leave one."""
    limits = [f"{terms.shape} contracts"] if terms.shape != "any" else []
    limits += ["limited liability"] if tables.limited_liability else []
    limits += [f"a budget of {terms.budget:g}"] if terms.budget is not None else []
    under = f" with {' and '.join(limits)}" if limits else ""
    for k in range(tables.types):
        if not _participates(tables, terms, k):
            return (
                f"Type {k} cannot be given its reservation utility of {tables.reservation[k]:g} in any action{under}: "
                "lower the reservation utility, or allow higher payments."
            )
    # Whatever contract satisfies every type also has best replies: only a margin is left to blame, and what stands in its way.
    easier = {
        "without the budget": None if terms.budget is None else (tables, replace(terms, budget=None)),
        "without limited liability": (replace(tables, limited_liability=False), terms) if tables.limited_liability else None,
        f"if contracts need not be {terms.shape}": None if terms.shape == "any" else (tables, replace(terms, shape="any")),
        "with a lower margin": (tables, replace(terms, margin=0.0)) if terms.margin else None,
    }
    for words, problem in easier.items():
        if problem is not None and implementable(*problem):
            return f"No action can be made better than every other choice by a margin of {terms.margin:g}{under}: {words} some can."
    return f"No actions of the types were found that can be implemented{under}."


def _participates(tables: Tables, terms: Terms, k: int) -> bool:
    """Whether some allowed contract gives type k its reservation utility in some action, incentives aside. For a linear contract and
    a risk-averse agent this looks at any contract."""
    wider = replace(terms, shape="any") if not tables.utility.linear and terms.shape == "linear" else terms
    for piece, action in itertools.product(pieces(tables, wider), range(tables.actions)):
        needed = tables.reservation[k] + tables.costs[k, action]
        gain = tables.outcome_probabilities[k, action] @ piece.basis
        try:
            most = lp.solve(gain, at_most=piece.limits, bounds=piece.bounds, maximise=True).value
        except lp.Unbounded:
            return True
        except lp.Infeasible:
            continue
        # The highest utility of a bounded one is approached, never given.
        if most > needed or (most >= needed and most < tables.utility.highest):
            return True
    return False
