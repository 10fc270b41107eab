"""What a feasible decision is, one function for each kind of problem: given (problem, env, decision), it asserts.

`FEASIBLE` is the one place where a new domain says it; the laws in `test_rules_and_responses.py` hold every rule to it.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.optimize import linprog

ROUNDING = 1e-5  # float32 sums of a few numbers of size one


def feasible_auction(problem, env, decision):
    """Probabilities; no item given more than once; a bidder who wants one thing gets at most one."""
    given = np.asarray(decision.allocation)
    assert given.min() >= 0
    assert given.max() <= 1 + ROUNDING
    if problem.valuation == "combinatorial":
        assert (given[..., [0, 2]].sum((-1, -2)) <= 1 + ROUNDING).all()
        assert (given[..., [1, 2]].sum((-1, -2)) <= 1 + ROUNDING).all()
        for shares in given.reshape(-1, *given.shape[-2:])[:8]:
            assert lottery_exists(shares)
    else:
        assert (given.sum(-2) <= 1 + ROUNDING).all()
    if problem.valuation != "additive":
        assert (given.sum(-1) <= 1 + ROUNDING).all()


def lottery_exists(shares):
    """Whether bundle shares [N, 3] are the marginals of a lottery over who owns each of two items: a linear programme."""
    agents = len(shares)
    pairs = list(itertools.product(range(agents + 1), repeat=2))
    rows = []
    for i in range(agents):
        rows += [[a == i and b != i for a, b in pairs], [a != i and b == i for a, b in pairs], [a == i and b == i for a, b in pairs]]
    equal = np.array([*rows, [True] * len(pairs)], float)
    right = np.append(shares.ravel(), 1.0)
    slack = np.hstack([equal, np.eye(len(right)), -np.eye(len(right))])  # the misfit is minimised: rounding leaves a little
    cost = np.append(np.zeros(len(pairs)), np.ones(2 * len(right)))
    return linprog(cost, A_eq=slack, b_eq=right).fun < ROUNDING


def test_the_limits_of_the_paper_alone_admit_shares_that_no_lottery_has():
    """Half of {1} and half of {2} for one bidder beside half of {1, 2} for the other keeps every marginal limit."""
    assert not lottery_exists(np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 0.5]]))
    assert lottery_exists(np.array([[0.5, 0.0, 0.0], [0.0, 0.5, 0.5]]))


def feasible_persuasion(problem, env, decision):
    """In every state the recommendations are a distribution, and the beliefs after each are one too."""
    signal = np.asarray(decision.signal)
    assert signal.min() >= 0
    np.testing.assert_allclose(signal.sum(-1), 1.0, atol=ROUNDING)
    np.testing.assert_allclose(np.asarray(decision.posterior).sum(0), 1.0, atol=ROUNDING)


def feasible_contract(problem, env, decision):
    """Nobody pays in under limited liability."""
    paid = np.asarray(decision)
    assert paid.shape == (problem.types, problem.outcomes)
    assert paid.min() >= 0 or not problem.limited_liability


def feasible_screening(problem, env, decision):
    """No type gets less than nothing, or more than the best type's efficient quantity."""
    quantity = np.asarray(decision.quantity)
    assert quantity.min() >= 0
    assert quantity.max() <= problem.top * (1 + ROUNDING)


def feasible_warranty(problem, env, decision):
    """The buyer's payments are never negative, and the deposit no less than what was agreed."""
    assert min(np.asarray(decision.lump_sum).min(), np.asarray(decision.deferred).min()) >= 0
    assert problem.min_deposit is None or np.asarray(decision.deposit).min() >= problem.min_deposit - ROUNDING


def feasible_relational(problem, env, decision):
    """A bonus is never negative."""
    assert np.asarray(decision.bonus).min() >= 0


def feasible_effort(problem, env, decision):
    """What cannot be measured is not paid for."""
    slopes = np.asarray(decision.slopes)
    assert (slopes * (1 - np.asarray(env.measured)) == 0).all()


def feasible_reputation(problem, env, decision):
    """No incentive is below the least that the terms allow."""
    incentive = np.asarray(getattr(decision, "incentive", decision))
    assert problem.terms.least is None or incentive.min() >= problem.terms.least - ROUNDING


def feasible_contract_family(problem, env, decision):
    """Nobody pays in, and targets have probabilities."""
    assert np.asarray(decision.payments).min() >= 0
    np.testing.assert_allclose(np.asarray(decision.share).sum(-1), 1.0, atol=ROUNDING)


def feasible_persuasion_dynamic(problem, env, decision):
    """After every history the recommendations are a distribution, so are beliefs, and in every period something is recommended."""
    signal, joint = np.asarray(decision.signal), np.asarray(decision.joint)
    assert signal.min() >= 0
    np.testing.assert_allclose(signal.sum(-1), 1.0, atol=ROUNDING)
    np.testing.assert_allclose(np.asarray(decision.posterior).sum(-1), 1.0, atol=ROUNDING)
    np.testing.assert_allclose([joint[period].sum() for period in problem.tree.periods], 1.0, atol=ROUNDING)


def feasible_persuasion_markov(problem, env, decision):
    """For every outcome the recommendations are a distribution, so are beliefs, and the process is always somewhere."""
    signal = np.asarray(decision.signal)
    assert signal.min() >= 0
    np.testing.assert_allclose(signal.sum(-1), 1.0, atol=ROUNDING)
    np.testing.assert_allclose(np.asarray(decision.posterior).sum(-1), 1.0, atol=ROUNDING)
    np.testing.assert_allclose(np.asarray(decision.occupancy).sum(), 1.0, atol=ROUNDING)


def feasible_persuasion_continuous(problem, env, decision):
    """In every cell the messages are a distribution, and the posterior means average to the prior's."""
    signal, mass = np.asarray(decision.signal), np.asarray(decision.joint).sum(0)
    assert signal.min() >= 0
    np.testing.assert_allclose(signal.sum(-1), 1.0, atol=ROUNDING)
    np.testing.assert_allclose(mass @ np.asarray(decision.mean), env.mass @ env.mean, atol=ROUNDING)


def feasible_persuasion_gaussian(problem, env, decision):
    """Of no direction of the state is less told than nothing, or more than all."""
    shares = np.linalg.eigvalsh(np.asarray(decision.told))
    assert shares.min() >= -ROUNDING
    assert shares.max() <= 1 + ROUNDING


def feasible_persuasion_many(problem, env, decision):
    """In every state the recommendations are a distribution, and each receiver hears one of them."""
    signal, heard = np.asarray(decision.signal), np.asarray(problem.weight(env, None, decision))
    assert min(signal.min(), heard.min()) >= -ROUNDING
    np.testing.assert_allclose(signal.sum(-1), 1.0, atol=ROUNDING)
    np.testing.assert_allclose(heard.sum(0), 1.0, atol=ROUNDING)


def feasible_persuasion_actions(problem, env, decision):
    """A type is recommended no more often than there is an action of it, and types' probabilities sum to one."""
    recommended = np.asarray(decision.recommended)
    assert recommended.min() >= 0
    assert (recommended <= 1 - (1 - env.probabilities) ** problem.count + ROUNDING).all()
    np.testing.assert_allclose([recommended.sum(), np.asarray(decision.another).sum()], 1.0, atol=ROUNDING)


def feasible_attributes(problem, env, decision):
    """No level is negative, and together they are within the budget."""
    assert np.asarray(decision).min() >= 0
    assert np.asarray(decision).sum() <= env.budget * (1 + ROUNDING)


def feasible_markov_mechanism(problem, env, decision):
    """For every profile of types that is reported, all together have what the best policy for it gives them."""
    had, best = (np.asarray(each.fixed + env.profiles * each.scaled).sum(-1) for each in (decision, env))
    np.testing.assert_allclose(had, best, rtol=ROUNDING)


def feasible_persuasion_family(problem, env, decision):
    """In every state of every game the recommendations are a distribution, and multipliers are never negative."""
    signal = np.asarray(decision.told.signal)
    assert signal.min() >= 0
    np.testing.assert_allclose(signal.sum(-1), 1.0, atol=ROUNDING)
    assert np.asarray(decision.told.multiplier).min() >= 0


def feasible_cut_and_choose(problem, env, decision):
    """The lot has a probability, and nobody gets less than nothing of any cut."""
    assert 0 <= float(decision.cutter_first) <= 1
    assert env.first.min() >= 0
    assert env.second.min() >= 0


def feasible_cake(problem, env, decision):
    """All of each piece is given away, and no less than nothing to anybody."""
    shares = np.asarray(decision.shares)
    assert shares.min() >= 0
    np.testing.assert_allclose(shares.sum(-2), 1.0, atol=ROUNDING)


def feasible_game(problem, env, decision):
    """A changed game is a game: whatever is done, there is a next state, something is seen, and it starts somewhere."""
    np.testing.assert_allclose(np.asarray(decision.transitions).sum(-1), 1.0, atol=ROUNDING)
    np.testing.assert_allclose(np.asarray(decision.observation).sum(-1), 1.0, atol=ROUNDING)
    np.testing.assert_allclose(np.asarray(decision.start).sum(), 1.0, atol=ROUNDING)
    assert min(np.asarray(each).min() for each in (decision.transitions, decision.observation, decision.start)) >= 0


def feasible_commons(problem, env, decision):
    """Quotas are shares of what agents could harvest, and of nobody's payoff more is taken than there is."""
    quota = np.asarray(decision.quota)
    assert quota.min() > 0
    assert quota.max() <= 1 + ROUNDING
    assert 0 < float(decision.kept) <= 1
    assert decision.tax.shape in {(1,), (problem.agents,)}


def feasible_population(problem, env, decision):
    """One subsidy; that what it pays is raised from all is in the fitness."""
    assert np.asarray(decision).shape == ()


def feasible_market(problem, env, decision):
    """Nobody has less than nothing of a good, and together they have all there is."""
    moved = np.asarray(decision)
    assert moved.min() >= 0
    np.testing.assert_allclose(moved.sum(0), np.asarray(env.endowments).sum(0), rtol=ROUNDING)


def feasible_tax(problem, env, decision):
    """No unit of income is taken whole, and brackets are in order."""
    assert np.asarray(decision.rates).max() < 1
    assert (np.diff(np.append(0.0, np.asarray(decision.thresholds))) > 0).all()


def feasible_tax_mechanism(problem, env, decision):
    """Incomes rise with the skill reported, and what is consumed and spent has been earned."""
    income, consumption = np.asarray(decision.income), np.asarray(decision.consumption)
    assert (np.diff(np.append(0.0, income)) >= 0).all()
    np.testing.assert_allclose(env.share @ (income - consumption), env.requirement, atol=ROUNDING)


def feasible_redistribution(problem, env, decision):
    """As many get a unit as there are units, each a whole one."""
    given = np.asarray(decision.allocation)
    assert set(np.unique(given)) <= {0.0, 1.0}
    assert (given.sum((-2, -1)) == problem.units).all()


def feasible_cost_sharing(problem, env, decision):
    """Agents are served with probabilities, and nobody is paid for being served."""
    served, paid = np.asarray(decision.allocation), np.asarray(decision.payment)
    assert served.min() >= 0
    assert served.max() <= 1
    assert paid.min() >= 0


def feasible_facility(problem, env, decision):
    """A lottery over placements, in none of which a facility stands beyond the ends of the line."""
    chance, places = np.asarray(decision.chance), np.asarray(decision.places)
    low, high = (np.asarray(bound) for bound in env.prior.support())
    assert chance.min() >= 0
    np.testing.assert_allclose(chance.sum(-1), 1.0, atol=ROUNDING)
    assert places.min() >= low.min() - ROUNDING
    assert places.max() <= high.max() + ROUNDING


def feasible_voting(problem, env, decision):
    """A lottery over alternatives."""
    lottery = np.asarray(decision)
    assert lottery.min() >= 0
    np.testing.assert_allclose(lottery.sum(-1), 1.0, atol=ROUNDING)


def feasible_matching(problem, env, decision):
    """Probabilities; nobody is matched more than once."""
    matched = np.asarray(decision.probability)
    assert matched.min() >= 0
    assert max(matched.sum(-1).max(), matched.sum(-2).max()) <= 1 + ROUNDING


FEASIBLE = {
    "matching": feasible_matching,
    "facility": feasible_facility, "voting": feasible_voting,
    "redistribution": feasible_redistribution, "cost_sharing": feasible_cost_sharing,
    "tax": feasible_tax, "tax_mechanism": feasible_tax_mechanism,
    "commons": feasible_commons, "population": feasible_population, "market": feasible_market,
    "game": feasible_game, "informed_game": feasible_game, "mediated_game": feasible_game,
    "attributes": feasible_attributes, "markov_mechanism": feasible_markov_mechanism,
    "cut_and_choose": feasible_cut_and_choose, "cake": feasible_cake, "cake_family": feasible_cake,
    "persuasion_family": feasible_persuasion_family,
    "persuasion_actions": feasible_persuasion_actions, "persuasion_many": feasible_persuasion_many,
    "persuasion_continuous": feasible_persuasion_continuous, "persuasion_gaussian": feasible_persuasion_gaussian,
    "persuasion_dynamic": feasible_persuasion_dynamic, "persuasion_markov": feasible_persuasion_markov,
    "auction": feasible_auction, "contract": feasible_contract, "contract_family": feasible_contract_family, "effort": feasible_effort,
    "persuasion": feasible_persuasion, "relational": feasible_relational, "reputation": feasible_reputation,
    "screening": feasible_screening, "warranty": feasible_warranty,
}  # fmt: skip
