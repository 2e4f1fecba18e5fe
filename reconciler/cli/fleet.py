"""Links to the agents of a data center, from manifests (addresses) and this applier's certificate."""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.agentlink.gathering import HostName
from reconciler.agentlink.https import connect_fleet
from reconciler.agentlink.protocol import Fleet
from reconciler.agentlink.transport import HostAddress
from reconciler.cli.failures import CommandError
from reconciler.cli.home import Home, find_home
from reconciler.model.desired import Desired
from reconciler.pki.contexts import controller_context
from reconciler.pki.export import ControllerFiles

if TYPE_CHECKING:
    from reconciler.store.store import Store


def controller_files(home: Home) -> ControllerFiles:
    """This applier's certificate. Ends the command where there is none."""
    files = ControllerFiles(home.controller)
    if not files.certificate.exists():
        raise CommandError(
            f"{home.controller} holds no certificate, so no agent would answer; run `ostler pki init`, "
            "or copy the directory from where it was run, or set OSTLER_HOME"
        )
    return files


@asynccontextmanager
async def open_fleet(desired: Desired) -> AsyncIterator[Fleet]:
    """Links to every declared host; connections are made when first used, and closed at the end."""
    files = controller_files(find_home())

    def context_of(host: HostAddress) -> ssl.SSLContext:
        return controller_context(files.certificate, files.key, files.agents_authority, host_uuid=host.uuid)

    hosts = [HostAddress(name, host.uuid, host.address, host.port) for name, host in desired.hosts.items()]
    async with connect_fleet(hosts, context_of) as fleet:
        yield fleet


def host_names(desired: Desired) -> list[HostName]:
    """Hosts to ask, in id order."""
    return [HostName(name, host.uuid) for name, host in desired.hosts.items()]


def holder_name(store: "Store") -> str:
    """This applier as leases name it: the same over restarts of one store, so that a crashed apply can go on, and
    another for every other store, also of the same home: two stores know nothing of each other's applies."""
    place = store.name if "://" in store.name else Path(store.name).resolve()
    return f"ostler@{os.uname().nodename}:{place} (store {store.id[:8]})"
