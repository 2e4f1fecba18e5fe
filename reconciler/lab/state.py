"""A lab as a JSON file in its directory, written before anything is made, so that `down` finds all of it.

Pids are not in it: each host's first process writes its own (`LabHost.init_file`), so they are never stale.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.lab.errors import fail
from reconciler.lab.model import Lab, LabHost

STATE_FILE = "lab.json"
FORMAT = 1
LOCK_WAIT_S = 10.0
LOCK_POLL_S = 0.1


def read_lab(directory: Path) -> Lab | None:
    """The lab of that directory; None if there is none. Raises LabError for a file that is no lab's."""
    path = directory.absolute() / STATE_FILE
    try:
        row = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise fail(
            f"{path} cannot be read: {error}", "it is written by `ostler lab up`; restore it"
        ) from error
    try:
        return _decode(path.parent, row)
    except (KeyError, TypeError, ValueError) as error:
        raise fail(
            f"{path} is not of this version's form: {error!r}", "use the version that made the lab"
        ) from error


def _decode(directory: Path, row: dict[str, object]) -> Lab:
    if row["format"] != FORMAT:
        raise ValueError(f"format {row['format']}")
    rows, command = row["hosts"], row["agentCommand"]
    if not isinstance(rows, list) or not isinstance(command, list):
        raise TypeError("hosts and agentCommand are lists")
    hosts = tuple(
        LabHost(entry["name"], entry["uuid"], entry["address"], directory / "hosts" / entry["name"])
        for entry in rows
    )
    return Lab(
        directory=directory,
        bridge=str(row["bridge"]),
        subnet=str(row["subnet"]),
        hosts=hosts,
        authorities=Path(str(row["authorities"])),
        agent_command=tuple(str(word) for word in command),
        data_center=str(row["dataCenter"]) if row["dataCenter"] else None,
        kvm=bool(row["kvm"]),
    )


def write_lab(lab: Lab) -> None:
    """Replaces the lab's file as a whole, durably."""
    row = {
        "format": FORMAT,
        "bridge": lab.bridge,
        "subnet": lab.subnet,
        "authorities": str(lab.authorities),
        "agentCommand": list(lab.agent_command),
        "dataCenter": lab.data_center,
        "kvm": lab.kvm,
        "hosts": [{"name": h.name, "uuid": h.uuid, "address": h.address} for h in lab.hosts],
    }
    path = lab.directory / STATE_FILE
    new = path.with_suffix(".new")
    with new.open("w") as file:
        file.write(json.dumps(row, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


@contextmanager
def lock_lab(directory: Path) -> Iterator[None]:
    """Holds the lab for one `up` or `down`; refuses while another holds it.

    What a killed command had started may hold the lab a moment longer, so the lock is waited for.
    """
    lock = directory.absolute().with_name(f".{directory.name}.lock")
    with lock.open("w") as file:
        until = time.monotonic() + LOCK_WAIT_S
        while not _try_lock(file.fileno()):
            if time.monotonic() > until:
                raise fail(f"another command works on the lab in {directory}", "wait for its end")
            time.sleep(LOCK_POLL_S)
        yield


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
