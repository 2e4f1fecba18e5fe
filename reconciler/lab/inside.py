"""Into a running host from outside: its first process, and commands run in its namespaces."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from reconciler.lab.commands import run
from reconciler.lab.errors import fail
from reconciler.lab.model import Lab
from reconciler.lab.processes import ProcessIdentity, is_alive

MACHINE_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def host_init(lab: Lab, name: str) -> ProcessIdentity | None:
    """PID 1 of a host as the machine sees it; None while the host is switched off.

    The process wrote its pid, start and the machine's boot id itself, so another with its pid is not taken for it.
    """
    try:
        pid, ticks, boot = lab.host(name).init_file.read_text().split()
        identity = ProcessIdentity(int(pid), int(ticks))
    except (OSError, ValueError):
        return None
    same_boot = boot == MACHINE_BOOT_ID.read_text().strip()
    return identity if same_boot and is_alive(identity) else None


def host_environment() -> dict[str, str]:
    """What programs in a host find in their environment: nothing of the caller's but the way to its Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{_SYSTEM_PATH}"
    return {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8"}


def run_in(
    lab: Lab, name: str, argv: Sequence[str], *, text_in: str | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs a program inside a host to its end, whatever its exit status; refuses a host that is switched off."""
    init = host_init(lab, name)
    if init is None:
        raise fail("the host is switched off", "switch it on first", f"host/{name}")
    enter = ["nsenter", f"--target={init.pid}", "--net", "--mount", "--pid", "--uts", "--ipc", "--wd=/", "--"]
    return run([*enter, *argv], text_in=text_in, timeout_s=timeout_s, environment=host_environment())
