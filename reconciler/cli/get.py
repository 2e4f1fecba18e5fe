"""`ostler get`: what there is, declared and observed, one line an object."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from reconciler.cli.failures import CommandError
from reconciler.cli.loading import load_data_center
from reconciler.cli.output import ListFormat, ListOption, print_rows
from reconciler.cli.passes import make_pass
from reconciler.cli.plan import DataCenterOption, PathsOption
from reconciler.cli.statuses import Status
from reconciler.diffing.space import is_low
from reconciler.model.observed import Presence
from reconciler.model.quantities import format_bytes
from reconciler.pipeline import Pass

Rows = list[tuple[str, ...]]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("get")(get)


def get(
    kind: Annotated[
        str, typer.Argument(help="vms, hosts, disks, networks, storagedomains (sd), clusters or datacenters.")
    ],
    name: Annotated[str | None, typer.Argument(help="One object, by name or id.")] = None,
    file: PathsOption = [],  # noqa: B006  typer needs a list
    data_center: DataCenterOption = None,
    observed: Annotated[str | None, typer.Option("--observed", help="List offline.")] = None,
    output: ListOption = ListFormat.TABLE,
) -> int:
    """List objects with what is observed of them. Exits 1 if the named object does not exist."""
    make = LISTINGS.get(kind.lower().removesuffix("s"))
    if make is None:
        raise CommandError(
            f"no kind {kind}; there is vms, hosts, disks, networks, storagedomains, clusters, datacenters"
        )
    columns, wide, rows_of = make
    desired, _ = load_data_center(file, data_center)
    done = make_pass(desired, observed)
    rows = rows_of(done)
    if name is not None:
        rows = [row for row in rows if name in (row[0], row[0].partition("/")[2])]
        if not rows:
            raise CommandError(f"no {kind} {name} is declared")
    print_rows(rows, columns, output, wide)
    return Status.DONE


def _vms(done: Pass) -> Rows:
    """VMs: state, host, size, what is in the way or pending."""
    blocked = {one.object: one.reason for one in done.plan.blocked}
    alerts = {one.object: one.what for one in done.plan.alerts}
    waits = {one.object: one.reason for one in done.plan.deferred if not one.fields}
    pending = {one.object: ",".join(field.field for field in one.fields) for one in done.plan.deferred}
    rows: Rows = []
    for name, vm in done.desired.vms.items():
        seen = done.observed.vms.get(done.identities.vms[name])
        guest = seen.guest if seen else None
        unknown = Presence.UNKNOWN if done.observed.newcomer_evidence is None else Presence.NOT_RUNNING
        state = guest.state if guest else (seen.presence if seen else unknown).value
        uuid = done.identities.vms[name]
        run = seen.record.run if seen and seen.record else None
        notes = alerts.get(name) or blocked.get(name) or waits.get(name) or ""
        if not notes and name in pending:
            notes = f"pending: {pending[name]}"
        rows.append(
            (name, state, (seen.host if seen else None) or "-", str(vm.cpu.vcpus), format_bytes(vm.memory_bytes),
             vm.run_policy.value, uuid, str(run.number) if run else "-", notes)
        )  # fmt: skip
    return rows


def _hosts(done: Pass) -> Rows:
    """Hosts: status, guests, memory, what to see to."""
    alerts = {one.object: one.what for one in done.plan.alerts}
    rows: Rows = []
    for name, host in done.desired.hosts.items():
        seen = done.observed.hosts.get(name)
        state = seen.state if seen else None
        status: str = seen.status if seen else "unknown"
        if state and status == "answering":
            status = "maintenance" if state.maintenance else "up"
        guests = str(len(state.guests)) if state else "-"
        memory = format_bytes(state.capabilities.memory_bytes) if state else "-"
        rows.append((name, status, guests, memory, f"{host.address}:{host.port}", host.cluster, host.uuid,
                     state.agent_version if state else "-", alerts.get(name, "")))  # fmt: skip
    return rows


def _disks(done: Pass) -> Rows:
    """Disks: size and what they take."""
    rows: Rows = []
    for name, disk in done.desired.disks.items():
        seen = done.observed.disks.get(done.identities.disks[name])
        volume = seen.volume if seen else None
        state = "missing" if volume is None else "ok" if volume.legal else "half-made"
        taken = format_bytes(volume.actual_bytes) if volume else "-"
        rows.append((name, state, format_bytes(disk.size_bytes), taken, disk.format, disk.allocation, disk.storage_domain,
                     done.identities.disks[name]))  # fmt: skip
    return rows


def _networks(done: Pass) -> Rows:
    """Networks: on how many hosts their bridge is."""
    rows: Rows = []
    for name, network in done.desired.networks.items():
        states = [one.state for one in done.observed.hosts.values() if one.state]
        present = sum(1 for state in states if any(one.network == name for one in state.networks))
        rows.append((name, network.bridge, str(network.mtu), f"{present}/{len(done.desired.hosts)}"))
    return rows


def _storage(done: Pass) -> Rows:
    """Storage domains: hosts that have them active, and space."""
    rows: Rows = []
    for name, domain in done.desired.storage_domains.items():
        facts = [
            one
            for host in done.observed.hosts.values()
            if host.state
            for one in host.state.storage
            if one.uuid == domain.uuid
        ]
        active = sum(1 for one in facts if one.state == "active")
        free = format_bytes(facts[0].free_bytes) if facts else "-"
        notes = "low space" if is_low(domain, done.observed) else ""
        role = "master" if done.changes.master == domain.uuid else "regular"
        rows.append(
            (
                name,
                domain.type,
                role,
                f"{active}/{len(done.desired.hosts)}",
                free,
                domain.path,
                domain.uuid,
                notes,
            )
        )
    return rows


def _clusters(done: Pass) -> Rows:
    """Clusters: their hosts and VMs."""
    rows: Rows = []
    for name, cluster in done.desired.clusters.items():
        hosts = sum(1 for one in done.desired.hosts.values() if one.cluster == name)
        vms = sum(1 for one in done.desired.vms.values() if one.cluster == name)
        rows.append((name, str(hosts), str(vms), cluster.cpu_model or "-", cluster.machine or "-"))
    return rows


def _data_centers(done: Pass) -> Rows:
    """The data center itself."""
    desired = done.desired
    return [(desired.data_center.meta.id, str(len(desired.clusters)), str(len(desired.hosts)), str(len(desired.vms)), desired.data_center.uuid)]  # fmt: skip


LISTINGS: dict[str, tuple[Sequence[str], Sequence[str], Callable[[Pass], Rows]]] = {
    "vm": (("vm", "state", "host", "vcpus", "memory", "run policy", "uuid", "run", "notes"), ("uuid", "run", "run policy"), _vms),
    "host": (("host", "status", "guests", "memory", "address", "cluster", "uuid", "agent", "notes"), ("uuid", "agent"), _hosts),
    "disk": (("disk", "state", "size", "taken", "format", "allocation", "domain", "uuid"), ("uuid", "allocation"), _disks),
    "network": (("network", "bridge", "mtu", "hosts"), (), _networks),
    "storagedomain": (("domain", "type", "role", "hosts", "free", "path", "uuid", "notes"), ("uuid",), _storage),
    "cluster": (("cluster", "hosts", "vms", "cpu model", "machine"), (), _clusters),
    "datacenter": (("data center", "clusters", "hosts", "vms", "uuid"), (), _data_centers),
}  # fmt: skip
LISTINGS["virtualmachine"] = LISTINGS["vm"]
LISTINGS["logicalnetwork"] = LISTINGS["network"]
LISTINGS["sd"] = LISTINGS["storagedomain"]
