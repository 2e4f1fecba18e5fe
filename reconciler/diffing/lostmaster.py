"""A master domain that came back empty: nothing is planned on it before its records are restored.

Where it holds no VM's record, and copies of some lie on other domains, what has no record may have lost it, and may run;
what was there must not be made anew.
"""

from reconciler.diffing.context import DiffContext, domain_name
from reconciler.model.change import Blocked


def block_emptied_master(context: DiffContext) -> Blocked | None:
    """The reason why nothing at all is planned, if all masters were read in full and hold no VM's record, and another
    domain holds copies of some."""
    center = context.desired.data_center
    contents = [one.contents for one in context.observed.storage.values() if one.contents is not None]
    masters = [one for one in contents if one.master]
    if not masters or any(one.vms or one.unreadable or not one.complete for one in masters):
        return None
    copies = {
        record.uuid: one.uuid
        for one in contents
        for record in one.vms
        if not one.master and record.data_center == center.uuid
    }
    if not copies:
        return None
    places = ", ".join(sorted({domain_name(context, uuid) for uuid in copies.values()}))
    number = f"copies of {len(copies)} VM records lie" if len(copies) > 1 else "a copy of a VM record lies"
    return Blocked(
        center.meta.id,
        f"{domain_name(context, masters[0].uuid)} holds no VM's record, and {number} on {places}: it lost them, or is "
        "another one; nothing is planned",
        "restore the records before anything else: docs/lost-master.md",
    )
