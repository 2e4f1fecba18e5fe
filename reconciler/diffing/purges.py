"""Removed disk images whose days are over: their bytes go, where controller and host agree what time it is.

`diff` calls it for every image that no manifest claims. The ages come from the wall clocks of agents and controller.
"""

from collections.abc import Iterator

from reconciler.diffing.context import DiffContext, Finding, workers_of
from reconciler.model.change import Alert, Change, Deferred, Identities, Reason, Verb
from reconciler.model.desired import Desired
from reconciler.model.observed import Observed
from reconciler.model.quantities import format_duration

MOST_SKEW_MS = 2_000
"""Wall clocks that differ by more do not agree."""
WORST_SKEW_MS = 300_000
DAY_MS = 86_400_000


def diff_purges(context: DiffContext) -> Iterator[Finding]:
    """Every removed image that has been kept long enough, by image. One that a manifest takes back is left alone."""
    claimed = set(context.identities.disks.values())
    retention_ms = context.desired.data_center.retention_ms
    for image, age_ms in context.observed.removed_ms.items():
        if image not in claimed and age_ms >= retention_ms:
            yield from _purge(context, image)


def _purge(context: DiffContext, image: str) -> Iterator[Finding]:
    seen = context.observed.disks[image]
    domain = context.domains.get(seen.storage_domain)
    able = workers_of(context, domain.host if domain is not None else None)
    if seen.record is None or not able:
        return
    host = next((one for one in able if agrees(context.observed, one)), None)
    if host is None:
        yield Deferred(
            seen.record.object,
            f"the days of its removed image are over, and the clocks of {', '.join(able)} do not agree with ours",
            f"they agree within {MOST_SKEW_MS // 1000} s",
        )
        return
    kept = describe_retention(context.desired.data_center.retention_ms)
    because = (Reason("retention-over", kept), Reason("consent-of-removal", image))
    yield Change(seen.record.object, Verb.PURGE, because, host=host, subject=image)


def describe_retention(milliseconds: int) -> str:
    """`7 days`; what is no whole number of days as `36h`."""
    days, rest = divmod(milliseconds, DAY_MS)
    return format_duration(milliseconds) if rest or not days else f"{days} day{'s' if days != 1 else ''}"


def agrees(observed: Observed, host: str) -> bool:
    """Whether a host's wall clock was compared with ours, and agrees."""
    skew_ms = observed.hosts[host].skew_ms
    return skew_ms is not None and abs(skew_ms) <= MOST_SKEW_MS


def find_restorable(observed: Observed, identities: Identities) -> Iterator[Alert]:
    """New disks under the name of removed ones whose images are still there: a person may have meant the old bytes."""
    if not identities.incarnations.keys() & identities.disks.keys():
        return
    for image, seen in sorted(observed.disks.items()):
        record = seen.record
        if record is None or not record.removed or seen.volume is None:
            continue
        if record.object in identities.incarnations and image not in identities.disks.values():
            yield Alert(
                record.object,
                f"it is made anew and empty, though its removed image {image} is still there",
                f'to have that back instead, write uuid: "{image}" in its spec before you apply',
            )


def find_wrong_clocks(desired: Desired, observed: Observed) -> Iterator[Alert]:
    """Hosts whose wall clock differs from ours, by id."""
    for name in desired.hosts:
        host = observed.hosts.get(name)
        skew_ms = host.skew_ms if host is not None and host.answering else None
        if skew_ms is None or abs(skew_ms) <= MOST_SKEW_MS:
            continue
        limit = WORST_SKEW_MS if abs(skew_ms) > WORST_SKEW_MS else MOST_SKEW_MS
        yield Alert(
            name,
            f"its clock differs from ours by more than {limit // 1000} s",
            "set the time, and see to chrony or systemd-timesyncd there and here",
        )
