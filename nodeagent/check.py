"""What this host lacks to run guests for Ostler: findings by topic, each with what its administrator should do.

`ostler-agent check` prints them, the state document carries those of `HOST_CHECKS`. Looks only, changes nothing.
"""

import ctypes
import os
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nodeagent.certificates import CertificatePaths, certificate_problems
from nodeagent.drivers.libvirt import Hypervisor
from nodeagent.drivers.netlink import Link, Links, objection_to_uplink
from nodeagent.drivers.nicowners import owner_of
from nodeagent.errors import DriverError
from nodeagent.facts.capabilities import Capabilities
from nodeagent.operations.contract import HostPaths, OperationError
from nodeagent.wire.facts import CheckFacts, CheckLevel

MIGRATION_PORT = 16514
CONNECT_LIMIT_S = 3.0
SCARCE_BYTES = 256 * 1024 * 1024
LOW_BYTES = 1024 * 1024 * 1024
OLDEST_LIBVIRT = (9, 0)
OLDEST_QEMU = (7, 0)
_STA_UNSYNC = 0x40
_NIC_KINDS = ("", "bond", "vlan", "veth")
"""Links that can lead out of the host; a veth in somebody's bridge is a container's, and not worth a word."""

PROGRAMS = (
    (("qemu-system-x86_64", "/usr/libexec/qemu-kvm"), "qemu-system-x86", "qemu-kvm"),
    (("qemu-img",), "qemu-utils", "qemu-img"),
    (("mount",), "mount", "util-linux"),
)
"""Programs that the agent or libvirtd runs (any of the names), with their Debian and EL packages."""

_SYSTEMD = Path("/run/systemd/system")
"""There exactly if systemd runs the machine, see sd_booted(3)."""

_GUESTS_UNITS = tuple(
    Path(directory) / f"{target}.target.wants" / "libvirt-guests.service"
    for directory in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
    for target in ("multi-user", "default")
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What checks look at. address: where other hosts reach this one."""

    paths: HostPaths
    certificates: CertificatePaths
    address: str
    hypervisor: Hypervisor
    capabilities: Capabilities
    links: Links


Check = Callable[[Scene], Iterator[CheckFacts]]


def check_kvm(scene: Scene) -> Iterator[CheckFacts]:
    """Guests without KVM run, at a tenth of the speed. /dev/kvm may exist and not work, so it was tried."""
    try:
        known = scene.capabilities.read()
    except OperationError:
        yield _not_checked("kvm", "whether KVM works", "libvirt does not answer")
        return
    if known.kvm:
        return
    summary = "KVM runs no guests here: they are emulated, which is slow"
    if known.halts_to_migrate:
        summary += f"; and with QEMU {known.qemu}, older than 9.0, they stand still while they migrate"
    yield _warning("kvm", summary, "switch on virtualization in the firmware, and load kvm_intel or kvm_amd")


def check_programs(_scene: Scene) -> Iterator[CheckFacts]:
    """Programs must be installed; firmware and TPM only for guests that want them."""
    for names, debian, enterprise in PROGRAMS:
        if not any(shutil.which(name) for name in names):
            yield _error(
                "programs", f"{names[0]} is missing", f"install {debian} (Debian) or {enterprise} (EL)"
            )
    if shutil.which("swtpm") is None:
        yield _warning(
            "programs", "swtpm is missing: no guest with a TPM can run", "install swtpm and swtpm-tools"
        )


def check_firmware(scene: Scene) -> Iterator[CheckFacts]:
    """UEFI guests need OVMF's files."""
    for path in (scene.paths.firmware_code, scene.paths.firmware_vars):
        if not path.exists():
            yield _warning(
                "firmware",
                f"{path} is missing: no UEFI guest can run",
                "install ovmf (Debian; no package of EL 9 has this file)",
            )


def check_libvirt(scene: Scene) -> Iterator[CheckFacts]:
    """libvirtd must answer and be recent enough for what the agent asks of it."""
    try:
        version = scene.hypervisor.version()
    except OperationError as error:
        yield _error(
            "libvirt",
            error.summary,
            "install libvirt-daemon-system (libvirt on EL) and run: systemctl start libvirtd.service",
        )
        return
    for name, text, oldest in (
        ("libvirt", version.libvirt, OLDEST_LIBVIRT),
        ("QEMU", version.qemu, OLDEST_QEMU),
    ):
        if tuple(int(part) for part in text.split(".")[:2]) < oldest:
            yield _error(
                "libvirt", f"{name} {text} is too old", f"upgrade to {oldest[0]}.{oldest[1]} or later"
            )


def check_autostart(scene: Scene) -> Iterator[CheckFacts]:
    """Guests start by order only: whatever else starts them could make a second writer of their disks."""
    if _SYSTEMD.exists() and any(unit.is_symlink() or unit.exists() for unit in _GUESTS_UNITS):
        yield _error(
            "autostart",
            "libvirt-guests is enabled: it starts, suspends and stops guests behind the plan's back",
            "run: systemctl disable --now libvirt-guests.service (with its ON_SHUTDOWN=ignore first, if guests run)",
        )
    try:
        names = [row.name for row in scene.hypervisor.list_guests() if row.autostart]
    except OperationError:
        yield _not_checked("autostart", "which domains start with the host", "libvirt does not answer")
        return
    for name in names:
        yield _error(
            "autostart", f"domain {name} starts with the host", f"run: virsh autostart --disable {name}"
        )


def check_bridge(_scene: Scene) -> Iterator[CheckFacts]:
    """Networks are bridges of the kernel."""
    release = os.uname().release
    builtin = Path(f"/lib/modules/{release}/modules.builtin")
    index = Path(f"/lib/modules/{release}/modules.dep")
    known = any(
        "/bridge.ko" in path.read_text("utf-8", "replace") for path in (builtin, index) if path.exists()
    )
    if not known and not Path("/sys/module/bridge").exists():
        yield _error(
            "bridge", f"the kernel {release} has no bridge module", "install the distribution's full kernel"
        )


def check_time(_scene: Scene) -> Iterator[CheckFacts]:
    """Certificates and windows need the time of day; leases and deadlines do not."""
    status = _kernel_clock_status()
    if status is not None and status & _STA_UNSYNC:
        yield _warning(
            "time", "the clock is not synchronised", "install and start chrony (or systemd-timesyncd)"
        )


def check_space(scene: Scene) -> Iterator[CheckFacts]:
    """Without space for the ledger no order is taken. The directory itself is made when the agent starts."""
    state = scene.paths.state
    existing = next((path for path in (state, *state.parents) if path.exists()), state)
    try:
        status = os.statvfs(existing)
    except OSError as error:
        yield _error("space", f"{existing}: {error.strerror}", "mend it, or change stateDir in agent.yaml")
        return
    free = status.f_bavail * status.f_frsize
    text = f"less than {(free >> 26) * 64 + 64} MiB free for {state}"
    if free < SCARCE_BYTES:
        yield _error("space", text, "free space: with none left the host takes no orders")
    elif free < LOW_BYTES:
        yield _warning("space", text, "free some space before it runs out")


def check_nics(scene: Scene) -> Iterator[CheckFacts]:
    """NICs that no network can use because they are the host's own or somebody else's; and whether any is left."""
    try:
        links = scene.links.read()
    except DriverError as error:
        yield _error("nics", error.summary, error.action)
        return
    usable = False
    for name in sorted(links):
        link = links[name]
        ours = link.master is not None and links[link.master].network is not None
        if link.loopback or link.kind not in _NIC_KINDS or (link.kind == "veth" and link.master and not ours):
            continue
        objection = None if ours else objection_to_uplink(links, name, "")
        usable = usable or objection is None
        yield from _nic_findings(link, objection)
    if not usable:
        yield _warning(
            "nics", "no NIC is free for networks of guests", "add one beside that of the host's own address"
        )


def _nic_findings(link: Link, objection: str | None) -> Iterator[CheckFacts]:
    if objection is not None:
        yield _warning("nics", f"{objection}; no network can use it", "attach networks to another NIC")
        return
    owner = owner_of(link.index)
    if owner is not None:
        yield _warning(
            "nics",
            f"{link.name} is in the hands of {owner}, which may give it an address or take it out of its bridge",
            f"if a network is to use it, tell {owner} to leave it alone: see docs/install-agent.md, section Networks",
        )


def check_certificates(scene: Scene) -> Iterator[CheckFacts]:
    """The host's own certificate, key and authorities."""
    yield from certificate_problems(scene.certificates, datetime.now(UTC))


def check_migration(scene: Scene) -> Iterator[CheckFacts]:
    """libvirtd must answer other hosts over TLS with this host's certificate."""
    action = f"see docs/install-agent.md, section Migration: libvirtd has to listen with TLS on port {MIGRATION_PORT}"
    try:
        context = ssl.create_default_context(cafile=str(scene.certificates.agents_authority))
        context.load_cert_chain(scene.certificates.certificate, scene.certificates.key)
    except (OSError, ssl.SSLError):
        yield _not_checked("migration", "libvirtd's TLS port", "this host has no certificates that work")
        return
    try:
        with (
            socket.create_connection((scene.address, MIGRATION_PORT), CONNECT_LIMIT_S) as connection,
            context.wrap_socket(connection, server_hostname=scene.address),
        ):
            pass
    except ssl.SSLError as error:
        yield _error("migration", f"libvirtd at {scene.address} is no TLS peer: {error.reason}", action)
    except OSError as error:
        reason = error.strerror or "no answer"
        yield _error("migration", f"no libvirtd at {scene.address} port {MIGRATION_PORT}: {reason}", action)


HOST_CHECKS: dict[str, Check] = {
    "kvm": check_kvm,
    "programs": check_programs,
    "firmware": check_firmware,
    "libvirt": check_libvirt,
    "autostart": check_autostart,
    "bridge": check_bridge,
    "time": check_time,
    "space": check_space,
    "certificates": check_certificates,
    "migration": check_migration,
}
ALL_CHECKS: dict[str, Check] = {**HOST_CHECKS, "nics": check_nics}


def run_checks(scene: Scene, checks: dict[str, Check]) -> tuple[CheckFacts, ...]:
    """Every finding of `checks`, in their order; one that cannot be made is an error itself."""
    findings: list[CheckFacts] = []
    for topic, check in checks.items():
        try:
            findings.extend(check(scene))
        except (OperationError, OSError) as error:
            findings.append(_error(topic, f"could not be checked: {error}", "run ostler-agent as root"))
    return tuple(findings)


def _kernel_clock_status() -> int | None:
    """The status bits of adjtimex(2); None where it may not be asked. 208 bytes hold `struct timex`."""
    buffer = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
        return None
    return ctypes.c_int.from_buffer(buffer, 40).value


def _error(topic: str, summary: str, action: str) -> CheckFacts:
    return _finding("error", topic, summary, action)


def _warning(topic: str, summary: str, action: str) -> CheckFacts:
    return _finding("warning", topic, summary, action)


def _not_checked(topic: str, what: str, reason: str) -> CheckFacts:
    return _warning(topic, f"{what} is not known: {reason}", "mend that first, then check again")


def _finding(level: CheckLevel, topic: str, summary: str, action: str) -> CheckFacts:
    return CheckFacts(level, topic, summary, action)
