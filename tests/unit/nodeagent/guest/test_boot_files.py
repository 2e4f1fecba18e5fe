"""A guest that boots a kernel from its host: what is not there is told before anything is begun."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from nodeagent.host import Host
from nodeagent.operations.vm_places import refuse_missing_files
from nodeagent.wire.guest import KernelBoot
from tests.unit.nodeagent.guest.samples import guest

ROOT = SimpleNamespace(paths=SimpleNamespace(root=Path("/")))
NO_HOST = cast(Host, ROOT)  # a guest without disks asks nothing else of it


def test_each_file_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    kernel, initrd = tmp_path / "vmlinuz", tmp_path / "initrd"
    config = guest(disks=(), cdrom=None, kernel=KernelBoot(str(kernel), str(initrd), ""))

    first, second = refuse_missing_files(NO_HOST, config)
    assert first == f"the host has no file {kernel}: put it there, on each host that may run the VM"
    assert str(initrd) in second
    kernel.touch()
    initrd.touch()
    assert refuse_missing_files(NO_HOST, config) == []
