"""Which members of a sweep share a compiled program, how their states begin, and how many of them fit beside each other.

Two members share a program when all that is compiled is equal (problem, response, lagrangian, steps, batch) and their numbers have the same
shapes: learning rates, prices, temperatures, limits, numbers of a prior and seeds then stand on the member axis. What does not is found by
looking, not from a list of keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from icsap_jax import run
from icsap_jax.bilevel import fit
from icsap_jax.bilevel.fit import Trainer, TrainState
from icsap_jax.bilevel.types import Problem, Tree
from icsap_jax.config.file import available_memory
from icsap_jax.sweep.expand import Member

ON_A_CPU = 8  # members at most side by side: there they run one after the other, and results are to come as they finish
SPARE = 0.9  # of the memory there is
PLENTY = 8  # times what is expected to be needed: with so much on a CPU nothing is measured, which would compile the program once more


@dataclass(frozen=True)
class Posed:
    """A member with its problem built: `env` its numbers, `trainer` what is compiled."""

    member: Member
    problem: Problem
    env: Tree
    trainer: Trainer

    @classmethod
    def of(cls, member: Member) -> Posed:
        """Raises ConfigError where the member's problem has no solution."""
        problem, env = run.posed(member.config)
        starts = member.config.rule.hook("starts") is not None
        return cls(member, problem, env, Trainer.of(problem, member.config.training, starts=starts))

    @property
    def numbers(self) -> dict[str, Any]:
        """What its training says in real numbers."""
        return fit.told(self.member.config.training)

    @property
    def known(self) -> Any:
        """Equal for members whose states are begun by one program: they have the same rule, and numbers of the same shapes."""
        return self.trainer, self.member.config.rule.model_dump_json(), outline((self.env, self.numbers))

    @property
    def state_bytes(self) -> int:
        """Of all its seeds' states; nothing is computed."""
        state = jax.eval_shape(partial(self.begin, self.env), jax.random.key(0), self.numbers)
        plain = [leaf for leaf in jax.tree.leaves(state) if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
        return self.member.config.training.members * sum(leaf.size * leaf.dtype.itemsize for leaf in plain)

    @property
    def step_bytes(self) -> int:
        """What the problem or the rule expects one step to hold."""
        config = self.member.config
        own = config.rule.memory(config.problem, config.training)
        return int(config.problem.memory(config.training, config.rule) if own is None else own)

    @cached_property
    def digest(self) -> str:
        """Of the problem's numbers: a rule may be made of them."""
        return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(self.env))).hexdigest()

    def begin(self, env: Tree, key: jax.Array, numbers: Tree) -> TrainState:
        """The state of one of its seeds; traced."""
        return run.begin(self.member.config, self.trainer, self.problem, env, key, numbers)


class Programs:
    """Compiles what members have in common, once."""

    def __init__(self) -> None:
        self.outlines: dict[Any, Any] = {}
        self.starters: dict[Any, Callable[..., TrainState] | None] = {}

    def signature(self, posed: Posed) -> Any:
        """Equal for members that share a program; nothing is computed."""
        config = posed.member.config
        known = (posed.known, posed.digest)
        if known not in self.outlines:
            with run.blamed_on(f"{config.source}: sweep: member {posed.member.id}"):
                built = jax.eval_shape(lambda key: posed.begin(posed.env, key, posed.numbers), jax.random.key(0))
            self.outlines[known] = outline(built)
        return posed.trainer, self.outlines[known], outline(posed.env), config.training.chunk, config.training.members

    def begin(self, posed: Posed) -> TrainState:
        """The states before the first step of a member's seeds, leaves [M, …]; as `run.initial_state` gives them."""
        config, known = posed.member.config, posed.known
        base = jax.random.key(config.seed)
        keys = [jax.random.fold_in(base, number) for number in range(config.training.members)]
        if self.starters.setdefault(known, jax.jit(posed.begin)) is not None:
            try:
                return fit.stack([self.starters[known](posed.env, key, posed.numbers) for key in keys])
            except jax.errors.JAXTypeError:  # a rule made of the problem's numbers themselves: a program for each such problem
                self.starters[known] = None
        own = (known, posed.digest)
        start = self.starters.setdefault(own, jax.jit(partial(posed.begin, posed.env)))
        return fit.stack([start(key, posed.numbers) for key in keys])


def outline(tree: Tree) -> Any:
    """Structure, shapes and dtypes of a pytree, as something that can be compared."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((np.shape(leaf), str(jnp.result_type(leaf))) for leaf in leaves)


def devices() -> Mesh | None:
    """All local devices, where there are several."""
    local = jax.local_devices()
    return Mesh(np.array(local), (fit.MEMBERS,)) if len(local) > 1 else None


@dataclass(frozen=True)
class Batch:
    """Members that train side by side: axis places [size·M], those behind the last member filled up with it."""

    posed: tuple[Posed, ...]
    size: int
    mesh: Mesh | None

    @property
    def trainer(self) -> Trainer:
        """What all of them compile."""
        return self.posed[0].trainer

    @property
    def seeds(self) -> int:
        """M, the seeds of each member."""
        return self.posed[0].member.config.training.members

    def place(self, number: int) -> slice:
        """Where the seeds of a member stand on the axis."""
        return slice(number * self.seeds, (number + 1) * self.seeds)

    def states(self, programs: Programs) -> TrainState:
        """All of them before the first step."""
        return self.filled([programs.begin(each) for each in self.posed])

    def filled(self, states: Sequence[TrainState]) -> TrainState:
        """The states of members, leaves [M, …], on the axis, where `advance` wants them."""
        states = [*states, *[states[-1]] * (self.size - len(states))]
        return fit.placed(jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *states), self.mesh)

    @cached_property
    def env(self) -> tuple[Tree, bool]:
        """The problems' numbers, and whether each member has its own, leaves [size·M, …]; where all are equal they are kept once."""
        envs = [each.env for each in self.posed]
        if all(alike(envs[0], other) for other in envs[1:]):
            return envs[0], False
        envs = [env for env in [*envs, *[envs[-1]] * (self.size - len(envs))] for _ in range(self.seeds)]
        return fit.placed(jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *envs), self.mesh), True

    def advance(self, state: TrainState, count: int) -> tuple[TrainState, dict[str, Any]]:
        """`count` steps of all."""
        env, own = self.env
        return (fit.run_each if own else fit.run)(self.trainer, env, state, count, self.mesh)

    def bytes_needed(self, programs: Programs, count: int) -> int | None:
        """What `count` steps of all hold at once on a device, as the compiler counts it; None where it does not."""
        env, own = self.env
        lowered = (fit.run_each if own else fit.run).lower(self.trainer, env, self.states(programs), count, self.mesh)
        counted = lowered.compile().memory_analysis()
        if counted is None:
            return None
        return counted.temp_size_in_bytes + counted.argument_size_in_bytes + counted.output_size_in_bytes - counted.alias_size_in_bytes


def alike(one: Tree, other: Tree) -> bool:
    """Whether two pytrees of one structure hold equal numbers."""
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def memory_left() -> int | None:
    """Bytes a device could still take; None where nobody knows."""
    device = jax.local_devices()[0]
    told = device.memory_stats() if device.platform != "cpu" else None
    if told and "bytes_limit" in told:
        return int(told["bytes_limit"]) - int(told.get("bytes_in_use", 0))
    return available_memory()


def size_for(members: Sequence[Posed], wanted: int | None, programs: Programs, say: Callable[[str], None]) -> int:
    """How many of a group's members train side by side: as many as `wanted`, or as fit; the batches are about equally large, and each is a
    multiple of how many devices there are. What a batch needs is measured by compiling it, unless on a CPU there is plenty."""
    mesh = devices()
    cpu = jax.default_backend() == "cpu"
    most = min(len(members), wanted or (ON_A_CPU if cpu else len(members)))
    while True:
        size = evenly(len(members), most, mesh.size if mesh else 1)
        if most == 1 or (cpu and len(members) == 1):
            return size
        left = memory_left()
        if cpu and left is not None and size * members[0].state_bytes + members[0].step_bytes < left / PLENTY:
            return size
        needed = Batch(tuple(members[:size]), size, mesh).bytes_needed(programs, members[0].member.config.training.chunk)
        if needed is None or left is None or needed <= SPARE * left:
            return size
        most = max(1, min(most - 1, int(most * SPARE * left / needed)))
        say(f"{size} members side by side would take {needed / 1e9:.1f} GB, and {left / 1e9:.1f} GB are free: trying {most}")


def evenly(count: int, most: int, devices: int) -> int:
    """The size of equal batches of at most `most`, rounded up to a multiple of `devices`."""
    batches = -(-count // most)
    size = -(-count // batches)
    return -(-size // devices) * devices
