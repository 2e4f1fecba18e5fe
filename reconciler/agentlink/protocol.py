"""What one agent can be asked, whoever carries it: HTTPS to a real host, or a simulated one in virtual time.

Gathering and execution call it. Whatever goes wrong is one of three errors, because each is handled otherwise.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from nodeagent.wire.facts import HostState, HostStatistics, StorageContents
from nodeagent.wire.orders import LeaseGrant, LeaseRequest, Order, OrderResult, Refusal, Resync, Revocation


class AgentLinkError(Exception):
    """A question to an agent was not answered as asked. The message says what to do."""


class HostUnreachableError(AgentLinkError):
    """Nobody answered in time: silence. Whatever was sent may have arrived, or may still."""


class NotAskedError(HostUnreachableError):
    """The fault is on this side (name resolution, routes, open files): nothing can be said about the host."""


class AnswerRefusedError(AgentLinkError):
    """It answered, and not as an agent of ours: TLS, dates, version, a fault of its own. This is not silence.

    Whether an order that was sent took effect is not known. passing: the agent says that it may do better soon.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class OrderRefusedError(AgentLinkError):
    """The agent did not take an order, lease, revocation or resync; by this request nothing was done."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.summary}; {refusal.action}" if refusal.action else refusal.summary)
        self.refusal = refusal


class AgentLink(Protocol):
    """One agent. Every method raises HostUnreachableError or AnswerRefusedError; those that say so also
    OrderRefusedError. Safe to use from several tasks at once."""

    async def state(self, known: HostState | None = None, *, fresh: bool = False) -> HostState | None:
        """The state document; None if `known` is still the current one. fresh: collected after this call."""
        ...

    async def statistics(self) -> HostStatistics:
        """Means of the last ten minutes, for placement and balancing only."""
        ...

    async def storage(self, uuid: str) -> StorageContents:
        """All that one connected storage domain holds."""
        ...

    def changes(self) -> AsyncIterator[int]:
        """The state document's generation whenever it changes, and every few seconds, until the caller stops."""
        ...

    async def lease(self, request: LeaseRequest) -> LeaseGrant:
        """Take, renew or (duration 0) give up the right to order this agent. Raises OrderRefusedError."""
        ...

    async def order(self, order: Order) -> OrderResult:
        """Hand over an order; its result, or `accepted` or `running`. A known key gets its first result.

        Raises OrderRefusedError.
        """
        ...

    async def follow(self, key: str, wait_ms: int) -> OrderResult | None:
        """What became of a key, waited for at most wait_ms; None if the agent's ledger never saw it."""
        ...

    async def revoke(self, revocation: Revocation) -> OrderResult:
        """See that a key never takes effect from now on, and tell what became of it. Raises OrderRefusedError."""
        ...

    async def resync(self, resync: Resync) -> None:
        """Let a new ledger take orders. Raises OrderRefusedError."""
        ...


Fleet = Mapping[str, AgentLink]
"""The agents of a data center by host object id."""
