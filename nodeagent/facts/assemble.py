"""The state document: what every collector reports, put together. `publishing` calls it in its thread.

The ledger is read before anything else, so that a document never shows an order as ended without its effect.
"""

from collections.abc import Callable
from dataclasses import dataclass

from nodeagent.epoch import Tenure
from nodeagent.facts.checks import PeriodicChecks
from nodeagent.facts.guests import Guests, GuestsSeen
from nodeagent.facts.host import CertificateFile, network_facts, networks_by_bridge, nic_names
from nodeagent.facts.prompt import Prompt
from nodeagent.facts.storage import list_kept
from nodeagent.formats.keptstate import tpm_shelf
from nodeagent.host import Host
from nodeagent.ledger import Ledger
from nodeagent.operations.contract import OperationError
from nodeagent.wire.facts import CheckFacts, HostCapabilities, HostState, StorageDomainFacts

_NO_CAPABILITIES = HostCapabilities(memory_bytes=0, threads=0, cores=0, sockets=0, kvm=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """What this life of the agent is. start: a uuid made when it began; kinds: of orders that it can carry out."""

    start: str
    version: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Collectors:
    """Everything that a state document is put together from. faults: what the agent found at its start."""

    host: Host
    identity: Identity
    ledger: Ledger
    tenure: Tenure
    guests: Guests
    capabilities: Prompt[HostCapabilities]
    storage: Callable[[], tuple[StorageDomainFacts, ...]]
    certificate: CertificateFile
    checks: PeriodicChecks
    faults: tuple[CheckFacts, ...] = ()


def assemble_state(collectors: Collectors) -> HostState:
    """One whole document; its generation and clocks are filled in by others.

    Raises DriverError if networks cannot be read, LedgerError; guests, storage and capabilities say so in the document.
    """
    host = collectors.host
    orders = collectors.ledger.order_facts()
    links = host.links.read()
    seen = collectors.guests.collect(networks_by_bridge(links))
    capabilities, fault = _capabilities(collectors.capabilities)
    kept, set_aside = list_kept(tpm_shelf(host.paths.tpm_state))
    return HostState(
        host_uuid=host.uuid,
        boot_id=host.boot_id,
        agent_start=collectors.identity.start,
        agent_version=collectors.identity.version,
        generation=0,
        boottime_ms=0,
        wallclock_ms=0,
        ledger_id=collectors.ledger.id,
        lease=collectors.tenure.facts(),
        capabilities=capabilities,
        data_center=host.settings.data_center,
        host_id=host.settings.host_id,
        resync_needed=collectors.tenure.resync_needed,
        maintenance=host.settings.maintenance,
        guests=tuple(sorted(seen.guests, key=lambda guest: guest.uuid)),
        guests_complete=seen.complete,
        processes=seen.processes,
        networks=network_facts(links),
        nics=nic_names(links),
        storage=collectors.storage(),
        exits=host.exits.pending(),
        deeds=host.exits.deeds(),
        orders=orders,
        kinds=collectors.identity.kinds,
        checks=(*collectors.faults, *fault, *_guest_faults(seen), *collectors.checks.findings),
        certificate=collectors.certificate.read(),
        kept=kept,
        set_aside=set_aside,
    )


def _capabilities(source: Prompt[HostCapabilities]) -> tuple[HostCapabilities, tuple[CheckFacts, ...]]:
    """A host whose libvirt never answered can run nothing."""
    try:
        return source.get(), ()
    except OperationError as error:
        return _NO_CAPABILITIES, (CheckFacts("error", "capabilities", error.summary, error.action),)


def _guest_faults(seen: GuestsSeen) -> tuple[CheckFacts, ...]:
    if seen.complete:
        return ()
    return (CheckFacts("error", "guests", seen.problem, "see libvirtd and its log on this host"),)
