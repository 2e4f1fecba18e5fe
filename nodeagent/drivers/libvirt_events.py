"""libvirt's events into GuestEvents, over a connection that is opened anew whenever libvirtd restarts.

The event loop belongs to the process and runs in a thread of its own; listeners must return quickly.
"""

import logging
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Any

import libvirt

from nodeagent.drivers.libvirt_values import EventKind, GuestEvent

LOG = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.5
KEEPALIVE_SECONDS = 5
KEEPALIVE_COUNT = 3

LIFECYCLE: dict[int, EventKind] = {
    libvirt.VIR_DOMAIN_EVENT_DEFINED: "defined",
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: "undefined",
    libvirt.VIR_DOMAIN_EVENT_STARTED: "started",
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "suspended",
    libvirt.VIR_DOMAIN_EVENT_RESUMED: "resumed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED: "stopped",
    libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: "shutdown-begun",
    libvirt.VIR_DOMAIN_EVENT_CRASHED: "crashed",
}
STOP_DETAILS = ("shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from-snapshot")
SHUTDOWN_DETAILS = ("", "guest", "host")

PLAIN_EVENTS: tuple[tuple[int, EventKind], ...] = (
    (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, "rebooted"),
    (libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, "job-completed"),
    (libvirt.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, "balloon"),
    (libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, "agent"),
    (libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, "metadata"),
    (libvirt.VIR_DOMAIN_EVENT_ID_DISK_CHANGE, "disk"),
    (libvirt.VIR_DOMAIN_EVENT_ID_TRAY_CHANGE, "disk"),
    (libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, "disk"),
    (libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, "io-error"),
)
DEVICE_EVENTS: tuple[tuple[int, EventKind], ...] = (
    (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, "device-added"),
    (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, "device-removed"),
    (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, "device-removal-failed"),
)

_loop_lock = Lock()
_loop: list[Thread] = []


def ensure_event_loop() -> None:
    """Start the process's one libvirt event loop; must come before the first connection."""
    with _loop_lock:
        if _loop:
            return
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # errors arrive as exceptions
        libvirt.virEventRegisterDefaultImpl()
        _loop.append(Thread(target=_run_loop, name="libvirt-events", daemon=True))
        _loop[0].start()


def _run_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


class EventLink:
    """Keeps one connection for events open and gives each event to `deliver`."""

    def __init__(self, uri: str, deliver: Callable[[GuestEvent], None]) -> None:
        self._uri = uri
        self._deliver = deliver
        self._broken = Event()
        self._closed = Event()
        self._thread = Thread(target=self._keep_connected, name="libvirt-link", daemon=True)

    def start(self) -> None:
        """Connect in the background, and again after every loss."""
        ensure_event_loop()
        self._thread.start()

    def close(self) -> None:
        """Give the connection up."""
        self._closed.set()
        self._broken.set()
        self._thread.join(timeout=5)

    def _keep_connected(self) -> None:
        while not self._closed.is_set():
            connection = self._connect()
            if connection is None:
                self._closed.wait(RECONNECT_SECONDS)
                continue
            self._deliver(GuestEvent("connected"))
            self._broken.wait()
            self._deliver(GuestEvent("disconnected"))
            _close_quietly(connection)

    def _connect(self) -> Any:
        self._broken.clear()
        try:
            connection = libvirt.open(self._uri)
            connection.registerCloseCallback(self._on_close, None)
            connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT)
            self._register(connection)
        except libvirt.libvirtError as error:
            LOG.debug("no connection to libvirt for events: %s", error)
            return None
        return None if self._closed.is_set() else connection

    def _register(self, connection: Any) -> None:
        any_domain = connection.domainEventRegisterAny
        any_domain(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle, None)
        for number, kind in PLAIN_EVENTS:
            any_domain(None, number, self._on_plain, kind)
        for number, kind in DEVICE_EVENTS:
            any_domain(None, number, self._on_device, kind)

    def _on_close(self, _connection: Any, _reason: int, _opaque: Any) -> None:
        self._broken.set()

    def _on_lifecycle(self, _connection: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
        kind = LIFECYCLE.get(event)
        if kind is not None:
            self._deliver(GuestEvent(kind, domain.UUIDString(), _detail(kind, detail)))

    def _on_plain(self, _connection: Any, domain: Any, *arguments: Any) -> None:
        self._deliver(GuestEvent(arguments[-1], domain.UUIDString()))

    def _on_device(self, _connection: Any, domain: Any, alias: str, kind: EventKind) -> None:
        self._deliver(GuestEvent(kind, domain.UUIDString(), device=alias))


def _detail(kind: EventKind, detail: int) -> str:
    table = {"stopped": STOP_DETAILS, "shutdown-begun": SHUTDOWN_DETAILS}.get(kind, ())
    return table[detail] if 0 <= detail < len(table) else ""


def _close_quietly(connection: Any) -> None:
    try:
        connection.close()
    except libvirt.libvirtError as error:
        LOG.debug("connection for events was broken already: %s", error)
