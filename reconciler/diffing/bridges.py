"""Which bridge realises each network in this plan: the declared one, unless guests keep the old one in use."""

from collections.abc import Iterable, Mapping

from reconciler.model.change import Blocked, Effect, FieldChange
from reconciler.model.desired import Desired
from reconciler.model.observed import Observed


def bridges_in_use(desired: Desired, observed: Observed) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Networks whose bridge is to be renamed while guests are plugged into it: its name now, and those guests.

    One bridge's name holds for all hosts, or guests could not move between them.
    """
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for host in observed.hosts.values():
        if not host.answering or host.state is None:
            continue
        for one in host.state.networks:
            network = desired.networks.get(one.network or "")
            if network is None or network.bridge == one.bridge:
                continue
            plugged = tuple(
                observed.vms[guest.uuid].object or f"guest/{guest.uuid}"
                for guest in host.state.guests
                if guest.config and any(nic.bridge == one.bridge for nic in guest.config.nics)
            )
            name, others = found.get(network.meta.id, (one.bridge, ()))
            if plugged or others:
                found[network.meta.id] = (name, (*others, *plugged))
    return found


def effective_bridges(desired: Desired, in_use: Mapping[str, tuple[str, tuple[str, ...]]]) -> dict[str, str]:
    """By network, the bridge's name that holds in this plan."""
    declared = {name: one.bridge for name, one in desired.networks.items()}
    return declared | {name: bridge for name, (bridge, _) in in_use.items()}


def block_renames(desired: Desired, in_use: Mapping[str, tuple[str, tuple[str, ...]]]) -> Iterable[Blocked]:
    """A bridge keeps its name while guests are plugged into it."""
    for name, (bridge, guests) in sorted(in_use.items()):
        field = FieldChange("net.bridge", bridge, desired.networks[name].bridge, Effect.LIVE)
        yield Blocked(
            name,
            f"its bridge cannot be renamed while {', '.join(sorted(set(guests)))} "
            f"{'is' if len(set(guests)) == 1 else 'are'} plugged into it",
            "stop them, apply, and start them again; or take the change back",
            (field,),
        )
