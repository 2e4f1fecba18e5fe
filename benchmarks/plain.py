"""The peer of `ostler apply`: a script without memory that makes disks and starts guests, by libvirt alone.

It does what a careful person's script would: `qemu-img create`, createXML, and a look that the guest runs. It keeps
no records, holds no leases, claims no runs, and survives nothing. Input on stdin: {"at_once": threads a host,
"guests": [{"uri", "disk", "size", "xml"}]}.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import libvirt


def start(connection: Any, guest: dict[str, str]) -> None:
    """A disk, and a guest that runs with it."""
    Path(guest["disk"]).parent.mkdir(parents=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", guest["disk"], guest["size"]], check=True)
    domain = connection.createXML(guest["xml"], 0)
    if domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
        raise SystemExit(f"{domain.name()} does not run")


def main() -> None:
    """All guests, so many at once on each host."""
    job = json.load(sys.stdin)
    connections = {uri: libvirt.open(uri) for uri in {guest["uri"] for guest in job["guests"]}}
    pools = {uri: ThreadPoolExecutor(job["at_once"]) for uri in connections}
    begun = [pools[one["uri"]].submit(start, connections[one["uri"]], one) for one in job["guests"]]
    for one in begun:
        one.result()


if __name__ == "__main__":
    main()
