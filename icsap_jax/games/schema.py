"""What a problem file may say about a finite game and the rules that change it; no jax."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Kind, Numbers, Objective, OneOf, Problem, RuleModel, fault
from icsap_jax.games.tables import Tables, faults, mediated, signalled, tables

# What a named game has already.
OF_TABLES = {"rewards", "transitions", "start", "discount", "observation", "legal", "instruments", "tax_on", "agents", "states", "actions"}
MOST_ASKED = 20_000  # profiles at which a deviation is judged in each step of training


class NamedGame(Kind):
    """A game that has a name; `build()` gives its tables."""


class Society(Problem):
    """What all finite games have in common."""

    builder: ClassVar[Any] = "icsap_jax.games.build:build"
    judge: ClassVar[Any] = "icsap_jax.games.judge:judge"
    optimum: ClassVar[Any] = "icsap_jax.games.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.games.optimum:baselines"
    polish: ClassVar[Any] = "icsap_jax.games.polish:polish"
    details: ClassVar[Any] = "icsap_jax.games.judge:details"
    pictures: ClassVar[Any] = "icsap_jax.games.pictures:draw"
    listing: ClassVar[Any] = "icsap_jax.games.listing:listing"
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "payment"},
        "training": {"steps": 1000, "batch": 1, "learning_rate": 0.02, "decay": "cosine", "chunk": 50,
                     "response": {"kind": "equilibrium"}},
        "evaluation": {},
    }  # fmt: skip
    targets: ClassVar[bool] = False  # whether agents always have a target

    rewards: Numbers | None = Field(None, description="what each agent gets from the world, [agents, states, A1, …, AN]")
    transitions: Numbers | None = Field(None, description="[states, A1, …, AN, states]; left out: a state stays for ever")
    start: Numbers | None = Field(None, description="probability of each state at the start; left out: the first state")
    discount: float = Field(0.0, ge=0, lt=1, description="of the next period, below 1; 0: there is one period only")
    observation: Numbers | None = Field(
        None, description="probability of what is seen in each state: [states, seen], or [agents, states, seen]; left out: the state")
    legal: Numbers | None = Field(None, description="1 where an action may be chosen, [agents, seen, actions]; left out: all of them")
    instruments: dict[str, Numbers] = Field(
        default_factory=dict, description="payments by name that a rule may scale, each of the shape of the rewards")
    tax_on: list[int] | None = Field(
        None, description="actions, counted from 0: an instrument 'tax' that takes 1 from whoever chooses one of them")
    named: OneOf[NamedGame] | None = Field(None, description="a game that has a name, in place of tables")
    agents: list[str] | None = Field(None, description="their names")
    states: list[str] | None = Field(None, description="their names")
    actions: list[str] | list[list[str]] | None = Field(None, description="their names, for all agents or for each")
    seen: list[str] | None = Field(None, description="the names of what can be seen")
    objective: Objective | None = Field(None, description="a name, or weights by name; left out: welfare, or the designer's table alone")
    designer: Numbers | None = Field(None, description="what the designer gets itself, [states, A1, …, AN]")
    payment_cost: float = Field(0.0, ge=0, description="what the designer gives up for each unit of the largest payment its rule names")
    implementation: Literal["partial", "full", "unique"] | None = Field(
        None, description="partial: the target is an equilibrium; full: each agent's part is best whatever the others do; unique: no other "
                          "pure profile is an equilibrium; left out: agents do what they come to by themselves")  # fmt: skip
    target: Literal["welfare"] | list[Any] = Field(
        "welfare", description="what agents should do, for each agent the action at each thing seen, by name or place; welfare: what is "
                               "best for all together, or what a named game says")  # fmt: skip
    margin: float = Field(0.0, ge=0, description="by how much the target must be better, in discounted payoffs; 0: a tie is enough")

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """Where a target is recommended, deviations are found by enumeration and their gains are priced."""
        if problem.get("implementation") is None and not cls.targets:
            return cls.defaults
        training = {**cls.defaults["training"], "response": {"kind": "enumerate"},
                    "lagrangian": {"kind": "annealed", "multiplier": 2.0, "multiplier_end": 50.0}}
        return {**cls.defaults, "training": training}

    def tables(self) -> Tables:
        """The game as float64 arrays. Raises a fault where they do not fit each other."""
        if self.named is not None:
            for key in OF_TABLES & self.model_fields_set:
                if getattr(self, key) != type(self).model_fields[key].get_default(call_default_factory=True):
                    raise fault(([key], "should be left out where the game is a named one, which has its own", None))
            found = self.named.build()
        else:
            if self.rewards is None:
                raise fault((["rewards"], "is missing; write the rewards, or a named game", None))
            self._shapes()
            found = tables(
                self.rewards.values, None if self.transitions is None else self.transitions.values,
                None if self.start is None else self.start.values, self.discount,
                observation=None if self.observation is None else self.observation.values,
                legal=None if self.legal is None else self.legal.values, instruments=self._instruments(),
                agents=None if self.agents is None else tuple(self.agents), states=None if self.states is None else tuple(self.states),
                actions=self._actions(), seen=None if self.seen is None else tuple(self.seen),
            )  # fmt: skip
        return self.arranged(found)

    def arranged(self, given: Tables) -> Tables:
        """The game as agents meet it before there is a rule."""
        return given

    def _instruments(self) -> dict[str, np.ndarray]:
        found = {name: each.values for name, each in self.instruments.items()}
        if self.tax_on is not None and self.rewards is not None:
            sizes = self.rewards.shape[2:]
            tax = np.zeros(self.rewards.shape)
            for agent, size in enumerate(sizes):
                axes = [1] * len(sizes)
                axes[agent] = size
                tax[agent] -= np.isin(np.arange(size), self.tax_on).reshape(1, *axes)
            found["tax"] = tax
        return found

    def _actions(self) -> tuple[tuple[str, ...], ...] | None:
        if self.actions is None or self.rewards is None:
            return None
        each = self.actions if isinstance(self.actions[0], list) else [self.actions] * self.rewards.shape[0]
        return tuple(tuple(names) for names in each)

    def _shapes(self) -> None:
        """Raise a fault where an array has not the shape that the rewards give it."""
        shape = self.rewards.shape  # type: ignore[union-attr]
        if len(shape) < 3 or len(shape) != 2 + shape[0]:
            raise fault((["rewards"], f"has shape {list(shape)}; with {shape[0] if shape else 0} agents it should have an axis for the "
                                      "agents, one for the states and then one for the actions of each agent", None))
        count, places, sizes = shape[0], shape[1], shape[2:]
        wanted: dict[str, list[tuple[int, ...]]] = {"transitions": [(places, *sizes, places)], "start": [(places,)]}
        things = places
        if self.observation is not None:
            things = self.observation.shape[-1] if self.observation.ndim else 0
            wanted["observation"] = [(places, things), (count, places, things)]
        wanted |= {"legal": [(count, things, max(sizes))], "designer": [(places, *sizes)]}
        for key, shapes in wanted.items():
            given = getattr(self, key)
            if given is not None and given.shape not in shapes:
                right = " or ".join(str(list(each)) for each in shapes)
                raise fault(([key], f"has shape {list(given.shape)}; with rewards of shape {list(shape)} it should be {right}", None))
        for name, given in self.instruments.items():
            if given.shape != shape:
                raise fault((["instruments", name], f"has shape {list(given.shape)}; it should be that of rewards, {list(shape)}", None))
        for action in self.tax_on or []:
            if not 0 <= action < max(sizes):
                raise fault((["tax_on"], f"names action {action}; there are {max(sizes)}, counted from 0", self.tax_on))
        lengths = {"agents": count, "states": places, "seen": things}
        for key, length in lengths.items():
            if getattr(self, key) is not None and len(getattr(self, key)) != length:
                raise fault(([key], f"has {len(getattr(self, key))} names; there are {length}", getattr(self, key)))
        if self.actions is not None and [len(names) for names in self._actions() or ()] != list(sizes):
            raise fault((["actions"], f"should name {', '.join(map(str, sizes))} actions", self.actions))

    def choice(self, given: Tables) -> np.ndarray | None:
        """The target as action places [N, Z]; None where it is what is best for all. Raises a fault for one that is not there."""
        if isinstance(self.target, str):
            return given.target
        found = np.zeros(given.legal.shape[:2], int)
        if len(self.target) != len(given.agents):
            raise fault((["target"], f"has {len(self.target)} entries; there are {len(given.agents)} agents", self.target))
        for agent, row in enumerate(self.target):
            row = row if isinstance(row, list) else [row] * len(given.seen)
            if len(row) != len(given.seen):
                raise fault((["target", agent], f"has {len(row)} entries; {len(given.seen)} things can be seen", row))
            for thing, action in enumerate(row):
                names = given.actions[agent]
                place = names.index(action) if action in names else action
                if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(names):
                    raise fault((["target", agent], f"'{action}' is no action; {given.agents[agent]} has {', '.join(names)}", row))
                if not given.legal[agent, thing, place]:
                    raise fault((["target", agent], f"{names[place]} is not legal at {given.seen[thing]}", row))
                found[agent, thing] = place
        return found

    @model_validator(mode="after")
    def _fits(self) -> Society:
        given = self.tables()
        wrong = list(faults(given))
        if wrong:
            raise fault(*((keys, text, None) for keys, text in wrong))
        if self.designer is not None and self.designer.shape != given.rewards.shape[1:]:
            raise fault((["designer"], f"has shape {list(self.designer.shape)}; it should be {list(given.rewards.shape[1:])}", None))
        target = self.choice(given)
        if self.implementation is not None and target is None and not given.clear:
            raise fault((["target"], "should be written out where agents do not see the state", self.target))
        if self.implementation in ("full", "unique"):
            asked = self.asked(given)
            if asked > MOST_ASKED:
                raise fault((["implementation"], f"{self.implementation} asks about {asked} profiles of pure policies, and more than "
                                                 f"{MOST_ASKED} are too many; ask for partial", self.implementation))
        return self

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Each profile asked about costs a matrix of states × states, and a Newton step one of all unknowns."""
        given = self.tables()
        states, unknowns = len(given.states), given.legal.size + len(given.agents) * len(given.states)
        each = len(given.agents) * (given.rewards.size + states**2)
        return 16 * (given.transitions.size + states**2 + min(unknowns, 400) ** 2) + 8 * self.asked(given) * each

    def asked(self, given: Tables) -> int:
        """How many profiles of pure policies the implementation asks about."""
        pure = [math.prod(int(row.sum()) for row in rows) for rows in given.legal]
        whole = math.prod(pure)
        return {"full": sum(whole // own for own in pure), "unique": whole}.get(self.implementation or "", 1)


class TabularGame(Society):
    """Agents in a Markov game of finitely many states and actions, whose rules the designer may change by payments or by what happens
    when an action is chosen. One state and a discount of 0 make it a game in normal form; private observations at a discount of 0 a
    Bayesian game. What agents do is either a target, which the rule has to make worth their while (partial implementation: one
    equilibrium; full: the only one), or the logit equilibrium they come to by themselves."""

    kind: Literal["game"] = "game"
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "game", "rewards": [[[[3, 0], [4, 1]]], [[[3, 4], [0, 1]]]]},
        {"kind": "game", "rewards": [[[[3, 0], [4, 1]]], [[[3, 4], [0, 1]]]], "implementation": "full"},
    ]


class InformedGame(Society):
    """A game whose agents do not see the state but one of several signals about it, which the designer chooses; without a rule the
    signal is always the first."""

    kind: Literal["informed_game"] = "informed_game"
    defaults: ClassVar[dict[str, Any]] = {**Society.defaults, "rule": {"kind": "information"}}
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "informed_game", "rewards": [[[1, 0], [0, 1]]], "start": [0.5, 0.5], "signals": 2},
    ]
    signals: int = Field(ge=1, description="how many signals there are")

    def arranged(self, given: Tables) -> Tables:
        """With a signal that says nothing."""
        return signalled(given, self.signals, None if self.seen is None else tuple(self.seen))


class MediatedGame(Society):
    """A game of one period before which a mediator tells each agent, in private, what to do: all obey, or each does what is best for it
    given what it is told. What is told is a correlated equilibrium if nobody gains by doing anything else (Aumann 1974), with states
    a Bayes correlated one (Bergemann & Morris 2016)."""

    kind: Literal["mediated_game"] = "mediated_game"
    targets: ClassVar[bool] = True
    defaults: ClassVar[dict[str, Any]] = {**Society.defaults, "rule": {"kind": "mediator"}}
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "mediated_game", "rewards": [[[[3, 1], [4, 0]]], [[[3, 4], [1, 0]]]]}]

    def arranged(self, given: Tables) -> Tables:
        """With the states of what is told."""
        if given.discount:
            raise fault((["discount"], "should be 0 with a mediator, who speaks once", self.discount))
        if self.implementation not in (None, "partial"):
            raise fault((["implementation"], "should be partial with a mediator: what it says is obeyed as long as others obey",
                         self.implementation))
        return mediated(given)


GAMES = ("game", "informed_game", "mediated_game")


class Payment(RuleModel):
    """Payments to the agents in each period, by state and by what is done in it; below 0 they are taxes."""

    kind: Literal["payment"] = "payment"
    builder: ClassVar[Any] = "icsap_jax.games.rules:payment"
    optimum: ClassVar[Any] = "icsap_jax.games.optimum:best_payment"
    problems: ClassVar[tuple[str, ...]] = GAMES
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "payment"}]
    form: Literal["table", "own_action", "instruments"] = Field(
        "table", description="table: any payment for any joint action; own_action: for one's own; instruments: the problem's, each scaled")
    balanced: bool = Field(False, description="what one gets, the others pay in equal parts")
    cap: float | None = Field(None, gt=0, description="the largest payment, either way; null: none")
    initial: float = Field(0.0, description="where every parameter starts, in units of the range of rewards")


class Quota(RuleModel):
    """An action that is limited is carried out less often than it is chosen: another takes its place with a probability up to a cap."""

    kind: Literal["quota"] = "quota"
    builder: ClassVar[Any] = "icsap_jax.games.rules:quota"
    problems: ClassVar[tuple[str, ...]] = GAMES
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "quota", "limited": [1], "instead": 0}]
    limited: list[int] = Field(description="the actions limited, counted from 0", min_length=1)
    instead: int = Field(ge=0, description="the action carried out instead, counted from 0")
    cap: float = Field(1.0, gt=0, le=1, description="the largest probability with which it is enforced")
    each_state: bool = Field(False, description="one probability for each state, or one for all")


class Assignment(RuleModel):
    """Which action is carried out when an agent chooses one, in each state: any, with a probability up to a share."""

    kind: Literal["assignment"] = "assignment"
    builder: ClassVar[Any] = "icsap_jax.games.rules:assignment"
    problems: ClassVar[tuple[str, ...]] = GAMES
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "assignment"}]
    share: float = Field(1.0, gt=0, le=1, description="of what is chosen that the designer may have carried out otherwise")


class Steering(RuleModel):
    """The designer decides part of where the game goes next, by state and by what is done in it."""

    kind: Literal["steering"] = "steering"
    builder: ClassVar[Any] = "icsap_jax.games.rules:steer"
    optimum: ClassVar[Any] = "icsap_jax.games.optimum:unbounded"
    problems: ClassVar[tuple[str, ...]] = GAMES
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "steering", "share": 0.2}]
    share: float = Field(gt=0, le=1, description="how much of every transition the designer decides")


class MediatorRule(RuleModel):
    """What a mediator tells each agent in private, drawn for all of them together."""

    kind: Literal["mediator"] = "mediator"
    builder: ClassVar[Any] = "icsap_jax.games.rules:mediator"
    optimum: ClassVar[Any] = "icsap_jax.games.optimum:best_mediator"
    problems: ClassVar[tuple[str, ...]] = ("mediated_game",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "mediator"}]


class InformationRule(RuleModel):
    """What agents see in each state: a signal for all, or one for each."""

    kind: Literal["information"] = "information"
    builder: ClassVar[Any] = "icsap_jax.games.rules:information"
    problems: ClassVar[tuple[str, ...]] = ("informed_game",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "information"}]
    public: bool = Field(True, description="one signal for everybody")
    initial: float = Field(0.0, ge=0, description="how clearly the state shows at first, as a difference of logits")


class NoRule(RuleModel):
    """The game as it is, measured like any other."""

    kind: Literal["no_rule"] = "no_rule"
    builder: ClassVar[Any] = "icsap_jax.games.rules:unchanged"
    problems: ClassVar[tuple[str, ...]] = GAMES
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "no_rule"}]


class ComposedRule(RuleModel):
    """Several rules, one after another."""

    kind: Literal["composed"] = "composed"
    builder: ClassVar[Any] = "icsap_jax.games.rules:composed"
    optimum: ClassVar[Any] = "icsap_jax.games.optimum:unbounded"
    problems: ClassVar[tuple[str, ...]] = GAMES
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "composed", "parts": [{"kind": "payment"}, {"kind": "quota", "limited": [1], "instead": 0}]},
    ]
    parts: list[OneOf[RuleModel]] = Field(min_length=1, description="rules for games, in the order in which they change it")
