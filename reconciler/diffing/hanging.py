"""Guests whose QEMU does not answer: nothing can be done to them, and people should know. Called by the pipeline."""

from collections.abc import Iterator

from nodeagent.wire.facts import GuestFacts
from reconciler.model.change import Alert
from reconciler.model.observed import HostObservation, Observed
from reconciler.model.quantities import format_duration

STEPS_MS = (86_400_000, 3_600_000, 900_000, 300_000, 60_000, 30_000, 10_000)
"""Ages that are told; in between the alert stays the same, so that no loop repeats it and no digest changes."""


def find_hanging_guests(observed: Observed) -> Iterator[Alert]:
    """VMs whose QEMU does not answer libvirt, by host and uuid, and for how long that has been so."""
    for host in observed.hosts.values():
        if not host.answering or host.state is None:
            continue
        for guest in sorted(host.state.guests, key=lambda one: one.uuid):
            seen = observed.vms.get(guest.uuid)
            if guest.state == "unknown" and seen is not None and seen.object is not None:
                yield _alert(seen.object, host, guest)


def _alert(name: str, host: HostObservation, guest: GuestFacts) -> Alert:
    now_ms, since_ms = host.boottime_ms, guest.hangs_since_ms
    age_ms = now_ms - since_ms if now_ms is not None and since_ms is not None else 0
    return Alert(
        name,
        f"its QEMU on {host.id} {describe_silence(age_ms)}: nothing can be done to it, and what it was asked may still "
        "take effect",
        f"see on {host.id} whether QEMU is stopped or waits for storage (`ps`); if it never answers again, "
        f"`virsh destroy {guest.uuid}` there ends it",
    )


def describe_silence(age_ms: int) -> str:
    """`has not answered for more than 30s`, `does not answer` within the first seconds."""
    told = next((step for step in STEPS_MS if age_ms >= step), None)
    return f"has not answered for more than {format_duration(told)}" if told else "does not answer"
