"""Changes that must wait although nothing in the data center stands in their way: of objects that failed too often or a
moment ago, that a person has paused, or all but protective ones. Called by the pipeline once the changes are known.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from reconciler.model.change import Alert, Blocked, Changes, Deferred, Verb
from reconciler.model.desired import Desired
from reconciler.model.options import EVERYTHING, TIRELESS, PassOptions, Retry
from reconciler.model.quantities import format_duration

SHOWN = 5
"""How many VMs a line names."""


def hold_back(changes: Changes, options: PassOptions) -> Iterator[Blocked | Deferred]:
    """Objects that would change, and for which nothing is planned in this pass. Restarts after failures are never
    given up; they only wait for their next attempt."""
    if not (options.failing or options.retries or options.paused):
        return
    protective = protected(changes)
    for name in dict.fromkeys(one.object for one in changes.changes):
        if name in options.paused:
            yield Blocked(
                name, f"it is paused: {options.paused[name]}", f"end that with `ostler resume {name}`"
            )
        elif name in options.failing and name not in protective and not name.startswith(TIRELESS):
            yield Blocked(
                name,
                f"it failed too often: {options.failing[name]}",
                f"mend that, then change it or `ostler retry {name}`",
            )
        elif name in options.retries:
            yield _wait(name, options.retries[name])


def _wait(name: str, retry: Retry) -> Deferred:
    times = "" if retry.failures == 1 else f" {retry.failures} times in a row"
    until = f"its next attempt, in {format_duration(retry.left_ms)}"
    return Deferred(name, f"it failed{times}: {retry.reason}", until)


def protected(changes: Changes) -> frozenset[str]:
    """Objects with a protective change."""
    return frozenset(one.object for one in changes.changes if one.protective)


def hold_everything(desired: Desired, changes: Changes, options: PassOptions) -> Changes | None:
    """Nothing at all, while the data center or everything is paused; or protective work alone. None: no such thing."""
    center = desired.data_center.meta.id
    scope = next((one for one in (EVERYTHING, center) if one in options.paused), None)
    if scope is not None and (changes.changes or changes.pool):
        return _pause(changes, center, scope, options.paused[scope])
    return keep_protective(changes, options.only_protective) if options.only_protective else None


def _pause(changes: Changes, center: str, scope: str, reason: str) -> Changes:
    names = sorted(protected(changes))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    lost = f", and {', '.join(names[:SHOWN])}{more} not started again" if names else ""
    how = "--all" if scope == EVERYTHING else center
    blocked = Blocked(
        center, f"it is paused: {reason}; nothing is planned{lost}", f"end that with `ostler resume {how}`"
    )
    return Changes(
        blocked=(blocked, *changes.blocked),
        deferred=changes.deferred,
        drift=changes.drift,
        master=changes.master,
    )


def keep_protective(changes: Changes, why: Blocked | Deferred) -> Changes:
    """The changes of VMs that are to be restarted after a failure, whole; the rest waits, for the reason given."""
    names = protected(changes)
    kept = replace(changes, changes=tuple(one for one in changes.changes if one.object in names), pool=None)
    if isinstance(why, Blocked):
        return replace(kept, blocked=(why, *kept.blocked))
    return replace(kept, deferred=(why, *kept.deferred))


def leave_to_signer(changes: Changes, options: PassOptions) -> tuple[Changes, tuple[Alert, ...]]:
    """Without the renewals of certificates, where the authorities are not here to sign: those are alerts then."""
    if options.signs:
        return changes, ()
    mine = tuple(one for one in changes.changes if one.verb is not Verb.RENEW_CERTIFICATE)
    alerts = tuple(
        Alert(
            one.object,
            "two thirds of the life of its certificate are over, and the authorities are not here to renew it",
            "plan and apply, or `ostler run`, where `ostler pki init` was run",
        )
        for one in changes.changes
        if one.verb is Verb.RENEW_CERTIFICATE
    )
    return (replace(changes, changes=mine), alerts) if alerts else (changes, ())


def find_failing_restarts(changes: Changes, failing: Mapping[str, str]) -> Iterator[Alert]:
    """What has failed so often that anything else would be given up: VMs to be restarted after a failure, hosts and
    storage."""
    protective = protected(changes)
    for name in dict.fromkeys(one.object for one in changes.changes):
        if name in failing and (name in protective or name.startswith(TIRELESS)):
            what = "it is down, and its restart keeps failing" if name in protective else "it keeps failing"
            yield Alert(
                name, f"{what}: {failing[name]}", "see to the cause; it is tried on, ever more rarely"
            )
