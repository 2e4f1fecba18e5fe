"""What was removed and whose days are over: its bytes go, where controller and host agree what time it is.

`diff` calls it for every image that no manifest claims, and for what is left of removed VMs besides their disks. The
ages come from the wall clocks of agents and controller.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from nodeagent.wire.records import VmRecord
from reconciler.diffing.context import DiffContext, Finding, domain_name, workers_of
from reconciler.model.change import Alert, Change, Deferred, Identities, Reason, Verb
from reconciler.model.desired import Desired
from reconciler.model.observed import Observed, Remains
from reconciler.model.quantities import format_duration

MOST_SKEW_MS = 2_000
"""Wall clocks that differ by more do not agree."""
WORST_SKEW_MS = 300_000
DAY_MS = 86_400_000


def diff_purges(context: DiffContext) -> Iterator[Finding]:
    """Every removed image that has been kept long enough, by image. One that a manifest takes back is left alone."""
    removed = context.observed.removed_ms
    claimed = set(context.identities.disks.values()) if removed else frozenset()
    retention_ms = context.desired.data_center.retention_ms
    for image, age_ms in removed.items():
        if image not in claimed and age_ms >= retention_ms:
            yield from _purge(context, image)


def _purge(context: DiffContext, image: str) -> Iterator[Finding]:
    seen = context.observed.disks[image]
    domain = context.domains.get(seen.storage_domain)
    able = workers_of(context, domain.host if domain is not None else None)
    if seen.record is None or not able:
        return
    host = next((one for one in able if agrees(context.observed, one)), None)
    if host is None:
        yield _await_clocks(seen.record.object, "its removed image", able)
        return
    yield Change(seen.record.object, Verb.PURGE, _because_over(context, image), host=host, subject=image)


def _await_clocks(name: str, what: str, hosts: Iterable[str]) -> Deferred:
    return Deferred(
        name,
        f"the days of {what} are over, and the clocks of {', '.join(hosts)} do not agree with ours",
        f"they agree within {MOST_SKEW_MS // 1000} s",
    )


def _because_over(context: DiffContext, uuid: str) -> tuple[Reason, ...]:
    kept = describe_retention(context.desired.data_center.retention_ms)
    return Reason("retention-over", kept), Reason("consent-of-removal", uuid)


def diff_remains(context: DiffContext) -> Iterator[Finding]:
    """What removed VMs kept besides their disks: set aside where the removal did not reach it, such as on a host that
    was silent; and deleted once its days are over, by a plan of its own.
    """
    claimed = set(context.identities.vms.values())
    for vm, found in groupby(context.observed.remains, key=lambda one: one.vm):
        seen = context.observed.vms[vm]
        if vm not in claimed and not seen.guests and seen.record is not None:
            remains = [one for one in found if _is_of_record(context, seen.record, one)]
            left = list(_set_aside(context, seen.record, remains))
            yield from left or _purge_vm(context, seen.record, remains)


def _is_of_record(context: DiffContext, record: VmRecord, one: Remains) -> bool:
    """Whether an order about the VM reaches it there: on a host, on the master, on the domain of its record's copy."""
    return one.storage_domain in (None, context.master, record.copy_domain)


def _set_aside(context: DiffContext, record: VmRecord, remains: Iterable[Remains]) -> Iterator[Finding]:
    taken: list[str] = []
    for one in remains:
        able = () if one.aside else _able(context, one)
        if able and not set(able) & set(taken):
            taken.append(able[0])
            because = (Reason("left-by-removal", _place(context, one)),)
            yield Change(record.object, Verb.SET_ASIDE, because, host=able[0], subject=record.uuid)


def _purge_vm(context: DiffContext, record: VmRecord, remains: Iterable[Remains]) -> Iterator[Finding]:
    """One order does it on storage and on its host, and another host's TPM state takes another order."""
    taken: list[str] = []
    retention_ms = context.desired.data_center.retention_ms
    for one in remains:
        over = one.aside and one.age_ms is not None and one.age_ms >= retention_ms
        able = _able(context, one) if over else ()
        if not able or set(able) & set(taken):
            continue
        host = next((name for name in able if agrees(context.observed, name)), None)
        if host is None:
            yield _await_clocks(record.object, f"what it kept {_place(context, one)}", able)
            continue
        taken.append(host)
        because = _because_over(context, record.uuid)
        yield Change(record.object, Verb.PURGE, because, host=host, subject=record.uuid)


def _able(context: DiffContext, one: Remains) -> tuple[str, ...]:
    """Workers that reach it, and the records with it."""
    reaching = set(context.having.get(context.master or "", ()))
    reaching &= {one.host} if one.host else set(context.having.get(one.storage_domain or "", ()))
    return tuple(name for name in context.workers if name in reaching)


def _place(context: DiffContext, one: Remains) -> str:
    return f"on {one.host or domain_name(context, one.storage_domain or '')}"


def describe_retention(milliseconds: int) -> str:
    """`7 days`; what is no whole number of days as `36h`."""
    days, rest = divmod(milliseconds, DAY_MS)
    return format_duration(milliseconds) if rest or not days else f"{days} day{'s' if days != 1 else ''}"


def agrees(observed: Observed, host: str) -> bool:
    """Whether a host's wall clock was compared with ours, and agrees."""
    skew_ms = observed.hosts[host].skew_ms
    return skew_ms is not None and abs(skew_ms) <= MOST_SKEW_MS


def find_restorable(observed: Observed, identities: Identities) -> Iterator[Alert]:
    """New disks under the name of removed ones whose images are still there: a person may have meant the old bytes."""
    if not identities.incarnations.keys() & identities.disks.keys():
        return
    for image, seen in sorted(observed.disks.items()):
        record = seen.record
        if record is None or not record.removed or seen.volume is None:
            continue
        if record.object in identities.incarnations and image not in identities.disks.values():
            yield Alert(
                record.object,
                f"it is made anew and empty, though its removed image {image} is still there",
                f'to have that back instead, write uuid: "{image}" in its spec before you apply',
            )


def find_wrong_clocks(desired: Desired, observed: Observed) -> Iterator[Alert]:
    """Hosts whose wall clock differs from ours, by id."""
    for name in desired.hosts:
        host = observed.hosts.get(name)
        skew_ms = host.skew_ms if host is not None and host.answering else None
        if skew_ms is None or abs(skew_ms) <= MOST_SKEW_MS:
            continue
        limit = WORST_SKEW_MS if abs(skew_ms) > WORST_SKEW_MS else MOST_SKEW_MS
        yield Alert(
            name,
            f"its clock differs from ours by more than {limit // 1000} s",
            "set the time, and see to chrony or systemd-timesyncd there and here",
        )
