"""Tabular Markov games solved exactly in float64: values, best responses, regrets, the planner's optimum, every pure equilibrium.

Shapley (1953) and Fink (1964) for the games; Howard's policy iteration (1960) for one agent against fixed others; Maskin and Tirole
(2001) for Markov-perfect equilibrium. A game is arrays: rewards [N, S, A1, …, AN]; transitions [S, A1, …, AN, S]; start [S]; a
discount in [0, 1); and, where given, legal [N, S, A], true where an action may be chosen (A is the largest number of actions; agents
with fewer are padded), and observation [N, S, Z], the probability that agent i sees z in state s. Without `observation` the state is seen.

A profile is policies [N, Z, A], a distribution over actions at each thing seen. It remembers nothing. Values are discounted sums, not
normalised: a reward of 1 for ever is worth 1/(1 − discount). Payoffs are compared up to `TIE` times the largest reward, so an agent
that is indifferent counts as best-responding.

    values = evaluate(rewards, transitions, 0.9, policies)                       # [N, S]
    policy, value = best_response(rewards, transitions, start, 0.9, policies, 0)
    pure_equilibria(rewards, transitions, start, 0.9)                            # list of policies [N, S, A]
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from icsap_jax.exact import nash
from icsap_jax.exact.nash import pure_nash

TIE = 1e-9  # of the largest reward: far above rounding, far below what anybody would call a gain
_ROUNDING = 32 * np.finfo(np.float64).eps  # of values, before the linear solve magnifies it by up to 1/(1 − discount)
_MOST_REPLIES = 20_000  # pure memoryless policies that are tried for one best response
_MOST_PROFILES = 1_000_000  # profiles, or games against fixed others, that are looked at in one call
_BLOCK = 2_000_000  # numbers held at a time


def acting(policies: np.ndarray, observation: np.ndarray | None = None) -> np.ndarray:
    """What agents do in each state [N, S, A]: `policies` [N, Z, A] averaged over what they see there."""
    policies = np.asarray(policies, dtype=np.float64)
    return policies if observation is None else np.einsum("nsz,nza->nsa", np.asarray(observation, dtype=np.float64), policies)


def joint(policies: np.ndarray, actions: tuple[int, ...], observation: np.ndarray | None = None) -> np.ndarray:
    """The probability [S, A1, …, AN] of each joint action in each state; `actions` (A1, …, AN), how many each agent has."""
    chances = acting(policies, observation)
    if chances.shape[0] != len(actions):
        raise ValueError(f"{chances.shape[0]} policies for {len(actions)} agents: one policy [Z, A] for each agent is needed.")
    together = np.ones(chances.shape[1])
    for agent, count in enumerate(actions):
        if np.any(chances[agent, :, count:] > 0):
            raise ValueError(f"The policy of agent {agent} uses an action it does not have: it has {count}.")
        together = together[..., None] * chances[agent, :, :count].reshape(-1, *[1] * agent, count)
    return together


def evaluate(
    rewards: np.ndarray, transitions: np.ndarray, discount: float, policies: np.ndarray, observation: np.ndarray | None = None
) -> np.ndarray:
    """The value [N, S] of every state to every agent when all follow `policies`."""
    flow, chain = _chain(rewards, transitions, policies, observation)
    return np.linalg.solve(np.eye(len(chain)) - discount * chain, flow.T).T


def occupancy(
    transitions: np.ndarray, start: np.ndarray, discount: float, policies: np.ndarray, observation: np.ndarray | None = None
) -> np.ndarray:
    """The share [S] of discounted time spent in each state from `start`: (1 − γ) Σ_t γ^t P(s_t = s). It sums to 1."""
    transitions = np.asarray(transitions, dtype=np.float64)
    _, chain = _chain(np.zeros((1, *transitions.shape[:-1])), transitions, policies, observation)
    return (1 - discount) * np.linalg.solve((np.eye(len(chain)) - discount * chain).T, np.asarray(start, dtype=np.float64))


def best_response(
    rewards: np.ndarray,
    transitions: np.ndarray,
    start: np.ndarray,
    discount: float,
    policies: np.ndarray,
    agent: int,
    legal: np.ndarray | None = None,
    observation: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A pure best policy [Z, A] of `agent` against the others' `policies`, and its value [S].

    Where every thing seen tells the state, this is the optimum of the agent's own decision process by policy iteration, best in every
    state at once. Where it does not, the best pure memoryless policy from `start`: by the posterior at each thing seen where the
    discount is 0, else by trying every one, of which there may be 20 000. That is the best among pure memoryless policies: with a
    discount above 0 one that randomises or remembers may do better (Singh, Jaakkola and Jordan 1994). Where observations are coarser
    than the state, an action is legal at a thing seen if it is legal in every state that may look so. ValueError beyond the limit.
    """
    gains, moves = process(rewards, transitions, policies, agent, observation)
    allowed, width = _legal(legal, agent, gains.shape), np.shape(policies)[-1]
    kernel = np.eye(len(gains)) if observation is None else np.asarray(observation, dtype=np.float64)[agent]
    if _tells_the_state(kernel):
        choice, values = _policy_iteration(gains[None], moves[None], allowed, discount)
        return _pure(choice[0][kernel.argmax(0)], width), values[0]
    seen, start = _legal_when_seen(allowed, kernel), np.asarray(start, dtype=np.float64)
    if discount == 0:
        best = np.where(seen, np.einsum("s,sz,sa->za", start, kernel, gains), -np.inf).argmax(1)
    else:
        count = prod(int(row.sum()) for row in seen)
        if count > _MOST_REPLIES:
            raise ValueError(f"Agent {agent} does not see the state and has {count:,} pure policies: at most {_MOST_REPLIES:,} are tried.")
        payoffs, own = strategic_form(gains[None], moves, start, discount, allowed[None], kernel[None])
        best = own[0][payoffs[0].argmax()]
    return _pure(best, width), evaluate(gains[None], moves, discount, _pure(best, gains.shape[1])[None], kernel[None])[0]


def regret(
    rewards: np.ndarray,
    transitions: np.ndarray,
    start: np.ndarray,
    discount: float,
    policies: np.ndarray,
    legal: np.ndarray | None = None,
    observation: np.ndarray | None = None,
) -> np.ndarray:
    """What each agent [N] gains from `start` by its best response to the others, at least 0; all 0 at an equilibrium from the start.

    The response is that of `best_response`: where the state is not seen, only pure memoryless policies are tried.
    """
    start = np.asarray(start, dtype=np.float64)
    now = evaluate(rewards, transitions, discount, policies, observation) @ start
    best = [best_response(rewards, transitions, start, discount, policies, i, legal, observation)[1] @ start for i in range(len(now))]
    return np.maximum(np.array(best) - now, 0.0)


def planner(
    rewards: np.ndarray,
    transitions: np.ndarray,
    start: np.ndarray,
    discount: float,
    legal: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The joint pure policy that is best for all together, as a profile [N, S, A], and its values [N, S].

    It sees the state and maximises Σ_i weights_i v_i in every state at once, so that `start` does not matter; weights of 1 where none are
    given, 0 leaving an agent out. Of equally good joint actions policy iteration keeps the one it came to first.
    """
    rewards, transitions = np.asarray(rewards, dtype=np.float64), np.asarray(transitions, dtype=np.float64)
    agents, states, actions = rewards.shape[0], rewards.shape[1], rewards.shape[2:]
    shares = np.ones(agents) if weights is None else np.asarray(weights, dtype=np.float64)
    gains = np.einsum("n,n...->...", shares, rewards).reshape(states, -1)
    allowed = np.ones((states, 1), dtype=bool)
    for agent, count in enumerate(actions):
        allowed = (allowed[:, :, None] & _legal(legal, agent, (states, count))[:, None, :]).reshape(states, -1)
    choice, _ = _policy_iteration(gains[None], transitions.reshape(states, -1, states)[None], allowed, discount)
    profile = np.stack([_pure(own, max(actions)) for own in np.unravel_index(choice[0], actions)])
    return profile, evaluate(rewards, transitions, discount, profile)


def pure_policies(legal: np.ndarray) -> np.ndarray:
    """All pure stationary policies [K, Z] of an agent, the action at each thing seen, in lexicographic order; `legal` [Z, A]."""
    allowed = np.asarray(legal, dtype=bool)
    if not allowed.any(1).all():
        raise ValueError(f"No action is legal at {int(np.argmin(allowed.any(1)))}: at least one must be.")
    _refuse(prod(int(row.sum()) for row in allowed), "pure policies of one agent")
    return _combinations(allowed[None])[1]


def pure_equilibria(
    rewards: np.ndarray,
    transitions: np.ndarray,
    start: np.ndarray,
    discount: float,
    legal: np.ndarray | None = None,
    observation: np.ndarray | None = None,
    perfect: bool = True,
    tolerance: float = TIE,
) -> list[np.ndarray]:
    """Every pure stationary equilibrium, as profiles [N, Z, A], ordered by the agents' policies, lowest actions first.

    `perfect`: each agent's policy is a best response in every state, reached or not (Markov-perfect; the state must be seen).
    Otherwise a best response from `start` among pure memoryless policies, whatever is done where play never comes: the pure Nash
    equilibria of the game in which policies are chosen once. Against pure memoryless policies in a state that is seen nothing is
    better than a pure memoryless policy, so there both are equilibria among all policies. ValueError where there are too many profiles.
    """
    widest = max(np.shape(rewards)[2:])
    if not perfect:
        payoffs, own = strategic_form(rewards, transitions, start, discount, legal, observation)
        found = pure_nash(payoffs, tolerance * _size(rewards) / (1 - discount))
        return [np.stack([_pure(own[i][k], widest) for i, k in enumerate(cell)]) for cell in found]
    agents, states = np.shape(rewards)[:2]
    kernels = np.broadcast_to(np.eye(states), (agents, states, states)) if observation is None else np.asarray(observation)
    if not all(_tells_the_state(kernel) for kernel in kernels):
        raise ValueError("A Markov-perfect equilibrium needs the state to be seen: ask for equilibria from the start (perfect=False).")
    rewards, transitions = np.asarray(rewards, dtype=np.float64), np.asarray(transitions, dtype=np.float64)
    found = _perfect(rewards, transitions, discount, legal, tolerance * _size(rewards))
    return [np.stack([_pure(own[kernels[i].argmax(0)], widest) for i, own in enumerate(profile)]) for profile in found]


def least_scale(
    rewards: np.ndarray,
    basis: np.ndarray,
    transitions: np.ndarray,
    start: np.ndarray,
    discount: float,
    target: np.ndarray,
    level: str,
    legal: np.ndarray | None = None,
    observation: np.ndarray | None = None,
    perfect: bool = True,
) -> float:
    """The smallest τ ≥ 0 at which rewards + τ·basis make `target`, a pure profile [N, Z, A], a "nash", "unique" or "dominant" equilibrium.

    Exact: values are linear in τ for given policies; see `nash.least_scale`. `basis` [N, S, A1, …, AN]: a tax on an action is −1
    where it is taken. `perfect`: in every state; otherwise from `start`. ValueError where there are too many pure profiles.
    """
    states = len(np.asarray(transitions))
    starts = np.eye(states) if perfect else np.asarray(start, dtype=np.float64)[None]
    payoffs, own = strategic_form(rewards, transitions, starts, discount, legal, observation)
    slopes, _ = strategic_form(basis, transitions, starts, discount, legal, observation)
    actions = np.asarray(target).argmax(-1)
    among = [np.flatnonzero((policies == wanted).all(1)) for policies, wanted in zip(own, actions, strict=True)]
    if not all(len(found) for found in among):
        raise ValueError("The target must be a pure profile of legal actions, the first action at what is never seen.")
    merged = (-1, *payoffs.shape[2:])
    owners = np.repeat(np.arange(len(payoffs)), len(starts))
    return nash.least_scale(payoffs.reshape(merged), slopes.reshape(merged), [int(found[0]) for found in among], level, owners.tolist())


def strategic_form(
    rewards: np.ndarray,
    transitions: np.ndarray,
    start: np.ndarray,
    discount: float,
    legal: np.ndarray | None = None,
    observation: np.ndarray | None = None,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The game in which each agent chooses a pure memoryless policy once: payoffs [N, …, K1, …, KN] from `start` […, S], and the
    policies [K, Z] of each agent, in the order of `pure_policies`."""
    rewards, transitions = np.asarray(rewards, dtype=np.float64), np.asarray(transitions, dtype=np.float64)
    start = np.asarray(start, dtype=np.float64)
    agents, states, actions = rewards.shape[0], rewards.shape[1], rewards.shape[2:]
    kernel = np.broadcast_to(np.eye(states), (agents, states, states)) if observation is None else np.asarray(observation, dtype=np.float64)
    own = [pure_policies(_legal_when_seen(_legal(legal, i, (states, actions[i])), kernel[i])) for i in range(agents)]
    shape = tuple(len(policies) for policies in own)
    _refuse(prod(shape) * (start.size // states), "pure profiles")
    flat, moves = rewards.reshape(agents, states, -1), transitions.reshape(states, -1, states)
    payoffs = np.empty((agents, start.size // states, prod(shape)))
    for block in _blocks(prod(shape), states * (prod(actions) + states)):
        together = np.ones((len(block), states, 1))
        for i, k in enumerate(np.unravel_index(block, shape)):
            chances = np.einsum("sz,kza->ksa", kernel[i], _pure(own[i][k], actions[i]))
            together = (together[..., :, None] * chances[..., None, :]).reshape(len(block), states, -1)
        chain = np.einsum("ksj,sjt->kst", together, moves, optimize=True)
        flow = np.einsum("ksj,nsj->ksn", together, flat, optimize=True)
        values = np.linalg.solve(np.eye(states) - discount * chain, flow)
        payoffs[:, :, block] = np.einsum("ms,ksn->nmk", start.reshape(-1, states), values, optimize=True)
    return payoffs.reshape(agents, *start.shape[:-1], *shape), own


def process(
    rewards: np.ndarray, transitions: np.ndarray, policies: np.ndarray, agent: int, observation: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The decision process an agent faces while the others follow `policies`: its rewards [S, A] and transitions [S, A, S]."""
    chances = acting(policies, observation)
    gains, moves = np.asarray(rewards[agent], dtype=np.float64), np.asarray(transitions, dtype=np.float64)
    for other in reversed(range(len(chances))):
        if other != agent:
            own = chances[other, :, : np.shape(transitions)[1 + other]]
            gains = np.einsum("sa...,sa->s...", np.moveaxis(gains, 1 + other, 1), own)
            moves = np.einsum("sa...,sa->s...", np.moveaxis(moves, 1 + other, 1), own)
    return gains, moves


def _perfect(rewards: np.ndarray, transitions: np.ndarray, discount: float, legal: np.ndarray | None, tie: float) -> np.ndarray:
    """Every pure profile [N, S] of actions, one after the other, in which no other action gains an agent more than `tie` in any state.

    The agent with most policies best-responds to each profile of the others, which leaves few candidates; those the others then check.
    """
    agents, states, actions = rewards.shape[0], rewards.shape[1], rewards.shape[2:]
    allowed = [_legal(legal, i, (states, actions[i])) for i in range(agents)]
    own = [pure_policies(mask) for mask in allowed]
    lead = max(range(agents), key=lambda i: len(own[i]))
    others = [i for i in range(agents) if i != lead]
    shape = tuple(len(own[i]) for i in others)
    _refuse(prod(shape), "profiles of the other agents")
    candidates: list[np.ndarray] = []
    for block in _blocks(prod(shape), states * actions[lead] * states):
        faced = np.zeros((len(block), agents, states), dtype=int)
        for i, k in zip(others, np.unravel_index(block, shape) if others else (), strict=True):
            faced[:, i] = own[i][k]
        gains, moves = _facing(rewards[lead], lead, faced), _facing(transitions, lead, faced)
        choice, values = _policy_iteration(gains, moves, allowed[lead], discount)
        best = _worth(gains, moves, values, allowed[lead], discount) >= values[..., None] - tie
        np.put_along_axis(best, choice[..., None], True, 2)
        _refuse(sum(map(len, candidates)) + best.sum(2, dtype=float).prod(1).sum(), "profiles between which an agent is indifferent")
        which, replies = _combinations(best)
        candidates.append(faced[which])
        candidates[-1][:, lead] = replies
    profiles = np.concatenate(candidates)
    for i in others:
        content = np.ones(len(profiles), dtype=bool)
        for block in _blocks(len(profiles), states * actions[i] * states):
            gains, moves = _facing(rewards[i], i, profiles[block]), _facing(transitions, i, profiles[block])
            values = _follow(gains, moves, profiles[block, i], discount)
            content[block] = np.all(_worth(gains, moves, values, allowed[i], discount).max(2) <= values + tie, 1)
        profiles = profiles[content]
    return profiles[np.lexsort(profiles.reshape(len(profiles), agents * states).T[::-1])]


def _combinations(allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every choice of one allowed action in each state, for each row of `allowed` [K, S, A]: rows [C] and choices [C, S], the last
    state's action changing first."""
    counts, order = allowed.sum(2), np.argsort(~allowed, axis=2, kind="stable")
    each = counts.prod(1)
    which = np.repeat(np.arange(len(each)), each)
    rank = np.arange(len(which)) - np.repeat(each.cumsum() - each, each)
    chosen = np.empty((len(which), allowed.shape[1]), dtype=int)
    for state in reversed(range(allowed.shape[1])):
        rank, digit = np.divmod(rank, counts[which, state])
        chosen[:, state] = order[which, state, digit]
    return which, chosen


def _facing(table: np.ndarray, agent: int, faced: np.ndarray) -> np.ndarray:
    """`table` [S, A1, …, AN, …] by the own action of `agent` while the others play `faced` [K, N, S]: [K, S, A, …]."""
    others = [faced[:, i] for i in range(faced.shape[1]) if i != agent]
    every = np.broadcast_to(np.arange(table.shape[0]), (len(faced), table.shape[0]))
    # The own axis goes behind the others', so that the indexed axes stand together in front.
    return np.moveaxis(table, 1 + agent, faced.shape[1])[every, *others]


def _worth(gains: np.ndarray, moves: np.ndarray, values: np.ndarray, allowed: np.ndarray, discount: float) -> np.ndarray:
    """What each action is worth [K, S, A] where `values` [K, S] follow; −∞ where it is not allowed."""
    return np.where(allowed, gains + discount * np.einsum("ksat,kt->ksa", moves, values), -np.inf)


def _policy_iteration(gains: np.ndarray, moves: np.ndarray, allowed: np.ndarray, discount: float) -> tuple[np.ndarray, np.ndarray]:
    """Optimal actions [K, S] and values [K, S] of K decision processes: gains [K, S, A], moves [K, S, A, S], `allowed` [S, A]."""
    choice = np.where(allowed, gains, -np.inf).argmax(2)
    before = np.full(len(gains), -np.inf)
    while True:
        values = _follow(gains, moves, choice, discount)
        worth = _worth(gains, moves, values, allowed, discount)
        rounding = _ROUNDING / (1 - discount) * (np.abs(gains).max((1, 2)) + np.abs(values).max(1))
        # Every step raises the sum of values; where it no longer does, what looks better is rounding, and would go round for ever.
        better = (worth.max(2) > values + rounding[:, None]) & (values.sum(1) > before)[:, None]
        if not better.any():
            return choice, values
        choice, before = np.where(better, worth.argmax(2), choice), values.sum(1)


def _follow(gains: np.ndarray, moves: np.ndarray, choice: np.ndarray, discount: float) -> np.ndarray:
    """The values [K, S] of the pure policies `choice` [K, S]."""
    flow = np.take_along_axis(gains, choice[..., None], 2)
    chain = np.take_along_axis(moves, choice[..., None, None], 2)[:, :, 0]
    return np.linalg.solve(np.eye(chain.shape[-1]) - discount * chain, flow)[..., 0]


def _chain(
    rewards: np.ndarray, transitions: np.ndarray, policies: np.ndarray, observation: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The rewards [N, S] and the Markov chain [S, S] under `policies`."""
    rewards, transitions = np.asarray(rewards, dtype=np.float64), np.asarray(transitions, dtype=np.float64)
    states = transitions.shape[0]
    chances = joint(policies, transitions.shape[1:-1], observation).reshape(states, -1)
    return np.einsum("sj,nsj->ns", chances, rewards.reshape(len(rewards), states, -1)), np.einsum(
        "sj,sjt->st", chances, transitions.reshape(states, -1, states)
    )


def _legal(legal: np.ndarray | None, agent: int, shape: tuple[int, ...]) -> np.ndarray:
    """The actions the agent may choose in each state [S, A], without padding."""
    allowed = np.ones(shape, dtype=bool) if legal is None else np.asarray(legal, dtype=bool)[agent, :, : shape[1]]
    if not allowed.any(1).all():
        raise ValueError(f"Agent {agent} has no legal action in state {int(np.argmin(allowed.any(1)))}: it needs at least one.")
    return allowed


def _legal_when_seen(allowed: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The actions [Z, A] that are legal in every state that may look so; anything where nothing looks so would do: the first."""
    seen = ~np.einsum("sz,sa->za", kernel > 0, ~allowed)
    seen[~(kernel > 0).any(0), 1:] = False
    return seen


def _pure(actions: np.ndarray, count: int) -> np.ndarray:
    """Actions […] as distributions […, A]."""
    return np.eye(count)[actions]


def _size(rewards: np.ndarray) -> float:
    """The size of rewards, in which ties are measured; 1 where all are 0."""
    return float(np.abs(rewards).max()) or 1.0


def _tells_the_state(kernel: np.ndarray) -> bool:
    """Whether nothing is seen in more than one state."""
    return bool(np.all((kernel > 0).sum(0) <= 1))


def _blocks(count: int, each: int) -> Iterator[np.ndarray]:
    """0 … count − 1 in blocks that hold at most about `_BLOCK` numbers, at `each` numbers apiece."""
    step = max(1, _BLOCK // max(each, 1))
    return (np.arange(low, min(low + step, count)) for low in range(0, count, step))


def _refuse(count: float, what: str) -> None:
    if count > _MOST_PROFILES:
        raise ValueError(f"There are {int(count):,} {what}, and at most {_MOST_PROFILES:,} are tried: fewer states or actions are needed.")
