"""`ostler get`: what there is, declared and observed, one line an object."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer

from reconciler.cli.failures import CommandError
from reconciler.cli.loading import load_data_center
from reconciler.cli.naming import find_id, shown_names
from reconciler.cli.nearness import did_you_mean, listed
from reconciler.cli.output import Cell, ListFormat, ListOption, Share, print_rows
from reconciler.cli.passes import make_pass
from reconciler.cli.plan import DataCenterOption, PathsOption
from reconciler.cli.statuses import Status
from reconciler.diffing.space import is_low
from reconciler.model.observed import Presence
from reconciler.pipeline import Pass

Rows = list[tuple[Cell, ...]]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("get")(get)


def get(
    kind: Annotated[
        str, typer.Argument(help="vms, hosts, disks, networks, storagedomains (sd), clusters or datacenters.")
    ],
    name: Annotated[str | None, typer.Argument(help="One object, by id, name or spec.name.")] = None,
    file: PathsOption = [],  # noqa: B006  typer needs a list
    data_center: DataCenterOption = None,
    observed: Annotated[str | None, typer.Option("--observed", help="List offline.")] = None,
    output: ListOption = ListFormat.TABLE,
) -> int:
    """List objects with what is observed of them. Exits 1 if the named object does not exist."""
    listing = LISTINGS.get(kind.lower().removesuffix("s"))
    if listing is None:
        known = f"there is {', '.join(KINDS)}"
        near = did_you_mean(kind.lower(), [f"{one}s" for one in LISTINGS], known)
        raise typer.BadParameter(f"no kind {kind}; {near}", param_hint="KIND")
    if not file:
        raise typer.BadParameter("say which manifests: -f PATH", param_hint="--file")
    desired, _ = load_data_center(file, data_center)
    done = make_pass(desired, observed)
    rows = listing.rows_of(done)
    names = shown_names(desired)
    if name is not None:
        every = [str(row[0]) for row in rows]
        found = find_id(name, {one: names[one] for one in every}, every[0].partition("/")[0] if every else "")
        if found is None:
            near = did_you_mean(name, every, f"there is {listed(every)}")
            raise CommandError(f"no {kind} {name} is declared; {near}")
        rows = [row for row in rows if row[0] == found]
    named = [(row[0], names[str(row[0])], *row[1:]) for row in rows]
    columns = (listing.columns[0], "name", *listing.columns[1:])
    print_rows(named, columns, output, ("name", *listing.wide), listing.sizes)
    return Status.DONE


def _vms(done: Pass) -> Rows:
    """VMs: state, host, size (of those that run as observed), what is in the way, to be done or pending."""
    blocked = {one.object: one.reason for one in done.plan.blocked}
    alerts = {one.object: one.what for one in done.plan.alerts}
    drift = {one.object: f"{one.what}; {one.cause}" for one in done.plan.drift}
    waits = {one.object: one.reason for one in done.plan.deferred if not one.fields}
    pending = {
        one.object: ",".join(field.field for field in one.fields) for one in done.plan.deferred if one.fields
    }
    planned: dict[str, list[str]] = {}
    for step in done.plan.steps:
        planned.setdefault(step.object, []).append(step.id.partition("#")[2])
    rows: Rows = []
    for name, vm in done.desired.vms.items():
        seen = done.observed.vms.get(done.identities.vms[name])
        guest = seen.guest if seen else None
        unknown = Presence.UNKNOWN if done.observed.newcomer_evidence is None else Presence.NOT_RUNNING
        state = guest.state if guest else (seen.presence if seen else unknown).value
        uuid = done.identities.vms[name]
        run = seen.record.run if seen and seen.record else None
        notes = alerts.get(name) or blocked.get(name) or waits.get(name) or ""
        if not notes and name in planned:
            notes = f"to do: {', '.join(planned[name])}"
        notes = notes or drift.get(name, "")
        if not notes and name in pending:
            notes = f"pending: {pending[name]}"
        config = guest.config if guest else None
        vcpus = config.cpu.vcpus if config else vm.cpu.vcpus
        memory = config.memory.current_bytes if config else vm.memory_bytes
        rows.append(
            (name, state, (seen.host if seen else None) or None, vcpus, memory,
             vm.run_policy.value, uuid, run.number if run else None, notes)
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
        guests = len(state.guests) if state else None
        memory = state.capabilities.memory_bytes if state else None
        rows.append((name, status, guests, memory, f"{host.address}:{host.port}", host.cluster, host.uuid,
                     state.agent_version if state else None, alerts.get(name, "")))  # fmt: skip
    return rows


def _disks(done: Pass) -> Rows:
    """Disks: size and what they take."""
    rows: Rows = []
    for name, disk in done.desired.disks.items():
        seen = done.observed.disks.get(done.identities.disks[name])
        volume = seen.volume if seen else None
        state = "missing" if volume is None else "ok" if volume.legal else "half-made"
        taken = volume.actual_bytes if volume else None
        rows.append((name, state, disk.size_bytes, taken, disk.format, disk.allocation, disk.storage_domain,
                     done.identities.disks[name]))  # fmt: skip
    return rows


def _networks(done: Pass) -> Rows:
    """Networks: on how many hosts their bridge is."""
    rows: Rows = []
    for name, network in done.desired.networks.items():
        states = [one.state for one in done.observed.hosts.values() if one.state]
        present = sum(1 for state in states if any(one.network == name for one in state.networks))
        rows.append((name, network.bridge, network.mtu, Share(present, len(done.desired.hosts))))
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
        free = facts[0].free_bytes if facts else None
        notes = "low space" if is_low(domain, done.observed) else ""
        role = "master" if done.changes.master == domain.uuid else "regular"
        rows.append(
            (
                name,
                domain.type,
                role,
                Share(active, len(done.desired.hosts)),
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
        rows.append((name, hosts, vms, cluster.cpu_model, cluster.machine))
    return rows


def _data_centers(done: Pass) -> Rows:
    """The data center itself."""
    desired = done.desired
    counts = (len(desired.clusters), len(desired.hosts), len(desired.vms))
    return [(desired.data_center.meta.id, *counts, desired.data_center.uuid)]


@dataclass(frozen=True, slots=True)
class Listing:
    """How a kind is listed. wide: columns shown with `-o wide` only; sizes: those that hold bytes."""

    rows_of: Callable[[Pass], Rows]
    columns: tuple[str, ...]
    wide: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()


LISTINGS = {
    "vm": Listing(
        _vms,
        ("vm", "state", "host", "vcpus", "memory", "run policy", "uuid", "run", "notes"),
        ("uuid", "run", "run policy"),
        ("memory",),
    ),
    "host": Listing(
        _hosts,
        ("host", "status", "guests", "memory", "address", "cluster", "uuid", "agent", "notes"),
        ("uuid", "agent"),
        ("memory",),
    ),
    "disk": Listing(
        _disks,
        ("disk", "state", "size", "taken", "format", "allocation", "domain", "uuid"),
        ("uuid", "allocation"),
        ("size", "taken"),
    ),
    "network": Listing(_networks, ("network", "bridge", "mtu", "hosts")),
    "storagedomain": Listing(
        _storage, ("domain", "type", "role", "hosts", "free", "path", "uuid", "notes"), ("uuid",), ("free",)
    ),
    "cluster": Listing(_clusters, ("cluster", "hosts", "vms", "cpu model", "machine")),
    "datacenter": Listing(_data_centers, ("data center", "clusters", "hosts", "vms", "uuid")),
}
KINDS = tuple(f"{name}s" for name in LISTINGS)
"""As people write them."""
LISTINGS["virtualmachine"] = LISTINGS["vm"]
LISTINGS["logicalnetwork"] = LISTINGS["network"]
LISTINGS["sd"] = LISTINGS["storagedomain"]
