"""The host's certificate files: where they lie, how they are made, replaced and checked.

The service reads its TLS settings here, `ostler-agent check` its findings, enrolment and the renewal order
write through it. The private key is made on this host and never leaves it.
"""

import hashlib
import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypedDict

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nodeagent.durable import replace_file, sync_directory
from nodeagent.operations.contract import OperationError
from nodeagent.wire.facts import CertificateFacts, CheckFacts

MAX_FILE_BYTES = 256 * 1024
_ENROL = "ask for a token (`ostler pki token`) and run `ostler-agent enroll`"
_BROKEN = (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature)


class CertificateError(OperationError):
    """A certificate or key of this host cannot be used; nothing in the texts is key material."""


@dataclass(frozen=True, slots=True)
class CertificatePaths:
    """The four files in the agent's certificate directory, all PEM."""

    directory: Path

    @property
    def certificate(self) -> Path:
        """This host's certificate, signed by the agents' authority."""
        return self.directory / "host.pem"

    @property
    def key(self) -> Path:
        """The key of that certificate (0600)."""
        return self.directory / "host.key"

    @property
    def controllers_authority(self) -> Path:
        """Who may command this host: the only authority its server trusts for clients."""
        return self.directory / "controllers-ca.pem"

    @property
    def agents_authority(self) -> Path:
        """Who signs hosts: what libvirt and QEMU trust for migrations."""
        return self.directory / "agents-ca.pem"


@dataclass(frozen=True, slots=True)
class HostCertificates:
    """What a host is given (PEM): its certificate, and the two authorities that it trusts."""

    certificate: str
    controllers_authority: str
    agents_authority: str


class TlsSettings(TypedDict):
    """Arguments of `uvicorn.Config` that make it demand a controller's certificate."""

    ssl_certfile: str
    ssl_keyfile: str
    ssl_ca_certs: str
    ssl_cert_reqs: int


def tls_settings(paths: CertificatePaths) -> TlsSettings:
    """What the service gives uvicorn: this host's pair, and the controllers' authority alone for clients.

    After `Config.load()` pass its `ssl` to `harden_context`.
    """
    return TlsSettings(
        ssl_certfile=str(paths.certificate),
        ssl_keyfile=str(paths.key),
        ssl_ca_certs=str(paths.controllers_authority),
        ssl_cert_reqs=ssl.CERT_REQUIRED,
    )


def harden_context(context: ssl.SSLContext) -> None:
    """TLS 1.3 and strict chains only, which uvicorn has no settings for."""
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT


def reload_certificate(context: ssl.SSLContext, paths: CertificatePaths) -> None:
    """Lets a running server show a renewed certificate to whoever connects from now on."""
    try:
        context.load_cert_chain(paths.certificate, paths.key)
    except (OSError, ssl.SSLError) as e:
        raise CertificateError(f"{paths.certificate}: cannot be loaded with its key; {_ENROL}") from e


def libvirt_files(paths: CertificatePaths) -> tuple[tuple[Path, Path], ...]:
    """Which of the agent's files libvirt (and QEMU, for migration) looks for where: (source, target) pairs."""
    libvirt, qemu = Path("/etc/pki/libvirt"), Path("/etc/pki/qemu")
    pairs = [
        (paths.agents_authority, Path("/etc/pki/CA/cacert.pem")),
        (paths.agents_authority, qemu / "ca-cert.pem"),
    ]
    for side in ("server", "client"):
        pairs.append((paths.certificate, libvirt / f"{side}cert.pem"))
        pairs.append((paths.key, libvirt / "private" / f"{side}key.pem"))
        pairs.append((paths.certificate, qemu / f"{side}-cert.pem"))
        pairs.append((paths.key, qemu / f"{side}-key.pem"))
    return tuple(pairs)


def stage_new_key(paths: CertificatePaths, host_name: str) -> str:
    """Makes a key beside the present one and returns the PKCS #10 request (PEM) for it.

    The present key and certificate stay in force until `stage_certificates` and `complete_installation`.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        paths.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as e:
        raise CertificateError(
            f"{paths.directory} cannot be made ({e.strerror})", "run as root, or give another directory"
        ) from e
    replace_file(_staged(paths.key), encoded)
    return _request(key, host_name)


def request_for_present_key(paths: CertificatePaths, host_name: str) -> str:
    """A PKCS #10 request (PEM) for the key in use."""
    return _request(_load_key(paths.key), host_name)


def stage_certificates(paths: CertificatePaths, issued: HostCertificates) -> None:
    """Writes what belongs to the staged key, the certificate last: its presence says that the set is whole."""
    if _load_key(_staged(paths.key)).public_key() != _parse(issued.certificate).public_key():
        raise CertificateError("the certificate received is not for the key of this host", _ENROL)
    _write_certificate(_staged(paths.controllers_authority), issued.controllers_authority)
    _write_certificate(_staged(paths.agents_authority), issued.agents_authority)
    _write_certificate(_staged(paths.certificate), issued.certificate)


def complete_installation(paths: CertificatePaths) -> None:
    """Puts a whole staged set in force; call it at every start, so that a power cut in the middle is mended.

    The certificate goes last: as long as its staged file is there, the rest is (or was) moved before it.
    """
    if not _staged(paths.certificate).exists():
        return
    try:
        for path in (paths.key, paths.controllers_authority, paths.agents_authority, paths.certificate):
            if _staged(path).exists():
                _staged(path).replace(path)
                sync_directory(paths.directory)
    except OSError as e:
        raise CertificateError(
            f"{paths.directory} cannot be changed ({e.strerror})",
            "mend its file system, then start the agent again",
        ) from e


def install_renewed(paths: CertificatePaths, certificate_pem: str, now: datetime) -> None:
    """Replaces the certificate by a renewed one for the same key, in one step.

    Refuses one that is for another key or host, that the agents' authority did not sign, or that is not valid now.
    """
    renewed, present = _parse(certificate_pem), _load(paths.certificate)
    faults = [fault.summary for fault in _certificate_faults(renewed, _load(paths.agents_authority), now)]
    if renewed.public_key() != _load_key(paths.key).public_key() or _urns(renewed) != _urns(present):
        faults.append("it is for another host or key")
    if faults:
        raise CertificateError(
            f"the renewed certificate is refused: {'; '.join(faults)}",
            "the old one stays in force; renew again",
        )
    _write_certificate(paths.certificate, certificate_pem)


def certificate_facts(paths: CertificatePaths) -> CertificateFacts:
    """This host's certificate as it is in force; raises CertificateError without one."""
    found = _load(paths.certificate)
    pem = found.public_bytes(serialization.Encoding.PEM).decode("ascii")
    begins, expires = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    return CertificateFacts(pem, int(begins * 1000), int(expires * 1000))


def present_fingerprint(paths: CertificatePaths) -> str:
    """SHA-256 (hex) of the certificate in force; raises CertificateError without one."""
    return fingerprint_of(_load(paths.certificate).public_bytes(serialization.Encoding.DER))


def renew_copies(paths: CertificatePaths, former: bytes, root: Path = Path("/")) -> None:
    """Where libvirt and QEMU have copies of the former certificate instead of links, puts the one in force."""
    present = _read(paths.certificate)
    for source, target in libvirt_files(paths):
        copy = root / target.relative_to("/")
        copied = source == paths.certificate and copy.is_file() and not copy.is_symlink()
        if copied and _read(copy) == former:
            replace_file(copy, present, stat.S_IMODE(copy.stat().st_mode))


def host_uuid_of(certificate_pem: str) -> str | None:
    """The host uuid in a certificate (PEM), None if there is none or more than one."""
    urns = _urns(_parse(certificate_pem))
    return urns[0].removeprefix("urn:uuid:") if len(urns) == 1 and urns[0].startswith("urn:uuid:") else None


def present_host_uuid(paths: CertificatePaths) -> str | None:
    """The host uuid that this host was enrolled as, None if it was not (or its certificate is unreadable)."""
    try:
        return host_uuid_of(_read(paths.certificate).decode("ascii", "replace"))
    except CertificateError:
        return None


def verify_issued(
    issued: HostCertificates, host_uuid: str, controllers_fingerprint: str, now: datetime
) -> None:
    """Refuses what an enrolment service answered unless it is valid now, hangs together and names this host."""
    certificate, authority = _parse(issued.certificate), _parse(issued.agents_authority)
    faults = [fault.summary for fault in _certificate_faults(certificate, authority, now)]
    if host_uuid_of(issued.certificate) != host_uuid:
        faults.append("it names another host")
    if fingerprint_of(certificate_der(issued.controllers_authority)) != controllers_fingerprint:
        faults.append("the controllers' authority is not the one that the token names")
    if faults:
        raise CertificateError(
            f"the certificate received is refused: {'; '.join(faults)}", "nothing was replaced; " + _ENROL
        )


def certificate_der(pem: str) -> bytes:
    """The first certificate of a PEM text in its DER form, and nothing that may follow it."""
    return _parse(pem).public_bytes(serialization.Encoding.DER)


def fingerprint_of(der: bytes) -> str:
    """SHA-256 of a certificate (DER) in lower-case hexadecimal."""
    return hashlib.sha256(der).hexdigest()


def certificate_problems(paths: CertificatePaths, now: datetime) -> tuple[CheckFacts, ...]:
    """What is wrong with the host's certificate files, each with what to do; empty when all is well."""
    return tuple(_problems(paths, now))


def _problems(paths: CertificatePaths, now: datetime) -> Iterator[CheckFacts]:
    try:
        certificate, key = _load(paths.certificate), _load_key(paths.key)
        agents, controllers = _load(paths.agents_authority), _load(paths.controllers_authority)
    except CertificateError as e:
        yield _fault(e.summary, e.action)
        return
    if stat.S_IMODE(paths.key.stat().st_mode) & (stat.S_IRWXO | stat.S_IWGRP):
        yield _fault(f"{paths.key} can be read or changed by others", f"run: chmod 600 {paths.key}")
    if certificate.public_key() != key.public_key():
        yield _fault(f"{paths.key} is not the key of {paths.certificate}", _ENROL)
    yield from _certificate_faults(certificate, agents, now)
    yield from _date_faults("the controllers' authority", controllers, now)
    yield from _lateness(certificate, now)


def _certificate_faults(
    certificate: x509.Certificate, authority: x509.Certificate, now: datetime
) -> Iterator[CheckFacts]:
    try:
        certificate.verify_directly_issued_by(authority)
    except _BROKEN:
        yield _fault("the host's certificate is not signed by the agents' authority of its estate", _ENROL)
    yield from _date_faults("the host's certificate", certificate, now)
    yield from _date_faults("the agents' authority", authority, now)


def _date_faults(name: str, certificate: x509.Certificate, now: datetime) -> Iterator[CheckFacts]:
    if now >= certificate.not_valid_after_utc:
        yield _fault(
            f"{name} expired on {certificate.not_valid_after_utc:%Y-%m-%d}", f"guests go on; {_ENROL}"
        )
    if now < certificate.not_valid_before_utc:
        yield _fault(f"{name} is not valid yet", "correct the clock of this host, then check again")


def _lateness(certificate: x509.Certificate, now: datetime) -> Iterator[CheckFacts]:
    """A warning from five sixths of the life on; at two thirds the controller should have renewed."""
    life: timedelta = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    if certificate.not_valid_after_utc - life / 6 <= now < certificate.not_valid_after_utc:
        days = (certificate.not_valid_after_utc - now).days
        yield CheckFacts(
            "warning",
            "certificates",
            f"the host's certificate expires in {days} days and has not been renewed",
            "see that the controller runs and reaches this host: it renews at two thirds of the life; or "
            + _ENROL,
        )


def _fault(summary: str, action: str) -> CheckFacts:
    return CheckFacts("error", "certificates", summary, action)


def _urns(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _request(key: ec.EllipticCurvePrivateKey, host_name: str) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host_name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _parse(pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode("utf-8", "replace"))
    except ValueError as e:
        raise CertificateError("the text received is no PEM certificate", _ENROL) from e


def _load(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError as e:
        raise CertificateError(f"{path} holds no readable certificate", _ENROL) from e


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None  # the cause is cut off: it may quote the file
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{path} holds no readable ECDSA key without a passphrase", _ENROL)
    return key


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise CertificateError(f"{path} is missing", _ENROL)
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES)
    except OSError as e:
        raise CertificateError(
            f"{path} cannot be read ({e.strerror})", "run the agent as root, or restore the file"
        ) from e


def _write_certificate(path: Path, pem: str) -> None:
    replace_file(path, _parse(pem).public_bytes(serialization.Encoding.PEM))


def _staged(path: Path) -> Path:
    return path.with_name(path.name + ".new")
