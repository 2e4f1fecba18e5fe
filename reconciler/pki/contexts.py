"""TLS as a controller speaks it: the context towards one agent, and that of the enrolment service.

`agentlink` asks for one context a host. Python checks the address of the peer, but no URI; the host's uuid is
therefore checked here, inside the handshake, before the first byte of a request leaves.
"""

import ssl
import tempfile
from datetime import datetime
from pathlib import Path

from cryptography import x509

from reconciler.pki.authority import Authorities, IssuedCertificate
from reconciler.pki.errors import AuthorityFileError
from reconciler.pki.files import load_certificate, load_pair, read_bounded
from reconciler.pki.profiles import AUTHORITY_LIFETIME, check_uuid

_URN = "urn:uuid:"


def controller_context(
    certificate: Path, key: Path, agents_ca: Path, *, host_uuid: str | None = None
) -> ssl.SSLContext:
    """A client context of TLS 1.3 that shows `certificate` and accepts agents of `agents_ca` alone.

    The address connected to must be in the agent's certificate. With `host_uuid`, the handshake also fails with
    `ssl.SSLCertVerificationError` unless the certificate names that host; without it, check `peer_host_uuid`
    before anything is sent. Raises AuthorityFileError for files that cannot be used.
    """
    load_pair(certificate, key)
    load_certificate(agents_ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    try:
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(cadata=read_bounded(agents_ca).decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as e:
        raise AuthorityFileError(
            f"{certificate}, {key}, {agents_ca}: OpenSSL cannot use them ({type(e).__name__});"
            " issue the controller's certificate again"
        ) from e
    if host_uuid is not None:
        _bind_to_host(context, check_uuid(host_uuid))
    return context


def peer_host_uuid(der: bytes) -> str | None:
    """The host uuid in a certificate (DER, as `getpeercert(binary_form=True)` gives it), in lower case.

    None if it names no host, or more than one. The certificate must have been verified by the handshake.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (urn,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return None
    return urn.removeprefix(_URN).lower() if urn.startswith(_URN) else None


def require_host(der: bytes | None, host_uuid: str) -> None:
    """Raises ssl.SSLCertVerificationError unless the peer's certificate (DER) names the host `host_uuid`."""
    found = peer_host_uuid(der or b"")
    if found != host_uuid:
        raise ssl.SSLCertVerificationError(
            1,
            f"the agent at this address is host {found or 'without a uuid'}, not {host_uuid};"
            " correct spec.address or spec.uuid of the Host, or enrol the host again",
        )


def enrolment_context(authorities: Authorities, *, now: datetime) -> ssl.SSLContext:
    """The server context of the enrolment service; its certificate and key are made anew each time."""
    issued = authorities.issue_enrolment_server(now=now, lifetime=AUTHORITY_LIFETIME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _load_issued(context, issued, authorities.directory)
    return context


def _load_issued(context: ssl.SSLContext, issued: IssuedCertificate, directory: Path) -> None:
    # Python's ssl reads keys from files only; the file lives for this call, where keys are kept anyway.
    with tempfile.NamedTemporaryFile(mode="w", dir=directory, prefix=".serving.") as file:  # mode 0600
        file.write(issued.key_pem + issued.certificate_pem)
        file.flush()
        context.load_cert_chain(file.name)


def _bind_to_host(context: ssl.SSLContext, host_uuid: str) -> None:
    class HostObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            require_host(self.getpeercert(binary_form=True), host_uuid)

    class HostSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            require_host(self.getpeercert(binary_form=True), host_uuid)

    context.sslobject_class = HostObject
    context.sslsocket_class = HostSocket
