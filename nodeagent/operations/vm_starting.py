"""Starting a guest: run claimed, QEMU started, read back, and what libvirt chose kept.

Used by start-vm and reboot-vm; the run is closed again only where provably no QEMU lives.
"""

import logging
from dataclasses import fields, replace
from typing import Any

from nodeagent.guestxml.checking import find_faults
from nodeagent.guestxml.place import GuestPlace, GuestXmlError
from nodeagent.guestxml.writing import write_domain
from nodeagent.host import Host
from nodeagent.operations.contract import Control, OperationError
from nodeagent.operations.vm_console import read_password, set_password
from nodeagent.operations.vm_living import is_gone, living_config, read_living
from nodeagent.operations.vm_places import (
    RecordPlace,
    keep_findings,
    open_record,
    place_of,
    prepare_directories,
    refuse_missing_files,
)
from nodeagent.wire.guest import GuestConfig
from nodeagent.wire.records import RunHost

LOG = logging.getLogger(__name__)

CLAIMED = "claimed"
LOOK = "observe this VM; see libvirt's log of it in /var/log/libvirt/qemu"


def objection_to_start(host: Host, config: GuestConfig, master: str) -> str | None:
    """What speaks against starting this guest here, all at once; None if nothing does."""
    if host.settings.maintenance:
        return "the host is in maintenance"
    faults = list(find_faults(config))
    try:
        write_domain(config, place_of(host, config, master))
    except GuestXmlError as error:
        faults.append(str(error))
    else:
        faults.extend(refuse_missing_files(host, config))
    if config.tpm:
        faults.extend(_tpm_elsewhere(host, config, master))
    return "; ".join(faults) or None


def _tpm_elsewhere(host: Host, config: GuestConfig, master: str) -> list[str]:
    """libvirt keeps a TPM's state on the host: elsewhere the guest would get an older one, or an empty one.

    It travels with a live migration only. A directory on shared storage in its place does not work with libvirt 9.0:
    a migration that fails deletes what is in it.
    """
    run = open_record(host, master, config.uuid).record.run
    if run is None or host.uuid in [runner.uuid for runner in run.hosts]:
        return []
    return [
        f"the state of the guest's TPM is on host {run.hosts[-1].uuid}, where it ran last: start it there"
    ]


def start_guest(host: Host, config: GuestConfig, master: str, control: Control) -> dict[str, Any]:
    """Start a guest as run config.run; gives `mac` and `pci` by card and `vnc_port`. Raises OperationError."""
    place = place_of(host, config, master)
    xml = _written(config, place)
    if config.vnc is not None and config.vnc.password in control.secrets:
        read_password(config.vnc.password, control)
    prepare_directories(place)
    records = open_record(host, master, config.uuid)
    records.claim(config.run, (RunHost(host.uuid, host.boot_id),), control.key)
    control.note(CLAIMED, config.run)
    try:
        host.hypervisor.create(config.uuid, xml)
    except OperationError as error:
        give_up_start(host, records, config, control.key, error)
    host.exits.running(config.uuid, config.run)
    return _finish(host, config, records, control)


def _written(config: GuestConfig, place: GuestPlace) -> str:
    try:
        return write_domain(config, place)
    except GuestXmlError as error:
        raise OperationError(str(error), "change the manifest") from error


def give_up_start(
    host: Host, records: RecordPlace, config: GuestConfig, key: str, error: OperationError
) -> None:
    """Close the claimed run if no QEMU can live, and raise `error`; else raise that the outcome is not known."""
    try:
        gone = error.settled and is_gone(host, config.uuid)
    except OperationError:
        gone = False
    if not gone:
        raise OperationError(f"{error.summary}; it may run all the same", LOOK, settled=False) from error
    records.close(config.run, "failed", key)
    raise OperationError(error.summary, error.action) from error


def _finish(host: Host, config: GuestConfig, records: RecordPlace, control: Control) -> dict[str, Any]:
    """Set the console's password, and keep and tell what libvirt chose."""
    reading = read_living(host, config.uuid)
    nics = reading.config.nics if reading.config is not None else ()
    keep_findings(records, nics, tuple(disk.name for disk in config.disks))
    if config.vnc is not None and config.vnc.password in control.secrets:
        set_password(host, config.uuid, config.vnc.password, control)
    return {
        "mac": {nic.name: nic.mac for nic in nics},
        "pci": {nic.name: nic.pci for nic in nics},
        "vnc_port": reading.vnc_port,
    }


def difference_to(host: Host, wanted: GuestConfig) -> str | None:
    """Which fields of the running guest are not as wanted; what libvirt may choose or reach later is left out."""
    found = living_config(host, wanted.uuid)
    given = {nic.mac: nic.pci for nic in wanted.nics}
    comparable = replace(
        found,
        memory=replace(found.memory, current_bytes=wanted.memory.current_bytes),
        nics=tuple(replace(nic, pci=given.get(nic.mac) and nic.pci) for nic in found.nics),
    )
    names = [field.name for field in fields(GuestConfig) if _differs(comparable, wanted, field.name)]
    return f"the guest differs in {', '.join(names)}" if names else None


def _differs(found: GuestConfig, wanted: GuestConfig, name: str) -> bool:
    return bool(getattr(found, name) != getattr(wanted, name))


def recover_start(host: Host, config: GuestConfig, master: str, control: Control) -> bool | None:
    """Whether the run of this order lives here; if surely not, its claim is closed. None if nobody can tell."""
    if not is_gone(host, config.uuid):
        config_here = living_config(host, config.uuid)
        host.exits.running(config.uuid, config_here.run)
        return config_here.run == config.run
    records = open_record(host, master, config.uuid)
    run = records.record.run
    mine = run is not None and run.number == config.run and [h.uuid for h in run.hosts] == [host.uuid]
    if run is not None and run.closed is None and mine:
        exits = {(exit_.vm, exit_.run): exit_.reason for exit_ in host.exits.pending()}
        records.close(config.run, exits.get((config.uuid, config.run), "failed"), control.key)
        host.exits.forget(config.uuid, config.run)
    return False
