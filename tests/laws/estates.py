"""Small estates for the laws: a specification that prints in a line or two, and the desired state that it stands for."""

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Any

from hypothesis import strategies as st

from nodeagent.wire.guest import KernelBoot
from reconciler.model.desired import (
    Cluster,
    CpuTopology,
    DataCenter,
    Desired,
    Disk,
    DiskAttachment,
    Host,
    LogicalNetwork,
    Meta,
    Mobility,
    NetworkAttachment,
    Nic,
    RestartPolicy,
    RunPolicy,
    StorageDomain,
    VirtualMachine,
)
from reconciler.model.identity import host_uuid, object_uuid, storage_uuid

CENTER = "58cfb470-02f3-03d7-0386-0000000003bc"
MIB, GIB = 2**20, 2**30
DOMAINS = ("sd/shared", "sd/silver", "sd/local")


class Brief:
    """A value whose text leaves out what has its usual value, so that a failing example can be read."""

    __slots__ = ()

    def __repr__(self) -> str:
        given = [
            f"{one.name}={getattr(self, one.name)}"
            for one in fields(self)  # type: ignore[arg-type]  # every subclass is a dataclass
            if getattr(self, one.name) != one.default
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))


@dataclass(frozen=True, slots=True, repr=False)
class HostSpec(Brief):
    """memory in GiB."""

    memory: int = 4
    maintenance: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class VmSpec(Brief):
    """memory in MiB, most: factor of its maximum; disk sizes in GiB; domain: index into DOMAINS; pins: host numbers.

    owner: number of the VM after which its disks are named; its own, if None.
    """

    number: int
    memory: int = 512
    most: int = 1
    policy: RunPolicy = RunPolicy.RESTART_ON_FAILURE
    restart: RestartPolicy = RestartPolicy.NEVER
    pins: tuple[int, ...] = ()
    mobility: Mobility = Mobility.MIGRATABLE
    priority: int = 50
    nics: int = 1
    disks: tuple[int, ...] = (1,)
    domain: int = 0
    sata: bool = False
    serial: bool = True
    consent: bool = False
    owner: int | None = None

    @property
    def disk_names(self) -> tuple[str, ...]:
        """Ids of its disks, named after the VM that had them first."""
        first = self.number if self.owner is None else self.owner
        return tuple(f"disk/v{first}-{index}" for index in range(len(self.disks)))


@dataclass(frozen=True, slots=True, repr=False)
class EstateSpec(Brief):
    """bridge: name of the network's bridge; domains: how many of DOMAINS are declared."""

    hosts: tuple[HostSpec, ...]
    vms: tuple[VmSpec, ...] = ()
    networks: int = 1
    bridge: str = "vms"
    domains: int = 1


def build(spec: EstateSpec) -> Desired:
    """The desired state; every mapping sorted by id, as the reader of manifests gives it."""
    networks = {
        f"net/n{i}": _sealed(LogicalNetwork(_meta(f"net/n{i}"), spec.bridge if i == 0 else f"br{i}"))
        for i in range(spec.networks)
    }
    hosts = {f"host/h{i + 1}": _host(i, one, networks) for i, one in enumerate(spec.hosts)}
    vms = {f"vm/v{one.number}": _vm(one, spec) for one in spec.vms}
    disks = {name: _disk(one, i, spec) for one in spec.vms for i, name in enumerate(one.disk_names)}
    return Desired(
        DataCenter(_meta("dc/farm"), CENTER),
        {"cluster/main": _sealed(Cluster(_meta("cluster/main"), tuple(networks)))},
        dict(sorted(hosts.items())),
        networks,
        dict(sorted((name, _domain(name)) for name in DOMAINS[: spec.domains])),
        dict(sorted(disks.items())),
        dict(sorted(vms.items())),
    )


def _meta(identifier: str) -> Meta:
    return Meta(identifier, identifier.rpartition("/")[2], "")


def _sealed(declared):  # type: ignore[no-untyped-def]
    """The object with a digest of what it declares."""
    digest = hashlib.sha256(repr(declared).encode()).hexdigest()
    return replace(declared, meta=replace(declared.meta, digest=digest))


def reseal(declared):  # type: ignore[no-untyped-def]
    """An edited object with the digest that goes with it."""
    return _sealed(replace(declared, meta=replace(declared.meta, digest="")))


def _host(number: int, spec: HostSpec, networks: dict[str, LogicalNetwork]) -> Host:
    name = f"host/h{number + 1}"
    attached = tuple(NetworkAttachment(one, "eth1") for one in list(networks)[:1])
    return _sealed(
        Host(
            _meta(name),
            host_uuid(CENTER, name),
            "cluster/main",
            f"192.0.2.{number + 10}",
            maintenance=spec.maintenance,
            networks=attached,
        )
    )


def _domain(name: str) -> StorageDomain:
    local = name == "sd/local"
    return _sealed(
        StorageDomain(
            _meta(name),
            storage_uuid(CENTER, name),
            "localfs" if local else "posixfs",
            f"/srv/{name[3:]}",
            vfs_type=None if local else "nfs",
            host="host/h1" if local else None,
        )
    )


def _disk(vm: VmSpec, index: int, spec: EstateSpec) -> Disk:
    name = vm.disk_names[index]
    meta = replace(_meta(name), allow_destroy=object_uuid(CENTER, name, 1) if vm.consent else None)
    domain = DOMAINS[min(vm.domain, spec.domains - 1)]
    return _sealed(Disk(meta, domain, vm.disks[index] * GIB))


def _vm(vm: VmSpec, spec: EstateSpec) -> VirtualMachine:
    name = f"vm/v{vm.number}"
    meta = replace(_meta(name), allow_destroy=object_uuid(CENTER, name, 1) if vm.consent else None)
    bus = "sata" if vm.sata else "virtio"
    return _sealed(
        VirtualMachine(
            meta,
            "cluster/main",
            CpuTopology(),
            vm.memory * MIB,
            vm.memory * vm.most * MIB,
            vm.memory * MIB,
            disks=tuple(DiskAttachment(one, bus) for one in vm.disk_names),
            nics=tuple(Nic(f"eth{i}", f"net/n{i % spec.networks}") for i in range(vm.nics)),
            kernel=KernelBoot("/boot/vmlinuz"),
            run_policy=vm.policy,
            restart_policy=vm.restart,
            hosts=tuple(f"host/h{one + 1}" for one in vm.pins if one < len(spec.hosts)),
            mobility=vm.mobility,
            priority=vm.priority,
            serial=vm.serial,
            firmware="uefi" if vm.consent else "bios",
            tpm=vm.consent,
        )
    )


def host_specs() -> st.SearchStrategy[HostSpec]:
    """Hosts of 2 to 6 GiB, one in four in maintenance."""
    return st.builds(HostSpec, st.sampled_from((2, 3, 4, 6)), st.sampled_from((False, False, False, True)))


def vm_specs(number: int) -> st.SearchStrategy[VmSpec]:
    """Any VM of this number."""
    return st.builds(
        VmSpec,
        number=st.just(number),
        memory=st.sampled_from((128, 256, 512, 1024, 2048)),
        most=st.sampled_from((1, 1, 2)),
        policy=st.sampled_from((RunPolicy.RESTART_ON_FAILURE, *RunPolicy)),
        restart=st.sampled_from(RestartPolicy),
        pins=st.sampled_from(((), (), (), (0,), (1,), (0, 1))),
        mobility=st.sampled_from((Mobility.MIGRATABLE, Mobility.MIGRATABLE, Mobility.PINNED)),
        priority=st.sampled_from((10, 50, 90)),
        nics=st.integers(0, 2),
        disks=st.sampled_from(((), (1,), (2,), (1, 1))),
        domain=st.integers(0, 2),
        sata=st.booleans(),
        serial=st.booleans(),
        consent=st.booleans(),
    )


@st.composite
def estate_specs(draw: st.DrawFn) -> EstateSpec:
    """One to four hosts, up to six VMs."""
    return EstateSpec(
        tuple(draw(st.lists(host_specs(), min_size=1, max_size=4))),
        tuple(draw(vm_specs(number)) for number in range(draw(st.integers(0, 6)))),
        networks=draw(st.integers(1, 2)),
        domains=draw(st.sampled_from((1, 1, 2, 3))),
    )


@st.composite
def edited(draw: st.DrawFn, spec: EstateSpec) -> EstateSpec:
    """Another declaration of the same estate: hosts into and out of maintenance, VMs changed, left out and added."""
    hosts = tuple(
        replace(one, maintenance=draw(st.sampled_from((one.maintenance, one.maintenance, True, False))))
        for one in spec.hosts
    )
    vms = []
    for one in spec.vms:
        fate = draw(st.sampled_from(("keep", "keep", "edit", "edit", "drop")))
        if fate == "keep":
            vms.append(one)
        elif fate == "edit":
            other = draw(vm_specs(one.number))
            vms.append(replace(other, domain=one.domain) if draw(st.booleans()) else _some(draw, one, other))
    if len(vms) > 1 and draw(st.integers(0, 3)) == 0:
        vms[:2] = _swapped(vms[0], vms[1])
    vms += [draw(vm_specs(10 + i)) for i in range(draw(st.integers(0, 2)))]
    networks = draw(st.sampled_from((spec.networks, spec.networks, 1, 2)))
    bridge = draw(st.sampled_from(("vms", "vms", "vms", "br-vms")))
    domains = draw(st.sampled_from((spec.domains, spec.domains, spec.domains, 1, 2, 3)))
    return EstateSpec(hosts, tuple(vms), networks, bridge, domains)


def _swapped(one: VmSpec, other: VmSpec) -> list[VmSpec]:
    """Two VMs with each other's disks."""
    return [
        replace(one, owner=other.number, disks=other.disks, domain=other.domain),
        replace(other, owner=one.number, disks=one.disks, domain=one.domain),
    ]


def _some(draw: st.DrawFn, one: VmSpec, other: VmSpec) -> VmSpec:
    """The VM with one or two fields of another."""
    fields = draw(
        st.lists(
            st.sampled_from(
                ("memory", "most", "policy", "restart", "pins", "mobility", "nics", "disks", "serial")
            ),
            min_size=1,
            max_size=2,
            unique=True,
        )
    )
    return replace(one, **{name: getattr(other, name) for name in fields})
