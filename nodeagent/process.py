"""The agent's parts, built once and put together, and its life from start to SIGTERM. `main` calls it."""

import logging
import os
import time
import uuid
from dataclasses import dataclass
from functools import partial
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast

from nodeagent.certificates import (
    CertificatePaths,
    complete_installation,
    reload_certificate,
    tls_settings,
)
from nodeagent.check import HOST_CHECKS, Scene, run_checks
from nodeagent.clock import read_boot_id
from nodeagent.config import AgentConfig
from nodeagent.drivers.libvirt import Hypervisor
from nodeagent.drivers.netlink import Links
from nodeagent.drivers.virtadmin import reload_libvirt
from nodeagent.engine import Engine
from nodeagent.epoch import Tenure
from nodeagent.facts.assemble import Collectors, Identity, assemble_state
from nodeagent.facts.capabilities import Capabilities
from nodeagent.facts.checks import PeriodicChecks
from nodeagent.facts.exits import Exits
from nodeagent.facts.guests import Guests
from nodeagent.facts.host import CertificateFile, networks_by_bridge
from nodeagent.facts.prompt import Prompt
from nodeagent.facts.publishing import Generations, Publisher
from nodeagent.facts.statistics import Statistics
from nodeagent.facts.storage import StorageReader
from nodeagent.formats.files import PASSABLE_MODE
from nodeagent.host import Host
from nodeagent.ledger import Ledger
from nodeagent.logs import set_up_logging
from nodeagent.looking import Sights
from nodeagent.operations.contract import OperationError
from nodeagent.operations.networks import restore_networks
from nodeagent.operations.registry import OPERATIONS
from nodeagent.operations.vm_living import is_gone
from nodeagent.service import Backend, Server, make_app, make_server
from nodeagent.settings import Settings
from nodeagent.storage import StorageDomains
from nodeagent.strays import Strays
from nodeagent.version import AGENT_VERSION
from nodeagent.wire.facts import AgentVersion, CheckFacts

END_LIMIT_S = 5.0
CERTIFICATE_PERIOD_S = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs: each has a thread or a file of its own to end."""

    host: Host
    ledger: Ledger
    engine: Engine
    publisher: Publisher
    checks: PeriodicChecks
    statistics: Statistics
    strays: Strays
    server: Server


def run_agent(config: AgentConfig) -> None:
    """Serve until SIGTERM or SIGINT. Raises OperationError, LedgerError, OSError if it cannot begin."""
    set_up_logging(for_journal="JOURNAL_STREAM" in os.environ)
    complete_installation(config.certificates)
    parts = build_parts(config)
    start_parts(parts, config)
    try:
        parts.server.run()
    finally:
        stop_parts(parts)
    # A call that hangs in libvirt must not keep the process; what is open is settled by the next start.
    logging.shutdown()
    os._exit(0)


def build_host(config: AgentConfig) -> Host:
    """The host's access object. Raises DriverError if what was kept of it cannot be read."""
    paths = config.paths
    paths.state.mkdir(mode=PASSABLE_MODE, parents=True, exist_ok=True)
    boot_id = read_boot_id()
    settings = Settings.load(paths.state / "settings.json")
    if config.data_center is not None:
        settings.set_data_center(config.data_center)
    hypervisor = Hypervisor(config.libvirt_uri)
    return Host(
        uuid=config.host.uuid,
        name=config.host.name,
        boot_id=boot_id,
        address=config.address,
        paths=paths,
        hypervisor=hypervisor,
        storage=StorageDomains(paths),
        links=Links(),
        exits=Exits.load(paths.state / "exits", boot_id),
        settings=settings,
        certificates=config.certificates,
    )


def build_scene(config: AgentConfig) -> Scene:
    """What `ostler-agent check` looks at, without starting anything."""
    hypervisor = Hypervisor(config.libvirt_uri)
    capabilities = Capabilities(hypervisor, config.paths, read_boot_id())
    return Scene(config.paths, config.certificates, config.address, hypervisor, capabilities, Links())


def build_parts(config: AgentConfig) -> Parts:
    """Everything, connected and not started. Raises OperationError, LedgerError, OSError, ssl.SSLError."""
    host = build_host(config)
    ledger = Ledger(host.paths.state, host.boot_id)
    settings = host.settings
    tenure = Tenure(ledger, host.boot_id, lambda: settings.data_center, settings.set_data_center)
    identity = Identity(str(uuid.uuid4()), AGENT_VERSION, tuple(sorted(OPERATIONS)))
    capabilities = Capabilities(host.hypervisor, host.paths, host.boot_id)
    guests = Guests(host.hypervisor, host.exits, lambda: networks_by_bridge(host.links.read()))
    scene = Scene(host.paths, config.certificates, host.address, host.hypervisor, capabilities, host.links)
    checks = PeriodicChecks(partial(run_checks, scene, HOST_CHECKS))
    faults = tuple(CheckFacts("error", "networks", fault) for fault in restore_networks(host))
    collectors = Collectors(
        host=host,
        identity=identity,
        ledger=ledger,
        tenure=tenure,
        guests=guests,
        capabilities=Prompt("capabilities", capabilities.read, known=capabilities.known),
        storage=host.storage.facts,
        certificate=CertificateFile(config.certificates),
        checks=checks,
        faults=faults,
    )
    publisher = Publisher(partial(assemble_state, collectors), Generations(ledger))
    host.hypervisor.listen(lambda _event: publisher.poke())
    host.storage.listen(publisher.poke)
    checks.listen(publisher.poke)
    sights = Sights(publisher, host.storage.answering_place, partial(is_gone, host))
    engine = Engine(host, ledger, tenure, OPERATIONS, publisher, sights.look)
    statistics = Statistics(
        host.hypervisor,
        host.uuid,
        host.boot_id,
        after_sample=guests.refresh_capacities,
        own_processes_only=config.cpu_accounting == "processes",
    )
    backend = Backend(
        version=AgentVersion(identity.version, identity.kinds),
        agent_start=identity.start,
        engine=engine,
        tenure=tenure,
        publisher=publisher,
        statistics=statistics.document,
        storage=StorageReader(host.storage).read,
    )
    server = _server(backend, config)
    return Parts(host, ledger, engine, publisher, checks, statistics, Strays(host, guests), server)


def _server(backend: Backend, config: AgentConfig) -> Server:
    """The service at its port; when it ends, so do the facts that clients wait for."""
    tls = tls_settings(config.certificates)
    return make_server(
        make_app(backend), config.listen.address, config.listen.port, tls, backend.publisher.stop
    )


def start_parts(parts: Parts, config: AgentConfig) -> None:
    """Begin: storage and libvirt first, then facts, then the orders that an earlier life left open."""
    parts.host.storage.start()
    parts.host.hypervisor.start()
    parts.publisher.start()
    parts.checks.start()
    parts.statistics.start()
    parts.engine.start()
    parts.strays.start()
    watch = partial(
        watch_certificate, parts.server, config.certificates, CertificateFile(config.certificates)
    )
    Thread(target=watch, name="certificate", daemon=True).start()
    _log.info("ostler-agent %s serves %s port %d", AGENT_VERSION, config.listen.address, config.listen.port)


def stop_parts(parts: Parts) -> None:
    """End: no guest is touched, migrations go on in libvirtd, mounts stay."""
    parts.publisher.stop()
    parts.engine.stop(END_LIMIT_S)
    parts.checks.stop()
    parts.statistics.stop()
    parts.strays.stop()
    parts.host.storage.close()
    parts.ledger.close()
    _log.info("ostler-agent has ended")


def watch_certificate(server: Server, paths: CertificatePaths, file: CertificateFile) -> None:
    """Show a renewed certificate to new connections, and have libvirt do so; looks at the file twice a minute until the
    server ends, and tries again what failed."""
    shown = file.read()
    while not server.should_exit:
        time.sleep(CERTIFICATE_PERIOD_S)
        found = file.read()
        if found == shown:
            continue
        try:
            reload_certificate(server.tls, paths)
            reload_libvirt()
        except OperationError as error:
            _log.warning("%s; %s", error.summary, error.action)
        else:
            _log.info("a renewed certificate is in use")
            shown = found


def describe_api() -> dict[str, Any]:
    """The service's OpenAPI document, without an agent behind it."""
    version = AgentVersion(AGENT_VERSION, tuple(sorted(OPERATIONS)))
    backend = cast(Backend, SimpleNamespace(version=version))
    return make_app(backend).openapi()
