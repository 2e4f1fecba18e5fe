"""What is decided once and kept: MAC addresses, versioned machine types, CPU models, identities of incarnations."""

from dataclasses import replace

import pytest

from nodeagent.wire.facts import HostCapabilities
from reconciler.diffing.abilities import UndecidedError
from reconciler.diffing.macs import MAC_ATTEMPTS, MacLedger
from reconciler.model.identity import mac_candidates
from tests.laws.estates import EstateSpec, HostSpec, VmSpec, build, reseal
from tests.laws.worlds import OPTIONS
from tests.scenarios.stage import CAPABILITIES, make_stage

VM = "1b4d6f1e-d173-5f95-a154-93d15c00067a"
PREFIX = "56:6f:1a"


def test_a_card_gets_the_first_address_that_is_free():
    first, second, *_ = (mac for mac, _ in zip(mac_candidates(VM, "eth0", PREFIX), range(3), strict=False))

    assert MacLedger(dict).assign(VM, "eth0", PREFIX) == first
    assert MacLedger(lambda: {first: []}).assign(VM, "eth0", PREFIX) == second


def test_no_address_is_given_twice_in_one_pass():
    ledger = MacLedger(dict)

    assert len({ledger.assign(VM, "eth0", PREFIX) for _ in range(8)}) == 8


def test_a_full_prefix_is_told():
    taken: dict = {
        mac: [] for mac, _ in zip(mac_candidates(VM, "eth0", PREFIX), range(MAC_ATTEMPTS), strict=False)
    }

    with pytest.raises(UndecidedError, match="choose another macPrefix"):
        MacLedger(lambda: taken).assign(VM, "eth0", PREFIX)


def planned_record(machine: str | None, *machines: tuple[str, ...]) -> dict:
    """The record of a new VM on hosts with these machine types."""
    desired = build(EstateSpec(tuple(HostSpec() for _ in machines), (VmSpec(0),)))
    vm = reseal(replace(desired.vms["vm/v0"], machine=machine))
    capabilities: dict[str, HostCapabilities] = {
        f"host/h{number}": replace(CAPABILITIES, machines=one, default_machine=one[-1])
        for number, one in enumerate(machines, 1)
    }
    stage = make_stage(desired, capabilities)
    plan = stage.plan(replace(desired, vms={"vm/v0": vm}), OPTIONS).plan
    return next(step.args["record"] for step in plan.steps if step.kind == "write-vm-record")


@pytest.mark.parametrize(
    ("declared", "resolved"),
    [(None, "pc-q35-9.2"), ("q35", "pc-q35-9.2"), ("pc-q35-8.0", "pc-q35-8.0")],
)
def test_a_machine_type_is_resolved_to_a_version_that_every_host_has(declared, resolved):
    old = ("pc-q35-8.0", "pc-q35-9.2")
    new = ("pc-q35-8.0", "pc-q35-9.2", "pc-q35-10.0")

    assert planned_record(declared, old, new)["machine"] == resolved


def test_version_ten_follows_version_nine():
    both = ("pc-q35-9.2", "pc-q35-10.0")

    assert planned_record("q35", both, both)["machine"] == "pc-q35-10.0"
