"""What a running guest is to get and its host cannot give: a disk on a domain that it does not reach, a card on a
network that it cannot have. Called by `running`."""

from nodeagent.wire.guest import GuestConfig
from reconciler.diffing.context import DiffContext, domain_name
from reconciler.model.bridges import obstacle_to_network
from reconciler.model.change import Blocked, FieldChange


def find_beyond_reach(
    context: DiffContext, host: str | None, guest: GuestConfig, changes: tuple[FieldChange, ...]
) -> dict[str, str]:
    """By field, with its new value, why the host cannot make the change; empty if it can make all."""
    found = {}
    for one in changes:
        why = (
            _disk(context, host, guest, one) if one.field == "vm.disks" else _card(context, host, guest, one)
        )
        if why is not None:
            found[key_of(one)] = why
    return found


def key_of(change: FieldChange) -> str:
    """What tells a change from others of its VM."""
    return f"{change.field} {change.before} {change.after}"


def block_beyond_reach(vm: str, host: str | None, found: dict[str, str]) -> Blocked:
    """The finding of a VM that is to get what its host cannot give."""
    reasons = ", ".join(dict.fromkeys(found.values()))
    return Blocked(
        vm,
        f"{host} cannot give it what it is to get: {reasons}",
        "mend that; or stop the VM, and it starts on a host that can",
    )


def _disk(context: DiffContext, host: str | None, guest: GuestConfig, change: FieldChange) -> str | None:
    """Why a disk cannot be plugged in there: its domain is not there, and will not be."""
    disk = next((one for one in guest.disks if one.name == change.after), None)
    if disk is None:
        return None
    domain = context.domains.get(disk.storage_domain)
    seen = context.observed.hosts.get(host or "")
    connected = {one.uuid for one in seen.state.storage} if seen is not None and seen.state else set()
    if disk.storage_domain in connected or (domain is not None and domain.host in (None, host)):
        return None
    return f"{disk.name} lies on {domain_name(context, disk.storage_domain)}, out of its reach"


def _card(context: DiffContext, host: str | None, guest: GuestConfig, change: FieldChange) -> str | None:
    """Why a card cannot be plugged in there: the host cannot have its network."""
    name = _card_name(change)
    nic = next((one for one in guest.nics if one.name == name), None)
    declared, seen = context.desired.hosts.get(host or ""), context.observed.hosts.get(host or "")
    if nic is None or declared is None or seen is None or seen.state is None:
        return None
    uplink = next((one.nic for one in declared.networks if one.network == nic.network), None)
    obstacle = obstacle_to_network(seen.state, nic.network, nic.bridge, uplink)
    return None if obstacle is None else f"{nic.network}, as {obstacle}"


def _card_name(change: FieldChange) -> str | None:
    """The card that a change plugs into a network, if it does."""
    if change.field == "vm.nics":
        return None if change.after is None else str(change.after)
    if change.field.startswith("vm.nics[") and change.field.endswith("].network"):
        return change.field.removeprefix("vm.nics[").removesuffix("].network")
    return None
