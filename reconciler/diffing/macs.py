"""Which MAC address belongs to which VM: free ones are assigned, and none is given to a second VM."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from nodeagent.wire.guest import GuestConfig
from nodeagent.wire.records import VmRecord
from reconciler.diffing.abilities import UndecidedError
from reconciler.model.change import Blocked, Deferred
from reconciler.model.desired import Desired, VirtualMachine
from reconciler.model.identity import mac_candidates
from reconciler.model.observed import Observed, Presence, VmObservation

if TYPE_CHECKING:
    from reconciler.diffing.context import DiffContext

MAC_ATTEMPTS = 64


class Holder(NamedTuple):
    """A VM (uuid) that has an address: in its record, or in its guest on `host`."""

    vm: str
    host: str | None


class MacLedger:
    """MAC addresses in use in the data center; grows while one pass assigns new ones.

    find_holders is called when an address is first asked for: most passes ask for none.
    """

    def __init__(self, find_holders: Callable[[], Mapping[str, list[Holder]]]) -> None:
        self._find_holders = find_holders
        self._holders: Mapping[str, list[Holder]] | None = None
        self._assigned: set[str] = set()

    def assign(self, vm: str, nic: str, prefix: str) -> str:
        """The first free candidate of this card. Raises UndecidedError if the first 64 are all taken."""
        used = self._used()
        for mac in islice(mac_candidates(vm, nic, prefix), MAC_ATTEMPTS):
            if mac not in used and mac not in self._assigned:
                self._assigned.add(mac)
                return mac
        raise UndecidedError(f"no free MAC address with prefix {prefix}; choose another macPrefix")

    def others(self, vm: str, mac: str) -> Iterator[Holder]:
        """Who has an address now, other than this VM (uuid)."""
        return (one for one in self._used().get(mac, ()) if one.vm != vm)

    def _used(self) -> Mapping[str, list[Holder]]:
        if self._holders is None:
            self._holders = self._find_holders()
        return self._holders


def mac_holders(desired: Desired, observed: Observed) -> dict[str, list[Holder]]:
    """By address who has it: whose record holds it, and whose guest shows it. One that only a manifest declares has
    nobody yet, and is not free either."""
    holders: dict[str, list[Holder]] = {
        nic.mac: [] for vm in desired.vms.values() for nic in vm.nics if nic.mac
    }
    for uuid, seen in observed.vms.items():
        if seen.record is not None and not seen.record.removed:
            for mac in seen.record.macs.values():
                holders.setdefault(mac, []).append(Holder(uuid, None))
        for one in seen.guests:
            for mac in one.facts.macs:
                holders.setdefault(mac, []).append(Holder(uuid, one.host))
    return holders


def objection_to_macs(
    context: "DiffContext", vm: VirtualMachine, seen: VmObservation | None, record: VmRecord
) -> Blocked | Deferred | None:
    """Why a VM does not get an address that its record does not hold yet: another VM has it. Deferred where that one's
    manifest lets go of it; one that does so and is known not to run has it no more."""
    old = seen.record if seen is not None else None
    known = old.macs if old is not None else {}
    if known == record.macs:
        return None
    for nic, mac in record.macs.items():
        for holder in context.macs.others(record.uuid, mac) if known.get(nic) != mac else ():
            name, wish = _name(context, holder), f"its card {nic} is to have the address {mac}, which"
            if not _lets_go(context, holder, mac):
                return Blocked(vm.meta.id, f"{wish} {name} has{_where(context, holder)}", ADVICE)
            if context.observed.vms[holder.vm].presence is Presence.NOT_RUNNING:
                continue
            if seen is not None and _exchange(context, seen, name):
                return Blocked(vm.meta.id, f"{wish} {name} gives up for one of its own", THIRD)
            return Deferred(
                vm.meta.id, f"{wish} {name} has{_where(context, holder)}", f"{name} has let go of it"
            )
    return None


ADVICE = "declare another address for one of the two (spec.nics); a card without one has one assigned"
THIRD = "let one of the two have a third address first"


def objection_to_twin(context: "DiffContext", vm: VirtualMachine, guest: GuestConfig) -> Blocked | None:
    """Why a VM is not started although its record holds its addresses: another VM runs with one of them."""
    for nic in guest.nics:
        others = context.macs.others(guest.uuid, nic.mac)
        twin = next((one for one in others if one.host is not None), None)
        if twin is not None:
            summary = f"its card {nic.name} has the address {nic.mac}, and {_name(context, twin)} runs with it on {twin.host}"
            return Blocked(vm.meta.id, summary, ADVICE)
    return None


def _lets_go(context: "DiffContext", holder: Holder, mac: str) -> bool:
    """Whether the other VM's manifest gives its cards other addresses."""
    name, record = context.names.get(holder.vm), context.observed.vms[holder.vm].record
    if name is None:
        return False
    kept = record.macs if record is not None else {}
    return all(mac != (nic.mac or kept.get(nic.name)) for nic in context.desired.vms[name].nics)


def _exchange(context: "DiffContext", seen: VmObservation, other: str) -> bool:
    """Whether the other VM is to get an address with which this one runs: each would wait for the other."""
    wanted = {nic.mac for nic in context.desired.vms[other].nics}
    return any(not wanted.isdisjoint(one.facts.macs) for one in seen.guests)


def _where(context: "DiffContext", holder: Holder) -> str:
    host = context.observed.vms[holder.vm].host
    return f" on {host}" if host is not None else " by its record"


def _name(context: "DiffContext", holder: Holder) -> str:
    """The VM's object id as declared, as recorded, else by its uuid."""
    return context.names.get(holder.vm) or context.observed.vms[holder.vm].object or f"guest/{holder.vm}"
