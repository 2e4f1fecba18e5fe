"""Why nothing may be planned for a VM: it may run out of sight, its record cannot be relied on, or nobody could act."""

from collections.abc import Iterable

from reconciler.diffing.context import DiffContext
from reconciler.diffing.records import copy_domain
from reconciler.diffing.withholding import find_wait
from reconciler.model.change import Blocked, Deferred
from reconciler.model.desired import Meta, VirtualMachine
from reconciler.model.observed import Presence, VmObservation
from reconciler.model.runs import is_outdated

WAIT = "it answers, or counts as silent"


def find_doubt(
    context: DiffContext, vm: VirtualMachine, seen: VmObservation | None
) -> Blocked | Deferred | None:
    """The first doubt that forbids to plan anything for this VM; deferred where only time is needed."""
    name = vm.meta.id
    if name in context.locked:
        return find_wait(context, name)
    order = context.observed.open_orders.get(name)
    order_host = context.observed.hosts.get(order.host) if order is not None else None
    if order is not None and order_host is not None and order_host.answering:
        return find_wait(context, name)
    if name in context.observed.outdated:
        return find_wait(context, name)
    return (
        objection_to_consent(vm.meta, context.identities.vms[name], "VM")
        or _doubt_of_presence(context, name, seen)
        or _doubt_of_record(name, seen)
        or _older_record(context, name, seen)
        or _loss_by_adoption(name, seen)
        or _nobody(context, vm)
    )


def objection_to_consent(meta: Meta, uuid: str, what: str) -> Blocked | None:
    """Why a consent to destroy is not written down: it names another object than the one (uuid) in whose manifest it is."""
    consent = meta.allow_destroy
    if consent in (None, uuid):
        return None
    return Blocked(
        meta.id,
        f"its consent names {consent}, which is not this {what} ({uuid})",
        f'write ostler.dev/allow-destroy: "{uuid}", or take the annotation away',
    )


def _doubt_of_presence(
    context: DiffContext, name: str, seen: VmObservation | None
) -> Blocked | Deferred | None:
    if seen is None and context.observed.newcomer_evidence is None:
        return _doubted(
            context, name, "it is not known whether it ever ran", None, context.observed.newcomer_doubts
        )
    if seen is None:
        return None
    if seen.presence is Presence.UNKNOWN:
        return _doubted(context, name, "it is not known whether it runs", seen, seen.doubts)
    hosts = [one.host for one in seen.guests if one.facts.state != "incoming"]
    strays = [one for one in seen.doubts if _has_process(context, one, seen)]
    if len({*hosts, *strays}) > 1 and _handed_over(context, seen, {*hosts, *strays}):
        return _handing_over(name, seen, " and ".join(sorted({*hosts, *strays})))
    if len(hosts) > 1:
        return Blocked(
            name,
            f"it runs on {' and '.join(hosts)} at once",
            "stop the wrong one with virsh destroy on its host, then check its disks",
        )
    if seen.presence is Presence.RUNNING and strays:
        return Blocked(
            name,
            f"it runs on {seen.host}, and {' and '.join(strays)} has a QEMU process of it that libvirt does not list",
            "look there with ps, end what should not run, then check its disks",
        )
    return None


def _handing_over(name: str, seen: VmObservation, ends: str) -> Blocked | Deferred:
    """Two hosts of one migration show it: deferred while it moves, else a person looks, without haste."""
    if any(one.facts.migration or one.facts.state == "incoming" for one in seen.guests):
        return Deferred(name, f"it is being handed over between {ends}", "its migration has ended")
    return Blocked(
        name,
        f"{ends} both show it, as at the end of its migration between them",
        "look again in a moment; if that stays, find out with virsh domstate on both which one runs, before you "
        "stop the other",
    )


def _handed_over(context: DiffContext, seen: VmObservation, hosts: set[str]) -> bool:
    """Whether its open run names all these hosts, as that of a migration does: they were not asked at one moment."""
    run = seen.record.run if seen.record is not None and seen.record_state == "read" else None
    if run is None or run.closed is not None:
        return False
    named = {host.uuid for host in run.hosts}
    return {context.observed.hosts[host].uuid for host in hosts} <= named


def _has_process(context: DiffContext, host: str, seen: VmObservation) -> bool:
    """Whether a QEMU of the VM lives there that libvirt there does not list, though it listed all its guests."""
    known = context.observed.hosts.get(host)
    if known is None or known.state is None or not known.answering or not known.state.guests_complete:
        return False
    return seen.uuid in known.state.processes


def _doubted(
    context: DiffContext, name: str, what: str, seen: VmObservation | None, doubts: Iterable[str]
) -> Blocked | Deferred:
    """Blocked for what a person must look at; deferred while every host in doubt may yet answer."""
    doubts = tuple(doubts)
    reason = f"{what}: {', '.join(describe_doubt(context, one, seen) for one in doubts) or 'nobody can tell'}"
    states = {_status(context, one) for one in doubts}
    if states == {"unknown"}:
        return Deferred(name, reason, WAIT)
    silent = [one for one in doubts if _status(context, one) == "silent"]
    advice = []
    if silent:
        commands = ", ".join(f"`ostler host confirm-off {one}`" for one in silent)
        them = "it" if len(silent) == 1 else "them"
        advice.append(f"bring {' and '.join(silent)} back, or switch {them} off and confirm that: {commands}")
    if "storage" in states:
        advice.append("bring the storage back")
    if "refused" in states:
        advice.append("mend what the host says; a host that refuses is alive")
    if states & {"answering"}:
        advice.append(
            "look again in a moment; if that stays, look there with virsh list and ps before you end anything"
        )
    return Blocked(name, reason, "; ".join(advice) or "bring the hosts back")


def _status(context: DiffContext, doubt: str) -> str:
    """What kind of thing is in doubt: storage, or a host's status."""
    if doubt.startswith(("sd/", "dc/")):
        return "storage"
    host = context.observed.hosts.get(doubt)
    return "silent" if host is None else host.status


def describe_doubt(context: DiffContext, doubt: str, seen: VmObservation | None = None) -> str:
    """`host/h1 does not answer`: what is in doubt about a host, or a storage domain, and why."""
    host = context.observed.hosts.get(doubt)
    match _status(context, doubt):
        case "storage":
            return f"{doubt} could not be read"
        case "silent":
            nobody = "" if doubt in context.desired.hosts else ", and no manifest declares it"
            return f"{doubt} does not answer{nobody}"
        case "refused":
            return f"{doubt} refuses to answer{f' ({host.detail})' if host and host.detail else ''}"
        case "unknown":
            return f"{doubt} has not answered yet"
    state = host.state if host else None
    if state is not None and not state.guests_complete:
        return f"{doubt} did not list all its guests"
    if seen is not None and _has_process(context, doubt, seen):
        return f"{doubt} has a QEMU process of it that libvirt does not list"
    return f"{doubt} may be about to run it"


def _doubt_of_record(name: str, seen: VmObservation | None) -> Blocked | None:
    if seen is None or seen.record_state not in ("unreadable", "unknown"):
        return None
    goes_on = "it goes on as it is" if seen.presence is Presence.RUNNING else "it is not started"
    if seen.record_state == "unknown":
        return Blocked(name, f"its record on storage is out of reach; {goes_on}", "bring the storage back")
    return Blocked(
        name,
        f"its record on storage is damaged; {goes_on}",
        f"restore master/vms/{seen.uuid}/ostler.json from its copy or a backup",
    )


def _older_record(context: DiffContext, name: str, seen: VmObservation | None) -> Blocked | None:
    """A guest of which only an earlier run elsewhere is recorded: once out of sight, it would count as stopped."""
    if (
        seen is None
        or seen.record is None
        or seen.record.run is None
        or not is_outdated(context.observed, seen)
    ):
        return None
    return Blocked(
        name,
        f"it runs on {seen.host}, and its record knows only of run {seen.record.run.number}, an earlier one elsewhere",
        "the record was put back to an older state: put back the newest that there is, or shut the guest down with virsh on "
        "that host, and it is started again as declared; until then do not switch that host off",
    )


def _loss_by_adoption(name: str, seen: VmObservation | None) -> Blocked | None:
    """A guest with devices that no manifest can express: adopted, it would lose them at its next start."""
    if seen is None or seen.record is not None or seen.guest is None or not seen.guest.gaps:
        return None
    return Blocked(
        name,
        f"it cannot be adopted as it is: a manifest cannot express {', '.join(seen.guest.gaps)}",
        "move its disks into a storage domain and remove these devices from the guest, or leave it out of the manifests",
    )


def _nobody(context: DiffContext, vm: VirtualMachine) -> Blocked | None:
    """Why nothing can be done: there is nowhere to keep its record, or nobody who could write it."""
    if (
        context.workers
        and context.master is not None
        and not any(one.host for one in context.domains.values())
    ):
        return None
    if context.master is None:
        return Blocked(vm.meta.id, "there is no storage domain for its record", "declare a StorageDomain")
    copy = copy_domain(context.desired, context.identities, context.observed.disks, vm, context.master)
    places = [context.domains.get(uuid) for uuid in (context.master, copy) if uuid is not None]
    local = {one.host for one in places if one is not None and one.host is not None}
    if not context.workers or len(local) > 1 or any(one not in context.workers for one in local):
        return Blocked(
            vm.meta.id,
            "no host that could write its record answers",
            f"bring {' and '.join(sorted(local)) or 'one of the hosts'} back",
        )
    return None
