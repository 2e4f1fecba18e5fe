"""A guest that somebody starts with virsh, of a VM that Ostler had stopped: its record learns of it, so that it is never
started a second time when its host falls silent."""

from reconciler.lab.inside import run_in
from reconciler.lab.network import cut_network, restore_network
from tests.lab.apply_estate import Estate, wait_for


def test_a_guest_started_by_hand_is_recorded_and_not_started_elsewhere(estate: Estate) -> None:
    vm = estate.declare_vm("hand", runPolicy="Manual")
    estate.apply()
    assert estate.ostler("vm", "start", vm, "-f", str(estate.write()), "--yes").status == 0
    host, uuid = estate.home_of(vm), estate.uuid(vm)
    xml = estate.virsh(host, "dumpxml", uuid)
    assert estate.ostler("vm", "stop", vm, "-f", str(estate.write()), "--yes").status == 0
    started = run_in(
        estate.lab, host, ["sh", "-c", "cat > /tmp/hand.xml && virsh create /tmp/hand.xml"], text_in=xml
    )
    assert started.returncode == 0, started

    plan, shown = estate.plan()
    assert [step.id for step in plan.steps] == [f"{vm}#update-record"], shown
    estate.apply()
    run = estate.record(vm).run
    assert run is not None
    assert run.closed is None
    wait_for(lambda: not estate.steps(), "the rest")

    estate.change(vm, runPolicy="Always")
    cut_network(estate.lab, host)
    try:
        plan, shown = estate.plan()
        assert [step for step in plan.steps if step.object == vm] == [], shown
        assert vm in [one.object for one in plan.blocked], shown
    finally:
        restore_network(estate.lab, host)
