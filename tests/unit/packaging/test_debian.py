"""Units and maintainer scripts of the packages: what removal keeps, what a purge takes, what ends with the agent."""

import configparser
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DEBIAN = ROOT / "deploy/debian"


def unit(name):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(ROOT / "deploy/systemd" / name)
    return parser


@pytest.fixture
def host(tmp_path):
    """Files as an installed agent leaves them, below a directory that stands for the host's root."""
    for path in (
        "etc/ostler/agent.yaml",
        "etc/ostler/pki/host.key",
        "etc/ostler/secrets/vnc/password",
        "var/lib/ostler-agent/ledger.db",
        "var/lib/ostler-agent/exits/1.life",
        "var/lib/ostler-agent/mounts/domain/images/disk",
        "var/log/ostler/console/vm.log",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    (tmp_path / "mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    return tmp_path


def run_postrm(host, action):
    script = (DEBIAN / "ostler-agent.postrm").read_text()
    for path in ("/etc/ostler", "/var/lib/ostler-agent", "/var/log/ostler", "/run/systemd/system"):
        script = script.replace(path, f"{host}{path}")
    script = script.replace("/proc/self/mountinfo", f"{host}/mountinfo")
    return subprocess.run(["sh", "-c", script, "postrm", action], check=True, capture_output=True, text=True)


def files_of(host):
    return {str(path.relative_to(host)) for path in host.rglob("*") if path.is_file()} - {"mountinfo"}


def test_removal_keeps_certificates_ledger_and_settings(host):
    before = files_of(host)
    run_postrm(host, "remove")
    assert files_of(host) == before


def test_a_purge_takes_the_agents_files_and_nobody_elses(host):
    said = run_postrm(host, "purge").stderr
    assert files_of(host) == {
        "etc/ostler/secrets/vnc/password",
        "var/lib/ostler-agent/mounts/domain/images/disk",
    }
    assert "holds files of others" in said


def test_a_purge_leaves_the_state_alone_while_a_domain_is_mounted_below_it(host):
    mount = f"40 22 0:50 / {host}/var/lib/ostler-agent/mounts/domain rw - nfs4 nas:/export rw\n"
    (host / "mountinfo").write_text(mount)
    said = run_postrm(host, "purge").stderr
    assert "var/lib/ostler-agent/ledger.db" in files_of(host)
    assert "unmount them" in said


@pytest.mark.parametrize("script", sorted(path.name for path in DEBIAN.iterdir()))
def test_maintainer_scripts_are_shell_that_stops_at_an_error(script):
    text = (DEBIAN / script).read_text()
    assert "\nset -e\n" in text
    subprocess.run(["sh", "-n", DEBIAN / script], check=True)


def test_the_end_of_the_agent_ends_no_mount_and_lets_qemu_through_to_its_disks():
    service = unit("ostler-agent.service")["Service"]
    assert service["KillMode"] == "process"
    assert service["StateDirectoryMode"] == "0711"
    assert not {"ProtectSystem", "PrivateTmp", "PrivateDevices", "PrivateMounts"} & set(service)


@pytest.mark.parametrize("name", ["ostler.service", "ostler-agent.service"])
def test_units_name_documentation_that_the_package_has(name):
    for url in unit(name)["Unit"]["Documentation"].split():
        path = url.removeprefix("file:///usr/share/doc/ostler/")
        assert (ROOT / path).is_file()
