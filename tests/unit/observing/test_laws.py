"""Laws of the observation, over generated estates: safe, the same in any order, the same with `previous`."""

import random
from dataclasses import fields, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.observed import Presence
from reconciler.model.reports import RunOnHost
from reconciler.observing.assemble import assemble

from .estate import (
    answer,
    closed_run,
    declare,
    disk_record,
    exited,
    fresh,
    guest,
    off,
    open_run,
    order,
    pool,
    read,
    record,
    refused,
    report,
    silent,
    state,
    uid,
    unknown,
    unread,
    volume,
)

HOSTS = ("h1", "h2", "h3", "h4")
VMS = ("web", "db")
some = st.sampled_from
subsets = st.lists(some(HOSTS), unique=True).map(sorted)

guests = st.lists(
    st.builds(
        guest,
        some(VMS),
        some(["running", "paused", "incoming", "unknown"]),
        st.booleans(),
        run=st.integers(1, 3),
    ),
    max_size=2,
    unique_by=lambda one: one.uuid,
)
details = st.fixed_dictionaries(
    {"complete": some([True, True, True, False]), "boot": some(["boot-1", "boot-2"])},
    optional={
        "processes": st.lists(some(VMS), unique=True, max_size=1),
        "generation": st.integers(1, 3),
        "exits": st.builds(exited, some(VMS), st.integers(1, 3), some(["crashed", "migrated"])).map(
            lambda one: (one,)
        ),
        "orders": st.builds(
            order,
            some(["k1", "k2"]),
            some(["start-vm", "pause-vm"]),
            some(["vm/web", "vm/db", "sd/main"]),
            some(["running", "unknown", "succeeded"]),
        ).map(lambda one: (one,)),
    },
)
domains = some([("main",), ("main", "second"), ()])


@st.composite
def hosts(draw, name):
    kind = draw(some(["answer"] * 5 + ["fresh", "silent", "stale", "refused", "unknown"]))
    if kind == "answer":
        return answer(name, *draw(guests), domains=draw(domains), **draw(details))
    if kind == "fresh":
        return fresh(name, *draw(guests), **draw(details))
    if kind == "stale":
        return silent(name, state(name, *draw(guests), **draw(details)))
    return {"silent": silent, "refused": refused, "unknown": unknown}[kind](name)


runs = st.one_of(
    st.none(),
    st.builds(lambda number, names: closed_run(number, *names), st.integers(1, 3), subsets),
    st.builds(lambda number, names: open_run(number, *names), st.integers(1, 3), subsets),
)
records = st.builds(
    lambda vm, run, revision, rest: record(vm, run, revision, **rest),
    some(VMS),
    runs,
    st.integers(1, 3),
    some(
        [
            {},
            {},
            {},
            {"removed": True},
            {"managed": False},
            {"data_center": uid("elsewhere")},
            {"obj": "vm/web"},
        ]
    ),
)


@st.composite
def readings(draw, domain):
    if draw(some([False] * 4 + [True])):
        return unread(domain, draw(some([None, "host/h1"])))
    return read(
        domain,
        *draw(st.lists(records, max_size=3)),
        reader=draw(some(["h1", "h1", "h2"])),
        master=draw(some([None] * 5 + [True, False])),
        complete=draw(some([True] * 4 + [False])),
        unreadable=draw(st.lists(some(VMS), max_size=1)),
        pool=draw(st.one_of(st.none(), st.builds(lambda ids: pool(*ids), subsets))),
        disks=tuple(
            draw(st.lists(st.builds(disk_record, some(["d1", "d2"]), revision=st.integers(1, 2)), max_size=2))
        ),
        volumes=tuple(draw(st.lists(st.builds(volume, some(["d1", "d3"])), max_size=2))),
    )


proofs = st.lists(
    st.builds(off, some(HOSTS), some(["fenced", "confirmed"]), some([None, "boot-1", "boot-2"])), max_size=2
)


@st.composite
def estates(draw):
    """Desired state and reports."""
    declared = declare(*draw(subsets), vms={"web": draw(some([None, None, uid("web")]))})
    told = [draw(hosts(name)) for name in draw(subsets)]
    storage = [draw(readings(name)) for name in draw(some([("main",), ("main", "second"), ()]))]
    return declared, report(told, storage, draw(proofs))


@st.composite
def pairs(draw):
    """An estate, and one some time later: some documents are the very same objects, some are others."""
    declared, before = draw(estates())
    other, after = draw(estates())
    keep = {one.uuid: one for one in before.hosts if draw(st.booleans())}
    hosts = [keep.pop(one.uuid, one) for one in after.hosts] + list(keep.values())
    storage = list(before.storage if draw(st.booleans()) else after.storage)
    given_proofs = before.proofs if draw(st.booleans()) else after.proofs
    return declared, before, draw(some([declared, other])), report(hosts, storage, given_proofs)


@st.composite
def neighbours(draw):
    """A calm estate whose master is read in full, and the same after one or two things have changed."""
    hosts_then = [answer("h1", *draw(guests)), *(draw(hosts(name)) for name in HOSTS[1:])]
    storage = [read("main", *draw(st.lists(records, max_size=3)), pool=pool(*HOSTS))]
    before = report(hosts_then, storage, draw(proofs))
    declared = declare(*HOSTS[: draw(st.integers(1, 4))])
    declared_after, after = declared, before
    for _ in range(draw(st.integers(1, 2))):
        edit = draw(
            some([other_host, other_status, other_details, other_details, other_contents, other_contents])
        )
        after = edit(draw, after)
    if draw(some([False] * 4 + [True])):
        after = replace(after, proofs=tuple(draw(proofs)))
    if draw(some([False] * 4 + [True])):
        declared_after = declare("h1", "h2", vms={"web": uid("web")})
    return declared, before, declared_after, after


def with_host(reports, number, one):
    return replace(reports, hosts=(*reports.hosts[:number], one, *reports.hosts[number + 1 :]))


def other_host(draw, reports):
    number = draw(st.integers(1, 3))
    return with_host(reports, number, draw(hosts(HOSTS[number])))


def other_status(draw, reports):
    """The document stays, and the host falls silent or is heard again."""
    number = draw(st.integers(1, 3))
    one = reports.hosts[number]
    statuses = ["answering", "silent"] if one.state else ["silent", "unknown"]
    return with_host(reports, number, replace(one, status=draw(some(statuses))))


def other_details(draw, reports):
    """One field of one document differs; its other parts are the very same objects."""
    number = draw(st.integers(0, 3))
    one = reports.hosts[number]
    drawn = draw(details)
    names = [name for name in ("exits", "orders") if name in drawn] or ["guests"]
    changed = {name: drawn.get(name, ()) for name in names}
    return with_host(reports, number, replace(one, state=one.state and replace(one.state, **changed)))


def other_contents(draw, reports):
    """One record came, went, or was replaced, or one became unreadable; or the domain was read in full no more."""
    one = reports.storage[0]
    vms = list(one.contents.vms)
    if vms and draw(st.booleans()):
        vms.pop(draw(st.integers(0, len(vms) - 1)))
    if draw(st.booleans()):
        vms.append(draw(records))
    unreadable = tuple(uid(name) for name in draw(some([(), (), ("web",)])))
    complete = draw(some([True, True, True, False]))
    contents = replace(one.contents, vms=tuple(vms), unreadable=unreadable, complete=complete)
    return replace(reports, storage=(replace(one, contents=contents),))


# Safety, by a slow oracle of its own


def answers(reports):
    return {one.uuid: one.state for one in reports.hosts if one.status == "answering" and one.state}


def seen_alive(reports, vm):
    return any(
        vm in {one.uuid for one in doc.guests} | set(doc.processes) for doc in answers(reports).values()
    )


def ever_seen(reports, vm):
    return any(
        one.state and vm in {g.uuid for g in one.state.guests} | set(one.state.processes)
        for one in reports.hosts
    )


def excused(reports, host, boot):
    """Whether a host has answered in full, or has stayed silent and is proven off (in that boot, if one is known)."""
    doc = answers(reports).get(host)
    if doc is not None:
        return doc.guests_complete
    told = {one.uuid: one.status for one in reports.hosts}
    named = runs_named(reports, host)
    covering = [
        p
        for p in reports.proofs
        if uid(p.host[5:]) == host and named <= set(p.runs) and boot in (None, *(r.boot_id for r in p.runs))
    ]
    return told.get(host, "silent") == "silent" and bool(covering)


def runs_named(reports, host):
    """Every open run that names a host in the newest records of its VM, wherever they lie."""
    records = [
        one
        for r in reports.storage
        if r.contents
        for one in r.contents.vms
        if one.run and one.data_center == uid("dc")
    ]
    return {
        RunOnHost(one.uuid, one.run.number, there.boot_id)
        for one in records
        if one.run.closed is None
        and all(one.run.number >= o.run.number for o in records if o.uuid == one.uuid)
        for there in one.run.hosts
        if there.uuid == host
    }


def readable(reports):
    speaking = {f"host/{name}" for name in HOSTS if uid(name) in answers(reports)}
    return [
        one.contents
        for one in reports.storage
        if one.contents
        and one.reader in speaking
        and (not one.contents.pool or one.contents.pool.data_center == uid("dc"))
    ]


def suspects(declared, reports, vm):
    """(host, boot) of everybody who could run the VM; None if nobody can tell who could."""
    here = readable(reports)
    masters = [one for one in here if one.master]
    said = {f.uuid for doc in answers(reports).values() for f in doc.storage if f.master} - {
        one.uuid for one in here
    }
    sound = bool(masters) and not said and (len(masters) == 1 or all(one.complete for one in masters))
    mine = [one for domain in masters for one in domain.vms if one.uuid == vm]
    damaged = any(vm in one.unreadable for one in masters) or any(
        one.data_center != uid("dc") for one in mine
    )
    if sound and mine and not damaged:
        every = [
            one for domain in here for one in domain.vms if one.uuid == vm and one.data_center == uid("dc")
        ]
        newest = max((one.run.number if one.run else 0) for one in every)
        open_ones = [
            one.run for one in every if one.run and one.run.number == newest and one.run.closed is None
        ]
        top = max(every, key=lambda one: one.revision)
        if newest == 0 or (top.run and top.run.number == newest and top.run.closed):
            return set()
        if all(run.hosts for run in open_ones):
            least = [one.run for one in every if one.run in open_ones and one.revision == max(
                other.revision for other in every if other.run in open_ones)]  # fmt: skip
            return {(host.uuid, host.boot_id) for run in least for host in run.hosts}
    everybody = {one.uuid for one in declared.hosts.values()} | {one.uuid for one in reports.hosts}
    pools = [one.pool for one in masters if one.pool]
    if sound and pools:
        ids = max(pools, key=lambda one: one.revision).host_ids
        return {(host, None) for host in everybody | set(ids)}
    if sound and all(one.complete for one in masters) and not any(one.vms or one.unreadable for one in here):
        return {(host, None) for host in everybody}
    untouched = all(
        doc.host_id is None and not doc.storage and doc.data_center in (None, uid("dc"))
        for doc in answers(reports).values()
    )
    if everybody and untouched and not any(one.contents or one.reader for one in reports.storage):
        return {(host, None) for host in everybody} if everybody <= answers(reports).keys() else None
    return None


@settings(max_examples=400, deadline=None)
@given(estates())
def test_a_vm_is_not_running_only_if_every_host_that_could_run_it_answered_or_is_proven_off(estate):
    declared, reports = estate
    observed = assemble(declared, reports)
    for vm in (uid(name) for name in VMS):
        seen = observed.vms.get(vm)
        if seen is None:
            assert not seen_alive(reports, vm)
            assert not ever_seen(reports, vm)
            continue
        assert (seen.evidence is not None) == (seen.presence is Presence.NOT_RUNNING)
        assert (seen.presence is not Presence.UNKNOWN) or seen.doubts
        if seen.presence is Presence.NOT_RUNNING:
            assert not seen_alive(reports, vm)
            could = suspects(declared, reports, vm)
            assert could is not None
            assert all(excused(reports, host, boot) for host, boot in could), seen


@settings(max_examples=200, deadline=None)
@given(estates())
def test_newcomers_are_startable_only_if_no_record_exists_or_every_host_answers(estate):
    declared, reports = estate
    observed = assemble(declared, reports)
    if observed.newcomer_evidence is None:
        assert observed.newcomer_doubts
    elif observed.newcomer_evidence.basis == "never-ran":
        here = readable(reports)
        assert any(one.master for one in here)
        assert all(one.complete for one in here if one.master)
    else:
        could = suspects(declared, reports, uid("nobody"))
        assert could is not None
        assert all(excused(reports, host, boot) for host, boot in could)


@settings(max_examples=200, deadline=None)
@given(estates(), st.randoms(use_true_random=False))
def test_reports_in_any_order_give_the_same_value(estate, rng):
    declared, reports = estate
    shuffled = replace(reports, hosts=mixed(rng, reports.hosts), storage=mixed(rng, reports.storage),
                       proofs=mixed(rng, reports.proofs))  # fmt: skip
    assert same(assemble(declared, shuffled), assemble(declared, reports))


@settings(max_examples=200, deadline=None)
@given(estates(), st.randoms(use_true_random=False))
def test_documents_in_any_order_tell_the_same_of_vms_disks_and_orders(estate, rng):
    declared, reports = estate
    told = [replace(one, state=one.state and mixed_state(rng, one.state)) for one in reports.hosts]
    storage = [
        replace(one, contents=one.contents and mixed_contents(rng, one.contents)) for one in reports.storage
    ]
    one, other = assemble(declared, reports), assemble(declared, report(told, storage, reports.proofs))
    for part in (
        "vms",
        "disks",
        "vm_of",
        "disk_of",
        "open_orders",
        "last_orders",
        "newcomer_evidence",
        "complete",
    ):
        assert repr(getattr(one, part)) == repr(getattr(other, part)), part


@settings(max_examples=500, deadline=None)
@given(st.one_of(neighbours(), pairs()))
def test_with_and_without_previous_the_value_is_the_same(pair):
    declared_before, before, declared_after, after = pair
    previous = assemble(declared_before, before)
    assert same(assemble(declared_after, after, previous), assemble(declared_after, after))


def same(one, other):
    """Equal, down to the order of every mapping."""
    mappings = [field.name for field in fields(one) if isinstance(getattr(one, field.name), dict)]
    return one == other and all(list(getattr(one, name)) == list(getattr(other, name)) for name in mappings)


def mixed(rng, items):
    items = list(items)
    rng.shuffle(items)
    return tuple(items)


def mixed_state(rng, one):
    return replace(one, guests=mixed(rng, one.guests), processes=mixed(rng, one.processes),
                   storage=mixed(rng, one.storage), exits=mixed(rng, one.exits), orders=mixed(rng, one.orders))  # fmt: skip


def mixed_contents(rng, one):
    return replace(one, vms=mixed(rng, one.vms), disks=mixed(rng, one.disks), volumes=mixed(rng, one.volumes),
                   unreadable=mixed(rng, one.unreadable))  # fmt: skip


def test_a_shuffle_really_shuffles():
    assert mixed(random.Random(1), range(10)) != tuple(range(10))
