"""What agents did to guests by themselves, so that people hear of it: alerts, told for an hour. Called by the pipeline."""

from collections.abc import Iterator

from nodeagent.wire.facts import DeedFacts
from reconciler.model.change import Alert
from reconciler.model.observed import Observed


def find_deeds(observed: Observed) -> Iterator[Alert]:
    """Guests that agents destroyed as second lives of their VMs, by host and VM."""
    for host, name, deed in list_deeds(observed):
        yield Alert(
            name,
            describe_deed(host, deed),
            f"find out who started or moved it to {host} past Ostler (virsh, another tool), then check the VM's disks",
        )


def list_deeds(observed: Observed) -> Iterator[tuple[str, str, DeedFacts]]:
    """Host id, VM id and what was done, of every host that answers."""
    for host in observed.hosts.values():
        if not host.answering or host.state is None:
            continue
        for deed in host.state.deeds:
            seen = observed.vms.get(deed.vm)
            if seen is not None and seen.object is not None:
                yield host.id, seen.object, deed


def describe_deed(host: str, deed: DeedFacts) -> str:
    """One deed in words."""
    return f"the agent of {host} destroyed a guest of it there (run {deed.run}) by itself: {deed.reason}"
