"""A configuration becomes domain XML and is read back unchanged; the exact XML of a few is kept to look at."""

import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from nodeagent.guestxml.metadata import GuestMetadata, metadata_element
from nodeagent.guestxml.place import GuestXmlError
from nodeagent.guestxml.reading import read_guest
from nodeagent.guestxml.writing import write_domain
from nodeagent.wire.guest import CdromConfig, KernelBoot
from tests.unit.nodeagent.guest.samples import OLD_PC, PLAIN, SECURE, SERVER, disk, guest, guests, place_for

GOLDEN = Path(__file__).parent / "golden"


@settings(max_examples=200, deadline=None)
@given(guests())
def test_any_guest_is_read_back_as_it_was_written(config):
    reading = read_guest(write_domain(config, place_for()))

    assert reading.config == config
    assert reading.managed


@pytest.mark.parametrize(
    ("name", "config"), [("plain", PLAIN), ("server", SERVER), ("secure", SECURE), ("old-pc", OLD_PC)]
)
def test_the_xml_of_a_guest_is_as_kept(name, config):
    text = write_domain(config, place_for()) + "\n"
    if os.environ.get("OSTLER_ACCEPT_GOLDEN"):
        (GOLDEN / f"{name}.xml").write_text(text)

    assert text == (GOLDEN / f"{name}.xml").read_text()


def test_the_same_guest_gives_the_same_bytes_again():
    assert write_domain(SERVER, place_for()) == write_domain(SERVER, place_for())


def test_kvm_is_used_only_where_the_host_can():
    assert 'type="kvm"' in write_domain(PLAIN, place_for(accelerator="kvm"))
    assert 'type="qemu"' in write_domain(PLAIN, place_for())


def test_an_unconnected_storage_domain_is_named():
    config = guest(disks=(disk(1, storage_domain="00000000-0000-4000-8000-000000000009"),))

    with pytest.raises(GuestXmlError, match="00000000-0000-4000-8000-000000000009 is not connected"):
        write_domain(config, place_for())


def test_uefi_without_a_place_for_its_variables_is_refused():
    with pytest.raises(GuestXmlError, match="place for its variables"):
        write_domain(SECURE, replace(place_for(), nvram=None))


def test_a_kernel_line_with_line_breaks_is_refused():
    with pytest.raises(GuestXmlError, match="cmdline"):
        write_domain(guest(kernel=KernelBoot("/boot/k", None, "a\nb")), place_for())


def test_values_changed_while_running_are_read_from_the_xml_and_not_from_our_metadata():
    xml = write_domain(SERVER, place_for())
    xml = xml.replace('<currentMemory unit="KiB">1048576', '<currentMemory unit="KiB">524288')
    xml = xml.replace('current="2">8', 'current="6">8')
    xml = xml.replace('<link state="down"', '<link state="up"').replace('bridge="br0"', 'bridge="br7"')
    xml = (
        xml.replace("debian-12.iso", "other.iso", 1)
        if xml.index("debian-12.iso") > xml.index("</metadata>")
        else (
            xml[: xml.index("</metadata>")]
            + xml[xml.index("</metadata>") :].replace("debian-12.iso", "other.iso")
        )
    )

    reading = read_guest(xml, {"br7": "net/seven"})

    assert reading.config.memory.current_bytes == 512 * 1024 * 1024
    assert reading.config.cpu.sockets == 3
    assert [nic.link for nic in reading.config.nics] == ["up", "up"]
    assert (reading.config.nics[0].bridge, reading.config.nics[0].network) == ("br7", "net/seven")
    assert reading.config.cdrom == CdromConfig(SERVER.cdrom.storage_domain, "other.iso")


def test_a_bridge_that_nobody_declared_gives_a_network_of_its_name():
    xml = write_domain(SERVER, place_for()).replace('<source bridge="br0"', '<source bridge="Virbr_9"')

    assert read_guest(xml).config.nics[0].network == "net/virbr-9"


def test_digests_of_applied_secrets_are_kept_beside_the_configuration():
    xml = write_domain(SERVER, place_for())
    start, end = xml.index("<ostler:domain"), xml.index("</metadata>")
    element = ET.tostring(
        metadata_element(GuestMetadata(SERVER, (("consoles/web-1", "cafe"),))), encoding="unicode"
    )

    reading = read_guest(xml[:start] + element + xml[end:])

    assert reading.metadata.secrets == (("consoles/web-1", "cafe"),)
    assert reading.config == SERVER


@pytest.mark.parametrize(
    "document",
    [
        "",
        "<domain",
        "<network><uuid>x</uuid></network>",
        "<domain/>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><domain/>",
    ],
)
def test_what_is_no_domain_is_refused(document):
    with pytest.raises(GuestXmlError):
        read_guest(document)
