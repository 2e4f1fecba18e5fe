"""Requirements that a plan does not meet, as lines that every form of it shows."""

from collections.abc import Iterator, Sequence

from reconciler.model.placement import Homeless, Shortfall


def unmet_lines(shortfalls: Sequence[Shortfall]) -> list[str]:
    """`n+1: if cluster/main loses host/h1, these find no place: vm/a (Memory 2)`, one line a host."""
    return [
        f"n+1: if {one.cluster} loses {one.host}, {len(one.vms)} of its VMs find{'s' if len(one.vms) == 1 else ''} no place: "
        f"{', '.join(_homeless(vm) for vm in one.vms)}"
        for one in shortfalls
    ]


def unmet_plain(shortfalls: Sequence[Shortfall]) -> list[dict[str, object]]:
    """The same for machines."""
    return [
        {
            "requirement": "n+1",
            "cluster": one.cluster,
            "host": one.host,
            "vms": [{"vm": vm.vm, "dropped": dict(vm.dropped)} for vm in one.vms],
        }
        for one in shortfalls
    ]


def _homeless(one: Homeless) -> str:
    """`vm/a (Memory drops 2 hosts)`."""
    return f"{one.vm} ({', '.join(_filters(one)) or 'no other host is up'})"


def _filters(one: Homeless) -> Iterator[str]:
    for name, hosts in one.dropped:
        yield f"{name} drops {hosts} host{'s' if hosts != 1 else ''}"
