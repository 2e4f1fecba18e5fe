"""Storage domains that run out of room, as oVirt's low space warning has it, and the guests that stand still for it.
Called by the pipeline.
"""

from collections.abc import Iterator

from nodeagent.wire.facts import GuestFacts
from reconciler.model.change import Alert
from reconciler.model.desired import Desired, StorageDomain
from reconciler.model.observed import Observed
from reconciler.model.quantities import format_bytes

NO_SPACE = "io-error"
"""Why a guest is paused whose write found no space: QEMU halts it, and repeats the write when it goes on."""


def find_low_space(desired: Desired, observed: Observed) -> Iterator[Alert]:
    """Domains with less room than warningSpacePercent of their size, by id."""
    for name, domain in desired.storage_domains.items():
        if is_low(domain, observed):
            yield Alert(
                name,
                f"less than {domain.warning_space_percent} % of its space is free (warningSpacePercent)",
                f"extend it, or remove disks; below {format_bytes(domain.critical_space_bytes)} (criticalSpace) none is made or grown",
            )


def find_halted_guests(desired: Desired, observed: Observed) -> Iterator[Alert]:
    """VMs that QEMU halted because a write found no space, by uuid; their hosts let them go on once there is some."""
    names = {domain.uuid: name for name, domain in desired.storage_domains.items()}
    states = [host.state for host in observed.hosts.values() if host.answering and host.state]
    uuids = {one.uuid for state in states for one in state.guests if _is_halted(one)}
    seen_halted = (observed.vms[uuid] for uuid in sorted(uuids))
    halted = [(seen.object, one) for seen in seen_halted for one in seen.guests if _is_halted(one.facts)]
    for name, guest in halted:
        if name is None:
            continue
        disks = guest.facts.config.disks if guest.facts.config else ()
        domains = sorted({names.get(one.storage_domain, f"sd/{one.storage_domain}") for one in disks})
        yield Alert(
            name,
            f"it stands still on {guest.host}: a write to its disks found no space (io-error)",
            f"make space on {' or '.join(domains) or 'its storage'}, and it goes on by itself; if it does not, look at the "
            f"storage from {guest.host}, then `ostler vm resume {name}`",
        )


def _is_halted(guest: GuestFacts) -> bool:
    return guest.pause_reason == NO_SPACE and guest.state == "paused"


def is_low(domain: StorageDomain, observed: Observed) -> bool:
    """Whether a domain whose contents were read has less room than its warning says."""
    seen = observed.storage.get(domain.uuid)
    if seen is None or seen.contents is None or not seen.contents.total_bytes:
        return False
    return seen.contents.free_bytes * 100 < seen.contents.total_bytes * domain.warning_space_percent
