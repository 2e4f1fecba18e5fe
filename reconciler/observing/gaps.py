"""Turns an observation into texts for people: what we do not know or cannot believe, and what that keeps undecided.

Called by `ostler observe`. Nothing is decided here: presence and doubts say the same to stages.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nodeagent.wire.facts import HostState
from reconciler.model.desired import Desired
from reconciler.model.names import Kind, object_id
from reconciler.model.observed import HostObservation, Observed, VmObservation
from reconciler.observing.domains import domain_names, survey_domains

_NAMED = 3


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """One thing that is not known or contradicts itself. alarm: two writers are possible, or something is damaged.

    subject: object id, `guest/<uuid>` or `host/<uuid>`. keeps: what cannot be decided for want of it; action: who
    should do what.
    """

    subject: str
    summary: str
    keeps: str = ""
    action: str = ""
    alarm: bool = False

    def __str__(self) -> str:
        parts = (f"{self.subject}: {self.summary}", self.keeps, self.action)
        return "; ".join(part for part in parts if part)


def find_gaps(desired: Desired, observed: Observed) -> tuple[Gap, ...]:
    """Every gap: alarms first, then by subject and text."""
    found = [
        *_hosts(observed),
        *_domains(desired, observed),
        *_records(observed),
        *_guests(observed),
        *_orders(observed),
    ]
    return tuple(sorted(set(found), key=lambda gap: (not gap.alarm, gap)))


def _hosts(observed: Observed) -> Iterator[Gap]:
    """Hosts that do not answer, or whose answers do not say all."""
    doubted = _doubted(observed)
    for host in observed.hosts.values():
        keeps = _keeps(doubted.get(host.id, []))
        if host.id in observed.off:
            continue
        if host.answering and host.state is not None:
            yield from _answers(observed, host, host.state, keeps)
        else:
            yield Gap(host.id, *_silence(host, keeps))


def _answers(observed: Observed, host: HostObservation, state: HostState, keeps: str) -> Iterator[Gap]:
    if not state.guests_complete:
        action = "look at libvirtd on this host: it did not list every guest"
        yield Gap(host.id, "it answers, but not with all its guests", keeps, action)
    if state.data_center not in (None, observed.data_center_uuid):
        summary = f"it belongs to data center {state.data_center}"
        yield Gap(host.id, summary, action="release it there first, or take its manifest away")


def _silence(host: HostObservation, keeps: str) -> tuple[str, str, str]:
    """Summary, consequence and advice for a host that does not answer."""
    detail = f" ({host.detail})" if host.detail else ""
    if host.status == "refused":
        return f"it answers and refuses{detail}", keeps, "mend what it says; a host that refuses is alive"
    if host.status == "silent":
        since = f" for {host.age_ms // 1000} s" if host.age_ms else ""
        action = "bring it back, or switch it off and confirm that: `ostler host confirm-off`"
        return f"it has been silent{since}{detail}", keeps, action
    return f"it has not answered yet{detail}", keeps, "wait until it answers or counts as silent"


def _doubted(observed: Observed) -> dict[str, list[str]]:
    """Names of the VMs in doubt by the id of what they are in doubt for."""
    doubted: dict[str, list[str]] = {}
    for vm in observed.vms.values():
        for identifier in vm.doubts:
            doubted.setdefault(identifier, []).append(_subject(vm))
    return doubted


def _keeps(vms: list[str]) -> str:
    if not vms:
        return ""
    names = sorted(vms)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"so it is not known whether it runs {', '.join(names[:_NAMED])}{more}"


def _subject(vm: VmObservation) -> str:
    return vm.object or f"guest/{vm.uuid}"


def _domains(desired: Desired, observed: Observed) -> Iterator[Gap]:
    """Domains that were not read, or not in full, and masters that contradict each other."""
    names = domain_names(desired)
    domains = survey_domains(observed.data_center_uuid, names, observed.hosts, observed.storage)
    pool = {uuid: name for name, uuid in observed.pool.domains.items()} if observed.pool else {}
    for uuid, one in observed.storage.items():
        identifier = names.get(uuid) or pool.get(uuid) or object_id(Kind.STORAGE_DOMAIN, uuid)
        if identifier not in domains.unread:
            continue
        what = (
            "it was read, but not in full"
            if one.contents
            else f"it was not read: {one.detail or 'no host could'}"
        )
        keeps = "so it is not known which records exist, and nothing new is made"
        yield Gap(identifier, what, keeps, "bring back a host that is connected to it, or its storage")
    masters = domains.standing.masters
    if len(masters) > 1:
        summary = f"more than one domain calls itself master: {', '.join(sorted(masters))}"
        action = "disconnect the one that is out of date before anything else"
        yield Gap(observed.data_center, summary, "so records may be old", action, alarm=True)


def _records(observed: Observed) -> Iterator[Gap]:
    """Records that cannot be relied on, and objects that have more than one."""
    owners: dict[str, list[str]] = {}
    for vm in observed.vms.values():
        if vm.record_state == "unreadable":
            keeps = (
                "so it is started only when every host has answered"
                if vm.record
                else ("so no VM without a record is taken for new, as this may be its record")
            )
            action = f"restore or remove master/vms/{vm.uuid} on the master domain"
            yield Gap(
                _subject(vm), f"the record of VM {vm.uuid} is damaged or missing", keeps, action, alarm=True
            )
        if vm.record is not None and vm.record.managed and not vm.record.removed:
            owners.setdefault(vm.record.object, []).append(vm.uuid)
    for identifier, uuids in owners.items():
        if len(uuids) > 1:
            summary = f"{len(uuids)} VMs have records under this name: {', '.join(sorted(uuids))}"
            yield Gap(identifier, summary, action="rename one, or remove it with consent", alarm=True)


def _guests(observed: Observed) -> Iterator[Gap]:
    """VMs that run twice, or where their record does not expect them; QEMU processes that libvirt does not know."""
    uuids = {host.id: host.uuid for host in observed.hosts.values()}
    for vm in observed.vms.values():
        lively = [one.host for one in vm.guests if one.facts.state != "incoming"]
        run = vm.record.run if vm.record is not None and vm.record_state == "read" else None
        named = {host.uuid for host in run.hosts} if run is not None and run.closed is None else set()
        if len(lively) > 1:
            yield _split(vm, lively, {uuids[host] for host in lively} <= named)
        if vm.record_state == "read" and vm.host is not None and uuids[vm.host] not in named:
            expected = f"run {run.number}" if run is not None else "no run"
            summary = f"it runs on {vm.host}, where its record does not expect it ({expected})"
            yield Gap(_subject(vm), summary, action="find out who started it there", alarm=run is not None)
    yield from _processes(observed)


def _split(vm: VmObservation, hosts: list[str], migrating: bool) -> Gap:
    where = " and ".join(hosts)
    if migrating:
        return Gap(_subject(vm), f"it is being handed over between {where}", action="look again in a moment")
    action = "destroy the wrong one on its host now, then check the VM's disks"
    return Gap(_subject(vm), f"it runs on {where} at once: two writers", action=action, alarm=True)


def _processes(observed: Observed) -> Iterator[Gap]:
    """QEMU processes without a guest."""
    for host in observed.hosts.values():
        if not host.answering or host.state is None:
            continue
        listed = {guest.uuid for guest in host.state.guests}
        for uuid in set(host.state.processes) - listed:
            vm = observed.vms[uuid]
            summary = f"a QEMU process of it lives on {host.id}, and libvirt does not list it there"
            action = f"look at it on {host.id}; the VM starts nowhere else while it lives"
            yield Gap(_subject(vm), summary, action=action, alarm=True)


def _orders(observed: Observed) -> Iterable[Gap]:
    """Orders whose outcome nobody knows."""
    return (
        Gap(
            order.object,
            f"nobody knows what became of order {order.kind} on {order.host}",
            "so nothing else is done to it",
            "it is settled once that agent has revoked it, or the host is proven off",
        )
        for order in observed.open_orders.values()
        if order.state == "unknown"
    )
