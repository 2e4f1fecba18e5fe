"""What an operation may use of its host: identity, paths, and one driver or keeper for each thing it can touch.

`main` builds it once; the order engine hands it to every operation as its first argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodeagent.certificates import CertificatePaths
    from nodeagent.drivers.libvirt import Hypervisor
    from nodeagent.drivers.netlink import Links
    from nodeagent.facts.exits import Exits
    from nodeagent.operations.contract import HostPaths
    from nodeagent.settings import Settings
    from nodeagent.storage import StorageDomains


@dataclass(frozen=True, slots=True)
class Host:
    """This hypervisor host. address: what peers connect to for migration; boot_id: of this boot of the machine.

    storage: connected domains by uuid. exits: durable until the record has them. settings: persisted choices
    of the data center about this host. certificates: this host's, None where nothing is served.
    """

    uuid: str
    name: str
    boot_id: str
    address: str
    paths: HostPaths
    hypervisor: Hypervisor
    storage: StorageDomains
    links: Links
    exits: Exits
    settings: Settings
    certificates: CertificatePaths | None = None
