"""set-vm-memory and set-vm-cpus: what a running guest has of each, up to what it was started with."""

from dataclasses import replace
from typing import Any

from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.operations.vm_living import as_found, living_config, read_living, refuse_absent, relabel_config
from nodeagent.wire.arguments import SetVmCpus, SetVmMemory
from nodeagent.wire.guest import GuestConfig

KIB = 1024


def _check_memory(host: Host, wanted: SetVmMemory) -> str | None:
    absent = refuse_absent(host, wanted.vm)
    if absent is not None:
        return absent
    config = living_config(host, wanted.vm)
    if not config.balloon:
        return f"guest {wanted.vm} has no balloon"
    if wanted.current_bytes % KIB or not 0 < wanted.current_bytes <= config.memory.maximum_bytes:
        return f"the memory must be whole KiB and at most {config.memory.maximum_bytes} bytes"
    return None


def _set_memory(host: Host, wanted: SetVmMemory, control: Control) -> dict[str, Any]:
    host.hypervisor.set_memory(wanted.vm, wanted.current_bytes)

    def reached() -> bool:
        return read_living(host, wanted.vm).memory_bytes == wanted.current_bytes

    if not host.hypervisor.wait_until(reached, control.remaining_ms(), control.cancelled):
        now = read_living(host, wanted.vm).memory_bytes
        raise OperationError(
            f"the balloon of guest {wanted.vm} stands at {now} bytes, not at {wanted.current_bytes}",
            "see that the guest has booted, has the virtio balloon driver, and can spare the memory",
        )
    relabel_config(host, wanted.vm, lambda config: _with_memory(config, wanted.current_bytes))
    return {}


def _with_memory(config: GuestConfig, current_bytes: int) -> GuestConfig:
    return replace(config, memory=replace(config.memory, current_bytes=current_bytes))


def _memory_difference(host: Host, wanted: SetVmMemory) -> str | None:
    found = read_living(host, wanted.vm).memory_bytes
    return None if found == wanted.current_bytes else f"the guest has {found} bytes of memory"


def _check_cpus(host: Host, wanted: SetVmCpus) -> str | None:
    absent = refuse_absent(host, wanted.vm)
    if absent is not None:
        return absent
    cpu = living_config(host, wanted.vm).cpu
    unit = cpu.cores * cpu.threads
    if wanted.vcpus % unit or not unit <= wanted.vcpus <= cpu.maximum_vcpus:
        return f"vCPUs must be whole sockets of {unit}, at most {cpu.maximum_vcpus}"
    return None


def _set_cpus(host: Host, wanted: SetVmCpus, control: Control) -> dict[str, Any]:
    if read_living(host, wanted.vm).vcpus != wanted.vcpus:
        host.hypervisor.set_vcpus(wanted.vm, wanted.vcpus)

    def reached() -> bool:
        return read_living(host, wanted.vm).vcpus == wanted.vcpus

    if not host.hypervisor.wait_until(reached, control.remaining_ms(), control.cancelled):
        raise OperationError(
            f"guest {wanted.vm} has {read_living(host, wanted.vm).vcpus} vCPUs, not {wanted.vcpus}",
            "see that the guest has booted and can unplug CPUs, then try again",
        )
    relabel_config(host, wanted.vm, lambda config: _with_vcpus(config, wanted.vcpus))
    return {}


def _with_vcpus(config: GuestConfig, vcpus: int) -> GuestConfig:
    sockets = vcpus // (config.cpu.cores * config.cpu.threads)
    return replace(config, cpu=replace(config.cpu, sockets=sockets))


def _cpus_difference(host: Host, wanted: SetVmCpus) -> str | None:
    found = read_living(host, wanted.vm).vcpus
    return None if found == wanted.vcpus else f"the guest has {found} vCPUs"


SET_MEMORY: Operation[SetVmMemory] = Operation(
    kind="set-vm-memory",
    check=_check_memory,
    run=_set_memory,
    verify=_memory_difference,
    recover=lambda host, wanted, _control: as_found(lambda: _memory_difference(host, wanted)),
)
SET_CPUS: Operation[SetVmCpus] = Operation(
    kind="set-vm-cpus",
    check=_check_cpus,
    run=_set_cpus,
    verify=_cpus_difference,
    recover=lambda host, wanted, _control: as_found(lambda: _cpus_difference(host, wanted)),
)
