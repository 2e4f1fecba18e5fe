"""set-vm-memory and set-vm-cpus: what a running guest has of each, up to what it was started with."""

from dataclasses import replace
from typing import Any

from nodeagent.clock import boottime_ms
from nodeagent.errors import DriverError
from nodeagent.host import Host
from nodeagent.operations.contract import Control, Operation, OperationError
from nodeagent.operations.vm_balloon import BALLOON_STALL_MS, Approach, Ending, follow
from nodeagent.operations.vm_living import as_found, living_config, read_living, refuse_absent, relabel_config
from nodeagent.wire.arguments import SetVmCpus, SetVmMemory
from nodeagent.wire.guest import GuestConfig

KIB = 1024
MIB = 1024 * KIB
LEFT_PERCENT = 5
"""Of its new memory a guest keeps so much unused: what it told of itself is some seconds old."""


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
    before = read_living(host, wanted.vm).memory_bytes
    _refuse_squeezing(host, wanted, before)
    host.hypervisor.set_memory(wanted.vm, wanted.current_bytes)
    ending = follow(
        lambda: abs(read_living(host, wanted.vm).memory_bytes - wanted.current_bytes),
        Approach(BALLOON_STALL_MS),
        boottime_ms,
        lambda ended: host.hypervisor.wait_until(ended, control.remaining_ms(), control.cancelled),
    )
    if ending != "reached":
        raise _give_up(host, wanted, before, ending)
    relabel_config(host, wanted.vm, lambda config: _with_memory(config, wanted.current_bytes))
    return {}


def _refuse_squeezing(host: Host, wanted: SetVmMemory, before: int) -> None:
    """Raises OperationError, with nothing done, if the guest says that it cannot spare so much: a balloon takes it all
    the same, and the guest kills its processes for want of memory, or dies. One that says nothing is tried."""
    usable = host.hypervisor.usable_memory(wanted.vm)
    asked = before - wanted.current_bytes
    if usable is None or asked <= 0:
        return
    rest = wanted.current_bytes * LEFT_PERCENT // 100
    if usable - asked < rest:
        least = -(-max(wanted.current_bytes, before - max(0, usable - rest)) // MIB)
        raise OperationError(
            f"guest {wanted.vm} can spare {max(0, usable - rest) // MIB} MiB of its memory, and was to give {-(-asked // MIB)} MiB",
            f"whoever runs the guest: free memory in it, or declare at least {least}Mi; or stop it, and start it so",
        )


def _give_up(host: Host, wanted: SetVmMemory, before: int, ending: Ending) -> OperationError:
    """What became of the balloon. It gets its former target back: a guest that has nothing to spare would be squeezed
    on and on, until it kills processes of its own."""
    now = read_living(host, wanted.vm).memory_bytes
    try:
        host.hypervisor.set_memory(wanted.vm, before)
    except DriverError as error:
        if not error.settled:
            return error
    why = f"it has not moved for {BALLOON_STALL_MS // 1000} s" if ending == "stalled" else "its time is over"
    least = f", or declare at least {-(-now // MIB)}Mi" if wanted.current_bytes < now < before else ""
    return OperationError(
        f"the balloon of guest {wanted.vm} stands at {now} bytes, not at {wanted.current_bytes}, and {why}; "
        f"it gets {before} bytes back",
        "whoever runs the guest: see that it has booted and has the virtio balloon driver, and free memory in it"
        f"{least}",
    )


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
