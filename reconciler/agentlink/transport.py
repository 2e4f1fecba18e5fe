"""Requests to one agent over kept TLS connections: bytes out, bounded bytes back, faults as the protocol's errors.

Only `https` uses it. Here it is decided what counts as silence, what as a refusal, and what is our own fault.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from reconciler.agentlink.protocol import (
    AgentLinkError,
    AnswerRefusedError,
    HostUnreachableError,
    NotAskedError,
)

_LOCAL_FAULTS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENETUNREACH, errno.EACCES, errno.ENOBUFS})
_BROKEN_HANDSHAKES = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_REFUSES = "the agent ended the connection without an answer, as one does that does not trust this controller's certificate; look at its log"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one agent may cost. Seconds; quick: facts and orders; storage: a whole domain; silence: of the stream.

    body_bytes: of one answer. at_once: ordinary calls, and as many again that wait for orders to end.
    """

    connect_s: float = 3.0
    quick_s: float = 8.0
    storage_s: float = 60.0
    silence_s: float = 15.0
    body_bytes: int = 64 * 2**20
    longest_wait_ms: int = 30_000
    at_once: int = 16


@dataclass(frozen=True, slots=True)
class HostAddress:
    """Where the agent of one host answers; id is the host's object id."""

    id: str
    uuid: str
    address: str
    port: int

    @property
    def url(self) -> str:
        """The base of its requests."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"https://{address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and ETag of one response."""

    status: int
    body: bytes
    etag: str = ""


class Transport:
    """Connections to one agent, made when first needed and kept until `close`."""

    def __init__(self, host: HostAddress, context: Callable[[], ssl.SSLContext], limits: Limits) -> None:
        self.host = host
        self.limits = limits
        self._context = context
        self._client: httpx.AsyncClient | None = None
        self._slots = asyncio.Semaphore(limits.at_once)
        self._waiting_slots = asyncio.Semaphore(limits.at_once)

    async def close(self) -> None:
        """End all connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def ask(
        self,
        method: str,
        path: str,
        content: bytes = b"",
        *,
        etag: str = "",
        wait_s: float = 0.0,
        limit_s: float | None = None,
    ) -> Answer:
        """One request, a second time if a kept connection broke: every request may be repeated.

        wait_s: how long the agent was asked to wait before it answers. limit_s: else of Limits.quick_s; it begins
        when the request may be sent, so that our own queue is no silence of the host. Raises AgentLinkError.
        """
        headers = {"If-None-Match": etag} if etag else {}
        limit_s = (limit_s or self.limits.quick_s) + wait_s
        async with self._waiting_slots if wait_s else self._slots, self._speaking(), asyncio.timeout(limit_s):
            try:
                return await self._exchange(method, path, headers, content)
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                return await self._exchange(method, path, headers, content)

    async def lines(self, path: str) -> AsyncIterator[Answer]:
        """Lines of an endless answer, each within Limits.silence_s; an answer of another status comes whole.

        Raises AgentLinkError.
        """
        async with self._speaking(), self._stream("GET", path, {}, b"") as response:
            if response.status_code != 200:
                yield await self._collect(response)
                return
            async for line in self._lines(response):
                yield Answer(200, line)

    async def _exchange(self, method: str, path: str, headers: dict[str, str], content: bytes) -> Answer:
        async with self._stream(method, path, headers, content) as response:
            return await self._collect(response)

    @asynccontextmanager
    async def _stream(
        self, method: str, path: str, headers: dict[str, str], content: bytes
    ) -> AsyncIterator[httpx.Response]:
        if self._client is None:
            self._client = self._make_client()
        async with self._client.stream(method, path, headers=headers, content=content) as response:
            yield response

    def _make_client(self) -> httpx.AsyncClient:
        limits = self.limits
        return httpx.AsyncClient(
            base_url=self.host.url,
            verify=self._context(),
            trust_env=False,
            headers={"Accept-Encoding": "identity", "Content-Type": "application/json"},
            timeout=httpx.Timeout(None, connect=limits.connect_s),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=2 * limits.at_once),
        )

    async def _collect(self, response: httpx.Response) -> Answer:
        """The whole body, as it came: never decompressed, never more than the limit."""
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self.limits.body_bytes:
                raise AnswerRefusedError(
                    f"{self.host.id}: the answer is longer than {self.limits.body_bytes} bytes; check what listens at {self.host.url}"
                )
        return Answer(response.status_code, bytes(body), response.headers.get("ETag", ""))

    async def _lines(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """Lines of an endless response; each must come within the limit of silence."""
        pending, chunks = b"", response.aiter_raw().__aiter__()
        while True:
            async with asyncio.timeout(self.limits.silence_s):
                try:
                    pending += await anext(chunks)
                except StopAsyncIteration:
                    return
            *lines, pending = pending.split(b"\n")
            if len(pending) > self.limits.body_bytes:
                raise AnswerRefusedError(f"{self.host.id}: a line of its stream is too long")
            for line in lines:
                yield line

    @asynccontextmanager
    async def _speaking(self) -> AsyncIterator[None]:
        """Turns every fault of the transport into one of the protocol's errors."""
        try:
            yield
        except (httpx.TimeoutException, TimeoutError) as error:
            raise HostUnreachableError(f"{self.host.id}: no answer from {self.host.url} in time") from error
        except httpx.ConnectError as error:
            raise self._not_connected(error) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise AnswerRefusedError(f"{self.host.id}: {_REFUSES} ({type(error).__name__})") from error

    def _not_connected(self, error: httpx.ConnectError) -> AgentLinkError:
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLError) and not isinstance(cause, _BROKEN_HANDSHAKES):
                return AnswerRefusedError(
                    f"{self.host.id}: no trust between this controller and {self.host.url}: {cause.strerror or cause}"
                )
            if isinstance(cause, socket.gaierror):
                return NotAskedError(
                    f"{self.host.id}: the address {self.host.address} cannot be resolved here; correct spec.address or DNS"
                )
            if isinstance(cause, OSError) and cause.errno in _LOCAL_FAULTS:
                return NotAskedError(f"{self.host.id}: nothing can be sent from here ({cause.strerror})")
        return HostUnreachableError(f"{self.host.id}: nobody accepts connections at {self.host.url}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and everything that led to it, groups included."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        pending += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions
