"""Hosts against their manifests: identity, storage connections, networks, maintenance."""

from collections.abc import Iterator

from nodeagent.wire.facts import HostState, NetworkFacts
from reconciler.diffing.context import (
    DiffContext,
    Finding,
    domain_name,
    objection_to_domain,
    objection_to_letting_go,
)
from reconciler.diffing.fields import effect_of
from reconciler.diffing.hostids import objection_to_connecting, objection_to_other_id, uses_other_id
from reconciler.model.bridges import obstacle_to_network
from reconciler.model.change import OTHER_HOST_ID, Blocked, Change, Deferred, FieldChange, Reason, Verb
from reconciler.model.desired import Host
from reconciler.model.observed import HostObservation

RENEWAL_PERCENT = 67
"""Two thirds of a certificate's life: the last third is time to find out why it was not renewed."""


def diff_host(context: DiffContext, host: Host) -> Iterator[Finding]:
    """Everything to do on one host. One that does not answer is blocked, or deferred while it may still answer."""
    seen = context.observed.hosts.get(host.meta.id)
    if seen is None or not seen.answering or seen.state is None:
        yield _silent(context, host, seen)
        return
    state = seen.state
    if not seen.belongs_to(context.desired.data_center.uuid):
        yield Blocked(
            host.meta.id,
            f"it belongs to data center {state.data_center}",
            "release it there first, or correct the uuid of this data center",
        )
        return
    if uses_other_id(context, host, state):
        yield from _let_go_of_all(context, host, state)
    else:
        yield from _storage(context, host, state)
    yield from _networks(context, host, state)
    yield from _maintenance(host, state)
    if (seen.certificate_percent or 0) >= RENEWAL_PERCENT:
        because = (Reason("certificate-ages", "two thirds of its life"),)
        yield Change(host.meta.id, Verb.RENEW_CERTIFICATE, because, host=host.meta.id)


def _silent(context: DiffContext, host: Host, seen: HostObservation | None) -> Finding:
    """Why nothing is planned on this host, and who must act."""
    name = host.meta.id
    status = seen.status if seen else "unknown"
    detail = f" ({seen.detail})" if seen and seen.detail else ""
    proof = context.observed.off.get(name)
    if status == "unknown":
        return Deferred(name, f"it has not answered yet{detail}", "it answers, or counts as silent")
    if status == "refused":
        return Blocked(
            name,
            f"it refuses to answer{detail}",
            f"mend what it says, or correct address and uuid of {name}; a host that refuses is alive",
        )
    if proof is not None:
        return Blocked(
            name,
            f"it is off ({proof}){detail}; its VMs may start elsewhere",
            "bring the host back, or take its manifest away",
        )
    return Blocked(
        name,
        f"it does not answer{detail}; its VMs start elsewhere only once it is proven off",
        f"bring the host or its agent back (ostler-agent check), or confirm that it is off: `ostler host confirm-off {name}`",
    )


def _let_go_of_all(context: DiffContext, host: Host, state: HostState) -> Iterator[Finding]:
    """All storage that was connected with another host's id; the pass after that connects it with its own."""
    objection = objection_to_other_id(context, host, state)
    if objection is not None:
        yield objection
    for one in state.storage if objection is None else ():
        because = (Reason(OTHER_HOST_ID, str(state.host_id)),)
        yield Change(host.meta.id, Verb.DISCONNECT, because, host=host.meta.id, subject=one.uuid)


def _storage(context: DiffContext, host: Host, state: HostState) -> Iterator[Finding]:
    """Storage domains to connect and to let go."""
    connected = {one.uuid for one in state.storage if one.state == "active"}
    wanted = {
        domain.uuid: domain
        for domain in context.desired.storage_domains.values()
        if domain.host in (None, host.meta.id)
    }
    lacking = [
        domain
        for uuid, domain in wanted.items()
        if (uuid not in connected or state.host_id is None) and objection_to_domain(context, domain) is None
    ]
    without_id = objection_to_connecting(context, host) if lacking else None
    if without_id is not None:
        yield without_id
    for domain in lacking if without_id is None else ():
        yield Change(
            host.meta.id, Verb.CONNECT, (Reason("storage-on-every-host", domain.meta.id),),
            host=host.meta.id, subject=domain.meta.id,
        )  # fmt: skip
    strange = [one for one in state.storage if one.uuid not in wanted and not _is_blocked(context, one.uuid)]
    guests = state.guests if strange else ()
    in_use = {disk.storage_domain for guest in guests if guest.config for disk in guest.config.disks}
    for one in strange:
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


def _is_blocked(context: DiffContext, uuid: str) -> bool:
    """Whether a domain is declared in a way that it is not: it stays connected until a person has settled that."""
    domain = context.domains.get(uuid)
    return domain is not None and objection_to_domain(context, domain) is not None


def _networks(context: DiffContext, host: Host, state: HostState) -> Iterator[Finding]:
    """Bridges to make, change and remove."""
    uplinks = {one.network: one.nic for one in host.networks}
    names = dict.fromkeys((*context.desired.clusters[host.cluster].networks, *uplinks))
    present = {one.network: one for one in state.networks if one.network is not None}
    for name in names:
        network, bridge = context.desired.networks[name], context.bridges[name]
        here = present.get(name)
        made = (FieldChange("net.bridge", here.bridge if here else None, bridge, effect_of("net.bridge")),)
        obstacle = obstacle_to_network(state, name, bridge, uplinks.get(name))
        if obstacle is not None:
            yield Blocked(
                host.meta.id,
                f"{name} cannot be made: {obstacle}",
                f"mend that on the host, or declare another bridge or NIC for {name}",
            )
        elif here is None:
            yield _network_change(host, Verb.ADD_NETWORK, name, "network-on-every-host", made)
        elif here.bridge != bridge:
            yield _network_change(host, Verb.REMOVE_NETWORK, name, "bridge-renamed")
            yield _network_change(host, Verb.ADD_NETWORK, name, "bridge-renamed", made)
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
