"""Every operation on a VM's life and devices, for the table of the registry."""

from typing import Any

from nodeagent.operations import (
    vm_console,
    vm_disks,
    vm_memory,
    vm_migrate,
    vm_nics,
    vm_pause,
    vm_reboot,
    vm_start,
    vm_stop,
)
from nodeagent.operations.contract import Operation

VM_OPERATIONS: tuple[Operation[Any], ...] = (
    vm_start.OPERATION,
    vm_stop.OPERATION,
    vm_reboot.OPERATION,
    vm_migrate.OPERATION,
    vm_pause.PAUSE,
    vm_pause.RESUME,
    vm_memory.SET_MEMORY,
    vm_memory.SET_CPUS,
    vm_nics.UPDATE,
    vm_nics.ATTACH,
    vm_nics.DETACH,
    vm_disks.ATTACH,
    vm_disks.DETACH,
    vm_disks.CHANGE_CDROM,
    vm_console.OPERATION,
)
