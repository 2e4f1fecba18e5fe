"""What the answering hosts of a cluster can all do, and the machine type and CPU model that a VM gets by that.

Called by `records`, once a VM; what holds for a whole cluster is found once a pass.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from nodeagent.wire.facts import HostCapabilities
from nodeagent.wire.records import VmRecord
from reconciler.model.desired import Desired, VirtualMachine
from reconciler.model.observed import Observed, VmObservation

MACHINE_FAMILIES = {"q35": "pc-q35-", "pc": "pc-i440fx-"}


class UndecidedError(Exception):
    """A value that must be resolved once cannot be: no host of the cluster has answered, or they have none in common."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """machines: types that every host lists. default_machine: the oldest of their defaults. cpu_models: those that
    every host can run, the best last."""

    machines: frozenset[str]
    default_machine: str
    cpu_models: tuple[str, ...]


def find_abilities(desired: Desired, observed: Observed) -> dict[str, Abilities]:
    """By cluster, what its answering hosts have in common; clusters of which no host answers are left out."""
    found: dict[str, list[HostCapabilities]] = defaultdict(list)
    for name, host in desired.hosts.items():
        seen = observed.hosts.get(name)
        if seen is not None and seen.answering and seen.state is not None:
            found[host.cluster].append(seen.state.capabilities)
    return {cluster: _in_common(capabilities) for cluster, capabilities in found.items()}


def _in_common(hosts: Sequence[HostCapabilities]) -> Abilities:
    models = frozenset(hosts[0].cpu_models).intersection(*(one.cpu_models for one in hosts))
    return Abilities(
        machines=frozenset(hosts[0].machines).intersection(*(one.machines for one in hosts)),
        default_machine=min((one.default_machine for one in hosts), key=_version),
        cpu_models=tuple(model for model in hosts[0].cpu_models if model in models),
    )


def machine_of(
    desired: Desired,
    abilities: Mapping[str, Abilities],
    vm: VirtualMachine,
    old: VmRecord | None,
    seen: VmObservation | None,
) -> str:
    """A versioned machine type: declared, kept, what an adopted guest has, the cluster's, or the oldest default."""
    wanted = vm.machine or (old.machine if old else None) or desired.clusters[vm.cluster].machine
    if seen and not old and seen.guest and seen.guest.config and not vm.machine:
        return seen.guest.config.machine
    if old and vm.machine in (None, old.machine):
        return old.machine
    if wanted and wanted not in MACHINE_FAMILIES:
        return wanted
    common = abilities.get(vm.cluster)
    if common is None:
        raise UndecidedError(f"no host of {vm.cluster} has answered, so its machine types are not known")
    if wanted in MACHINE_FAMILIES:
        if old and old.machine.startswith(MACHINE_FAMILIES[wanted]):
            return old.machine
        family = sorted(name for name in common.machines if name.startswith(MACHINE_FAMILIES[wanted]))
        if not family:
            raise UndecidedError(
                f"the hosts of {vm.cluster} have no machine type of family {wanted} in common"
            )
        return max(family, key=_version)
    return common.default_machine


@cache
def _version(machine: str) -> tuple[int, ...]:
    """`pc-q35-7.2` as (7, 2), so that 10.0 follows 9.2."""
    digits = machine.rpartition("-")[2]
    return tuple(int(part) for part in digits.split(".") if part.isdigit())


def cpu_model_of(
    desired: Desired,
    abilities: Mapping[str, Abilities],
    vm: VirtualMachine,
    old: VmRecord | None,
    seen: VmObservation | None,
) -> str:
    """A named model: declared, kept, an adopted guest's, the cluster's, or the best that all its hosts can run."""
    if vm.cpu.model or old:
        return vm.cpu.model or (old.cpu_model if old else "")
    if seen and seen.guest and seen.guest.config:
        return seen.guest.config.cpu.model
    model = desired.clusters[vm.cluster].cpu_model
    if model:
        return model
    common = abilities.get(vm.cluster)
    if common is None:
        raise UndecidedError(f"no host of {vm.cluster} has answered, so its CPU models are not known")
    if not common.cpu_models:
        raise UndecidedError(
            f"the hosts of {vm.cluster} have no CPU model in common; give the cluster a cpuModel"
        )
    return common.cpu_models[-1]
