"""A live migration while it runs: followed, reported, given up where it gets nowhere, and judged when it is over.

Used by migrate-vm, when it begins one and when it finds one after a restart of the agent.
"""

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from nodeagent.drivers.command import never
from nodeagent.drivers.libvirt_values import JobProgress, MigrationRequest
from nodeagent.guestxml.metadata import NAMESPACE, metadata_element, read_metadata
from nodeagent.guestxml.place import GuestXmlError
from nodeagent.guestxml.reading import parse_domain
from nodeagent.host import Host
from nodeagent.operations.contract import Control, OperationError
from nodeagent.operations.vm_convergence import Convergence
from nodeagent.operations.vm_living import wait_gone
from nodeagent.wire.arguments import MigrateVm
from nodeagent.wire.facts import MigrationFacts
from nodeagent.wire.orders import Progress

Outcome = Literal["moved", "stayed", "unclear"]
Ended = Callable[[int], bool]
"""Whether the migration is over, waited for at most so many ms."""

LOOK_MS = 500
GONE_MS = 30_000
ABORT_AGAIN_MS = 5_000
ABORT_LIMIT_MS = 120_000
ANSWER_LIMIT_MS = 60_000
"""How long libvirtd may take to be back after it restarted in the middle."""


def request_for(host: Host, wanted: MigrateVm) -> MigrationRequest:
    """The domain as it will be there, with the new run's number. Raises OperationError."""
    address = (
        f"[{wanted.destination_address}]" if ":" in wanted.destination_address else wanted.destination_address
    )
    try:
        domain = parse_domain(host.hypervisor.migration_xml(wanted.vm))
    except GuestXmlError as error:
        raise OperationError(str(error), "look at the guest with `virsh dumpxml`") from error
    _renumber(domain, wanted.run)
    return MigrationRequest(
        uri=f"qemu+tls://{address}/system",
        data_uri=f"tcp://{address}",
        xml=ET.tostring(domain, encoding="unicode"),
        bandwidth_mib_per_s=wanted.bandwidth_mib_per_s,
    )


def _renumber(domain: ET.Element, run: int) -> None:
    known, place = read_metadata(domain), domain.find("metadata")
    if known is None or place is None:
        return
    for element in place.findall(f"{{{NAMESPACE}}}domain"):
        place.remove(element)
    place.append(metadata_element(replace(known, config=replace(known.config, run=run))))


@contextmanager
def outgoing_slot(host: Host, control: Control) -> Iterator[None]:
    """Wait until few enough guests leave this host. Raises OperationError if the order is cancelled before."""
    while not host.hypervisor.outgoing.acquire(timeout=LOOK_MS / 1000):
        control.report(Progress("waits for other migrations from this host"))
        if control.cancelled():
            raise OperationError(
                "cancelled while it waited for other migrations", "nothing was done; plan anew"
            )
    try:
        yield
    finally:
        host.hypervisor.outgoing.release()


@contextmanager
def shown(host: Host, wanted: MigrateVm) -> Iterator[None]:
    """Let the facts show the migration, and let nobody else judge it, for the block."""
    host.hypervisor.migrations[wanted.vm] = MigrationFacts(wanted.destination, 0, 0, 0)
    try:
        yield
    finally:
        host.hypervisor.migrations.pop(wanted.vm, None)


def follow(host: Host, wanted: MigrateVm, control: Control, ended: Ended) -> str | None:
    """Watch a migration to its end; why it was given up, None if it was not. Raises OperationError if it hangs."""
    convergence = Convergence(wanted.stall_ms, wanted.timeout_ms)
    downtime_set = False
    while not ended(LOOK_MS):
        progress = _progress(host, wanted.vm)
        if progress.operation == "migration-out":
            downtime_set = downtime_set or _set_downtime(host, wanted)
            _show(host, wanted, control, progress)
        reason = convergence.look(progress, _now_ms())
        if control.cancelled():
            reason = "it was cancelled, or its order's time is over"
        if reason is not None:
            _abort(host, wanted.vm, ended)
            return reason
    return None


def _progress(host: Host, vm: str) -> JobProgress:
    try:
        return host.hypervisor.job_progress(vm)
    except OperationError:
        return JobProgress("none")


def _set_downtime(host: Host, wanted: MigrateVm) -> bool:
    if not wanted.downtime_ms:
        return True
    try:
        host.hypervisor.set_migration_downtime(wanted.vm, wanted.downtime_ms)
    except OperationError:
        return False  # not far enough yet, or over already
    return True


def _show(host: Host, wanted: MigrateVm, control: Control, progress: JobProgress) -> None:
    host.hypervisor.migrations[wanted.vm] = MigrationFacts(
        destination=wanted.destination,
        elapsed_ms=progress.elapsed_ms,
        remaining_bytes=progress.remaining_bytes,
        total_bytes=progress.total_bytes,
        mib_per_s=progress.mib_per_s,
        iteration=progress.iteration,
    )
    done = max(0, progress.total_bytes - progress.remaining_bytes)
    control.report(Progress(f"migrating, pass {progress.iteration}", done, progress.total_bytes))


def _abort(host: Host, vm: str, ended: Ended) -> None:
    end = _now_ms() + ABORT_LIMIT_MS
    while _now_ms() < end:
        try:
            host.hypervisor.abort_job(vm)
        except OperationError:
            if ended(LOOK_MS):
                return
        if ended(ABORT_AGAIN_MS):
            return
    raise OperationError(
        f"the migration of guest {vm} does not end", "see libvirtd's logs on both hosts", settled=False
    )


def over_by_looking(host: Host, vm: str) -> Ended:
    """As the end of a call, for a migration that another connection or an earlier life of the agent began."""
    return lambda limit_ms: host.hypervisor.wait_until(lambda: not _is_moving(host, vm), limit_ms, never)


def _is_moving(host: Host, vm: str) -> bool:
    """Whether libvirt still moves the guest away; True as well while that cannot be told."""
    try:
        return host.hypervisor.job_progress(vm).operation == "migration-out"
    except OperationError:
        try:
            return host.hypervisor.is_running(vm)
        except OperationError:
            return True


def judge(host: Host, vm: str, *, left: bool) -> Outcome:
    """Where the guest is after its migration is over, by looking at this host. left: libvirt said that it has left.

    libvirt lets the destination run a guest only after it has stopped it here for good, and lets it go on here only
    when the destination has certainly not begun; where it cannot tell, the guest stays paused here.
    """
    if not host.hypervisor.wait_until(lambda: _answers(host, vm), ANSWER_LIMIT_MS, never):
        return "unclear"
    try:
        if not host.hypervisor.is_running(vm):
            gone = wait_gone(host, vm, GONE_MS, never)
            return "moved" if gone and (left or host.exits.reason(vm) == "migrated") else "unclear"
        state, reason = host.hypervisor.guest_state(vm)
        moving = host.hypervisor.job_progress(vm).operation == "migration-out"
    except OperationError:
        return "unclear"
    if not moving and (state == "running" or (state == "paused" and reason in ("user", "io-error"))):
        return "stayed"
    return "unclear"


def _answers(host: Host, vm: str) -> bool:
    try:
        host.hypervisor.is_running(vm)
    except OperationError:
        return False
    return True


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
