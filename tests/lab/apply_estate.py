"""A data center on lab hosts as an operator keeps it: manifests written, `ostler` run on them, guests asked.

`Estate` is what the test_apply_* modules work with. Commands run in this process through the command line's own
entry point, or in processes of their own where a test kills them.
"""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nodeagent.formats.vmrecords import read_vm_record
from nodeagent.wire.records import VmRecord
from reconciler.cli.main import run as run_ostler
from reconciler.lab.guestlog import GuestReport, read_reports
from reconciler.lab.inside import host_init, run_in
from reconciler.lab.model import GUEST_INSIDE, SHARED_INSIDE, Lab
from reconciler.lab.power import power_off, power_on
from reconciler.model.identity import host_uuid, object_uuid, storage_uuid
from reconciler.model.names import Kind, object_id
from reconciler.model.plan import Plan
from reconciler.pki.authority import create_authorities, load_authorities
from reconciler.pki.export import write_controller_files
from reconciler.planfile.decode import decode_plan

DATA_CENTER = "5b1f6c0e-2d83-4a47-9a55-8f0c9d3e7a21"
MIB = 1024 * 1024
LIMIT_S = 60.0
SLOW_MIGRATION = {"bandwidth": "8Mi", "stallTimeout": "2m"}
"""A cluster's limits under which the migration of a small guest takes some seconds."""
AGENT_STATE = "/var/lib/ostler-agent"
PREFIXES = {"VirtualMachine": "vm", "Disk": "disk", "Host": "host", "LogicalNetwork": "net", "Cluster": "cluster",
            "StorageDomain": "sd", "DataCenter": "dc"}  # fmt: skip
Found = TypeVar("Found")


def wait_for(look: Callable[[], Found | None], what: str, limit_s: float = LIMIT_S) -> Found:
    """The first value that is neither None nor false; fails after the limit."""
    end = time.monotonic() + limit_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"waited {limit_s:g} s for {what}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it said."""

    words: tuple[str, ...]
    status: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"ostler {' '.join(self.words)} exited {self.status}\n{self.out}\n{self.err}"


@dataclass(frozen=True)
class Seen:
    """A VM as its guest and its hosts show it; two sightings tell what was disturbed in between."""

    host: str
    boot: str
    uptime_ms: int


@dataclass
class Estate:
    """One data center over the hosts of a lab. `documents`: the manifests by object id."""

    lab: Lab
    home: Path
    directory: Path
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)

    # manifests

    def declare(self, kind: str, name: str, annotations: dict[str, str] | None = None, **spec: Any) -> str:
        """Add or replace a manifest; returns its object id."""
        metadata: dict[str, Any] = {"name": name}
        if annotations:
            metadata["annotations"] = annotations
        identifier = f"{PREFIXES[kind]}/{name}"
        self.documents[identifier] = {
            "apiVersion": "ostler.dev/v1alpha1",
            "kind": kind,
            "metadata": metadata,
            "spec": spec,
        }
        return identifier

    def change(self, identifier: str, **spec: Any) -> None:
        """Set fields of a manifest's spec; None takes a field away."""
        declared = self.documents[identifier]["spec"]
        declared.update(spec)
        for name in [name for name, value in declared.items() if value is None]:
            del declared[name]

    def declare_base(self) -> None:
        """Data center, cluster, two networks, shared storage, all hosts of the lab."""
        self.declare("DataCenter", "e2e", uuid=DATA_CENTER)
        for name in ("lan", "dmz"):
            self.declare("LogicalNetwork", name, dataCenter="e2e")
        self.declare(
            "StorageDomain", "shared", dataCenter="e2e", type="posixfs", path=SHARED_INSIDE, vfsType="none",
            mountOptions="bind", criticalSpace="1Mi",
        )  # fmt: skip
        self.declare("Cluster", "main", dataCenter="e2e", networks=["lan", "dmz"])
        for host in self.lab.hosts:
            networks = [{"network": "lan", "nic": "eth1"}]
            self.declare("Host", host.name, cluster="main", address=host.address, networks=networks)

    def declare_vm(self, name: str, *, disk: str | None = "64Mi", cmdline: str = "", **spec: Any) -> str:
        """A small VM that boots the lab's kernel, with a disk of its own on which it counts; returns its id."""
        words = ["console=ttyS0", "quiet", *(["ostler.heartbeat=vda"] if disk else []), *cmdline.split()]
        whole: dict[str, Any] = {
            "cluster": "main",
            "memory": "128Mi",
            "shutdownTimeout": "30s",
            "boot": {
                "kernel": f"{GUEST_INSIDE}/vmlinux",
                "initrd": f"{GUEST_INSIDE}/initrd",
                "cmdline": " ".join(words),
            },
        }
        if disk:
            self.declare("Disk", f"{name}-root", storageDomain="shared", size=disk)
            whole["disks"] = [{"disk": f"{name}-root"}]
        return self.declare("VirtualMachine", name, **(whole | spec))

    def write(self) -> Path:
        """The manifests as files of a directory."""
        place = self.directory / "manifests"
        place.mkdir(parents=True, exist_ok=True)
        documents = "\n---\n".join(json.dumps(document, indent=1) for document in self.documents.values())
        (place / "all.yaml").write_text(f"{documents}\n")
        return place

    # commands

    def ostler(self, *words: str, home: Path | None = None) -> Ran:
        """Run a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            environment(OSTLER_HOME=str(home or self.home)),
        ):
            status = run_ostler(list(words))
        return Ran(words, int(status), out.getvalue(), err.getvalue())

    def start_ostler(self, *words: str, home: Path | None = None, driver: str = "") -> subprocess.Popen[str]:
        """Run a command in a process of its own; `driver`: Python that is executed there first."""
        program = (
            f"{driver}\nimport sys\nfrom reconciler.cli.main import main\nsys.argv[0] = 'ostler'\nmain()\n"
        )
        return subprocess.Popen(
            [sys.executable, "-c", program, *words],
            env={**os.environ, "OSTLER_HOME": str(home or self.home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def plan(self, *words: str, home: Path | None = None) -> tuple[Plan, Ran]:
        """What `ostler plan` would do now, as a value and as shown."""
        file = self.directory / "plan.json"
        shown = self.ostler("plan", "-f", str(self.write()), "--out", str(file), *words, home=home)
        assert shown.status in (0, 2, 3), shown
        return decode_plan(file.read_bytes()).plan, shown

    def apply(self, *words: str, status: int | Iterable[int] = 0, home: Path | None = None) -> Ran:
        """Apply the manifests as they are now; the exit status must be as expected."""
        done = self.ostler("apply", "-f", str(self.write()), "--yes", *words, home=home)
        allowed = (status,) if isinstance(status, int) else tuple(status)
        assert done.status in allowed, done
        return done

    def apply_in_background(self, *words: str, home: Path | None = None) -> subprocess.Popen[str]:
        """Apply the manifests as they are now, in a process of its own."""
        return self.start_ostler("apply", "-f", str(self.write()), "--yes", *words, home=home)

    def apply_until_settled(self, statuses: tuple[int, ...] = (0, 3)) -> None:
        """Apply as an operator would, until nothing is left to do."""

        def settled() -> bool:
            self.apply(status=statuses)
            return self.ostler("plan", "-f", str(self.write())).status == 0

        wait_for(settled, "the declared state")

    def steps(self, *words: str) -> list[str]:
        """Ids of the steps that a plan has now."""
        return [step.id for step in self.plan(*words)[0].steps]

    def assert_settled(self) -> None:
        """Nothing is left to do. What tests themselves did to guests with virsh, facts may show a moment longer."""
        wait_for(lambda: not self.plan()[0].drift, "facts without drift")
        plan, shown = self.plan()
        assert (shown.status, plan.steps, plan.blocked, plan.drift) == (0, (), (), ()), shown

    # guests

    def uuid(self, identifier: str, incarnation: int = 1) -> str:
        """The uuid of a VM or disk that Ostler makes."""
        return object_uuid(DATA_CENTER, identifier, incarnation)

    @property
    def master(self) -> Path:
        """The directory of the storage domain that holds the records, as the machine sees it."""
        return self.lab.shared / storage_uuid(DATA_CENTER, "sd/shared")

    def record(self, vm: str) -> VmRecord:
        """The VM's record on storage."""
        found = read_vm_record(self.master, self.uuid(vm))
        assert found is not None, vm
        return found

    def virsh(self, host: str, *words: str) -> str:
        """Run virsh inside a host; it must succeed."""
        done = run_in(self.lab, host, ["virsh", *words])
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def homes(self, vm: str) -> list[str]:
        """Hosts on which libvirt has an active domain of the VM."""
        uuid = self.uuid(vm) if "/" in vm else vm
        up = [host.name for host in self.lab.hosts if host_init(self.lab, host.name)]
        return [name for name in up if uuid in self.virsh(name, "list", "--uuid")]

    def home_of(self, vm: str) -> str:
        """The one host that runs it."""
        homes = self.homes(vm)
        assert len(homes) == 1, f"{vm} runs on {homes}"
        return homes[0]

    def reports(self, vm: str, host: str) -> tuple[GuestReport, ...]:
        """What the guest said on its console there."""
        uuid = self.uuid(vm) if "/" in vm else vm
        return read_reports(self.lab.host(host).outside(f"/var/log/ostler/console/{uuid}.log"))

    def report(
        self, vm: str, accept: Callable[[GuestReport], bool] = lambda _report: True, limit_s: float = LIMIT_S
    ) -> GuestReport:
        """The guest's next new report that is as wanted."""
        host = self.home_of(vm)
        before = len(self.reports(vm, host))

        def look() -> GuestReport | None:
            return next((one for one in self.reports(vm, host)[before:] if accept(one)), None)

        try:
            return wait_for(look, f"{vm} to report on {host}", limit_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; last: {self.reports(vm, host)[-1:]}") from error

    def see(self, vm: str) -> Seen:
        """Where the VM runs, and which boot of its guest this is, read from a new line of its console."""
        report = self.report(vm)
        return Seen(self.home_of(vm), report.boot, report.uptime_ms)

    def assert_undisturbed(self, vm: str, before: Seen, *, moved: bool = False) -> Seen:
        """The very boot of before goes on, on the same host unless it was to move, alone on its disk."""
        report = self.report(vm)
        now = Seen(self.home_of(vm), report.boot, report.uptime_ms)
        assert now.boot == before.boot, f"{vm} was restarted"
        assert now.uptime_ms > before.uptime_ms
        assert (now.host != before.host) == moved, (before, now)
        if report.heartbeat is not None:
            assert not report.heartbeat.intruder, "somebody else writes the guest's disk"
        return now

    # hosts

    def agent_log(self, host: str) -> str:
        """What the host's agent has logged so far."""
        return self.lab.host(host).outside("/var/log/ostler/ostler-agent.log").read_text(errors="replace")

    def migration_runs(self, vm: str, host: str) -> bool:
        """Whether bytes of the VM flow from there."""
        if self.uuid(vm) not in self.virsh(host, "list", "--uuid"):
            return False
        job = run_in(self.lab, host, ["virsh", "domjobinfo", self.uuid(vm)])
        return "Data processed" in job.stdout

    def reset(self) -> None:
        """Back to a machine room as delivered: hosts booted anew, agents without a past, empty storage and store."""
        names = [host.name for host in self.lab.hosts]
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(lambda name: power_off(self.lab, name), names))
            for host in self.lab.hosts:
                shutil.rmtree(host.outside(AGENT_STATE), ignore_errors=True)
                shutil.rmtree(host.outside("/var/log/ostler/console"), ignore_errors=True)
            for path in self.lab.shared.iterdir():
                shutil.rmtree(path)
            for path in self.home.glob("store.sqlite*"):
                path.unlink()
            list(pool.map(lambda name: power_on(self.lab, name), names))
        self.documents.clear()
        self.declare_base()

    def forget_vm(self, vm: str) -> None:
        """A VM without disks is gone for good, with its manifest and its record."""
        self.virsh(self.home_of(vm), "destroy", self.uuid(vm))
        shutil.rmtree(self.master / "master/vms" / self.uuid(vm))
        del self.documents[vm]

    def discard_vms(self) -> None:
        """No VM, disk or record is left, and the rest is declared as at first.

        Guests are destroyed and files deleted behind Ostler's back, so names are not to be used again in a module.
        """
        for host in self.lab.hosts:
            for uuid in self.virsh(host.name, "list", "--all", "--uuid").split():
                run_in(self.lab, host.name, ["virsh", "destroy", uuid])
                run_in(self.lab, host.name, ["virsh", "undefine", uuid])
        for place in ("master/vms", "master/disks", "images"):
            for path in (self.master / place).glob("*"):
                shutil.rmtree(path)
        for identifier in [one for one in self.documents if one.startswith(("vm/", "disk/"))]:
            del self.documents[identifier]
        self.declare_base()


def finish(process: subprocess.Popen[str], statuses: tuple[int, ...], limit_s: float = 180) -> str:
    """The end of a command with one of these exit statuses; what it said."""
    out, err = process.communicate(timeout=limit_s)
    assert process.returncode in statuses, out + err
    assert "Traceback" not in err, err
    return out + err


def other_home(home: Path, path: Path) -> Path:
    """A second installation with the same certificates and a store of its own."""
    path.mkdir()
    for name in ("pki", "controller"):
        shutil.copytree(home / name, path / name)
    return path


def make_home(path: Path) -> Path:
    """An installation's directory with authorities and a controller's certificate."""
    create_authorities(path / "pki")
    authorities = load_authorities(path / "pki")
    write_controller_files(authorities, authorities.issue_controller("ostler"), path / "controller")
    return path


def host_uuids(count: int) -> dict[str, str]:
    """What the hosts of the data center are called, by name."""
    names = [f"h{number}" for number in range(1, count + 1)]
    return {name: host_uuid(DATA_CENTER, object_id(Kind.HOST, name)) for name in names}


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables for the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
