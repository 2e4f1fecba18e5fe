"""Hosts of a lab: each its own machine to whoever looks from inside, and under control from outside."""

import contextlib
import signal
import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.lab.errors import LabError
from reconciler.lab.inside import host_init, run_in
from reconciler.lab.lifecycle import HostStatus, bring_up, list_status
from reconciler.lab.model import LIBVIRT_TLS_PORT, Lab
from reconciler.lab.network import cut_network, restore_network
from reconciler.lab.power import power_off, power_on
from reconciler.lab.processes import end_process
from reconciler.lab.services import LIBVIRTD, signal_service, start_libvirtd
from reconciler.pki.authority import create_authorities, load_authorities

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def status_of(lab: Lab, name: str) -> HostStatus:
    return next(row for row in list_status(lab) if row.name == name)


def said(lab: Lab, name: str, *argv: str) -> str:
    done = run_in(lab, name, argv)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_each_host_has_its_own_name_boot_id_and_processes(bare_lab: Lab) -> None:
    assert [said(bare_lab, name, "hostname") for name in ("h1", "h2")] == ["h1", "h2"]
    boot_ids = {said(bare_lab, name, "cat", BOOT_ID) for name in ("h1", "h2")}
    assert len(boot_ids | {Path(BOOT_ID).read_text().strip()}) == 3
    assert len(said(bare_lab, "h1", "pidof", "libvirtd").split()) == 1


def test_libvirt_has_the_uuid_that_the_lab_gave(bare_lab: Lab) -> None:
    for host in bare_lab.hosts:
        assert f"<uuid>{host.uuid}</uuid>" in said(bare_lab, host.name, "virsh", "capabilities")


def test_hosts_do_not_see_a_kvm_that_cannot_run_guests(bare_lab: Lab) -> None:
    offered = "<domain type='kvm'/>" in said(bare_lab, "h1", "virsh", "capabilities")
    assert offered == bare_lab.kvm


def test_what_one_host_writes_beside_the_shared_storage_no_other_sees(bare_lab: Lab) -> None:
    for path in ("/etc/pki/x", "/var/lib/libvirt/x", "/srv/x", "/run/x", "/usr/share/x"):
        said(bare_lab, "h1", "touch", path)
        assert run_in(bare_lab, "h2", ["test", "-e", path]).returncode == 1
        assert not Path(path).exists()
        said(bare_lab, "h1", "rm", path)


def test_the_shared_storage_is_one_directory(bare_lab: Lab) -> None:
    said(bare_lab, "h1", "sh", "-c", "echo hello >/srv/ostler/shared/note")
    assert said(bare_lab, "h2", "cat", "/srv/ostler/shared/note") == "hello"
    (bare_lab.shared / "note").unlink()


def test_hosts_reach_each_other_by_name_and_only_with_a_certificate_of_the_lab(bare_lab: Lab) -> None:
    assert said(bare_lab, "h1", "virsh", "-c", "qemu+tls://h2/system", "hostname") == "h2"
    host = bare_lab.host("h2")
    context = ssl.create_default_context(cadata=load_authorities(bare_lab.authorities).agents.pem)
    context.check_hostname = False
    greeting = b""
    with (
        contextlib.suppress(ssl.SSLError, ConnectionError),
        socket.create_connection((host.address, LIBVIRT_TLS_PORT), timeout=5) as plain,
        context.wrap_socket(plain) as secure,
    ):
        greeting = secure.recv(1)
    assert greeting == b""  # libvirt greets those whom it trusts with the byte 1


def test_a_certificate_of_another_estate_is_refused(bare_lab: Lab, tmp_path: Path) -> None:
    stranger = create_authorities(tmp_path / "pki").issue_agent("h1", bare_lab.host("h1").uuid, [])
    for name, text in (("clientcert.pem", stranger.certificate_pem), ("clientkey.pem", stranger.key_pem)):
        (tmp_path / name).write_text(text)
    authority = load_authorities(bare_lab.authorities).agents.pem
    (tmp_path / "cacert.pem").write_text(authority)
    done = run_in(bare_lab, "h1", ["virsh", "-c", f"qemu+tls://h2/system?pkipath={tmp_path}", "hostname"])
    assert done.returncode != 0


def test_a_power_cut_gives_a_new_boot_id_and_leaves_the_other_host_alone(bare_lab: Lab) -> None:
    before, other = status_of(bare_lab, "h1"), status_of(bare_lab, "h2")
    power_off(bare_lab, "h1")
    off = status_of(bare_lab, "h1")
    power_on(bare_lab, "h1")
    after = status_of(bare_lab, "h1")

    assert (off.pid, off.libvirtd, off.network) == (None, False, "none")
    assert after.boot_id != before.boot_id
    assert after.libvirtd
    assert status_of(bare_lab, "h2") == other


def test_commands_in_a_host_that_is_off_are_refused(bare_lab: Lab) -> None:
    power_off(bare_lab, "h1")
    try:
        with pytest.raises(LabError, match="host/h1: the host is switched off"):
            run_in(bare_lab, "h1", ["true"])
    finally:
        power_on(bare_lab, "h1")


def test_a_cut_network_comes_back(bare_lab: Lab) -> None:
    address = (bare_lab.host("h1").address, LIBVIRT_TLS_PORT)
    cut_network(bare_lab, "h1")
    try:
        assert status_of(bare_lab, "h1").network == "cut"
        with pytest.raises(OSError, match=r"timed out|No route|unreachable"):
            socket.create_connection(address, timeout=0.3)
    finally:
        restore_network(bare_lab, "h1")
    socket.create_connection(address, timeout=5).close()


def test_up_again_changes_nothing_that_runs(bare_lab: Lab) -> None:
    before = list_status(bare_lab)
    assert bring_up(bare_lab) == bare_lab
    assert list_status(bare_lab) == before


def test_up_again_repairs_what_is_broken(bare_lab: Lab) -> None:
    init = host_init(bare_lab, "h1")
    assert init
    assert end_process(init)
    signal_service(bare_lab, "h2", LIBVIRTD, signal.SIGKILL)
    cut_network(bare_lab, "h2")
    bring_up(bare_lab)

    assert [(row.libvirtd, row.network) for row in list_status(bare_lab)] == [(True, "up")] * 2


def test_libvirtd_can_die_and_come_back_by_itself_alone(bare_lab: Lab) -> None:
    before = status_of(bare_lab, "h1")
    signal_service(bare_lab, "h1", LIBVIRTD, signal.SIGKILL)
    assert not status_of(bare_lab, "h1").libvirtd
    start_libvirtd(bare_lab, "h1")
    assert status_of(bare_lab, "h1") == before


def test_a_libvirtd_whose_driver_fails_has_not_started_and_says_why(bare_lab: Lab) -> None:
    settings = bare_lab.host("h1").outside("/etc/libvirt/qemu.conf")
    right = settings.read_text()
    signal_service(bare_lab, "h1", LIBVIRTD, signal.SIGKILL)
    settings.write_text('user = "nobody-of-this-name"\n')
    try:
        with pytest.raises(LabError, match="nobody-of-this-name"):
            start_libvirtd(bare_lab, "h1")
    finally:
        settings.write_text(right)
        start_libvirtd(bare_lab, "h1")


def test_another_bridge_for_a_lab_that_runs_is_refused(bare_lab: Lab) -> None:
    with pytest.raises(LabError, match="ostler lab down"):
        bring_up(replace(bare_lab, bridge="other0"))
