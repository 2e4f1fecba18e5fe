"""Secrets that running guests were given against what they are worth now: by HMAC, never by value."""

from collections.abc import Iterator, Mapping

from nodeagent.wire.facts import GuestFacts
from nodeagent.wire.guest import GuestConfig
from reconciler.diffing.fields import effect_of
from reconciler.model.change import Alert, FieldChange, Identities
from reconciler.model.desired import Desired
from reconciler.model.observed import Observed

FIELD = "vm.vnc.password"
MOST_NAMED = 3


def changed_password(want: GuestConfig, facts: GuestFacts, digests: Mapping[str, str]) -> FieldChange | None:
    """That the console opens with another value than its secret has now; None if that is not so, or cannot be told.

    Only where guest and manifest name the same secret: another reference is a difference of its own.
    """
    reference = _password_of(want, facts)
    if reference is None or reference not in digests:
        return None
    if dict(facts.applied_secrets).get(reference) == digests[reference]:
        return None
    return FieldChange(FIELD, "another value", reference, effect_of(FIELD))


def find_uncompared_secrets(
    desired: Desired, observed: Observed, identities: Identities, digests: Mapping[str, str] | None
) -> Iterator[Alert]:
    """One alert for all running VMs whose password cannot be compared, because its secret cannot be read here.

    digests: None if nobody looks at secrets at all; then there is nothing to tell.
    """
    if digests is None:
        return
    unread: dict[str, str] = {}
    for name, vm in desired.vms.items():
        if vm.vnc is None or vm.vnc.password is None:
            continue
        seen, reference = observed.vms.get(identities.vms.get(name, "")), str(vm.vnc.password)
        if reference not in digests and seen is not None and seen.guest is not None:
            unread[name] = reference
    if unread:
        names = sorted(set(unread.values()))
        listed = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
        who = next(iter(unread)) if len(unread) == 1 else f"{len(unread)} VMs"
        yield Alert(
            desired.data_center.meta.id,
            f"{FIELD} of {who} is not compared: {listed} cannot be read here",
            "say --secrets DIR, and plan where the digest key of the data center is",
        )


def _password_of(want: GuestConfig, facts: GuestFacts) -> str | None:
    """The secret that manifest and running guest both name for the console."""
    have = facts.config
    if want.vnc is None or have is None or have.vnc is None:
        return None
    return want.vnc.password if want.vnc.password == have.vnc.password else None
