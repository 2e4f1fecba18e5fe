"""The agent's HTTPS service: facts out, orders in. Decodes, asks engine and publisher, encodes; decides nothing.

`main` runs it. Whoever has a certificate of the controllers' authority may ask everything; nobody else gets
through the TLS handshake.
"""

import contextlib
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import uvicorn
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Query, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.responses import StreamingResponse

from nodeagent.certificates import TlsSettings, harden_context
from nodeagent.clock import boottime_ms, wallclock_ms
from nodeagent.engine import Engine
from nodeagent.epoch import Tenure
from nodeagent.errors import RefusedError
from nodeagent.facts.publishing import Publisher
from nodeagent.ledger import LedgerError
from nodeagent.openapi import body_of, complete, returns
from nodeagent.operations.contract import OperationError
from nodeagent.wire.codec import ContractError, decode_strict, encode
from nodeagent.wire.facts import AgentVersion, FactsChange, HostState, HostStatistics, StorageContents
from nodeagent.wire.orders import (
    LeaseGrant,
    LeaseRequest,
    Order,
    OrderResult,
    Refusal,
    Resync,
    Revocation,
)

MAX_BODY_BYTES = 1024 * 1024
LONGEST_WAIT_MS = 60_000
HEARTBEAT_S = 5.0
FRESH_LIMIT_S = 6.0
"""Below what a controller takes for silence."""
WAITERS = 256
STOP_LIMIT_S = 3

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backend:
    """What the service stands in front of. storage: contents of a connected domain, None if there is no such one."""

    version: AgentVersion
    agent_start: str
    engine: Engine
    tenure: Tenure
    publisher: Publisher
    statistics: Callable[[], HostStatistics]
    storage: Callable[[str], StorageContents | None]


class TooLargeError(Exception):
    """A request's body is over MAX_BODY_BYTES."""


def make_app(backend: Backend) -> FastAPI:
    """The application with all its routes."""
    app = FastAPI(title="ostler-agent", version=backend.version.agent_version, docs_url=None, redoc_url=None)
    app.openapi_url = None
    waiters = CapacityLimiter(WAITERS)
    _add_reports(app, backend, waiters)
    _add_stream(app, backend, waiters)
    _add_orders(app, backend, waiters)
    _add_refusals(app)
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign] # FastAPI's documented way to replace it
    return app


def _add_reports(app: FastAPI, backend: Backend, waiters: CapacityLimiter) -> None:
    @app.get("/v1/healthz", summary="Whether the agent answers")
    async def healthz() -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    @app.get("/v1/version", summary="Version and kinds of orders", responses=returns(AgentVersion))
    async def version() -> Response:
        return _answer(backend.version)

    @app.get("/v1/openapi.json", summary="This description")
    async def openapi() -> Response:
        return _answer(app.openapi())

    @app.get("/v1/facts", summary="The state document", responses=returns(HostState, 304, 503))
    async def facts(
        request: Request,
        fresh: bool = Query(False, description="collect now, as directly before a start"),
    ) -> Response:
        """It shows what every order did that was answered before. Its ETag stands for ledger and generation;
        If-None-Match answers 304."""
        if fresh and not await run_sync(backend.publisher.refresh, FRESH_LIMIT_S, limiter=waiters):
            return _unavailable("the facts could not be collected in time")
        if backend.publisher.behind:
            await run_sync(backend.publisher.catch_up, FRESH_LIMIT_S, limiter=waiters)
        state = backend.publisher.state()
        if state is None:
            return _unavailable("the agent has just begun to collect facts")
        etag = f'"{state.ledger_id}.{state.generation}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"ETag": etag})
        return _answer(_with_clocks(state, backend), headers={"ETag": etag})

    @app.get("/v1/statistics", summary="Means for placement", responses=returns(HostStatistics))
    async def statistics() -> Response:
        return _answer(await run_sync(backend.statistics))

    @app.get("/v1/storage/{domain}", summary="A storage domain", responses=returns(StorageContents, 404, 503))
    async def storage(domain: str) -> Response:
        contents = await run_sync(backend.storage, domain, limiter=waiters)
        if contents is None:
            return _missing(f"storage domain {domain} is not connected to this host")
        return _answer(contents)


def _add_stream(app: FastAPI, backend: Backend, waiters: CapacityLimiter) -> None:
    async def lines() -> AsyncIterator[bytes]:
        generation = -1
        while not backend.publisher.stopping:
            wait = partial(backend.publisher.wait_beyond, generation, HEARTBEAT_S)
            generation = await run_sync(wait, limiter=waiters)
            yield encode(FactsChange(backend.agent_start, generation, boottime_ms())) + b"\n"

    @app.get("/v1/facts/stream", summary="Changes of the state document", responses=returns(FactsChange))
    async def stream() -> StreamingResponse:
        """A JSON line for each new generation, and at least one every five seconds."""
        return StreamingResponse(lines(), media_type="application/x-ndjson")


def _add_orders(app: FastAPI, backend: Backend, waiters: CapacityLimiter) -> None:
    @app.post("/v1/leases", summary="Take, renew or give up the lease", **body_of(LeaseRequest, LeaseGrant))
    async def leases(request: Request) -> Response:
        """A new epoch is answered only when the facts show every order that was taken under an earlier one."""
        wanted, former = await _read(request, LeaseRequest), backend.tenure.facts().epoch
        grant = await run_sync(backend.tenure.request, wanted)
        if grant.epoch != former:
            await run_sync(backend.publisher.refresh, FRESH_LIMIT_S, limiter=waiters)
        return _answer(grant)

    @app.post("/v1/resync", summary="Let a new ledger take orders", **body_of(Resync, LeaseGrant, 204))
    async def resync(request: Request) -> Response:
        await run_sync(backend.tenure.resync, await _read(request, Resync))
        backend.publisher.poke()
        return Response(status_code=204)

    @app.post("/v1/orders", summary="Give an order", **body_of(Order, OrderResult, 202))
    async def orders(request: Request) -> Response:
        """200 with the result if it is there within a second, else 202: follow it at its key."""
        order = await _read(request, Order)
        return _result(await run_sync(backend.engine.submit, order, limiter=waiters))

    @app.get("/v1/orders/{key:path}", summary="Follow an order", responses=returns(OrderResult, 202, 404))
    async def follow(key: str, wait_ms: int = Query(0, ge=0, le=LONGEST_WAIT_MS)) -> Response:
        result = await run_sync(backend.engine.follow, key, wait_ms, limiter=waiters)
        return _missing(f"order {key} was never taken here") if result is None else _result(result)

    @app.post("/v1/revocations", summary="Revoke a key", **body_of(Revocation, OrderResult, 202))
    async def revocations(request: Request) -> Response:
        revocation = await _read(request, Revocation)
        result = await run_sync(backend.engine.revoke, revocation, limiter=waiters)
        backend.publisher.poke()
        return _result(result)


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(_request: Request, error: RefusedError) -> Response:
        return _answer(error.refusal, 409)

    @app.exception_handler(ContractError)
    async def malformed(_request: Request, error: ContractError) -> Response:
        return _answer(Refusal("invalid", str(error)[:1000]), 400)

    @app.exception_handler(TooLargeError)
    async def too_large(_request: Request, _error: TooLargeError) -> Response:
        return _answer(Refusal("invalid", f"a body of more than {MAX_BODY_BYTES} bytes"), 413)

    @app.exception_handler(LedgerError)
    async def not_durable(_request: Request, error: LedgerError) -> Response:
        return _answer(Refusal("not-durable", str(error), "free space on the host, or mend its disk"), 409)

    @app.exception_handler(OperationError)
    async def failed(_request: Request, error: OperationError) -> Response:
        return _unavailable(error.summary, error.action)

    @app.exception_handler(Exception)
    async def fault(_request: Request, error: Exception) -> Response:
        _log.error("a request met a fault in the agent", exc_info=error)
        return _answer({"summary": "a fault in ostler-agent; its log has the details"}, 500)


async def _read(request: Request, kind: type[T]) -> T:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise TooLargeError
    return decode_strict(bytes(body), kind)


def _with_clocks(state: HostState, backend: Backend) -> HostState:
    """The document with the clocks of this moment; its generation does not stand for them."""
    return replace(
        state, boottime_ms=boottime_ms(), wallclock_ms=wallclock_ms(), lease=backend.tenure.facts()
    )


def _result(result: OrderResult) -> Response:
    return _answer(result, 202 if result.state in ("accepted", "running") else 200)


def _answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(encode(value), status, headers, "application/json")


def _missing(summary: str) -> Response:
    return _answer({"summary": summary}, 404)


def _unavailable(summary: str, action: str = "") -> Response:
    return _answer({"summary": summary, "action": action}, 503)


def _describe(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = complete(get_openapi(title=app.title, version=app.version, routes=app.routes))
    return app.openapi_schema


def notify_systemd(message: str) -> None:
    """Send `message` to the service manager, where one listens (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, contextlib.suppress(OSError):
            channel.sendto(message.encode(), address.replace("@", "\0", 1))


class Server(uvicorn.Server):
    """uvicorn that wakes long requests as soon as it is asked to end, by SIGTERM or SIGINT."""

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self.tls = tls
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell systemd (Type=notify) that the agent is ready."""
        await super().startup(sockets)
        notify_systemd("READY=1")

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002 - the signature is given
        """Called by the signal. uvicorn's own would raise it again at the end, before the agent has put things in order."""
        self._stop()
        self.should_exit = True


def make_server(app: FastAPI, address: str, port: int, tls: TlsSettings, stop: Callable[[], None]) -> Server:
    """A server, not running yet, that demands a controller's certificate. Raises OSError, ssl.SSLError."""
    config = uvicorn.Config(
        app,
        host=address,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        http="h11",
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=STOP_LIMIT_S,
        **tls,
    )
    config.load()
    assert config.ssl is not None
    harden_context(config.ssl)
    return Server(config, config.ssl, stop)
