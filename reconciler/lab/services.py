"""Daemons inside a host (libvirtd, the agent): started, stopped and killed one by one, never restarted on their own.

A daemon's pid file lies in the host's /run and thus ends with the host.
"""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from reconciler.lab.errors import fail
from reconciler.lab.inside import host_init, run_in
from reconciler.lab.model import AGENT_CONFIG_INSIDE, AGENT_PORT, LIBVIRT_TLS_PORT, Lab
from reconciler.lab.processes import PROC, ProcessIdentity, identify_process, is_alive, wait_until

AGENT = "ostler-agent"
LIBVIRTD = "libvirtd"
START_LIMIT_S = 30
_START = 'log=$1 pid=$2; shift 2; setsid "$@" >>"$log" 2>&1 </dev/null & echo $! >"$pid.new" && mv "$pid.new" "$pid"'
_LISTEN = "0A"  # the state of a listening socket in /proc/net/tcp


def start_libvirtd(lab: Lab, name: str) -> None:
    """Starts libvirtd unless it runs, and waits until its TLS port listens and its QEMU driver answers."""
    library = "/usr/share/ostler/guest/sharedfs.so"
    _start(lab, name, LIBVIRTD, ["libvirtd", "--listen"], LIBVIRT_TLS_PORT, {"LD_PRELOAD": library})
    # It listens before it starts its drivers, and ends if one of them fails.
    asked = run_in(lab, name, ["virsh", "--quiet", "--connect", "qemu:///system", "uri"])
    if asked.returncode != 0:
        raise _failure(lab, name, LIBVIRTD)


def start_agent(lab: Lab, name: str) -> None:
    """Starts the agent unless it runs, and waits until its port listens; refuses a lab without agents."""
    if not lab.agent_command:
        raise fail("this lab's hosts have no agent", "make it with one", f"host/{name}")
    argv = [*lab.agent_command, "serve", "--config", AGENT_CONFIG_INSIDE]
    _start(lab, name, AGENT, argv, AGENT_PORT, {})


def stop_agent(lab: Lab, name: str, timeout_s: float = 20) -> None:
    """Asks the agent to end (SIGTERM) and waits for it."""
    stop_service(lab, name, AGENT, timeout_s)


def kill_agent(lab: Lab, name: str, number: int = signal.SIGKILL) -> None:
    """Sends the agent a signal and does not wait, unless the signal is SIGKILL."""
    signal_service(lab, name, AGENT, number)


def stop_service(lab: Lab, name: str, service: str, timeout_s: float = 20) -> None:
    """SIGTERM to a daemon and its end. Raises LabError if it outlives the limit."""
    found = find_service(lab, name, service)
    if found is None:
        return
    run_in(lab, name, ["kill", "-TERM", str(found.pid)])
    if not wait_until(lambda: find_service(lab, name, service) != found, timeout_s):
        raise fail(f"{service} did not end within {timeout_s:g} s", "kill it", f"host/{name}")


def signal_service(lab: Lab, name: str, service: str, number: int) -> None:
    """Sends a daemon a signal; after SIGKILL waits for its end. Refuses if it does not run."""
    found = find_service(lab, name, service)
    if found is None:
        raise fail(f"{service} does not run", "start it first", f"host/{name}")
    run_in(lab, name, ["kill", f"-{int(number)}", str(found.pid)])
    if number == signal.SIGKILL:
        wait_until(lambda: find_service(lab, name, service) != found, START_LIMIT_S)


def find_service(lab: Lab, name: str, service: str) -> ProcessIdentity | None:
    """The running daemon, its pid as the host sees it; None if it or the host does not run."""
    init = host_init(lab, name)
    if init is None:
        return None
    root = PROC / str(init.pid) / "root"
    try:
        pid = int((root / f"run/lab/{service}.pid").read_text())
    except (OSError, ValueError):
        return None
    return identify_process(pid, root / "proc")


def listens(init_pid: int, port: int) -> bool:
    """Whether something in the host listens on a TCP port, on any address."""
    suffix = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        for line in _read_lines(PROC / str(init_pid) / "net" / table):
            fields = line.split()
            if fields[1].endswith(suffix) and fields[3] == _LISTEN:
                return True
    return False


def _read_lines(path: Path) -> Sequence[str]:
    try:
        return path.read_text().splitlines()[1:]
    except OSError:
        return ()


def _start(
    lab: Lab, name: str, service: str, argv: Sequence[str], port: int, environment: Mapping[str, str]
) -> None:
    init = host_init(lab, name)
    if init is None:
        raise fail("the host is switched off", "switch it on first", f"host/{name}")
    if find_service(lab, name, service) is None:
        log = f"/var/log/ostler/{service}.log"
        extra = [f"{key}={value}" for key, value in environment.items()]
        run_in(lab, name, ["sh", "-c", _START, "sh", log, f"/run/lab/{service}.pid", "env", *extra, *argv])
    started = find_service(lab, name, service)
    if not started or not _wait_for_port(init, started, port):
        if find_service(lab, name, service) is not None:  # the next start begins anew
            signal_service(lab, name, service, signal.SIGKILL)
        raise _failure(lab, name, service)


def _wait_for_port(init: ProcessIdentity, started: ProcessIdentity, port: int) -> bool:
    proc = PROC / str(init.pid) / "root" / "proc"
    wait_until(lambda: listens(init.pid, port) or not is_alive(started, proc), START_LIMIT_S)
    return listens(init.pid, port)


def _failure(lab: Lab, name: str, service: str) -> Exception:
    host = lab.host(name)
    log = host.outside(f"/var/log/ostler/{service}.log")
    own = host.outside("/var/log/libvirt/libvirtd.log")
    # libvirtd's last line says that its drivers failed, the one before it which and why.
    last = _last_lines(own, 2) if service == LIBVIRTD else ""
    last = last or _last_lines(log, 1)
    return fail(
        f"{service} did not start",
        f"{f'{last}; ' if last else ''}see {log.parent}{os.sep} and libvirt's log beside it",
        f"host/{name}",
    )


def _last_lines(log: Path, number: int) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return "; ".join(lines[-number:])
