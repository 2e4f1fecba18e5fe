"""Every kind of order that this agent can carry out: the table of operations by kind."""

from typing import Any

from nodeagent.operations import (
    disk_create,
    disk_grow,
    disk_purge,
    disk_record,
    disk_remove,
    disk_restore,
    host_certificate,
    host_maintenance,
    network_create,
    network_remove,
    network_update,
    record_exit,
    record_remove,
    record_write,
    storage_connect,
    storage_create,
    storage_disconnect,
    storage_pool,
    vm_purge,
)
from nodeagent.operations.contract import Operation
from nodeagent.operations.vm_operations import VM_OPERATIONS

_ALL: tuple[Operation[Any], ...] = (
    network_create.OPERATION,
    network_update.OPERATION,
    network_remove.OPERATION,
    host_certificate.OPERATION,
    host_maintenance.OPERATION,
    storage_create.OPERATION,
    storage_connect.OPERATION,
    storage_disconnect.OPERATION,
    storage_pool.OPERATION,
    disk_create.OPERATION,
    disk_grow.OPERATION,
    disk_record.OPERATION,
    disk_remove.OPERATION,
    disk_restore.OPERATION,
    disk_purge.OPERATION,
    record_write.OPERATION,
    record_exit.OPERATION,
    record_remove.OPERATION,
    vm_purge.OPERATION,
    *VM_OPERATIONS,
)

OPERATIONS: dict[str, Operation[Any]] = {operation.kind: operation for operation in _ALL}
