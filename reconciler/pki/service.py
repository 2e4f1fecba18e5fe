"""The enrolment service: a token's secret and a certificate request in, a host's certificate out.

`ostler pki serve` runs it alone; the loop, the controller and the lab run it as a task. Everything that arrives
is hostile: sizes, times and the number of connections are bounded, and the request decides nothing but the key.
`nodeagent.wire.enrolment` has the shapes.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus

from nodeagent.wire.codec import ContractError, decode_strict, encode
from nodeagent.wire.enrolment import AuthorityAnswer, EnrolmentAnswer, EnrolmentRefusal, EnrolmentRequest
from reconciler.pki.authority import Authorities
from reconciler.pki.contexts import enrolment_context
from reconciler.pki.errors import AuthorityFileError, CertificateRequestError, PkiError, TokenRefusedError
from reconciler.pki.requests import read_request_key
from reconciler.pki.tokens import consume_token

MAX_HEAD_BYTES = 8 * 1024
MAX_BODY_BYTES = 32 * 1024
MAX_CONNECTIONS = 64
CONNECTION_LIMIT_S = 15.0
ENROLMENT_PORT = 54331

_log = logging.getLogger(__name__)


def open_listener(address: str, port: int = ENROLMENT_PORT) -> socket.socket:
    """A listening socket for `serve_enrolment`; `::` takes IPv4 too, port 0 any free one. Raises OSError."""
    if ":" in address:
        return socket.create_server(
            (address, port), family=socket.AF_INET6, dualstack_ipv6=address == "::", backlog=128
        )
    return socket.create_server((address, port), backlog=128)


async def serve_enrolment(
    authorities: Authorities,
    listener: socket.socket,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    limit_s: float = CONNECTION_LIMIT_S,
) -> None:
    """Answers hosts until it is cancelled; then the listener is closed. Each connection has `limit_s` in all."""
    context = enrolment_context(authorities, now=clock())
    slots = asyncio.Semaphore(MAX_CONNECTIONS)
    connections: set[asyncio.Task[None]] = set()
    listener.setblocking(False)
    try:
        while True:
            await slots.acquire()
            accepted = await _accept(listener)
            serving = _serve_connection(accepted, context, authorities, clock, limit_s)
            task = asyncio.create_task(serving, name="enrolment connection")
            connections.add(task)
            task.add_done_callback(connections.discard)
            task.add_done_callback(lambda _: slots.release())
    finally:
        listener.close()
        for task in tuple(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _accept(listener: socket.socket) -> socket.socket:
    while True:
        try:
            accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
        except OSError as e:  # a client that left at once, or no descriptor free
            _log.warning("enrolment: a connection could not be accepted: %s", e.strerror)
            await asyncio.sleep(0.1)
        else:
            return accepted


async def _serve_connection(
    accepted: socket.socket,
    context: ssl.SSLContext,
    authorities: Authorities,
    clock: Callable[[], datetime],
    limit_s: float,
) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_HEAD_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    try:
        async with asyncio.timeout(limit_s):
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, accepted, ssl=context)
            try:
                status, body = await _answer(reader, authorities, clock)
                writer = asyncio.StreamWriter(transport, protocol, reader, loop)
                writer.write(_response(status, body))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
            finally:
                transport.abort()
    except (OSError, EOFError, TimeoutError) as e:
        _log.info("enrolment: a connection ended early: %s", type(e).__name__)


async def _answer(
    reader: asyncio.StreamReader, authorities: Authorities, clock: Callable[[], datetime]
) -> tuple[HTTPStatus, object]:
    try:
        method, path, body = await _read_request(reader)
    except (ValueError, asyncio.LimitOverrunError):
        return HTTPStatus.BAD_REQUEST, EnrolmentRefusal(
            "this is no request to an enrolment service; use `ostler-agent enroll`"
        )
    if (method, path) == ("GET", "/v1/authority"):
        return HTTPStatus.OK, AuthorityAnswer(authorities.controllers.pem)
    if (method, path) == ("POST", "/v1/enrol"):
        return await asyncio.to_thread(answer_enrolment, authorities, body, now=clock())
    return HTTPStatus.NOT_FOUND, EnrolmentRefusal("there is nothing here; use `ostler-agent enroll`")


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
    """Method, path and body of an HTTP/1.1 request; raises ValueError or LimitOverrunError for anything else."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    request_line, *fields = head.split("\r\n")
    method, path, protocol = request_line.split(" ")
    if not protocol.startswith("HTTP/1."):
        raise ValueError("another protocol")
    lengths = [
        value
        for name, _, value in (line.partition(":") for line in fields)
        if name.lower() == "content-length"
    ]
    length = int(lengths[0]) if lengths else 0
    if not 0 <= length <= MAX_BODY_BYTES or len(lengths) > 1:
        raise ValueError("a body of no acceptable length")
    return method, path, await reader.readexactly(length)


def answer_enrolment(authorities: Authorities, body: bytes, *, now: datetime) -> tuple[HTTPStatus, object]:
    """The status and answer to one enrolment request; the token is used up only by a request that can be signed."""
    try:
        asked = decode_strict(body, EnrolmentRequest)
        read_request_key(asked.request)
        record = consume_token(authorities.directory, asked.secret, now=now)
        signed = authorities.sign_agent_request(
            asked.request, record.host_name, record.host_uuid, record.addresses, now=now
        )
    except ContractError:
        return HTTPStatus.BAD_REQUEST, EnrolmentRefusal(
            "the request has another shape; use the same version of `ostler-agent`"
        )
    except PkiError as e:
        return _refuse(e)
    _log.info("enrolment: host/%s (%s) enrolled", record.host_name, record.host_uuid)
    return HTTPStatus.OK, EnrolmentAnswer(
        signed.certificate_pem, signed.controllers_authority_pem, signed.agents_authority_pem
    )


def _refuse(error: PkiError) -> tuple[HTTPStatus, EnrolmentRefusal]:
    _log.warning("enrolment refused: %s", error)
    match error:
        case TokenRefusedError():
            return HTTPStatus.FORBIDDEN, EnrolmentRefusal(str(error))
        case CertificateRequestError():
            return HTTPStatus.BAD_REQUEST, EnrolmentRefusal(str(error))
        case AuthorityFileError():  # names files of this machine, which are not the host's business
            return HTTPStatus.SERVICE_UNAVAILABLE, EnrolmentRefusal(
                "the enrolment service has a fault; see its log"
            )
        case _:
            return HTTPStatus.SERVICE_UNAVAILABLE, EnrolmentRefusal(str(error))


def _response(status: HTTPStatus, body: object) -> bytes:
    content = encode(body)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + content
