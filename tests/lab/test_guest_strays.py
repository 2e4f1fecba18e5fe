"""What an agent does about its guests by itself, on real libvirt and real records."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from nodeagent.drivers.libvirt_values import GuestEvent
from nodeagent.formats.vmrecords import claim_run, close_run, settle_run, write_vm_record
from nodeagent.strays import Strays
from nodeagent.wire.arguments import StartVm, StopVm
from nodeagent.wire.guest import GuestConfig
from nodeagent.wire.records import Run, RunHost, VmRecord
from tests.lab.guest_hosts import (
    DATA_CENTER,
    MASTER,
    GuestHost,
    make_disk,
    make_guest,
    open_host,
    start,
    wait_until,
)

ELSEWHERE = RunHost("99999999-0000-4000-8000-000000000001", "99999999-0000-4000-8000-000000000002")


@pytest.fixture(scope="module")
def pair(bare_lab, tmp_path_factory) -> Iterator[tuple[GuestHost, GuestHost]]:
    directory = tmp_path_factory.mktemp("strays")
    hosts = tuple(open_host(bare_lab, name, directory / name / "state") for name in ("h1", "h2"))
    yield hosts
    for host in hosts:
        for row in host.host.hypervisor.list_guests():
            host.host.hypervisor.destroy(row.uuid)
            host.host.hypervisor.undefine(row.uuid)
        host.host.hypervisor.close()
        host.host.storage.close()


def look(host: GuestHost) -> None:
    assert wait_until(lambda: all(domain.state == "active" for domain in host.host.storage.facts()))
    Strays(host.host, host.guests).look(lambda: None)


def myself(host: GuestHost) -> RunHost:
    return RunHost(host.host.uuid, host.host.boot_id)


def lead_away(host: GuestHost, config: GuestConfig) -> None:
    """Let the record say that the guest went on elsewhere."""
    place = host.host.storage.place(MASTER)
    claim_run(place, None, config.uuid, 2, (myself(host), ELSEWHERE), "k")
    settle_run(place, None, config.uuid, 2, (ELSEWHERE,))


def test_a_guest_whose_record_names_only_other_hosts_is_destroyed(pair):
    h1, _ = pair
    stray, honest = make_guest(), make_guest()
    start(h1, stray)
    start(h1, honest)
    lead_away(h1, stray)
    look(h1)

    assert h1.guest(stray.uuid) is None
    assert h1.guest(honest.uuid).state == "running"


def test_a_guest_whose_run_is_closed_or_older_in_the_record_is_left_alone(pair):
    h1, _ = pair
    config = make_guest()
    start(h1, config)
    close_run(h1.host.storage.place(MASTER), None, config.uuid, 1, "host-lost", False, "k")
    look(h1)

    assert h1.guest(config.uuid).state == "running"


def test_a_source_whose_agent_was_away_at_the_end_narrows_the_record(pair):
    h1, _ = pair
    moved, stayed = make_guest(), make_guest()
    for config in (moved, stayed):
        start(h1, config)
        claim_run(h1.host.storage.place(MASTER), None, config.uuid, 2, (myself(h1), ELSEWHERE), "k")
    h1.guest(moved.uuid)
    heard: list[GuestEvent] = []
    h1.host.hypervisor.listen(heard.append)
    h1.host.hypervisor.destroy(moved.uuid)
    assert wait_until(lambda: ("stopped", moved.uuid) in [(event.kind, event.uuid) for event in heard])
    h1.host.exits.hear(GuestEvent("stopped", moved.uuid, "migrated"))
    look(h1)

    assert h1.record(moved.uuid).run.hosts == (ELSEWHERE,)
    assert h1.record(stayed.uuid).run.hosts == (myself(h1),)
    assert h1.guest(stayed.uuid).config.run == 2
    assert moved.uuid not in [exit_.vm for exit_ in h1.host.exits.pending()]


def test_an_exit_is_forgotten_once_the_record_has_it(pair):
    h1, _ = pair
    config = make_guest()
    start(h1, config)
    h1.guest(config.uuid)
    h1.host.hypervisor.destroy(config.uuid)
    look(h1)
    assert config.uuid in [exit_.vm for exit_ in h1.host.exits.pending()]
    close_run(h1.host.storage.place(MASTER), None, config.uuid, 1, "destroyed", False, "k")
    look(h1)

    assert config.uuid not in [exit_.vm for exit_ in h1.host.exits.pending()]


def test_an_adopted_guest_becomes_managed_and_is_forgotten_by_libvirt_at_its_next_stop(pair):
    h1, _ = pair
    vm = "ab1c1c9e-65a4-4c1c-9b7c-0d2a54c1b6a2"
    path = h1.host.paths.state / "adopted.xml"
    path.write_text(
        f"""<domain type='qemu'><name>Old_One</name><uuid>{vm}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
        <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices>
        <interface type='bridge'><mac address='52:54:00:00:00:0a'/><source bridge='br0'/><model type='virtio'/>
        </interface></devices></domain>"""
    )
    assert h1.virsh("define", str(path)).returncode == 0
    assert h1.virsh("start", vm).returncode == 0
    record = VmRecord(
        uuid=vm,
        object="vm/old-one",
        data_center=DATA_CENTER,
        revision=1,
        incarnation=1,
        machine="pc-q35-7.2",
        cpu_model="qemu64",
        macs={"lan": "52:54:00:00:00:0a"},
        run=Run(1, (myself(h1),)),
    )
    write_vm_record(h1.host.storage.place(MASTER), None, record)
    assert not h1.guest(vm).managed
    look(h1)

    guest = h1.guest(vm)
    assert (guest.managed, guest.persistent, guest.config.object, guest.config.run) == (
        True,
        True,
        "vm/old-one",
        1,
    )
    assert guest.config.nics[0].name == "lan"
    h1.order(StopVm(MASTER, vm, 1, "destroy", 0, "stopped"))
    assert vm not in h1.virsh("list", "--all", "--uuid").stdout


def test_uefi_variables_follow_the_vm_to_another_host(pair):
    h1, h2 = pair
    config = make_guest(firmware="uefi", kernel=None, disks=(make_disk(h1.lab),))
    start(h1, config)
    h1.order(StopVm(MASTER, config.uuid, 1, "destroy", 0, "stopped"))
    variables = h1.host.storage.place(MASTER) / "master" / "firmware" / f"{config.uuid}.fd"
    identity = variables.stat().st_ino
    h2.order(StartVm(MASTER, replace(config, run=2)))

    assert str(variables) in h2.host.hypervisor.domain_xml(config.uuid)
    assert variables.stat().st_ino == identity


def test_a_guest_with_a_tpm_keeps_its_state_and_starts_nowhere_else(pair):
    h1, h2 = pair
    config = make_guest(tpm=True)
    start(h1, config)
    h1.order(StopVm(MASTER, config.uuid, 1, "destroy", 0, "stopped"))
    state = h1.lab.host("h1").outside(f"/var/lib/libvirt/swtpm/{config.uuid}/tpm2/tpm2-00.permall")
    kept = state.read_bytes()
    again = replace(config, run=2)

    assert "state of the guest's TPM is on host" in h2.refusal(StartVm(MASTER, again))
    h1.order(StartVm(MASTER, again))
    assert kept[:16] == state.read_bytes()[:16]
