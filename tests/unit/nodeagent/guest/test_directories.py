"""Directories above what QEMU opens: it runs as a user of its own, and the agent's unit has a umask of 0077."""

import os
import stat

import pytest

from nodeagent.formats.files import PASSABLE_MODE
from nodeagent.operations.vm_places import prepare_directory


@pytest.fixture(autouse=True)
def umask_of_the_unit():
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_qemu_gets_through_to_its_firmware_variables_and_nobody_into_the_consoles_logs(tmp_path):
    for _again in range(2):
        prepare_directory(tmp_path / "firmware", PASSABLE_MODE)
        prepare_directory(tmp_path / "console")

    assert (mode_of(tmp_path / "firmware"), mode_of(tmp_path / "console")) == (0o711, 0o700)
