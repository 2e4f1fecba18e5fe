"""What a pass is told besides manifests and answers: what a person allows, and what earlier applies and passes left.

Commands and the loop make it, the pipeline hands its parts to the stages.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nodeagent.wire.records import Intent
from reconciler.model.change import Blocked, Deferred
from reconciler.model.observed import OpenOrder, OutdatedFacts
from reconciler.model.placement import Claim

EVERYTHING = "*"
"""The scope of a pause that holds all data centers."""

TIRELESS = ("host/", "sd/", "dc/")
"""Prefixes of objects whose recovery is tried without end: everything else depends on them."""


@dataclass(frozen=True, slots=True)
class Retry:
    """An object whose last passes failed: how many in a row, why the last, and the ms until it is tried again."""

    failures: int
    reason: str
    left_ms: int


@dataclass(frozen=True, slots=True)
class PassOptions:
    """What a person allows for this pass, and what earlier applies forbid.

    allow_prune: how many managed objects the manifests may drop at once. begun: orders that an apply began and whose
    end nobody knows; they lock their objects as if an agent had told of them. outdated: objects of which an order
    ended later than the facts here; they wait for newer ones. failing: objects that failed too often to be tried once
    more, with the last failure. retries: objects that failed and wait for their next attempt. paused: reason by
    object, data center or `*` (everything). only_protective: what holds all but protective work, if anything.
    signs: whether the authorities are here, so that certificates of hosts can be renewed.
    intents: what a person asks now, by VM; it is planned as if it stood in the VM's record, and written there.
    secret_digests: by reference, the HMAC of each secret that can be read here, never the value; what guests were given
    is compared with it. None: secrets are not looked at.
    locked: objects that plans which are being carried out still have steps for, with why; nothing else is planned for
    them. claims: the room that those plans still need, by VM. closed: hosts that take no new guests for now.
    """

    allow_prune: int = 0
    begun: tuple[OpenOrder, ...] = ()
    outdated: Mapping[str, OutdatedFacts] = field(default_factory=dict)
    failing: Mapping[str, str] = field(default_factory=dict)
    retries: Mapping[str, Retry] = field(default_factory=dict)
    paused: Mapping[str, str] = field(default_factory=dict)
    only_protective: Blocked | Deferred | None = None
    signs: bool = False
    intents: Mapping[str, Intent] = field(default_factory=dict)
    secret_digests: Mapping[str, str] | None = None
    locked: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, Claim] = field(default_factory=dict)
    closed: frozenset[str] = frozenset()
