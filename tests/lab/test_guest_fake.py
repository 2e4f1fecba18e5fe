"""The fake hypervisor answers as the real one: the same story is told to both, and both must agree with it."""

from collections.abc import Iterator
from typing import Any

import pytest

from nodeagent.drivers.libvirt_errors import GuestNotFoundError
from nodeagent.errors import DriverError
from nodeagent.guestxml.metadata import GuestMetadata, metadata_xml
from nodeagent.guestxml.place import GuestPlace
from nodeagent.guestxml.reading import read_guest
from nodeagent.guestxml.writing import write_domain
from tests.lab.guest_hosts import GuestHost, make_guest, make_nic, open_host, wait_until
from tests.unit.nodeagent.guest.fake_hypervisor import FakeHypervisor


@pytest.fixture(params=["fake", "real"])
def hypervisor(request, bare_lab, tmp_path) -> Iterator[Any]:
    if request.param == "fake":
        yield FakeHypervisor()
        return
    host: GuestHost = open_host(bare_lab, "h1", tmp_path / "state")
    yield host.host.hypervisor
    for row in host.host.hypervisor.list_guests():
        host.host.hypervisor.destroy(row.uuid)
    host.host.hypervisor.close()
    host.host.storage.close()


def test_a_guests_life_is_told_alike(hypervisor, bare_lab):
    events = []
    hypervisor.listen(events.append)
    config = make_guest(nics=(make_nic(1),))
    vm = config.uuid
    (bare_lab.directory / "console").mkdir(exist_ok=True)
    place = GuestPlace(
        "tcg", {}, bare_lab.directory / "console" / "fake.log", bare_lab.directory, bare_lab.directory
    )
    xml = write_domain(config, place)

    assert not hypervisor.is_running(vm)
    for call in (
        hypervisor.domain_xml,
        hypervisor.suspend,
        hypervisor.is_persistent,
        hypervisor.guest_state,
        hypervisor.job_progress,
    ):
        with pytest.raises(GuestNotFoundError):
            call(vm)
    hypervisor.destroy(vm)
    hypervisor.create(vm, xml)
    with pytest.raises(DriverError):
        hypervisor.create(vm, xml)

    assert hypervisor.is_running(vm)
    assert not hypervisor.is_persistent(vm)
    assert vm in hypervisor.list_processes()
    assert hypervisor.guest_state(vm) == ("running", "")
    assert hypervisor.job_progress(vm).kind == "none"
    row = next(row for row in hypervisor.list_guests() if row.uuid == vm)
    assert (row.name, row.running, row.state, row.persistent) == (vm, True, "running", False)
    reading = read_guest(row.xml)
    assert reading.config.nics[0].pci == "0000:01:00.0"

    hypervisor.suspend(vm)
    assert hypervisor.guest_state(vm) == ("paused", "user")
    hypervisor.resume(vm)
    hypervisor.set_metadata(vm, metadata_xml(GuestMetadata(config, (("a/b", "c"),))))
    assert read_guest(hypervisor.domain_xml(vm)).metadata == GuestMetadata(config, (("a/b", "c"),))
    with pytest.raises(DriverError):
        hypervisor.create(vm, xml)

    hypervisor.destroy(vm)
    assert wait_until(lambda: vm not in hypervisor.list_processes())
    assert not hypervisor.is_running(vm)
    assert wait_until(lambda: ("stopped", vm, "destroyed") in [(e.kind, e.uuid, e.detail) for e in events])
    assert ("started", vm) in [(e.kind, e.uuid) for e in events]
