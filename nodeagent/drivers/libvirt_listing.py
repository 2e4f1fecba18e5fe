"""All domains of a host in a few calls, however many there are and whichever of them hangs.

Only the libvirt driver uses it. A hanging QEMU holds up one bulk call for PROBE_MS; every later call passes it by
(NOWAIT), and libvirt's control state then tells a guest that hangs from one that is merely busy.
"""

from dataclasses import replace
from typing import Any

import libvirt

from nodeagent.drivers.libvirt_errors import is_link_failure
from nodeagent.drivers.libvirt_lanes import Lanes
from nodeagent.drivers.libvirt_values import GuestRow, GuestSample
from nodeagent.errors import DriverError
from nodeagent.wire.facts import GuestState

PROBE_MS = 1000
LIST_MS = 5000
HANGING_MS = 900
"""A monitor command that has not returned for so long counts as hanging."""

MOST_WAITING = 6
"""Of libvirtd's twenty workers (max_workers) at most so many may be lost to guests that hang."""

PROBE_GROUPS = (
    libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_DIRTYRATE
)
ANSWERED = "dirtyrate.calc_status"
"""Only a QEMU that answered its monitor has this statistic; it costs one cheap question."""

Stats = dict[str, dict[str, Any]]

STATES: dict[int, GuestState] = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "shutting-down",
    libvirt.VIR_DOMAIN_SHUTOFF: "shutting-down",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "paused",
}
PAUSE_REASONS = {
    libvirt.VIR_DOMAIN_PAUSED_USER: "user",
    libvirt.VIR_DOMAIN_PAUSED_MIGRATION: "migration",
    libvirt.VIR_DOMAIN_PAUSED_SAVE: "save",
    libvirt.VIR_DOMAIN_PAUSED_DUMP: "dump",
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: "io-error",
    libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: "watchdog",
    libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT: "snapshot",
    libvirt.VIR_DOMAIN_PAUSED_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PAUSED_STARTING_UP: "starting-up",
    libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED: "postcopy-failed",
}
IN_MIGRATION = ("migration", "starting-up")


def read_rows(lanes: Lanes) -> tuple[GuestRow, ...]:
    """Every domain, by uuid. Raises DriverError if libvirt cannot list them."""
    stats = _probe(lanes, PROBE_GROUPS)
    rows = lanes.read(lambda link: _list(link, stats), LIST_MS, "list domains")
    return tuple(sorted(rows, key=lambda row: row.uuid))


def read_samples(lanes: Lanes) -> tuple[GuestSample, ...]:
    """CPU time and balloon of each running domain that answers."""
    stats = _probe(lanes, libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_BALLOON)
    return tuple(
        GuestSample(uuid, int(row["cpu.time"]), int(row.get("balloon.current", 0)) * 1024)
        for uuid, row in sorted(stats.items())
        if "cpu.time" in row
    )


def read_capacities(lanes: Lanes) -> dict[str, dict[str, int]]:
    """Bytes of each disk of each running domain that answers, by uuid and device name."""
    stats = _probe(lanes, libvirt.VIR_DOMAIN_STATS_BLOCK)
    return {uuid: _capacities(row) for uuid, row in stats.items()}


def _capacities(row: dict[str, Any]) -> dict[str, int]:
    numbers = range(int(row.get("block.count", 0)))
    return {
        str(row[f"block.{number}.name"]): int(row[f"block.{number}.capacity"])
        for number in numbers
        if f"block.{number}.capacity" in row
    }


def _probe(lanes: Lanes, groups: int) -> Stats:
    """Statistics of running domains; where one hangs the call is given up, and the next one passes it by.

    Without any where many hang: each call given up occupies one of libvirtd's workers.
    """
    flags = (
        libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
    )

    def ask(link: Any) -> Stats:
        return {domain.UUIDString(): row for domain, row in link.getAllDomainStats(groups, flags)}

    for _attempt in range(2):
        if lanes.waiting() >= MOST_WAITING:
            break
        try:
            return lanes.read(ask, PROBE_MS, "look at all guests")
        except DriverError:
            continue  # one hangs, or ended while it was asked
    return {}


def _list(link: Any, stats: Stats) -> list[GuestRow]:
    persistent = {
        domain.UUIDString() for domain in link.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT)
    }
    autostart = {
        domain.UUIDString() for domain in link.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)
    }
    rows = []
    for domain in link.listAllDomains(0):
        uuid = domain.UUIDString()
        row = _row(domain, uuid, stats.get(uuid, {}))
        if row is not None:
            rows.append(replace(row, persistent=uuid in persistent, autostart=uuid in autostart))
    return rows


def _row(domain: Any, uuid: str, stats: dict[str, Any]) -> GuestRow | None:
    """One row; None for a domain that went away while it was looked at, unknown where libvirt refuses to tell."""
    try:
        state, reason = _probed_state(stats) or domain.state()
        pause_reason = PAUSE_REASONS.get(reason, "other") if state == libvirt.VIR_DOMAIN_PAUSED else ""
        return GuestRow(
            uuid=uuid,
            name=domain.name(),
            running=_has_qemu(state),
            state=_shown_state(domain, state, pause_reason, answered=ANSWERED in stats),
            pause_reason=pause_reason,
            balloon_alive=bool(stats.get("balloon.last-update")),
            xml=domain.XMLDesc(0),
        )
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        if is_link_failure(error):
            raise
        return GuestRow(uuid=uuid, name=domain.name(), running=True, state="unknown")


def _probed_state(stats: dict[str, Any]) -> tuple[int, int] | None:
    """State and reason of a guest that answered the bulk call: one question less for each."""
    if ANSWERED not in stats or "state.state" not in stats:
        return None
    return stats["state.state"], stats.get("state.reason", 0)


def read_state(domain: Any) -> tuple[GuestState, str]:
    """What one domain is doing, and why it is paused if it is."""
    state, reason = domain.state()
    pause_reason = PAUSE_REASONS.get(reason, "other") if state == libvirt.VIR_DOMAIN_PAUSED else ""
    return _shown_state(domain, state, pause_reason, answered=False), pause_reason


def _shown_state(domain: Any, state: int, pause_reason: str, *, answered: bool) -> GuestState:
    if _has_qemu(state) and not answered and _hangs(domain):
        return "unknown"
    if pause_reason in IN_MIGRATION and _is_incoming(domain):
        return "incoming"
    return STATES.get(state, "unknown")


def _has_qemu(state: int | None) -> bool:
    return state not in (None, libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_NOSTATE)


def _hangs(domain: Any) -> bool:
    """Whether a monitor command waits for QEMU (does not ask QEMU)."""
    state, _details, since_ms = domain.controlInfo()
    if state == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED:
        return bool(since_ms >= HANGING_MS)
    return bool(state == libvirt.VIR_DOMAIN_CONTROL_ERROR)


def _is_incoming(domain: Any) -> bool:
    """Whether a guest is only arriving: libvirt has no statistics of a migration at its destination."""
    try:
        operation = domain.jobStats(0).get("operation", 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_UNSUPPORTED:
            return True
        raise
    return bool(operation == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN)
