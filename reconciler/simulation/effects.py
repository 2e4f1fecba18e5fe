"""What each kind of order does to the world, with the refusals and the checks of the real agent."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from nodeagent.wire.arguments import (
    Arguments,
    AttachDisk,
    AttachNic,
    ChangeCdrom,
    ConnectStorageDomain,
    CreateDisk,
    CreateNetwork,
    CreateStorageDomain,
    DetachDisk,
    DetachNic,
    DisconnectStorageDomain,
    GrowDisk,
    PauseVm,
    PurgeDisk,
    PurgeVm,
    RecordExit,
    RemoveDisk,
    RemoveNetwork,
    RemoveVm,
    RenewCertificate,
    RestoreDisk,
    ResumeVm,
    SetMaintenance,
    SetVmCpus,
    SetVmMemory,
    SetVncPassword,
    StopVm,
    UpdateNetwork,
    UpdateNic,
    WriteDiskRecord,
    WritePoolRecord,
    WriteVmRecord,
)
from nodeagent.wire.facts import CertificateFacts, NetworkFacts
from nodeagent.wire.guest import NicConfig
from nodeagent.wire.records import VmRecord, VolumeFacts
from reconciler.simulation.guests import (
    boot_guest,
    home_guest,
    keep_digests,
    reboot_guest,
    records_of,
    stop_guest,
    with_address,
)
from reconciler.simulation.host import SimulatedHost
from reconciler.simulation.storage import SimulatedStorage, SimulationFault
from reconciler.simulation.world import World

Outputs = dict[str, Any]
MIB = 2**20


def place(world: World, host: SimulatedHost, uuid: str) -> SimulatedStorage:
    """A storage domain that the host is connected to. Raises SimulationFault otherwise."""
    if uuid not in host.connected:
        raise SimulationFault(f"storage domain {uuid} is not connected on {host.id}")
    return world.storage[uuid]


def _create_domain(world: World, host: SimulatedHost, args: CreateStorageDomain, _key: str) -> Outputs:
    world.storage.setdefault(args.uuid, SimulatedStorage(args.uuid, args.master))
    host.data_center = args.data_center
    return {}


def _connect(world: World, host: SimulatedHost, args: ConnectStorageDomain, _key: str) -> Outputs:
    if args.uuid not in world.storage:
        raise SimulationFault(f"there is no storage domain {args.uuid} at {args.connection.path}")
    host.connected[args.uuid] = True
    host.host_id, host.data_center = args.host_id, args.data_center
    return {}


def _disconnect(_world: World, host: SimulatedHost, args: DisconnectStorageDomain, _key: str) -> Outputs:
    if any(disk.storage_domain == args.uuid for one in host.guests.values() for disk in one.config.disks):
        raise SimulationFault("a guest uses it")
    host.connected.pop(args.uuid, None)
    return {}


def _write_pool(world: World, host: SimulatedHost, args: WritePoolRecord, _key: str) -> Outputs:
    domain = place(world, host, args.storage_domain)
    if args.record.revision != (domain.pool.revision if domain.pool else 0) + 1:
        raise SimulationFault("the pool's record was changed meanwhile")
    domain.pool = args.record
    return {}


def _create_network(_world: World, host: SimulatedHost, args: CreateNetwork, _key: str) -> Outputs:
    if args.nic is not None and args.nic not in host.nics:
        raise SimulationFault(f"there is no NIC {args.nic}")
    host.networks[args.bridge] = NetworkFacts(args.bridge, args.network, args.nic, args.mtu, up=True)
    return {}


def _update_network(_world: World, host: SimulatedHost, args: UpdateNetwork, _key: str) -> Outputs:
    host.networks[args.bridge] = NetworkFacts(args.bridge, args.network, args.nic, args.mtu, up=True)
    return {}


def _remove_network(_world: World, host: SimulatedHost, args: RemoveNetwork, _key: str) -> Outputs:
    if any(nic.bridge == args.bridge for one in host.guests.values() for nic in one.config.nics):
        raise SimulationFault("a guest is plugged into it")
    host.networks.pop(args.bridge, None)
    return {}


def _maintenance(_world: World, host: SimulatedHost, args: SetMaintenance, _key: str) -> Outputs:
    if args.maintenance and host.guests:
        raise SimulationFault("guests run here")
    host.maintenance = args.maintenance
    return {}


def _create_disk(world: World, host: SimulatedHost, args: CreateDisk, key: str) -> Outputs:
    domain = place(world, host, args.storage_domain)
    domain.write_disk(replace(args.record, last_order=key))
    actual = args.capacity_bytes if args.allocation == "preallocated" else MIB
    domain.volumes[args.record.image] = VolumeFacts(
        image=args.record.image,
        volume=args.record.volume,
        format=args.format,
        allocation=args.allocation,
        capacity_bytes=args.capacity_bytes,
        actual_bytes=actual,
        description=args.description,
    )
    return {}


def _grow_disk(world: World, host: SimulatedHost, args: GrowDisk, _key: str) -> Outputs:
    domain = place(world, host, args.storage_domain)
    volume = domain.volumes[args.image]
    if args.capacity_bytes < volume.capacity_bytes:
        raise SimulationFault("a volume is never shrunk")
    if args.vm is not None and args.vm not in host.guests:
        raise SimulationFault(f"the guest {args.vm} does not run here")
    domain.volumes[args.image] = replace(volume, capacity_bytes=args.capacity_bytes)
    return {}


def _write_disk(world: World, host: SimulatedHost, args: WriteDiskRecord, key: str) -> Outputs:
    place(world, host, args.record.storage_domain).write_disk(replace(args.record, last_order=key))
    return {}


def _remove_disk(world: World, host: SimulatedHost, args: RemoveDisk, key: str) -> Outputs:
    domain = place(world, host, args.record.storage_domain)
    if domain.disks[args.record.image].allow_destroy != args.record.image:
        raise SimulationFault("its record holds no consent")
    removed = replace(
        args.record,
        removed=True,
        removed_at_ms=world.wallclock_ms + host.skew_ms,
        allow_destroy=None,
        last_order=key,
    )
    domain.write_disk(removed)
    if args.record.image in domain.volumes:
        domain.volumes[args.record.image] = replace(domain.volumes[args.record.image], removed=True)
    return {}


def _restore_disk(world: World, host: SimulatedHost, args: RestoreDisk, key: str) -> Outputs:
    domain = place(world, host, args.record.storage_domain)
    domain.write_disk(replace(args.record, removed=False, removed_at_ms=None, last_order=key))
    domain.volumes[args.record.image] = replace(domain.volumes[args.record.image], removed=False)
    return {}


def _purge_disk(world: World, host: SimulatedHost, args: PurgeDisk, _key: str) -> Outputs:
    domain = place(world, host, args.storage_domain)
    removed_at = domain.disks[args.image].removed_at_ms
    if removed_at is None or world.wallclock_ms + host.skew_ms - removed_at < args.retention_ms:
        raise SimulationFault("it is still to be kept")
    domain.volumes.pop(args.image, None)
    return {}


def _renew_certificate(world: World, host: SimulatedHost, _args: RenewCertificate, key: str) -> Outputs:
    former, now_ms = host.certificate, world.wallclock_ms
    if former is None:
        raise SimulationFault("this host has no certificate")
    life_ms = former.expires_ms - former.begins_ms
    host.certificate = CertificateFacts(f"renewed by {key}", now_ms, now_ms + life_ms)
    host.changed()
    return {}


def _write_vm(world: World, host: SimulatedHost, args: WriteVmRecord, key: str) -> Outputs:
    records_of(world, host, args.master).write(replace(args.record, last_order=key))
    guest = host.guests.get(args.record.uuid)
    if guest is not None:
        guest.managed = True
    return {}


def _record_exit(world: World, host: SimulatedHost, args: RecordExit, key: str) -> Outputs:
    records = records_of(world, host, args.master)
    by_manifest = args.stopped_by_manifest
    records.close_run(args.vm, args.run, args.reason, key, stopped_by_manifest=by_manifest, ends=args.ends)
    for other in world.hosts.values():
        kept = other.exits.get(args.vm)
        if kept is not None and kept.run <= args.run:
            del other.exits[args.vm]
            other.changed()
    return {}


def _remove_vm(world: World, host: SimulatedHost, args: RemoveVm, key: str) -> Outputs:
    records = records_of(world, host, args.master)
    record = records.master.record(args.vm)
    if args.vm in host.guests:
        raise SimulationFault("it runs here")
    if not record.removed:
        if record.allow_destroy != args.vm or (record.run is not None and record.run.closed is None):
            raise SimulationFault("its record holds no consent, or it may be running")
        records.bury(args.vm, world.wallclock_ms + host.skew_ms, key)
    for shelf in _shelves(world, host, records.master, record):
        if args.vm in shelf.kept:
            shelf.kept.remove(args.vm)
            shelf.set_aside.add(args.vm)
    return {}


def _purge_vm(world: World, host: SimulatedHost, args: PurgeVm, _key: str) -> Outputs:
    domain = place(world, host, args.master)
    record = domain.record(args.vm)
    removed_at = record.removed_at_ms
    if removed_at is None or world.wallclock_ms + host.skew_ms - removed_at < args.retention_ms:
        raise SimulationFault("it is still to be kept")
    for shelf in _shelves(world, host, domain, record):
        shelf.set_aside.discard(args.vm)
    return {}


def _shelves(
    world: World, host: SimulatedHost, master: SimulatedStorage, record: VmRecord
) -> Iterator[SimulatedStorage | SimulatedHost]:
    """Where a VM can have left something besides its disks, as far as the host reaches it."""
    yield master
    if record.copy_domain in host.connected:
        yield world.storage[record.copy_domain]
    yield host


def _stop(world: World, host: SimulatedHost, args: StopVm, key: str) -> Outputs:
    stop_guest(world, host, args, key)
    return {}


def _pause(_world: World, host: SimulatedHost, args: PauseVm, _key: str) -> Outputs:
    guest = home_guest(host, args.vm)
    if guest.state != "paused":
        guest.state, guest.pause_reason = "paused", "user"
    return {}


def _resume(_world: World, host: SimulatedHost, args: ResumeVm, _key: str) -> Outputs:
    guest = home_guest(host, args.vm)
    guest.state, guest.pause_reason = "running", ""
    return {}


def _memory(_world: World, host: SimulatedHost, args: SetVmMemory, _key: str) -> Outputs:
    guest = home_guest(host, args.vm)
    if args.current_bytes > guest.config.memory.maximum_bytes:
        raise SimulationFault("more than the guest was started with")
    guest.config = replace(
        guest.config, memory=replace(guest.config.memory, current_bytes=args.current_bytes)
    )
    return {}


def _cpus(_world: World, host: SimulatedHost, args: SetVmCpus, _key: str) -> Outputs:
    guest = home_guest(host, args.vm)
    cpu = guest.config.cpu
    if args.vcpus > cpu.maximum_vcpus:
        raise SimulationFault("more than the guest was started with")
    guest.config = replace(guest.config, cpu=replace(cpu, sockets=args.vcpus // (cpu.cores * cpu.threads)))
    return {}


def _need_bridge(host: SimulatedHost, nic: NicConfig) -> None:
    """Raises SimulationFault if there is no bridge, or one of somebody else's, where a card is to be plugged in."""
    bridge = host.networks.get(nic.bridge)
    if bridge is None or bridge.network is None:
        raise SimulationFault(f"there is no bridge {nic.bridge} of ours on {host.id}")


def _update_nic(_world: World, host: SimulatedHost, args: UpdateNic, _key: str) -> Outputs:
    guest = home_guest(host, args.vm)
    _need_bridge(host, args.after)
    nics = tuple(args.after if nic.name == args.before.name else nic for nic in guest.config.nics)
    guest.config = replace(guest.config, nics=nics)
    return {}


def _attach_nic(world: World, host: SimulatedHost, args: AttachNic, _key: str) -> Outputs:
    guest = home_guest(host, args.vm)
    _need_bridge(host, args.nic)
    nic = with_address(args.nic, guest.config.nics)
    guest.config = replace(guest.config, nics=(*guest.config.nics, nic))
    pci = {nic.name: str(nic.pci)}
    records_of(world, host, args.master).keep_findings(args.vm, pci)
    return {"pci": pci}


def _detach_nic(_world: World, host: SimulatedHost, args: DetachNic, _key: str) -> Outputs:
    guest = home_guest(host, args.vm)
    guest.config = replace(
        guest.config, nics=tuple(one for one in guest.config.nics if one.name != args.nic.name)
    )
    return {}


def _attach_disk(world: World, host: SimulatedHost, args: AttachDisk, _key: str) -> Outputs:
    guest = home_guest(host, args.vm)
    if args.disk.image not in place(world, host, args.disk.storage_domain).volumes:
        raise SimulationFault(f"there is no image {args.disk.image}")
    guest.config = replace(guest.config, disks=(*guest.config.disks, args.disk))
    return {}


def _detach_disk(_world: World, host: SimulatedHost, args: DetachDisk, _key: str) -> Outputs:
    guest = home_guest(host, args.vm)
    guest.config = replace(
        guest.config, disks=tuple(one for one in guest.config.disks if one.image != args.disk.image)
    )
    return {}


def _cdrom(_world: World, host: SimulatedHost, args: ChangeCdrom, _key: str) -> Outputs:
    guest = home_guest(host, args.vm)
    guest.config = replace(guest.config, cdrom=args.cdrom)
    return {}


def _password(_world: World, host: SimulatedHost, args: SetVncPassword, _key: str) -> Outputs:
    guest = home_guest(host, args.vm)
    if guest.config.vnc is None:
        raise SimulationFault("it has no VNC console")
    guest.config = replace(guest.config, vnc=replace(guest.config.vnc, password=args.password))
    return {}


Effect = Callable[[World, SimulatedHost, Any, str], Outputs]

EFFECTS: dict[str, Effect] = {
    "create-storage-domain": _create_domain,
    "connect-storage-domain": _connect,
    "disconnect-storage-domain": _disconnect,
    "write-pool-record": _write_pool,
    "create-network": _create_network,
    "update-network": _update_network,
    "remove-network": _remove_network,
    "set-maintenance": _maintenance,
    "create-disk": _create_disk,
    "grow-disk": _grow_disk,
    "write-disk-record": _write_disk,
    "remove-disk": _remove_disk,
    "restore-disk": _restore_disk,
    "purge-disk": _purge_disk,
    "renew-certificate": _renew_certificate,
    "write-vm-record": _write_vm,
    "record-exit": _record_exit,
    "remove-vm": _remove_vm,
    "purge-vm": _purge_vm,
    "start-vm": boot_guest,
    "stop-vm": _stop,
    "reboot-vm": reboot_guest,
    "pause-vm": _pause,
    "resume-vm": _resume,
    "set-vm-memory": _memory,
    "set-vm-cpus": _cpus,
    "update-nic": _update_nic,
    "attach-nic": _attach_nic,
    "detach-nic": _detach_nic,
    "attach-disk": _attach_disk,
    "detach-disk": _detach_disk,
    "change-cdrom": _cdrom,
    "set-vnc-password": _password,
}
"""Effects that happen at one moment, at the end of the order's time. A migration has a begin and an end of its own."""


def take_effect(
    world: World,
    host: SimulatedHost,
    kind: str,
    arguments: Arguments,
    key: str,
    digests: Mapping[str, str] | None = None,
) -> Outputs:
    """Does one order. digests: HMACs of the secrets that came with it. Raises SimulationFault where the agent would
    fail it, with nothing done."""
    outputs = EFFECTS[kind](world, host, arguments, key)
    keep_digests(host, arguments, digests or {})
    host.changed()
    world.note(host.id, f"{kind} {key.partition('/')[2]}")
    return outputs
