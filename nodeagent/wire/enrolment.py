"""Enrolment's shapes: the token that an operator hands over, and what host and enrolment service say to each other.

    GET  /v1/authority   AuthorityAnswer, which the host compares with its token's fingerprint
    POST /v1/enrol       EnrolmentRequest -> EnrolmentAnswer, or EnrolmentRefusal

`nodeagent.enrolment` is the host's side, `reconciler.pki` the service's.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from nodeagent.wire.codec import ContractError, decode, encode
from nodeagent.wire.types import Name, Text, Uuid

TOKEN_PREFIX = "ostler1."  # noqa: S105 - the format's name, no secret
MAX_TOKEN_CHARACTERS = 32 * 1024

Fingerprint = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Seconds = Annotated[int, Meta(ge=0, le=2**40)]


@dataclass(frozen=True, slots=True)
class Token:
    """What a host is given. service: `address:port` of the enrolment service; authority: SHA-256 of the
    authority that vouches for it; expires: seconds since 1970 by the service's clock.
    """

    service: Text
    authority: Fingerprint
    host_name: Name
    host_uuid: Uuid
    addresses: tuple[Text, ...]
    expires: Seconds
    secret: Text = field(repr=False)


@dataclass(frozen=True, slots=True)
class EnrolmentRequest:
    """What a host sends: its token's secret and a PKCS #10 request (PEM) for the key it made."""

    secret: str = field(repr=False)
    request: str


@dataclass(frozen=True, slots=True)
class EnrolmentAnswer:
    """What a host gets, PEM text: its certificate, and both authorities that it trusts."""

    certificate: str
    controllers_authority: str
    agents_authority: str


@dataclass(frozen=True, slots=True)
class EnrolmentRefusal:
    """Why nothing was issued, and what to do."""

    error: str


@dataclass(frozen=True, slots=True)
class AuthorityAnswer:
    """The controllers' authority (PEM); worth nothing until its fingerprint is compared."""

    authority: str


def write_token(token: Token) -> str:
    """A token as one printable line."""
    return TOKEN_PREFIX + base64.urlsafe_b64encode(encode(token)).decode("ascii").rstrip("=")


def read_token(text: str) -> Token:
    """The token in such a line, white space around it allowed. Raises ContractError, never quoting it."""
    stripped = text.strip()
    payload = stripped.removeprefix(TOKEN_PREFIX)
    if payload == stripped or len(stripped) > MAX_TOKEN_CHARACTERS:
        raise ContractError("no enrolment token")
    try:
        plain = base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True)
        return decode(plain, Token)
    except (binascii.Error, ValueError):
        raise ContractError("no whole enrolment token") from None
