"""Real bridges and veth pairs, each test in a network namespace of its own (the thread's, gone with it)."""

import ctypes
import functools
import os
import threading
from types import SimpleNamespace

import pytest
from pyroute2 import IPRoute

from nodeagent.drivers.netlink import Links, objection_to_uplink
from nodeagent.errors import DriverError
from nodeagent.operations import network_create, network_remove, network_update
from nodeagent.operations.networks import restore_networks
from nodeagent.settings import Settings
from nodeagent.wire.arguments import CreateNetwork, RemoveNetwork, UpdateNetwork

CLONE_NEWNET = 0x40000000
LAN = CreateNetwork("net/lan", "lan0", 1500, "up0")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces")


def in_namespace(test):
    """Run a test on a thread that has its own network namespace, with two veth pairs up0/far0 and up1/far1."""

    @functools.wraps(test)
    def run(tmp_path):
        failures = []

        def work():
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
                with IPRoute() as route:
                    for number in (0, 1):
                        route.link("add", ifname=f"up{number}", kind="veth", peer=f"far{number}")
                test(SimpleNamespace(links=Links(), settings=Settings.load(tmp_path / "settings.json")))
            except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    del run.__wrapped__  # pytest is to see the signature of `run`
    return run


def carry_out(operation, host, arguments):
    objection = operation.check(host, arguments)
    assert objection is None, objection
    operation.run(host, arguments, None)
    assert operation.verify(host, arguments) is None
    assert operation.recover(host, arguments, None) is True


def add_tap(name, bridge):
    with IPRoute() as route:
        route.link("add", ifname=name, kind="tuntap", mode="tap")
        route.link("set", index=route.link_lookup(ifname=name)[0], master=route.link_lookup(ifname=bridge)[0])


def set_link(name, **changes):
    with IPRoute() as route:
        route.link("set", index=route.link_lookup(ifname=name)[0], **changes)


@in_namespace
def test_a_network_is_a_marked_bridge_with_its_uplink(host):
    carry_out(network_create.OPERATION, host, LAN)

    links = host.links.read()
    assert (links["lan0"].network, links["lan0"].up, links["lan0"].mtu) == ("net/lan", True, 1500)
    assert (links["up0"].master, links["up0"].up) == ("lan0", True)


@in_namespace
def test_making_a_network_twice_is_harmless(host):
    carry_out(network_create.OPERATION, host, LAN)
    index = host.links.read()["lan0"].index
    carry_out(network_create.OPERATION, host, LAN)

    assert host.links.read()["lan0"].index == index


@in_namespace
def test_a_network_without_uplink_joins_guests_of_one_host(host):
    carry_out(network_create.OPERATION, host, CreateNetwork("net/inner", "inner", 9000))

    assert host.links.read()["inner"].mtu == 9000


@in_namespace
def test_mtu_and_uplink_change_while_a_guest_is_plugged_in(host):
    carry_out(network_create.OPERATION, host, LAN)
    add_tap("vnet0", "lan0")

    carry_out(network_update.OPERATION, host, UpdateNetwork("net/lan", "lan0", 9000, "up0"))
    assert host.links.read()["up0"].mtu == 9000
    carry_out(network_update.OPERATION, host, UpdateNetwork("net/lan", "lan0", 1400, "up1"))

    links = host.links.read()
    assert (links["up0"].master, links["up1"].master, links["vnet0"].master) == (None, "lan0", "lan0")
    assert (links["lan0"].mtu, links["up1"].mtu) == (1400, 1400)


@in_namespace
def test_a_network_with_a_guest_plugged_in_is_not_removed(host):
    carry_out(network_create.OPERATION, host, LAN)
    add_tap("vnet0", "lan0")

    objection = network_remove.OPERATION.check(host, RemoveNetwork("net/lan", "lan0"))

    assert objection == "guests are plugged into lan0: vnet0"


@in_namespace
def test_removing_frees_the_uplink_and_is_harmless_twice(host):
    carry_out(network_create.OPERATION, host, LAN)
    carry_out(network_remove.OPERATION, host, RemoveNetwork("net/lan", "lan0"))
    carry_out(network_remove.OPERATION, host, RemoveNetwork("net/lan", "lan0"))

    links = host.links.read()
    assert "lan0" not in links
    assert links["up0"].master is None
    assert host.settings.networks == ()


@in_namespace
def test_a_bridge_of_somebody_else_is_neither_used_nor_removed(host):
    with IPRoute() as route:
        route.link("add", ifname="lan0", kind="bridge")

    assert "somebody else's" in network_create.OPERATION.check(host, LAN)
    assert "left alone" in network_remove.OPERATION.check(host, RemoveNetwork("net/lan", "lan0"))


@in_namespace
def test_a_bridge_of_another_network_is_not_used(host):
    carry_out(network_create.OPERATION, host, LAN)

    assert "the bridge of net/lan" in network_create.OPERATION.check(
        host, CreateNetwork("net/dmz", "lan0", 1500)
    )


@in_namespace
def test_nics_that_are_missing_or_in_use_are_refused(host):
    with IPRoute() as route:
        route.addr("add", index=route.link_lookup(ifname="up0")[0], address="192.0.2.1", prefixlen=24)
        route.link("add", ifname="br9", kind="bridge")
    set_link("up1", master=Links().read()["br9"].index)

    def objection(nic):
        return objection_to_uplink(host.links.read(), nic, "lan0")

    assert "carries the host's own address 192.0.2.1" in objection("up0")
    assert objection("up1") == "up1 is a port of br9"
    assert "there is no NIC up7; this host has far0, far1, up0, up1" in objection("up7")
    assert "leads nowhere" in objection("lo")
    assert "leads nowhere" in objection("br9")
    assert objection("far0") is None


@in_namespace
def test_a_bridge_that_was_made_but_not_marked_before_a_crash_is_taken_up_again(host):
    carry_out(network_create.OPERATION, host, LAN)
    set_link("lan0", ifalias="")

    assert network_create.OPERATION.recover(host, LAN, None) is False
    carry_out(network_create.OPERATION, host, LAN)


@in_namespace
def test_networks_are_made_again_after_a_boot(host):
    carry_out(network_create.OPERATION, host, LAN)
    host.links.remove_bridge("lan0")

    assert restore_networks(host) == ()
    assert network_create.OPERATION.verify(host, LAN) is None


@in_namespace
def test_a_network_that_cannot_be_made_again_is_told_and_the_others_are(host):
    carry_out(network_create.OPERATION, host, LAN)
    carry_out(network_create.OPERATION, host, CreateNetwork("net/inner", "inner", 1500))
    host.links.remove_bridge("lan0")
    host.links.remove_bridge("inner")
    with IPRoute() as route:
        route.link("del", index=route.link_lookup(ifname="up0")[0])

    faults = restore_networks(host)

    assert len(faults) == 1
    assert "there is no NIC up0" in faults[0]
    assert "inner" in host.links.read()


@in_namespace
def test_a_network_that_fails_half_way_leaves_nothing_behind(host):
    impossible = CreateNetwork("net/lan", "lan0", 70_000, "up0")

    with pytest.raises(DriverError, match="MTU"):
        network_create.OPERATION.run(host, impossible, None)

    links = host.links.read()
    assert "lan0" not in links
    assert links["up0"].master is None
    assert host.settings.networks == ()
