"""What is decided once about a VM or disk and kept in its record: addresses, machine type, CPU model, consent."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import islice

from nodeagent.wire.facts import HostCapabilities
from nodeagent.wire.records import DiskRecord, VmRecord
from reconciler.model.change import Identities
from reconciler.model.desired import Desired, Disk, VirtualMachine
from reconciler.model.identity import disk_volume_uuid, mac_candidates
from reconciler.model.observed import DiskObservation, Observed, VmObservation

MAC_ATTEMPTS = 64
MACHINE_FAMILIES = {"q35": "pc-q35-", "pc": "pc-i440fx-"}


class UndecidedError(Exception):
    """A value that must be resolved once cannot be: no host of the cluster has answered, or they have none in common."""


class MacLedger:
    """MAC addresses in use in the data center; grows while one pass assigns new ones.

    find_used is called at the first assignment: most passes assign none.
    """

    def __init__(self, find_used: Callable[[], set[str]]) -> None:
        self._find_used = find_used
        self._used: set[str] | None = None

    def assign(self, vm: str, nic: str, prefix: str) -> str:
        """The first free candidate of this card. Raises UndecidedError if the first 64 are all taken."""
        if self._used is None:
            self._used = self._find_used()
        for mac in islice(mac_candidates(vm, nic, prefix), MAC_ATTEMPTS):
            if mac not in self._used:
                self._used.add(mac)
                return mac
        raise UndecidedError(f"no free MAC address with prefix {prefix}; choose another macPrefix")


def used_macs(desired: Desired, observed: Observed) -> set[str]:
    """Every address that a record holds, a guest shows or a manifest declares."""
    used: set[str] = set()
    for seen in observed.vms.values():
        if seen.record is not None and not seen.record.removed:
            used.update(seen.record.macs.values())
        for one in seen.guests:
            used.update(one.facts.macs)
    used.update(nic.mac for vm in desired.vms.values() for nic in vm.nics if nic.mac)
    return used


def vm_record(
    desired: Desired,
    observed: Observed,
    identities: Identities,
    vm: VirtualMachine,
    seen: VmObservation | None,
    macs: MacLedger,
    master: str | None,
) -> VmRecord:
    """The record as it should be: the one there is with what the manifest changes, or a new one.

    revision is not raised here. Raises UndecidedError where something resolved once cannot be.
    """
    old = seen.record if seen else None
    uuid = identities.vms[vm.meta.id]
    kept = dict(old.macs) if old else _running_macs(seen)
    declared = {nic.name: nic.mac or kept.get(nic.name) or macs.assign(uuid, nic.name, desired.data_center.mac_prefix)
                for nic in vm.nics}  # fmt: skip
    machine, model = _machine(desired, observed, vm, old, seen), _cpu_model(desired, observed, vm, old, seen)
    base = old or VmRecord(
        uuid=uuid,
        object=vm.meta.id,
        data_center=desired.data_center.uuid,
        revision=0,
        incarnation=identities.incarnations.get(vm.meta.id, 1),
        machine=machine,
        cpu_model=model,
    )
    return replace(
        base,
        object=vm.meta.id,
        machine=machine,
        cpu_model=model,
        macs=declared,
        disks=tuple(one.disk for one in vm.disks),
        managed=True,
        removed=False,
        allow_destroy=vm.meta.allow_destroy,
        manifest_digest=vm.meta.digest,
        copy_domain=copy_domain(desired, master, vm),
    )


def _running_macs(seen: VmObservation | None) -> dict[str, str]:
    """Addresses of a guest that runs without a record, by card."""
    config = seen.guest.config if seen and seen.guest else None
    return {nic.name: nic.mac for nic in config.nics} if config else {}


def disk_record(
    desired: Desired, identities: Identities, disk: Disk, seen: DiskObservation | None
) -> DiskRecord:
    """The disk's record as it should be; revision is not raised here."""
    image = identities.disks[disk.meta.id]
    old = seen.record if seen else None
    base = old or DiskRecord(
        image=image,
        volume=seen.volume.volume if seen and seen.volume else disk_volume_uuid(image),
        object=disk.meta.id,
        data_center=desired.data_center.uuid,
        storage_domain=desired.storage_domains[disk.storage_domain].uuid,
        revision=0,
        incarnation=identities.incarnations.get(disk.meta.id, 1),
    )
    return replace(
        base,
        object=disk.meta.id,
        managed=True,
        allow_destroy=disk.meta.allow_destroy,
        manifest_digest=disk.meta.digest,
    )


def _machine(
    desired: Desired, observed: Observed, vm: VirtualMachine, old: VmRecord | None, seen: VmObservation | None
) -> str:
    """A versioned machine type: declared, kept, what an adopted guest has, the cluster's, or the oldest default."""
    wanted = vm.machine or (old.machine if old else None) or desired.clusters[vm.cluster].machine
    if seen and not old and seen.guest and seen.guest.config and not vm.machine:
        return seen.guest.config.machine
    if old and vm.machine in (None, old.machine):
        return old.machine
    found = list(_capabilities(desired, observed, vm.cluster))
    if wanted and wanted not in MACHINE_FAMILIES:
        return wanted
    if not found:
        raise UndecidedError(f"no host of {vm.cluster} has answered, so its machine types are not known")
    if wanted in MACHINE_FAMILIES:
        if old and old.machine.startswith(MACHINE_FAMILIES[wanted]):
            return old.machine
        common = set.intersection(*(set(one.machines) for one in found))
        family = [name for name in common if name.startswith(MACHINE_FAMILIES[wanted])]
        if not family:
            raise UndecidedError(
                f"the hosts of {vm.cluster} have no machine type of family {wanted} in common"
            )
        return max(family, key=_version)
    return min((one.default_machine for one in found), key=_version)


@cache
def _version(machine: str) -> tuple[int, ...]:
    """`pc-q35-7.2` as (7, 2), so that 10.0 follows 9.2."""
    digits = machine.rpartition("-")[2]
    return tuple(int(part) for part in digits.split(".") if part.isdigit())


def _cpu_model(
    desired: Desired, observed: Observed, vm: VirtualMachine, old: VmRecord | None, seen: VmObservation | None
) -> str:
    """A named model: declared, kept, an adopted guest's, the cluster's, or the best that all its hosts can run."""
    if vm.cpu.model or old:
        return vm.cpu.model or (old.cpu_model if old else "")
    if seen and seen.guest and seen.guest.config:
        return seen.guest.config.cpu.model
    model = desired.clusters[vm.cluster].cpu_model
    if model:
        return model
    found = list(_capabilities(desired, observed, vm.cluster))
    if not found:
        raise UndecidedError(f"no host of {vm.cluster} has answered, so its CPU models are not known")
    common = set.intersection(*(set(one.cpu_models) for one in found))
    if not common:
        raise UndecidedError(
            f"the hosts of {vm.cluster} have no CPU model in common; give the cluster a cpuModel"
        )
    return next(model for model in reversed(found[0].cpu_models) if model in common)


def _capabilities(desired: Desired, observed: Observed, cluster: str) -> Iterator[HostCapabilities]:
    """Capabilities of the cluster's hosts that answer, by host id."""
    for name, host in desired.hosts.items():
        seen = observed.hosts.get(name)
        if host.cluster == cluster and seen is not None and seen.answering and seen.state is not None:
            yield seen.state.capabilities


def copy_domain(desired: Desired, master: str | None, vm: VirtualMachine) -> str | None:
    """The data domain of the first disk, if that is not the master itself."""
    if not vm.disks:
        return None
    domain = desired.storage_domains[desired.disks[vm.disks[0].disk].storage_domain].uuid
    return None if domain == master else domain
