"""A declared VM as the guest that it is to be: references resolved, what was decided once taken from its record."""

from collections.abc import Mapping

from nodeagent.wire.guest import (
    CdromConfig,
    CpuConfig,
    DiskConfig,
    GuestConfig,
    MemoryConfig,
    NicConfig,
    VncConfig,
)
from nodeagent.wire.records import VmRecord
from reconciler.model.change import Identities
from reconciler.model.desired import Cdrom, Desired, VirtualMachine
from reconciler.model.identity import disk_volume_uuid
from reconciler.model.observed import Observed


def expected_guest(
    desired: Desired,
    observed: Observed,
    identities: Identities,
    vm: VirtualMachine,
    record: VmRecord,
    run: int,
    bridges: Mapping[str, str],
) -> GuestConfig:
    """The whole guest of `vm` for run number `run`. MACs, PCI addresses, machine and CPU model come from its record,
    format and place of its disks from the images that there are.

    bridges: by network, the bridge's name that holds in this plan.
    """
    return GuestConfig(
        uuid=record.uuid,
        object=vm.meta.id,
        data_center=desired.data_center.uuid,
        title=vm.meta.name,
        run=run,
        machine=record.machine,
        cpu=_cpu(vm, record),
        memory=MemoryConfig(vm.memory_bytes, vm.maximum_memory_bytes, vm.guaranteed_memory_bytes),
        firmware=vm.firmware,
        kernel=vm.kernel,
        disks=_disks(desired, observed, identities, vm),
        cdrom=_cdrom(desired, vm.cdrom),
        nics=_nics(bridges, vm, record),
        vnc=VncConfig(str(vm.vnc.password) if vm.vnc.password else None) if vm.vnc else None,
        serial=vm.serial,
        balloon=vm.balloon,
        rng=vm.rng,
        tpm=vm.tpm,
        description=vm.description,
    )


def _cpu(vm: VirtualMachine, record: VmRecord) -> CpuConfig:
    """Topology as declared, model as resolved."""
    cpu = vm.cpu
    return CpuConfig(cpu.model or record.cpu_model, cpu.sockets, cpu.cores, cpu.threads, cpu.maximum_sockets)


def _disks(
    desired: Desired, observed: Observed, identities: Identities, vm: VirtualMachine
) -> tuple[DiskConfig, ...]:
    """Attached disks in declared order, with the uuids of their images and volumes."""
    found = []
    for attachment in vm.disks:
        disk = desired.disks[attachment.disk]
        image = identities.disks[attachment.disk]
        seen = observed.disks.get(image)
        there = seen.volume if seen else None
        domain = desired.storage_domains[disk.storage_domain].uuid
        volume = seen.record.volume if seen and seen.record else disk_volume_uuid(image)
        found.append(
            DiskConfig(
                name=attachment.disk,
                storage_domain=seen.storage_domain if seen and there else domain,
                image=image,
                volume=volume,
                format=there.format if there else disk.format,
                bus=attachment.bus,
                boot_order=attachment.boot_order,
                read_only=attachment.read_only,
            )
        )
    return tuple(found)


def _cdrom(desired: Desired, cdrom: Cdrom | None) -> CdromConfig | None:
    """The CD drive with its domain's uuid; an empty drive has neither."""
    if cdrom is None or cdrom.storage_domain is None:
        return None if cdrom is None else CdromConfig()
    return CdromConfig(desired.storage_domains[cdrom.storage_domain].uuid, cdrom.file)


def _nics(bridges: Mapping[str, str], vm: VirtualMachine, record: VmRecord) -> tuple[NicConfig, ...]:
    """Cards in declared order; a declared MAC goes before the one in the record."""
    return tuple(
        NicConfig(
            name=nic.name,
            network=nic.network,
            bridge=bridges[nic.network],
            mac=nic.mac or record.macs[nic.name],
            model=nic.model,
            link=nic.link,
            pci=record.pci.get(nic.name),
        )
        for nic in vm.nics
    )
