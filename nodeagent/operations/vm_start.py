"""start-vm: a VM that runs nowhere begins its next run on this host."""

from typing import Any

from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation
from nodeagent.operations.vm_starting import difference_to, objection_to_start, recover_start, start_guest
from nodeagent.wire.arguments import StartVm


def _check(host: Host, wanted: StartVm) -> str | None:
    return objection_to_start(host, wanted.config, wanted.master)


def _run(host: Host, wanted: StartVm, control: Control) -> dict[str, Any]:
    return start_guest(host, wanted.config, wanted.master, control)


def _recover(host: Host, wanted: StartVm, control: Control) -> bool | None:
    return recover_start(host, wanted.config, wanted.master, control)


OPERATION: Operation[StartVm] = Operation(
    kind="start-vm",
    check=_check,
    run=_run,
    verify=lambda host, wanted: difference_to(host, wanted.config),
    recover=_recover,
)
