"""Checks of a host against scenes that lack one thing each, and the real machine that runs the tests."""

import os
import socket
import ssl
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from nodeagent import check
from nodeagent.certificates import CertificatePaths, harden_context
from nodeagent.check import ALL_CHECKS, Scene, run_checks
from nodeagent.drivers import nicowners
from nodeagent.drivers.netlink import Link, Links
from nodeagent.errors import DriverError
from nodeagent.operations.contract import HostPaths
from nodeagent.wire.facts import HostCapabilities
from reconciler.pki.authority import create_authorities
from reconciler.pki.export import write_agent_files

HOST = "cafecafe-0000-4000-8000-000000000001"


class FakeHypervisor:
    def __init__(self):
        self.rows = []
        self.error = None
        self.versions = SimpleNamespace(libvirt="9.0.0", qemu="7.2.9")

    def version(self):
        if self.error is not None:
            raise self.error
        return self.versions

    def list_guests(self):
        if self.error is not None:
            raise self.error
        return tuple(self.rows)


def offering(*, kvm, halts=False):
    offer = HostCapabilities(2**33, 4, 4, 1, kvm, qemu="7.2.9", halts_to_migrate=halts)
    return SimpleNamespace(read=lambda: offer)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    directory = tmp_path_factory.mktemp("check")
    authorities = create_authorities(directory / "pki")
    write_agent_files(authorities.issue_agent("h1", HOST, ["127.0.0.1"]), directory / "h1")
    return CertificatePaths(directory / "h1")


@pytest.fixture
def scene(tmp_path, certificates):
    capabilities = offering(kvm=True)
    links = SimpleNamespace(read=lambda: {"eth1": Link(2, "eth1", "", 1500, True)})
    return Scene(
        HostPaths(tmp_path, tmp_path / "mounts"),
        certificates,
        "127.0.0.1",
        FakeHypervisor(),
        capabilities,
        links,
    )


def findings(scene, topic):
    return [(f.level, f.summary) for f in run_checks(scene, {topic: ALL_CHECKS[topic]})]


def test_a_host_without_working_kvm_is_warned_of(scene):
    assert findings(scene, "kvm") == []
    slow = replace(scene, capabilities=offering(kvm=False, halts=True))
    (level, summary), *_ = findings(slow, "kvm")
    assert level == "warning"
    assert "stand still while they migrate" in summary
    mended = replace(scene, capabilities=offering(kvm=False))
    assert "stand still" not in findings(mended, "kvm")[0][1]


def test_what_could_not_be_looked_at_is_not_called_ok(scene, tmp_path):
    def silent():
        raise DriverError("libvirtd does not answer")

    deaf = replace(scene, capabilities=SimpleNamespace(read=silent), certificates=CertificatePaths(tmp_path))
    deaf.hypervisor.error = DriverError("libvirtd does not answer")
    for topic in ("kvm", "autostart", "migration"):
        assert [level for level, text in findings(deaf, topic) if "is not known" in text] == ["warning"]


def test_missing_programs_are_errors_with_their_packages(scene, monkeypatch):
    monkeypatch.setattr(check.shutil, "which", lambda name: None if name in ("qemu-img", "swtpm") else "/x")

    found = run_checks(scene, {"programs": ALL_CHECKS["programs"]})

    assert [(f.level, f.summary.split()[0]) for f in found] == [("error", "qemu-img"), ("warning", "swtpm")]
    assert "qemu-utils" in found[0].action


def test_a_libvirtd_that_is_silent_or_too_old_is_an_error(scene):
    assert findings(scene, "libvirt") == []
    scene.hypervisor.versions = SimpleNamespace(libvirt="8.10.0", qemu="10.0.0")
    assert findings(scene, "libvirt") == [("error", "libvirt 8.10.0 is too old")]
    scene.hypervisor.error = DriverError("libvirtd does not answer")
    assert findings(scene, "libvirt") == [("error", "libvirtd does not answer")]


def test_whatever_else_starts_guests_is_an_error(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "_SYSTEMD", tmp_path)
    monkeypatch.setattr(check, "_GUESTS_UNITS", (tmp_path / "libvirt-guests.service",))
    scene.hypervisor.rows = [
        SimpleNamespace(name="ours", autostart=False),
        SimpleNamespace(name="theirs", autostart=True),
    ]
    assert findings(scene, "autostart") == [("error", "domain theirs starts with the host")]
    (tmp_path / "libvirt-guests.service").symlink_to("/nowhere")
    assert len(findings(scene, "autostart")) == 2


def test_space_that_runs_out_is_warned_of_before_it_is_an_error(scene, monkeypatch):
    for free_mib, level in ((2000, None), (500, "warning"), (10, "error")):
        status = SimpleNamespace(f_bavail=free_mib, f_frsize=1 << 20)
        monkeypatch.setattr(os, "statvfs", lambda _path, status=status: status)
        assert [found[0] for found in findings(scene, "space")] == ([level] if level else [])


def test_a_state_directory_that_is_not_made_yet_has_the_space_of_its_parent(scene, tmp_path, monkeypatch):
    fresh = replace(scene, paths=HostPaths(tmp_path / "var/lib/agent", tmp_path / "mounts"))
    monkeypatch.setattr(check, "LOW_BYTES", 0)
    monkeypatch.setattr(check, "SCARCE_BYTES", 0)
    assert findings(fresh, "space") == []


def test_a_clock_that_nobody_sets_is_warned_of(scene, monkeypatch):
    monkeypatch.setattr(check, "_kernel_clock_status", lambda: 0x40)
    assert [found[0] for found in findings(scene, "time")] == ["warning"]
    monkeypatch.setattr(check, "_kernel_clock_status", lambda: 0x2001)
    assert findings(scene, "time") == []


def test_the_kernels_clock_can_be_asked():
    assert check._kernel_clock_status() is not None


def test_nics_of_others_are_named(scene):
    links = {
        "lo": Link(1, "lo", "", 65536, True, loopback=True),
        "eth0": Link(2, "eth0", "", 1500, True, addresses=("192.0.2.1",)),
        "eth1": Link(3, "eth1", "", 1500, True, master="lan0"),
        "eth2": Link(4, "eth2", "", 1500, True, master="br9"),
        "eth3": Link(5, "eth3", "", 1500, True),
        "lan0": Link(6, "lan0", "bridge", 1500, True, alias="ostler:net/lan"),
        "br9": Link(7, "br9", "bridge", 1500, True),
    }
    named = findings(replace(scene, links=SimpleNamespace(read=lambda: links)), "nics")

    assert [text.split()[0] for _level, text in named] == ["eth0", "eth2"]


def test_a_host_without_a_nic_for_networks_is_warned_of(scene):
    links = {
        "eth0": Link(2, "eth0", "", 1500, True, addresses=("192.0.2.1",)),
        "veth1": Link(3, "veth1", "veth", 1500, True, master="docker0"),
        "docker0": Link(4, "docker0", "bridge", 1500, True),
    }
    named = findings(replace(scene, links=SimpleNamespace(read=lambda: links)), "nics")

    assert [text.split()[0] for _level, text in named] == ["eth0", "no"]


def test_nics_that_another_program_configures_are_named_with_it(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(nicowners, "NETWORK_MANAGER", tmp_path / "nm")
    monkeypatch.setattr(nicowners, "NETWORKD", tmp_path / "networkd")
    monkeypatch.setattr(nicowners, "PROC", tmp_path / "proc")
    for path, text in (
        ("nm/2", "[device]\nmanaged=true\n"),
        ("nm/3", "[device]\nmanaged=false\n"),
        ("networkd/3", "# private\nADMIN_STATE=configured\n"),
        ("networkd/4", "ADMIN_STATE=unmanaged\n"),
        ("proc/7/comm", "NetworkManager\n"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    links = {f"eth{index}": Link(index, f"eth{index}", "", 1500, True) for index in (2, 3, 4)}
    many = replace(scene, links=SimpleNamespace(read=lambda: links))

    assert [text.split(",")[0] for _level, text in findings(many, "nics")] == [
        "eth2 is in the hands of NetworkManager",
        "eth3 is in the hands of systemd-networkd",
    ]
    (tmp_path / "proc/7/comm").write_text("sleep\n")
    assert len(findings(many, "nics")) == 1


def test_certificates_that_are_missing_are_an_error(scene, tmp_path):
    assert findings(scene, "certificates") == []
    assert findings(replace(scene, certificates=CertificatePaths(tmp_path)), "certificates")[0][0] == "error"


def test_migration_needs_a_libvirtd_that_speaks_tls_with_this_hosts_certificate(
    scene, certificates, monkeypatch
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    context.load_verify_locations(certificates.agents_authority)
    harden_context(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(check, "MIGRATION_PORT", listener.getsockname()[1])

        def serve():
            for speaks_tls in (True, False):
                connection, _ = listener.accept()
                with connection:
                    if speaks_tls:
                        context.wrap_socket(connection, server_side=True).close()
                    else:
                        connection.sendall(b"220 this is no TLS\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        assert findings(scene, "migration") == []
        assert "is no TLS peer" in findings(scene, "migration")[0][1]
        thread.join(10)
    assert "Connection refused" in findings(scene, "migration")[0][1]


def test_a_check_that_cannot_be_made_is_an_error_itself(scene):
    def broken(_scene):
        raise DriverError("no permission")
        yield

    assert [found.summary for found in run_checks(scene, {"odd": broken})] == [
        "could not be checked: no permission"
    ]


def test_every_check_can_be_made_on_a_real_machine(scene):
    found = run_checks(replace(scene, links=Links()), ALL_CHECKS)

    assert {finding.topic for finding in found} <= set(ALL_CHECKS)
    assert not [finding for finding in found if "could not be checked" in finding.summary]
