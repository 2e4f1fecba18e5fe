"""Whether KVM really runs guests here: the device may exist and still not (nested hosts, sandboxes).

A QEMU whose firmware is a few instructions of ours says one letter and resets itself. `facts.capabilities` asks
once a boot.
"""

import tempfile

from nodeagent.drivers.command import CommandError, Limits, run_command

LIMITS = Limits(time_ms=10_000)
FIRMWARE_BYTES = 64 * 1024
RESET_VECTOR = FIRMWARE_BYTES - 16
ZEROES = 0xFF00
LETTER = b"K"
CODE = b"\xb0" + LETTER + b"\xe6\xe9" + b"\x2e\x0f\x01\x1e\x00\xff" + b"\xcc"
"""mov al, letter · out 0xe9, al · lidt cs:[ZEROES] · int3: without an interrupt table the CPU resets."""

ARGUMENTS = [
    "-m",
    "16",
    "-no-reboot",
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-monitor",
    "none",
    "-serial",
    "none",
    "-chardev",
    "stdio,id=words,signal=off",
    "-device",
    "isa-debugcon,iobase=0xe9,chardev=words",
]


def runs_guest_code(emulator: str, accelerator: str = "kvm") -> bool:
    """Whether this QEMU executes guest code with `accelerator`, within 10 s. False for whatever goes wrong."""
    firmware = bytearray(b"\xf4" * FIRMWARE_BYTES)
    firmware[ZEROES : ZEROES + 6] = bytes(6)
    firmware[RESET_VECTOR : RESET_VECTOR + len(CODE)] = CODE
    cpu = "host" if accelerator == "kvm" else "max"
    with tempfile.NamedTemporaryFile(prefix="ostler-probe-") as file:
        file.write(firmware)
        file.flush()
        machine = ["-machine", f"pc,accel={accelerator}", "-cpu", cpu, "-bios", file.name]
        try:
            return run_command([emulator, *machine, *ARGUMENTS], LIMITS).startswith(LETTER)
        except CommandError:
            return False
