"""A VM that no host is large enough for: told with file and line by every command, and in nobody else's way."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Desk

LARGE = """\
apiVersion: ostler.dev/v1alpha1
kind: VirtualMachine
metadata: {name: large}
spec:
  cluster: main
  memory: 64Gi
"""
SAID = "large.yaml:6:3: error: vm/large spec.memory: needs"


@pytest.fixture
def crowded(desk: Desk) -> Desk:
    """Beside vm/web-1, which fits, one that no host can hold."""
    desk.declare("large.yaml", LARGE)
    return desk


def test_a_plan_blocks_it_alone_and_names_the_line(crowded: Desk) -> None:
    result = crowded("plan", "-f")

    assert result.status == 3
    assert SAID in result.err
    assert "vm/web-1#start" in result.out
    assert "vm/large: it needs" in result.out
    assert "vm/large#start" not in result.out


def test_an_apply_starts_the_others(crowded: Desk) -> None:
    result = crowded("apply", "-f", "--yes")

    assert (result.status, SAID in result.err) == (3, True)
    assert crowded.where("vm/web-1") is not None
    assert crowded.where("vm/large") is None


def test_the_loop_starts_the_others_and_says_it_once(crowded: Desk) -> None:
    result = crowded("run", "-f", "--once")

    assert (result.status, SAID in result.err) == (3, True)
    assert crowded.where("vm/web-1") is not None


def test_a_simulation_and_a_validation_against_the_hosts_say_the_same(crowded: Desk, tmp_path: Path) -> None:
    file = str(tmp_path / "observed.json")
    assert crowded("observe", "-f", "--out", file).status == 0

    simulated = crowded("simulate", "-f", "--observed", file)
    validated = crowded("validate", str(crowded.manifests), "--observed", file)

    assert (simulated.status, SAID in simulated.err) == (3, True)
    assert (validated.status, SAID in validated.out) == (1, True)
    assert crowded("validate", str(crowded.manifests)).status == 0


def test_a_running_vm_is_left_alone_when_its_hosts_have_become_too_small(applied: Desk) -> None:
    life = applied.guest("vm/web-1")
    for host in applied.world.hosts.values():
        host.capabilities = replace(host.capabilities, memory_bytes=2**29)

    result = applied("apply", "-f", "--yes")

    assert "vm/web-1 spec.memory: needs" in result.err
    assert result.status == 0
    assert applied.guest("vm/web-1") is life


def test_a_running_vm_that_is_declared_too_large_is_not_touched(applied: Desk) -> None:
    life = applied.guest("vm/web-1")
    applied.change("web-1.yaml", "  memory: 1Gi\n", "  memory: 64Gi\n  restartPolicy: WhenNeeded\n")

    result = applied("apply", "-f", "--yes")

    assert (result.status, "vm/web-1 spec.memory: needs" in result.err) == (3, True)
    assert applied.guest("vm/web-1") is life
