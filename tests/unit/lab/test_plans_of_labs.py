from pathlib import Path

import pytest

from reconciler.lab.errors import LabError
from reconciler.lab.lifecycle import describe_cable
from reconciler.lab.model import plan_lab
from reconciler.lab.network import Link
from reconciler.lab.state import lock_lab, read_lab, write_lab


def test_hosts_are_numbered_and_have_the_addresses_after_ten() -> None:
    lab = plan_lab(Path("/x"), 10, subnet="203.0.113.0/24")
    assert [(host.name, host.address) for host in lab.hosts][::9] == [
        ("h1", "203.0.113.11"),
        ("h10", "203.0.113.20"),
    ]
    assert lab.gateway == "203.0.113.1/24"


def test_uuids_are_the_same_each_time_and_given_ones_hold() -> None:
    given = "11111111-2222-4333-8444-555555555555"
    first, second = plan_lab(Path("/x"), 2), plan_lab(Path("/y"), 2, host_uuids={"h2": given})
    assert first.hosts[0].uuid == second.hosts[0].uuid
    assert second.hosts[1].uuid == given
    assert len({host.uuid for host in first.hosts}) == 2


@pytest.mark.parametrize("count", [0, -1, 100])
def test_impossible_numbers_of_hosts_are_refused(count: int) -> None:
    with pytest.raises(LabError, match=f"a lab of {count} hosts"):
        plan_lab(Path("/x"), count)


@pytest.mark.parametrize("subnet", ["198.51.100.1/24", "nonsense", "::/64", "10.0.0.0/8", "10.0.0.0/30", ""])
def test_impossible_subnets_are_refused(subnet: str) -> None:
    with pytest.raises(LabError, match="subnet"):
        plan_lab(Path("/x"), 1, subnet=subnet)


@pytest.mark.parametrize("bridge", ["", "0x", "a" * 12, "a b", "a/b", "-x", "é"])
def test_impossible_bridges_are_refused(bridge: str) -> None:
    with pytest.raises(LabError, match="cannot be a lab's bridge"):
        plan_lab(Path("/x"), 1, bridge=bridge)


@pytest.mark.parametrize("directory", ["/a\nb", '/a"b', "/" + "x" * 200])
def test_directories_that_no_link_can_name_are_refused(directory: str) -> None:
    with pytest.raises(LabError, match="cannot lie in"):
        plan_lab(Path(directory), 1)


def test_links_have_names_that_the_kernel_takes() -> None:
    lab = plan_lab(Path("/x"), 99, bridge="a" * 11)
    assert max(len(lab.link(host)) for host in lab.hosts) == 15


def test_a_host_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(LabError, match=r"host/h9: the lab has no host 'h9'; its hosts are: h1, h2"):
        plan_lab(Path("/x"), 2).host("h9")


def test_a_lab_comes_back_from_its_file(tmp_path: Path) -> None:
    lab = plan_lab(
        tmp_path, 3, agent_command=("agent", "-v"), data_center="11111111-2222-4333-8444-555555555555"
    )
    write_lab(lab)
    assert read_lab(tmp_path) == lab


def test_no_file_is_no_lab(tmp_path: Path) -> None:
    assert read_lab(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "hosts": [{}], "agentCommand": []}']
)
def test_a_file_that_is_no_labs_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.json").write_text(text)
    with pytest.raises(LabError, match=r"lab\.json"):
        read_lab(tmp_path)


def test_a_lab_is_worked_on_by_one_command_at_a_time(tmp_path: Path) -> None:
    place = tmp_path / "lab"
    with lock_lab(place), pytest.raises(LabError, match="another command works"), lock_lab(place):
        pass
    with lock_lab(place):
        pass


@pytest.mark.parametrize(
    ("link", "network"),
    [
        (None, "none"),
        (Link("ostlerlab0-h1", "", (), up=False, carrier=False), "cut"),
        (Link("ostlerlab0-h1", "", (), up=True, carrier=False), "down"),
        (Link("ostlerlab0-h1", "", (), up=True, carrier=True), "up"),
    ],
)
def test_a_network_is_up_only_if_both_ends_of_its_cable_are(link: Link | None, network: str) -> None:
    assert describe_cable(link) == network
