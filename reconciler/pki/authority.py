"""The two issuing authorities of an estate: one for controllers, one for agents, and the digest key.

`ostler pki`, the lab and the loop call it. A host's certificate commands no other host, because an agent's
server trusts the controllers' authority alone. The directory holds keys: it is kept outside the store and
must be backed up by the operator.
"""

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes

from reconciler.pki.errors import AuthorityExpiredError, AuthorityFileError, CertificateRequestError
from reconciler.pki.files import (
    certificate_pem,
    key_pem,
    load_pair,
    read_private,
    sync_directory,
    write_atomically,
)
from reconciler.pki.profiles import (
    LEAF_LIFETIME,
    SERVER,
    Leaf,
    agent_leaf,
    build_authority,
    build_leaf,
    controller_leaf,
    new_key,
)
from reconciler.pki.requests import read_agent_key, read_request_key

DIGEST_KEY_FILE = "digest.key"
DIGEST_KEY_BYTES = 32
ENROLMENT_SERVER_NAME = "enrolment.ostler.internal"


@dataclass(frozen=True, slots=True)
class SignedCertificate:
    """A certificate and whom to trust, all PEM text.

    `authority_pem` signed it; an agent trusts `controllers_authority_pem` for clients, a controller trusts
    `agents_authority_pem` for servers.
    """

    certificate_pem: str
    authority_pem: str
    controllers_authority_pem: str
    agents_authority_pem: str


@dataclass(frozen=True, slots=True)
class IssuedCertificate(SignedCertificate):
    """A signed certificate with the private key that was made for it (PEM text; never log it)."""

    key_pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authority:
    """One issuing authority: its certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def pem(self) -> str:
        """The certificate as PEM text."""
        return certificate_pem(self.certificate)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate (DER) in lower-case hexadecimal."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def sign(
        self, leaf: Leaf, public_key: CertificateIssuerPublicKeyTypes, now: datetime, lifetime: timedelta
    ) -> x509.Certificate:
        """`leaf` for `public_key`, signed by this authority; refuses when the authority itself has ended."""
        if now >= self.certificate.not_valid_after_utc:
            raise AuthorityExpiredError(
                f"the certificate authority ended at {self.certificate.not_valid_after_utc:%Y-%m-%d};"
                " make a new one with `ostler pki init` and enrol every host again"
            )
        if lifetime <= timedelta(0):
            raise CertificateRequestError("the lifetime of a certificate must be longer than nothing")
        return build_leaf(leaf, public_key, self.certificate, self.key, now=now, lifetime=lifetime)


@dataclass(frozen=True, slots=True)
class Authorities:
    """Both authorities of an estate, and the HMAC key (32 bytes) for the digests of secrets."""

    directory: Path
    controllers: Authority
    agents: Authority
    digest_key: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """The controllers' authority's fingerprint: what a token carries and an enrolling host checks."""
        return self.controllers.fingerprint

    def issue_controller(
        self, name: str, *, now: datetime | None = None, lifetime: timedelta = LEAF_LIFETIME
    ) -> IssuedCertificate:
        """A client certificate by which agents obey; refuses a name that is no RFC 1123 label."""
        return self._issue(self.controllers, controller_leaf(name), now, lifetime)

    def issue_agent(
        self,
        host_name: str,
        host_uuid: str,
        addresses: Sequence[str],
        *,
        now: datetime | None = None,
        lifetime: timedelta = LEAF_LIFETIME,
    ) -> IssuedCertificate:
        """A host's certificate (server and client) with its key: CN is the host name, which is also a DNS name
        of it, beside the addresses and the URI `urn:uuid:<host uuid>`.
        """
        return self._issue(self.agents, agent_leaf(host_name, host_uuid, addresses), now, lifetime)

    def issue_enrolment_server(
        self, *, now: datetime | None = None, lifetime: timedelta = LEAF_LIFETIME
    ) -> IssuedCertificate:
        """The certificate of the enrolment service. The controllers' authority signs it: were it the agents',
        every enrolled host could pose as the service towards a new one.
        """
        leaf = Leaf(ENROLMENT_SERVER_NAME, (x509.DNSName(ENROLMENT_SERVER_NAME),), SERVER)
        return self._issue(self.controllers, leaf, now, lifetime)

    def sign_agent_request(
        self,
        csr_pem: str,
        host_name: str,
        host_uuid: str,
        addresses: Sequence[str],
        *,
        now: datetime | None = None,
        lifetime: timedelta = LEAF_LIFETIME,
    ) -> SignedCertificate:
        """A host's certificate for the key of a PKCS #10 request. Of the request only the public key counts;
        the names are the arguments, whatever it asks for.
        """
        public_key = read_request_key(csr_pem)
        return self._sign_agent(public_key, agent_leaf(host_name, host_uuid, addresses), now, lifetime)

    def renew_agent(
        self,
        certificate_pem: str,
        host_name: str,
        host_uuid: str,
        addresses: Sequence[str],
        *,
        now: datetime | None = None,
        lifetime: timedelta = LEAF_LIFETIME,
    ) -> SignedCertificate:
        """A new certificate for the key of the one that the host shows now, which this estate must have issued
        to this host; the order that carries it thus holds no secret.
        """
        public_key = read_agent_key(certificate_pem, self.agents.certificate, host_uuid)
        return self._sign_agent(public_key, agent_leaf(host_name, host_uuid, addresses), now, lifetime)

    def _sign_agent(
        self,
        public_key: CertificateIssuerPublicKeyTypes,
        leaf: Leaf,
        now: datetime | None,
        lifetime: timedelta,
    ) -> SignedCertificate:
        certificate = self.agents.sign(leaf, public_key, now or datetime.now(UTC), lifetime)
        return SignedCertificate(
            certificate_pem(certificate), self.agents.pem, self.controllers.pem, self.agents.pem
        )

    def _issue(
        self, authority: Authority, leaf: Leaf, now: datetime | None, lifetime: timedelta
    ) -> IssuedCertificate:
        key = new_key()
        certificate = authority.sign(leaf, key.public_key(), now or datetime.now(UTC), lifetime)
        return IssuedCertificate(
            certificate_pem(certificate), authority.pem, self.controllers.pem, self.agents.pem, key_pem(key)
        )


def create_authorities(directory: Path, *, now: datetime | None = None) -> Authorities:
    """Makes both authorities and the digest key in `directory` (mode 0700, keys 0600), all or nothing.

    Refuses a directory that holds anything: replacing an authority would cut off every host.
    """
    target = directory.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))  # mode 0700
    try:
        _write_authority(staging, "controllers", now or datetime.now(UTC))
        _write_authority(staging, "agents", now or datetime.now(UTC))
        write_atomically(staging / DIGEST_KEY_FILE, secrets.token_bytes(DIGEST_KEY_BYTES))
        _move_into_place(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    sync_directory(target.parent)
    return load_authorities(directory)


def _write_authority(directory: Path, role: str, now: datetime) -> None:
    key = new_key()
    certificate = build_authority(f"Ostler {role} authority {secrets.token_hex(4)}", key, now)
    write_atomically(directory / f"{role}-ca.key", key_pem(key).encode("ascii"))
    write_atomically(directory / f"{role}-ca.pem", certificate_pem(certificate).encode("ascii"), mode=0o644)


def _move_into_place(staging: Path, target: Path) -> None:
    try:
        os.rename(staging, target)  # noqa: PTH104 - rename(2): atomic, and refuses a directory that is not empty
    except OSError as e:
        if e.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise AuthorityFileError(
                f"{target}: already exists and is not an empty directory; nothing was changed."
                " If it holds authorities, keep them; else give another directory"
            ) from e
        raise AuthorityFileError(
            f"{target}: cannot be made ({e.strerror}); nothing was changed. Give a directory that is no mount point"
        ) from e


def load_authorities(directory: Path) -> Authorities:
    """The authorities that `create_authorities` made in `directory`; refuses missing, mixed or readable keys."""
    digest_key = read_private(directory / DIGEST_KEY_FILE)
    if len(digest_key) != DIGEST_KEY_BYTES:
        raise AuthorityFileError(
            f"{directory / DIGEST_KEY_FILE}: must hold {DIGEST_KEY_BYTES} bytes; restore it from the backup of this directory"
        )
    return Authorities(
        directory, _load_authority(directory, "controllers"), _load_authority(directory, "agents"), digest_key
    )


def _load_authority(directory: Path, role: str) -> Authority:
    path = directory / f"{role}-ca.pem"
    certificate, key = load_pair(path, directory / f"{role}-ca.key")
    try:
        issuing = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        issuing = False
    if not issuing or not isinstance(key, ec.EllipticCurvePrivateKey):
        raise AuthorityFileError(
            f"{path}: is no issuing ECDSA authority; restore it from the backup of this directory"
        )
    return Authority(certificate, key)
