"""What one VM asks of a host."""

from collections.abc import Iterator
from dataclasses import dataclass

from nodeagent.wire.guest import GuestConfig
from reconciler.model.capacity import footprint_after, guest_footprint, vm_footprint
from reconciler.model.change import Identities
from reconciler.model.desired import Desired, RunPolicy, VirtualMachine
from reconciler.model.intents import move_intent
from reconciler.model.observed import Observed, Presence, VmObservation

VCPU_LOAD_PERCENT = 10
"""Load of a vCPU that has not run yet, in percent of one CPU (VcpuConsumptionPercentage)."""


@dataclass(frozen=True, slots=True)
class VmDemand:
    """One VM as filters and weights see it. current: host id where it runs now. load: percent of one CPU, summed.

    bound: hosts to which its state binds it (TPM state lies on the host where it ran last), empty if none.
    away: a person asked it to leave its host; destination: for this one, if a host was named.
    memory_bytes: what it takes where it is to run; released_bytes: what it gives back where it runs now.
    restarts: whether it is started again after a failure.
    """

    vm: str
    memory_bytes: int
    vcpus: int
    load: int
    machine: str | None
    cpu_model: str | None
    networks: frozenset[str]
    domains: frozenset[str]
    pinned: frozenset[str]
    bound: frozenset[str]
    current: str | None
    released_bytes: int = 0
    restarts: bool = False
    away: bool = False
    destination: str | None = None


def demand_of(desired: Desired, observed: Observed, identities: Identities, vm: VirtualMachine) -> VmDemand:
    """A declared VM and its observation as a demand; what its record has resolved, and where its images lie, goes
    before the manifest."""
    seen = observed.vms.get(identities.vms[vm.meta.id])
    record = seen.record if seen else None
    running = seen is not None and seen.presence is Presence.RUNNING
    cluster = desired.clusters[vm.cluster]
    config = seen.guest.config if seen and running and seen.guest else None
    taken = guest_footprint(config) if config else 0
    intent = move_intent(desired, vm, record, seen.host) if seen and running else None
    return VmDemand(
        vm=vm.meta.id,
        memory_bytes=footprint_after(vm, config) if config else vm_footprint(vm),
        vcpus=vm.cpu.vcpus,
        load=VCPU_LOAD_PERCENT * vm.cpu.vcpus,
        machine=config.machine if config else record.machine if record else vm.machine or cluster.machine,
        cpu_model=config.cpu.model
        if config
        else vm.cpu.model or (record.cpu_model if record else cluster.cpu_model),
        networks=frozenset(nic.network for nic in vm.nics),
        domains=frozenset(_domains(desired, observed, identities, vm, config)),
        pinned=frozenset(vm.hosts),
        bound=_bound(desired, vm, seen) if vm.tpm and not running else frozenset(),
        current=seen.host if seen and running else None,
        released_bytes=taken,
        restarts=vm.run_policy in (RunPolicy.ALWAYS, RunPolicy.RESTART_ON_FAILURE),
        away=intent is not None,
        destination=intent.host if intent else None,
    )


def _domains(
    desired: Desired,
    observed: Observed,
    identities: Identities,
    vm: VirtualMachine,
    config: GuestConfig | None,
) -> Iterator[str]:
    """Ids of the domains with the VM's disks and CD, as declared and as the running guest has them."""
    yield from (_domain_of(desired, observed, identities, one.disk) for one in vm.disks)
    if vm.cdrom is not None and vm.cdrom.storage_domain is not None:
        yield vm.cdrom.storage_domain
    if config is not None:
        yield from (_name_of(desired, one.storage_domain) for one in config.disks)
        if config.cdrom is not None and config.cdrom.storage_domain is not None:
            yield _name_of(desired, config.cdrom.storage_domain)


def _domain_of(desired: Desired, observed: Observed, identities: Identities, disk: str) -> str:
    """The id of the domain that holds a disk's image, or is to hold it; by uuid, if no manifest declares it."""
    declared = desired.disks[disk].storage_domain
    seen = observed.disks.get(identities.disks[disk])
    if seen is None or seen.volume is None or seen.storage_domain == desired.storage_domains[declared].uuid:
        return declared
    return _name_of(desired, seen.storage_domain)


def _name_of(desired: Desired, domain: str) -> str:
    """The id of a domain; by uuid, if no manifest declares it."""
    names = {one.uuid: name for name, one in desired.storage_domains.items()}
    return names.get(domain, f"sd/{domain}")


def _bound(desired: Desired, vm: VirtualMachine, seen: VmObservation | None) -> frozenset[str]:
    """Hosts of the last run of a VM whose TPM state lies there."""
    run = seen.record.run if seen and seen.record else None
    uuids = {one.uuid for one in run.hosts} if run else set()
    return frozenset(
        name for name, host in desired.hosts.items() if host.uuid in uuids and host.cluster == vm.cluster
    )


def growth_of(vm: VirtualMachine, seen: VmObservation) -> int:
    """Bytes by which a running VM takes more from its host once this plan has changed or restarted it; 0 if none."""
    config = seen.guest.config if seen.guest else None
    if config is None or _same_size(vm, config):
        return 0
    return max(0, footprint_after(vm, config) - guest_footprint(config))


def _same_size(vm: VirtualMachine, config: GuestConfig) -> bool:
    """Whether a guest takes what is declared; so it is with almost every VM of a pass."""
    return (vm.memory_bytes, vm.cpu.maximum_vcpus, vm.vnc is None) == (
        config.memory.current_bytes,
        config.cpu.maximum_vcpus,
        config.vnc is None,
    )
