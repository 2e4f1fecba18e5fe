"""What was asked and answered at one moment, as it came: the content of an observed file.

`ostler observe` writes Reports; `observing.assemble` turns them into `Observed`. Ages are monotonic
milliseconds, never times.
"""

from dataclasses import dataclass
from typing import Literal

from nodeagent.wire.facts import HostState, HostStatistics, StorageContents
from nodeagent.wire.version import CURRENT, Format

HostStatus = Literal["answering", "silent", "refused", "unknown"]
"""refused: it answered, and said no (TLS, dates, version, epoch, 5xx) — not silence. unknown: grace has not run yet."""


@dataclass(frozen=True, slots=True)
class HostReport:
    """One host's answer. age_ms: since the state document was received; status says whether it still counts.

    clock_age_ms: since the clocks in the state document were read; it may have been received again unchanged.
    skew_ms: by how much its wall clock is ahead of ours, None if that was not compared.
    """

    host: str
    uuid: str
    status: HostStatus
    age_ms: int = 0
    detail: str = ""
    state: HostState | None = None
    statistics: HostStatistics | None = None
    clock_age_ms: int = 0
    skew_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StorageReport:
    """One storage domain as `reader` read it; contents None where no connected host could."""

    uuid: str
    reader: str | None
    detail: str = ""
    contents: StorageContents | None = None


@dataclass(frozen=True, slots=True, order=True)
class RunOnHost:
    """An open run of a VM (uuid) that names a host, and the boot for which it does."""

    vm: str
    number: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class HostOffProof:
    """A host is off, for this incident: fenced and confirmed since it fell silent, or a person says so.

    runs: the open runs that named it then, sorted. They are what it proves to be over; a run that is not among them
    shows that the host was alive later.
    """

    host: str
    kind: Literal["fenced", "confirmed"]
    runs: tuple[RunOnHost, ...] = ()
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Reports:
    """All answers of one observation of a data center. addresses of hosts without a manifest are not known here.

    wallclock_ms: ours at that moment, in ms since 1970; it decides what is due for purge, and nothing else.
    """

    data_center: str
    hosts: tuple[HostReport, ...] = ()
    storage: tuple[StorageReport, ...] = ()
    proofs: tuple[HostOffProof, ...] = ()
    wallclock_ms: int | None = None
    format: Format = CURRENT
