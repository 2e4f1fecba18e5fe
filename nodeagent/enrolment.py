"""Enrolment as the host sees it: a token in, certificate files out.

`ostler-agent enroll` calls it. The key is made here and never leaves; the service is believed only if the
authority behind it has the token's fingerprint.

Two connections: the first fetches the authority, unverified and without any secret; the second is verified
against it and carries the token's secret.
"""

import asyncio
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from nodeagent.certificates import (
    CertificateError,
    CertificatePaths,
    HostCertificates,
    certificate_der,
    complete_installation,
    fingerprint_of,
    present_host_uuid,
    stage_certificates,
    stage_new_key,
    verify_issued,
)
from nodeagent.operations.contract import OperationError
from nodeagent.wire.codec import ContractError, decode, encode
from nodeagent.wire.enrolment import (
    TOKEN_PREFIX,
    AuthorityAnswer,
    EnrolmentAnswer,
    EnrolmentRefusal,
    EnrolmentRequest,
    Token,
    read_token,
)

SERVICE_NAME = "enrolment.ostler.internal"  # what the service's certificate says, wherever it is reached
MAX_ANSWER_BYTES = 64 * 1024
EXCHANGE_LIMIT_S = 30.0
_NEW_TOKEN = "make a new token with `ostler pki token`"  # noqa: S105 - advice, no secret


class EnrolmentError(OperationError):
    """This host could not be enrolled; what it had before stays in force."""


def decode_token(text: str) -> Token:
    """The token in its printable form, white space around it allowed. Raises EnrolmentError, never quoting it."""
    try:
        return read_token(text)
    except ContractError:
        raise EnrolmentError(
            "this is no whole enrolment token", f"copy all of the line that begins with {TOKEN_PREFIX}"
        ) from None


def enrol(
    token_text: str, directory: Path, addresses: Sequence[str] = (), *, now: datetime | None = None
) -> CertificatePaths:
    """Enrols this host as the token says and returns its certificate files in `directory` (0600, in 0700).

    `addresses` are those by which others must reach this host; a token that lacks one is refused before it is used
    up. A present certificate stays in force until the new set is whole. Refuses to turn an enrolled host into
    another. Raises EnrolmentError or CertificateError.
    """
    paths, moment = CertificatePaths(directory), now or datetime.now(UTC)
    token = decode_token(token_text)
    complete_installation(paths)
    _refuse_token(token, paths, addresses, moment)
    authority = asyncio.run(_fetch_authority(token))
    request = stage_new_key(paths, token.host_name)
    issued = asyncio.run(_request_certificate(token, authority, request))
    verify_issued(issued, token.host_uuid, token.authority, moment)
    stage_certificates(paths, issued)
    complete_installation(paths)
    return paths


def _refuse_token(token: Token, paths: CertificatePaths, addresses: Sequence[str], now: datetime) -> None:
    if now.timestamp() >= token.expires:
        ended = datetime.fromtimestamp(token.expires, UTC)
        raise EnrolmentError(
            f"the token expired at {ended:%Y-%m-%d %H:%M} UTC", f"check this host's clock, or {_NEW_TOKEN}"
        )
    missing = sorted(
        {address.lower() for address in addresses} - {known.lower() for known in token.addresses}
    )
    if missing:
        raise EnrolmentError(
            f"the token does not cover this host's address {', '.join(missing)}",
            f"{_NEW_TOKEN}, naming each address",
        )
    present = present_host_uuid(paths)
    if present not in {None, token.host_uuid}:
        raise EnrolmentError(
            f"this host is enrolled as {present}, and the token is for {token.host_uuid} (host/{token.host_name})",
            f"use the token on the host it is for; if this one is to become another host, move {paths.directory} away first",
        )


async def _fetch_authority(token: Token) -> bytes:
    """The controllers' authority (DER) as the service shows it, refused unless it has the token's fingerprint."""
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = (
        ssl.CERT_NONE
    )  # nothing secret is sent, and what comes is compared with the token
    answer = await _exchange(token, unverified, "GET", "/v1/authority", b"")
    try:
        # Only the certificate compared is kept: more of them could follow in the text, to be trusted with it.
        authority = certificate_der(decode(answer, AuthorityAnswer).authority)
    except (ContractError, CertificateError):
        authority = b""
    if fingerprint_of(authority) != token.authority:
        raise EnrolmentError(
            f"the service at {token.service} is not the one that made the token (another authority)",
            f"check the address, and that nobody stands in between; then {_NEW_TOKEN}",
        )
    return authority


async def _request_certificate(token: Token, authority: bytes, request: str) -> HostCertificates:
    verified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    verified.minimum_version = ssl.TLSVersion.TLSv1_3
    verified.load_verify_locations(cadata=authority)
    body = encode(EnrolmentRequest(token.secret, request))
    content = await _exchange(token, verified, "POST", "/v1/enrol", body)
    try:
        answer = decode(content, EnrolmentAnswer)
    except ContractError:
        raise EnrolmentError(f"{token.service} answers in another shape", _NEW_TOKEN) from None
    return HostCertificates(answer.certificate, answer.controllers_authority, answer.agents_authority)


async def _exchange(token: Token, context: ssl.SSLContext, method: str, path: str, body: bytes) -> bytes:
    """One request, one answer, bounded in size and time; refusals of the service become EnrolmentError."""
    try:
        async with asyncio.timeout(EXCHANGE_LIMIT_S):
            status, content = await _talk(token.service, context, _head(method, path, body) + body)
    except ssl.SSLError as e:
        raise EnrolmentError(
            f"{token.service} could not be verified as the enrolment service ({e.reason or 'TLS'})",
            "check the address, this host's clock, and that nobody stands in between",
        ) from e
    except (OSError, EOFError, ValueError, TimeoutError) as e:
        raise EnrolmentError(
            f"the enrolment service at {token.service} cannot be reached ({type(e).__name__})",
            "see that `ostler pki serve` runs and that no firewall is in between",
        ) from e
    if status != 200:
        raise _refusal(status, content)
    return content


def _refusal(status: int, content: bytes) -> EnrolmentError:
    """What the service says, which names what to do; its bare status if it says nothing."""
    try:
        return EnrolmentError(f"the enrolment service refused: {decode(content, EnrolmentRefusal).error}", "")
    except ContractError:
        return EnrolmentError(f"the enrolment service refused: status {status}", _NEW_TOKEN)


async def _talk(service: str, context: ssl.SSLContext, request: bytes) -> tuple[int, bytes]:
    host, _, port = service.rpartition(":")
    reader, writer = await asyncio.open_connection(
        host.strip("[]"), int(port), ssl=context, server_hostname=SERVICE_NAME
    )
    try:
        writer.write(request)
        await writer.drain()
        return _parse_answer(await _read_to_end(reader))
    finally:
        writer.transport.abort()


async def _read_to_end(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    while chunk := await reader.read(MAX_ANSWER_BYTES):
        answer += chunk
        if len(answer) > MAX_ANSWER_BYTES:
            raise ValueError("an answer too long for an enrolment service")
    return answer


def _head(method: str, path: str, body: bytes) -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: {SERVICE_NAME}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode("ascii")


def _parse_answer(answer: bytes) -> tuple[int, bytes]:
    head, separator, content = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if not separator or not words[0].startswith(b"HTTP/1.") or len(words) < 2:
        raise ValueError("no HTTP answer")
    return int(words[1]), content
