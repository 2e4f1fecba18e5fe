"""Limits of one VM: memory, CPU topology, buses and devices that can be true of no host at all.

Figures: facts of oVirt's engine, "Limits and naming", and what QEMU's machine types have. Pure; called by
`limits` for each VM.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from reconciler.desired.findings import Finding
from reconciler.desired.paths import Path
from reconciler.model.desired import CpuTopology, VirtualMachine
from reconciler.model.quantities import format_bytes

MOST_MEMORY_BYTES: Final = 64 * 2**40
"""oVirt's limit for x86-64 since cluster level 4.8."""
MOST_VCPUS: Final = 255
"""What a guest without an IOMMU device can have; oVirt's 710 need one, which is not offered here."""
MOST_VCPUS_OLD: Final = 240
_APIC_BITS: Final = 8

_BUS_LIMITS: Final = {"ide": 3, "sata": 5}
"""Beside the CD drive."""
_SCSI_LIMIT: Final = 16383


def check_vm(vm: VirtualMachine, machine: str | None) -> Iterator[Finding]:
    """Findings about one VM; machine is its machine type, its own or the cluster's, None for the default (q35)."""
    yield from _check_memory(vm)
    old = machine is not None and (machine == "pc" or machine.startswith("pc-i440fx"))
    yield from _check_cpu(vm.cpu, old)
    yield from _check_disks(vm, old)
    yield from _check_devices(vm, old)


def _check_memory(vm: VirtualMachine) -> Iterator[Finding]:
    memory, most, least = vm.memory_bytes, vm.maximum_memory_bytes, vm.guaranteed_memory_bytes
    if memory == most == least and 0 < memory <= MOST_MEMORY_BYTES:
        return
    shown = format_bytes(memory)
    if memory <= 0:
        yield Finding(("spec", "memory"), "a VM needs memory", "write such as 256Mi")
    if max(memory, most) > MOST_MEMORY_BYTES:
        path = ("spec", "memory") if memory > MOST_MEMORY_BYTES else ("spec", "maxMemory")
        yield Finding(path, "no VM can have so much memory", f"the most is {format_bytes(MOST_MEMORY_BYTES)}")
    if most < memory:
        summary = f"maxMemory {format_bytes(most)} is below memory {shown}"
        yield Finding(("spec", "maxMemory"), summary, f"write {shown} or more, or remove it")
    if least > memory:
        summary = f"guaranteedMemory {format_bytes(least)} is above memory {shown}"
        yield Finding(("spec", "guaranteedMemory"), summary, f"write at most {shown}, or remove it")
    if most > memory and not vm.balloon:
        advice = "set balloon to true, or remove maxMemory"
        yield Finding(
            ("spec", "maxMemory"), "without a balloon memory cannot change while the VM runs", advice
        )


def _check_cpu(cpu: CpuTopology, old: bool) -> Iterator[Finding]:
    if cpu.maximum_sockets < cpu.sockets:
        advice = f"write {cpu.sockets} or more, or remove it"
        summary = f"maxSockets {cpu.maximum_sockets} is below sockets {cpu.sockets}"
        yield Finding(("spec", "cpu", "maxSockets"), summary, advice)
    excess = list(check_vcpus(cpu, MOST_VCPUS_OLD if old else MOST_VCPUS))
    if excess:
        yield from excess
        return
    bits = _bits(cpu.cores) + _bits(cpu.threads)
    sockets = max(cpu.sockets, cpu.maximum_sockets)
    if old and (bits > _APIC_BITS or sockets > 2 ** (_APIC_BITS - bits)):
        advice = "use fewer sockets, cores or threads, powers of two best, or machineType q35"
        yield Finding(("spec", "cpu"), "an i440fx machine cannot number the CPUs of this topology", advice)


def check_vcpus(cpu: CpuTopology, most: int) -> Iterator[Finding]:
    """A finding if the vCPUs, plugged or pluggable, are more than the machine type takes."""
    count = max(cpu.vcpus, cpu.maximum_vcpus)
    if count > most:
        path: Path = ("spec", "cpu", "maxSockets") if cpu.vcpus <= most else ("spec", "cpu")
        advice = f"{_product(cpu, count)}; the most is {most}"
        yield Finding(path, f"{count} vCPUs are more than a VM can have", advice)


def _product(cpu: CpuTopology, count: int) -> str:
    sockets = count // (cpu.cores * cpu.threads)
    return f"sockets × cores × threads is {sockets} × {cpu.cores} × {cpu.threads}"


def _bits(number: int) -> int:
    """Bits that number so many things: ceil(log2)."""
    return (number - 1).bit_length()


def _check_disks(vm: VirtualMachine, old: bool) -> Iterator[Finding]:
    orders: dict[int, int] = {}
    seen: set[str] = set()
    for index, disk in enumerate(vm.disks):
        here: Path = ("spec", "disks", index)
        if disk.disk in seen:
            yield Finding((*here, "disk"), f"{disk.disk} is attached twice", "remove one of the two")
        seen.add(disk.disk)
        order = disk.boot_order
        if order is not None and orders.setdefault(order, index) != index:
            first = vm.disks[orders[order]].disk
            yield Finding(
                (*here, "bootOrder"), f"{first} has bootOrder {order} as well", "give each disk its own"
            )
        if disk.bus == "ide" and not old:
            advice = "use bus sata or virtio, or machineType pc"
            yield Finding((*here, "bus"), "a q35 machine has no IDE bus", advice)
        if disk.read_only and disk.bus in _BUS_LIMITS:
            advice = "use bus virtio or scsi"
            yield Finding((*here, "readOnly"), f"a disk on bus {disk.bus} cannot be read-only", advice)
    if len(vm.disks) > min(_BUS_LIMITS.values()):
        yield from _check_buses(vm)


def _check_buses(vm: VirtualMachine) -> Iterator[Finding]:
    limits: dict[str, int] = {**_BUS_LIMITS, "scsi": _SCSI_LIMIT}
    for bus, count in sorted(Counter(disk.bus for disk in vm.disks).items()):
        most = limits.get(bus)
        if most is not None and count > most:
            summary = f"{count} disks on bus {bus}, which takes {most}"
            yield Finding(("spec", "disks"), summary, "use bus virtio or scsi for the others")


def _check_devices(vm: VirtualMachine, old: bool) -> Iterator[Finding]:
    names: set[str] = set()
    for index, nic in enumerate(vm.nics):
        if nic.name in names:
            summary = f"two network cards are named {nic.name}"
            yield Finding(("spec", "nics", index, "name"), summary, "give each card a name of its own")
        names.add(nic.name)
    if vm.firmware == "uefi" and old:
        yield Finding(("spec", "firmware"), "uefi needs a q35 machine", "remove machineType, or write q35")
    if vm.tpm and vm.firmware == "bios":
        yield Finding(("spec", "tpm"), "a TPM needs uefi", "write firmware: uefi, or remove tpm")
    drive = vm.cdrom
    if drive is not None and (drive.file is None) != (drive.storage_domain is None):
        lacking, given = ("storageDomain", "file") if drive.file else ("file", "storageDomain")
        advice = f"add {lacking}, or remove {given} for an empty drive"
        yield Finding(("spec", "cdrom"), f"the CD drive has {given} without {lacking}", advice, at_key=True)
