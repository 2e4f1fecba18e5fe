"""set-vnc-password: the console opens for whoever has the secret's value, or for nobody.

The value comes with the order and goes to QEMU; the guest's metadata keeps only reference and digest.
"""

from dataclasses import replace
from typing import Any

from nodeagent.guestxml.metadata import GuestMetadata
from nodeagent.guestxml.reading import read_guest
from nodeagent.guestxml.writing import graphics_element
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.operations.vm_devices import device_xml
from nodeagent.operations.vm_living import as_found, read_living, refuse_absent, relabel
from nodeagent.wire.arguments import SetVncPassword
from nodeagent.wire.guest import VncConfig

VNC_PASSWORD_BYTES = 8
"""The VNC protocol looks at the first eight bytes only; a longer one would promise more than it holds."""


def set_password(host: Host, vm: str, reference: str | None, control: Control) -> None:
    """Open the console with the secret, or lock it. Raises OperationError for a value that VNC cannot hold."""
    password = None if reference is None else read_password(reference, control)
    host.hypervisor.update_device(vm, device_xml(graphics_element(password)))
    digest = () if reference is None else ((reference, control.secret_digests.get(reference, "")),)

    def label(metadata: GuestMetadata) -> GuestMetadata:
        return GuestMetadata(replace(metadata.config, vnc=VncConfig(reference)), digest)

    relabel(host, vm, label)


def read_password(reference: str, control: Control) -> str:
    """The secret's value as the order brought it. Raises OperationError where it is not there, or VNC cannot hold it."""
    value = control.secrets.get(reference)
    if value is None:
        raise OperationError(
            f"the order does not bring secret {reference}", "give the controller access to it"
        )
    if not value or len(value.encode()) > VNC_PASSWORD_BYTES or not value.isprintable():
        raise OperationError(
            f"secret {reference} must be 1 to {VNC_PASSWORD_BYTES} printable bytes: VNC looks at no more",
            "change the secret's value",
        )
    return value


def _check(host: Host, wanted: SetVncPassword) -> str | None:
    absent = refuse_absent(host, wanted.vm)
    if absent is None and read_guest(host.hypervisor.domain_xml(wanted.vm)).vnc_port is None:
        return f"guest {wanted.vm} has no VNC console"
    return absent


def _run(host: Host, wanted: SetVncPassword, control: Control) -> dict[str, Any]:
    set_password(host, wanted.vm, wanted.password, control)
    return {}


def _difference(host: Host, wanted: SetVncPassword) -> str | None:
    metadata = read_living(host, wanted.vm).metadata
    known = [reference for reference, _digest in metadata.secrets] if metadata else []
    return None if known == ([wanted.password] if wanted.password else []) else "the password was not set"


def _recover(host: Host, wanted: SetVncPassword, control: Control) -> bool | None:
    digests = read_living(host, wanted.vm).metadata
    applied = dict(digests.secrets) if digests else {}
    same = wanted.password is None or applied.get(wanted.password) == control.secret_digests.get(
        wanted.password
    )
    return same and as_found(lambda: _difference(host, wanted))


OPERATION: Operation[SetVncPassword] = Operation(
    kind="set-vnc-password", check=_check, run=_run, verify=_difference, recover=_recover
)
