"""Open orders lock their object; the mark of an object's last order changes with every order."""

from dataclasses import replace

from .estate import answer, disk_record, observe, off, order, pool, read, record, silent, state


def marks(*ledgers, vms=(), disks=(), pool_order=""):
    hosts = [answer(f"h{n}", orders=tuple(orders)) for n, orders in enumerate(ledgers, 1)]
    master = read("main", *vms, disks=disks, pool=replace(pool("h1"), last_order=pool_order))
    return observe(hosts, [master]).last_orders


def done(key, obj="vm/web"):
    return order(key, "set-vm-memory", obj)


def test_accepted_running_and_unknown_orders_lock_their_object():
    orders = [order(f"k-{status}", "pause-vm", f"vm/{status}", status) for status in
              ("accepted", "running", "unknown", "succeeded", "failed", "revoked")]  # fmt: skip
    assert list(observe([answer("h1", orders=tuple(orders))]).open_orders) == [
        "vm/accepted",
        "vm/running",
        "vm/unknown",
    ]


def test_of_several_open_orders_the_unknown_one_is_shown():
    one = answer("h1", orders=(order("a", "pause-vm", "vm/web", "running"),))
    other = answer("h2", orders=(order("b", "start-vm", "vm/web", "unknown"),))
    shown = observe([one, other]).open_orders["vm/web"]
    assert (shown.host, shown.key) == ("host/h2", "b")


def test_an_open_order_of_a_silent_host_locks_until_the_host_is_proven_off():
    last = state("h2", orders=(order("a", "start-vm", "vm/web", "running"),))
    assert "vm/web" in observe([answer("h1"), silent("h2", last)]).open_orders
    assert observe([answer("h1"), silent("h2", last)], proofs=[off("h2")]).open_orders == {}


def test_one_key_everywhere_is_the_mark():
    assert marks([done("k1")], [done("k1")], vms=[record("web", last_order="k1")]) == {"vm/web": "k1"}


def test_a_record_alone_gives_the_mark():
    found = marks(vms=[record("web", last_order="k1")], disks=[disk_record("d1", last_order="k2")])
    assert found == {}
    found = marks(
        [], vms=[record("web", last_order="k1")], disks=[disk_record("d1", last_order="k2")], pool_order="k3"
    )
    assert found == {"dc/home": "k3", "disk/d1": "k2", "vm/web": "k1"}


def test_every_new_order_changes_the_mark():
    vms = [record("web", last_order="k1")]
    seen = [
        marks([], [], vms=vms),
        marks([done("k1")], [], vms=vms),
        marks([done("k2")], [], vms=vms),
        marks([done("k2")], [done("k3")], vms=vms),
        marks([done("k4")], [done("k3")], vms=vms),
        marks([done("k4")], [done("k3")], vms=[record("web", last_order="k5")]),
    ]
    assert seen[0] == seen[1]
    assert len({one["vm/web"] for one in seen}) == 5


def test_the_mark_does_not_depend_on_who_reports_which_key():
    assert marks([done("k1")], [done("k2")]) == marks([done("k2")], [done("k1")])


def test_a_tombstone_below_the_present_incarnation_gives_no_mark():
    dead = record("old", obj="vm/web", removed=True, last_order="k1")
    assert marks([], vms=[dead, record("web", incarnation=2, last_order="k2")]) == {"vm/web": "k2"}
