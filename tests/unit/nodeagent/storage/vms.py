"""One VM whose record orders write and remove: what tests of records share."""

from nodeagent.wire.records import VmRecord

MASTER = "44444444-2222-4333-8444-555555555555"
SECOND = "55555555-2222-4333-8444-555555555555"
CENTER = "99999999-2222-4333-8444-555555555555"
VM = "11111111-2222-4333-8444-555555555555"

RECORD = VmRecord(
    uuid=VM,
    object="vm/web-1",
    data_center=CENTER,
    revision=1,
    incarnation=1,
    machine="pc-q35-7.2",
    cpu_model="max",
    copy_domain=SECOND,
    last_order="apply/step",
)
