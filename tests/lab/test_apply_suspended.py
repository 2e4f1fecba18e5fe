"""Guests that stand still on real hosts: suspended with virsh, paused through Ostler, halted while they move."""

from tests.lab.apply_estate import SLOW_MIGRATION, Estate, finish, wait_for


def ask(estate: Estate, action: str, vm: str, *words: str) -> tuple[int, str]:
    done = estate.ostler("vm", action, vm, *words, "-f", str(estate.write()), "--yes")
    return done.status, done.out + done.err


def test_a_guest_suspended_with_virsh_is_told_and_one_paused_through_ostler_is_not(estate: Estate) -> None:
    vm = estate.declare_vm("suspended", placement={"hosts": ["h1", "h2"]}, disk=None)
    estate.apply()
    host = estate.home_of(vm)
    other = "h2" if host == "h1" else "h1"
    estate.virsh(host, "suspend", estate.uuid(vm))

    plan = wait_for(lambda: found if (found := estate.plan()[0]).drift else None, "the pause in the facts")
    assert (plan.steps, [one.object for one in plan.drift]) == ((), [vm])
    assert f"ostler vm resume {vm}" in estate.ostler("get", "vms", "-f", str(estate.write())).out
    status, said = ask(estate, "resume", vm)
    assert status == 0, said
    assert estate.virsh(host, "domstate", estate.uuid(vm)).strip() == "running"
    estate.assert_settled()

    assert ask(estate, "pause", vm)[0] == 0
    status, said = ask(estate, "migrate", vm, "--host", other)
    assert status == 0, said
    assert estate.virsh(other, "domstate", "--reason", estate.uuid(vm)).split() == ["paused", "(user)"]
    estate.assert_settled()


def test_a_guest_that_its_migration_halts_is_not_called_paused(estate: Estate) -> None:
    vm = estate.declare_vm("halted", placement={"hosts": ["h1"]})
    estate.change("cluster/main", migration=SLOW_MIGRATION)
    estate.apply()
    estate.change(vm, placement={"hosts": ["h2"]})
    moving = estate.apply_in_background()
    wait_for(lambda: "paused" in estate.virsh("h1", "domstate", estate.uuid(vm)), "the halt")

    status, said = ask(estate, "pause", vm)

    assert (status, "paused already" in said, "takes up no intents" in said) == (5, False, True), said
    finish(moving, (0, 3))
    estate.apply_until_settled()
    status, said = ask(estate, "pause", vm)
    assert status == 0, said
    assert estate.virsh("h2", "domstate", estate.uuid(vm)).strip() == "paused"
    estate.assert_settled()
