"""What a problem file may say about institutions that punish: who tells what is forbidden, who joins a punishment, and how fines grow.
No jax."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from icsap_jax.config import fault
from icsap_jax.games.named.schema import Dilemma, Instrumented
from icsap_jax.games.schema import NamedGame

Chance = Annotated[float, Field(ge=0, le=1)]


class Classification(NamedGame):
    """Third parties who would punish a violation and do not know which acts are one; what they are told is a public classification. An act
    lies in one of several zones, all equally likely, of which the first so many are violations; to punish costs `cost` and is worth
    `gain` if it was one. For the problem kind `informed_game`."""

    kind: Literal["classification"] = "classification"
    builder: ClassVar[Any] = "icsap_jax.games.named.institutions.classification:classification"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "classification"}]
    punishers: int = Field(1, ge=1, le=6, description="how many third parties there are")
    zones: int = Field(3, ge=2, description="of acts")
    violations: int = Field(2, ge=1, description="of them are forbidden")
    gain: float = Field(20.0, gt=0, description="of punishing a violation")
    cost: float = Field(10.0, ge=0, description="of punishing")

    @model_validator(mode="after")
    def _some_are_allowed(self) -> Classification:
        if self.violations >= self.zones:
            raise fault((["violations"], f"should be fewer than the zones, {self.zones}", self.violations))
        return self


class Boycott(Instrumented):
    """Law without a state (Hadfield & Weingast 2012): a seller who cheats one of two buyers is punished if both of them call it a wrong
    and then boycott together. Cheating saves `cost`; the boycott takes the profit of two sales, price − cost each, a period later. The
    threat is enough while cost < x (price − cost), x = 2 patience (1 − ambiguity_1)(1 − ambiguity_2)."""

    kind: Literal["boycott"] = "boycott"
    builder: ClassVar[Any] = "icsap_jax.games.named.institutions.boycott:boycott"
    offers: ClassVar[tuple[str, ...]] = ("fine",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "boycott"}]
    price: float = Field(1.0, gt=0, description="P, that a buyer pays")
    cost: float = Field(0.5, ge=0, description="c, of performing honestly, that cheating saves")
    patience: Chance = Field(0.9, description="δ, what the next period counts")
    ambiguity: list[Chance] = Field(
        [0.1, 0.3], min_length=2, max_length=2, description="ρ, each buyer's probability of not calling it a wrong when one is cheated")
    value: float = Field(1.5, gt=0, description="of what is sold to a buyer, above the price")
    deterrence: float = Field(1.0, ge=0, description="what a boycott that both join is worth to each: more than one purchase")

    @model_validator(mode="after")
    def _worth_while(self) -> Boycott:
        if self.cost > self.price:
            raise fault((["cost"], f"should be at most the price, {self.price:g}", self.cost))
        if self.value <= self.price:
            raise fault((["value"], f"should be above the price, {self.price:g}", self.value))
        if self.deterrence < self.value - self.price:
            raise fault((["deterrence"], f"should be at least what a purchase is worth, {self.value - self.price:g}, or nobody joins",
                         self.deterrence))
        return self


class GraduatedFines(Instrumented):
    """A dilemma played again and again under a monitor who fines whoever it takes for a defector, the more the more often that happened
    before (Ostrom 1990, graduated sanctions). The state is each agent's record, up to `records`; up to `warnings` earlier violations
    nothing but the record follows. Cooperators are taken for defectors by mistake, and a clean round may wipe a record out. There is a
    fine for each record to scale."""

    kind: Literal["graduated_fines"] = "graduated_fines"
    builder: ClassVar[Any] = "icsap_jax.games.named.institutions.graduated_fines:graduated_fines"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "graduated_fines", "records": 1}]
    stage: Dilemma = Field(default_factory=lambda: Dilemma(), description="the game of each round")
    discount: float = Field(0.9, ge=0, lt=1, description="of the next round")
    records: int = Field(2, ge=1, le=4, description="the most violations that are remembered")
    warnings: int = Field(0, ge=0, description="how many violations, at first, draw no fine")
    detected: float = Field(0.9, gt=0, le=1, description="probability that a defector is taken for one")
    mistaken: Chance = Field(0.1, description="probability that a cooperator is taken for a defector")
    forgiven: Chance = Field(0.0, description="probability that a clean round wipes the record out")

    def offered(self) -> tuple[str, ...]:
        """A fine for each record that draws one."""
        return tuple(f"fine_after_{count}" for count in range(self.warnings, self.records + 1))

    @model_validator(mode="after")
    def _deters(self) -> GraduatedFines:
        if self.mistaken >= self.detected:
            raise fault((["mistaken"], f"should be below detected, {self.detected:g}, or no fine deters", self.mistaken))
        if self.stage.instruments is not None:
            raise fault((["stage", "instruments"], "should be left out: here the payments are the monitor's fines", self.stage.instruments))
        if self.warnings > self.records:
            raise fault((["warnings"], f"should be at most records, {self.records}, or nothing is ever fined", self.warnings))
        return self
