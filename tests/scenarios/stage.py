"""A simulated world with its observers: what a pass would be told of it, and a plan carried out in it, step by step.

Scenarios and laws stand on it. What a world of working hosts cannot show (damaged records, hosts that refuse, proofs)
is kept beside it and laid over the reports.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from nodeagent.wire.arguments import ARGUMENTS, MigrateVm
from nodeagent.wire.codec import convert
from nodeagent.wire.facts import HostCapabilities, HostState, OrderFacts
from reconciler.model.desired import Desired
from reconciler.model.options import PassOptions
from reconciler.model.plan import Plan, Step
from reconciler.model.reports import HostOffProof, HostReport, HostStatus, Reports, StorageReport
from reconciler.pipeline import Pass, run_pass
from reconciler.simulation.effects import take_effect
from reconciler.simulation.gates import find_broken_expectation
from reconciler.simulation.guests import begin_migration, end_migration
from reconciler.simulation.host import SimulatedGuest, SimulatedHost
from reconciler.simulation.storage import SimulationFault
from reconciler.simulation.world import World

GIB = 2**30
CAPABILITIES = HostCapabilities(
    memory_bytes=8 * GIB,
    threads=8,
    cores=8,
    sockets=1,
    kvm=True,
    cpu_models=("qemu64", "Nehalem", "Skylake-Server"),
    machines=("pc-i440fx-7.2", "pc-q35-7.1", "pc-q35-7.2"),
    default_machine="pc-q35-7.2",
    uefi=True,
    tpm=True,
)
MOST_PASSES = 6


class StepError(AssertionError):
    """A step of a plan cannot be carried out in the world for which it was made."""


@dataclass(slots=True)
class Stage:
    """A world and what overlays its reports. All sets and mappings are by object id or uuid, as the world's are.

    statuses: hosts that do not answer though they could, with the detail. unread: domains that nobody can read.
    damaged: by domain the VMs whose record cannot be read. incomplete: hosts whose libvirt does not list all.
    processes: by host the QEMU processes that libvirt does not list. orders: by host what its ledger holds open.
    impostors: hosts at whose address another machine answers, by its uuid. swapping: hosts that swap.
    """

    world: World
    statuses: dict[str, tuple[HostStatus, str]] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    damaged: dict[str, set[str]] = field(default_factory=dict)
    incomplete: set[str] = field(default_factory=set)
    processes: dict[str, set[str]] = field(default_factory=dict)
    orders: dict[str, list[OrderFacts]] = field(default_factory=dict)
    impostors: dict[str, str] = field(default_factory=dict)
    swapping: set[str] = field(default_factory=set)
    loads: dict[str, int] = field(default_factory=dict)
    proofs: list[HostOffProof] = field(default_factory=list)

    def observe(self, desired: Desired) -> Reports:
        """What the declared hosts and the readable storage say now."""
        hosts = tuple(self._ask(name, host.uuid) for name, host in desired.hosts.items())
        wanted = {one.uuid for one in desired.storage_domains.values()}
        answering = [one for one in hosts if one.status == "answering" and one.state is not None]
        for report in answering:
            assert report.state is not None
            wanted |= {one.uuid for one in report.state.storage}
        storage = tuple(self._read(uuid, answering) for uuid in sorted(wanted))
        return Reports(
            desired.data_center.meta.id, hosts, storage, tuple(self.proofs), self.world.wallclock_ms
        )

    def _ask(self, name: str, uuid: str) -> HostReport:
        if name in self.statuses:
            status, detail = self.statuses[name]
            return HostReport(name, uuid, status, detail=detail)
        host = self.world.hosts.get(name)
        if host is None or not host.answers:
            return HostReport(name, uuid, "silent")
        return HostReport(
            name,
            uuid,
            "answering",
            state=self._state(host),
            statistics=self._statistics(host),
            skew_ms=host.skew_ms,
        )

    def _state(self, host: SimulatedHost) -> HostState:
        state = host.document(self.world.now_ms, self.world.storage_facts(host), self.world.epoch_ms)
        if host.id in self.impostors:
            return replace(
                state, host_uuid=self.impostors[host.id], guests=(), processes=(), storage=(), host_id=None
            )
        strays = self.processes.get(host.id, set())
        return replace(
            state,
            guests_complete=host.id not in self.incomplete,
            processes=tuple(sorted({*state.processes, *strays})),
            orders=(*state.orders, *self.orders.get(host.id, ())),
        )

    def _statistics(self, host: SimulatedHost):  # type: ignore[no-untyped-def]
        figures = host.statistics()
        if host.id in self.swapping:
            figures = replace(
                figures, swap_total_bytes=2 * host.capabilities.memory_bytes, swap_free_bytes=(0,)
            )
        return replace(figures, cpu_percent=(self.loads.get(host.id, host.cpu_percent),) * 2)

    def _read(self, uuid: str, answering: list[HostReport]) -> StorageReport:
        readers = (
            one.host
            for one in answering
            if one.host not in self.impostors and uuid in self.world.hosts[one.host].connected
        )
        reader = next(readers, None)
        if uuid in self.unread:
            return StorageReport(uuid, reader, "it did not answer in time")
        if reader is None:
            return StorageReport(uuid, None, "no answering host has it active")
        contents = self.world.storage[uuid].contents()
        broken = self.damaged.get(uuid, set())
        if broken:
            contents = replace(
                contents,
                vms=tuple(one for one in contents.vms if one.uuid not in broken),
                unreadable=tuple(sorted(broken)),
            )
        return StorageReport(uuid, reader, contents=contents)

    def plan(
        self, desired: Desired, options: PassOptions | None = None, previous: Pass | None = None
    ) -> Pass:
        """One pass over what is observed now."""
        return run_pass(desired, self.observe(desired), previous, options)

    def converge(self, desired: Desired, options: PassOptions | None = None) -> Pass:
        """Plans and carries out until nothing is left to do; the last pass. Raises StepError if that never comes."""
        for _ in range(MOST_PASSES):
            done = self.plan(desired, options)
            if not done.plan.steps:
                return done
            carry_out(self.world, done.plan)
        raise StepError(f"still steps after {MOST_PASSES} passes: {[one.id for one in done.plan.steps]}")

    def find_guest(self, vm: str) -> tuple[SimulatedHost, SimulatedGuest]:
        """Where a VM runs, by object id."""
        for host in self.world.hosts.values():
            for guest in host.guests.values():
                if guest.config.object == vm and guest.state != "incoming":
                    return host, guest
        raise KeyError(f"{vm} does not run")


def make_stage(desired: Desired, capabilities: dict[str, HostCapabilities] | None = None) -> Stage:
    """Bare hosts, as declared: enrolled, nothing connected, nothing running."""
    given = capabilities or {}
    hosts = {
        name: SimulatedHost(name, host.uuid, given.get(name, CAPABILITIES), resync_needed=False)
        for name, host in desired.hosts.items()
    }
    return Stage(World(hosts))


def carry_out(
    world: World,
    plan: Plan,
    order: Iterable[Step] | None = None,
    digests: Mapping[str, str] | None = None,
) -> None:
    """Every step in the plan's order, or in another. digests: of secrets, by reference. Raises StepError naming the step that a real agent would fail."""
    for step in order if order is not None else plan.steps:
        carry_out_step(world, step, digests)


def carry_out_step(world: World, step: Step, digests: Mapping[str, str] | None = None) -> None:
    """One step, with the agent's check of what it expects."""
    host = world.hosts[step.host]
    if not host.answers:
        raise StepError(f"{step.id}: {step.host} does not answer")
    broken = find_broken_expectation(host, step.expects)
    if broken is not None:
        raise StepError(f"{step.id}: {broken}")
    arguments = convert(dict(step.args), ARGUMENTS[step.kind])
    key = f"apply/{step.id}"
    try:
        if isinstance(arguments, MigrateVm):
            begin_migration(world, host, arguments, key)
            end_migration(world, host, arguments, moved=True)
        else:
            take_effect(world, host, step.kind, arguments, key, digests)
    except SimulationFault as fault:
        raise StepError(f"{step.id}: {fault}") from fault
