"""Looks at a storage domain and says how it is; a thread for each domain does so again and again.

The registry in `storage` starts and stops the watches and keeps what they find.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from nodeagent.drivers.mounts import read_directly, read_space
from nodeagent.formats.domainmetadata import METADATA_LIMIT_BYTES, DomainMetadata, decode_domain_metadata
from nodeagent.operations.contract import OperationError
from nodeagent.wire.facts import StorageDomainFacts

STALE_S = 45.0
"""A look takes 30 s at most; if none has ended for this long beyond the period, the watch itself is stuck."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """What the last look at a domain found. at_s: by the monotonic clock; problem is empty if all is well."""

    at_s: float
    problem: str = ""
    metadata: DomainMetadata | None = None
    total_bytes: int = 0
    free_bytes: int = 0


def look_at_domain(place: Path, uuid: str, data_center: str, at_s: float, limit_ms: int) -> Health:
    """How the domain at `place` is: size, metadata from its storage, and whether it is the one wanted.

    Takes at most three times limit_ms. Raises OperationError if it does not answer or has no metadata.
    """
    content = read_directly(place / "dom_md" / "metadata", METADATA_LIMIT_BYTES, limit_ms)
    metadata = decode_domain_metadata(content)
    space = read_space(place, limit_ms)
    return Health(
        at_s=at_s,
        problem=_objection(metadata, uuid, data_center),
        metadata=metadata,
        total_bytes=space.total_bytes,
        free_bytes=space.free_bytes,
    )


def _objection(metadata: DomainMetadata, uuid: str, data_center: str) -> str:
    if metadata.uuid != uuid:
        return f"storage domain {metadata.uuid} lies in the place of {uuid}"
    if metadata.pools and data_center not in metadata.pools:
        return f"it belongs to data center {', '.join(metadata.pools)}"
    return ""


def describe_health(uuid: str, health: Health | None, now_s: float, period_s: float) -> StorageDomainFacts:
    """The facts of a domain that was last seen as `health`, None for one not looked at yet."""
    if health is None:
        return StorageDomainFacts(uuid, "unknown", master=False, version=0, problem="not looked at yet")
    problem = health.problem
    if now_s - health.at_s > STALE_S + period_s:
        problem = "it has not answered for a minute or more"
    return StorageDomainFacts(
        uuid=uuid,
        state="inactive" if problem else "active",
        master=health.metadata is not None and health.metadata.role == "Master",
        version=health.metadata.version if health.metadata else 0,
        total_bytes=health.total_bytes,
        free_bytes=health.free_bytes,
        problem=problem,
    )


class Watch:
    """Calls `look` at once and then every period, in a thread of its own, until it is stopped."""

    def __init__(self, name: str, period_s: float, look: Callable[["Watch"], None]) -> None:
        self._stopping = Event()
        self._period_s = period_s
        self._look = look
        Thread(target=self._run, name=f"storage-{name}", daemon=True).start()

    @property
    def stopped(self) -> bool:
        """Whether nothing that the watch finds counts any more."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Look no more; a look under way ends by itself."""
        self._stopping.set()

    def _run(self) -> None:
        while not self.stopped:
            try:
                self._look(self)
            except OperationError as error:
                _LOG.warning("storage cannot be watched: %s", error)
            self._stopping.wait(self._period_s)
