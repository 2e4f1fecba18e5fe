"""Second copies of VM records in simulated storage: there before a run counts, behind where they are out of reach."""

import pytest

from nodeagent.wire.records import VmRecord
from reconciler.simulation.host import SimulatedHost
from reconciler.simulation.records import open_records
from reconciler.simulation.storage import SimulatedStorage, SimulationFault

MASTER = "44444444-2222-4333-8444-555555555555"
SECOND = "55555555-2222-4333-8444-555555555555"
VM = "11111111-2222-4333-8444-555555555555"
RECORD = VmRecord(VM, "vm/web-1", MASTER, 1, 1, "pc-q35-7.2", "max", copy_domain=SECOND)


@pytest.fixture
def storage() -> dict[str, SimulatedStorage]:
    return {MASTER: SimulatedStorage(MASTER, True), SECOND: SimulatedStorage(SECOND, False)}


@pytest.fixture
def host() -> SimulatedHost:
    return SimulatedHost(
        "host/h1", "aaaaaaaa-2222-4333-8444-555555555555", connected={MASTER: True, SECOND: True}
    )


Storage = dict[str, SimulatedStorage]


def test_every_write_is_on_master_and_copy(storage: Storage, host: SimulatedHost):
    records = open_records(storage, host, MASTER)
    records.write(RECORD)
    records.claim_run(VM, 1, (host.run_host(),), "k")
    records.keep_findings(VM, {"eth0": "0000:01:00.0"})
    records.close_run(VM, 1, "shutdown", "k")
    records.bury(VM, 7, "k")

    assert storage[SECOND].vms == storage[MASTER].vms
    assert storage[SECOND].contents().vms[0].revision == 5


def test_nothing_is_opened_without_the_copys_domain_and_a_run_is_closed_all_the_same(
    storage: Storage, host: SimulatedHost
):
    records = open_records(storage, host, MASTER)
    records.write(RECORD)
    records.claim_run(VM, 1, (host.run_host(),), "k")
    del host.connected[SECOND]
    alone = open_records(storage, host, MASTER)
    alone.close_run(VM, 1, "shutdown", "k")

    with pytest.raises(SimulationFault, match="has to have a copy"):
        alone.claim_run(VM, 2, (host.run_host(),), "k")
    assert [one.vms[VM].revision for one in storage.values()] == [3, 2]


def test_records_are_out_of_reach_without_the_master(storage: Storage, host: SimulatedHost):
    del host.connected[MASTER]

    with pytest.raises(SimulationFault, match="not connected"):
        open_records(storage, host, MASTER)
