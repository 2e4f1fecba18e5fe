"""Hosts against their manifests: identity, storage connections, networks, maintenance."""

from collections.abc import Iterator

from nodeagent.wire.facts import HostState, NetworkFacts
from reconciler.diffing.context import DiffContext, Finding, domain_name, objection_to_letting_go
from reconciler.diffing.fields import effect_of
from reconciler.model.change import Blocked, Change, FieldChange, Reason, Verb
from reconciler.model.desired import Host
from reconciler.model.observed import HostObservation

WHY_SILENT = {
    "silent": "it does not answer",
    "unknown": "it has not answered yet",
    "refused": "it refuses to answer",
}


def diff_host(context: DiffContext, host: Host) -> Iterator[Finding]:
    """Everything to do on one host. A host that does not answer is blocked, and so is one that is another."""
    seen = context.observed.hosts.get(host.meta.id)
    if seen is None or not seen.answering or seen.state is None:
        yield _silent(host, seen)
        return
    state = seen.state
    if state.host_uuid != host.uuid:
        yield _impostor(host, state)
        return
    yield from _storage(context, host, state)
    yield from _networks(context, host, state)
    yield from _maintenance(host, state)


def _silent(host: Host, seen: HostObservation | None) -> Blocked:
    """Why nothing is planned on this host."""
    status = seen.status if seen else "unknown"
    detail = f" ({seen.detail})" if seen and seen.detail else ""
    return Blocked(
        host.meta.id,
        f"{WHY_SILENT.get(status, 'it does not answer')}{detail}",
        f"bring the host or its agent back (ostler-agent check on it tells what is wrong); its VMs are "
        f"started elsewhere only once it is proven off, by `ostler host confirm-off {host.meta.id}` for example",
    )


def _impostor(host: Host, state: HostState) -> Blocked:
    """Another machine answers at the host's address."""
    return Blocked(
        host.meta.id,
        f"{host.address} answers as host {state.host_uuid}, declared is {host.uuid}",
        "correct address or uuid in the manifest, or enrol the agent anew",
    )


def _storage(context: DiffContext, host: Host, state: HostState) -> Iterator[Finding]:
    """Storage domains to connect and to let go."""
    connected = {one.uuid for one in state.storage if one.state == "active"}
    wanted = {
        domain.uuid: domain
        for domain in context.desired.storage_domains.values()
        if domain.host in (None, host.meta.id)
    }
    for uuid, domain in wanted.items():
        if uuid not in connected or state.host_id is None:
            yield Change(
                host.meta.id, Verb.CONNECT, (Reason("storage-on-every-host", domain.meta.id),),
                host=host.meta.id, subject=domain.meta.id,
            )  # fmt: skip
    in_use = {disk.storage_domain for guest in state.guests if guest.config for disk in guest.config.disks}
    for one in state.storage:
        if one.uuid in wanted:
            continue
        objection = (
            "is used by a guest here" if one.uuid in in_use else objection_to_letting_go(context, one.uuid)
        )
        if objection is not None:
            yield Blocked(
                host.meta.id,
                f"no manifest declares {domain_name(context, one.uuid)}, and it {objection}",
                "declare it again, or first remove what lies on it",
            )
        else:
            yield Change(
                host.meta.id, Verb.DISCONNECT, (Reason("storage-not-declared", domain_name(context, one.uuid)),),
                host=host.meta.id, subject=one.uuid,
            )  # fmt: skip


def _networks(context: DiffContext, host: Host, state: HostState) -> Iterator[Finding]:
    """Bridges to make, change and remove."""
    uplinks = {one.network: one.nic for one in host.networks}
    names = dict.fromkeys((*context.desired.clusters[host.cluster].networks, *uplinks))
    present = {one.network: one for one in state.networks if one.network is not None}
    taken = {one.bridge: one for one in state.networks if one.network is None}
    for name in names:
        network = context.desired.networks[name]
        here = present.get(name)
        if here is None and network.bridge in taken:
            yield Blocked(
                host.meta.id,
                f"bridge {network.bridge} of {name} exists and is not Ostler's",
                f"remove it on the host, or give {name} another bridge name",
            )
        elif here is None:
            yield _network_change(host, Verb.ADD_NETWORK, name, "network-on-every-host")
        elif here.bridge != network.bridge:
            yield _network_change(host, Verb.REMOVE_NETWORK, name, "bridge-renamed")
            yield _network_change(host, Verb.ADD_NETWORK, name, "bridge-renamed")
        else:
            fields = tuple(_network_fields(here, uplinks.get(name), network.mtu))
            if fields:
                yield _network_change(host, Verb.UPDATE_NETWORK, name, "network-differs", fields)
    for name in sorted(present.keys() - names.keys()):
        yield _network_change(host, Verb.REMOVE_NETWORK, name, "network-not-declared")


def _network_fields(here: NetworkFacts, nic: str | None, mtu: int) -> Iterator[FieldChange]:
    """What differs between a bridge and its declaration."""
    if here.mtu != mtu:
        yield FieldChange("net.mtu", here.mtu, mtu, effect_of("net.mtu"))
    if here.nic != nic:
        yield FieldChange("host.networks.nic", here.nic, nic, effect_of("host.networks"))


def _network_change(
    host: Host, verb: Verb, network: str, rule: str, fields: tuple[FieldChange, ...] = ()
) -> Change:
    """A change of one network on one host."""
    return Change(
        host.meta.id, verb, (Reason(rule, network),), host=host.meta.id, subject=network, fields=fields
    )


def _maintenance(host: Host, state: HostState) -> Iterator[Finding]:
    """Closing the host, or opening it."""
    if host.maintenance and not state.maintenance:
        yield Change(
            host.meta.id,
            Verb.ENTER_MAINTENANCE,
            (Reason("maintenance", "spec.maintenance"),),
            host=host.meta.id,
        )
    elif state.maintenance and not host.maintenance:
        yield Change(
            host.meta.id,
            Verb.LEAVE_MAINTENANCE,
            (Reason("maintenance", "spec.maintenance"),),
            host=host.meta.id,
        )
