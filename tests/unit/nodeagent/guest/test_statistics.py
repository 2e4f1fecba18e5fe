"""Samples become one-minute means, newest first, for at most ten minutes."""

from pathlib import Path

import pytest

from nodeagent.drivers.libvirt_values import GuestSample
from nodeagent.errors import DriverError
from nodeagent.facts.statistics import History, HostSample, Statistics, read_host_sample
from tests.unit.nodeagent.guest.fake_hypervisor import FakeHypervisor

VM = "5f0c1c9e-65a4-5c1c-9b7c-0d2a54c1b6a1"


def history(minutes: float, busy: float = 0.25, guest_cpus: float = 1.5) -> History:
    made = History()
    for number in range(int(minutes * 4) + 1):
        at = 1000.0 + number * 15
        ticks = number * 1000
        idle = int(ticks * (1 - busy))
        guest = GuestSample(VM, int(number * 15e9 * guest_cpus), 512)
        made.add(HostSample(at, ticks, idle, 4096, 100, 50, (guest,)))
    return made


def test_means_of_whole_minutes_newest_first():
    document = history(3).document(VM, VM)

    assert document.cpu_percent == (25, 25, 25)
    assert document.memory_free_bytes == (4096,) * 3
    assert (document.swap_total_bytes, document.swap_free_bytes) == (100, (50,) * 3)
    assert document.guests[0].cpu_percent == (150,) * 3
    assert document.guests[0].balloon_bytes == (512,) * 3


def test_never_more_than_ten_minutes():
    assert len(history(30).document(VM, VM).cpu_percent) == 10


def test_nothing_is_made_up_before_there_are_two_samples():
    assert History().document(VM, VM).cpu_percent == ()
    assert history(0).document(VM, VM).cpu_percent == ()


def test_a_load_that_began_a_minute_ago_shows_in_the_newest_mean_only():
    made = History()
    for number in range(9):
        busy_ticks = max(0, number - 4) * 1000
        made.add(HostSample(number * 15.0, number * 1000, number * 1000 - busy_ticks, 0, 0, 0))

    assert made.document(VM, VM).cpu_percent == (100, 0)


def test_proc_is_read(tmp_path: Path):
    (tmp_path / "stat").write_text("cpu  10 1 5 80 4 0 0 0 7 0\ncpu0 1\n")
    (tmp_path / "meminfo").write_text(
        "MemAvailable: 10 kB\nSwapTotal: 4 kB\nSwapFree: 3 kB\nHugePages_Total: 0\n"
    )
    sample = read_host_sample(tmp_path, 1.0)

    assert (sample.ticks, sample.idle_ticks) == (100, 84)
    assert (sample.memory_free_bytes, sample.swap_total_bytes, sample.swap_free_bytes) == (10240, 4096, 3072)


def test_a_host_without_proc_is_an_error_and_one_without_libvirt_is_not(tmp_path: Path):
    hypervisor = FakeHypervisor()
    with pytest.raises(DriverError, match="cannot read CPU and memory"):
        Statistics(hypervisor, VM, VM, proc=tmp_path).sample()

    statistics = Statistics(hypervisor, VM, VM)
    statistics.sample()
    assert statistics.document().host_uuid == VM
