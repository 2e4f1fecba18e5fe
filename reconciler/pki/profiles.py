"""What stands in a certificate: names checked and turned into X.509, one profile for each purpose.

`authority` calls it. The agent's profile is what libvirt and QEMU (GnuTLS) ask of a migration peer: key usage
digitalSignature and keyEncipherment, extended key usage of server and client, an authority with critical
basicConstraints and keyCertSign (libvirt, "TLS certificate setup").
"""

import ipaddress
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reconciler.pki.errors import CertificateRequestError

CLOCK_SKEW = timedelta(hours=1)
AUTHORITY_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
MAX_ADDRESSES = 64

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(_LABEL)
_DNS_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")

SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
PEER = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True, slots=True)
class Leaf:
    """What an end certificate says: common name, other names, and which sides of TLS it may stand on."""

    common_name: str
    names: tuple[x509.GeneralName, ...]
    usages: tuple[x509.ObjectIdentifier, ...]


def new_key() -> ec.EllipticCurvePrivateKey:
    """A new ECDSA P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def controller_leaf(name: str) -> Leaf:
    """A client certificate of the controller or applier called `name` (RFC 1123 label)."""
    checked = check_name(name)
    return Leaf(checked, (x509.DNSName(checked),), CLIENT)


def agent_leaf(host_name: str, host_uuid: str, addresses: Sequence[str]) -> Leaf:
    """The certificate of a host: its name, its addresses and `urn:uuid:<host uuid>`, for server and client.

    Refuses names that are no RFC 1123 label, addresses that are neither an IP address nor a DNS name
    (no wildcards, no scope ids), and more than 64 of them.
    """
    names = addresses_to_names((check_name(host_name), *addresses))
    urn = x509.UniformResourceIdentifier(f"urn:uuid:{check_uuid(host_uuid)}")
    return Leaf(host_name, (*names, urn), PEER)


def check_name(name: str) -> str:
    """`name`, if it is an RFC 1123 label of at most 63 characters."""
    if not _HOST_NAME.fullmatch(name):
        raise CertificateRequestError(
            f"{name[:80]!r} is no name for a certificate; use at most 63 of a-z, 0-9 and -, as in metadata.name"
        )
    return name


def check_uuid(text: str) -> str:
    """`text` as a lower-case uuid with hyphens."""
    try:
        canonical = str(uuid.UUID(text))
    except ValueError:
        canonical = None
    if canonical is None or canonical != text.lower():
        raise CertificateRequestError(f"{text[:80]!r} is no uuid; give the host's spec.uuid")
    return canonical


def addresses_to_names(addresses: Iterable[str]) -> tuple[x509.GeneralName, ...]:
    """IP addresses and DNS names as subject alternative names, each once, in order."""
    names = tuple(dict.fromkeys(_address_to_name(address) for address in addresses))
    if len(names) > MAX_ADDRESSES:
        raise CertificateRequestError(
            f"{len(names)} addresses are too many for a certificate; give at most {MAX_ADDRESSES}"
        )
    return names


def _address_to_name(address: str) -> x509.GeneralName:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        ip = None
    if ip is not None and "%" not in address:
        return x509.IPAddress(ip)
    name = address.lower()
    all_digits = name.rsplit(".", 1)[-1].isdigit()  # would be read as a broken IPv4 address by some clients
    if len(name) > 253 or all_digits or not _DNS_NAME.fullmatch(name):
        raise CertificateRequestError(
            f"{address[:80]!r} is neither an IP address nor a DNS name; give the host's address without port or scope"
        )
    return x509.DNSName(name)


def build_authority(common_name: str, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """A self-signed issuing authority of ten years that may sign end certificates only."""
    name = _distinguished(common_name)
    builder = _dated(name, name, key.public_key(), now, now + AUTHORITY_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(authority=True), critical=True)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256())


def build_leaf(
    leaf: Leaf,
    public_key: CertificateIssuerPublicKeyTypes,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    now: datetime,
    lifetime: timedelta,
) -> x509.Certificate:
    """`leaf` signed by `issuer`, valid from an hour before `now`, never longer than its issuer."""
    until = min(now + lifetime, issuer.not_valid_after_utc)
    builder = _dated(_distinguished(leaf.common_name), issuer.subject, public_key, now, until)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(leaf.usages), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(leaf.names), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return builder.add_extension(identifier, critical=False).sign(issuer_key, hashes.SHA256())


def _dated(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: CertificateIssuerPublicKeyTypes,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _distinguished(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
