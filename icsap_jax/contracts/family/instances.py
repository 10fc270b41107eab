"""Random problems, one for each seed, by numpy's PCG64: the families on which learned contracts are compared with exact ones.

The order of the draws is the definition: a seed means the same problem everywhere.
"""

from __future__ import annotations

import numpy as np

from icsap_jax.contracts.tables import Tables


def hidden_action(seed: int, n: int, m: int, scale: float = 2.0, corr: float = 0.2, order: bool = True) -> Tables:
    """n actions, m outcomes. F is the softmax of `scale` times normal draws, by rows (sorted by what they bring, if `order`); rewards
    are 0 and sorted U[0, 10]; a part `corr` of a cost rises with what the action brings, the rest is independent; the first is 0."""
    random = np.random.default_rng(seed)
    rewards = np.sort(np.concatenate([[0.0], random.uniform(0.0, 10.0, m - 1)]))
    logits = scale * random.standard_normal((n, m))
    independent, related = random.uniform(0.0, 1.0, n), random.uniform(0.0, 1.0, n)
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    if order:
        probabilities = probabilities[np.argsort(probabilities @ rewards)]
    costs = corr * related * (probabilities @ rewards) + (1.0 - corr) * independent * rewards.mean()
    costs[0] = 0.0
    return Tables(probabilities, costs, rewards)


def typed(seed: int, types: int, n: int, m: int) -> Tables:
    """`types` types of n actions and m outcomes: rows Dirichlet(1) sorted by what they bring, costs 0 and sorted U[0, 3], rewards 0 and
    sorted U[0, 10], prior Dirichlet(1)."""
    random = np.random.default_rng(seed)
    rewards = np.sort(np.concatenate([[0.0], random.uniform(0.0, 10.0, m - 1)]))
    probabilities, costs = np.zeros((types, n, m)), np.zeros((types, n))
    for k in range(types):
        rows = random.dirichlet(np.ones(m), size=n)
        probabilities[k] = rows[np.argsort(rows @ rewards)]
        costs[k] = np.concatenate([[0.0], np.sort(random.uniform(0.0, 3.0, n - 1))])
    return Tables(probabilities, costs, rewards, type_prior=random.dirichlet(np.ones(types)))
