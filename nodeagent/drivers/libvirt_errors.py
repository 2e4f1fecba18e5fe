"""libvirt's errors as DriverErrors that say who must act, and whether the call may still take effect.

Only the libvirt driver uses it.
"""

import libvirt

from nodeagent.errors import DriverError

LINK_CODES = frozenset(
    {
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_SYSTEM_ERROR,
        libvirt.VIR_ERR_INTERNAL_ERROR,
        libvirt.VIR_ERR_AUTH_FAILED,
    }
)
LINK_DOMAINS = frozenset({libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE})

ACTIONS = {
    libvirt.VIR_ERR_OPERATION_TIMEOUT: "another job holds the guest; see `virsh domjobinfo`, then try again",
    libvirt.VIR_ERR_OPERATION_INVALID: "compare the guest's state with what was asked, then plan again",
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: "change the field that libvirt names in the manifest",
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED: "change the manifest, or upgrade libvirt and QEMU on this host",
    libvirt.VIR_ERR_XML_ERROR: "change the field that libvirt names in the manifest",
    libvirt.VIR_ERR_AUTH_FAILED: "let the agent run as root",
    libvirt.VIR_ERR_OPERATION_FAILED: "see libvirt's log of the guest in /var/log/libvirt/qemu",
    libvirt.VIR_ERR_DOM_EXIST: "a domain with this uuid or name exists on this host already; look at it with virsh",
}
ACTION_OTHERWISE = "see libvirtd's log on this host"
ACTION_LINK = "see that libvirtd runs on this host: `systemctl status libvirtd`"


class GuestNotFoundError(DriverError):
    """libvirt has no domain with this uuid."""


class HypervisorUnreachableError(DriverError):
    """libvirtd does not answer; nothing can be said about its domains."""


class NotAnsweringError(DriverError):
    """A guest's QEMU does not answer libvirt: this call, or one before it, took longer than its limit.

    Never settled: what was sent to the guest may still take effect.
    """

    def __init__(self, summary: str, action: str = "") -> None:
        super().__init__(summary, action, settled=False)


def is_link_failure(error: libvirt.libvirtError) -> bool:
    """Whether the connection to libvirtd is gone, rather than the call refused."""
    return error.get_error_code() in LINK_CODES and error.get_error_domain() in LINK_DOMAINS


def translate(error: libvirt.libvirtError, what: str) -> DriverError:
    """A libvirtError as the DriverError to raise; `what` says what was being done, as in "start guest X"."""
    message = (error.get_error_message() or str(error)).strip()
    code = error.get_error_code()
    if code == libvirt.VIR_ERR_NO_DOMAIN:
        return GuestNotFoundError(f"cannot {what}: libvirt has no such domain", "plan again")
    if is_link_failure(error):
        return HypervisorUnreachableError(f"cannot {what}: {message}", ACTION_LINK, settled=False)
    return DriverError(f"cannot {what}: {message}", ACTIONS.get(code, ACTION_OTHERWISE))
