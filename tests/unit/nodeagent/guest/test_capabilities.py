"""Capabilities come from libvirt's documents, and KVM counts only where it really ran something."""

from pathlib import Path

import pytest

from nodeagent.errors import DriverError
from nodeagent.facts.capabilities import (
    Capabilities,
    parse_capabilities,
    parse_domain_capabilities,
    read_generations,
)
from nodeagent.operations.contract import HostPaths
from tests.unit.nodeagent.guest.fake_hypervisor import FakeHypervisor

HOST = """<capabilities><host><cpu><vendor>AMD</vendor></cpu><topology><cells num='2'>
  <cell id='0'><memory unit='KiB'>1024</memory><cpus num='2'>
    <cpu id='0' socket_id='0' die_id='0' core_id='0' siblings='0-1'/><cpu id='1' socket_id='0' die_id='0' core_id='0'/></cpus></cell>
  <cell id='1'><memory unit='KiB'>2048</memory><cpus num='2'>
    <cpu id='2' socket_id='1' die_id='0' core_id='0'/><cpu id='3' socket_id='1' die_id='0' core_id='1'/></cpus></cell>
  </cells></topology></host>
  <guest><arch name='i686'><emulator>/usr/bin/qemu-system-i386</emulator></arch></guest>
  <guest><arch name='x86_64'><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <machine>pc-q35-7.2</machine><machine canonical='pc-q35-7.2'>q35</machine><machine>pc-q35-2.10</machine>
    <machine>pc-i440fx-7.2</machine><machine canonical='pc-i440fx-7.2'>pc</machine><machine>microvm</machine>
    <machine>pc-q35-rhel9.2.0</machine></arch></guest></capabilities>"""

GUEST = """<domainCapabilities><os supported='yes'><loader supported='yes'>
    <enum name='type'><value>rom</value><value>pflash</value></enum></loader></os>
  <cpu><mode name='custom' supported='yes'>
    <model usable='yes' vendor='AMD'>EPYC</model><model usable='no' vendor='AMD'>EPYC-Milan</model>
    <model usable='yes' vendor='Intel'>Haswell</model><model usable='yes' vendor='AMD'>Opteron_G3</model>
    <model usable='yes' vendor='unknown'>qemu64</model></mode></cpu>
  <devices><tpm supported='yes'><enum name='model'><value>tpm-crb</value></enum>
    <enum name='backendModel'><value>emulator</value></enum></tpm></devices></domainCapabilities>"""

GENERATIONS = {"qemu64": 0, "Haswell": 1, "Opteron_G3": 2, "EPYC": 3, "EPYC-Milan": 4}


def test_the_host_is_counted():
    host = parse_capabilities(HOST)

    assert (host.memory_bytes, host.threads, host.cores, host.sockets) == (3 * 1024 * 1024, 4, 3, 2)
    assert (host.vendor, host.emulator) == ("AMD", "/usr/bin/qemu-system-x86_64")


def test_only_versioned_machines_count_oldest_first():
    host = parse_capabilities(HOST)

    assert host.machines == ("pc-i440fx-7.2", "pc-q35-2.10", "pc-q35-7.2", "pc-q35-rhel9.2.0")
    assert host.default_machine == "pc-q35-7.2"


def test_usable_cpu_models_come_with_the_hosts_newest_last():
    guest = parse_domain_capabilities(GUEST, "AMD", GENERATIONS)

    assert guest.cpu_models == ("qemu64", "Haswell", "Opteron_G3", "EPYC")
    assert (guest.uefi, guest.tpm) == (True, True)


def test_a_host_without_devices_can_less():
    guest = parse_domain_capabilities("<domainCapabilities/>", "", {})

    assert (guest.cpu_models, guest.uefi, guest.tpm) == ((), False, False)


def test_what_is_no_document_is_an_error():
    with pytest.raises(DriverError, match="cannot be parsed"):
        parse_capabilities("<capabilities")


def test_generations_follow_libvirts_index(tmp_path: Path):
    index = tmp_path / "index.xml"
    index.write_text(
        "<cpus><arch name='x86'><include filename='x86_features.xml'/><include filename='x86_486.xml'/>"
        "<include filename='x86_EPYC.xml'/></arch></cpus>"
    )

    assert read_generations(index)["EPYC"] > read_generations(index)["486"]
    assert read_generations(tmp_path / "none.xml") == {}


class Asked(FakeHypervisor):
    def capabilities_xml(self) -> str:
        self._called("capabilities_xml")
        return HOST

    def domain_capabilities_xml(self, machine: str, virtualization: str) -> str:
        self.calls.append(f"{machine} {virtualization}")
        return GUEST


def capabilities(tmp_path: Path, works: bool, boot: str = "b1"):
    hypervisor, probes = Asked(), []
    paths = HostPaths(tmp_path, tmp_path)
    made = Capabilities(hypervisor, paths, boot, lambda emulator: probes.append(emulator) or works)
    return made, hypervisor, probes


@pytest.mark.parametrize(("works", "accelerator"), [(True, "kvm"), (False, "tcg")])
def test_what_runs_guests_is_found_out_once_a_boot(tmp_path, works, accelerator):
    first, hypervisor, probes = capabilities(tmp_path, works)
    assert first.read().kvm is works
    assert first.read().halts_to_migrate is not works
    assert hypervisor.accelerator == accelerator
    assert probes == ["/usr/bin/qemu-system-x86_64"]

    again, _, probes = capabilities(tmp_path, not works)
    assert again.read().kvm is works
    assert probes == []
    later, _, probes = capabilities(tmp_path, not works, "b2")
    assert later.read().kvm is not works
    assert len(probes) == 1


def test_libvirt_is_asked_anew_only_after_it_restarted(tmp_path):
    made, hypervisor, _ = capabilities(tmp_path, True)
    made.read()
    made.read()
    assert hypervisor.calls.count("capabilities_xml") == 1
    hypervisor.tell("connected", "")
    made.read()
    assert hypervisor.calls.count("capabilities_xml") == 2
