"""Storage domains that run out of room, as oVirt's low space warning has it. Called by the pipeline."""

from collections.abc import Iterator

from reconciler.model.change import Alert
from reconciler.model.desired import Desired, StorageDomain
from reconciler.model.observed import Observed
from reconciler.model.quantities import format_bytes


def find_low_space(desired: Desired, observed: Observed) -> Iterator[Alert]:
    """Domains with less room than warningSpacePercent of their size, by id."""
    for name, domain in desired.storage_domains.items():
        if is_low(domain, observed):
            yield Alert(
                name,
                f"less than {domain.warning_space_percent} % of its space is free (warningSpacePercent)",
                f"extend it, or remove disks; below {format_bytes(domain.critical_space_bytes)} (criticalSpace) none is made or grown",
            )


def is_low(domain: StorageDomain, observed: Observed) -> bool:
    """Whether a domain whose contents were read has less room than its warning says."""
    seen = observed.storage.get(domain.uuid)
    if seen is None or seen.contents is None or not seen.contents.total_bytes:
        return False
    return seen.contents.free_bytes * 100 < seen.contents.total_bytes * domain.warning_space_percent
