"""The facts of all agents at one moment, put together: who runs what, what storage holds, what is in doubt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from nodeagent.wire.facts import ExitFacts, GuestFacts, HostState, HostStatistics, StorageContents
from nodeagent.wire.orders import Evidence
from nodeagent.wire.records import DiskRecord, PoolRecord, VmRecord, VolumeFacts
from reconciler.model.reports import HostStatus


class Presence(StrEnum):
    """Whether a VM runs. UNKNOWN: somebody who may run it has not answered; it is never started then."""

    RUNNING = "running"
    NOT_RUNNING = "not-running"
    UNKNOWN = "unknown"


RecordState = Literal["read", "absent", "unreadable", "unknown"]
"""read: the master's was read, or a newer copy beside it; only then is it evidence. absent: known not to exist, master
and copies were read. unreadable: it exists, but the master's is damaged or missing. unknown: nobody could look."""


@dataclass(frozen=True, slots=True)
class HostObservation:
    """One host: `id` is its object id, or `host/<uuid>` where no manifest names it. clock_age_ms: since the clocks in
    its state document were read. skew_ms: by how much its wall clock is ahead of ours, None if that is not known.
    certificate_percent: how much of the life of its certificate is over, None if that is not known."""

    id: str
    uuid: str
    status: HostStatus
    age_ms: int = 0
    detail: str = ""
    state: HostState | None = None
    statistics: HostStatistics | None = None
    clock_age_ms: int = 0
    skew_ms: int | None = None
    certificate_percent: int | None = None

    @property
    def boottime_ms(self) -> int | None:
        """What the agent's boot-time clock shows now; None without a state document."""
        return self.state.boottime_ms + self.clock_age_ms if self.state is not None else None

    @property
    def answering(self) -> bool:
        """Whether its state document may be relied on in this pass."""
        return self.status == "answering" and self.state is not None

    def belongs_to(self, data_center: str) -> bool:
        """Whether its agent takes orders of this data center (uuid): it is of it, or of none yet."""
        return self.state is not None and self.state.data_center in (None, data_center)


@dataclass(frozen=True, slots=True)
class GuestOnHost:
    """A guest as one answering host reports it."""

    host: str
    facts: GuestFacts


@dataclass(frozen=True, slots=True)
class VmObservation:
    """One VM by uuid: its record, every host that reports it, and what follows.

    host: where it runs (the source, while it migrates). evidence: why it is not running, given exactly when
    presence is NOT_RUNNING. doubts: ids of hosts that may run it and cannot be asked, or (also while it runs) run it
    as well or may; and of storage domains without which the hosts to ask are not known. record: only in state
    `read` may anything rest on it; else it says what a copy knows.
    object: its id by record, else by the guest's own metadata; None for a stranger's guest.
    """

    uuid: str
    object: str | None
    record: VmRecord | None
    record_state: RecordState
    presence: Presence
    guests: tuple[GuestOnHost, ...] = ()
    host: str | None = None
    evidence: Evidence | None = None
    doubts: tuple[str, ...] = ()
    exit: ExitFacts | None = None

    @property
    def guest(self) -> GuestFacts | None:
        """The guest on the host where it runs."""
        for one in self.guests:
            if one.host == self.host:
                return one.facts
        return None


@dataclass(frozen=True, slots=True)
class DiskObservation:
    """One disk image by uuid, from records and from what the domain's directories hold."""

    image: str
    storage_domain: str
    object: str | None
    record: DiskRecord | None
    volume: VolumeFacts | None


@dataclass(frozen=True, slots=True, order=True)
class Remains:
    """What is left somewhere of a removed VM besides its disks: its TPM's state on `host` (id), or its UEFI variables on
    `storage_domain` (uuid). age_ms: since the removal, None if that is not known. aside: it has its other name already.
    """

    vm: str
    host: str | None
    storage_domain: str | None
    aside: bool
    age_ms: int | None


@dataclass(frozen=True, slots=True)
class StorageObservation:
    """One storage domain: contents as `reader` read them, None where nobody could."""

    uuid: str
    reader: str | None
    contents: StorageContents | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order in some agent's ledger that has not ended; it locks its object for every planner."""

    host: str
    key: str
    kind: str
    object: str
    state: str


@dataclass(frozen=True, slots=True)
class OutdatedFacts:
    """A host's facts of `generation` do not show the last result of an object there yet; those from `shown` on do."""

    host: str
    generation: int
    shown: int

    @property
    def reason(self) -> str:
        """For people; without the numbers, which would make every plan another one."""
        return f"the facts of {self.host} are older than its last result there"


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything observed. hosts by id: declared, reported, and holders of a host id in the pool; storage by uuid.
    vms and disks by uuid; vm_of and disk_of: object id to uuid (managed, not removed).

    records_read: what has no record here has none anywhere. complete: that, and every known host answered in full
    or is proven off. last_orders: by object id the key of the last order, or a mark over several, as ledgers and
    records report them. open_orders: by object id. master: uuid of the master domain, None before there is one.
    removed_ms: of removed disk images whose bytes are still there, how long ago that was, by image.
    remains: what is left of removed VMs besides their disks, sorted; only what was read, and only with their tombstones.
    outdated: by object id, facts that are older than the object's own last result; nothing is planned on them.
    off: hosts proven off (id to kind of proof). newcomer_evidence: why a VM that appears in no record and on no
    host never ran; None if that cannot be known, for want of what newcomer_doubts names.
    """

    data_center: str
    hosts: Mapping[str, HostObservation] = field(default_factory=dict)
    storage: Mapping[str, StorageObservation] = field(default_factory=dict)
    vms: Mapping[str, VmObservation] = field(default_factory=dict)
    disks: Mapping[str, DiskObservation] = field(default_factory=dict)
    vm_of: Mapping[str, str] = field(default_factory=dict)
    disk_of: Mapping[str, str] = field(default_factory=dict)
    pool: PoolRecord | None = None
    master: str | None = None
    open_orders: Mapping[str, OpenOrder] = field(default_factory=dict)
    last_orders: Mapping[str, str] = field(default_factory=dict)
    outdated: Mapping[str, OutdatedFacts] = field(default_factory=dict)
    removed_ms: Mapping[str, int] = field(default_factory=dict)
    remains: tuple[Remains, ...] = ()
    off: Mapping[str, str] = field(default_factory=dict)
    records_read: bool = False
    complete: bool = False
    newcomer_evidence: Evidence | None = None
    newcomer_doubts: tuple[str, ...] = ()
    data_center_uuid: str = ""
