"""Whether guests of this machine can run on KVM: /dev/kvm may be there and still run none, so one is tried.

`lifecycle` asks it once for each lab; hosts of a lab without KVM do not see /dev/kvm.
"""

from pathlib import Path

from reconciler.lab.commands import run
from reconciler.lab.errors import LabError
from reconciler.lab.guestimage import GuestImage

KVM = Path("/dev/kvm")
BOOT_LIMIT_S = 10


def kvm_works(image: GuestImage, device: Path = KVM) -> bool:
    """Whether the kernel of `image` really starts on KVM; takes a second where it does, 10 s at most."""
    return device.exists() and kernel_starts(image, "kvm")


def kernel_starts(image: GuestImage, accelerator: str, limit_s: float = BOOT_LIMIT_S) -> bool:
    """Whether the kernel comes as far as asking for a root file system, which it is not given."""
    cpu = "host" if accelerator == "kvm" else "max"
    machine = [
        "-accel",
        accelerator,
        "-cpu",
        cpu,
        "-m",
        "128",
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
    ]
    boot = ["-kernel", str(image.kernel), "-append", "console=ttyS0 panic=-1", "-serial", "stdio"]
    try:
        done = run(["qemu-system-x86_64", *machine, *boot], timeout_s=limit_s)
    except LabError:
        return False
    return done.returncode == 0 and "Kernel panic" in done.stdout
