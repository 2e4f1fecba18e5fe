"""The order of steps: every edge is made by one named rule, and says so.

Rules look at steps only by kind, object, host and arguments; they never add or drop steps.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from reconciler.model.names import step_id
from reconciler.model.plan import Edge, Step
from reconciler.planning.context import PlanContext
from reconciler.planning.room import edges_for_room
from reconciler.planning.steps import END_INTENT, LET_GO

LIVE_KINDS = frozenset(
    {
        "set-vm-memory", "set-vm-cpus", "update-nic", "attach-nic", "detach-nic", "attach-disk", "detach-disk",
        "change-cdrom", "set-vnc-password",
    }
)  # fmt: skip
STAGE = {
    kind: rank
    for rank, kinds in enumerate(
        (
            ("create-storage-domain",),
            ("write-pool-record",),
            ("connect-storage-domain",),
            ("create-network", "update-network"),
            ("set-maintenance",),
            ("create-disk", "restore-disk", "write-disk-record"),
            ("write-vm-record",),
            ("record-exit",),
            ("stop-vm",),
            ("grow-disk",),
            tuple(sorted(LIVE_KINDS)),
            ("pause-vm", "resume-vm"),
            ("migrate-vm",),
            ("start-vm", "reboot-vm"),
            ("remove-vm", "remove-disk", "remove-network", "disconnect-storage-domain"),
        )
    )
    for kind in kinds
}
CLAIMS_RUN = frozenset({"start-vm", "reboot-vm", "migrate-vm"})
"""Whoever claims a run writes it into the copy of the VM's record as well."""
LAST_STAGE = len(STAGE)


@dataclass(frozen=True, slots=True)
class StepIndex:
    """Steps by kind, by object, and by (kind, host)."""

    by_kind: dict[str, list[Step]]
    by_object: dict[str, list[Step]]
    by_place: dict[tuple[str, str], list[Step]]

    def of(self, *kinds: str) -> Iterator[Step]:
        """Steps of these kinds."""
        return (step for kind in kinds for step in self.by_kind.get(kind, ()))


Arrow = tuple[str, Edge]
Rule = Callable[[PlanContext, StepIndex], Iterable[Arrow]]


def order_steps(context: PlanContext, steps: Sequence[Step]) -> tuple[Step, ...]:
    """The same steps with their edges, in the order given; edges sorted, none twice."""
    index = _index(steps)
    edges: dict[str, dict[str, Edge]] = defaultdict(dict)
    for rule in RULES:
        for dependent, edge in rule(context, index):
            if edge.step != dependent:
                edges[dependent].setdefault(edge.step, edge)
    return tuple(
        replace(step, after=tuple(sorted(edges[step.id].values(), key=lambda one: one.step)))
        if step.id in edges
        else step
        for step in steps
    )


def display_key(context: PlanContext) -> Callable[[Step], tuple[Any, ...]]:
    """How to sort steps that may go in any order: by stage, higher priority first, then smaller, then id."""

    def key(step: Step) -> tuple[Any, ...]:
        vm = context.desired.vms.get(step.object)
        entering = step.kind == "set-maintenance" and step.args["maintenance"]
        stage = LAST_STAGE if entering else STAGE.get(step.kind, LAST_STAGE)
        return (stage, -vm.priority if vm else 0, vm.memory_bytes if vm else 0)

    return key


def _index(steps: Sequence[Step]) -> StepIndex:
    by_kind, by_object, by_place = defaultdict(list), defaultdict(list), defaultdict(list)
    for step in steps:
        by_kind[step.kind].append(step)
        by_object[step.object].append(step)
        by_place[step.kind, step.host].append(step)
    return StepIndex(dict(by_kind), dict(by_object), dict(by_place))


def _host_ids_before_connections(context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    """A host's id is on storage before the host connects; only the writer of a new pool's record connects first."""
    known = context.observed.pool.host_ids if context.observed.pool else {}
    for pool in index.of("write-pool-record"):
        for step in index.of("connect-storage-domain"):
            if step.host == pool.host and step.args["uuid"] == pool.args["storage_domain"]:
                yield pool.id, Edge(step.id, "connection-before-pool")
            elif context.desired.hosts[step.host].uuid not in known:
                yield step.id, Edge(pool.id, "host-id-before-connection")
        break


def _pool_records_in_turn(context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    """The pool lists a domain once it is made, before anything is written to it, and before hosts let go of one."""
    pools = list(index.of("write-pool-record"))
    if not pools:
        return
    for before, pool in pairwise(pools):
        yield pool.id, Edge(before.id, "pool-record-in-turn")
    for step in index.of("disconnect-storage-domain"):
        yield step.id, Edge(pools[0].id, "pool-before-disconnection")
    made = {step.args["uuid"]: step for step in index.of("create-storage-domain")}
    for uuid, domain in made.items():
        if uuid != context.changes.master:
            yield pools[-1].id, Edge(domain.id, "domain-before-pool")
    for step in (step for steps in index.by_object.values() for step in steps if made):
        used = {domain for _, domain in _uses(context, step)} & made.keys()
        if used:
            pool = pools[0] if used == {context.changes.master} else pools[-1]
            yield step.id, Edge(pool.id, "pool-before-use")


def _domain_before_connections(_context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    made = {step.args["uuid"]: step for step in index.of("create-storage-domain")}
    for step in index.of("connect-storage-domain"):
        if step.args["uuid"] in made:
            yield step.id, Edge(made[step.args["uuid"]].id, "domain-before-connection")


def _connection_before_use(context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    connections = {(step.host, step.args["uuid"]): step for step in index.of("connect-storage-domain")}
    if not connections:
        return
    for steps in index.by_object.values():
        for step in steps:
            for host, domain in _uses(context, step):
                if (host, domain) in connections:
                    yield step.id, Edge(connections[host, domain].id, "storage-before-use")


def _uses(context: PlanContext, step: Step) -> Iterator[tuple[str, str]]:
    """Storage domains that a step touches, each with the host that must be connected."""
    if step.kind in ("create-storage-domain", "write-pool-record", "connect-storage-domain"):
        return
    if "master" in step.args:
        yield step.host, step.args["master"]
    if "storage_domain" in step.args:
        yield step.host, step.args["storage_domain"]
    if step.kind in ("write-disk-record", "remove-disk", "restore-disk", "create-disk"):
        yield step.host, step.args["record"]["storage_domain"]
    if step.kind == "write-vm-record" and step.args["record"]["copy_domain"] is not None:
        yield step.host, step.args["record"]["copy_domain"]
    if step.kind in CLAIMS_RUN and (record := context.changes.records.get(step.object)):
        yield from ((step.host, uuid) for uuid in (record.copy_domain,) if uuid is not None)
    guest = step.args.get("config", {})
    devices = (*guest.get("disks", ()), guest.get("cdrom"), step.args.get("disk"), step.args.get("cdrom"))
    yield from ((step.host, one["storage_domain"]) for one in devices if one and one["storage_domain"])
    if step.kind == "migrate-vm":
        destination = _destination(context, step)
        for domain in _domains_of(context, step.object):
            yield destination, context.desired.storage_domains[domain].uuid


def _domains_of(context: PlanContext, name: str) -> Iterator[str]:
    """Ids of the storage domains with a declared VM's disks and CD."""
    vm = context.desired.vms[name]
    yield from (context.desired.disks[one.disk].storage_domain for one in vm.disks)
    if vm.cdrom is not None and vm.cdrom.storage_domain is not None:
        yield vm.cdrom.storage_domain


def _destination(context: PlanContext, step: Step) -> str:
    """Object id of a migration's destination."""
    return next(name for name, host in context.desired.hosts.items() if host.uuid == step.args["destination"])


def _arrivals(context: PlanContext, index: StepIndex) -> Iterator[tuple[Step, str]]:
    """Steps that bring a guest to a host, with that host."""
    for step in index.of("start-vm", "reboot-vm"):
        yield step, step.host
    for step in index.of("migrate-vm"):
        yield step, _destination(context, step)


def _network_before_guest(context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    bridges: dict[tuple[str, str], Step] = {}
    for step in index.of("create-network", "update-network"):
        bridges[step.host, step.args["network"]] = step
    if not bridges:
        return
    for step, host in _arrivals(context, index):
        vm = context.desired.vms[step.object]
        for nic in vm.nics:
            if (host, nic.network) in bridges:
                yield step.id, Edge(bridges[host, nic.network].id, "network-before-guest")
    for step in index.of("attach-nic", "update-nic"):
        nic = step.args.get("nic") or step.args["after"]
        if (step.host, nic["network"]) in bridges:
            yield step.id, Edge(bridges[step.host, nic["network"]].id, "network-before-guest")


def _guest_before_network_removal(_context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    for removal in index.of("remove-network"):
        for step in index.of("update-nic", "detach-nic", "stop-vm", "migrate-vm", "reboot-vm"):
            if step.host == removal.host:
                yield removal.id, Edge(step.id, "guests-leave-before-network")
        for made in index.by_place.get(("create-network", removal.host), ()):
            if made.args["network"] == removal.args["network"]:
                yield made.id, Edge(removal.id, "old-bridge-before-new")


def _open_host_before_guest(context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    opening = {step.host: step for step in index.of("set-maintenance") if not step.args["maintenance"]}
    if opening:
        for step, host in _arrivals(context, index):
            if host in opening:
                yield step.id, Edge(opening[host].id, "leave-maintenance-before-guest")


def _drain_before_maintenance(_context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    for closing in index.of("set-maintenance"):
        if closing.args["maintenance"]:
            for kind in ("migrate-vm", "stop-vm"):
                for step in index.by_place.get((kind, closing.host), ()):
                    yield closing.id, Edge(step.id, "drain-before-maintenance")


def _disk_before_guest(context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    disks = {step.object: step for step in index.of("create-disk", "restore-disk", "grow-disk")}
    if not disks:
        return
    for step in index.of("start-vm", "reboot-vm"):
        for attachment in context.desired.vms[step.object].disks:
            if attachment.disk in disks:
                yield step.id, Edge(disks[attachment.disk].id, "disk-before-guest")
    for step in index.of("attach-disk"):
        if step.args["disk"]["name"] in disks:
            yield step.id, Edge(disks[step.args["disk"]["name"]].id, "disk-before-guest")
    for step in index.of("migrate-vm"):
        for attachment in context.desired.vms[step.object].disks:
            if attachment.disk in disks and disks[attachment.disk].args.get("vm"):
                yield step.id, Edge(disks[attachment.disk].id, "grow-before-migration")


CHAIN = {
    "write-vm-record": "record",
    "record-exit": "exit",
    "stop-vm": "stop",
    "live": "change",
    "let-go": "letting-go",
    "pause-vm": "pause",
    "resume-vm": "pause",
    "end-intent": "end-of-intent",
    "plug": "plugging",
    "migrate-vm": "migration",
    "live-there": "change",
    "start-vm": "start",
    "reboot-vm": "restart",
    "remove-vm": "removal",
}
"""The life of one VM within a plan, link by link: rules are named after two links, as in `record-before-start`."""


def _one_vm_in_order(_context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    """Within one VM: record, exit, stop, live changes, disks let go, pause, what moves it, what changes it there, start,
    removal."""
    for steps in index.by_object.values():
        moved_from = next((step.host for step in steps if step.kind == "migrate-vm"), None)
        groups: dict[str, list[Step]] = defaultdict(list)
        for step in steps:
            groups[_link(step, moved_from)].append(step)
        _plug_after_records(groups)
        present = [link for link in CHAIN if link in groups]
        for earlier, later in pairwise(present):
            rule = f"{CHAIN[earlier]}-before-{CHAIN[later]}"
            for step in groups[later]:
                for before in groups[earlier]:
                    yield step.id, Edge(before.id, rule)


def _plug_after_records(groups: dict[str, list[Step]]) -> None:
    """Whoever plugs a card writes its address into the record: that comes after the steps that write a planned record."""
    if "let-go" in groups or "end-intent" in groups:
        live = groups.pop("live", [])
        for step in live:
            groups["plug" if step.kind == "attach-nic" else "live"].append(step)


def _link(step: Step, moved_from: str | None) -> str:
    """Which link of the chain a step is; a live change on the host to which the VM moves comes after the move."""
    if step.kind == "write-vm-record":
        later = (END_INTENT, LET_GO)
        return next((verb for verb in later if step.id == step_id(step.object, verb)), step.kind)
    if step.kind not in LIVE_KINDS:
        return step.kind
    return "live" if moved_from in (None, step.host) else "live-there"


def _unplugged_before_plugged(context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    """A disk that goes from one VM to another has one writer at any time."""
    leaving: dict[str, list[Step]] = defaultdict(list)
    for step in index.of("detach-disk"):
        leaving[step.args["disk"]["image"]].append(step)
    for step in index.of("stop-vm"):
        seen = context.observed.vms.get(step.args["vm"])
        config = seen.guest.config if seen and seen.guest else None
        for disk in config.disks if config else ():
            leaving[disk.image].append(step)
    if not leaving:
        return
    for step in index.of("start-vm", "reboot-vm", "attach-disk"):
        disks = step.args["config"]["disks"] if "config" in step.args else [step.args["disk"]]
        for disk in disks:
            for gone in leaving.get(disk["image"], ()):
                if gone.object != step.object:
                    yield step.id, Edge(gone.id, "unplugged-before-plugged")


def _growth_before_guest_goes(_context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    """A disk grows through its guest while the guest still has it; whether that worked or not, the guest may go."""
    for grow in index.of("grow-disk"):
        for step in (*index.of("stop-vm"), *index.of("detach-disk")) if grow.args["vm"] else ():
            same_disk = step.kind == "stop-vm" or step.args["disk"]["image"] == grow.args["image"]
            if step.args["vm"] == grow.args["vm"] and same_disk:
                yield step.id, Edge(grow.id, "grow-before-guest-goes", "settled")


def _disk_record_before_growth(_context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    for grow in index.of("grow-disk"):
        for step in index.by_object[grow.object]:
            if step.kind in ("restore-disk", "write-disk-record"):
                yield grow.id, Edge(step.id, "record-before-growth")


def _guest_before_disk_removal(context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    if "remove-disk" not in index.by_kind:
        return
    records = (one.record for one in context.observed.vms.values())
    disks_of = {one.object: one.disks for one in records if one is not None and not one.removed}
    for removal in index.of("remove-disk"):
        image = removal.args["record"]["image"]
        for step in index.of("detach-disk"):
            if step.args["disk"]["image"] == image:
                yield removal.id, Edge(step.id, "unplug-before-removal")
        for step in index.of("stop-vm", "remove-vm", "reboot-vm"):
            if removal.object in disks_of.get(step.object, ()):
                yield removal.id, Edge(step.id, "guest-before-its-disks")


def _use_before_disconnection(_context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    for step in index.of("disconnect-storage-domain"):
        for other in index.of("stop-vm", "migrate-vm", "detach-disk"):
            if other.host == step.host:
                yield step.id, Edge(other.id, "guests-leave-before-storage")


def _room(context: PlanContext, index: StepIndex) -> Iterator[Arrow]:
    yield from edges_for_room(
        context, list(_arrivals(context, index)), list(index.of("migrate-vm", "stop-vm"))
    )


RULES: tuple[Rule, ...] = (
    _host_ids_before_connections,
    _pool_records_in_turn,
    _domain_before_connections,
    _connection_before_use,
    _network_before_guest,
    _guest_before_network_removal,
    _open_host_before_guest,
    _drain_before_maintenance,
    _disk_before_guest,
    _one_vm_in_order,
    _unplugged_before_plugged,
    _growth_before_guest_goes,
    _disk_record_before_growth,
    _guest_before_disk_removal,
    _use_before_disconnection,
    _room,
)
