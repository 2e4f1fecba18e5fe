"""Host ids of the storage pool: who is given one, and who gives it back."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from nodeagent.wire.facts import HostState
from reconciler.model.change import Blocked, Deferred
from reconciler.model.reports import HostOffProof, HostReport
from reconciler.pipeline import Pass, run_pass
from tests.laws.estates import EstateSpec, HostSpec, VmSpec, build
from tests.laws.worlds import OPTIONS
from tests.scenarios.events import made_up_uuid, master
from tests.scenarios.stage import Stage, make_stage

THREE = build(EstateSpec((HostSpec(8), HostSpec(8), HostSpec(8)), (VmSpec(0),), networks=1, domains=1))
GONE = replace(THREE, hosts={name: one for name, one in THREE.hosts.items() if name != "host/h3"})
H3 = THREE.hosts["host/h3"].uuid
Edit = Callable[[HostState], HostState]


def converged() -> Stage:
    stage = make_stage(THREE)
    stage.converge(THREE, OPTIONS)
    return stage


def is_given_back(done: Pass) -> bool:
    """Whether the plan takes the third host's id."""
    return any(
        step.kind == "write-pool-record" and H3 not in step.args["record"]["host_ids"]
        for step in done.plan.steps
    )


def look(stage: Stage, edit: Edit | None, *proofs: HostOffProof) -> Pass:
    """A pass without the third host's manifest. edit: of what it answers all the same; None: it is not asked."""
    reports = stage.observe(THREE)
    hosts = tuple(one for one in reports.hosts if one.host != "host/h3")
    if edit is not None:
        state = next(one.state for one in reports.hosts if one.host == "host/h3")
        assert state is not None
        hosts += (HostReport(f"host/{H3}", H3, "answering", state=edit(state)),)
    return run_pass(GONE, replace(reports, hosts=hosts, proofs=proofs), None, OPTIONS)


def let_go(state: HostState) -> HostState:
    return replace(state, maintenance=True, storage=())


def test_a_host_without_a_manifest_keeps_its_id_while_nobody_knows_whether_it_is_off():
    assert not is_given_back(look(converged(), None))


def test_a_host_without_a_manifest_that_is_proven_off_gives_its_id_back():
    assert is_given_back(look(converged(), None, HostOffProof(H3, "confirmed")))


def test_a_host_without_a_manifest_that_let_go_of_storage_in_maintenance_gives_its_id_back():
    assert is_given_back(look(converged(), let_go))


@pytest.mark.parametrize(
    "edit",
    [
        lambda state: replace(state, storage=()),
        lambda state: replace(state, maintenance=True),
        lambda state: replace(let_go(state), guests_complete=False),
        lambda state: replace(let_go(state), processes=(made_up_uuid("stray"),)),
    ],
    ids=["not in maintenance", "still connected", "guests not listed", "a stray process"],
)
def test_a_host_that_may_still_use_storage_keeps_its_id(edit: Edit):
    assert not is_given_back(look(converged(), edit))


def test_a_host_that_an_open_run_names_keeps_its_id_though_it_counts_as_off():
    stage = converged()
    ((uuid, record),) = master(stage).vms.items()
    assert record.run is not None
    named = (stage.world.hosts["host/h3"].run_host(),)
    master(stage).vms[uuid] = replace(record, run=replace(record.run, hosts=(*record.run.hosts, *named)))

    assert not is_given_back(look(stage, None, HostOffProof(H3, "confirmed")))


def test_no_id_is_given_back_while_a_record_cannot_be_read():
    stage = converged()
    stage.damaged[master(stage).uuid] = set(master(stage).vms)

    assert not is_given_back(look(stage, None, HostOffProof(H3, "confirmed")))


def test_a_declared_host_keeps_its_id_though_it_is_proven_off():
    stage = converged()
    stage.world.power_off("host/h3")
    stage.proofs.append(HostOffProof("host/h3", "confirmed"))

    plan = stage.plan(THREE, OPTIONS).plan

    assert not any(step.kind == "write-pool-record" for step in plan.steps)


def newcomer(stage: Stage) -> None:
    """The third host has never been here."""
    domain = master(stage)
    assert domain.pool is not None
    ids = {uuid: number for uuid, number in domain.pool.host_ids.items() if uuid != H3}
    domain.pool = replace(domain.pool, host_ids=ids)
    host = stage.world.hosts["host/h3"]
    host.host_id = None
    host.connected.clear()


def said_of_third(done: Pass) -> list[Blocked | Deferred]:
    return [one for one in (*done.plan.blocked, *done.plan.deferred) if one.object == "host/h3"]


def unread_pool(stage: Stage) -> None:
    newcomer(stage)
    stage.unread.add(master(stage).uuid)


def test_a_new_host_waits_while_the_pool_cannot_be_read_and_others_hold_ids():
    stage = converged()
    unread_pool(stage)

    (found,) = said_of_third(stage.plan(THREE, OPTIONS))

    assert isinstance(found, Deferred)
    assert "cannot be given a host id" in found.reason


def test_a_new_host_is_blocked_if_the_pool_cannot_be_read_and_nobody_holds_an_id():
    stage = converged()
    unread_pool(stage)
    for host in stage.world.hosts.values():
        host.host_id = None

    (found,) = said_of_third(stage.plan(THREE, OPTIONS))

    assert isinstance(found, Blocked)
    assert "connected to storage before" in found.action


def test_hosts_keep_the_ids_that_they_remember_where_the_pools_record_was_lost():
    stage = converged()
    domain = master(stage)
    assert domain.pool is not None
    ids = {uuid: 40 + number for uuid, number in domain.pool.host_ids.items()}
    for host in stage.world.hosts.values():
        host.host_id = ids[host.uuid]
    domain.pool = None

    (write,) = [step for step in stage.plan(THREE, OPTIONS).plan.steps if step.kind == "write-pool-record"]

    assert write.args["record"]["host_ids"] == ids


def test_a_host_that_may_have_made_the_pool_while_it_was_silent_to_the_others_keeps_its_id_to_itself():
    stage = make_stage(THREE)
    stage.world.cut("host/h1")

    (write,) = [step for step in stage.plan(THREE, OPTIONS).plan.steps if step.kind == "write-pool-record"]

    ids = {THREE.hosts[name].uuid: number for number, name in enumerate(THREE.hosts, 1)}
    assert write.args["record"]["host_ids"] == {
        uuid: number for uuid, number in ids.items() if uuid != THREE.hosts["host/h1"].uuid
    }
