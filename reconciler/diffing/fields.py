"""What a change of each field does: the one table, documented, printed by `ostler explain --field`.

A row may depend on the direction of the change (`when`); the first row that applies holds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from reconciler.model.change import Disruption, Effect

When = Literal["always", "raised", "lowered", "within-maximum", "added", "removed", "stopped", "running"]


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One row: `field` is `kind.path` as in `vm.memory`; `note` says in a sentence what happens."""

    field: str
    effect: Effect
    note: str
    when: When = "always"
    disruption: Disruption = Disruption.NONE


LIVE, NEXT_START, MIGRATE = Effect.LIVE, Effect.NEXT_START, Effect.MIGRATE
REFUSE, OBSERVE = Effect.REFUSE, Effect.OBSERVE_ONLY

TABLE: tuple[FieldRule, ...] = (
    FieldRule("vm.name", NEXT_START, "The title that hypervisor tools show changes at the next start."),
    FieldRule("vm.description", NEXT_START, "Shown by hypervisor tools from the next start on."),
    FieldRule(
        "vm.cpu.sockets",
        LIVE,
        "More vCPUs are plugged into the running guest, up to the maxSockets that it was started with.",
        "within-maximum",
    ),
    FieldRule("vm.cpu.sockets", NEXT_START, "Fewer, or more than the started maximum: at the next start."),
    FieldRule("vm.cpu.cores", NEXT_START, "A guest's CPU topology is fixed while it runs."),
    FieldRule("vm.cpu.threads", NEXT_START, "A guest's CPU topology is fixed while it runs."),
    FieldRule("vm.cpu.maxSockets", NEXT_START, "The number of CPU slots is fixed while it runs."),
    FieldRule("vm.cpu.model", NEXT_START, "The CPU model is fixed while it runs."),
    FieldRule("vm.machineType", NEXT_START, "The machine type is fixed while it runs."),
    FieldRule(
        "vm.memory",
        LIVE,
        "The balloon is moved, up to the maximum that the guest was started with.",
        "within-maximum",
    ),
    FieldRule("vm.memory", NEXT_START, "More than the started maximum, or no balloon: at the next start."),
    FieldRule("vm.maxMemory", NEXT_START, "The guest's address space is fixed while it runs."),
    FieldRule("vm.guaranteedMemory", LIVE, "Used by the next placement; nothing is done to the guest."),
    FieldRule("vm.firmware", NEXT_START, "Firmware is chosen at start."),
    FieldRule("vm.boot", NEXT_START, "Kernel, initrd and command line are read at start."),
    FieldRule("vm.disks", LIVE, "A virtio or scsi disk is plugged into the running guest.", "added"),
    FieldRule(
        "vm.disks",
        LIVE,
        "A virtio or scsi disk is unplugged once the guest lets go; its bytes stay.",
        "removed",
    ),
    FieldRule("vm.disks.bus", NEXT_START, "A disk changes its bus at the next start."),
    FieldRule("vm.disks.bootOrder", NEXT_START, "The boot order is read at start."),
    FieldRule("vm.disks.readOnly", NEXT_START, "A disk is opened once, at start."),
    FieldRule("vm.nics", LIVE, "A card is plugged into the running guest.", "added"),
    FieldRule("vm.nics", LIVE, "A card is unplugged once the guest lets go.", "removed"),
    FieldRule("vm.nics.network", LIVE, "The card is moved to the other bridge, as if its cable were."),
    FieldRule("vm.nics.link", LIVE, "The card's link goes up or down."),
    FieldRule("vm.nics.mac", NEXT_START, "A card gets its address at start."),
    FieldRule("vm.nics.model", NEXT_START, "A card gets its model at start."),
    FieldRule("vm.cdrom", NEXT_START, "A CD drive is added or removed at the next start."),
    FieldRule("vm.cdrom.file", LIVE, "The CD is changed or ejected."),
    FieldRule("vm.serial", NEXT_START, "The serial console is made at start."),
    FieldRule("vm.vnc", NEXT_START, "The console is made at start."),
    FieldRule("vm.vnc.password", LIVE, "The password holds from the next connection on."),
    FieldRule("vm.balloon", NEXT_START, "The device is made at start."),
    FieldRule("vm.rng", NEXT_START, "The device is made at start."),
    FieldRule("vm.tpm", NEXT_START, "The device is made at start."),
    FieldRule(
        "vm.cluster",
        REFUSE,
        "A running VM stays in its cluster: stop it, change the cluster, start it.",
        "running",
    ),
    FieldRule("vm.cluster", LIVE, "A stopped VM is placed in its new cluster at the next start.", "stopped"),
    FieldRule(
        "vm.placement.hosts", MIGRATE, "A VM on another host moves.", disruption=Disruption.LIVE_MIGRATE
    ),
    FieldRule("vm.placement.migration", LIVE, "Used by the next placement."),
    FieldRule("vm.priority", LIVE, "Used by the next placement."),
    FieldRule(
        "vm.runPolicy",
        LIVE,
        "Used by the next pass; `Stopped` shuts the guest down.",
        disruption=Disruption.POWER_OFF,
    ),
    FieldRule("vm.restartPolicy", LIVE, "Used by the next pass."),
    FieldRule("vm.shutdownTimeout", LIVE, "Used by the next shutdown."),
    FieldRule("vm.uuid", REFUSE, "A VM keeps its uuid for life."),
    FieldRule(
        "disk.name", LIVE, "Shown to people; an image keeps on storage the name with which it was made."
    ),
    FieldRule("disk.size", LIVE, "The image grows, in a running guest at once.", "raised"),
    FieldRule(
        "disk.size", REFUSE, "An image is never shrunk: copy its content to a smaller disk.", "lowered"
    ),
    FieldRule("disk.format", REFUSE, "An image keeps its format: make a new disk and copy the content."),
    FieldRule(
        "disk.allocation", REFUSE, "An image keeps its allocation: make a new disk and copy the content."
    ),
    FieldRule("disk.storageDomain", REFUSE, "An image does not move between domains by a manifest."),
    FieldRule("disk.description", LIVE, "Kept in the disk's record."),
    FieldRule("disk.uuid", REFUSE, "A disk keeps its uuid for life."),
    FieldRule("host.name", LIVE, "Shown to people."),
    FieldRule("host.address", LIVE, "The agent is spoken to at the new address."),
    FieldRule("host.port", LIVE, "The agent is spoken to at the new port."),
    FieldRule(
        "host.cluster",
        REFUSE,
        "Its guests stay in their cluster, so they must leave the host first; its networks change.",
        "running",
    ),
    FieldRule(
        "host.maintenance",
        MIGRATE,
        "Guests move away, then the host is closed.",
        disruption=Disruption.LIVE_MIGRATE,
    ),
    FieldRule("host.networks", LIVE, "Bridges are made, changed and removed on the host."),
    FieldRule("host.uuid", REFUSE, "A host keeps its uuid for life."),
    FieldRule("net.name", LIVE, "Shown to people."),
    FieldRule("net.mtu", LIVE, "The bridge's MTU changes on every host."),
    FieldRule("net.bridge", LIVE, "A bridge without guests is made anew under the new name."),
    FieldRule("net.description", LIVE, "Kept in the manifest only."),
    FieldRule(
        "sd.path",
        OBSERVE,
        "Used when a host connects the domain the next time; a place that holds anything else is refused.",
    ),
    FieldRule("sd.type", REFUSE, "A domain keeps its type: make a new one and move its disks."),
    FieldRule("sd.host", REFUSE, "A local domain stays on its host: make a new one and move its disks."),
    FieldRule("sd.uuid", REFUSE, "A domain keeps its uuid for life."),
    FieldRule("sd.name", LIVE, "Shown to people; a domain keeps on storage the name with which it was made."),
    FieldRule("sd.vfsType", OBSERVE, "Used when a host connects the domain the next time."),
    FieldRule("sd.mountOptions", OBSERVE, "Used when a host connects the domain the next time."),
    FieldRule("sd.description", LIVE, "Kept in the manifest only."),
    FieldRule("sd.criticalSpace", LIVE, "Used by the next pass."),
    FieldRule("sd.warningSpacePercent", LIVE, "An alert from the next pass on."),
    FieldRule("cluster.name", LIVE, "Shown to people."),
    FieldRule("cluster.networks", LIVE, "Bridges are made or removed on its hosts."),
    FieldRule(
        "cluster.cpuModel", OBSERVE, "Used for VMs made from now on; a VM keeps the model it was given."
    ),
    FieldRule(
        "cluster.machineType", OBSERVE, "Used for VMs made from now on; a VM keeps the type it was given."
    ),
    FieldRule("cluster.memoryOvercommitPercent", LIVE, "Used by the next placement."),
    FieldRule("cluster.countThreadsAsCores", LIVE, "Used by the next placement."),
    FieldRule("cluster.migration", LIVE, "Used by the next migration."),
    FieldRule("cluster.schedulingPolicy", LIVE, "Used by the next placement."),
    FieldRule("cluster.schedulingParameters", LIVE, "Used by the next placement."),
    FieldRule("sched.name", LIVE, "Shown to people."),
    FieldRule("sched.description", LIVE, "Kept in the manifest only."),
    FieldRule("sched.filters", LIVE, "Used by the next placement."),
    FieldRule("sched.weights", LIVE, "Used by the next placement."),
    FieldRule("sched.balance", LIVE, "Used by the next pass."),
    FieldRule("sched.selector", LIVE, "Used by the next placement."),
    FieldRule("sched.parameters", LIVE, "Used by the next placement."),
    FieldRule("dc.name", LIVE, "Shown to people."),
    FieldRule("dc.macPrefix", LIVE, "Used for addresses assigned from now on."),
    FieldRule(
        "dc.removedDisksRetention", LIVE, "Used by the next purge, also of what VMs kept besides their disks."
    ),
    FieldRule("dc.uuid", REFUSE, "A data center keeps its uuid for life."),
)


_ELSEWHERE = (
    "Where an object belongs is part of what it is: elsewhere it would be another object beside this one."
)
IDENTITY: tuple[FieldRule, ...] = (
    FieldRule("net.dataCenter", REFUSE, _ELSEWHERE),
    FieldRule("sched.dataCenter", REFUSE, _ELSEWHERE),
    FieldRule("sd.dataCenter", REFUSE, _ELSEWHERE),
    FieldRule("sd.role", REFUSE, "There is one role as yet: data."),
    FieldRule("cluster.dataCenter", REFUSE, _ELSEWHERE),
)
"""Rows of fields that no two states of one object differ in."""
_TOLD_WITH = {"vm.cdrom.storageDomain": "vm.cdrom.file"}
"""Fields that say together with another one what a thing is: a change of either is a change of both."""


def rules_for(field: str) -> tuple[FieldRule, ...]:
    """The rows that hold for `vm.memory`, `vm.disks.bus` …: its own, else those of what it is part of, else those of
    its parts. Empty for a field that the table does not speak of; that a field can be declared is not looked at."""
    rows = (*TABLE, *IDENTITY)
    parts = _TOLD_WITH.get(field, field).split(".")
    for length in range(len(parts), 1, -1):
        name = ".".join(parts[:length])
        if found := tuple(rule for rule in rows if rule.field == name):
            return found
    return tuple(rule for rule in rows if rule.field.startswith(f"{field}."))


def effect_of(field: str, when: Iterable[When] = ()) -> Effect:
    """The effect of the first row of `field` whose condition is among `when`; KeyError if there is none."""
    conditions = {"always", *when}
    for rule in TABLE:
        if rule.field == field and rule.when in conditions:
            return rule.effect
    raise KeyError(field)
