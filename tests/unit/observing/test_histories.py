"""True histories of one VM, cut off anywhere and seen through clouded glasses: where it lives, it is never
"not running". The histories keep the protocol of runs (claimed on master, then copy, before a guest appears;
closed after it is gone, master first); which hosts, domains and records can be seen is left to chance.
"""

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.wire.records import Run, RunHost
from reconciler.model.observed import Presence
from reconciler.observing.assemble import assemble

from .estate import declare, guest, off, pool, read, record, report, state, uid, unread
from .estate import refused as refusing
from .estate import silent as silence
from .estate import unknown as unheard

NAMES = ("h1", "h2", "h3")
BOTH = ("main", "second")


@dataclass
class World:
    """What is true. guests: host to the state of the VM there; boots: how often each host has booted; down: hosts off."""

    guests: dict = field(default_factory=dict)
    boots: dict = field(default_factory=lambda: dict.fromkeys(NAMES, 1))
    down: set = field(default_factory=set)
    master: object = None
    copy: object = None

    def on(self, host):
        return RunHost(uid(host), uid(f"{host}-boot-{self.boots[host]}"))


# Micro-steps: generators that change the world a little at each `yield`.


def create(world):
    if world.master is None:
        world.master = record("web", revision=1)
        yield
        world.copy = world.master
        yield


def write(world, run):
    world.master = replace(world.master, run=run, revision=world.master.revision + 1)
    yield
    world.copy = world.master
    yield


def claim(world, run):
    """The claim stands beside the old revision first, on master, then on the copy; then comes the new revision."""
    world.master = replace(world.master, run=run)
    yield
    world.copy = replace(world.copy or world.master, run=run)
    yield
    yield from write(world, run)


def start(world, host):
    run = world.master.run if world.master else None
    if world.master is None or host in world.down or (run and run.closed is None):
        return
    yield from claim(world, Run((run.number if run else 0) + 1, (world.on(host),)))
    if host not in world.down:
        world.guests[host] = "running"
    yield


def stop(world, host):
    if world.guests.pop(host, None) is None:
        return
    yield
    if len(world.master.run.hosts) == 1:
        yield from write(world, replace(world.master.run, closed="stopped"))


def migrate(world, source, target):
    run = world.master.run if world.master else None
    if (
        source == target
        or world.guests.get(source) != "running"
        or target in world.down
        or len(run.hosts) != 1
    ):
        return
    yield from claim(world, Run(run.number + 1, (world.on(source), world.on(target))))
    if target in world.down or source not in world.guests:
        return
    world.guests[target] = "incoming"
    yield
    if target in world.guests and source in world.guests:
        world.guests[target] = "running"
        del world.guests[source]
        yield
        yield from write(world, replace(world.master.run, hosts=(world.on(target),)))


def crash(world, host):
    world.guests.pop(host, None)
    world.down.add(host)
    yield


def boot(world, host):
    if host in world.down:
        world.down.discard(host)
        world.boots[host] += 1
    yield


def lose_copy(world):
    world.copy = None
    yield


host = st.sampled_from(NAMES)
acts = st.one_of(
    st.tuples(st.just(start), host),
    st.tuples(st.just(stop), host),
    st.tuples(st.just(migrate), host, host),
    st.tuples(st.just(crash), host),
    st.tuples(st.just(boot), host),
    st.tuples(st.just(lose_copy)),
)


@st.composite
def worlds(draw):
    """A world after some acts, each of them cut off after some of its micro-steps; the world of an earlier time."""
    world, early = World(), World()
    for act, *names in [(create,), *draw(st.lists(acts, max_size=7))]:
        if draw(st.integers(0, 9)) == 0:
            early = replace(world, guests=dict(world.guests), boots=dict(world.boots))
        steps = act(world, *names)
        for _ in range(draw(st.sampled_from([0, 1, 2, 3, 9, 9, 9, 9]))):
            if next(steps, steps) is steps:
                break
    return world, early


def tells(world, name, complete=True, **given):
    alive = [guest("web", world.guests[name])] if name in world.guests else []
    shown = alive if complete else []
    return state(name, *shown, boot=f"boot-{world.boots[name]}", complete=complete, domains=BOTH, **given)


@st.composite
def views(draw):
    """Reports of a world: nothing in them is false, much may be missing or old."""
    world, early = draw(worlds())
    hosts = []
    for name in NAMES:
        how = draw(
            st.sampled_from(
                [
                    "answers",
                    "answers",
                    "answers",
                    "partly",
                    "silent",
                    "stale",
                    "refused",
                    "unknown",
                    "missing",
                ]
            )
        )
        if how in ("answers", "partly") and name not in world.down:
            hosts.append(
                replace(silence(name), status="answering", state=tells(world, name, how == "answers"))
            )
        elif how == "stale":
            hosts.append(silence(name, tells(early, name)))
        elif how == "refused" and name not in world.down:
            hosts.append(refusing(name))
        elif how != "missing":
            hosts.append(unheard(name) if how == "unknown" else silence(name))
    proofs = [off(name, boot=draw(st.sampled_from([None, f"boot-{world.boots[name]}"])))
              for name in sorted(world.down) if draw(st.booleans())]  # fmt: skip
    declared = draw(st.lists(host, unique=True))
    storage = [
        view_domain(draw, "main", world.master),
        view_domain(draw, "second", world.copy),
    ]
    return world, declare(*declared, domains=BOTH), report(hosts, storage, proofs)


def view_domain(draw, name, held):
    how = draw(st.sampled_from(["read"] * 5 + ["unread", "partly", "damaged"]))
    if how == "unread":
        return unread(name)
    shown = [held] if held and how == "read" else []
    return read(
        name,
        *shown,
        reader=draw(st.sampled_from(["h1", "h1", "h2"])),
        complete=how != "partly",
        unreadable=["web"] if held and how == "damaged" else [],
        pool=pool(*NAMES, domains=BOTH) if name == "main" else None,
    )


@settings(max_examples=1500, deadline=None)
@given(views())
def test_a_vm_that_lives_anywhere_is_never_called_not_running(view):
    world, declared, reports = view
    observed = assemble(declared, reports)
    seen = observed.vms.get(uid("web"))
    if world.guests:
        if seen is None:
            assert observed.newcomer_evidence is None
        else:
            assert seen.presence is not Presence.NOT_RUNNING, (world, seen)


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_once_everybody_answers_and_all_is_read_it_is_known_where_the_vm_runs(drawn):
    world, _ = drawn
    for name in sorted(world.down):
        list(boot(world, name))
    hosts = [replace(silence(name), status="answering", state=tells(world, name)) for name in NAMES]
    ids = pool(*NAMES, domains=BOTH)
    storage = [read("main", *([world.master] if world.master else []), pool=ids),
               read("second", *([world.copy] if world.copy else []))]  # fmt: skip
    observed = assemble(declare(*NAMES, domains=BOTH), report(hosts, storage))
    assert observed.complete
    seen = observed.vms.get(uid("web"))
    alive = {name for name, how in world.guests.items() if how != "incoming"}
    if seen is None:
        assert not world.guests
    elif alive:
        assert (seen.presence, seen.host) == (Presence.RUNNING, f"host/{min(alive)}")
    elif not world.guests:
        assert seen.presence is Presence.NOT_RUNNING
