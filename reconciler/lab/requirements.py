"""What the machine must have before hosts can be made on it, as problems that name the packages.

`lifecycle` asks before it changes anything; scripts/setup installs the same packages.
"""

import os
import shutil
import sys
from pathlib import Path

from reconciler.lab.commands import run
from reconciler.lab.errors import LabError
from reconciler.lab.kernelmodules import find_kernel
from reconciler.problems import Problem

# Program and the Debian package that has it.
PROGRAMS = {
    "busybox": "busybox-static",
    "cc": "gcc",
    "ip": "iproute2",
    "libvirtd": "libvirt-daemon",
    "nsenter": "util-linux",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "setsid": "util-linux",
    "tini": "tini",
    "unshare": "util-linux",
    "virsh": "libvirt-clients",
}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--propagation", "private"]
_INSTALL = "run scripts/setup as root, or on Debian: apt-get install"


def check_machine() -> tuple[Problem, ...]:
    """Why no lab can be made here; empty if nothing is known to stand in the way."""
    if sys.platform != "linux":
        return (Problem("a lab needs Linux", "use simulated hosts here"),)
    if os.geteuid() != 0:
        return (
            Problem("a lab needs root: it makes namespaces and network links", "run the command with sudo"),
        )
    missing = (*_missing_programs(), *_missing_driver(), *_missing_kernel())
    return missing or _missing_features()


def _missing_programs() -> tuple[Problem, ...]:
    absent = [program for program in PROGRAMS if shutil.which(program, path=_PATH) is None]
    if not absent:
        return ()
    packages = " ".join(dict.fromkeys(PROGRAMS[program] for program in absent))
    return (Problem(f"not installed: {', '.join(absent)}", f"{_INSTALL} {packages}"),)


def _missing_driver() -> tuple[Problem, ...]:
    name = "libvirt/connection-driver/libvirt_driver_qemu.so"
    if any(
        found
        for base in ("/usr/lib", "/usr/lib64")
        for found in (*Path(base).glob(name), *Path(base).glob(f"*/{name}"))
    ):
        return ()
    return (Problem("libvirt has no QEMU driver", f"{_INSTALL} libvirt-daemon-driver-qemu"),)


def _missing_kernel() -> tuple[Problem, ...]:
    try:
        find_kernel()
    except LabError as error:
        return error.problems
    return ()


def _missing_features() -> tuple[Problem, ...]:
    """Tries what a host is made of in namespaces that end with the command."""
    trial = "ip link add trial0 type veth peer name trial1 && ip link add trial2 type bridge && mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w && mount -t overlay -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w overlay /etc"
    try:
        done = run([*_NAMESPACES, "sh", "-c", trial], environment={"PATH": _PATH})
    except LabError as error:
        return error.problems
    if done.returncode == 0:
        return ()
    return (
        Problem(
            f"this machine cannot make hosts: {done.stderr.strip() or 'namespaces are refused'}",
            "a lab needs namespaces, veth, bridge and overlayfs; in a container give it --privileged, or use simulated hosts",
        ),
    )
