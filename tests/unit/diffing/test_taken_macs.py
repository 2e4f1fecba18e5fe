"""A MAC address that another VM has: assigned, declared or shown by its guest. No second VM gets it."""

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.model.desired import Desired, RunPolicy
from reconciler.model.plan import Plan
from tests.scenarios.events import made_up_uuid, master
from tests.scenarios.manifests import read_desired
from tests.scenarios.stage import Stage, make_stage

VM = """apiVersion: ostler.dev/v1alpha1
kind: VirtualMachine
metadata: {{name: {name}}}
spec: {{cluster: main, memory: 512Mi, runPolicy: {policy}, nics: [{cards}]}}
---
"""
OWN = "52:54:00:00:00:0a"
ASSIGNED = "{name: eth0, network: vms}"


def declared(mac: str) -> str:
    return f"{{name: eth0, network: vms, mac: '{mac}'}}"


class Room:
    """A room of two hosts. VMs are given as keywords: their cards."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.stage: Stage = make_stage(self.read())

    def read(self, policy: str = "RestartOnFailure", /, **vms: str) -> Desired:
        texts = (VM.format(name=name, policy=policy, cards=cards) for name, cards in vms.items())
        self._file.write_text("".join(texts))
        desired, problems = read_desired(("center", "h1", "h2"), self._file)
        assert desired is not None, problems
        return desired

    def converge(self, policy: str = "RestartOnFailure", /, **vms: str) -> None:
        self.stage.converge(self.read(policy, **vms))

    def plan(self, policy: str = "RestartOnFailure", /, **vms: str) -> Plan:
        return self.stage.plan(self.read(policy, **vms)).plan

    def macs(self, vm: str) -> dict[str, str]:
        """What the VM's record holds, by card."""
        return next(one.macs for one in master(self.stage).vms.values() if one.object == vm)

    def shown(self, vm: str) -> str:
        """The address of the only card of its running guest."""
        _, guest = self.stage.find_guest(vm)
        (card,) = guest.config.nics
        return card.mac


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "desired.yaml")


@pytest.mark.parametrize("policy", ["RestartOnFailure", "Stopped"], ids=["runs", "stopped"])
def test_a_new_vm_does_not_get_an_address_that_was_assigned_to_another(room: Room, policy: str) -> None:
    room.converge(policy, a=ASSIGNED)
    mac = room.macs("vm/a")["eth0"]

    plan = room.plan(policy, a=ASSIGNED, b=declared(mac))

    (blocked,) = plan.blocked
    assert (blocked.object, plan.steps) == ("vm/b", ())
    assert f"eth0 is to have the address {mac}, which vm/a has" in blocked.reason
    assert "spec.nics" in blocked.action
    room.converge(policy, a=ASSIGNED, b=ASSIGNED)
    assert room.macs("vm/b")["eth0"] != mac


def test_no_card_with_an_address_of_another_vm_is_plugged_live(room: Room) -> None:
    room.converge(a=ASSIGNED, b=declared(OWN))
    second = f"{{name: eth1, network: vms, mac: '{room.macs('vm/a')['eth0']}'}}"

    plan = room.plan(a=ASSIGNED, b=f"{declared(OWN)}, {second}")

    assert ([one.object for one in plan.blocked], plan.steps) == (["vm/b"], ())
    assert "vm/a" in plan.blocked[0].reason


def test_a_guest_that_nobody_declared_keeps_its_address(room: Room) -> None:
    room.converge(a=ASSIGNED)
    host, guest = room.stage.find_guest("vm/a")
    stranger = replace(guest.config, uuid=made_up_uuid("stranger"), object="vm/stranger")
    stranger = replace(stranger, nics=tuple(replace(one, mac=OWN) for one in stranger.nics))
    host.guests[stranger.uuid] = replace(guest, config=stranger, managed=False)

    plan = room.plan(a=ASSIGNED, b=declared(OWN))

    assert [one.object for one in plan.blocked] == ["vm/b"]
    assert f"guest/{stranger.uuid}" in plan.blocked[0].reason


def test_a_vm_that_is_gone_for_good_has_no_address(room: Room) -> None:
    room.converge("Stopped", a=ASSIGNED)
    mac = room.macs("vm/a")["eth0"]
    (record,) = master(room.stage).vms.values()
    master(room.stage).vms[record.uuid] = replace(record, removed=True)

    room.converge(b=declared(mac))

    assert room.shown("vm/b") == mac


def test_an_address_goes_to_another_vm_in_one_change_of_manifests(room: Room) -> None:
    room.converge(a=declared(OWN))

    plan = room.plan(a=ASSIGNED.replace("eth0", "eth1"), b=declared(OWN))
    assert [one.object for one in plan.deferred] == ["vm/b"]
    assert "vm/a" in plan.deferred[0].until
    room.converge(a=ASSIGNED.replace("eth0", "eth1"), b=declared(OWN))

    assert (room.shown("vm/b"), room.shown("vm/a") != OWN) == (OWN, True)


def test_stopped_vms_exchange_their_addresses(room: Room) -> None:
    other = "52:54:00:00:00:0b"
    room.converge("Stopped", a=declared(OWN), b=declared(other))

    room.converge(a=declared(other), b=declared(OWN))

    assert (room.shown("vm/a"), room.shown("vm/b")) == (other, OWN)


def test_running_vms_that_are_to_exchange_addresses_are_told_how(room: Room) -> None:
    other = "52:54:00:00:00:0b"
    room.converge(a=declared(OWN), b=declared(other))

    plan = room.plan(a=declared(other), b=declared(OWN))

    assert [one.object for one in plan.blocked] == ["vm/a", "vm/b"]
    assert "third" in plan.blocked[0].action


def test_a_vm_is_not_started_beside_one_that_runs_with_its_address(room: Room) -> None:
    """As an Ostler made them that did not look."""
    room.converge("Stopped", a=ASSIGNED, b=ASSIGNED)
    records = {one.object: one for one in master(room.stage).vms.values()}
    twin = replace(records["vm/b"], macs=records["vm/a"].macs)
    master(room.stage).vms[twin.uuid] = twin
    room.stage.converge(only(room.read(a=ASSIGNED, b=ASSIGNED), stopped="vm/b"))

    plan = room.plan(a=ASSIGNED, b=ASSIGNED)

    assert ([one.object for one in plan.blocked], plan.steps) == (["vm/b"], ())
    assert "vm/a runs with it on host/h1" in plan.blocked[0].reason


def only(desired: Desired, *, stopped: str) -> Desired:
    """The same with one VM stopped."""
    return replace(
        desired, vms={**desired.vms, stopped: replace(desired.vms[stopped], run_policy=RunPolicy.STOPPED)}
    )


def test_a_vm_that_was_renamed_or_moves_a_card_keeps_its_address(room: Room) -> None:
    room.converge(a=declared(OWN))

    assert room.plan(a=declared(OWN).replace("eth0", "eth1")).blocked == ()
