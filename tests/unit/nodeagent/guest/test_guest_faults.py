"""Faults of a configuration are found before anything is touched, all at once."""

import pytest

from nodeagent.guestxml.checking import find_faults
from nodeagent.wire.guest import CdromConfig, CpuConfig, KernelBoot, MemoryConfig
from tests.unit.nodeagent.guest.samples import MASTER, MIB, OLD_PC, PLAIN, SECURE, SERVER, disk, guest, nic


@pytest.mark.parametrize("config", [PLAIN, SERVER, SECURE, OLD_PC])
def test_good_guests_have_none(config):
    assert find_faults(config) == ()


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        (guest(cpu=CpuConfig("maximum", 3, 1, 1, 2)), "3 sockets are more than the maximum of 2"),
        (guest(cpu=CpuConfig("maximum", 1, 0, 1, 1)), "at least 1"),
        (guest(memory=MemoryConfig(2 * MIB, MIB, MIB)), "above the maximum"),
        (guest(memory=MemoryConfig(MIB, MIB + 1, MIB)), "whole MiB"),
        (guest(balloon=False, memory=MemoryConfig(MIB, 2 * MIB, MIB)), "without a balloon"),
        (guest(disks=(disk(1, bus="ide"),)), "has no IDE"),
        (guest(disks=(disk(1, boot_order=1), disk(2, boot_order=1))), "boot order 1 is given twice"),
        (guest(disks=(disk(1, boot_order=0),)), "count from 1"),
        (guest(disks=(disk(1), disk(1))), "attached twice"),
        (guest(disks=(disk(1, bus="sata", read_only=True),)), "read-only"),
        (guest(nics=(nic(1), nic(1))), "MAC address 52:54:00:00:00:01 is given twice"),
        (guest(cdrom=CdromConfig(MASTER, None)), "storage domain and its file"),
        (guest(kernel=KernelBoot("/k", None, "a\nb")), "line breaks"),
    ],
)
def test_each_fault_is_named(config, fault):
    assert fault in "\n".join(find_faults(config))


def test_all_faults_come_at_once():
    config = guest(cpu=CpuConfig("maximum", 2, 1, 1, 1), disks=(disk(1), disk(1)), nics=(nic(1), nic(1)))

    assert len(find_faults(config)) == 3
