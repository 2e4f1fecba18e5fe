"""Plans of simple steps, carried out on a fake fleet in virtual time."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from nodeagent.wire.orders import Progress
from reconciler.execution.run import Applier, PlanRun, RunLimits, Site, Ticket
from reconciler.model.outcome import ApplyOutcome, StepOutcome, StepState
from reconciler.model.plan import Edge, Plan, Step
from reconciler.simulation.clock import run_in_virtual_time
from reconciler.store.store import Store, open_memory_store
from tests.fakes.fleet import DATA_CENTER, FakeAgent, Script, make_fleet, states_of, uuid_of


def make_step(name: str, *after: str, host: str = "host/h1", **fields: Any) -> Step:
    """A step `vm/NAME#resume`; `after` names steps in the same short form, `~NAME` for a settled edge."""
    edges = tuple(
        Edge(
            f"vm/{one.removeprefix('~')}#resume", "test-rule", "settled" if one.startswith("~") else "success"
        )
        for one in after
    )
    number = int("".join(char for char in name if char.isdigit()) or 0)
    given = {"kind": "resume-vm", "args": {"vm": uuid_of(0xA0000 + number)}, "timeout_ms": 10_000, **fields}
    return Step(
        id=f"vm/{name}#resume", object=f"vm/{name}", host=host, summary=name, because=(), after=edges, **given
    )


def make_plan(*steps: Step, most_migrations: int = 0) -> Plan:
    hosts = {f"host/h{number}": most_migrations for number in (1, 2, 3)}
    limits = {"migrations-per-host": hosts} if most_migrations else {}
    return Plan("test", "dc/main", DATA_CENTER, steps=steps, limits=limits)


@dataclass
class Lines:
    """A watcher that keeps what it saw."""

    seen: list[tuple[str, StepState]] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)

    def step_changed(self, outcome: StepOutcome, progress: Progress | None) -> None:
        if progress is not None:
            self.progress.append(progress)
        else:
            self.seen.append((short(outcome.step), outcome.state))

    def of(self, state: StepState) -> list[str]:
        return [name for name, one in self.seen if one is state]


def short(step: str) -> str:
    return step.removeprefix("vm/").partition("#")[0]


@dataclass
class Bench:
    """A fleet, a store, and how to run a plan on them."""

    fleet: dict[str, FakeAgent]
    store: Store
    lines: Lines = field(default_factory=Lines)
    clock: float = 0.0

    def script(self, name: str, **fields: Any) -> None:
        """How orders of `vm/NAME` go, on every host."""
        for agent in self.fleet.values():
            agent.scripts[f"vm/{name}#resume"] = Script(**fields)

    def plan_run(self, plan: Plan, apply_id: str = "a1", **fields: Any) -> PlanRun:
        applier = fields.pop("applier", Applier("ci"))
        return PlanRun(
            plan,
            Ticket(apply_id, "p1", "d1", "{}"),
            site=Site(
                self.fleet, {name: one.uuid for name, one in self.fleet.items()}, states_of(self.fleet)
            ),
            applier=applier,
            store=fields.pop("store", self.store),
            watcher=self.lines,
            limits=fields.pop("limits", RunLimits()),
            beside=fields.pop("beside", None),
        )

    def apply(self, plan: Plan, **fields: Any) -> ApplyOutcome:
        """Carry a plan out; afterwards `clock` says how many virtual seconds it took."""
        during: Callable[[PlanRun], Any] | None = fields.pop("during", None)

        async def main() -> ApplyOutcome:
            run = self.plan_run(plan, **fields)
            task = asyncio.create_task(during(run)) if during else None
            outcome = await run.run()
            if task:
                await task
            self.clock = asyncio.get_running_loop().time()
            return outcome

        return run_in_virtual_time(main())

    @property
    def effects(self) -> list[str]:
        """Short names of steps that took effect, over all hosts, sorted."""
        return sorted(short(key.partition("/")[2]) for agent in self.fleet.values() for key in agent.effects)


def states(outcome: ApplyOutcome) -> dict[str, str]:
    return {short(name): one.state.value for name, one in outcome.steps.items()}


@pytest.fixture
def bench() -> Iterator[Bench]:
    store = open_memory_store()
    yield Bench(make_fleet(3), store)
    store.close()
