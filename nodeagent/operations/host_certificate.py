"""renew-certificate: a new certificate for the key that this host has, and has had all the time."""

from datetime import UTC, datetime
from typing import Any

from nodeagent.certificates import CertificatePaths, install_renewed, present_fingerprint, renew_copies
from nodeagent.drivers.virtadmin import reload_libvirt
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.wire.arguments import RenewCertificate


def _paths(host: Host) -> CertificatePaths:
    if host.certificates is None:
        raise OperationError("this agent has no certificate", "enrol the host: `ostler-agent enroll`")
    return host.certificates


def _check(host: Host, wanted: RenewCertificate) -> str | None:
    if present_fingerprint(_paths(host)) != wanted.present:
        return "the host's certificate is another one than the plan was made for"
    return None


def _run(host: Host, wanted: RenewCertificate, control: Control) -> dict[str, Any]:
    """The file first: whatever fails after it, the agent shows the new one, and has libvirt read it, by itself."""
    paths = _paths(host)
    renewed = control.secrets.get(wanted.certificate)
    if renewed is None:
        raise OperationError("the order came without the new certificate", "report this fault of the applier")
    former = paths.certificate.read_bytes()
    install_renewed(paths, renewed, datetime.now(UTC))
    renew_copies(paths, former)
    reload_libvirt()
    return {}


def _verify(host: Host, wanted: RenewCertificate) -> str | None:
    if present_fingerprint(_paths(host)) == wanted.present:
        return "the host still shows the former certificate"
    return None


OPERATION: Operation[RenewCertificate] = Operation(
    kind="renew-certificate",
    check=_check,
    run=_run,
    verify=_verify,
    recover=lambda host, wanted, _control: _verify(host, wanted) is None,
)
