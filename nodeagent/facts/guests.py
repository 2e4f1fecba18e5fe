"""This host's running domains as GuestFacts, in a few libvirt calls however many there are.

`facts.assemble` collects from here for every state document; exits are noticed on the way.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock

from nodeagent.clock import boottime_ms
from nodeagent.drivers.libvirt import Hypervisor
from nodeagent.drivers.libvirt_values import GuestEvent, GuestRow
from nodeagent.errors import DriverError
from nodeagent.facts.exits import Exits
from nodeagent.guestxml.place import GuestXmlError
from nodeagent.guestxml.reading import GuestReading, read_guest
from nodeagent.wire.facts import GuestFacts
from nodeagent.wire.guest import GuestConfig

LOOKS = 3
"""A QEMU process that libvirt does not list after so many looks is told as one."""
BALLOON_PATIENCE_S = 60.0
"""A balloon that has not reached its target after so long shows as it is."""


@dataclass(frozen=True, slots=True)
class GuestsSeen:
    """One look at this host. complete: libvirt listed all domains and /proc all QEMU processes.

    processes: VM uuids of QEMU processes. autostarting: domains that libvirt would start by itself.
    """

    guests: tuple[GuestFacts, ...]
    complete: bool
    processes: tuple[str, ...]
    autostarting: tuple[str, ...] = ()
    problem: str = ""


class Guests:
    """Looks at the guests again and again, and parses only what changed.

    networks: logical network by bridge, asked at each look. clock: monotonic seconds. boottime: of the agent, in ms.
    """

    def __init__(
        self,
        hypervisor: Hypervisor,
        exits: Exits,
        networks: Callable[[], Mapping[str, str]] = dict,
        clock: Callable[[], float] = time.monotonic,
        boottime: Callable[[], int] = boottime_ms,
    ) -> None:
        self._hypervisor = hypervisor
        self._exits = exits
        self._networks = networks
        self._clock = clock
        self._boottime = boottime
        self._lock = Lock()
        self._readings: dict[str, tuple[str, Mapping[str, str], GuestReading | None]] = {}
        self._capacities: dict[str, tuple[tuple[str, int], ...]] = {}
        self._balloons: dict[str, Balloon] = {}
        self._hanging: dict[str, int] = {}
        self._resized: set[str] = set()
        hypervisor.listen(exits.hear)
        hypervisor.listen(self._hear)

    def collect(self, networks: Mapping[str, str] | None = None) -> GuestsSeen:
        """Look once. Never raises: what could not be looked at is missing, and `complete` is False.

        networks: logical network by bridge, where the caller has just read them.
        """
        with self._lock:
            looked_at = time.monotonic()
            try:
                rows, processes = self._look()
                known = dict(self._networks() if networks is None else networks)
            except DriverError as error:
                return GuestsSeen((), complete=False, processes=(), problem=error.summary)
            facts = self._facts_of(rows, known)
            self._note_exits(
                facts, frozenset(processes) | {row.uuid for row in rows if row.running}, looked_at
            )
            autostarting = tuple(row.uuid for row in rows if row.autostart)
            return GuestsSeen(
                facts, complete=True, processes=tuple(sorted(processes)), autostarting=autostarting
            )

    def _look(self) -> tuple[tuple[GuestRow, ...], Mapping[str, int]]:
        """Domains and QEMU processes as they belong together. Raises DriverError.

        A guest that begins or ends between the two looks is a process without a domain: it is looked for again.
        """
        for _attempt in range(LOOKS):
            rows = self._hypervisor.list_guests()
            processes = self._hypervisor.list_processes()
            if processes.keys() <= {row.uuid for row in rows if row.running}:
                break
        return rows, processes

    def refresh_capacities(self) -> None:
        """Read every disk's size from QEMU; the sampling thread does so now and then. Raises DriverError."""
        sizes = self._hypervisor.disk_capacities()
        with self._lock:
            for vm, (_xml, _networks, reading) in self._readings.items():
                if reading is not None and vm in sizes:
                    self._capacities[vm] = _by_image(reading, sizes[vm])

    def _facts_of(self, rows: tuple[GuestRow, ...], networks: Mapping[str, str]) -> tuple[GuestFacts, ...]:
        running = {row.uuid: row for row in rows if row.running}
        self._readings = {vm: kept for vm, kept in self._readings.items() if vm in running}
        self._balloons = {vm: kept for vm, kept in self._balloons.items() if vm in running}
        now_ms = self._boottime()
        self._hanging = {
            vm: self._hanging.get(vm, now_ms) for vm, row in running.items() if row.state == "unknown"
        }
        resized, self._resized = self._resized, set()
        unchanged = running.keys() - resized
        self._capacities = {vm: kept for vm, kept in self._capacities.items() if vm in unchanged}
        return tuple(self._one(row, self._read(row, networks)) for row in running.values())

    def _read(self, row: GuestRow, networks: Mapping[str, str]) -> GuestReading | None:
        xml = row.xml or ""
        kept = self._readings.get(row.uuid)
        if kept is not None and kept[0] == xml and kept[1] == networks:
            return kept[2]
        try:
            reading = read_guest(xml, networks)
        except GuestXmlError:
            reading = None
        self._readings[row.uuid] = (xml, networks, reading)
        return reading

    def _one(self, row: GuestRow, reading: GuestReading | None) -> GuestFacts:
        facts = GuestFacts(
            uuid=row.uuid,
            title=row.name,
            state=row.state,
            managed=False,
            persistent=row.persistent,
            autostart=row.autostart,
            pause_reason=row.pause_reason,
            hangs_since_ms=self._hanging.get(row.uuid),
        )
        if reading is None:
            return facts
        return replace(
            facts,
            title=reading.title,
            managed=reading.managed,
            config=self._with_balloon(row, reading),
            gaps=reading.gaps,
            disk_capacities=self._capacities_of(row, reading),
            macs=reading.macs,
            memory_bytes=reading.memory_bytes,
            vcpus=reading.vcpus,
            vnc_port=reading.vnc_port,
            applied_secrets=reading.metadata.secrets if reading.metadata else (),
            migration=self._hypervisor.migrations.get(row.uuid),
        )

    def _with_balloon(self, row: GuestRow, reading: GuestReading) -> GuestConfig | None:
        if reading.config is None or reading.metadata is None:
            return reading.config
        balloon = self._balloons.setdefault(row.uuid, Balloon())
        target = reading.metadata.config.memory.current_bytes
        shown = balloon.show(target, reading.memory_bytes, alive=row.balloon_alive, now=self._clock())
        memory = replace(reading.config.memory, current_bytes=shown)
        return replace(reading.config, memory=memory)

    def _capacities_of(self, row: GuestRow, reading: GuestReading) -> tuple[tuple[str, int], ...]:
        """Sizes as the guest sees them; asked once for a guest and its set of disks, later only refreshed."""
        if row.state == "unknown" or not reading.targets:
            return self._capacities.get(row.uuid, ())
        kept = self._capacities.get(row.uuid)
        if kept is not None and {image for image, _size in kept} == {
            image for image, _target in reading.targets
        }:
            return kept
        try:
            sizes = {
                target: self._hypervisor.disk_capacity(row.uuid, target) for _image, target in reading.targets
            }
        except DriverError:
            return kept or ()
        self._capacities[row.uuid] = _by_image(reading, sizes)
        return self._capacities[row.uuid]

    def _note_exits(self, facts: tuple[GuestFacts, ...], alive: frozenset[str], looked_at: float) -> None:
        runs = {
            guest.uuid: guest.config.run
            for guest in facts
            if guest.managed and guest.config is not None and guest.state != "incoming"
        }
        self._exits.observe(runs, alive, looked_at)

    def _hear(self, event: GuestEvent) -> None:
        if event.kind in ("disk", "started", "device-added", "device-removed"):
            self._resized.add(event.uuid)


@dataclass(slots=True)
class Balloon:
    """How one guest's balloon follows its target.

    A guest needs time to follow, and one without the driver never does: until the target was reached once, or
    patience is over, the target is shown; from then on what the balloon really is, so that drift is seen.
    """

    reached: int | None = None
    apart_since: float | None = None

    def show(self, target: int, actual: int, *, alive: bool, now: float) -> int:
        """The current memory to report, bytes. alive: the guest's driver has spoken. now: monotonic seconds."""
        if actual == target:
            self.reached, self.apart_since = target, None
            return target
        if self.reached == target:
            return actual
        if not alive:
            return target
        if self.apart_since is None:
            self.apart_since = now
        return actual if now - self.apart_since >= BALLOON_PATIENCE_S else target


def _by_image(reading: GuestReading, sizes: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple((image, sizes[target]) for image, target in sorted(reading.targets) if target in sizes)
