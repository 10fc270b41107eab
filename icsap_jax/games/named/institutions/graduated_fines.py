"""A dilemma under a monitor whose fines grow with a record of violations: Ostrom's graduated sanctions (1990, principle 5).

A defector is taken for one with probability m, a cooperator with ε. A fine of f(v) falls on whoever is taken for a defector with v
violations on record. Let W(v) be the fines that a cooperator expects from record v on. Cooperating among cooperators is worth while at
v if the fine and the worse record together weigh as much as greed T − R:

    (m − ε) [f(v) + δ (W(v + 1) − W(v))] ≥ T − R.

Where this binds at a clean record and nothing is forgiven, W(0) = ε (T − R)/((m − ε)(1 − δ)), however the fines are spread over records:
leniency at first is paid for later, and in all costs the innocent the same. What differs is the largest fine: D = (T − R)/(m − ε) where
all are alike, and after a warning D (1 − δ (1 − ε))/(δ ε).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from icsap_jax.games.named.common import kept
from icsap_jax.games.tables import Tables, tables


def graduated_fines(model: Any) -> Tables:
    """A state is both agents' records. `fine_after_v` takes 1 from whoever is taken for a defector with v violations on record, as an
    expectation over whether it is."""
    stage = model.stage
    first = np.array([[stage.reward, stage.sucker], [stage.temptation, stage.punishment]])
    records = list(itertools.product(range(model.records + 1), repeat=2))
    taken = np.array([model.mistaken, model.detected])  # by action
    rewards = np.repeat(np.stack([first, first.T])[:, None], len(records), 1)
    going = next_record(model.records + 1, taken, model.forgiven)  # [v, A, v]
    transitions = np.einsum("vax,wby->vwabxy", going, going).reshape(len(records), 2, 2, len(records))
    offered = {}
    for count in range(model.warnings, model.records + 1):
        fine = np.zeros_like(rewards)
        for state, (own, other) in enumerate(records):
            fine[0, state] -= (own == count) * taken[:, None]
            fine[1, state] -= (other == count) * taken[None, :]
        offered[f"fine_after_{count}"] = fine
    names = tuple(stage.actions)
    return tables(
        rewards, transitions, discount=model.discount, instruments=kept(model, offered), agents=("first", "second"),
        states=tuple(f"records {own} and {other}" for own, other in records), actions=(names, names),
    )  # fmt: skip


def next_record(count: int, taken: np.ndarray, forgiven: float) -> np.ndarray:
    """The probability [v, A, v] of the next record: one more when taken for a defector, up to the last, else wiped out or as it was."""
    going = np.zeros((count, len(taken), count))
    for record in range(count):
        going[record, :, min(record + 1, count - 1)] += taken
        going[record, :, record] += (1 - taken) * (1 - forgiven)
        going[record, :, 0] += (1 - taken) * forgiven
    return going
