"""Manifests, and what was observed of them, as a simulated world. `ostler simulate` lets plans and faults loose on it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nodeagent.wire.facts import GuestFacts, HostCapabilities, HostState, StorageContents
from nodeagent.wire.guest import CpuConfig, GuestConfig, MemoryConfig
from reconciler.model.desired import Desired, Host
from reconciler.model.reports import HostReport, Reports
from reconciler.simulation.host import CAPABILITIES, SimulatedGuest, SimulatedHost
from reconciler.simulation.storage import SimulatedStorage
from reconciler.simulation.world import World

USUAL_NICS = ("eth0", "eth1")


@dataclass(frozen=True, slots=True)
class HostSize:
    """What a host that nobody observed is taken to have."""

    memory_bytes: int
    cpus: int


def found_world(desired: Desired, size: HostSize, reports: Reports | None = None) -> World:
    """A world with the declared hosts. Those observed are as they were; one that was silent is cut off; the others
    are bare, of this size, and can run every CPU model and machine type that the manifests name."""
    seen = {one.uuid: one for one in reports.hosts} if reports else {}
    capabilities = _capabilities(desired, size)
    hosts = {
        name: _host(host, seen.get(host.uuid), capabilities, observed=reports is not None)
        for name, host in desired.hosts.items()
    }
    contents = (one.contents for one in reports.storage) if reports else ()
    storage = {one.uuid: _storage(one) for one in contents if one is not None}
    world = World(hosts, storage, epoch_ms=(reports.wallclock_ms if reports else None) or 0)
    for host in hosts.values():
        for uuid in [one for one in host.connected if one not in storage]:
            del host.connected[uuid]  # nobody could read it, so nothing is known of it
    return world


def _capabilities(desired: Desired, size: HostSize) -> HostCapabilities:
    clusters, vms = desired.clusters.values(), desired.vms.values()
    models = {one.cpu_model for one in clusters} | {one.cpu.model for one in vms}
    machines = {one.machine for one in clusters} | {one.machine for one in vms}
    usual = CAPABILITIES
    return replace(
        usual,
        memory_bytes=size.memory_bytes,
        threads=size.cpus,
        cores=size.cpus,
        cpu_models=(*usual.cpu_models, *sorted({one for one in models if one} - set(usual.cpu_models))),
        machines=(*usual.machines, *sorted({one for one in machines if one} - set(usual.machines))),
    )


def _host(
    host: Host, report: HostReport | None, capabilities: HostCapabilities, *, observed: bool
) -> SimulatedHost:
    if report is not None and report.state is not None:
        copied = _copy_host(host, report.state)
        copied.reachable = report.status == "answering"
        return copied
    nics = tuple(sorted({*USUAL_NICS, *(one.nic for one in host.networks if one.nic)}))
    return SimulatedHost(
        host.meta.id, host.uuid, capabilities, nics=nics, resync_needed=False, reachable=not observed
    )


def _copy_host(host: Host, state: HostState) -> SimulatedHost:
    """The host as its state document describes it."""
    return SimulatedHost(
        host.meta.id,
        host.uuid,
        state.capabilities,
        first_boot=state.boot_id,
        generation=state.generation,
        data_center=state.data_center,
        host_id=state.host_id,
        maintenance=state.maintenance,
        nics=state.nics,
        guests={one.uuid: _guest(one) for one in state.guests},
        networks={one.bridge: one for one in state.networks},
        connected={one.uuid: True for one in state.storage if one.state == "active"},
        exits={one.vm: one for one in state.exits},
        resync_needed=False,
        epoch=state.lease.epoch,
    )


def _guest(facts: GuestFacts) -> SimulatedGuest:
    config = facts.config or _stranger(facts)
    state = "running" if facts.state in ("unknown", "shutting-down", "crashed") else facts.state
    return SimulatedGuest(
        config,
        0,
        state,
        facts.managed,
        facts.persistent,
        applied_secrets=facts.applied_secrets,
        pause_reason=facts.pause_reason,
    )


def _stranger(facts: GuestFacts) -> GuestConfig:
    """What is known of a guest that is not ours, or did not answer: enough to take its room."""
    memory = facts.memory_bytes
    return GuestConfig(
        uuid=facts.uuid,
        object=f"guest/{facts.uuid}",
        data_center=facts.uuid,
        title=facts.title,
        run=0,
        machine=CAPABILITIES.default_machine,
        cpu=CpuConfig("qemu64", max(1, facts.vcpus), 1, 1, max(1, facts.vcpus)),
        memory=MemoryConfig(memory, memory, memory),
    )


def _storage(contents: StorageContents) -> SimulatedStorage:
    return SimulatedStorage(
        contents.uuid,
        contents.master,
        contents.pool,
        {one.uuid: one for one in contents.vms},
        {one.image: one for one in contents.disks},
        {one.image: one for one in contents.volumes},
        contents.total_bytes or 2**44,
    )


def with_maintenance(desired: Desired, changes: Mapping[str, bool]) -> Desired:
    """The desired state with hosts in maintenance, or out of it, as if their manifests said so."""
    hosts = {
        name: replace(
            host,
            maintenance=changes[name],
            meta=replace(host.meta, digest=f"{host.meta.digest} maintenance {changes[name]}"),
        )
        if name in changes
        else host
        for name, host in desired.hosts.items()
    }
    return replace(desired, hosts=hosts)
