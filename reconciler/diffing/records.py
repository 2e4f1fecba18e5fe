"""What is decided once about a VM or disk and kept in its record: addresses, machine type, CPU model, consent."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from nodeagent.wire.records import DiskRecord, VmRecord
from reconciler.diffing.abilities import Abilities, cpu_model_of, machine_of
from reconciler.diffing.macs import MacLedger
from reconciler.model.change import Identities
from reconciler.model.desired import Desired, Disk, VirtualMachine
from reconciler.model.identity import disk_volume_uuid
from reconciler.model.observed import DiskObservation, VmObservation

Record = TypeVar("Record", VmRecord, DiskRecord)


def vm_record(
    desired: Desired,
    abilities: Mapping[str, Abilities],
    identities: Identities,
    vm: VirtualMachine,
    seen: VmObservation | None,
    disks: Mapping[str, DiskObservation],
    macs: MacLedger,
    master: str | None,
) -> VmRecord:
    """The record as it should be: the one there is with what the manifest changes, or a new one.

    The very same value if the manifest changes nothing. abilities: by cluster, what all its hosts can do. disks: by image.
    revision is not raised here. Raises UndecidedError where something resolved once cannot be.
    """
    old = seen.record if seen else None
    uuid = identities.vms[vm.meta.id]
    kept = dict(old.macs) if old else _running_macs(seen)
    declared = {nic.name: nic.mac or kept.get(nic.name) or macs.assign(uuid, nic.name, desired.data_center.mac_prefix)
                for nic in vm.nics}  # fmt: skip
    machine = machine_of(desired, abilities, vm, old, seen)
    model = cpu_model_of(desired, abilities, vm, old, seen)
    base = old or VmRecord(
        uuid=uuid,
        object=vm.meta.id,
        data_center=desired.data_center.uuid,
        revision=0,
        incarnation=identities.incarnations.get(vm.meta.id, 1),
        machine=machine,
        cpu_model=model,
    )
    return _settle(
        base,
        object=vm.meta.id,
        machine=machine,
        cpu_model=model,
        macs=declared,
        pci=_addresses(old, seen, declared),
        disks=(*(one.disk for one in vm.disks), *_not_let_go(identities, vm, seen)),
        managed=True,
        removed=False,
        allow_destroy=vm.meta.allow_destroy,
        manifest_digest=vm.meta.digest,
        manifest_generation=base.manifest_generation + (base.manifest_digest != vm.meta.digest),
        copy_domain=_copy_in_reach(desired, copy_domain(desired, identities, disks, vm, master), old, seen),
    )


def _settle(record: Record, **fields: Any) -> Record:
    """The record with these fields; the very same one, as with almost every VM of a pass, if it has them already."""
    for name, value in fields.items():
        if getattr(record, name) != value:
            return replace(record, **fields)
    return record


def _not_let_go(identities: Identities, vm: VirtualMachine, seen: VmObservation | None) -> Iterator[str]:
    """Disks of the record that the manifest no longer names and a guest still has, or may have out of sight.

    They stay in the record until they are proven unplugged: whoever else is to get one looks there.
    """
    declared = {one.disk for one in vm.disks}
    dropped = [name for name in seen.record.disks if name not in declared] if seen and seen.record else []
    if not dropped or seen is None or not (seen.guests or seen.doubts):
        return
    images = {identities.disks[name] for name in declared}
    configs = [one.facts.config for one in seen.guests]
    had = {disk.name for config in configs if config for disk in config.disks if disk.image not in images}
    sure = None not in configs and not seen.doubts
    yield from (name for name in dropped if name in had or not sure)


def _addresses(old: VmRecord | None, seen: VmObservation | None, macs: Mapping[str, str]) -> dict[str, str]:
    """PCI addresses by card: those of the record; where it has none, what a running guest shows. macs: by card."""
    kept = old.pci if old else {}
    if kept.keys() == macs.keys():
        return kept
    config = seen.guest.config if seen and seen.guest else None
    shown = {nic.name: nic.pci for nic in config.nics if macs.get(nic.name) == nic.mac} if config else {}
    found = {name: kept.get(name) or shown.get(name) for name in macs}
    return {name: address for name, address in found.items() if address}


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
    return _settle(
        base,
        object=disk.meta.id,
        managed=True,
        allow_destroy=disk.meta.allow_destroy,
        manifest_digest=disk.meta.digest,
    )


def _copy_in_reach(
    desired: Desired, wanted: str | None, old: VmRecord | None, seen: VmObservation | None
) -> str | None:
    """Where the copy is to lie; where it lay for as long as the guest runs on a host that cannot reach the new place:
    the host that sends it away claims the run, and that is to be in the copy as well."""
    holder = next((one.host for one in desired.storage_domains.values() if one.uuid == wanted), None)
    if holder is None or seen is None or all(one.host == holder for one in seen.guests):
        return wanted
    return old.copy_domain if old else None


def copy_domain(
    desired: Desired,
    identities: Identities,
    disks: Mapping[str, DiskObservation],
    vm: VirtualMachine,
    master: str | None,
) -> str | None:
    """The data domain where the first disk lies, or is to lie, if that is not the master itself. disks: by image."""
    if not vm.disks:
        return None
    name = vm.disks[0].disk
    seen = disks.get(identities.disks[name])
    declared = desired.storage_domains[desired.disks[name].storage_domain].uuid
    domain = seen.storage_domain if seen is not None else declared
    return None if domain == master else domain
