"""`ostler lab`: hypervisor hosts on this machine, for trying Ostler out and for its tests."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.failures import CommandError
from reconciler.cli.home import Home, find_home
from reconciler.cli.output import ListFormat, ListOption, print_rows
from reconciler.cli.statuses import Status
from reconciler.lab.errors import LabRequestError
from reconciler.lab.lifecycle import bring_up, list_status, take_down
from reconciler.lab.model import DEFAULT_BRIDGE, DEFAULT_SUBNET, Lab, LabHost, plan_lab
from reconciler.lab.power import power_off, power_on
from reconciler.lab.state import read_lab
from reconciler.model.identity import host_uuid
from reconciler.model.names import Kind, object_id
from reconciler.pki.authority import create_authorities, load_authorities
from reconciler.pki.export import write_controller_files

QUICKSTART = "0b5c6a1e-7d3f-4c55-9e0a-3f1f6d2b8c47"
"""The data center of examples/manifests/quickstart."""

app = typer.Typer(
    no_args_is_help=True, help="Hypervisor hosts on this machine: own namespaces, libvirtd and agent each."
)


def register(root: typer.Typer) -> None:
    """Adds the commands."""
    root.add_typer(app, name="lab")


@app.command()
def up(
    hosts: Annotated[
        int, typer.Option("--hosts", min=1, max=10, help="How many: h1, h2, … at 198.51.100.11, .12, …")
    ] = 3,
    data_center: Annotated[
        str | None,
        typer.Option(
            "--data-center",
            metavar="UUID",
            help="The data center's spec.uuid: host uuids follow from it. Without it that of examples/quickstart.",
        ),
    ] = None,
    bridge: Annotated[
        str, typer.Option("--bridge", help="The bridge that connects the hosts.")
    ] = DEFAULT_BRIDGE,
    subnet: Annotated[str, typer.Option("--subnet", help="Where their addresses lie.")] = DEFAULT_SUBNET,
) -> int:
    """Make the lab, or what is missing of it: hosts with libvirt and agent, and shared storage."""
    home = find_home()
    wanted = _plan(home, hosts, data_center or QUICKSTART, bridge, subnet)
    if data_center is not None:
        _refuse_other_center(read_lab(home.lab), wanted, data_center)
    _provide_certificates(home)
    lab = bring_up(wanted)
    _show(lab, ListFormat.TABLE)
    kind = "KVM" if lab.kvm else "emulated guests (this machine cannot run KVM)"
    typer.echo(f"{len(lab.hosts)} hosts are up, with {kind}; `ostler lab down` removes them", err=True)
    return Status.DONE


def _plan(home: Home, hosts: int, data_center: str, bridge: str, subnet: str) -> Lab:
    """The lab that is asked for. Raises a usage error for one that cannot be."""
    command = (str(Path(sys.executable).parent / "ostler-agent"),)
    try:
        uuids = {f"h{n}": host_uuid(data_center, object_id(Kind.HOST, f"h{n}")) for n in range(1, hosts + 1)}
    except ValueError:
        raise typer.BadParameter(f"{data_center} is no uuid", param_hint="--data-center") from None
    try:
        return plan_lab(
            home.lab,
            hosts,
            bridge=bridge,
            subnet=subnet,
            host_uuids=uuids,
            agent_command=command,
            authorities=home.authorities,
        )
    except LabRequestError as error:
        said = "; ".join(f"{one.summary}; {one.detail}" for one in error.problems)
        raise typer.BadParameter(said) from error


def _refuse_other_center(found: Lab | None, wanted: Lab, data_center: str) -> None:
    """Ends the command where the lab's hosts belong to another data center: they keep their uuids while the lab lives."""
    uuids = {host.name: host.uuid for host in wanted.hosts}
    if found is not None and any(uuids.get(host.name, host.uuid) != host.uuid for host in found.hosts):
        raise CommandError(
            f"the lab was made for another data center than {data_center}; `ostler lab down` first, then up again",
            Status.REFUSED,
        )


@app.command()
def down() -> int:
    """Remove the lab: its hosts, guests, network and files."""
    gone = take_down(find_home().lab)
    typer.echo("the lab is gone" if gone else "there was no lab", err=True)
    return Status.DONE


@app.command()
def status(output: ListOption = ListFormat.TABLE) -> int:
    """List the lab's hosts."""
    lab = read_lab(find_home().lab)
    if lab is None:
        typer.echo("there is no lab; `ostler lab up` makes one", err=True)
        return Status.DONE
    _show(lab, output)
    return Status.DONE


@app.command()
def guests(output: ListOption = ListFormat.TABLE) -> int:
    """List running guests with what they say of themselves on their consoles: their own uptime and boot id."""
    rows = [row for host in _lab().hosts for row in _guests_of(_lab(), host)]
    print_rows(rows, ("guest", "host", "uptime", "boot", "cpus", "memory", "heartbeats"), output)
    return Status.DONE


def _guests_of(lab: Lab, host: LabHost) -> Iterator[tuple[str, ...]]:
    """The guests that libvirt lists on one host."""
    from reconciler.lab.guestlog import read_last_report
    from reconciler.lab.inside import run_in

    listed = run_in(lab, host.name, ["virsh", "list", "--title"])
    for line in listed.stdout.splitlines()[2:]:
        _, uuid, _, *title = line.split() or ("", "", "")
        if not uuid:
            continue
        report = read_last_report(host.outside(f"/var/log/ostler/console/{uuid}.log"))
        if report is None:
            yield (" ".join(title) or uuid, host.name, "-", "-", "-", "-", "-")
            continue
        beats = str(report.heartbeat.count) if report.heartbeat else "-"
        yield (" ".join(title) or uuid, host.name, f"{report.uptime_ms / 1000:.0f} s", report.boot[:8], str(report.cpus),
               f"{report.memory_kib // 1024} MiB", beats)  # fmt: skip


@app.command("power-off")
def switch_off(host: Annotated[str, typer.Argument(help="The host's name.")]) -> int:
    """Pull a host's plug: guests, libvirt and agent are gone at once."""
    power_off(_lab(), host)
    return Status.DONE


@app.command("power-on")
def switch_on(host: Annotated[str, typer.Argument(help="The host's name.")]) -> int:
    """Switch a host on again: another boot, without guests."""
    power_on(_lab(), host)
    return Status.DONE


@app.command("run", context_settings={"ignore_unknown_options": True})
def run(
    host: Annotated[str, typer.Argument(help="The host's name.")],
    command: Annotated[list[str], typer.Argument(help="A command inside the host, such as: virsh list")],
) -> int:
    """Run a command inside a host."""
    from reconciler.lab.inside import run_in

    result = run_in(_lab(), host, command)
    typer.echo(result.stdout, nl=False)
    typer.echo(result.stderr, nl=False, err=True)
    return result.returncode


def _lab() -> Lab:
    """The lab, or the end of the command."""
    lab = read_lab(find_home().lab)
    if lab is None:
        raise CommandError("there is no lab; `ostler lab up` makes one")
    return lab


def _provide_certificates(home: Home) -> None:
    """Authorities and this applier's certificate, where there are none yet."""
    if not home.authorities.exists():
        create_authorities(home.authorities)
    if not home.controller.exists():
        authorities = load_authorities(home.authorities)
        write_controller_files(authorities, authorities.issue_controller("ostler"), home.controller)


def _show(lab: Lab, output: ListFormat) -> None:
    """The table of hosts."""
    rows = [
        (
            one.name,
            "on" if one.pid else "off",
            one.address,
            "up" if one.libvirtd else "down",
            "up" if one.agent else "down",
            one.network,
            one.guests,
            one.uuid,
        )
        for one in list_status(lab)
    ]
    print_rows(
        rows,
        ("host", "power", "address", "libvirtd", "agent", "network", "guests", "uuid"),
        output,
        ("uuid",),
    )
