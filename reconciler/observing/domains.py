"""Turns storage reports into one observation a domain, and into `Domains`: where records lie, and what was not read.

Called by `assemble`. What a domain holds counts only as its reader answers now, and as it belongs to this data center.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nodeagent.wire.codec import encode
from nodeagent.wire.facts import StorageContents
from nodeagent.wire.records import PoolRecord
from nodeagent.wire.version import MAJOR
from reconciler.model.desired import Desired
from reconciler.model.observed import HostObservation, StorageObservation
from reconciler.model.reports import Reports, StorageReport


@dataclass(frozen=True, slots=True)
class Standing:
    """How far records may be believed. masters: domains that call themselves master, the chosen one first.

    masters_read: every one of them was read. masters_complete: each in full. copies_complete: so was every other
    domain that may hold copies. brand_new: there has never been storage, so there are no records.
    """

    masters: tuple[str, ...] = ()
    masters_read: bool = False
    masters_complete: bool = False
    copies_complete: bool = False
    brand_new: bool = False

    @property
    def reliable(self) -> bool:
        """Whether a record of the master is the newest there is: two masters only count if both were read in full."""
        return self.masters_read and (len(self.masters) == 1 or self.masters_complete)

    @property
    def absence_known(self) -> bool:
        """Whether a record that was found nowhere does not exist: every place that may hold it was read in full."""
        return self.brand_new or (self.masters_complete and self.copies_complete)


@dataclass(frozen=True, slots=True)
class Domains:
    """What holds of storage as a whole.

    unread: ids of the domains that were not read in full though they may hold records. lacking: ids of what must
    be read before it is known which hosts hold an id in the pool; empty if that is known.
    """

    standing: Standing
    pool: PoolRecord | None
    unread: tuple[str, ...]
    lacking: tuple[str, ...]


def observe_storage(
    desired: Desired, reports: Reports, hosts: Mapping[str, HostObservation]
) -> dict[str, StorageObservation]:
    """One observation a domain by uuid, sorted: those reported, declared, connected to a host, or in the pool."""
    given: dict[str, list[StorageReport]] = {}
    for report in reports.storage:
        given.setdefault(report.uuid, []).append(report)
    answering = {name for host in hosts.values() if host.answering for name in (host.id, host.uuid)}
    center = desired.data_center.uuid
    found = {uuid: _observe_domain(uuid, same, answering, center) for uuid, same in given.items()}
    known = {domain.uuid for domain in desired.storage_domains.values()} | connected_domains(hosts)
    pool = pool_of(found)
    known.update(pool.domains.values() if pool else ())
    for uuid in known - found.keys():
        found[uuid] = StorageObservation(uuid, None, None, "nobody was asked to read it")
    return dict(sorted(found.items()))


def _observe_domain(
    uuid: str, given: list[StorageReport], answering: set[str], center: str
) -> StorageObservation:
    """Reports of one domain as one: those whose contents count before the others; if two differ, none counts."""
    read = [one for one in given if one.contents is not None]
    counting = [one for one in read if not _fault(one, answering, center)]
    same = counting or read or given
    report = min(same, key=lambda one: (one.reader or "", one.detail))
    if report.contents is None:
        return StorageObservation(uuid, report.reader, None, report.detail)
    reader = report.reader or "unknown"
    if any(other.contents != report.contents for other in same):
        readers = " and ".join(sorted({one.reader or "unknown" for one in same}))
        return StorageObservation(uuid, reader, None, f"{readers} read it differently")
    fault = _fault(report, answering, center)
    return StorageObservation(uuid, reader, None if fault else report.contents, fault or report.detail)


def _fault(report: StorageReport, answering: set[str], center: str) -> str:
    """Why contents do not count; empty if they do."""
    contents = report.contents
    if contents is None:
        return report.detail or "it was not read"
    if report.reader not in answering:
        return f"its reader {report.reader or '(not named)'} does not answer any more"
    if contents.uuid != report.uuid:
        return f"the place holds domain {contents.uuid} instead"
    if contents.format.major > MAJOR or (contents.pool and contents.pool.format.major > MAJOR):
        return "it is written in a newer format than this version reads"
    if contents.pool is not None and contents.pool.data_center != center:
        return f"it belongs to data center {contents.pool.data_center}"
    return ""


def connected_domains(hosts: Mapping[str, HostObservation]) -> set[str]:
    """Uuids of the domains that answering hosts are connected to."""
    return {
        facts.uuid
        for host in hosts.values()
        if host.answering and host.state is not None
        for facts in host.state.storage
    }


def pool_of(storage: Mapping[str, StorageObservation]) -> PoolRecord | None:
    """The pool's record of the highest revision on a domain that calls itself master."""
    masters = [one.contents for one in storage.values() if one.contents and one.contents.master]
    pools = [contents.pool for contents in masters if contents.pool]
    if len(pools) == 1:
        return pools[0]
    return max(pools, key=lambda pool: (pool.revision, encode(pool)), default=None)


def domain_names(desired: Desired) -> dict[str, str]:
    """Object ids of the data center and its declared domains, by uuid."""
    domains = {domain.uuid: domain.meta.id for domain in desired.storage_domains.values()}
    return {desired.data_center.uuid: desired.data_center.meta.id, **domains}


def survey_domains(
    center: str,
    names: Mapping[str, str],
    hosts: Mapping[str, HostObservation],
    storage: Mapping[str, StorageObservation],
) -> Domains:
    """What was read of storage, what was not, and what follows.

    center: uuid of the data center; names: see `domain_names`.

    Places that may hold records are the domains that call themselves master, those in the pool's record and those
    that an answering host is connected to: a domain is entered in the pool's record before a record is written
    to it, so a declared domain that is in neither does not exist yet.
    """
    pool = pool_of(storage)
    names = {**names, **({uuid: name for name, uuid in pool.domains.items()} if pool else {})}
    masters = _masters(hosts, storage)
    needed = connected_domains(hosts) | set(masters) | set(pool.domains.values() if pool else ())
    read = {uuid for uuid in masters if _contents(storage, uuid) is not None}
    complete = {uuid for uuid in needed if (found := _contents(storage, uuid)) and found.complete}
    standing = Standing(
        masters,
        masters_read=bool(masters) and read == set(masters),
        masters_complete=bool(masters) and complete >= set(masters),
        copies_complete=complete == needed,
        brand_new=_is_brand_new(center, hosts, storage),
    )
    unread = needed - complete
    if not masters and not standing.brand_new:
        unread |= {uuid for uuid, one in storage.items() if one.contents is None}
    lacking = _lacking(standing, pool, storage, unread or {center})
    return Domains(standing, pool, _ids(unread, names), _ids(lacking, names))


def _contents(storage: Mapping[str, StorageObservation], uuid: str) -> StorageContents | None:
    found = storage.get(uuid)
    return found.contents if found else None


def _masters(
    hosts: Mapping[str, HostObservation], storage: Mapping[str, StorageObservation]
) -> tuple[str, ...]:
    """Domains that call themselves master: by what was read, and where nothing was, by what hosts say of them."""
    read = [one.contents for one in storage.values() if one.contents and one.contents.master]
    read.sort(key=lambda one: (-(one.pool.revision if one.pool else -1), one.uuid))
    said = {
        facts.uuid
        for host in hosts.values()
        if host.answering and host.state is not None
        for facts in host.state.storage
        if facts.master and _contents(storage, facts.uuid) is None
    }
    return (*(one.uuid for one in read), *sorted(said))


def _is_brand_new(
    center: str, hosts: Mapping[str, HostObservation], storage: Mapping[str, StorageObservation]
) -> bool:
    """Whether no host has ever been connected to storage of this data center.

    So it is if every host known (at least one) answers with a full listing, none has ever been given a host id, is
    connected to a domain or belongs to another data center, and nobody could read any domain. What these hosts
    do not run then never ran here. Should the place hold a domain all the same (every host was installed
    anew), the orders find out: making a domain refuses a place that is not empty, the first revision of a record
    one that exists, and no guest starts before both.
    """
    if not hosts or any(one.reader is not None or one.contents is not None for one in storage.values()):
        return False
    return all(
        host.answering
        and host.state is not None
        and host.state.guests_complete
        and host.state.host_id is None
        and not host.state.storage
        and host.state.data_center in (None, center)
        for host in hosts.values()
    )


def _lacking(
    standing: Standing,
    pool: PoolRecord | None,
    storage: Mapping[str, StorageObservation],
    unread: set[str],
) -> set[str]:
    """What must be read before the holders of host ids are known.

    A master without the pool's record is one that was just made, unless VM records are there already.
    """
    if standing.brand_new or (standing.reliable and pool is not None):
        return set()
    if standing.reliable and standing.masters_complete and not _any_vm_record(storage):
        return set()
    return set(standing.masters) or unread


def _any_vm_record(storage: Mapping[str, StorageObservation]) -> bool:
    return any(one.contents and (one.contents.vms or one.contents.unreadable) for one in storage.values())


def _ids(uuids: set[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """Object ids: by manifest or pool, else `sd/<uuid>`; sorted."""
    return tuple(sorted(names.get(uuid, f"sd/{uuid}") for uuid in uuids))
