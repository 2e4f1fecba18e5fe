"""A small estate in words: hosts `h1`, VMs `web`, domains `main`, turned into the values of the contract."""

import itertools
from uuid import NAMESPACE_DNS, uuid5

from nodeagent.wire.facts import (
    ExitFacts,
    GuestFacts,
    HostCapabilities,
    HostState,
    LeaseFacts,
    OrderFacts,
    StorageContents,
    StorageDomainFacts,
)
from nodeagent.wire.guest import CpuConfig, GuestConfig, MemoryConfig
from nodeagent.wire.records import DiskRecord, PoolRecord, Run, RunHost, VmRecord, VolumeFacts
from reconciler.model.desired import (
    CpuTopology,
    DataCenter,
    Desired,
    Host,
    Meta,
    StorageDomain,
    VirtualMachine,
)
from reconciler.model.observed import Observed, VmObservation
from reconciler.model.reports import HostOffProof, HostReport, Reports, RunOnHost, StorageReport
from reconciler.observing.assemble import assemble

MIB = 2**20


def uid(name):
    return str(uuid5(NAMESPACE_DNS, name))


CENTER = uid("dc")
CAPABILITIES = HostCapabilities(memory_bytes=2**34, threads=8, cores=4, sockets=1, kvm=False)


# What is declared


def meta(identifier, uuid=None):
    return Meta(identifier, identifier.rpartition("/")[2], "digest", uuid=uuid)


def declare(*hosts, domains=("main",), vms=None):
    """vms: name to the uuid that its manifest gives, or None."""
    return Desired(
        DataCenter(meta("dc/home"), CENTER),
        hosts={f"host/{name}": Host(meta(f"host/{name}"), uid(name), "cluster/c", name) for name in hosts},
        storage_domains={
            f"sd/{name}": StorageDomain(meta(f"sd/{name}"), uid(name), "posixfs", f"/srv/{name}")
            for name in domains
        },
        vms={
            f"vm/{name}": VirtualMachine(
                meta(f"vm/{name}", uuid), "cluster/c", CpuTopology(), 512 * MIB, 512 * MIB, 512 * MIB
            )
            for name, uuid in (vms or {}).items()
        },
    )


# What hosts say


def guest(vm, state="running", managed=True, obj=None, run=1, **given):
    config = GuestConfig(
        uuid=uid(vm),
        object=obj or f"vm/{vm}",
        data_center=CENTER,
        title=vm,
        run=run,
        machine="pc-q35-7.2",
        cpu=CpuConfig("qemu64", 1, 1, 1, 1),
        memory=MemoryConfig(512 * MIB, 512 * MIB, 512 * MIB),
    )
    return GuestFacts(uid(vm), vm, state, managed, config if managed else None, **given)


def exited(vm, run, reason):
    return ExitFacts(uid(vm), run, reason)


def order(key, kind, obj, state="succeeded"):
    return OrderFacts(key, kind, obj, state)


def state(
    host,
    *guests,
    boot="boot-1",
    processes=None,
    complete=True,
    domains=("main",),
    member=True,
    generation=7,
    **given,
):
    """A state document; processes: names of VMs, by default those of the guests; member: connected to the pool."""
    given.setdefault("data_center", CENTER if member else None)
    given.setdefault("host_id", 1 if member else None)
    named = processes if processes is not None else [one.title for one in guests]
    return HostState(
        host_uuid=given.pop("host_uuid", uid(host)),
        boot_id=uid(f"{host}-{boot}"),
        agent_start=uid(f"{host}-agent"),
        agent_version="0.1.0",
        generation=generation,
        boottime_ms=1000,
        wallclock_ms=1000,
        ledger_id=uid(f"{host}-ledger"),
        lease=LeaseFacts(1),
        capabilities=CAPABILITIES,
        guests=guests,
        guests_complete=complete,
        processes=tuple(sorted(uid(name) for name in named)),
        storage=tuple(StorageDomainFacts(uid(name), "active", name == "main", 5) for name in domains)
        if member
        else (),
        **given,
    )


def answer(host, *guests, **given):
    return HostReport(f"host/{host}", uid(host), "answering", 100, state=state(host, *guests, **given))


def fresh(host, *guests, **given):
    """The answer of a host that has never been connected to storage."""
    return answer(host, *guests, member=False, **given)


def silent(host, last=None):
    return HostReport(f"host/{host}", uid(host), "silent", 90_000, state=last)


def refused(host, detail="its certificate expired"):
    return HostReport(f"host/{host}", uid(host), "refused", detail=detail)


def unknown(host):
    return HostReport(f"host/{host}", uid(host), "unknown")


def off(host, kind="fenced", boot="boot-1", reference="fence-1", numbers=range(10)):
    """A proof that knows every run of these numbers, of any VM, in one boot; without boot: none at all."""
    known = itertools.product(("app", "db", "web"), numbers) if boot else ()
    runs = sorted(RunOnHost(uid(vm), number, uid(f"{host}-{boot}")) for vm, number in known)
    return HostOffProof(f"host/{host}", kind, tuple(runs), reference)


# What storage holds


def open_run(number, *hosts, boot="boot-1"):
    return Run(number, tuple(RunHost(uid(host), uid(f"{host}-{boot}")) for host in hosts))


def closed_run(number, *hosts, reason="shutdown"):
    return Run(number, tuple(RunHost(uid(host), uid(f"{host}-boot-1")) for host in hosts), closed=reason)


def record(vm, run=None, revision=3, obj=None, uuid=None, **given):
    given.setdefault("incarnation", 1)
    given.setdefault("data_center", CENTER)
    return VmRecord(
        uuid=uuid or uid(vm),
        object=obj or f"vm/{vm}",
        revision=revision,
        machine="pc-q35-7.2",
        cpu_model="qemu64",
        run=run,
        **given,
    )


def disk_record(name, domain="main", revision=1, **given):
    given.setdefault("incarnation", 1)
    given.setdefault("data_center", CENTER)
    return DiskRecord(
        uid(name),
        uid(f"{name}-volume"),
        f"disk/{name}",
        storage_domain=uid(domain),
        revision=revision,
        **given,
    )


def volume(name):
    return VolumeFacts(uid(name), uid(f"{name}-volume"), "qcow2", "thin", 2**30, 2**20)


def pool(*hosts, revision=1, domains=("main",), center=CENTER):
    return PoolRecord(
        center,
        revision,
        {uid(host): number for number, host in enumerate(hosts, 1)},
        {f"sd/{name}": uid(name) for name in domains},
    )


def read(domain, *vms, reader="h1", master=None, complete=True, unreadable=(), **given):
    """A domain as `reader` read it; `main` is the master."""
    contents = StorageContents(
        uuid=uid(domain),
        master=domain == "main" if master is None else master,
        complete=complete,
        vms=vms,
        unreadable=tuple(uid(name) for name in unreadable),
        **given,
    )
    return StorageReport(uid(domain), f"host/{reader}", contents=contents)


def unread(domain, reader=None):
    return StorageReport(uid(domain), reader, "no host is connected")


# Put together


def report(hosts=(), storage=(), proofs=()):
    return Reports("dc/home", tuple(hosts), tuple(storage), tuple(proofs))


def observe(hosts=(), storage=(), proofs=(), declared=None, previous=None) -> Observed:
    """The observation; declared: by default the hosts that report."""
    if declared is None:
        declared = declare(*(one.host.removeprefix("host/") for one in hosts))
    return assemble(declared, report(hosts, storage, proofs), previous)


def vm_of(observed, name="web") -> VmObservation:
    return observed.vms[uid(name)]


def told(observed, name="web"):
    """Presence, basis of the evidence or None, and doubts."""
    vm = vm_of(observed, name)
    return str(vm.presence), vm.evidence.basis if vm.evidence else None, vm.doubts
