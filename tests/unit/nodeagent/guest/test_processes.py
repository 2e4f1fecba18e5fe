"""QEMU processes are found in /proc by the uuid of their VM, and only living ones."""

from pathlib import Path

from nodeagent.drivers.processes import QemuProcesses
from tests.unit.nodeagent.guest.samples import VM

REST = " ".join(["0"] * 18)


def add(
    proc: Path, pid: int, *words: str, comm: str = "qemu-system-x86", state: str = "S", start: int = 77
) -> Path:
    entry = proc / str(pid)
    entry.mkdir(exist_ok=True)
    (entry / "stat").write_text(f"{pid} ({comm}) {state} {REST} {start} 0 0\n")
    (entry / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
    return entry


def test_a_vm_is_found_by_its_uuid(tmp_path):
    add(tmp_path, 10, "qemu-system-x86_64", "-name", "guest=x", "-uuid", VM.upper(), "-S")
    add(tmp_path, 11, "qemu-system-x86_64", "-machine", "none")
    add(tmp_path, 12, "bash", "-uuid", VM, comm="bash")
    (tmp_path / "self").mkdir()

    assert QemuProcesses(tmp_path).list_guests() == {VM: 10}


def test_names_with_brackets_and_blanks_are_read(tmp_path):
    add(tmp_path, 10, "qemu", "-uuid", VM, comm="qemu:a) S (b")

    assert QemuProcesses(tmp_path).list_guests() == {VM: 10}


def test_dead_ones_do_not_count(tmp_path):
    add(tmp_path, 10, "qemu", "-uuid", VM, state="Z")

    assert QemuProcesses(tmp_path).list_guests() == {}


def test_a_process_is_looked_into_once(tmp_path):
    entry = add(tmp_path, 10, "qemu", "-uuid", VM)
    processes = QemuProcesses(tmp_path)
    assert processes.list_guests() == {VM: 10}
    (entry / "cmdline").unlink()
    assert processes.list_guests() == {VM: 10}


def test_another_process_with_the_same_number_is_looked_into(tmp_path):
    processes = QemuProcesses(tmp_path)
    add(tmp_path, 10, "qemu", "-uuid", VM)
    assert processes.list_guests() == {VM: 10}
    add(tmp_path, 10, "qemu", "-machine", "none", start=78)
    assert processes.list_guests() == {}


def test_one_that_has_not_got_its_arguments_yet_is_looked_into_again(tmp_path):
    processes = QemuProcesses(tmp_path)
    add(tmp_path, 10)
    assert processes.list_guests() == {}
    add(tmp_path, 10, "qemu", "-uuid", VM)
    assert processes.list_guests() == {VM: 10}
