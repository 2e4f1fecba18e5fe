"""Enrolment tokens: what one host needs to enrol once, and the register of those given out.

`ostler pki token` makes them, the enrolment service consumes them. The register (`tokens.json` in the
authorities' directory) holds hashes only, so reading it lets nobody enrol.
"""

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from nodeagent.wire.codec import ContractError, decode, encode
from nodeagent.wire.enrolment import Token, write_token
from nodeagent.wire.types import Count, Name, Text, Uuid
from reconciler.pki.authority import Authorities
from reconciler.pki.errors import AuthorityFileError, CertificateRequestError, TokenRefusedError
from reconciler.pki.files import MAX_FILE_BYTES, read_private, write_atomically
from reconciler.pki.profiles import addresses_to_names, check_name, check_uuid

TOKEN_LIFETIME = timedelta(hours=1)
SECRET_BYTES = 32
REGISTER_FILE = "tokens.json"
LOCK_FILE = "tokens.lock"
LOCK_LIMIT_S = 10.0
KEPT_AFTER_EXPIRY = timedelta(days=7)
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[^\[\]:]+)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is kept of a token: the hash of its secret, whom it is for, its end and its use (seconds since 1970)."""

    secret_sha256: Text
    host_name: Name
    host_uuid: Uuid
    addresses: tuple[Text, ...]
    expires: int
    used: int | None = None


@dataclass(frozen=True, slots=True)
class _Register:
    tokens: tuple[TokenRecord, ...] = ()
    version: Count = 1


def create_token(
    authorities: Authorities,
    service: str,
    host_name: str,
    host_uuid: str,
    addresses: Sequence[str],
    *,
    now: datetime,
    lifetime: timedelta = TOKEN_LIFETIME,
) -> str:
    """A printable token by which the host of this name, uuid and addresses can enrol once within `lifetime`.

    `service` is where the host reaches the enrolment service, `address:port`. Refuses names that no
    certificate could hold. The text holds a secret: hand it over by a file or a terminal, not on a command line.
    """
    addresses_to_names(addresses)
    secret = secrets.token_urlsafe(SECRET_BYTES)
    expires = int((now + lifetime).timestamp())
    token = Token(
        check_service_address(service),
        authorities.fingerprint,
        check_name(host_name),
        check_uuid(host_uuid),
        tuple(addresses),
        expires,
        secret,
    )
    record = TokenRecord(_hash(secret), token.host_name, token.host_uuid, token.addresses, expires)
    with _locked(authorities.directory):
        _write(authorities.directory, (*_without_old(_read(authorities.directory), now), record))
    return write_token(token)


def consume_token(directory: Path, secret: str, *, now: datetime) -> TokenRecord:
    """Marks the token of this secret as used and returns its record; of several racing callers, also in other
    processes, exactly one gets it. Refuses an unknown, used or expired one, and then changes nothing.
    """
    wanted = _hash(secret)
    with _locked(directory):
        records = _read(directory)
        found = next((record for record in records if record.secret_sha256 == wanted), None)
        if found is None:
            raise TokenRefusedError("the token is not known here; make a new one with `ostler pki token`")
        if found.used is not None:
            raise TokenRefusedError("the token was used before; make a new one with `ostler pki token`")
        if now.timestamp() >= found.expires:
            raise TokenRefusedError("the token has expired; make a new one with `ostler pki token`")
        used = replace(found, used=int(now.timestamp()))
        _write(directory, tuple(used if record is found else record for record in records))
    return used


def list_tokens(directory: Path) -> tuple[TokenRecord, ...]:
    """The tokens given out, oldest first: open, used and expired ones of the last week. No secrets."""
    return _read(directory)


def check_service_address(address: str) -> str:
    """`address`, if it is `name:port`, `IPv4:port` or `[IPv6]:port`."""
    match = _ADDRESS.fullmatch(address.lower())
    if match is None or not 0 < int(match["port"]) < 65536:
        raise CertificateRequestError(
            f"{address[:80]!r} is no address of the enrolment service; give NAME:PORT or [IPv6]:PORT as the host reaches it"
        )
    addresses_to_names((match["ipv6"] or match["name"],))
    return address


def _hash(secret: str) -> str:
    # 256 random bits cannot be guessed: no slow hash is needed.
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _without_old(records: tuple[TokenRecord, ...], now: datetime) -> tuple[TokenRecord, ...]:
    oldest = (now - KEPT_AFTER_EXPIRY).timestamp()
    return tuple(record for record in records if record.expires >= oldest)


def _read(directory: Path) -> tuple[TokenRecord, ...]:
    path = directory / REGISTER_FILE
    if not path.exists():
        return ()
    try:
        return decode(read_private(path), _Register).tokens
    except ContractError as e:
        raise AuthorityFileError(
            f"{path}: cannot be understood ({e}); remove the file and make new tokens: only those still open are lost"
        ) from e


def _write(directory: Path, records: tuple[TokenRecord, ...]) -> None:
    content = encode(_Register(records))
    if len(content) > MAX_FILE_BYTES:
        raise AuthorityFileError(
            f"{directory / REGISTER_FILE}: too many tokens are open; wait until some expire, or remove the file"
        )
    write_atomically(directory / REGISTER_FILE, content)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Holds the register's lock, which the kernel lets go of when the process ends."""
    path = directory / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise AuthorityFileError(
            f"{path}: cannot be opened ({e.strerror}); the directory must be writable for its owner"
        ) from e
    try:
        _wait_for_lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, path: Path) -> None:
    limit = time.monotonic() + LOCK_LIMIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            if time.monotonic() > limit:
                raise AuthorityFileError(
                    f"{path}: another process has held it for {LOCK_LIMIT_S:.0f} s; find it with: fuser {path}"
                ) from e
            time.sleep(0.02)
        else:
            return
