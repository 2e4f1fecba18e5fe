"""Switches hosts of the lab on and off, as their power supply would.

`lifecycle` calls it for a whole lab, tests and fencing for one host.
"""

import contextlib
import os
import uuid
from importlib.resources import as_file, files

from reconciler.lab.commands import start_detached
from reconciler.lab.configuration import write_host_files
from reconciler.lab.errors import LabError, fail
from reconciler.lab.inside import host_environment, host_init
from reconciler.lab.model import Lab, LabHost
from reconciler.lab.network import connect_host, disconnect_host
from reconciler.lab.processes import (
    PROC,
    ProcessIdentity,
    end_process,
    identify_process,
    wait_until,
)
from reconciler.lab.services import start_agent, start_libvirtd
from reconciler.pki.authority import load_authorities

BOOT_LIMIT_S = 20
END_LIMIT_S = 30
_UNSHARE = [
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--uts",
    "--ipc",
    "--fork",
    "--kill-child=KILL",
    "--propagation",
    "private",
    "--",
    "/bin/sh",
]


def power_on(lab: Lab, name: str) -> None:
    """Boots a host (with a new boot id) and starts its daemons; what already runs stays as it is."""
    host = lab.host(name)
    init = host_init(lab, name)
    if init is None:
        init = _boot(lab, host)
    connect_host(lab, name, init.pid)
    start_libvirtd(lab, name)
    if lab.agent_command:
        start_agent(lab, name)


def power_off(lab: Lab, name: str) -> None:
    """Ends every process of a host at once, guests included, as a power cut does; nothing if it is off.

    Raises LabError if the kernel does not get rid of them.
    """
    init = host_init(lab, name)
    if init is not None and not end_process(init, END_LIMIT_S):
        raise fail(
            f"process {init.pid} does not end",
            "a process of the host hangs in the kernel; look at its storage",
            f"host/{name}",
        )
    for process in _find_starters(lab.host(name)):
        end_process(process, END_LIMIT_S)
    disconnect_host(lab, name)


def _find_starters(host: LabHost) -> tuple[ProcessIdentity, ...]:
    """The `unshare` processes above this host's PID 1, known by the host's directory among their arguments.

    Their end is the end of their host; thus a start that broke off before PID 1 wrote its pid is found too.
    """
    marks = {b"unshare", os.fsencode(host.directory)}
    found = []
    for path in PROC.glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if marks <= set(path.read_bytes().split(b"\0")):
                found.append(identify_process(int(path.parent.name)))
    return tuple(process for process in found if process)


def _boot(lab: Lab, host: LabHost) -> ProcessIdentity:
    disconnect_host(lab, host.name)  # the cable of a host that went down on its own
    write_host_files(lab, host, load_authorities(lab.authorities))
    host.init_file.unlink(missing_ok=True)
    host.ready_file.unlink(missing_ok=True)
    host.init_log.unlink(missing_ok=True)
    host.boot_id_file.write_text(f"{uuid.uuid4()}\n")
    with as_file(files("reconciler.lab") / "host-init.sh") as script:
        kvm = "kvm" if lab.kvm else "no-kvm"
        argv = [*_UNSHARE, str(script), str(lab.directory), str(host.directory), host.name, kvm]
        start_detached(argv, host_environment(), host.init_log)
        wait_until(lambda: host.ready_file.exists() or _has_died(lab, host), BOOT_LIMIT_S)
    init = host_init(lab, host.name)
    if init is None or not host.ready_file.exists():
        raise _boot_failure(host)
    return init


def _has_died(lab: Lab, host: LabHost) -> bool:
    return host.init_file.exists() and host_init(lab, host.name) is None


def _boot_failure(host: LabHost) -> LabError:
    said = host.init_log.read_text(errors="replace").strip().splitlines() if host.init_log.exists() else []
    return fail(
        f"the host did not start: {said[-1] if said else 'it said nothing'}",
        f"the whole story is in {host.init_log}; then `ostler lab down`",
        f"host/{host.name}",
    )
