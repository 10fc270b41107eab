"""A matching as a table: a row of preference lists in, the probability of each pair out.

`worker1_choice1` is the number of the firm that worker 1 likes best, from 1 to n, `worker1_choice2` the next, and 0 says that nobody else
is acceptable; firms' likewise. Back come `worker1_firm2`, the probability that worker 1 and firm 2 are matched, and so on.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from icsap_jax.choice.matching import lists
from icsap_jax.choice.matching.problem import Matching, MatchingEnv

# row, column, what is wrong → the error to raise
Refuse = Callable[[int, str, str], Exception]


class Table:
    """The columns of a matching and what they mean."""

    def __init__(self, problem: Matching, env: MatchingEnv):
        self.size = problem.size
        numbers = range(1, self.size + 1)
        self.columns = [f"{side}{agent}_choice{place}" for side in lists.SIDES for agent in numbers for place in numbers]
        self.sizes = dict.fromkeys(self.columns, self.size + 1)
        self.output_columns = [f"worker{worker}_firm{firm}" for worker in numbers for firm in numbers]

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray, np.ndarray]:
        """What firms are worth to workers and workers to firms, [R, n, n] float32 each, by lists [R, columns]. Raises
        `refuse(row, column, text)` for the first list that is none."""
        chosen = numbers.astype(int).reshape(len(numbers), -1, self.size)
        worth = lists.values(self.size)
        found = np.zeros((len(numbers), 2 * self.size, self.size), np.float32)
        for row, profile in enumerate(chosen):
            for agent, choices in enumerate(profile):
                order: list[int] = []
                for place, choice in enumerate(choices):
                    column = self.columns[agent * self.size + place]
                    if choice and choice in order:
                        raise refuse(row, column, f"{choice} is named twice; name each once, and write 0 where nobody else is acceptable")
                    if choice and len(order) < place:
                        raise refuse(row, column, f"{choice} comes after a 0, which says that nobody else is acceptable")
                    order += [int(choice)] if choice else []
                found[row, agent] = worth[lists.number_of(tuple(partner - 1 for partner in order), self.size)]
        return found[:, : self.size], found[:, self.size :].swapaxes(1, 2)

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """The probabilities [R, n·n], float64."""
        (matched,) = answers.values()
        return np.asarray(matched, np.float64).reshape(len(numbers), -1)
