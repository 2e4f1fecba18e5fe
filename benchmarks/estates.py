"""Estates of any size as manifests, and as the world after they were applied."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

from nodeagent.wire.arguments import ARGUMENTS, MigrateVm
from nodeagent.wire.codec import convert
from reconciler.agentlink.gathering import HostName, gather
from reconciler.desired.build import build_desired
from reconciler.desired.read import read_paths
from reconciler.model.desired import Desired
from reconciler.model.plan import Plan
from reconciler.model.reports import Reports
from reconciler.simulation.clock import run_in_virtual_time
from reconciler.simulation.effects import take_effect
from reconciler.simulation.host import CAPABILITIES as USUAL
from reconciler.simulation.host import SimulatedHost
from reconciler.simulation.link import link_fleet
from reconciler.simulation.world import World

VMS_PER_FILE = 2000
CAPABILITIES = replace(USUAL, memory_bytes=512 * 2**30, cores=128, threads=256)
ROOT = """apiVersion: ostler.dev/v1alpha1
kind: DataCenter
metadata: {name: farm}
spec: {uuid: 0b5c6a1e-7d3f-4c55-9e0a-3f1f6d2b8c47}
---
apiVersion: ostler.dev/v1alpha1
kind: LogicalNetwork
metadata: {name: vms}
spec: {dataCenter: farm}
---
apiVersion: ostler.dev/v1alpha1
kind: StorageDomain
metadata: {name: shared}
spec: {dataCenter: farm, type: posixfs, path: /srv/shared, vfsType: nfs}
---
apiVersion: ostler.dev/v1alpha1
kind: Cluster
metadata: {name: main}
spec: {dataCenter: farm, networks: [vms], cpuModel: Nehalem, machineType: pc-q35-7.2}
"""
HOST = """---
apiVersion: ostler.dev/v1alpha1
kind: Host
metadata: {{name: h{n}}}
spec: {{cluster: main, address: 10.{a}.{b}.{c}}}
"""
VM = """---
apiVersion: ostler.dev/v1alpha1
kind: Disk
metadata:
  name: d{n}
spec:
  storageDomain: shared
  size: 10Gi
---
apiVersion: ostler.dev/v1alpha1
kind: VirtualMachine
metadata:
  name: v{n}
spec:
  cluster: main
  memory: {memory}
  cpu:
    sockets: 2
  disks:
    - disk: d{n}
  nics:
    - name: eth0
      network: vms
"""


def write_manifests(directory: Path, hosts: int, vms: int) -> None:
    """Manifests of an estate, 2000 VMs a file."""
    directory.mkdir(parents=True, exist_ok=True)
    parts = [HOST.format(n=n, a=n // 62500, b=n // 250 % 250, c=n % 250 + 1) for n in range(hosts)]
    (directory / "root.yaml").write_text(ROOT + "".join(parts))
    for start in range(0, vms, VMS_PER_FILE):
        numbers = range(start, min(vms, start + VMS_PER_FILE))
        (directory / f"vms-{start}.yaml").write_text("".join(VM.format(n=n, memory="1Gi") for n in numbers))


def read_estate(directory: Path) -> Desired:
    """The manifests as desired state."""
    desired, problems = build_desired(read_paths([str(directory)], None).documents)
    assert not problems, problems[:3]
    return desired["dc/farm"]


def empty_world(desired: Desired) -> tuple[World, Reports]:
    """Hosts without anything, and what they report. Each has memory for all VMs that it can get here."""
    host_of = partial(SimulatedHost, capabilities=CAPABILITIES, resync_needed=False)
    world = World({name: host_of(name, host.uuid) for name, host in desired.hosts.items()})
    return world, run_in_virtual_time(_observe(world, desired))


def _unchecked(self: World) -> None:
    """Nothing is looked at."""


def carry_out(world: World, desired: Desired, plan: Plan) -> Reports:
    """What all agents report once the first plan was carried out."""
    assert plan.steps and not plan.blocked, plan.blocked[:3]
    World.check = _unchecked  # type: ignore[method-assign]  # it looks at every guest after every step
    for step in plan.steps:
        arguments = convert(dict(step.args), ARGUMENTS[step.kind])
        assert not isinstance(arguments, MigrateVm)
        take_effect(world, world.hosts[step.host], step.kind, arguments, f"bench/{step.id}")
    return run_in_virtual_time(_observe(world, desired))


async def _observe(world: World, desired: Desired) -> Reports:
    await asyncio.sleep(0)
    hosts = [HostName(name, host.uuid) for name, host in desired.hosts.items()]
    domains = [one.uuid for one in desired.storage_domains.values()]
    return (await gather(link_fleet(world), hosts, domains, data_center=desired.data_center.meta.id)).reports
