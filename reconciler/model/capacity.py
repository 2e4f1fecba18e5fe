"""How much memory a guest takes from its host, and how much a host has to give: oVirt's figures.

Placement decides by them where a VM fits, ordering when there is room for it; so they are here, once.
"""

from dataclasses import replace

from nodeagent.wire.facts import HostCapabilities
from nodeagent.wire.guest import GuestConfig
from reconciler.model.desired import RestartPolicy, VirtualMachine

MIB = 2**20
STATIC_OVERHEAD_BYTES = 64 * MIB
"""Per VM, plus memory/512 (VmOverheadCalculatorImpl, x86)."""
VCPU_OVERHEAD_BYTES = 8 * MIB
VIDEO_BYTES = 16 * MIB
HOST_RESERVED_BYTES = 321 * MIB
"""host_mem_reserve 256 + extra_mem_reserve 65 (VDSM)."""


def overhead_bytes(memory_bytes: int, vcpus: int, *, video: bool) -> int:
    """What QEMU needs beside the guest's memory: 64 MiB + memory/512 + 8 MiB a vCPU + video RAM."""
    return (
        STATIC_OVERHEAD_BYTES
        + memory_bytes // 512
        + VCPU_OVERHEAD_BYTES * vcpus
        + (VIDEO_BYTES if video else 0)
    )


def vm_footprint(vm: VirtualMachine) -> int:
    """Bytes that a declared VM takes from its host."""
    return vm.memory_bytes + overhead_bytes(vm.memory_bytes, vm.cpu.maximum_vcpus, video=vm.vnc is not None)


def guest_footprint(config: GuestConfig) -> int:
    """Bytes that a running guest takes from its host."""
    memory = config.memory.current_bytes
    return memory + overhead_bytes(memory, config.cpu.maximum_vcpus, video=config.vnc is not None)


def footprint_after(vm: VirtualMachine, config: GuestConfig) -> int:
    """Bytes that a running guest takes once this plan has changed it: as declared where its memory changes live or a
    restart is allowed, else as it runs until its next start."""
    memory = config.memory
    live = config.balloon and vm.memory_bytes <= memory.maximum_bytes
    if vm.restart_policy is RestartPolicy.WHEN_NEEDED:
        return vm_footprint(vm)
    return guest_footprint(
        replace(config, memory=replace(memory, current_bytes=vm.memory_bytes)) if live else config
    )


def host_capacity(capabilities: HostCapabilities, overcommit_percent: int) -> int:
    """Bytes that guests may take together on an empty host: over-committed memory without the host's own part."""
    return room_for_guests(capabilities.memory_bytes, overcommit_percent)


def room_for_guests(memory_bytes: int, overcommit_percent: int) -> int:
    """The same from a host's physical memory in bytes."""
    return max(0, memory_bytes * overcommit_percent // 100 - HOST_RESERVED_BYTES)
