"""Which uuid each declared VM and disk has; the first rule that applies holds (design: Identity)."""

from collections.abc import Iterator, Mapping

from reconciler.model.change import Blocked, Effect, FieldChange, Identities
from reconciler.model.desired import Desired, Disk, Meta, VirtualMachine
from reconciler.model.identity import object_uuid
from reconciler.model.observed import Observed


def resolve_identities(desired: Desired, observed: Observed) -> tuple[Identities, tuple[Blocked, ...]]:
    """Declared objects to uuids: spec.uuid, the record with this id, the record renamed from, else new.

    Blocks a rename whose source has no record and whose target is new, a uuid that is not the object's, objects that
    come to one uuid, with the VMs that use such disks, and a new VM that takes the MACs or disks of a vanished one
    without saying renamed-from.
    """
    incarnations: dict[str, int] = {}
    renamed: dict[str, str] = {}
    blocked: list[Blocked] = []
    used: dict[str, int] | None = None

    def resolve(meta: Meta, known: Mapping[str, str]) -> str:
        nonlocal used
        if meta.uuid:
            if known.get(meta.id, meta.uuid) != meta.uuid:
                blocked.append(_other_uuid(meta, known[meta.id]))
                return known[meta.id]
            return meta.uuid
        if meta.id in known:
            return known[meta.id]
        if meta.renamed_from and meta.renamed_from in known:
            renamed[meta.id] = meta.renamed_from
            return known[meta.renamed_from]
        if meta.renamed_from:
            blocked.append(
                Blocked(
                    meta.id,
                    f"it is to be {meta.renamed_from} under a new name, and no record of that is known",
                    "correct the annotation ostler.dev/renamed-from; or take it away, and the object is made anew",
                )
            )
        used = _incarnations_used(observed) if used is None else used
        incarnations[meta.id] = used.get(meta.id, 0) + 1
        return object_uuid(desired.data_center.uuid, meta.id, incarnations[meta.id])

    def resolve_all(
        declared: Mapping[str, VirtualMachine | Disk], known: Mapping[str, str]
    ) -> dict[str, str]:
        return {
            name: uuid if (uuid := known.get(name)) and one.meta.uuid is None else resolve(one.meta, known)
            for name, one in declared.items()
        }

    vms, disks = resolve_all(desired.vms, observed.vm_of), resolve_all(desired.disks, observed.disk_of)
    if incarnations:
        blocked.extend(_doubtful_newcomers(desired, observed, vms, incarnations))
    blocked.extend(_shared_uuids(desired, vms, disks))
    return Identities(vms, disks, incarnations, renamed), tuple(blocked)


def _other_uuid(meta: Meta, known: str) -> Blocked:
    """An object whose manifest gives it another uuid than it has: another object, made beside the one there is."""
    return Blocked(
        meta.id,
        "it keeps its uuid for life",
        f"take spec.uuid back; or declare {meta.uuid} under another name",
        (FieldChange(f"{meta.id.partition('/')[0]}.uuid", known, meta.uuid, Effect.REFUSE),),
    )


def _shared_uuids(desired: Desired, vms: Mapping[str, str], disks: Mapping[str, str]) -> Iterator[Blocked]:
    """Objects that come to one uuid, as where spec.uuid names what another manifest declares: two would be one."""
    twins = {**_find_twins(vms), **_find_twins(disks)}
    for name, (uuid, others) in twins.items():
        yield Blocked(
            name,
            f"it has the uuid {uuid}, and so has {' and '.join(others)}: two manifests declare one object",
            "take spec.uuid of one of them back; to rename an object, keep one manifest, with ostler.dev/renamed-from",
        )
    for vm in desired.vms.values() if twins else ():
        shared = sorted({one.disk for one in vm.disks} & twins.keys())
        if shared and vm.meta.id not in twins:
            yield Blocked(
                vm.meta.id,
                f"its disk {shared[0]} has the uuid of {' and '.join(twins[shared[0]][1])}",
                "take spec.uuid of one of these disks back",
            )


def _find_twins(uuids: Mapping[str, str]) -> dict[str, tuple[str, list[str]]]:
    """Names that share a uuid, with it and the other names."""
    if len(set(uuids.values())) == len(uuids):
        return {}
    owners: dict[str, list[str]] = {}
    for name, uuid in sorted(uuids.items()):
        owners.setdefault(uuid, []).append(name)
    return {
        name: (uuid, [one for one in names if one != name])
        for uuid, names in owners.items()
        if len(names) > 1
        for name in names
    }


def _incarnations_used(observed: Observed) -> dict[str, int]:
    """Highest incarnation of each object id among records and tombstones."""
    used: dict[str, int] = {}
    records = [vm.record for vm in observed.vms.values()] + [disk.record for disk in observed.disks.values()]
    for record in records:
        if record is not None:
            used[record.object] = max(used.get(record.object, 0), record.incarnation)
    return used


def _doubtful_newcomers(
    desired: Desired, observed: Observed, vms: Mapping[str, str], incarnations: Mapping[str, int]
) -> list[Blocked]:
    """New VMs that look like a vanished one under another name."""
    claimed = set(vms.values())
    vanished = [
        vm.record
        for vm in observed.vms.values()
        if vm.record and vm.record.managed and not vm.record.removed and vm.uuid not in claimed
    ]
    found = []
    for name, vm in desired.vms.items():
        if name not in incarnations:
            continue
        macs = {nic.mac for nic in vm.nics if nic.mac}
        disks = {one.disk for one in vm.disks}
        for record in vanished:
            if macs & set(record.macs.values()) or disks & set(record.disks):
                found.append(
                    Blocked(
                        name,
                        f"it takes disks or MAC addresses of {record.object}, whose manifest is gone",
                        f"if it is the same VM, annotate it with ostler.dev/renamed-from: {record.object}; "
                        f"if not, first remove {record.object} with consent",
                    )
                )
                break
    return found
