"""Changes of a running guest's fields: one step for each thing that the agent changes."""

from collections.abc import Iterator

from nodeagent.wire.arguments import (
    Arguments,
    AttachDisk,
    AttachNic,
    ChangeCdrom,
    DetachDisk,
    DetachNic,
    SetVmCpus,
    SetVmMemory,
    SetVncPassword,
    UpdateNic,
    WriteVmRecord,
)
from nodeagent.wire.guest import DiskConfig, GuestConfig, NicConfig
from nodeagent.wire.orders import Evidence, Expectation
from reconciler.model.change import Change, FieldChange, Verb
from reconciler.model.names import name_of
from reconciler.model.plan import Step
from reconciler.model.quantities import format_bytes
from reconciler.planning.context import PlanContext, PlanningError
from reconciler.planning.rules.records import unplugged_disks, without_unplugged
from reconciler.planning.steps import LET_GO, make_step

DETACH_TIMEOUT_MS = 90_000


def plan_live(context: PlanContext) -> Iterator[Step]:
    """Steps of every live change, in the order of its fields; two fields of one card are one step."""
    for change in context.of_verb(Verb.CHANGE_LIVE):
        seen = context.seen(change.object)
        if seen is None or seen.guest is None or seen.guest.config is None:
            raise PlanningError(f"{change.object} is to change live and does not run")
        done: set[str] = set()
        for field in change.fields:
            verb, arguments, summary = _action(
                context.master, field, context.changes.guests[change.object], seen.guest.config
            )
            if verb in done:
                continue
            done.add(verb)
            yield make_step(
                change,
                arguments,
                verb=verb,
                host=str(change.host),
                summary=summary,
                expects=(Expectation(f"guest/{seen.uuid}", "present", value=True),),
                evidence=Evidence("here", seen.record.run.number if seen.record and seen.record.run else 0),
                timeout_ms=DETACH_TIMEOUT_MS,
                secrets=_secrets(arguments),
            )
        yield from _let_go(context, change)


def _let_go(context: PlanContext, change: Change) -> Iterator[Step]:
    """Taking unplugged disks out of the VM's record, which names a disk for as long as a guest may write it."""
    unplugged = unplugged_disks(context, change.object)
    if unplugged and any(one.field == "vm.disks" for one in change.fields):
        record = without_unplugged(context, change.object)
        yield make_step(
            change,
            WriteVmRecord(context.master, record),
            verb=LET_GO,
            host=context.worker_for(context.master, change.host, also=record.copy_domain),
            summary=f"write its record: {' and '.join(unplugged)} unplugged",
        )


def _action(
    master: str, field: FieldChange, want: GuestConfig, have: GuestConfig
) -> tuple[str, Arguments, str]:
    """Verb, arguments and line of the step for one field."""
    if field.field == "vm.memory":
        text = f"memory {format_bytes(field.before)} → {format_bytes(field.after)}, by balloon"
        return "set-memory", SetVmMemory(want.uuid, want.memory.current_bytes), text
    if field.field == "vm.cpu.sockets":
        text = f"vCPUs {have.cpu.vcpus} → {want.cpu.vcpus}"
        return "set-cpus", SetVmCpus(want.uuid, want.cpu.vcpus), text
    if field.field == "vm.cdrom.file" and want.cdrom is not None:
        text = f"CD {field.before or 'empty'} → {field.after or 'empty'}"
        return "change-cdrom", ChangeCdrom(want.uuid, want.cdrom), text
    if field.field == "vm.vnc.password" and want.vnc is not None:
        return (
            "set-vnc-password",
            SetVncPassword(want.uuid, want.vnc.password),
            f"VNC password from {want.vnc.password}",
        )
    if field.field == "vm.disks":
        return _disk(field, want, have)
    if field.field.startswith("vm.nics"):
        return _nic(master, field, want, have)
    raise PlanningError(f"no rule changes {field.field} live")


def _disk(field: FieldChange, want: GuestConfig, have: GuestConfig) -> tuple[str, Arguments, str]:
    """Plugging or unplugging a disk."""
    if field.after is not None:
        disk = _named(want.disks, field.after)
        return (
            f"attach-{name_of(disk.name)}",
            AttachDisk(want.uuid, disk),
            f"plug in {disk.name} ({disk.bus})",
        )
    disk = _named(have.disks, field.before)
    return f"detach-{name_of(disk.name)}", DetachDisk(want.uuid, disk), f"unplug {disk.name}; its bytes stay"


def _named(disks: tuple[DiskConfig, ...], name: str) -> DiskConfig:
    """The disk with this object id."""
    return next(disk for disk in disks if disk.name == name)


def _nic(master: str, field: FieldChange, want: GuestConfig, have: GuestConfig) -> tuple[str, Arguments, str]:
    """Plugging, unplugging or changing a card."""
    if field.field == "vm.nics":
        if field.after is not None:
            nic = _card(want, field.after)
            return (
                f"attach-{nic.name}",
                AttachNic(master, want.uuid, nic),
                f"plug card {nic.name} into {nic.network}",
            )
        nic = _card(have, field.before)
        return f"detach-{nic.name}", DetachNic(want.uuid, nic), f"unplug card {nic.name}"
    name = field.field.partition("[")[2].partition("]")[0]
    before, after = _card(have, name), _card(want, name)
    parts = [f"link {before.link} → {after.link}"] if before.link != after.link else []
    parts += [f"network {before.network} → {after.network}"] if before.bridge != after.bridge else []
    kept = NicConfig(
        name=before.name, network=after.network, bridge=after.bridge, mac=before.mac, model=before.model,
        link=after.link, pci=before.pci,
    )  # fmt: skip
    return f"update-{name}", UpdateNic(want.uuid, before, kept), f"card {name}: {', '.join(parts)}"


def _card(config: GuestConfig, name: str) -> NicConfig:
    """The card of this name."""
    return next(nic for nic in config.nics if nic.name == name)


def _secrets(arguments: Arguments) -> tuple[str, ...]:
    """References of secrets that the step needs."""
    return (arguments.password,) if isinstance(arguments, SetVncPassword) and arguments.password else ()
