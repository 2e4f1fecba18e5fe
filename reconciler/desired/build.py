"""Documents turned into `Desired`, one for each data center, and every problem that they hold.

The way through the package: declarations, estate, references, limits, clashes. Called by the commands and
the loop after `read_paths`.
"""

from collections.abc import Iterable, Mapping
from itertools import chain

from reconciler.desired.annotations import check_annotations
from reconciler.desired.clashes import check_clashes
from reconciler.desired.declarations import read_declarations
from reconciler.desired.estate import Estate, Wanted, survey_estate
from reconciler.desired.findings import place_faults
from reconciler.desired.limits import check_limits
from reconciler.desired.read import Document
from reconciler.desired.references import check_references
from reconciler.desired.scheduling import check_policies
from reconciler.desired.suggestions import Suggestions
from reconciler.model.desired import (
    Cluster,
    DataCenter,
    Desired,
    Disk,
    Host,
    LogicalNetwork,
    SchedulingPolicy,
    StorageDomain,
    VirtualMachine,
)
from reconciler.problems import Problem, sort_problems


def build_desired(documents: Iterable[Document]) -> tuple[Mapping[str, Desired], tuple[Problem, ...]]:
    """What the documents declare, by data center id, and all problems, sorted.

    With an error among the problems the declared state is incomplete: malformed objects are left out and
    references may lead nowhere. It is then good for showing, not for planning.
    """
    suggestions, kept = Suggestions(), tuple(documents)
    declarations = read_declarations(kept, suggestions)
    estate = survey_estate(declarations.by_id, declarations.nameless)
    faults = chain(
        declarations.faults,
        check_references(estate, suggestions),
        check_limits(estate),
        check_clashes(estate),
        check_policies(estate, suggestions),
        check_annotations(estate),
    )
    return _divide(estate), sort_problems(place_faults(faults, kept))


def _divide(estate: Estate) -> dict[str, Desired]:
    """The well-formed objects of each data center; those of no known one are left out."""
    roots = {declaration.id: root for declaration, root in estate.each(DataCenter)}
    clusters, hosts = _share(estate, Cluster), _share(estate, Host)
    networks, domains = _share(estate, LogicalNetwork), _share(estate, StorageDomain)
    policies = _share(estate, SchedulingPolicy)
    disks, vms = _share(estate, Disk), _share(estate, VirtualMachine)
    return {
        home: Desired(
            data_center=root,
            clusters=clusters.get(home, {}),
            hosts=hosts.get(home, {}),
            networks=networks.get(home, {}),
            storage_domains=domains.get(home, {}),
            scheduling_policies=policies.get(home, {}),
            disks=disks.get(home, {}),
            vms=vms.get(home, {}),
        )
        for home, root in roots.items()
    }


def _share(estate: Estate, cls: type[Wanted]) -> dict[str, dict[str, Wanted]]:
    """Objects of a class by data center id and object id, sorted as the estate is."""
    shares: dict[str, dict[str, Wanted]] = {}
    for declaration, declared in estate.each(cls):
        home = estate.homes.get(declaration.id)
        if home is not None and estate.has_parents(declaration):
            shares.setdefault(home, {})[declaration.id] = declared
    return shares
