"""update-nic, attach-nic and detach-nic: network cards of a running guest, known by their MAC address."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

from nodeagent.guestxml.devices import nic_element
from nodeagent.guestxml.place import GuestXmlError
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.operations.vm_devices import Find, device_xml, find_device, the_device, unplug
from nodeagent.operations.vm_living import as_found, living_config, refuse_absent, relabel_config
from nodeagent.operations.vm_places import keep_findings, open_record
from nodeagent.wire.arguments import AttachNic, DetachNic, UpdateNic
from nodeagent.wire.guest import GuestConfig, NicConfig


def card_with(mac: str) -> Find:
    """Finds a guest's card by its MAC address."""

    def find(domain: ET.Element) -> ET.Element | None:
        for card in domain.findall("devices/interface"):
            address = card.find("mac")
            if address is not None and address.get("address", "").lower() == mac:
                return card
        return None

    return find


def _living_nic(host: Host, vm: str, mac: str) -> NicConfig | None:
    return next((nic for nic in living_config(host, vm).nics if nic.mac == mac), None)


def _difference(host: Host, vm: str, wanted: NicConfig) -> str | None:
    """What the living card has otherwise; the address may be libvirt's choice."""
    found = _living_nic(host, vm, wanted.mac)
    if found is None:
        return f"the guest has no card {wanted.mac}"
    pci = found.pci if wanted.pci is None else wanted.pci
    return None if found == replace(wanted, pci=pci) else f"card {wanted.mac} is {found}"


def _keep(host: Host, vm: str, nic: NicConfig) -> None:
    """Note a card in the guest's metadata: its name and network are known nowhere else."""

    def change(config: GuestConfig) -> GuestConfig:
        known = [nic.mac for nic in config.nics]
        if nic.mac not in known:
            return replace(config, nics=(*config.nics, nic))
        return replace(config, nics=tuple(nic if old.mac == nic.mac else old for old in config.nics))

    relabel_config(host, vm, change)


def _check_update(host: Host, wanted: UpdateNic) -> str | None:
    before, after = wanted.before, wanted.after
    if replace(before, link=after.link, network=after.network, bridge=after.bridge, pci=after.pci) != after:
        return "only link state and network of a card change while the guest runs"
    absent = refuse_absent(host, wanted.vm)
    if absent is None and _living_nic(host, wanted.vm, after.mac) is None:
        return f"guest {wanted.vm} has no card {after.mac}"
    return absent


def _update(host: Host, wanted: UpdateNic, _control: Control) -> dict[str, Any]:
    card = the_device(host, wanted.vm, card_with(wanted.after.mac), f"card {wanted.after.mac}")
    source = card.find("source")
    if source is None or card.get("type") != "bridge":
        raise OperationError(f"card {wanted.after.mac} is on no bridge", "change it at the next start")
    source.set("bridge", wanted.after.bridge)
    link = card.find("link")
    (ET.SubElement(card, "link") if link is None else link).set("state", wanted.after.link)
    host.hypervisor.update_device(wanted.vm, device_xml(card))
    _keep(host, wanted.vm, wanted.after)
    return {}


def _check_attach(host: Host, wanted: AttachNic) -> str | None:
    absent = refuse_absent(host, wanted.vm)
    if absent is not None:
        return absent
    if _living_nic(host, wanted.vm, wanted.nic.mac) is not None:
        return _difference(host, wanted.vm, wanted.nic)
    try:
        nic_element(wanted.nic)
    except GuestXmlError as error:
        return str(error)
    return None


def _attach(host: Host, wanted: AttachNic, _control: Control) -> dict[str, Any]:
    records = open_record(host, wanted.master, wanted.vm)
    if find_device(host, wanted.vm, card_with(wanted.nic.mac)) is None:
        host.hypervisor.attach_device(wanted.vm, device_xml(nic_element(wanted.nic)))
    _keep(host, wanted.vm, wanted.nic)
    living = _living_nic(host, wanted.vm, wanted.nic.mac)
    if living is None:
        return {"pci": {wanted.nic.name: None}}
    keep_findings(records, (living,))
    return {"pci": {wanted.nic.name: living.pci}}


def _detach(host: Host, wanted: DetachNic, control: Control) -> dict[str, Any]:
    mac = wanted.nic.mac
    unplug(host, wanted.vm, card_with(mac), f"card {mac}", control)
    relabel_config(
        host,
        wanted.vm,
        lambda config: replace(config, nics=tuple(nic for nic in config.nics if nic.mac != mac)),
    )
    return {}


def _still_there(host: Host, wanted: DetachNic) -> str | None:
    found = find_device(host, wanted.vm, card_with(wanted.nic.mac))
    return None if found is None else f"the guest still has card {wanted.nic.mac}"


UPDATE: Operation[UpdateNic] = Operation(
    kind="update-nic",
    check=_check_update,
    run=_update,
    verify=lambda host, wanted: _difference(host, wanted.vm, wanted.after),
    recover=lambda host, wanted, _control: as_found(lambda: _difference(host, wanted.vm, wanted.after)),
)
ATTACH: Operation[AttachNic] = Operation(
    kind="attach-nic",
    check=_check_attach,
    run=_attach,
    verify=lambda host, wanted: _difference(host, wanted.vm, wanted.nic),
    recover=lambda host, wanted, _control: as_found(lambda: _difference(host, wanted.vm, wanted.nic)),
)
DETACH: Operation[DetachNic] = Operation(
    kind="detach-nic",
    check=lambda host, wanted: refuse_absent(host, wanted.vm),
    run=_detach,
    verify=_still_there,
    recover=lambda host, wanted, _control: as_found(lambda: _still_there(host, wanted)),
)
