"""set-maintenance: closes the host for starts and incoming migrations, or opens it again.

Starts are refused here. Of a migration the destination's agent hears nothing: whoever orders one looks at the
destination's facts before.
"""

from typing import Any

from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.wire.arguments import SetMaintenance


def _running(host: Host) -> tuple[str, ...]:
    """Names of the guests that have a QEMU here, and uuids of QEMU processes that libvirt does not list."""
    rows = host.hypervisor.list_guests()
    listed = {row.uuid for row in rows}
    strays = set(host.hypervisor.list_processes()) - listed
    return (*(row.name for row in rows if row.running), *sorted(strays))


def _check(host: Host, wanted: SetMaintenance) -> str | None:
    if not wanted.maintenance:
        return None
    running = _running(host)
    return f"guests run here: {_few(running)}; move them away first" if running else None


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _run(host: Host, wanted: SetMaintenance, _control: Control) -> dict[str, Any]:
    """Closes first and looks again then: a guest that slipped in between is seen, and the host opened again."""
    former = host.settings.maintenance
    host.settings.set_maintenance(wanted.maintenance)
    running = _running(host) if wanted.maintenance else ()
    if running:
        host.settings.set_maintenance(former)
        raise OperationError(f"guests came meanwhile: {_few(running)}", "plan anew")
    return {}


def _verify(host: Host, wanted: SetMaintenance) -> str | None:
    if host.settings.maintenance == wanted.maintenance:
        return None
    return "the host is still open" if wanted.maintenance else "the host is still closed"


OPERATION: Operation[SetMaintenance] = Operation(
    kind="set-maintenance",
    check=_check,
    run=_run,
    verify=_verify,
    recover=lambda host, wanted, _control: _verify(host, wanted) is None,
)
