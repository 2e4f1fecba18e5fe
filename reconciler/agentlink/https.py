"""One agent over HTTPS with mutual TLS: contract values to requests, answers back to values or the three errors.

`connect_fleet` makes the fleet that commands and loop work with. TLS contexts come from the caller, one a host.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

from nodeagent.wire.codec import ContractError, decode, encode
from nodeagent.wire.facts import FactsChange, HostState, HostStatistics, StorageContents
from nodeagent.wire.orders import LeaseGrant, LeaseRequest, Order, OrderResult, Refusal, Resync, Revocation
from reconciler.agentlink.protocol import AgentLinkError, AnswerRefusedError, Fleet, OrderRefusedError
from reconciler.agentlink.transport import Answer, HostAddress, Limits, Transport

T = TypeVar("T")


class HttpsLink:
    """`AgentLink` over HTTPS; `close` ends its connections."""

    def __init__(
        self, host: HostAddress, context: Callable[[], ssl.SSLContext], limits: Limits | None = None
    ) -> None:
        self._transport = Transport(host, context, limits or Limits())
        self._id = host.id
        self._etag = ("", "", -1)

    async def state(self, known: HostState | None = None, *, fresh: bool = False) -> HostState | None:
        """See AgentLink. The ETag of the last document is kept here."""
        same = known is not None and self._etag[1:] == (known.ledger_id, known.generation)
        path = "/v1/facts?fresh=true" if fresh else "/v1/facts"
        answer = await self._transport.ask("GET", path, etag=self._etag[0] if same else "")
        if same and answer.status == 304:
            return None
        state = self._read(answer, HostState)
        self._etag = (answer.etag, state.ledger_id, state.generation)
        return state

    async def statistics(self) -> HostStatistics:
        """See AgentLink."""
        return self._read(await self._transport.ask("GET", "/v1/statistics"), HostStatistics)

    async def storage(self, uuid: str) -> StorageContents:
        """See AgentLink."""
        path, limit_s = f"/v1/storage/{quote(uuid, safe='')}", self._transport.limits.storage_s
        return self._read(await self._transport.ask("GET", path, limit_s=limit_s), StorageContents)

    async def changes(self) -> AsyncIterator[int]:
        """See AgentLink."""
        async for line in self._transport.lines("/v1/facts/stream"):
            yield self._read(line, FactsChange).generation

    async def lease(self, request: LeaseRequest) -> LeaseGrant:
        """See AgentLink."""
        return self._read(await self._post("/v1/leases", request), LeaseGrant)

    async def order(self, order: Order) -> OrderResult:
        """See AgentLink."""
        return self._read(await self._post("/v1/orders", order), OrderResult)

    async def follow(self, key: str, wait_ms: int) -> OrderResult | None:
        """See AgentLink."""
        wait_ms = min(wait_ms, self._transport.limits.longest_wait_ms)
        path = f"/v1/orders/{quote(key, safe='')}?wait_ms={wait_ms}"
        answer = await self._transport.ask("GET", path, wait_s=wait_ms / 1000)
        if (
            answer.status == 404 and _summary(answer.body) is not None
        ):  # other 404s come from what is no agent
            return None
        return self._read(answer, OrderResult)

    async def revoke(self, revocation: Revocation) -> OrderResult:
        """See AgentLink."""
        return self._read(await self._post("/v1/revocations", revocation), OrderResult)

    async def resync(self, resync: Resync) -> None:
        """See AgentLink."""
        answer = await self._post("/v1/resync", resync)
        if answer.status not in (200, 204):
            raise self._fault(answer)

    async def close(self) -> None:
        """End all connections."""
        await self._transport.close()

    async def _post(self, path: str, body: Any) -> Answer:
        return await self._transport.ask("POST", path, encode(body))

    def _read(self, answer: Answer, kind: type[T]) -> T:
        if answer.status not in (200, 202):
            raise self._fault(answer)
        try:
            return decode(answer.body, kind)
        except ContractError as error:
            raise AnswerRefusedError(
                f"{self._id}: its answer does not fit this version's contract ({error}); upgrade the older side"
            ) from error

    def _fault(self, answer: Answer) -> AgentLinkError:
        """The error that an answer without the wanted content stands for."""
        refusal = _refusal(answer)
        if refusal is not None:
            return OrderRefusedError(refusal)
        text = _summary(answer.body) or _first_line(answer.body)
        return AnswerRefusedError(
            f"{self._id}: status {answer.status}{': ' + text if text else ''}",
            passing=answer.status == 503,
        )


def _refusal(answer: Answer) -> Refusal | None:
    """The refusal that an answer is, if it is one."""
    if answer.status not in (400, 409, 413):
        return None
    try:
        return decode(answer.body, Refusal)
    except ContractError:
        return None


def _summary(body: bytes) -> str | None:
    """The `summary` of an answer in JSON, None if it has none."""
    try:
        summary = decode(body, dict[str, Any]).get("summary")
    except ContractError:
        return None
    return _printable(summary) if isinstance(summary, str) else None


def _first_line(body: bytes) -> str:
    return _printable(body[:300].decode("utf-8", "replace").strip().partition("\n")[0])


def _printable(text: str) -> str:
    """At most 300 characters that a terminal can show: the other end may be anybody."""
    return "".join(char for char in text[:300] if char.isprintable())


@asynccontextmanager
async def connect_fleet(
    hosts: Iterable[HostAddress],
    context_of: Callable[[HostAddress], ssl.SSLContext],
    limits: Limits | None = None,
) -> AsyncIterator[Fleet]:
    """Links to all hosts by id; each context is made when its host is first asked. Closed with the block."""

    def link(host: HostAddress) -> HttpsLink:
        return HttpsLink(host, lambda: context_of(host), limits)

    links = {host.id: link(host) for host in hosts}
    try:
        yield links
    finally:
        for one in links.values():
            await one.close()
