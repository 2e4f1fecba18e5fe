"""What befalls a world, one line an event: `destroy vm/web-1`, `power-off host/h2`. The vocabulary of `then:`."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid5

from nodeagent.wire.facts import CertificateFacts, DeedFacts, ExitFacts, NetworkFacts, OrderFacts
from nodeagent.wire.guest import CpuConfig, GuestConfig, KernelBoot, MemoryConfig
from nodeagent.wire.records import Intent, Run, RunHost, VolumeFacts
from reconciler.model.desired import Desired
from reconciler.model.intents import add_intent, run_number
from reconciler.model.quantities import parse_bytes
from reconciler.model.reports import HostOffProof, StorageReport
from reconciler.observing.proofs import find_open_runs
from reconciler.simulation.host import SimulatedGuest
from reconciler.simulation.storage import SimulatedStorage
from tests.scenarios.manifests import CaseError
from tests.scenarios.stage import Stage

SECOND_LIFE = "its record named only other hosts, so this was a second life of the VM"
YEAR_MS = 365 * 86_400_000
MADE_UP = UUID("00000000-0000-4000-8000-000000000000")


def befall(stage: Stage, desired: Desired, event: str) -> None:
    """One event happens. Raises CaseError for an event that nobody knows or that cannot be."""
    name, *words = event.split()
    happening = EVENTS.get(name)
    if happening is None:
        raise CaseError(f"unknown event {name!r}; known are {', '.join(sorted(EVENTS))}")
    try:
        happening(stage, desired, *words)
    except (KeyError, TypeError, StopIteration) as error:
        raise CaseError(f"{event!r} cannot happen: {error}") from error


def made_up_uuid(name: str) -> str:
    """The uuid of something that no manifest names."""
    return str(uuid5(MADE_UP, name))


def master(stage: Stage) -> SimulatedStorage:
    """The domain that holds the records."""
    return next(one for one in stage.world.storage.values() if one.master)


def _vm(stage: Stage, vm: str) -> str:
    return next(one.uuid for one in master(stage).vms.values() if one.object == vm and not one.removed)


def _domain(desired: Desired, name: str) -> str:
    return desired.storage_domains[name].uuid


def _end_guest(reason: str) -> Callable[..., None]:
    def end(stage: Stage, _desired: Desired, vm: str) -> None:
        host, guest = stage.find_guest(vm)
        host.lose_guest(guest.config.uuid, reason)  # type: ignore[arg-type]

    return end


def _on_host(name: str) -> Callable[..., None]:
    def act(stage: Stage, _desired: Desired, host: str) -> None:
        getattr(stage.world, name)(host)
        stage.world.hosts[host].resync_needed = False

    return act


def _status(status: str) -> Callable[..., None]:
    def set_status(stage: Stage, _desired: Desired, host: str, *detail: str) -> None:
        stage.statuses[stage.world.hosts[host].id] = (status, " ".join(detail))  # type: ignore[assignment]

    return set_status


def _prove(kind: str) -> Callable[..., None]:
    def prove(stage: Stage, desired: Desired, host: str) -> None:
        uuid = stage.world.hosts[host].uuid if host in stage.world.hosts else host.removeprefix("host/")
        seen = [
            StorageReport(one.uuid, None, contents=one.contents()) for one in stage.world.storage.values()
        ]
        named = find_open_runs(desired.data_center.uuid, seen).get(uuid, ())
        stage.proofs.append(HostOffProof(host, kind, tuple(sorted(named)), "ticket-7"))  # type: ignore[arg-type]

    return prove


def _forget_exit(stage: Stage, _desired: Desired, host: str) -> None:
    stage.world.hosts[host].exits.clear()


def _set(stage: Stage, _desired: Desired, vm: str, field: str, value: str) -> None:
    _, guest = stage.find_guest(vm)
    config = guest.config
    if field == "memory":
        guest.config = replace(config, memory=replace(config.memory, current_bytes=parse_bytes(value)))
    elif field == "link":
        guest.config = replace(config, nics=tuple(replace(one, link=value) for one in config.nics))  # type: ignore[arg-type]
    elif field == "title":
        guest.config = replace(config, title=value)
    elif field == "sockets":
        guest.config = replace(config, cpu=replace(config.cpu, sockets=int(value)))
    else:
        raise KeyError(field)


def _damage_record(stage: Stage, _desired: Desired, vm: str) -> None:
    domain = master(stage)
    stage.damaged.setdefault(domain.uuid, set()).add(_vm(stage, vm))


def _lose_record(stage: Stage, _desired: Desired, vm: str) -> None:
    del master(stage).vms[_vm(stage, vm)]


def _lose_image(stage: Stage, _desired: Desired, disk: str) -> None:
    domain, image = _image(stage, disk)
    del domain.volumes[image]


def _half_make(stage: Stage, _desired: Desired, disk: str) -> None:
    domain, image = _image(stage, disk)
    domain.volumes[image] = replace(domain.volumes[image], legal=False)


def _resize(stage: Stage, _desired: Desired, disk: str, size: str) -> None:
    domain, image = _image(stage, disk)
    domain.volumes[image] = replace(domain.volumes[image], capacity_bytes=parse_bytes(size))


def _image(stage: Stage, disk: str) -> tuple[SimulatedStorage, str]:
    return next(
        (domain, record.image)
        for domain in stage.world.storage.values()
        for record in domain.disks.values()
        if record.object == disk
    )


def _fill(stage: Stage, desired: Desired, domain: str, left: str) -> None:
    """Somebody else's image takes all but so much."""
    place = stage.world.storage[_domain(desired, domain)]
    taken, image = place.contents().free_bytes - parse_bytes(left), made_up_uuid("somebody's")
    place.volumes[image] = VolumeFacts(image, made_up_uuid("volume"), "raw", "preallocated", taken, taken)


def _halt(stage: Stage, _desired: Desired, vm: str) -> None:
    """QEMU finds no space for a write of the guest."""
    _, guest = stage.find_guest(vm)
    guest.state, guest.pause_reason = "paused", "io-error"


def _hang(stage: Stage, _desired: Desired, vm: str) -> None:
    """The guest's QEMU does not answer any more."""
    _, guest = stage.find_guest(vm)
    guest.state, guest.hangs_since_ms = "unknown", stage.world.now_ms


def _destroy_second_life(stage: Stage, _desired: Desired, vm: str) -> None:
    """The agent of its host takes the guest for a second life, and destroys it."""
    host, guest = stage.find_guest(vm)
    uuid = guest.config.uuid
    host.lose_guest(uuid, "destroyed")
    host.exits[uuid] = replace(host.exits[uuid], detail=SECOND_LIFE)
    host.deeds[uuid] = DeedFacts(uuid, guest.config.run, SECOND_LIFE, 1_000)


def _suspend(stage: Stage, _desired: Desired, vm: str) -> None:
    """Somebody calls virsh suspend."""
    _, guest = stage.find_guest(vm)
    guest.state, guest.pause_reason = "paused", "user"


def _empty_master(stage: Stage, _desired: Desired) -> None:
    """The storage with the records was lost, and somebody made the domain anew. Copies are left on other domains."""
    stage.world.lose_master()


def _unreadable(stage: Stage, desired: Desired, domain: str) -> None:
    stage.unread.add(_domain(desired, domain))


def _bridge(stage: Stage, _desired: Desired, host: str, bridge: str) -> None:
    stage.world.hosts[host].networks[bridge] = NetworkFacts(bridge, None, None, 1500, up=True)


def _unplug_bridge(stage: Stage, _desired: Desired, host: str, bridge: str) -> None:
    del stage.world.hosts[host].networks[bridge]


def _stranger(stage: Stage, desired: Desired, host: str, title: str, memory: str) -> None:
    """A guest that somebody made with virt-install: not ours, kept by libvirt."""
    size = parse_bytes(memory)
    config = GuestConfig(
        uuid=made_up_uuid(title),
        object=f"vm/{title}",
        data_center=desired.data_center.uuid,
        title=title,
        run=0,
        machine="pc-q35-7.1",
        cpu=CpuConfig("Nehalem", 1, 1, 1, 1),
        memory=MemoryConfig(size, size, size),
        kernel=KernelBoot("/boot/vmlinuz"),
    )
    guest = SimulatedGuest(config, 0, managed=False, persistent=True)
    stage.world.hosts[host].guests[config.uuid] = guest


def _gap(stage: Stage, _desired: Desired, host: str, title: str, *words: str) -> None:
    """A device of a stranger that no manifest can express."""
    stage.world.hosts[host].guests[made_up_uuid(title)].gaps = (" ".join(words),)


def _open_order(stage: Stage, _desired: Desired, host: str, kind: str, target: str, state: str) -> None:
    fact = OrderFacts(f"an-apply/{target}#{kind}", kind, target, state)  # type: ignore[arg-type]
    stage.orders.setdefault(host, []).append(fact)


def _split(stage: Stage, _desired: Desired, vm: str, other: str) -> None:
    _, guest = stage.find_guest(vm)
    stage.world.hosts[other].guests[guest.config.uuid] = replace_guest(guest)


def replace_guest(guest: SimulatedGuest) -> SimulatedGuest:
    """The same guest once more."""
    return SimulatedGuest(guest.config, guest.started_ms)


def _process(stage: Stage, _desired: Desired, vm: str, host: str) -> None:
    stage.processes.setdefault(host, set()).add(_vm(stage, vm))


def _run_names(stage: Stage, _desired: Desired, vm: str, *hosts: str) -> None:
    """The record's open run names these hosts, as a migration leaves it that nobody ended."""
    domain, uuid = master(stage), _vm(stage, vm)
    run = domain.vms[uuid].run
    assert run is not None
    known = stage.world.hosts
    named = tuple(
        known[name].run_host() if name in known else RunHost(made_up_uuid(name), made_up_uuid(f"{name} boot"))
        for name in hosts
    )
    domain.vms[uuid] = replace(domain.vms[uuid], run=replace(run, hosts=named, closed=None))


def _record_back(stage: Stage, _desired: Desired, vm: str, host: str) -> None:
    """The record is an older one, from a run on another host; the guest goes on in a later run."""
    domain, uuid = master(stage), _vm(stage, vm)
    run = domain.vms[uuid].run
    assert run is not None
    older = replace(run, number=run.number - 1, hosts=(stage.world.hosts[host].run_host(),))
    domain.vms[uuid] = replace(domain.vms[uuid], run=older)


def _close_run(stage: Stage, _desired: Desired, vm: str, reason: str) -> None:
    domain, uuid = master(stage), _vm(stage, vm)
    run = domain.vms[uuid].run
    assert run is not None
    domain.vms[uuid] = replace(domain.vms[uuid], run=Run(run.number, run.hosts, closed=reason))  # type: ignore[arg-type]


def _wish(stage: Stage, _desired: Desired, vm: str, action: str, host: str | None = None) -> None:
    domain, uuid = master(stage), _vm(stage, vm)
    record = domain.vms[uuid]
    wish = Intent(made_up_uuid(f"{vm} {action}"), action, host, run=run_number(record))  # type: ignore[arg-type]
    domain.vms[uuid] = replace(record, intents=add_intent(record, wish))


def _member(stage: Stage, _desired: Desired, name: str) -> None:
    """The pool gave an id to a host that no manifest names."""
    domain = master(stage)
    assert domain.pool is not None
    domain.pool = replace(domain.pool, host_ids={**domain.pool.host_ids, made_up_uuid(name): 200})


def _all_host_ids_taken(stage: Stage, _desired: Desired) -> None:
    """The pool gave every id that was left to hosts that no manifest names."""
    domain = master(stage)
    assert domain.pool is not None
    left = sorted(set(range(1, 251)) - set(domain.pool.host_ids.values()))
    taken = {made_up_uuid(f"old-h{number}"): number for number in left}
    domain.pool = replace(domain.pool, host_ids={**domain.pool.host_ids, **taken})


def _incomplete(stage: Stage, _desired: Desired, host: str) -> None:
    stage.incomplete.add(host)


def _impostor(stage: Stage, _desired: Desired, host: str) -> None:
    stage.impostors[host] = made_up_uuid(host)


def _swap(stage: Stage, _desired: Desired, host: str) -> None:
    stage.swapping.add(host)


def _load(stage: Stage, _desired: Desired, host: str, percent: str) -> None:
    stage.loads[host] = int(percent)


def _kept_exit(stage: Stage, _desired: Desired, vm: str, host: str, reason: str) -> None:
    uuid = _vm(stage, vm)
    run = master(stage).vms[uuid].run
    assert run is not None
    stage.world.hosts[host].exits[uuid] = ExitFacts(uuid, run.number, reason)  # type: ignore[arg-type]


def _days(stage: Stage, _desired: Desired, number: str) -> None:
    """So many days pass, and nothing happens."""
    stage.world.epoch_ms += int(float(number) * 86_400_000)


def _skew(stage: Stage, _desired: Desired, host: str, seconds: str) -> None:
    stage.world.hosts[host].skew_ms = round(float(seconds) * 1000)


def _certificate(stage: Stage, _desired: Desired, host: str, percent: str) -> None:
    """The host's certificate was issued so long ago that so much of its year is over."""
    begins = stage.world.wallclock_ms - YEAR_MS * int(percent) // 100
    stage.world.hosts[host].certificate = CertificateFacts(host, max(0, begins), max(0, begins) + YEAR_MS)


def _maintenance(stage: Stage, _desired: Desired, host: str) -> None:
    stage.world.hosts[host].maintenance = True


EVENTS: dict[str, Callable[..., None]] = {
    "power-off": _on_host("power_off"),
    "power-on": _on_host("power_on"),
    "cut": _on_host("cut"),
    "mend": _on_host("mend"),
    "lose-ledger": _on_host("lose_ledger"),
    "destroy": _end_guest("destroyed"),
    "crash": _end_guest("crashed"),
    "shut-down": _end_guest("shutdown"),
    "forget-exits": _forget_exit,
    "keep-exit": _kept_exit,
    "unheard": _status("unknown"),
    "refuse": _status("refused"),
    "confirm-off": _prove("confirmed"),
    "fenced": _prove("fenced"),
    "set": _set,
    "damage-record": _damage_record,
    "lose-record": _lose_record,
    "lose-image": _lose_image,
    "half-make": _half_make,
    "resize": _resize,
    "empty-master": _empty_master,
    "unreadable": _unreadable,
    "fill": _fill,
    "suspend": _suspend,
    "halt": _halt,
    "hang": _hang,
    "destroy-second-life": _destroy_second_life,
    "bridge": _bridge,
    "unplug-bridge": _unplug_bridge,
    "stranger": _stranger,
    "gap": _gap,
    "open-order": _open_order,
    "split": _split,
    "process": _process,
    "run-names": _run_names,
    "close-run": _close_run,
    "record-back": _record_back,
    "wish": _wish,
    "member": _member,
    "all-host-ids-taken": _all_host_ids_taken,
    "incomplete": _incomplete,
    "impostor": _impostor,
    "swap": _swap,
    "load": _load,
    "maintenance": _maintenance,
    "days": _days,
    "certificate": _certificate,
    "skew": _skew,
}
