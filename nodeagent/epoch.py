"""Who may order this agent: the highest epoch seen, its holder, and the lease that the holder must keep renewing.

Epoch and holder are durable; a lease's time is not, so after a restart the last holder must renew, and others
wait as long as its lease could have lasted. Decisions are pure; `Tenure` keeps the state.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock

from nodeagent.clock import boottime_ms
from nodeagent.errors import RefusedError
from nodeagent.ledger import Ledger
from nodeagent.wire.facts import LeaseFacts
from nodeagent.wire.orders import LeaseGrant, LeaseRequest, Resync

DEFAULT_LEASE_MS = 30_000
LONGEST_LEASE_MS = 300_000


@dataclass(frozen=True, slots=True)
class Lease:
    """The highest epoch and who had it. until_ms: boot-time clock; renewed: by its holder in this life of the agent."""

    epoch: int = 0
    holder: str = ""
    duration_ms: int = DEFAULT_LEASE_MS
    until_ms: int = 0
    renewed: bool = False

    def valid(self, now_ms: int) -> bool:
        """Whether its holder may order now."""
        return self.renewed and now_ms < self.until_ms

    def blocks(self, holder: str, now_ms: int) -> bool:
        """Whether another holder's lease stands in the way of `holder`."""
        return self.holder != holder and now_ms < self.until_ms


def grant_lease(lease: Lease, request: LeaseRequest, now_ms: int) -> Lease:
    """The lease after `request`. A duration of 0 gives the lease up. Raises RefusedError."""
    if not request.holder or request.epoch == 0:
        raise RefusedError("invalid", "a lease needs a holder and an epoch of at least 1")
    if lease.blocks(request.holder, now_ms) and not request.takeover:
        raise RefusedError(
            "held",
            f"{lease.holder} holds this host for {lease.until_ms - now_ms} ms more (epoch {lease.epoch})",
            "wait until it has ended, or use `ostler takeover`",
        )
    _refuse_old_epoch(lease, request.holder, request.epoch)
    duration = min(request.duration_ms, LONGEST_LEASE_MS)
    return Lease(request.epoch, request.holder, duration, now_ms + duration, renewed=True)


def refuse_order(lease: Lease, holder: str, epoch: int, now_ms: int) -> None:
    """Raises RefusedError unless `holder` has a valid lease with exactly `epoch`."""
    if epoch < lease.epoch:
        raise RefusedError(
            "stale-epoch",
            f"epoch {epoch} has ended: this host has seen {lease.epoch}, held by {lease.holder}",
            "plan anew, with a new lease",
        )
    if lease.blocks(holder, now_ms):
        raise RefusedError(
            "held", f"{lease.holder} holds this host (epoch {lease.epoch})", "wait for its end"
        )
    if epoch != lease.epoch or holder != lease.holder or not lease.valid(now_ms):
        raise RefusedError(
            "no-lease", f"{holder} has no valid lease with epoch {epoch}", "take a lease first"
        )


def _refuse_old_epoch(lease: Lease, holder: str, epoch: int) -> None:
    if epoch < lease.epoch or (epoch == lease.epoch and holder != lease.holder):
        raise RefusedError(
            "stale-epoch",
            f"epoch {epoch} is not above {lease.epoch}, which {lease.holder} had here",
            f"ask again with an epoch above {lease.epoch}",
        )


class Tenure:
    """The lease of this agent, and whether its ledger may take orders. Safe to use from several threads."""

    def __init__(
        self,
        ledger: Ledger,
        boot_id: str,
        data_center: Callable[[], str | None],
        claim: Callable[[str], None],
        clock: Callable[[], int] = boottime_ms,
    ) -> None:
        """data_center: the one this host belongs to; claim: makes it belong to one, durably."""
        self._ledger = ledger
        self._boot_id = boot_id
        self._data_center = data_center
        self._claim = claim
        self._clock = clock
        self._lock = Lock()
        self._lease = self._restore()

    def _restore(self) -> Lease:
        epoch = int(self._ledger.fact("epoch", "0"))
        duration = int(self._ledger.fact("lease_ms", "0"))
        return Lease(epoch, self._ledger.fact("holder"), duration, self._clock() + duration, renewed=False)

    @property
    def resync_needed(self) -> bool:
        """Whether the ledger is new, and takes no orders until a controller has settled what runs here."""
        return self._ledger.fact("resynced") != "yes"

    def request(self, request: LeaseRequest) -> LeaseGrant:
        """Grant, renew or give up the lease. Raises RefusedError; LedgerError if it cannot be made durable."""
        with self._lock:
            self.refuse_data_center(request.data_center)
            now = self._clock()
            granted = grant_lease(self._lease, request, now)
            self._keep(granted)
            return LeaseGrant(
                granted.epoch, granted.holder, granted.duration_ms, now, self._boot_id, self._ledger.id
            )

    def resync(self, resync: Resync) -> None:
        """Let a new ledger take orders, from this epoch on. Repeating it is harmless. Raises RefusedError, LedgerError."""
        with self._lock:
            self.refuse_data_center(resync.data_center)
            self.refuse_ledger(resync.ledger_id)
            now = self._clock()
            if resync.epoch == 0 or self._lease.blocks(resync.holder, now):
                refuse_order(self._lease, resync.holder, resync.epoch, now)
            _refuse_old_epoch(self._lease, resync.holder, resync.epoch)
            if self._data_center() is None:
                self._claim(resync.data_center)
            if resync.epoch > self._lease.epoch:
                self._keep(Lease(resync.epoch, resync.holder))
            self._ledger.keep_facts({"resynced": "yes"})

    def refuse(self, holder: str, epoch: int) -> None:
        """Raises RefusedError unless `holder` may order or revoke now."""
        with self._lock:
            refuse_order(self._lease, holder, epoch, self._clock())

    @contextmanager
    def holding(self, holder: str, epoch: int) -> Iterator[None]:
        """As `refuse`, and nobody gets another lease while the block runs: what is taken in it, is taken before."""
        with self._lock:
            refuse_order(self._lease, holder, epoch, self._clock())
            yield

    def refuse_data_center(self, data_center: str) -> None:
        """Raises RefusedError for a data center that this host does not belong to."""
        mine = self._data_center()
        if mine is not None and mine != data_center:
            raise RefusedError(
                "other-data-center",
                f"this host belongs to data center {mine}, not {data_center}",
                "remove the host from one of the two; to move it, change dataCenter in agent.yaml",
            )

    def refuse_ledger(self, ledger_id: str) -> None:
        """Raises RefusedError for another ledger's id: what the sender knows of this agent is out of date."""
        if ledger_id != self._ledger.id:
            raise RefusedError(
                "other-ledger",
                f"this agent's ledger is {self._ledger.id}, not {ledger_id}",
                "observe and plan anew",
            )

    def facts(self) -> LeaseFacts:
        """The highest epoch, and the holder while its lease lasts."""
        with self._lock:
            lease, now = self._lease, self._clock()
        if not lease.valid(now):
            return LeaseFacts(lease.epoch)
        return LeaseFacts(lease.epoch, lease.holder, lease.until_ms - now)

    def _keep(self, lease: Lease) -> None:
        """Put `lease` in force; durable first, unless it only renews what is durable already."""
        former = self._lease
        if replace(former, until_ms=0, renewed=False) != replace(lease, until_ms=0, renewed=False):
            self._ledger.keep_facts(
                {"epoch": str(lease.epoch), "holder": lease.holder, "lease_ms": str(lease.duration_ms)}
            )
        self._lease = lease
