"""What a problem file may say about a common resource: who harvests, how it grows or is crowded, what may be done about it; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from icsap_jax.config import Kind, Numbers, OneOf, Problem, RuleModel, fault


class Stock(Kind):
    """What is harvested, and what a harvest is worth."""

    @property
    def sizes(self) -> dict[str, Numbers]:
        """The numbers that may differ from agent to agent, by key."""
        return {}


class StaticStock(Stock):
    """A pool used once. Each of the agents has an endowment e to divide: what it puts into the pool, x, returns x (a − b X), X being what
    all put in, and the rest of it w each (Ostrom, Gardner & Walker 1994; a fishery with crowding)."""

    kind: Literal["static"] = "static"
    builder: ClassVar[Any] = "icsap_jax.games.commons.pool:build"
    examples: ClassVar[list[dict[str, Any]]] = [{"returns": 12.0, "crowding": 1.0, "endowment": 12.0}]
    returns: Numbers = Field(description="a: what the first unit in the pool returns, a number or one for each agent")
    crowding: float = Field(gt=0, description="b: by how much a unit in the pool lowers the return of every unit")
    outside: Numbers = Field(default_factory=lambda: Numbers(0.0), description="w: what a unit kept out returns; a number or one each")
    endowment: Numbers = Field(description="e: the most an agent can put in, a number or one for each agent")

    @property
    def sizes(self) -> dict[str, Numbers]:
        """The numbers that may differ from agent to agent, by key."""
        return {"returns": self.returns, "outside": self.outside, "endowment": self.endowment}

    @model_validator(mode="after")
    def _fits(self) -> StaticStock:
        if (self.endowment.values <= 0).any():
            raise fault((["endowment"], "should be above 0: what an agent could put in", self.endowment))
        if (self.returns.values - self.outside.values).max() <= 0:
            raise fault((["returns"], "should be above outside for somebody, or nobody harvests anything", self.returns))
        return self


class FishWar(Stock):
    """Fish that grow from what is left of them: s′ = (s − Σ c)^growth. A period's catch c is worth log c, for ever, discounted (Levhari &
    Mirman 1980). What an agent chooses is the share of the stock that it catches in every period."""

    kind: Literal["fish_war"] = "fish_war"
    builder: ClassVar[Any] = "icsap_jax.games.commons.fish:build"
    examples: ClassVar[list[dict[str, Any]]] = [{"growth": 0.4, "discount": 0.9}]
    growth: float = Field(gt=0, lt=1, description="α: the exponent by which what is left grows into the next period's stock")
    discount: float = Field(gt=0, lt=1, description="β: what a unit of the next period's utility is worth now")
    initial: float = Field(1.0, gt=0, description="the stock in the first period; 1 is what it would be if nobody ever fished")


class Commons(Problem):
    """Agents harvest a common resource and each takes more than is best for all. The designer taxes harvests or allots them, and wants
    the sum of the agents' payoffs to be large; what is raised goes back to all evenly, as a lump sum that nobody moves by its own
    harvest. Agents play the Nash equilibrium of the rule; harvests in units of the pool, or as shares of the stock of fish."""

    kind: Literal["commons"] = "commons"
    builder: ClassVar[Any] = "icsap_jax.games.commons.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.games.commons.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.games.commons.optimum:baselines"
    details: ClassVar[Any] = "icsap_jax.games.commons.details:details"
    listing: ClassVar[Any] = "icsap_jax.games.commons.details:listing"
    pictures: ClassVar[Any] = "icsap_jax.games.commons.pictures:pictures"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.agents",)
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "harvest_tax"},
        "training": {"steps": 800, "batch": 1, "learning_rate": 0.02, "decay": "cosine", "chunk": 100, "response": {"kind": "stationary"}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "commons", "agents": 2, "stock": {"kind": "static", "returns": [12.0, 11.0], "crowding": 1.0, "endowment": 12.0}},
        {"kind": "commons", "agents": 2, "stock": {"kind": "fish_war", "growth": 0.4, "discount": 0.9}},
    ]

    agents: int = Field(ge=2, description="how many harvest")
    stock: OneOf[Stock] = Field(description="what they harvest")

    @model_validator(mode="after")
    def _fits(self) -> Commons:
        for key, numbers in self.stock.sizes.items():
            if numbers.shape not in ((), (self.agents,)):
                raise fault((["stock", key], f"has shape {list(numbers.shape)}; with {self.agents} agents it should be a number or "
                             f"[{self.agents}]", numbers))  # fmt: skip
        return self

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes one training step holds: all first-order conditions in all harvests, and their inverse."""
        return 4 * 6 * self.agents * self.agents * int(training.members)


class HarvestTax(RuleModel):
    """So much for each unit harvested, the same for all or a rate for each agent. What it raises is rebated evenly. In the fish war a unit
    is the whole stock, and the tax falls due in every period."""

    kind: Literal["harvest_tax"] = "harvest_tax"
    builder: ClassVar[Any] = "icsap_jax.games.commons.rules:harvest_tax"
    optimum: ClassVar[Any] = "icsap_jax.games.commons.optimum:best_tax"
    problems: ClassVar[tuple[str, ...]] = ("commons",)
    statements: ClassVar[tuple[str, ...]] = ("all that is raised is handed back by construction",)
    examples: ClassVar[list[dict[str, Any]]] = [{}]
    individual: bool = Field(False, description="a rate for each agent")


class HarvestQuota(RuleModel):
    """The most each agent may harvest, as a share of what it could: the same share for all, or one each."""

    kind: Literal["harvest_quota"] = "harvest_quota"
    builder: ClassVar[Any] = "icsap_jax.games.commons.rules:quota"
    starts: ClassVar[Any] = "icsap_jax.games.commons.rules:quotas"
    optimum: ClassVar[Any] = "icsap_jax.games.commons.optimum:best_quota"
    problems: ClassVar[tuple[str, ...]] = ("commons",)
    statements: ClassVar[tuple[str, ...]] = ("nobody harvests more than its quota by construction",)
    examples: ClassVar[list[dict[str, Any]]] = [{}]
    individual: bool = Field(False, description="a quota for each agent")


class ProportionalTax(RuleModel):
    """The same share of every agent's payoff, rebated evenly. It changes nobody's harvest, neither in the pool nor, on the logarithm of the
    catch, in the fish war: a rule that looks like a remedy and is none."""

    kind: Literal["proportional_tax"] = "proportional_tax"
    builder: ClassVar[Any] = "icsap_jax.games.commons.rules:proportional_tax"
    optimum: ClassVar[Any] = "icsap_jax.games.commons.optimum:untaxed"
    problems: ClassVar[tuple[str, ...]] = ("commons",)
    statements: ClassVar[tuple[str, ...]] = ("all that is raised is handed back by construction",)
    examples: ClassVar[list[dict[str, Any]]] = [{}]
