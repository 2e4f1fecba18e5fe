"""One fixed example for each row of the field table: the edit has the effect that the table names, the guest feels what
the row says, and then nothing is left to do. In simulation; the lab does the same with real guests."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from nodeagent.wire.guest import GuestConfig, KernelBoot
from reconciler.diffing.fields import TABLE, FieldRule
from reconciler.diffing.guests import expected_guest
from reconciler.model.change import Blocked, Disruption, Effect, Identities
from reconciler.model.desired import (
    Cdrom,
    Cluster,
    CpuTopology,
    Desired,
    DiskAttachment,
    LogicalNetwork,
    Meta,
    MigrationLimits,
    Mobility,
    NetworkAttachment,
    Nic,
    RestartPolicy,
    RunPolicy,
    SecretRef,
    Setting,
    Vnc,
)
from reconciler.model.identity import host_uuid
from reconciler.model.observed import Observed
from reconciler.model.policies import BUILT_IN
from tests.laws.estates import CENTER, GIB, MIB, EstateSpec, HostSpec, VmSpec, build, reseal
from tests.laws.test_plans_are_carried_out import felt, lives, mark_lives
from tests.laws.worlds import OPTIONS
from tests.scenarios.stage import Stage, carry_out, make_stage

OTHER = "0d4a9d0e-3b0c-4c5b-9a55-0d2b6c1f0042"
VM, DISK = "vm/v0", "disk/v0-0"


def base() -> Desired:
    """Three hosts, one running VM with everything that can change, and a spare disk and network."""
    spec = EstateSpec(
        (HostSpec(8), HostSpec(8), HostSpec(8)), (VmSpec(0, most=2, disks=(1, 1)),), networks=2, domains=2
    )
    desired = build(spec)
    vm = desired.vms[VM]
    full = replace(
        vm,
        cpu=CpuTopology(maximum_sockets=2),
        disks=vm.disks[:1],
        nics=(Nic("eth0", "net/n0"), Nic("eth9", "net/n0")),
        cdrom=Cdrom(),
        vnc=Vnc(),
    )
    other = reseal(Cluster(Meta("cluster/other", "other", ""), tuple(desired.networks)))
    spare = reseal(LogicalNetwork(Meta("net/spare", "spare", ""), "spare"))
    joined = reseal(replace(desired.clusters["cluster/main"], networks=("net/n0", "net/n1", "net/spare")))
    third = reseal(replace(desired.hosts["host/h3"], cluster="cluster/other", networks=()))
    return replace(
        desired,
        clusters={"cluster/main": joined, "cluster/other": other},
        networks={**desired.networks, "net/spare": spare},
        hosts={**desired.hosts, "host/h3": third},
        vms={VM: reseal(full)},
    )


def edit(kind: str, name: str, /, **fields: Any) -> Callable[[Desired], Desired]:
    """The edit of plain fields of one object."""

    def apply(desired: Desired) -> Desired:
        group = getattr(desired, kind)
        return replace(desired, **{kind: {**group, name: reseal(replace(group[name], **fields))}})

    return apply


def vm(**fields: Any) -> Callable[[Desired], Desired]:
    return edit("vms", VM, **fields)


def meta(kind: str, name: str, /, **fields: Any) -> Callable[[Desired], Desired]:
    def apply(desired: Desired) -> Desired:
        return edit(kind, name, meta=replace(getattr(desired, kind)[name].meta, **fields))(desired)

    return apply


def cpu(**fields: int | str) -> Callable[[Desired], Desired]:
    return lambda desired: vm(cpu=replace(desired.vms[VM].cpu, **fields))(desired)


def disk(**fields: Any) -> Callable[[Desired], Desired]:
    return lambda desired: vm(disks=(replace(desired.vms[VM].disks[0], **fields),))(desired)


def nic(**fields: Any) -> Callable[[Desired], Desired]:
    return lambda desired: vm(nics=(replace(desired.vms[VM].nics[0], **fields), desired.vms[VM].nics[1]))(
        desired
    )


def stopped(change: Callable[[Desired], Desired]) -> Callable[[Desired], Desired]:
    """The edit of a VM that is stopped in the same breath."""
    return lambda desired: vm(run_policy=RunPolicy.STOPPED)(change(desired))


def center(**fields: Any) -> Callable[[Desired], Desired]:
    return lambda desired: replace(desired, data_center=reseal(replace(desired.data_center, **fields)))


def cluster(**fields: Any) -> Callable[[Desired], Desired]:
    return edit("clusters", "cluster/main", **fields)


def policy(**fields: Any) -> Callable[[Desired], Desired]:
    """An edit of the policy that the cluster names."""

    def apply(desired: Desired) -> Desired:
        mine = BUILT_IN["sched/evenly_distributed"]
        named = replace(mine, meta=replace(mine.meta, id="sched/mine"))
        whole = replace(desired, scheduling_policies={"sched/mine": reseal(named)})
        whole = cluster(scheduling_policy="sched/mine")(whole)
        return edit("scheduling_policies", "sched/mine", **fields)(whole)

    return apply


def host(name: str = "host/h2", **fields: Any) -> Callable[[Desired], Desired]:
    return edit("hosts", name, **fields)


EDITS: dict[tuple[str, str], Callable[[Desired], Desired]] = {
    ("vm.name", "always"): meta("vms", VM, name="other"),
    ("vm.description", "always"): vm(description="front end"),
    ("vm.cpu.sockets", "within-maximum"): cpu(sockets=2),
    ("vm.cpu.sockets", "always"): cpu(sockets=3, maximum_sockets=3),
    ("vm.cpu.cores", "always"): cpu(cores=2),
    ("vm.cpu.threads", "always"): cpu(threads=2),
    ("vm.cpu.maxSockets", "always"): cpu(maximum_sockets=4),
    ("vm.cpu.model", "always"): cpu(model="Nehalem"),
    ("vm.machineType", "always"): vm(machine="pc-q35-7.1"),
    ("vm.memory", "within-maximum"): vm(memory_bytes=768 * MIB),
    ("vm.memory", "always"): vm(memory_bytes=2 * GIB, maximum_memory_bytes=2 * GIB),
    ("vm.maxMemory", "always"): vm(maximum_memory_bytes=2 * GIB),
    ("vm.guaranteedMemory", "always"): vm(guaranteed_memory_bytes=256 * MIB),
    ("vm.firmware", "always"): vm(firmware="uefi"),
    ("vm.boot", "always"): vm(kernel=KernelBoot("/boot/other")),
    ("vm.disks", "added"): lambda desired: vm(disks=(*desired.vms[VM].disks, DiskAttachment("disk/v0-1")))(
        desired
    ),
    ("vm.disks", "removed"): vm(disks=()),
    ("vm.disks.bus", "always"): disk(bus="scsi"),
    ("vm.disks.bootOrder", "always"): disk(boot_order=1),
    ("vm.disks.readOnly", "always"): disk(read_only=True),
    ("vm.nics", "added"): lambda desired: vm(nics=(*desired.vms[VM].nics, Nic("eth1", "net/n1")))(desired),
    ("vm.nics", "removed"): lambda desired: vm(nics=desired.vms[VM].nics[:1])(desired),
    ("vm.nics.network", "always"): nic(network="net/n1"),
    ("vm.nics.link", "always"): nic(link="down"),
    ("vm.nics.mac", "always"): nic(mac="52:54:00:00:00:01"),
    ("vm.nics.model", "always"): nic(model="e1000"),
    ("vm.cdrom", "always"): vm(cdrom=None),
    ("vm.cdrom.file", "always"): vm(cdrom=Cdrom("sd/shared", "debian.iso")),
    ("vm.serial", "always"): vm(serial=False),
    ("vm.vnc", "always"): vm(vnc=None),
    ("vm.vnc.password", "always"): vm(vnc=Vnc(SecretRef("consoles", "v0"))),
    ("vm.balloon", "always"): vm(balloon=False),
    ("vm.rng", "always"): vm(rng=False),
    ("vm.tpm", "always"): vm(tpm=True),
    ("vm.cluster", "running"): vm(cluster="cluster/other"),
    ("vm.cluster", "stopped"): stopped(vm(cluster="cluster/other")),
    ("vm.placement.hosts", "always"): vm(hosts=("host/h2",)),
    ("vm.placement.migration", "always"): vm(mobility=Mobility.PINNED),
    ("vm.priority", "always"): vm(priority=90),
    ("vm.runPolicy", "always"): vm(run_policy=RunPolicy.STOPPED),
    ("vm.restartPolicy", "always"): vm(restart_policy=RestartPolicy.WHEN_NEEDED),
    ("vm.shutdownTimeout", "always"): vm(shutdown_ms=5000),
    ("vm.uuid", "always"): meta("vms", VM, uuid=OTHER),
    ("disk.name", "always"): meta("disks", DISK, name="other"),
    ("disk.size", "raised"): edit("disks", DISK, size_bytes=2 * GIB),
    ("disk.size", "lowered"): edit("disks", DISK, size_bytes=GIB // 2),
    ("disk.format", "always"): edit("disks", DISK, format="raw"),
    ("disk.allocation", "always"): edit("disks", DISK, allocation="preallocated"),
    ("disk.storageDomain", "always"): edit("disks", DISK, storage_domain="sd/silver"),
    ("disk.description", "always"): edit("disks", DISK, description="root"),
    ("disk.uuid", "always"): meta("disks", DISK, uuid=OTHER),
    ("host.name", "always"): meta("hosts", "host/h2", name="other"),
    ("host.address", "always"): host(address="192.0.2.99"),
    ("host.port", "always"): host(port=54331),
    ("host.cluster", "running"): host("host/h1", cluster="cluster/other", networks=()),
    ("host.maintenance", "always"): host("host/h1", maintenance=True),
    ("host.networks", "always"): host(networks=(NetworkAttachment("net/n0", "eth0"),)),
    ("host.uuid", "always"): host(uuid=host_uuid(CENTER, "host/other")),
    ("net.name", "always"): meta("networks", "net/n0", name="other"),
    ("net.mtu", "always"): edit("networks", "net/n0", mtu=9000),
    ("net.bridge", "always"): edit("networks", "net/spare", bridge="renamed"),
    ("net.description", "always"): edit("networks", "net/n0", description="for guests"),
    ("sd.path", "always"): edit("storage_domains", "sd/shared", path="/elsewhere"),
    ("sd.type", "always"): edit(
        "storage_domains", "sd/silver", type="localfs", vfs_type=None, host="host/h1"
    ),
    ("sd.host", "always"): edit("storage_domains", "sd/silver", host="host/h2"),
    ("sd.uuid", "always"): edit("storage_domains", "sd/silver", uuid=OTHER),
    ("sd.name", "always"): meta("storage_domains", "sd/silver", name="other"),
    ("sd.vfsType", "always"): edit("storage_domains", "sd/shared", vfs_type="ceph"),
    ("sd.mountOptions", "always"): edit("storage_domains", "sd/shared", mount_options="noatime"),
    ("sd.description", "always"): edit("storage_domains", "sd/shared", description="fast"),
    ("sd.criticalSpace", "always"): edit("storage_domains", "sd/shared", critical_space_bytes=GIB),
    ("sd.warningSpacePercent", "always"): edit("storage_domains", "sd/shared", warning_space_percent=20),
    ("cluster.name", "always"): meta("clusters", "cluster/main", name="other"),
    ("cluster.networks", "always"): cluster(networks=("net/n0", "net/n1")),
    ("cluster.cpuModel", "always"): cluster(cpu_model="Nehalem"),
    ("cluster.machineType", "always"): cluster(machine="pc-q35-7.1"),
    ("cluster.memoryOvercommitPercent", "always"): cluster(memory_overcommit_percent=150),
    ("cluster.countThreadsAsCores", "always"): cluster(count_threads_as_cores=True),
    ("cluster.migration", "always"): cluster(migration=MigrationLimits(bandwidth_mib_per_s=100)),
    ("cluster.schedulingPolicy", "always"): cluster(scheduling_policy="sched/power_saving"),
    ("cluster.schedulingParameters", "always"): cluster(settings=(Setting("HighUtilization", 60),)),
    ("sched.name", "always"): policy(meta=Meta("sched/mine", "other", "")),
    ("sched.description", "always"): policy(description="other"),
    ("sched.filters", "always"): policy(filters=("CPU",)),
    ("sched.weights", "always"): policy(weights=()),
    ("sched.balance", "always"): policy(balance="None"),
    ("sched.selector", "always"): policy(selector="BasicWeighting"),
    ("sched.parameters", "always"): policy(settings=()),
    ("dc.name", "always"): lambda desired: center(meta=replace(desired.data_center.meta, name="other"))(
        desired
    ),
    ("dc.macPrefix", "always"): center(mac_prefix="52:54:00"),
    ("dc.removedDisksRetention", "always"): center(retention_ms=0),
    ("dc.uuid", "always"): center(uuid=OTHER),
}
STEPS: dict[tuple[str, str], set[str]] = {
    ("vm.cpu.sockets", "within-maximum"): {"set-vm-cpus"},
    ("vm.memory", "within-maximum"): {"set-vm-memory"},
    ("vm.disks", "added"): {"attach-disk"},
    ("vm.disks", "removed"): {"detach-disk"},
    ("vm.nics", "added"): {"attach-nic"},
    ("vm.nics", "removed"): {"detach-nic"},
    ("vm.nics.network", "always"): {"update-nic"},
    ("vm.nics.link", "always"): {"update-nic"},
    ("vm.cdrom.file", "always"): {"change-cdrom"},
    ("vm.vnc.password", "always"): {"set-vnc-password"},
    ("vm.cluster", "stopped"): {"stop-vm"},
    ("vm.placement.hosts", "always"): {"migrate-vm"},
    ("vm.runPolicy", "always"): {"stop-vm"},
    ("disk.name", "always"): {"write-disk-record"},
    ("disk.description", "always"): {"write-disk-record"},
    ("disk.size", "raised"): {"grow-disk", "write-disk-record"},
    ("host.cluster", "running"): {"remove-network", "update-network"},
    ("host.maintenance", "always"): {"migrate-vm", "set-maintenance"},
    ("host.networks", "always"): {"update-network"},
    ("net.mtu", "always"): {"update-network"},
    ("net.bridge", "always"): {"create-network", "remove-network"},
    ("cluster.networks", "always"): {"remove-network"},
}
"""What is done beside writing what the manifest says into the VM's record; nothing, for rows that are not here.

A refused edit leads to steps all the same where the rest of it can be done: a host gets the networks of its cluster.
"""
UNRECORDED = {("vm.uuid", "always")}
"""Edits of a VM after which not even its record is written."""
REFUSED: dict[tuple[str, str], tuple[str, str]] = {
    ("vm.cluster", "running"): (VM, "vm.cluster"),
    ("vm.uuid", "always"): (VM, "vm.uuid"),
    ("disk.size", "lowered"): (DISK, "disk.size"),
    ("disk.format", "always"): (DISK, "disk.format"),
    ("disk.allocation", "always"): (DISK, "disk.allocation"),
    ("disk.storageDomain", "always"): (DISK, "disk.storageDomain"),
    ("disk.uuid", "always"): (DISK, "disk.uuid"),
    ("host.cluster", "running"): (VM, "vm.cluster"),
    ("sd.type", "always"): ("sd/silver", "sd.host"),
    ("sd.host", "always"): ("sd/silver", "sd.host"),
    ("sd.uuid", "always"): ("sd/silver", "sd.uuid"),
}
"""What is blocked, and the field of it that cannot change."""
DISOWNED = {
    ("host.uuid", "always"): ("host/h2", "the agent at its address says that it is host"),
    ("dc.uuid", "always"): ("host/h1", "it belongs to data center"),
}
"""What is blocked by hosts that say themselves that they are others', and their words."""
PLACED = {"vm.cluster": Disruption.POWER_OFF}
"""What the guest feels of an example beside the edit itself: this one is stopped with it."""
LARGER = {"vm.memory": {"vm.maxMemory"}, "vm.cpu.sockets": {"vm.cpu.maxSockets"}}
"""Fields that an example has to change as well."""


@dataclass(frozen=True, slots=True)
class Done:
    """What one edit led to. before, after, declared: the guest without what nobody declares; None while it is stopped."""

    kinds: set[str]
    blocked: tuple[Blocked, ...]
    pending: set[str]
    felt: Disruption
    before: GuestConfig
    after: GuestConfig | None
    declared: GuestConfig


def carry_edit(rule: FieldRule) -> Done:
    """Applies the edit to a converged world, and sees that nothing is left to do after its plan."""
    before = base()
    desired = EDITS[rule.field, rule.when](before)
    stage = make_stage(before)
    stage.converge(before, OPTIONS)
    mark_lives(stage.world)
    had, guest = lives(stage.world), guest_of(stage)
    plan = stage.plan(desired, OPTIONS).plan

    carry_out(stage.world, plan)

    end = stage.plan(desired, OPTIONS)
    assert end.plan.steps == ()
    (uuid,) = had
    assert guest is not None
    return Done(
        {step.kind for step in plan.steps},
        plan.blocked,
        {one.field for each in plan.deferred for one in each.fields},
        felt(had[uuid], lives(stage.world).get(uuid)),
        guest,
        guest_of(stage),
        declared_guest(desired, stage.plan(before, OPTIONS).observed, uuid),
    )


def guest_of(stage: Stage) -> GuestConfig | None:
    """What the one VM is made of, in the world itself."""
    try:
        return without_undeclared(stage.find_guest(VM)[1].config)
    except KeyError:
        return None


def declared_guest(desired: Desired, observed: Observed, uuid: str) -> GuestConfig:
    """What it is to be made of, with what its record has resolved."""
    record = observed.vms[uuid].record
    assert record is not None
    images = {
        name: one.image for name in desired.disks for one in observed.disks.values() if one.object == name
    }
    bridges = {name: network.bridge for name, network in desired.networks.items()}
    identities = Identities({VM: uuid}, images)
    return without_undeclared(
        expected_guest(desired, observed, identities, desired.vms[VM], record, 0, bridges)
    )


def without_undeclared(config: GuestConfig) -> GuestConfig:
    """The guest without run number and PCI addresses, which nobody declares, and what only placement looks at."""
    nics = tuple(replace(nic, pci=None) for nic in config.nics)
    return replace(config, run=0, nics=nics, memory=replace(config.memory, guaranteed_bytes=0))


def expected_kinds(rule: FieldRule) -> set[str]:
    """The steps of a row: a changed manifest of a VM is written into its record, unless nothing is done at all."""
    key = (rule.field, rule.when)
    recorded = (
        rule.field.startswith("vm.") and rule.effect is not Effect.OBSERVE_ONLY and key not in UNRECORDED
    )
    return STEPS.get(key, set()) | ({"write-vm-record"} if recorded else set())


def test_every_row_of_the_table_has_an_example_and_no_example_is_of_another_row():
    assert EDITS.keys() == {(rule.field, rule.when) for rule in TABLE}


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: f"{rule.field} {rule.when}")
def test_the_edit_has_the_effect_that_its_row_names(rule: FieldRule):
    done, key = carry_edit(rule), (rule.field, rule.when)

    assert done.kinds == expected_kinds(rule)
    if rule.effect is Effect.NEXT_START:
        field = rule.field.replace("vm.disks.", f"vm.disks[{DISK}].").replace("vm.nics.", "vm.nics[eth0].")
        assert {field} <= done.pending <= {field, *LARGER.get(rule.field, ())}
        assert done.after == done.before
    elif rule.effect is Effect.REFUSE:
        assert key in REFUSED or key in DISOWNED
        if key in REFUSED:
            found = [(one.object, change.field) for one in done.blocked for change in one.fields]
            assert REFUSED[key] in found
        else:
            name, words = DISOWNED[key]
            assert [words in one.reason for one in done.blocked if one.object == name] == [True]
        assert done.after == done.before
    elif rule.effect is Effect.OBSERVE_ONLY:
        assert done.after == done.before
    else:
        assert done.blocked == ()
        assert done.pending == set()
        assert done.after == (None if "stop-vm" in done.kinds else done.declared)


def test_no_row_has_expectations_that_the_table_does_not_name():
    effects = {(rule.field, rule.when): rule.effect for rule in TABLE}

    assert {key for key in effects if effects[key] is Effect.REFUSE} == REFUSED.keys() | DISOWNED.keys()
    assert effects.keys() >= STEPS.keys() | UNRECORDED


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: f"{rule.field} {rule.when}")
def test_the_guest_feels_what_the_row_says(rule: FieldRule):
    expected = PLACED.get(rule.field, rule.disruption) if rule.when == "stopped" else rule.disruption

    assert carry_edit(rule).felt is expected
