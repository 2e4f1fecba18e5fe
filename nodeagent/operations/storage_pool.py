"""write-pool-record: the next revision of the pool's record, on the master domain."""

from typing import Any

from nodeagent.formats.poolrecord import read_pool_record, write_pool_record
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation
from nodeagent.operations.record_places import find_master, is_same, stamp
from nodeagent.wire.arguments import WritePoolRecord


def _check(host: Host, arguments: WritePoolRecord) -> str | None:
    record, current = arguments.record, read_pool_record(find_master(host, arguments.storage_domain))
    if is_same(current, record):
        return None
    there = current.revision if current else 0
    if record.revision != there + 1:
        return f"the pool's record has revision {there}, so revision {record.revision} cannot follow"
    if current is not None and current.data_center != record.data_center:
        return f"the pool belongs to data center {current.data_center}"
    ids = [number for number in record.host_ids.values() if number]
    return "two hosts have one host id" if len(set(ids)) != len(ids) else None


def _run(host: Host, arguments: WritePoolRecord, control: Control) -> dict[str, Any]:
    place = find_master(host, arguments.storage_domain)
    if not is_same(read_pool_record(place), arguments.record):
        write_pool_record(place, stamp(arguments.record, control.key))
    return {}


def _verify(host: Host, arguments: WritePoolRecord) -> str | None:
    found = read_pool_record(find_master(host, arguments.storage_domain))
    return None if is_same(found, arguments.record) else "the pool's record on storage is another one"


OPERATION: Operation[WritePoolRecord] = Operation(
    kind="write-pool-record",
    check=_check,
    run=_run,
    verify=_verify,
    recover=lambda host, arguments, _control: _verify(host, arguments) is None,
    locks=lambda arguments: (f"pool/{arguments.storage_domain}",),
)
