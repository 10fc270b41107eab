"""What a problem file may say about games that have a name: `problem: {kind: game, named: {kind: dilemma, …}}`; no jax.

Each is a few numbers from which its builder makes the tables of `icsap_jax.games.tables`, with names for states, actions and agents and
with the payments a designer of that game is known for, by name: a rule `{kind: payment, form: instruments}` scales those that are kept.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from icsap_jax.config import Numbers, OneOf, fault
from icsap_jax.games.schema import NamedGame
from icsap_jax.games.tables import Tables

MOST_JOINT = 400  # joint actions of a stage game whose last round is remembered


class Instrumented(NamedGame):
    """A named game that comes with payments a designer may scale; all that are in its own `instruments` unless some are chosen."""

    offers: ClassVar[tuple[str, ...]] = ()

    instruments: list[str] | None = Field(None, description="the payments a rule may scale, by name; left out: all that the game offers")

    def offered(self) -> tuple[str, ...]:
        """The names of the payments that come with the game."""
        return self.offers

    @model_validator(mode="after")
    def _kept(self) -> Instrumented:
        offered = self.offered()
        for place, name in enumerate(self.instruments or []):
            if name not in offered:
                told = ", ".join(offered) or "none"
                raise fault((["instruments", place], f"is no payment of this game; it has {told}", name))
        return self


class Quality(Instrumented):
    """The traveller's dilemma of service quality (after Basu 1994): what both deliver is worth the lower quality, and whoever gives less
    saves itself something. u_i = step · min(a_1, a_2) + bonus · [a_i < a_j], a = 0 … top."""

    kind: Literal["quality"] = "quality"
    builder: ClassVar[Any] = "icsap_jax.games.named.quality:quality"
    offers: ClassVar[tuple[str, ...]] = ("low_pays_high", "own_quality")
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "quality", "top": 2}]
    top: int = Field(10, ge=1, description="the best quality; the worst is 0")
    step: float = Field(1.0, gt=0, description="what one more unit of the lowest quality is worth to each")
    bonus: float = Field(2.0, ge=0, description="what the one who gives less gains by it")


class Claims(Instrumented):
    """The traveller's dilemma (Basu 1994): both get the lower of two claims, the lower claimant `reward` more and the higher one as much
    less. u_i = min(a_1, a_2) + reward · sign(a_j − a_i)."""

    kind: Literal["claims"] = "claims"
    builder: ClassVar[Any] = "icsap_jax.games.named.quality:claims"
    offers: ClassVar[tuple[str, ...]] = ("top_bonus",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "claims", "low": 2, "high": 4}]
    low: int = Field(2, description="the lowest claim")
    high: int = Field(100, description="the highest claim")
    reward: float = Field(2.0, gt=0, description="what the lower claimant gets, and the higher one loses")

    @model_validator(mode="after")
    def _ordered(self) -> Claims:
        if self.high <= self.low:
            raise fault((["high"], f"should be above low, {self.low}", self.high))
        return self


class Dilemma(Instrumented):
    """Two agents who cooperate or defect: with temptation > reward > punishment > sucker a Prisoner's dilemma, with reward > temptation
    and punishment > sucker a Stag Hunt, with temptation > reward and sucker > punishment Chicken."""

    kind: Literal["dilemma"] = "dilemma"
    builder: ClassVar[Any] = "icsap_jax.games.named.dilemma:dilemma"
    offers: ClassVar[tuple[str, ...]] = ("defector_pays", "cooperation", "cooperation_met", "cooperation_unmet")
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "dilemma"}]
    reward: float = Field(3.0, description="of each when both cooperate")
    sucker: float = Field(0.0, description="of who cooperates while the other defects")
    temptation: float = Field(4.0, description="of who defects while the other cooperates")
    punishment: float = Field(1.0, description="of each when both defect")
    actions: list[str] = Field(["cooperate", "defect"], min_length=2, max_length=2, description="the names of the two actions")


class Matrix(Instrumented):
    """A game in normal form, its payoffs written out. With two agents, each joint action has a payment from the second to the first."""

    kind: Literal["matrix"] = "matrix"
    builder: ClassVar[Any] = "icsap_jax.games.named.matrix:matrix"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "matrix", "payoffs": [[[1, 0], [0, 1]], [[1, 0], [0, 1]]]}]
    payoffs: Numbers = Field(description="[agents, A1, …, AN]")
    actions: list[list[str]] | None = Field(None, description="the names of each agent's actions")
    agents: list[str] | None = Field(None, description="their names")

    def offered(self) -> tuple[str, ...]:
        """A transfer for each joint action."""
        from icsap_jax.games.named.matrix import transfers

        self._shapes()
        return tuple(transfers(self))

    def _shapes(self) -> None:
        """Raise a fault where payoffs and names do not fit each other."""
        shape = self.payoffs.shape
        if len(shape) < 2 or len(shape) != 1 + shape[0]:
            raise fault((["payoffs"], f"has shape {list(shape)}; it should have an axis for the agents, and then one for the actions of "
                                      "each", None))
        if self.actions is not None and [len(names) for names in self.actions] != list(shape[1:]):
            raise fault((["actions"], f"should name {', '.join(map(str, shape[1:]))} actions", self.actions))
        if self.agents is not None and len(self.agents) != shape[0]:
            raise fault((["agents"], f"has {len(self.agents)} names; there are {shape[0]}", self.agents))


class Coordination(Instrumented):
    """Agents who gain only by doing the same: `worth` [conventions], to all alike, or [agents, conventions] as in Bach or Stravinsky. For
    each convention there is a payment to whoever follows it."""

    kind: Literal["coordination"] = "coordination"
    builder: ClassVar[Any] = "icsap_jax.games.named.matrix:coordination"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "coordination", "worth": [1, 2]}]
    worth: Numbers = Field(description="of each convention, where all follow it: [conventions], or [agents, conventions]")
    agents: int = Field(2, ge=2, description="how many there are")
    conventions: list[str] | None = Field(None, description="their names")

    def offered(self) -> tuple[str, ...]:
        """A payment for each convention."""
        return tuple(f"{name}_followed" for name in self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """What the conventions are called."""
        return tuple(self.conventions or [f"convention_{place + 1}" for place in range(self.worth.shape[-1] if self.worth.ndim else 0)])

    @model_validator(mode="after")
    def _fits(self) -> Coordination:
        if self.worth.ndim == 0 or self.worth.shape[:-1] not in ((), (self.agents,)):
            raise fault((["worth"], f"has shape {list(self.worth.shape)}; it should be one row of conventions, or one for each of "
                                    f"{self.agents} agents", None))
        if len(self.names) != self.worth.shape[-1]:
            raise fault((["conventions"], f"has {len(self.names)} names; there are {self.worth.shape[-1]}", self.conventions))
        return self


class Lever(Instrumented):
    """Escape Room ER(N, M) in one shot (Yang et al. 2020): a door is open while M agents are at the lever; who goes through gets 10, the
    lever or a closed door costs 1, and staying is free. Nobody goes to the lever for nothing."""

    kind: Literal["lever"] = "lever"
    builder: ClassVar[Any] = "icsap_jax.games.named.lever:lever"
    offers: ClassVar[tuple[str, ...]] = ("door_pays_lever",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "lever", "agents": 2, "needed": 1}]
    agents: int = Field(2, ge=2, le=8, description="N, how many there are")
    needed: int = Field(1, ge=1, description="M, how many have to be at the lever")
    prize: float = Field(10.0, gt=0, description="of whoever goes through the open door")
    cost: float = Field(1.0, ge=0, description="of the lever, and of a door that is closed")

    @model_validator(mode="after")
    def _somebody_leaves(self) -> Lever:
        if self.needed >= self.agents:
            raise fault((["needed"], f"should leave somebody for the door: below agents, {self.agents}", self.needed))
        return self


class PublicGood(Instrumented):
    """The linear public good: each has an endowment and contributes part of it, and every unit contributed is worth `share` to each agent.
    With share < 1 < agents · share nobody contributes, and all would do best to contribute everything."""

    kind: Literal["public_good"] = "public_good"
    builder: ClassVar[Any] = "icsap_jax.games.named.public_good:public_good"
    offers: ClassVar[tuple[str, ...]] = ("contribution",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "public_good", "agents": 2, "share": 0.7}]
    agents: int = Field(4, ge=2, le=8, description="how many there are")
    share: float = Field(0.4, gt=0, description="the marginal return of a unit contributed to each agent")
    endowment: float = Field(1.0, gt=0, description="what each agent has")
    levels: int = Field(1, ge=1, le=10, description="in how many equal parts it may be given")


class Repeated(NamedGame):
    """A game played again and again by agents who remember the last round: the state is what all did in it, and before the first round
    there is nothing to remember. The payments of the stage game are made in every round."""

    kind: Literal["repeated"] = "repeated"
    builder: ClassVar[Any] = "icsap_jax.games.named.repeated:repeated"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "repeated", "stage": {"kind": "dilemma"}, "strategy": "grim"}]
    stage: OneOf[NamedGame] = Field(description="the game of each round, of one state")
    discount: float = Field(0.5, ge=0, lt=1, description="of the next round")
    strategy: Literal["grim", "win_stay_lose_shift", "tit_for_tat"] | None = Field(
        None, description="the target where none is written out, each agent's first action being to cooperate and its second to defect; "
                          "left out: what is best for all")  # fmt: skip

    @model_validator(mode="after")
    def _one_state(self) -> Repeated:
        stage = one_shot(self.stage)
        joint = stage.rewards[0].size
        if joint > MOST_JOINT:
            raise fault((["stage"], f"has {joint} joint actions; at most {MOST_JOINT} can be remembered", None))
        if self.strategy is not None and set(stage.sizes) != {2}:
            raise fault((["strategy"], f"is for two actions, to cooperate and to defect; the stage has {', '.join(map(str, stage.sizes))}",
                         self.strategy))
        return self


class ContractOffer(Instrumented):
    """A contract that agents may accept or refuse before they play (Christoffersen, Haupt & Hadfield 2023). If all accept, the stage game's
    payments are made, as large as the designer writes them into the contract, and each agent pays the designer the `fee`; if anybody
    refuses, all play without. Refusing is always open, so that accepting has to be worth while."""

    kind: Literal["contract_offer"] = "contract_offer"
    builder: ClassVar[Any] = "icsap_jax.games.named.contract_offer:contract_offer"
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "contract_offer", "stage": {"kind": "dilemma"}, "instruments": ["defector_pays", "fee"]},
    ]
    stage: OneOf[NamedGame] = Field(description="the game that is played after the offer, of one state")

    def offered(self) -> tuple[str, ...]:
        """The stage's own payments, and the fee."""
        return (*one_shot(self.stage).instrument_names, "fee")


def one_shot(stage: NamedGame) -> Tables:
    """The tables of a game of one state. Raises a fault at `stage` for any other."""
    found: Tables = stage.build()
    if len(found.states) != 1:
        raise fault((["stage"], f"has {len(found.states)} states; it should have one", None))
    return found
