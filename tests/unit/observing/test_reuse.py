"""A pass costs what changed: what rests on the same documents is the very same value as before."""

import time
from dataclasses import replace

from reconciler.observing.assemble import assemble

from .estate import (
    answer,
    closed_run,
    declare,
    disk_record,
    guest,
    open_run,
    order,
    pool,
    read,
    record,
    report,
    silent,
    uid,
    volume,
)


def estate(hosts, guests, stopped=1):
    """Hosts with guests each, one stopped VM a host, one disk a VM."""
    names = [f"h{n}" for n in range(hosts)]
    answers, vms, disks, volumes = [], [], [], []
    for name in names:
        here = [f"{name}-vm{n}" for n in range(guests)]
        orders = tuple(order(f"k/{vm}", "start-vm", f"vm/{vm}") for vm in here)
        answers.append(answer(name, *(guest(vm) for vm in here), orders=orders))
        vms += [record(vm, open_run(1, name), last_order=f"k/{vm}") for vm in here]
        vms += [record(f"{name}-off{n}", closed_run(1, name)) for n in range(stopped)]
        disks += [disk_record(f"{vm}-d") for vm in here]
        volumes += [volume(f"{vm}-d") for vm in here]
    storage = [read("main", *vms, reader="h0", pool=pool(*names), disks=tuple(disks), volumes=tuple(volumes))]
    return declare(*names), report(answers, storage)


PARTS = ("vms", "disks", "vm_of", "disk_of", "last_orders", "open_orders")


def test_when_no_document_changed_every_part_is_the_very_same():
    declared, reports = estate(4, 3)
    before = assemble(declared, reports)
    after = assemble(
        declared, replace(reports, hosts=tuple(replace(one, age_ms=900) for one in reports.hosts)), before
    )
    assert all(getattr(after, part) is getattr(before, part) for part in PARTS)
    assert after.hosts["host/h0"].age_ms == 900


def test_when_one_host_changed_only_its_vms_are_observed_anew():
    declared, reports = estate(4, 3)
    before = assemble(declared, reports)
    first = reports.hosts[0]
    fewer = replace(
        first, state=replace(first.state, guests=first.state.guests[1:], processes=(), generation=8)
    )
    after = assemble(declared, replace(reports, hosts=(fewer, *reports.hosts[1:])), before)
    anew = [vm.record.object for uuid, vm in after.vms.items() if vm is not before.vms[uuid]]
    assert anew == ["vm/h0-vm0"]
    assert after.vm_of is before.vm_of
    assert after.vms[uid("h0-vm0")].presence == "not-running"


def test_when_one_host_falls_silent_the_vms_of_the_others_stay_the_same():
    declared, reports = estate(4, 3)
    before = assemble(declared, reports)
    after = assemble(
        declared, replace(reports, hosts=(*reports.hosts[:3], silent("h3", reports.hosts[3].state))), before
    )
    anew = sorted(vm.record.object for uuid, vm in after.vms.items() if vm is not before.vms[uuid])
    assert anew == [f"vm/h3-vm{n}" for n in range(3)]
    assert {after.vms[uid(name[3:])].doubts for name in anew} == {("host/h3",)}


def test_when_one_record_changed_in_a_document_read_anew_the_other_vms_stay_the_same():
    declared, reports = estate(4, 3)
    before = assemble(declared, reports)
    contents = reports.storage[0].contents
    vms = [replace(one, revision=one.revision + (one.object == "vm/h1-vm1")) for one in contents.vms]
    storage = (replace(reports.storage[0], contents=replace(contents, vms=tuple(vms))),)
    after = assemble(declared, replace(reports, storage=storage), before)
    assert [vm.record.object for uuid, vm in after.vms.items() if vm is not before.vms[uuid]] == ["vm/h1-vm1"]


def test_ten_thousand_vms_are_assembled_in_bounded_time_and_far_faster_when_nothing_changed():
    """The aim is 0.3 s of CPU on an idle machine, and a fraction of it the second time; the bounds leave room for noise."""
    declared, reports = estate(200, 50, stopped=0)
    begun = time.process_time()
    first = assemble(declared, reports)
    whole = time.process_time() - begun
    begun = time.process_time()
    assemble(declared, reports, first)
    again = time.process_time() - begun
    assert len(first.vms) == 10_000
    assert whole < 1.5
    assert again < whole / 3
