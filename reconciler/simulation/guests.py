"""Lives of simulated guests: start, stop, restart, and migration with its two ends."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nodeagent.wire.arguments import Arguments, MigrateVm, RebootVm, SetVncPassword, StartVm, StopVm
from nodeagent.wire.guest import GuestConfig, NicConfig
from reconciler.simulation.host import SimulatedGuest, SimulatedHost
from reconciler.simulation.records import SimulatedRecords, open_records
from reconciler.simulation.storage import SimulationFault
from reconciler.simulation.world import World

Outputs = dict[str, Any]


def home_guest(host: SimulatedHost, vm: str) -> SimulatedGuest:
    """A guest that runs on this host. Raises SimulationFault if it does not."""
    guest = host.guests.get(vm)
    if guest is None:
        raise SimulationFault(f"the guest {vm} does not run here")
    return guest


def records_of(world: World, host: SimulatedHost, master: str) -> SimulatedRecords:
    """The records on a master domain. Raises SimulationFault if it is not connected."""
    return open_records(world.storage, host, master)


def boot_guest(world: World, host: SimulatedHost, args: StartVm, key: str) -> Outputs:
    """Claims the run, checks what the guest needs, starts it, keeps the addresses that were chosen."""
    claim_start(world, host, args, key)
    return boot_claimed(world, host, args)


def claim_start(world: World, host: SimulatedHost, args: StartVm, key: str) -> None:
    """The first half of a start: everything is there, and from now on the record names this host."""
    if host.maintenance:
        raise SimulationFault(f"{host.id} is in maintenance")
    if args.config.uuid in host.guests:
        raise SimulationFault("it runs here already")
    _check_needs(world, host, args.config)
    records = records_of(world, host, args.master)
    records.claim_run(args.config.uuid, args.config.run, (host.run_host(),), key)


def boot_claimed(world: World, host: SimulatedHost, args: StartVm) -> Outputs:
    """The second half: the guest lives."""
    records = records_of(world, host, args.master)
    host.guests[args.config.uuid] = SimulatedGuest(_with_addresses(args.config), world.now_ms)
    host.exits.pop(args.config.uuid, None)
    _keep_state(world, host, args)
    pci = {nic.name: str(nic.pci) for nic in host.guests[args.config.uuid].config.nics}
    records.keep_findings(args.config.uuid, pci, [disk.name for disk in args.config.disks])
    return {"pci": pci}


def _keep_state(world: World, host: SimulatedHost, args: StartVm) -> None:
    """UEFI variables on the domain of the first disk, TPM state on the host."""
    config = args.config
    if config.firmware == "uefi":
        place = config.disks[0].storage_domain if config.disks else args.master
        world.storage[place].kept.add(config.uuid)
    if config.tpm:
        host.kept.add(config.uuid)


def keep_digests(host: SimulatedHost, args: Arguments, digests: Mapping[str, str]) -> None:
    """The guest's metadata names the digest of the console's password that an order gave it."""
    if isinstance(args, SetVncPassword):
        vm, reference = args.vm, args.password
    elif isinstance(args, StartVm | RebootVm):
        vm, reference = args.config.uuid, args.config.vnc.password if args.config.vnc else None
    else:
        return
    given = ((reference, digests.get(reference, "")),) if reference is not None else ()
    host.guests[vm].applied_secrets = given


def _check_needs(world: World, host: SimulatedHost, config: GuestConfig) -> None:
    """Volumes, bridges, machine type. Raises SimulationFault naming what is missing."""
    for disk in config.disks:
        domain = world.storage.get(disk.storage_domain)
        volume = domain.volumes.get(disk.image) if domain and disk.storage_domain in host.connected else None
        if volume is None or volume.removed:
            raise SimulationFault(f"the image of {disk.name} is not reachable on {host.id}")
    for nic in config.nics:
        if nic.bridge not in host.networks:
            raise SimulationFault(f"there is no bridge {nic.bridge} on {host.id}")
    if config.machine not in host.capabilities.machines:
        raise SimulationFault(f"{host.id} has no machine type {config.machine}")


def _with_addresses(config: GuestConfig) -> GuestConfig:
    """PCI addresses for cards that have none, as libvirt would choose them."""
    nics: list[NicConfig] = []
    for nic in config.nics:
        nics.append(with_address(nic, (*config.nics, *nics)))
    return replace(config, nics=tuple(nics))


def with_address(nic: NicConfig, others: tuple[NicConfig, ...]) -> NicConfig:
    """A card on the lowest bus that is free, if it has no address."""
    taken = {one.pci for one in others}
    free = (address for bus in range(1, 256) if (address := f"0000:{bus:02x}:00.0") not in taken)
    return nic if nic.pci else replace(nic, pci=next(free))


def stop_guest(world: World, host: SimulatedHost, args: StopVm, key: str) -> None:
    """Stops a guest and closes its run."""
    home_guest(host, args.vm)
    del host.guests[args.vm]
    records_of(world, host, args.master).close_run(
        args.vm, args.run, args.reason, key, stopped_by_manifest=args.stopped_by_manifest
    )
    records_of(world, host, args.master).keep_findings(args.vm, {}, args.disks)


def reboot_guest(world: World, host: SimulatedHost, args: RebootVm, key: str) -> Outputs:
    """Stops and starts in one order."""
    stop = StopVm(args.master, args.config.uuid, args.config.run - 1, "shutdown", args.timeout_ms, "stopped")
    stop_guest(world, host, stop, key)
    return boot_guest(world, host, StartVm(args.master, args.config), key)


def begin_migration(world: World, host: SimulatedHost, args: MigrateVm, key: str) -> SimulatedHost:
    """Claims the run on both hosts and makes the receiving end; the destination host."""
    guest = home_guest(host, args.vm)
    destination = world.host_by_uuid(args.destination)
    if not destination.powered or destination.boot_id != args.destination_boot_id:
        raise SimulationFault(f"{destination.id} is not there, or was booted again")
    if destination.maintenance:
        raise SimulationFault(f"{destination.id} is in maintenance")
    _check_needs(world, destination, guest.config)
    hosts = (host.run_host(), destination.run_host())
    records_of(world, host, args.master).claim_run(args.vm, args.run, hosts, key)
    config = replace(guest.config, run=args.run)
    destination.guests[args.vm] = SimulatedGuest(
        config, guest.started_ms, state="incoming", applied_secrets=guest.applied_secrets
    )
    host.changed()
    destination.changed()
    world.note(host.id, f"{guest.config.object} begins to move to {destination.id}")
    return destination


def end_migration(world: World, host: SimulatedHost, args: MigrateVm, *, moved: bool) -> None:
    """The switch-over, or the way back: the VM is exactly once somewhere, and its record says where."""
    destination = world.host_by_uuid(args.destination)
    source_lives, target_lives = args.vm in host.guests, args.vm in destination.guests
    records = records_of(world, host, args.master)
    end = "ended before its migration did"
    if moved and source_lives and target_lives:
        left, arrived = host.guests.pop(args.vm), destination.guests[args.vm]
        paused = left.state == "paused"
        arrived.state, arrived.pause_reason = ("paused", left.pause_reason) if paused else ("running", "")
        if args.vm in host.kept:
            host.kept.remove(args.vm)
            destination.kept.add(args.vm)
        records.settle_run(args.vm, args.run, (destination.run_host(),))
        end = f"has moved to {destination.id}"
    else:
        destination.guests.pop(args.vm, None)
    if source_lives and args.vm in host.guests:
        guest = host.guests[args.vm]
        guest.config = replace(guest.config, run=args.run)
        records.settle_run(args.vm, args.run, (host.run_host(),))
        end = "stays; its migration failed"
    host.changed()
    destination.changed()
    world.note(host.id, f"{records.master.record(args.vm).object} {end}")


def drop_incoming(world: World, args: MigrateVm) -> None:
    """The source is lost: what had arrived of the guest ends with the connection."""
    destination = world.host_by_uuid(args.destination)
    guest = destination.guests.get(args.vm)
    if guest is not None and guest.state == "incoming":
        del destination.guests[args.vm]
        destination.changed()
        world.note(destination.id, f"{guest.config.object} does not arrive: its source is lost")
