"""A running guest against the guest that is declared: which fields differ, and what changing each one does."""

from collections.abc import Iterator
from dataclasses import replace

from nodeagent.wire.guest import CdromConfig, DiskConfig, GuestConfig, NicConfig
from reconciler.diffing.fields import When, effect_of
from reconciler.model.change import Effect, FieldChange

PLAIN_FIELDS = (
    ("vm.name", "title"),
    ("vm.description", "description"),
    ("vm.machineType", "machine"),
    ("vm.firmware", "firmware"),
    ("vm.serial", "serial"),
    ("vm.balloon", "balloon"),
    ("vm.rng", "rng"),
    ("vm.tpm", "tpm"),
)
CPU_FIELDS = (
    ("vm.cpu.model", "model"),
    ("vm.cpu.cores", "cores"),
    ("vm.cpu.threads", "threads"),
    ("vm.cpu.maxSockets", "maximum_sockets"),
)
HOT_BUSES = frozenset({"virtio", "scsi"})


def compare_guest(want: GuestConfig, have: GuestConfig) -> tuple[FieldChange, ...]:
    """Differences of declared fields, in the order of the table's topics. Run numbers and PCI are not declared."""
    if same_guest(want, have):
        return ()
    return tuple(
        change
        for compare in (_plain, _kernel, _cpu, _memory, _disks, _nics, _cdrom, _vnc)
        for change in compare(want, have)
    )


def same_guest(want: GuestConfig, have: GuestConfig) -> bool:
    """Whether nothing declared differs; the quick answer for almost every VM of a pass."""
    return want == have or _declared(want) == _declared(have)


def _declared(config: GuestConfig) -> GuestConfig:
    """The configuration without what nobody declares."""
    nics = tuple(replace(nic, pci=None) for nic in config.nics)
    memory = replace(config.memory, guaranteed_bytes=0)
    return replace(config, run=0, nics=nics, memory=memory, data_center="", object="")


def _plain(want: GuestConfig, have: GuestConfig) -> Iterator[FieldChange]:
    """Fields without structure."""
    for field, attribute in PLAIN_FIELDS:
        yield from _differs(field, getattr(have, attribute), getattr(want, attribute))


def _kernel(want: GuestConfig, have: GuestConfig) -> Iterator[FieldChange]:
    """Direct kernel boot, as one field."""
    before = have.kernel and (have.kernel.kernel, have.kernel.initrd, have.kernel.cmdline)
    after = want.kernel and (want.kernel.kernel, want.kernel.initrd, want.kernel.cmdline)
    yield from _differs("vm.boot", before, after)


def _cpu(want: GuestConfig, have: GuestConfig) -> Iterator[FieldChange]:
    """Model and topology; sockets are plugged live within what the guest was started with."""
    for field, attribute in CPU_FIELDS:
        yield from _differs(field, getattr(have.cpu, attribute), getattr(want.cpu, attribute))
    same_shape = (want.cpu.cores, want.cpu.threads) == (have.cpu.cores, have.cpu.threads)
    within = same_shape and have.cpu.sockets < want.cpu.sockets <= have.cpu.maximum_sockets
    when: tuple[When, ...] = ("within-maximum",) if within else ()
    yield from _differs("vm.cpu.sockets", have.cpu.sockets, want.cpu.sockets, when)


def _memory(want: GuestConfig, have: GuestConfig) -> Iterator[FieldChange]:
    """Bytes; the balloon reaches up to the maximum that the guest was started with."""
    yield from _differs("vm.maxMemory", have.memory.maximum_bytes, want.memory.maximum_bytes)
    within = have.balloon and want.memory.current_bytes <= have.memory.maximum_bytes
    when: tuple[When, ...] = ("within-maximum",) if within else ()
    yield from _differs("vm.memory", have.memory.current_bytes, want.memory.current_bytes, when)


def _disks(want: GuestConfig, have: GuestConfig) -> Iterator[FieldChange]:
    """Disks by image: plugged, unplugged, or attached in another way."""
    wanted = {disk.image: disk for disk in want.disks}
    present = {disk.image: disk for disk in have.disks}
    for image, disk in present.items():
        if image not in wanted:
            yield FieldChange("vm.disks", disk.name, None, _hot(disk, "removed"))
    for image, disk in wanted.items():
        if image not in present:
            yield FieldChange("vm.disks", None, disk.name, _hot(disk, "added"))
            continue
        before = present[image]
        for field, attribute in (("bus", "bus"), ("bootOrder", "boot_order"), ("readOnly", "read_only")):
            name = f"vm.disks[{disk.name}].{field}"
            yield from _differs(
                name, getattr(before, attribute), getattr(disk, attribute), rule=f"vm.disks.{field}"
            )


def _hot(disk: DiskConfig, when: When) -> Effect:
    """Live on the buses that can; at the next start on the others."""
    return effect_of("vm.disks", (when,)) if disk.bus in HOT_BUSES else Effect.NEXT_START


def _nics(want: GuestConfig, have: GuestConfig) -> Iterator[FieldChange]:
    """Cards by name."""
    wanted = {nic.name: nic for nic in want.nics}
    present = {nic.name: nic for nic in have.nics}
    for name in sorted(present.keys() - wanted.keys()):
        yield FieldChange("vm.nics", name, None, effect_of("vm.nics", ("removed",)))
    for name, nic in wanted.items():
        if name not in present:
            yield FieldChange("vm.nics", None, name, effect_of("vm.nics", ("added",)))
        else:
            yield from _nic(nic, present[name])


def _nic(want: NicConfig, have: NicConfig) -> Iterator[FieldChange]:
    """One card's fields; a network is compared by the bridge that the card is plugged into."""
    name = f"vm.nics[{want.name}]"
    for field, attribute in (("mac", "mac"), ("model", "model"), ("link", "link")):
        yield from _differs(
            f"{name}.{field}", getattr(have, attribute), getattr(want, attribute), rule=f"vm.nics.{field}"
        )
    if want.bridge != have.bridge:
        yield from _differs(f"{name}.network", have.bridge, want.bridge, rule="vm.nics.network")


def _cdrom(want: GuestConfig, have: GuestConfig) -> Iterator[FieldChange]:
    """The drive itself, and what lies in it."""
    if (want.cdrom is None) != (have.cdrom is None):
        yield from _differs("vm.cdrom", have.cdrom is not None, want.cdrom is not None)
    elif want.cdrom is not None and have.cdrom is not None:
        moved = want.cdrom.file == have.cdrom.file
        yield from _differs("vm.cdrom.file", _shown(have.cdrom, moved), _shown(want.cdrom, moved))


def _shown(cdrom: CdromConfig, moved: bool) -> str | None:
    """A CD as people see it; with its domain, if only that differs."""
    if not cdrom.file:
        return None
    return f"{cdrom.storage_domain}/{cdrom.file}" if moved else cdrom.file


def _vnc(want: GuestConfig, have: GuestConfig) -> Iterator[FieldChange]:
    """The console itself; its password is compared by HMAC in `secrets`, its reference here."""
    if (want.vnc is None) != (have.vnc is None):
        yield from _differs("vm.vnc", have.vnc is not None, want.vnc is not None)
    elif want.vnc is not None and have.vnc is not None:
        yield from _differs("vm.vnc.password", have.vnc.password, want.vnc.password)


def _differs(
    field: str, before: object, after: object, when: tuple[When, ...] = (), rule: str = ""
) -> Iterator[FieldChange]:
    """The change of one field, if there is one. rule: its row, where the field's name carries an index."""
    if before != after:
        yield FieldChange(field, before, after, effect_of(rule or field, when))
